//! Wake-ups that never pile up.

use std::{any::Any, fmt};

use tokio::sync::mpsc;

/// Is woken by a topic. Ends when it is dropped.
pub struct Subscription {
    /// Room for one: whoever has not looked since the last wake-up needs no second one. So a slow subscriber costs
    /// nothing, and is still woken after the last change.
    woken: mpsc::Receiver<()>,
    /// What the broker must know the end of.
    _ends: Box<dyn Any + Send + Sync>,
}

/// The broker's side of a [`Subscription`].
#[derive(Debug, Clone)]
pub struct Waker(mpsc::Sender<()>);

impl Subscription {
    /// For implementations of a broker. `ends` is dropped with the subscription.
    pub fn new(ends: impl Any + Send + Sync) -> (Waker, Self) {
        let (waker, woken) = mpsc::channel(1);
        (Waker(waker), Self { woken, _ends: Box::new(ends) })
    }

    /// Waits to be woken: at once if it was since the last look. `None` when the broker is gone. Losing the race of a
    /// `select!` loses no wake-up.
    pub async fn next(&mut self) -> Option<()> {
        self.woken.recv().await
    }
}

impl Waker {
    /// Wakes it. Never waits.
    pub fn wake(&self) {
        // Full: it will wake anyway. Closed: there is nobody to wake.
        let _ = self.0.try_send(());
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}
