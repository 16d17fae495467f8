//! The link inside one process: channels, no copies.

use dalston_protocol::Close;
use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::{mpsc, oneshot};

use super::{FromWorker, Refusal, SessionChannel, SessionOffer, ToWorker, WorkerLink};

/// Messages under way to the worker. When full, the gateway stops reading the socket and TCP slows the client.
pub(super) const TO_WORKER: usize = 8;
/// Events under way to the client. When full, the client is not reading.
pub(super) const FROM_WORKER: usize = 32;
/// Sessions that wait for the worker to answer. When full, the next opener waits.
const BACKLOG: usize = 64;

/// A link to a worker of this process, and the port at which that worker receives its sessions.
pub fn in_process() -> (InProcessLink, WorkerPort) {
    let (offers, port) = mpsc::channel(BACKLOG);
    (InProcessLink { offers }, WorkerPort { port })
}

/// The gateway's side.
#[derive(Debug, Clone)]
pub struct InProcessLink {
    offers: mpsc::Sender<Incoming>,
}

impl WorkerLink for InProcessLink {
    fn open(&self, offer: SessionOffer) -> BoxFuture<'_, Result<SessionChannel, Refusal>> {
        async move {
            let gone = || Refusal::Unreachable("the worker has stopped".into());
            let (answer, answered) = oneshot::channel();
            self.offers.send(Incoming { offer, answer }).await.map_err(|_| gone())?;
            answered.await.map_err(|_| gone())?
        }
        .boxed()
    }
}

/// The worker's side: where sessions arrive.
#[derive(Debug)]
pub struct WorkerPort {
    port: mpsc::Receiver<Incoming>,
}

impl WorkerPort {
    /// The next session that is offered, or `None` when no gateway is left.
    pub async fn next(&mut self) -> Option<Incoming> {
        self.port.recv().await
    }
}

/// A session that waits for an answer.
#[derive(Debug)]
pub struct Incoming {
    /// What is asked.
    pub offer: SessionOffer,
    answer: oneshot::Sender<Result<SessionChannel, Refusal>>,
}

impl Incoming {
    /// Takes the session. `None` when the opener has gone meanwhile.
    pub fn accept(self) -> Option<(SessionOffer, WorkerChannel)> {
        let (to_worker, from_client) = mpsc::channel(TO_WORKER);
        let (to_client, from_worker) = mpsc::channel(FROM_WORKER);
        self.answer.send(Ok(SessionChannel { to_worker, from_worker })).ok()?;
        Some((self.offer, WorkerChannel { from_client, to_client }))
    }

    /// Leaves the session to another worker, or to nobody.
    pub fn refuse(self, refusal: Refusal) {
        // An opener that has gone needs no answer.
        let _ = self.answer.send(Err(refusal));
    }
}

/// The worker's end of an open session.
#[derive(Debug)]
pub struct WorkerChannel {
    /// Ends when the client is gone.
    pub from_client: mpsc::Receiver<ToWorker>,
    /// Events, and last of all one [`FromWorker::Closed`].
    pub to_client: mpsc::Sender<FromWorker>,
}

impl WorkerChannel {
    /// Ends a session that never began.
    pub async fn close(self, close: Close) {
        // The opener may be gone, which is as good as told.
        let _ = self.to_client.send(FromWorker::Closed(Box::new(close))).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::conformance::link::Subject;

    async fn subject() -> Subject {
        let (link, port) = in_process();
        Subject { link: Arc::new(link), port }
    }

    crate::worker_link_conformance!(tokio::test(start_paused = true), subject);
}
