//! How slow a client may be. One that sends a byte now and then is never silent, and holds a place that others could use.

use std::time::Duration;

/// Bytes a second that must come, in the mean over a window of waiting for them.
const LEAST_RATE: u64 = 1024;
const WINDOW: Duration = Duration::from_secs(30);

/// How fast a client sends, counted only while it is waited for: a slow disk is not its fault.
#[derive(Debug, Default)]
pub(super) struct Pace {
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// So many bytes came after such a wait.
    ///
    /// # Errors
    /// Over a whole window it was too slow.
    pub(super) fn came(&mut self, bytes: usize, waited: Duration) -> Result<(), TooSlow> {
        self.waited += waited;
        self.bytes += bytes as u64;
        if self.waited < WINDOW {
            return Ok(());
        }
        let Self { waited, bytes } = std::mem::take(self);
        if bytes as f64 >= LEAST_RATE as f64 * waited.as_secs_f64() {
            return Ok(());
        }
        Err(TooSlow { bytes, seconds: waited.as_secs() })
    }
}

/// What came in a window was too little.
#[derive(Debug, thiserror::Error)]
#[error("{bytes} bytes came in {seconds} s; at least {LEAST_RATE} a second are needed")]
pub(super) struct TooSlow {
    bytes: u64,
    seconds: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_below_the_least_rate_is_given_up_after_a_window() {
        let second = Duration::from_secs(1);
        let trickle = |bytes: usize| {
            let mut pace = Pace::default();
            (1..=90).find(|_| pace.came(bytes, second).is_err())
        };
        assert_eq!(trickle(1), Some(30));
        assert_eq!(trickle(1023), Some(30));
        assert_eq!(trickle(1024), None);
        let mut pace = Pace::default();
        pace.came(1 << 20, second).unwrap();
        let stopped = (2..=90).find(|_| pace.came(1, second).is_err());
        assert_eq!(stopped, Some(60), "what was sent quickly counts in its own window only");
    }
}
