//! A session that was taken over and has no worker: there was no room for it when its client came back.
//!
//! Its client was told to come back once more, which it can, here or elsewhere, for as long as a session waits. Whoever had the
//! session before has let go of it and keeps nothing. So if it asked to be kept and nobody comes, a worker is asked to keep
//! what it had come to.

use dalston_protocol::{
    ApiError, ErrorCode,
    realtime::{ClientMessage, Retention},
};
use dalston_session_router::{
    Allocated, SessionRequest,
    link::{Continuation, Departure, FromWorker, SessionChannel, ToWorker},
};
use dalston_telemetry::TraceContext;
use tokio::time::{sleep, timeout};
use tracing::{Instrument, warn};

use super::{
    pump::{Keeping, RELEASE},
    resume::patiently,
};
use crate::gateway::App;

pub(super) struct Stranded {
    pub(super) keeping: Box<Keeping>,
    pub(super) state: State,
}

/// What a worker needs of it.
pub(super) struct State {
    pub(super) request: SessionRequest,
    /// From the end of all audio that had come: what of it has no answer is with the client alone.
    pub(super) continues: Continuation,
    pub(super) trace: TraceContext,
}

impl Stranded {
    /// Looks after it until somebody has it, or it is kept. Of a gateway that goes down, that is now.
    pub(super) fn awaits_client(self, app: &App) {
        let SessionRequest { request_id, session_id, config, .. } = &self.state.request;
        if config.retention != Retention::None {
            let scope = dalston_telemetry::scope(request_id.as_str(), Some(session_id.as_str()));
            // It bounds its waits by itself.
            app.last_words.spawn(self.wait(app.clone()).instrument(scope));
        }
    }

    async fn wait(mut self, app: App) {
        let taken = self.keeping.taken_here();
        tokio::select! {
            biased;
            () = taken.cancelled() => return,
            () = sleep(self.keeping.window()) => {}
            // Another gateway may have it yet. Whoever keeps it then, keeps it in the place of this.
            () = app.draining.cancelled() => if self.keeping.outlives_process() { self.keeping.stays() },
        }
        if self.keeping.is_taken_over().await {
            return;
        }
        if let Err(error) = self.state.have_it_kept(&app).await {
            let SessionRequest { request_id, session_id, .. } = &self.state.request;
            warn!(%request_id, %session_id, %error, "a session whose client was refused a worker was not kept");
        }
        self.keeping.give_up().await;
    }
}

impl State {
    /// A worker takes it and hears at once that its client is gone.
    async fn have_it_kept(&self, app: &App) -> Result<(), ApiError> {
        let limits = &app.config.stream;
        let find = || app.router.find(&self.request, Some(self.continues.clone()), None, &self.trace);
        // Workers come and go, and with them what is wrong.
        let Allocated { channel, lease, .. } = patiently(limits.move_timeout, |_| true, find).await?;
        let SessionChannel { to_worker, mut from_worker } = channel;
        let ending = async {
            for word in [ToWorker::Message(Box::new(ClientMessage::Keepalive)), ToWorker::Gone(Departure::VANISHED)] {
                // One that hears nothing has ended, and does not say so.
                let _ = to_worker.send(word).await;
            }
            while let Some(said) = from_worker.recv().await {
                if matches!(said, FromWorker::Closed(_)) {
                    return Ok(());
                }
            }
            Err(ApiError::new(ErrorCode::Internal, "its worker was lost"))
        };
        let late = || Err(ApiError::new(ErrorCode::Internal, "its worker does not end"));
        let ended = timeout(limits.worker_timeout, ending).await.unwrap_or_else(|_| late());
        let _ = timeout(RELEASE, lease.release()).await;
        ended
    }
}
