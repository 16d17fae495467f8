//! One worker: takes sessions, serves each on its own task, drains.

use std::{panic::AssertUnwindSafe, sync::Arc};

use dalston_engine_sdk::{Capabilities, StreamingEngine};
use dalston_protocol::{ApiError, Close, CloseCode, ErrorCode, WorkerId, realtime::Retention};
use dalston_session_router::{
    Address, Held, Membership, WorkerRecord,
    link::{FromWorker, Incoming, Refusal, SessionOffer, WorkerPort},
};
use dalston_store::Archive;
use dalston_telemetry::{Metrics, Tracers};
use futures_util::FutureExt;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    RealtimeConfig,
    session::{Notice, Service, Session},
};

/// What all sessions of a worker share.
pub(crate) struct Shared {
    pub(crate) worker_id: WorkerId,
    pub(crate) config: RealtimeConfig,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tracers: Tracers,
    /// Where sessions that ask to be kept go.
    pub(crate) archive: Option<Archive>,
}

/// A realtime worker.
pub struct Worker {
    shared: Arc<Shared>,
    /// Preferred first.
    engines: Vec<Arc<dyn StreamingEngine>>,
}

impl Worker {
    /// A worker that recognises with these engines; the first that fits a session serves it. Without an archive, a session
    /// that asks to be kept is refused.
    pub fn new(
        config: RealtimeConfig,
        engines: Vec<Arc<dyn StreamingEngine>>,
        metrics: Arc<Metrics>,
        tracers: Tracers,
        archive: Option<Archive>,
    ) -> Self {
        let shared = Shared { worker_id: WorkerId::generate(), config, metrics, tracers, archive };
        Self { shared: Arc::new(shared), engines }
    }

    /// What the worker registers as.
    pub fn record(&self, address: Address) -> WorkerRecord {
        WorkerRecord {
            worker_id: self.shared.worker_id.clone(),
            address,
            capacity: self.shared.config.max_sessions,
            engines: self.engines.iter().map(|engine| engine.capabilities().clone()).collect(),
        }
    }

    /// Takes sessions until `shutdown`. Then refuses new ones and leaves the open ones their time, in which gateways may take
    /// them to other workers; lets those that are left answer
    /// for what they received, closes them with 1012, leaves the registry and returns. Each wait has a deadline, so this has.
    pub async fn run(self, mut port: WorkerPort, membership: Membership, shutdown: CancellationToken) {
        let (sessions, drain) = (TaskTracker::new(), CancellationToken::new());
        let notice = Notice { leaving: shutdown.clone(), drain: drain.clone() };
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                incoming = port.next() => match incoming {
                    Some(incoming) => self.receive(incoming, &sessions, &membership, &notice),
                    None => break,
                },
            }
        }
        sessions.close();
        tracing::info!(sessions = sessions.len(), "waiting for open sessions to end");
        let told = async {
            if let Err(unavailable) = membership.drain().await {
                tracing::warn!(%unavailable, "the registry does not know that this worker drains");
            }
        };
        let ended = async {
            let patience = async {
                shutdown.cancelled().await;
                tokio::time::sleep(self.shared.config.linger).await;
            };
            tokio::pin!(patience);
            loop {
                tokio::select! {
                    () = sessions.wait() => break,
                    Some(incoming) = port.next() => incoming.refuse(Refusal::Draining),
                    () = &mut patience, if !drain.is_cancelled() => drain.cancel(),
                }
            }
        };
        tokio::join!(told, ended);
        if let Err(unavailable) = membership.leave().await {
            tracing::warn!(%unavailable, "the registry will miss this worker's heartbeats");
        }
    }

    fn receive(&self, incoming: Incoming, sessions: &TaskTracker, membership: &Membership, notice: &Notice) {
        if sessions.len() >= self.shared.config.max_sessions {
            return incoming.refuse(Refusal::Full);
        }
        let service = match self.service_for(&incoming.offer) {
            Ok(service) => service,
            Err(error) => return incoming.refuse(Refusal::Rejected(error)),
        };
        let Some((offer, channel)) = incoming.accept() else { return };
        let held = membership.hold(offer.lease.clone());
        sessions.spawn(serve(self.shared.clone(), offer, service, channel, notice.clone(), held));
    }

    /// The first engine that has the session's model and language.
    fn service_for(&self, offer: &SessionOffer) -> Result<Service, ApiError> {
        let config = &offer.config;
        if config.retention != Retention::None && self.shared.archive.is_none() {
            return Err(ApiError::param("retention", "this server keeps no sessions; retention=0 is all it can do"));
        }
        let has_model = |c: &Capabilities| c.answers_to(config.model.as_deref());
        let mut fitting = self.engines.iter().filter(|engine| has_model(engine.capabilities())).peekable();
        if fitting.peek().is_none() {
            let message = format!("model={:?} is not served by this worker", config.model.as_deref().unwrap_or("any"));
            return Err(ApiError { param: Some("model".into()), ..ApiError::new(ErrorCode::ModelNotFound, message) });
        }
        fitting
            .find_map(|engine| {
                let language = engine.capabilities().languages.resolve(&config.language)?;
                Some(Service { engine: engine.clone(), language })
            })
            .ok_or_else(|| {
                let message = format!("language={:?} is not one of the model's", config.language);
                ApiError { param: Some("language".into()), ..ApiError::new(ErrorCode::LanguageNotSupported, message) }
            })
    }
}

/// Serves one session, whose slot is `held`. Whatever happens in it, even a panic, the client gets a close.
async fn serve(
    shared: Arc<Shared>,
    offer: SessionOffer,
    service: Service,
    channel: dalston_session_router::link::WorkerChannel,
    notice: Notice,
    _held: Held,
) {
    let last_words = channel.to_client.clone();
    let deadline = shared.config.write_deadline;
    let (session, outcomes) = match Session::new(shared, offer, service, channel.to_client) {
        Ok(made) => made,
        Err(error) => {
            let close = FromWorker::Closed(Box::new(error.close()));
            let _ = tokio::time::timeout(deadline, last_words.send(close)).await;
            return;
        }
    };
    let run = AssertUnwindSafe(session.run(channel.from_client, outcomes, notice)).catch_unwind();
    if run.await.is_err() {
        tracing::error!("a session panicked; its client is told");
        let close = Close::new(CloseCode::Internal, "the server failed; this session is lost");
        // A client that is gone needs no close.
        let _ = tokio::time::timeout(deadline, last_words.send(FromWorker::Closed(Box::new(close)))).await;
    }
}
