//! A native engine as the realtime worker sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dalston_engine_sdk::{
    Capabilities, EngineError, MAX_TEXT, Recognizer, SAMPLE_RATE, StreamOptions, StreamingEngine,
};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::config::HostConfig;
use super::patience::Pid;
use super::pool::{Pool, PoolStats, Slot};
use super::recognizer::HostedRecognizer;
use super::stream::{Kills, Stream};
use super::supervisor::{State, Supervisor};

/// An engine in a process of its own. When it and its recognisers are dropped, or the runtime ends, so do its processes.
pub struct HostedEngine {
    capabilities: Capabilities,
    shared: Arc<Shared>,
}

/// What recognisers need of their engine.
pub struct Shared {
    pub config: HostConfig,
    pub pool: Arc<Pool>,
    kills: Arc<Kills>,
    host: Pid,
    orders: mpsc::Sender<super::stream::ForkOrder>,
    state: watch::Receiver<State>,
    stop: watch::Sender<bool>,
    next: AtomicU64,
}

impl HostedEngine {
    /// Starts the host in the background; [`HostedEngine::ready`] tells when it is there. Must be called in a tokio runtime.
    ///
    /// `capabilities` are the model's, known without loading it; the number of streams is set here.
    pub fn start(config: HostConfig, capabilities: Capabilities) -> Self {
        let limit = config.limits.max_streams.get();
        let pool = Arc::new(Pool::new(limit));
        let kills = Arc::new(Kills::default());
        let host = Pid::default();
        let (orders, ordered) = mpsc::channel(limit);
        let (state, watched) = watch::channel(State::Starting);
        let (stop, stopped) = watch::channel(false);
        let supervisor = Supervisor {
            config: config.clone(),
            pool: pool.clone(),
            kills: kills.clone(),
            host: host.clone(),
            state,
            orders: ordered,
            stop: stopped,
        };
        // It ends when it is stopped, or when this engine and all its recognisers are gone.
        tokio::spawn(supervisor.run());
        let shared = Shared { config, pool, kills, host, orders, state: watched, stop, next: AtomicU64::new(1) };
        Self { capabilities: Capabilities { max_streams: Some(limit), ..capabilities }, shared: Arc::new(shared) }
    }

    /// Waits until the model is loaded.
    ///
    /// # Errors
    /// Why it is not: [`EngineError::Unavailable`] with the fix, mostly. The host is tried again all the same.
    pub async fn ready(&self) -> Result<(), EngineError> {
        self.shared.running().await
    }

    /// The pool now.
    pub fn stats(&self) -> PoolStats {
        self.shared.pool.stats()
    }

    /// The host's process, while it takes orders.
    pub fn host_pid(&self) -> Option<u32> {
        match *self.shared.state.borrow() {
            State::Ready { pid } => Some(pid),
            _ => None,
        }
    }

    /// Ends the host and every stream, and waits until they are gone. Recognisers that are still used get errors.
    pub async fn shutdown(&self) {
        self.shared.stop.send_replace(true);
        let mut state = self.shared.state.clone();
        // An error means that the supervisor is gone, and with it the host.
        let _closed = state.wait_for(|state| *state == State::Closed).await;
    }
}

impl StreamingEngine for HostedEngine {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn open(&self, options: StreamOptions) -> Result<Box<dyn Recognizer>, EngineError> {
        let Some(language) = self.capabilities.languages.resolve(&options.language) else {
            let Capabilities { engine_id, languages, .. } = &self.capabilities;
            return Err(EngineError::Rejected(format!(
                "{engine_id} does not know the language `{}` but {languages:?}",
                options.language
            )));
        };
        if options.text.as_ref().is_some_and(|text| text.len() > MAX_TEXT) {
            return Err(EngineError::Rejected(format!("a text to align has at most {MAX_TEXT} bytes")));
        }
        Ok(Box::new(HostedRecognizer::new(self.shared.clone(), StreamOptions { language, ..options })))
    }
}

impl Shared {
    /// Most samples of an utterance that are kept to be decoded again.
    pub fn replay_samples(&self) -> usize {
        (self.config.limits.replay_audio.as_secs_f64() * f64::from(SAMPLE_RATE)) as usize
    }

    /// A place in the pool, in turn.
    pub async fn slot(&self) -> Result<Slot, EngineError> {
        let (slot, waited) = self.pool.take(self.config.limits.wait).await?;
        if let Some(on_granted) = &self.config.on_granted {
            on_granted(waited);
        }
        Ok(slot)
    }

    /// A fresh stream. Waits for a host that is starting, not for one that cannot start.
    pub async fn fork(&self, options: &Arc<StreamOptions>, slot: &Slot) -> Result<Stream, EngineError> {
        let longest = self.config.limits.restart;
        timeout(longest, self.running()).await.map_err(|_elapsed| EngineError::Stalled(longest))??;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (stream, order) = Stream::ordered(id, options.clone(), slot.clone(), self.kills.clone(), self.host.clone())
            .map_err(|error| EngineError::Failed(format!("a stream's socket: {error}")))?;
        self.orders.send(order).await.map_err(|_closed| shut_down())?;
        Ok(stream)
    }

    async fn running(&self) -> Result<(), EngineError> {
        let mut state = self.state.clone();
        match state.wait_for(|state| *state != State::Starting).await.as_deref() {
            Ok(State::Down(error)) => Err(error.clone()),
            Ok(State::Ready { .. } | State::Starting) => Ok(()),
            Ok(State::Closed) | Err(_) => Err(shut_down()),
        }
    }
}

fn shut_down() -> EngineError {
    EngineError::Died("the engine is shut down".to_owned())
}
