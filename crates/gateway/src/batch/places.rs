//! The places for uploads under way, and how they are shared out.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use dalston_protocol::{ApiError, ErrorCode};
use parking_lot::Mutex;

/// How long a client that finds no place is told to wait.
const RETRY_AFTER: f64 = 1.0;

/// Whoever is counted as one: a tenant, and where it calls from. Where nobody is asked for a key, all are the same tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Holder {
    pub(super) tenant: String,
    pub(super) address: Option<IpAddr>,
}

/// So many places in all, of which one holder has half at most: however slowly it sends, others are still served.
#[derive(Debug)]
pub(super) struct Places {
    all: usize,
    // Held for a few additions and no await. There is an entry for each holder of a place, so no more than places.
    held: Arc<Mutex<HashMap<Holder, usize>>>,
}

impl Places {
    pub(super) fn new(all: usize) -> Self {
        Self { all, held: Arc::default() }
    }

    /// # Errors
    /// All places are taken, or this holder's share of them.
    pub(super) fn take(&self, holder: Holder) -> Result<Place, ApiError> {
        let share = self.all.div_ceil(2);
        let mut held = self.held.lock();
        if held.values().sum::<usize>() >= self.all {
            let message = "as many files are being uploaded as may; try again";
            return Err(ApiError::new(ErrorCode::NoCapacity, message).retry_after(RETRY_AFTER));
        }
        if held.get(&holder).is_some_and(|own| *own >= share) {
            let message = format!("{share} files are being uploaded by you, which is one caller's share; try again");
            return Err(ApiError::new(ErrorCode::RateLimited, message).retry_after(RETRY_AFTER));
        }
        *held.entry(holder.clone()).or_default() += 1;
        Ok(Place { holder, held: self.held.clone() })
    }
}

/// A place, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    holder: Holder,
    held: Arc<Mutex<HashMap<Holder, usize>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.held.lock();
        if let Some(own) = held.get_mut(&self.holder) {
            *own -= 1;
            if *own == 0 {
                held.remove(&self.holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(last: u8) -> Holder {
        Holder { tenant: "anonymous".into(), address: Some([127, 0, 0, last].into()) }
    }

    #[test]
    fn one_caller_cannot_hold_all_places() {
        let places = Places::new(4);
        let own: Vec<_> = (0..2).map(|_| places.take(holder(1)).unwrap()).collect();
        assert_eq!(places.take(holder(1)).unwrap_err().code, ErrorCode::RateLimited);
        let others: Vec<_> = (2..4).map(|other| places.take(holder(other)).unwrap()).collect();
        assert_eq!(places.take(holder(4)).unwrap_err().code, ErrorCode::NoCapacity);
        drop((own, others));
        assert!(places.held.lock().is_empty(), "nobody is remembered");
    }

    #[test]
    fn a_single_place_can_be_had() {
        let places = Places::new(1);
        let place = places.take(holder(1)).unwrap();
        assert_eq!(places.take(holder(2)).unwrap_err().code, ErrorCode::NoCapacity);
        drop(place);
        assert!(places.take(holder(2)).is_ok());
    }
}
