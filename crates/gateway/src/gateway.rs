//! The service and what its parts share.

use std::sync::Arc;

use dalston_egress::Client;
use dalston_session_router::{InProcessResumeStore, ResumeStore, SessionRouter};
use dalston_store::{KeyStore, Shelf};
use dalston_telemetry::{Metrics, Tracers};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    GatewayConfig, GatewayError, api,
    auth::{Authenticator, ServerSecret},
    batch::{Batch, Jobs},
    server,
    stream::Resumption,
};

/// What the gateway needs from its process.
#[derive(Debug, Clone)]
pub struct Deps {
    /// Finds workers for sessions.
    pub router: Arc<SessionRouter>,
    /// Makes spans; its ring answers `/v1/traces`.
    pub tracers: Tracers,
    /// Counts, and answers `/metrics`.
    pub metrics: Arc<Metrics>,
}

/// HTTP and WebSocket at the edge.
#[derive(Debug)]
pub struct Gateway {
    pub(crate) app: App,
}

impl Gateway {
    /// A gateway that serves nothing yet.
    ///
    /// # Errors
    /// A setting that is not allowed, by its key.
    pub fn new(config: GatewayConfig, deps: Deps) -> Result<Self, GatewayError> {
        config.check()?;
        let auth = Authenticator::new(&config.auth)?;
        let Deps { router, tracers, metrics } = deps;
        let (draining, cut) = (CancellationToken::new(), CancellationToken::new());
        let (shelf, batch, egress) = (None, None, None);
        let (sessions, uploads, last_words) = (TaskTracker::new(), TaskTracker::new(), TaskTracker::new());
        let resumption = Resumption::new(Arc::new(InProcessResumeStore::default()), config.stream.resume_window);
        let shared = Shared {
            config,
            auth,
            router,
            tracers,
            metrics,
            shelf,
            batch,
            egress,
            resumption,
            draining,
            cut,
            sessions,
            uploads,
            last_words,
        };
        Ok(Self { app: App(Arc::new(shared)) })
    }

    /// Looks for API keys there, and lets who may make and take back others. The secret is the one that they are made with.
    #[must_use]
    pub fn with_keys(mut self, keys: KeyStore, secret: ServerSecret) -> Self {
        let shared = self.unshared();
        shared.auth.with_keys(keys, secret, shared.config.auth.limits);
        self
    }

    /// Lets clients read the sessions that were kept for them, by whichever worker.
    #[must_use]
    pub fn with_shelf(mut self, shelf: Shelf) -> Self {
        self.unshared().shelf = Some(shelf);
        self
    }

    /// Keeps sessions whose clients may come back there, instead of in this process alone.
    #[must_use]
    pub fn with_resume_store(mut self, store: Arc<dyn ResumeStore>) -> Self {
        let shared = self.unshared();
        shared.resumption = Resumption::new(store, shared.config.stream.resume_window);
        self
    }

    /// Lets clients upload files and read what becomes of them.
    ///
    /// # Errors
    /// A setting that is not allowed, by its key.
    pub fn with_jobs(mut self, jobs: Jobs) -> Result<Self, GatewayError> {
        jobs.settings.check()?;
        self.unshared().batch = Some(Batch::new(jobs));
        Ok(self)
    }

    /// Lets clients name places: where their audio is to be fetched from.
    #[must_use]
    pub fn with_egress(mut self, client: Client) -> Self {
        self.unshared().egress = Some(client);
        self
    }

    fn unshared(&mut self) -> &mut Shared {
        Arc::get_mut(&mut self.app.0).expect("a gateway that serves nothing yet has not been shared")
    }

    /// Serves until `shutdown` resolves, then drains: `/readyz` says 503, sessions are asked to end and uploads may finish,
    /// within `http.drain_timeout`; sessions that do not are closed, and cut half a second later. Workers must go on until
    /// then: it is they who answer for what was received. So `rest`, the end of whatever else the process does, is begun only
    /// now, and the gateway still answers plain requests until it resolves.
    ///
    /// # Errors
    /// Before anything is served: [`GatewayError::PublicWithoutAuth`], keys that cannot be read, or a listener without an
    /// address.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
        rest: impl Future<Output = ()>,
    ) -> Result<(), GatewayError> {
        let Self { app } = self;
        app.auth.ready_for(listener.local_addr()?).await?;
        let router = api::router(&app);
        tokio::select! {
            () = server::serve(&app, router, listener, shutdown, rest) => {}
            () = app.auth.keep_fresh() => {}
        }
        app.auth.note_uses().await;
        Ok(())
    }
}

/// What every request and session can reach. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct App(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: GatewayConfig,
    pub(crate) auth: Authenticator,
    pub(crate) router: Arc<SessionRouter>,
    pub(crate) tracers: Tracers,
    pub(crate) metrics: Arc<Metrics>,
    /// Sessions that were kept, if any are.
    pub(crate) shelf: Option<Shelf>,
    /// Batch jobs, if they are served.
    pub(crate) batch: Option<Batch>,
    /// Reaches places that clients name, if that is allowed.
    pub(crate) egress: Option<Client>,
    /// Sessions whose clients may come back.
    pub(crate) resumption: Arc<Resumption>,
    /// Cancelled when the gateway begins to drain.
    pub(crate) draining: CancellationToken,
    /// Cancelled when what is still open has had its time: sockets are closed as they are.
    pub(crate) cut: CancellationToken,
    /// The tasks of open sessions.
    pub(crate) sessions: TaskTracker,
    /// Requests that make jobs, from their head to their answer.
    pub(crate) uploads: TaskTracker,
    /// What is still to be said for somebody who does not wait for it: to a worker that it has lost a session, to a store that
    /// one is over. Each bounds its own waits.
    pub(crate) last_words: TaskTracker,
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
