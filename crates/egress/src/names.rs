//! Names become addresses here and nowhere else, so that what was checked is what is connected to.

use std::{
    fmt, io,
    net::{IpAddr, ToSocketAddrs},
    sync::Arc,
};

use tokio::sync::Semaphore;

/// Lookups at once. The system's own cannot be given up, so each holds a thread until the resolver is done with it; whoever
/// comes when all are taken waits, as long as its request may take.
const MAX_LOOKUPS: usize = 32;

type Lookup = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

#[derive(Clone)]
pub(crate) struct Names {
    lookup: Arc<Lookup>,
    places: Arc<Semaphore>,
}

impl Names {
    /// As this machine looks names up: its hosts file, then DNS.
    pub(crate) fn system() -> Self {
        Self::new(|name| Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect()))
    }

    pub(crate) fn new(lookup: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        Self { lookup: Arc::new(lookup), places: Arc::new(Semaphore::new(MAX_LOOKUPS)) }
    }

    /// All addresses of a name; none where there is no such name.
    pub(crate) async fn addresses(&self, name: String) -> Vec<IpAddr> {
        let place = self.places.clone().acquire_owned().await.expect("the semaphore is never closed");
        let lookup = self.lookup.clone();
        let found = tokio::task::spawn_blocking(move || {
            let _place = place;
            lookup(&name)
        });
        // That there is no such name, and that nobody can tell, are one to the caller: there is nowhere to go.
        found.await.ok().and_then(Result::ok).unwrap_or_default()
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}
