//! The keys that this gateway knows: a copy of all that the store has, so that no request asks the database.
//!
//! * **A key that is made or taken back counts everywhere within [`REFRESH`]** and the time of one query: each gateway asks
//!   for the version of the keys that often, and for the keys when it has changed.
//! * **An unknown key costs what a wrong one costs**: a hash, a look into a map, a comparison. A flood of them asks the
//!   database nothing and leaves nothing behind.
//! * **A database that is away changes nothing for [`STALE`]**. Then nobody is let in, since a key may have been taken back.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use dalston_protocol::{ApiError, ErrorCode, key::KeyLimits};
use dalston_store::{KeyRecord, KeyStore, StoreError};
use parking_lot::RwLock;
use subtle::ConstantTimeEq;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{
    Principal,
    key::{self, Hash, ServerSecret},
};

/// How often the version of the keys is asked for.
const REFRESH: Duration = Duration::from_secs(1);
/// How long the keys are believed that were known when the database was last heard of.
const STALE: Duration = Duration::from_secs(60);
/// How often it is written down which keys were used.
const NOTE_USES: Duration = Duration::from_secs(60);

/// All keys, as far as they were not taken back.
#[derive(Debug)]
pub(super) struct Keyring {
    store: KeyStore,
    secret: ServerSecret,
    /// For what a key does not say itself.
    limits: KeyLimits,
    // Read by every request for a look into the map; written when the keys change, and each second with the time.
    known: RwLock<Known>,
    /// One after the other, so that an older answer never replaces a newer one.
    refreshing: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Known {
    by_id: HashMap<Box<str>, Entry>,
    version: i64,
    as_of: Instant,
}

#[derive(Debug)]
struct Entry {
    hash: Hash,
    principal: Principal,
}

impl Keyring {
    /// The keys of a store, none of which is known yet.
    pub(super) fn new(store: KeyStore, secret: ServerSecret, limits: KeyLimits) -> Self {
        let known = Known { by_id: HashMap::new(), version: 0, as_of: Instant::now() };
        Self { store, secret, limits, known: RwLock::new(known), refreshing: tokio::sync::Mutex::default() }
    }

    pub(super) fn store(&self) -> &KeyStore {
        &self.store
    }

    pub(super) fn secret(&self) -> &ServerSecret {
        &self.secret
    }

    /// Whether there was ever a key. Taking back the last one opens no door.
    pub(super) fn has_had_keys(&self) -> bool {
        self.known.read().version != 0
    }

    /// Whose key this is; `None` when it is wrong, was taken back or has expired.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] when the database was not heard of for too long. The key may be right.
    pub(super) fn holder(&self, given: &str) -> Result<Option<Principal>, ApiError> {
        let (id, hash) = key::parse(&self.secret, given);
        let known = self.known.read();
        if known.as_of.elapsed() > STALE {
            let message = "keys cannot be checked now; try again";
            return Err(ApiError::new(ErrorCode::Unavailable, message).retry_after(REFRESH.as_secs_f64()));
        }
        let entry = known.by_id.get(id);
        let expected = entry.map_or(&[0; size_of::<Hash>()], |entry| &entry.hash);
        let is_right = bool::from(hash.ct_eq(expected));
        Ok(entry.filter(|_| is_right).map(|entry| entry.principal.clone()).filter(|holder| holder.is_good_now()))
    }

    /// How many keys are known.
    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.known.read().by_id.len()
    }

    /// Learns what has changed.
    ///
    /// # Errors
    /// When the database does not answer; what was known stays.
    pub(super) async fn refresh(&self) -> Result<(), StoreError> {
        let _alone = self.refreshing.lock().await;
        let as_of = Instant::now();
        let version = self.store.version().await?;
        if version == self.known.read().version {
            self.known.write().as_of = as_of;
            return Ok(());
        }
        let (version, keys) = self.store.usable().await?;
        self.learn(version, keys, as_of);
        Ok(())
    }

    fn learn(&self, version: i64, keys: Vec<KeyRecord>, as_of: Instant) {
        let mark = self.secret.mark();
        let mut foreign = 0_usize;
        let mut known = self.known.write();
        let mut before = std::mem::take(&mut known.by_id);
        for key in keys {
            if key.made_with != mark {
                foreign += 1;
                continue;
            }
            let Some(hash) = key::kept(&key.hash) else {
                tracing::error!(key = key.id, "the hash of a key is damaged; it lets nobody in");
                continue;
            };
            // A key never changes, and what its holder has open now is still counted.
            let principal = before.remove(key.id.as_str()).map(|entry| entry.principal);
            let principal = principal.unwrap_or_else(|| Principal::of_key(&key, self.limits));
            known.by_id.insert(key.id.into(), Entry { hash, principal });
        }
        (known.version, known.as_of) = (version, as_of);
        drop(known);
        // Tokens in their names are still about.
        before.into_values().for_each(|entry| entry.principal.revoke());
        if foreign > 0 {
            tracing::warn!(keys = foreign, "keys were made with another server secret, and let nobody in here");
        }
    }

    /// Stays up to date, until it is dropped.
    pub(super) async fn keep_fresh(&self) {
        let mut ticks = interval(REFRESH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut is_cut_off, mut noted) = (false, Instant::now());
        loop {
            ticks.tick().await;
            let refreshed = self.refresh().await;
            if let (Err(error), false) = (&refreshed, is_cut_off) {
                tracing::warn!(%error, "keys cannot be read; those that are known are believed for a while");
            }
            is_cut_off = refreshed.is_err();
            if noted.elapsed() >= NOTE_USES && !is_cut_off {
                self.note_uses().await;
                noted = Instant::now();
            }
        }
    }

    /// Writes down which keys were used since the last time. What cannot be written is tried again with the next.
    pub(super) async fn note_uses(&self) {
        let uses: Vec<(String, SystemTime)> = {
            let known = self.known.read();
            let uses =
                known.by_id.iter().filter_map(|(id, entry)| Some((id.to_string(), entry.principal.unnoted_use()?)));
            uses.collect()
        };
        match self.store.used(&uses).await {
            Ok(()) => {
                let known = self.known.read();
                let noted = uses.iter().filter_map(|(id, at)| Some((known.by_id.get(id.as_str())?, at)));
                noted.for_each(|(entry, at)| entry.principal.use_is_noted(*at));
            }
            Err(error) => tracing::info!(%error, "the last uses of keys cannot be noted now"),
        }
    }
}
