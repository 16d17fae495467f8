//! One live session, from its first byte to its close.
//!
//! ```text
//! bytes ─ Intake ─ Ear (frames, VAD, endpointing) ─▶ queue ─▶ Inference ─▶ outcomes ─▶ client
//!         └──── this task, never waits for an engine ────┘    └─ own task ─┘
//! ```
//!
//! The session takes the client's messages in order and one step at a time. It takes nothing more while a recogniser's queue
//! is full, so the link fills, the gateway stops reading, and TCP slows the client. It ends in exactly one way ([`End`]), and
//! unless the client is at fault or the engine hangs, everything received before is answered first.

mod audio;
mod ending;
mod report;
mod settled;

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use dalston_audio::{AudioTime, Encoding, Format, Intake};
use dalston_engine_sdk::{Caller, StreamOptions, StreamingEngine};
use dalston_protocol::{
    ApiError, Close, ErrorCode,
    realtime::{ClientMessage, ConfigUpdate, ServerMessage, SessionInfo, SessionTranscript},
};
use dalston_session_router::link::{Continuation, Departure, FromWorker, SessionOffer, ToWorker};
use dalston_store::{Incarnation, Recording, RecordingStart};
use dalston_telemetry::{SessionStart, SessionTrace};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

pub(crate) use self::ending::End;
use self::{audio::Pending, report::Told, settled::Settled};
use crate::{
    RealtimeConfig, Shared,
    backlog::Backlog,
    ear::{Ear, Recognition},
    inference::{Outcome, Pace},
    lag::{LagBudget, Verdict},
};

/// Outcomes under way from the recognisers. When full, they wait: the client is not reading.
const OUTCOMES: usize = 16;
/// How often the lag is looked at while a recogniser is behind and nothing else happens.
const LAG_TICK: Duration = Duration::from_millis(250);
/// A client whose audio waits for its turn at the engine is told every so often. Less than the gateway bears a silent worker.
const WAIT_TOLD: Duration = Duration::from_secs(10);

/// One session of a worker.
pub(crate) struct Session {
    shared: Arc<Shared>,
    offer: SessionOffer,
    /// Where on the session's clock the first audio stands that this worker hears.
    origin: AudioTime,
    /// Its gateway has said something, so it knows that the session is here.
    is_addressed: bool,
    intake: Intake,
    ears: Vec<Ear>,
    recognition: Recognition,
    /// A message of audio that is not heard to its end yet.
    pending: Option<Pending>,
    utterances: u64,
    lag: LagBudget,
    /// Since when a recogniser waits for its turn at the engine, or when the client was last told.
    waiting: Option<Instant>,
    trace: SessionTrace,
    transcript: SessionTranscript,
    told: Told,
    settled: Settled,
    /// Boxed: most sessions are not kept.
    recording: Option<Box<Recording>>,
    client: mpsc::Sender<FromWorker>,
}

/// When the worker goes down.
#[derive(Clone)]
pub(crate) struct Notice {
    /// Soon: the session may go on elsewhere.
    pub(crate) leaving: CancellationToken,
    /// Now: what was received is answered, and no more is taken.
    pub(crate) drain: CancellationToken,
}

/// What a session is served with.
pub(crate) struct Service {
    pub(crate) engine: Arc<dyn StreamingEngine>,
    /// The language, resolved.
    pub(crate) language: String,
}

impl Session {
    /// # Errors
    /// Names the parameter that cannot be served.
    pub(crate) fn new(
        shared: Arc<Shared>,
        mut offer: SessionOffer,
        service: Service,
        client: mpsc::Sender<FromWorker>,
    ) -> Result<(Box<Self>, mpsc::Receiver<Box<Outcome>>), ApiError> {
        let continues = offer.continues.take().map(|continues| *continues);
        let asked = &offer.config;
        let settings = &shared.config;
        let encoding: Encoding = asked.encoding.parse().map_err(|e| ApiError::param("encoding", format!("{e}")))?;
        let format = Format::new(encoding, asked.sample_rate, asked.channels.into())
            .map_err(|e| ApiError::param("sample_rate", format!("{e}")))?;
        let ear = |channel| {
            let ear = Ear::new(channel, asked.endpointing, asked.enable_vad, settings.vad);
            match &continues {
                Some(continues) => ear.continuing(continues),
                None => ear,
            }
        };
        let ears = (0..asked.channels).map(ear).collect();
        let (outcomes, results) = mpsc::channel(OUTCOMES);
        let trace = begin_trace(&shared, &offer, &service);
        let recording = shared
            .archive
            .as_ref()
            .and_then(|archive| archive.record(recording_start(&offer, &service, continues.as_ref())));
        let recognition = Recognition {
            options: StreamOptions {
                language: service.language,
                profile: settings.profile,
                vocabulary: asked.vocabulary.clone(),
                text: None,
                translate: false,
                caller: Caller { traceparent: trace.traceparent(), request_id: offer.request_id.to_string() },
            },
            pace: pace(settings, asked.interim_results),
            backlog: Backlog::default(),
            outcomes,
            engine: service.engine,
        };
        let mut lag = LagBudget::new(settings.lag);
        if let Some(continues) = &continues {
            lag.catch_up(continues.replayed);
        }
        let mut told = Told::new(asked.channels);
        let (mut settled, mut utterances, mut origin) = (Settled::default(), 0, AudioTime::ZERO);
        let mut transcript = SessionTranscript::default();
        if let Some(continues) = continues {
            told.continues(&continues);
            settled = Settled::continuing(&continues);
            (utterances, origin) = (continues.utterances, AudioTime::from_millis(continues.from * 1_000));
            transcript = continues.said;
        }
        let session = Self {
            intake: Intake::new(format),
            ears,
            recognition,
            pending: None,
            utterances,
            lag,
            waiting: None,
            trace,
            transcript,
            told,
            settled,
            recording: recording.map(Box::new),
            client,
            shared,
            offer,
            origin,
            is_addressed: false,
        };
        Ok((Box::new(session), results))
    }

    /// Serves the session to its end. The last thing it sends is the close.
    ///
    /// Boxed: each of the futures that it moves through would otherwise have room for all of it.
    pub(crate) async fn run(
        self: Box<Self>,
        from_client: mpsc::Receiver<ToWorker>,
        outcomes: mpsc::Receiver<Box<Outcome>>,
        notice: Notice,
    ) -> Close {
        let SessionOffer { request_id, session_id, .. } = &self.offer;
        let scope = dalston_telemetry::scope(request_id.as_str(), Some(session_id.as_str()));
        self.trace.log_ids().around(self.serve(from_client, outcomes, notice)).instrument(scope).await
    }

    async fn serve(
        mut self: Box<Self>,
        mut from_client: mpsc::Receiver<ToWorker>,
        mut outcomes: mpsc::Receiver<Box<Outcome>>,
        notice: Notice,
    ) -> Close {
        let end = match self.begin().await {
            Ok(()) => self.listen(&mut from_client, &mut outcomes, &notice).await,
            Err(end) => end,
        };
        // Whatever the gateway still sends has nobody to hear it.
        drop(from_client);
        // Most of the time a session has not ended, and needs no room for that.
        Box::pin(self.end(end, outcomes, &notice.drain)).await
    }

    async fn begin(&mut self) -> Result<(), End> {
        let Recognition { engine, options, .. } = &self.recognition;
        let SessionOffer { session_id, request_id, config, .. } = &self.offer;
        let begin = ServerMessage::SessionBegin {
            session_id: session_id.clone(),
            request_id: request_id.clone(),
            trace_id: self.trace.trace_id(),
            config: SessionInfo {
                sample_rate: config.sample_rate,
                encoding: config.encoding.clone(),
                channels: config.channels,
                language: options.language.clone(),
                model: engine.capabilities().full_name(),
            },
            resume: None,
            resumed: None,
        };
        self.tell(begin).await
    }

    /// Everything between `session.begin` and the reason to end.
    async fn listen(
        &mut self,
        from_client: &mut mpsc::Receiver<ToWorker>,
        outcomes: &mut mpsc::Receiver<Box<Outcome>>,
        notice: &Notice,
    ) -> End {
        // All sessions of a worker wait for the same two words: in line once each, and not anew with every step.
        let mut leaving = pin!(notice.leaving.cancelled());
        let mut drain = pin!(notice.drain.cancelled());
        // Set when the worker drains: what the link still holds was received, so it is heard before the end.
        let mut is_draining = false;
        let mut is_leaving = false;
        loop {
            let step = tokio::select! {
                // Outcomes first: a client that floods must not starve its own transcripts.
                biased;
                Some(outcome) = outcomes.recv() => self.report(*outcome).await,
                () = &mut leaving, if !is_leaving => {
                    is_leaving = true;
                    self.send(FromWorker::Leaving).await
                }
                () = &mut drain, if !is_draining => {
                    is_draining = true;
                    from_client.close();
                    Ok(())
                }
                () = self.recognition.backlog.shrunk(), if !self.has_room() => Ok(()),
                () = tokio::time::sleep(LAG_TICK), if self.is_behind() => self.watch().await,
                message = from_client.recv(), if self.pending.is_none() && self.has_room() => match message {
                    Some(message) => self.take(message).await,
                    None if is_draining => Err(End::Drained),
                    None => Err(End::Gone(Departure::VANISHED)),
                },
                () = std::future::ready(()), if self.pending.is_some() && self.has_room() => self.hear_more().await,
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// Whether the next step can be taken without waiting for a recogniser.
    fn has_room(&self) -> bool {
        self.recognition.backlog.has_room() && self.ears.iter().all(Ear::has_room)
    }

    fn is_behind(&self) -> bool {
        self.pending.is_some() || self.recognition.backlog.audio().samples() > 0
    }

    async fn take(&mut self, message: ToWorker) -> Result<(), End> {
        self.is_addressed = true;
        match message {
            ToWorker::Audio(bytes) => {
                if let Some(recording) = &self.recording {
                    recording.audio(&bytes);
                }
                self.pending = Some(Pending::new(bytes));
                self.hear_more().await
            }
            ToWorker::Message(message) => self.obey(*message).await,
            ToWorker::Close(close) => Err(End::Asked(*close)),
            ToWorker::Gone(how) => Err(End::Gone(how)),
        }
    }

    async fn obey(&mut self, message: ClientMessage) -> Result<(), End> {
        match message {
            ClientMessage::Config(update) => self.configure(&update).await,
            ClientMessage::Flush { id } => self.flush(id).await,
            ClientMessage::Clear => {
                let Self { ears, recognition, .. } = self;
                ears.iter_mut().for_each(|ear| ear.clear(recognition));
                Ok(())
            }
            ClientMessage::Keepalive => Ok(()),
            ClientMessage::End => Err(End::Requested),
        }
    }

    /// Other settings from here on. A language that the model does not have keeps the old one.
    async fn configure(&mut self, update: &ConfigUpdate) -> Result<(), End> {
        let rules = self.offer.config.endpointing.updated(update).map_err(End::BadRequest)?;
        let language = update.language().map_err(End::BadRequest)?;
        self.offer.config.endpointing = rules;
        self.ears.iter_mut().for_each(|ear| ear.set_rules(rules));
        if let Some(wanted) = update.interim_results {
            self.recognition.pace = pace(&self.shared.config, wanted);
        }
        let refused = language.and_then(|wanted| self.set_language(wanted).err());
        self.ears.iter().for_each(|ear| ear.set_recognition(&self.recognition));
        match refused {
            Some(error) => self.tell(ServerMessage::error(&error, true)).await,
            None => Ok(()),
        }
    }

    fn set_language(&mut self, wanted: &str) -> Result<(), ApiError> {
        let languages = &self.recognition.engine.capabilities().languages;
        let Some(language) = languages.resolve(wanted) else {
            let name = self.recognition.engine.capabilities().full_name();
            let message =
                format!("language={wanted:?} is not one of {name}; {} stays", self.recognition.options.language);
            return Err(ApiError {
                param: Some("language".into()),
                ..ApiError::new(ErrorCode::LanguageNotSupported, message)
            });
        };
        self.recognition.options.language = language;
        Ok(())
    }

    /// Looks after a session in which nothing moves.
    async fn watch(&mut self) -> Result<(), End> {
        self.give_way().await?;
        self.watch_wait().await?;
        self.watch_lag().await
    }

    /// Tells a client that is held back, now and then, that its audio waits for its turn and is not lost.
    async fn watch_wait(&mut self) -> Result<(), End> {
        if !self.recognition.backlog.is_waiting() {
            self.waiting = None;
            return Ok(());
        }
        let now = Instant::now();
        if now.saturating_duration_since(*self.waiting.get_or_insert(now)) < WAIT_TOLD {
            return Ok(());
        }
        self.waiting = Some(now);
        self.warn_of_wait().await
    }

    async fn watch_lag(&mut self) -> Result<(), End> {
        let received = self.intake.received().duration();
        let backlog = &self.recognition.backlog;
        let processed = received.saturating_sub(backlog.audio().duration());
        match self.lag.observe(Instant::now(), received, processed, backlog.is_waiting()) {
            Verdict::Fine => Ok(()),
            Verdict::Warn(lag) => self.warn_of_lag(lag).await,
            Verdict::Exceeded(lag) => Err(End::LagExceeded(lag)),
        }
    }
}

fn pace(settings: &RealtimeConfig, interim_results: bool) -> Pace {
    let partial_every = interim_results.then_some(settings.partial_interval);
    Pace {
        partial_every: partial_every.map(|every| dalston_audio::AudioTime::from_millis(every.as_millis() as u64)),
        deadline: settings.engine_deadline,
    }
}

/// The transcript of a session that another worker had is whole. Its audio would begin in the middle, and is not kept at all.
fn recording_start(offer: &SessionOffer, service: &Service, continues: Option<&Continuation>) -> RecordingStart {
    let mut config = offer.config.clone();
    config.store_audio &= continues.is_none();
    let lasted = continues.map_or(Duration::ZERO, |continues| continues.lasted);
    RecordingStart {
        session_id: offer.session_id.clone(),
        request_id: offer.request_id.clone(),
        tenant: offer.tenant.clone(),
        config,
        language: service.language.clone(),
        model: service.engine.capabilities().full_name(),
        started_at: SystemTime::now() - lasted,
        incarnation: continues.map_or(Incarnation::FIRST, incarnation_of),
    }
}

fn incarnation_of(continues: &Continuation) -> Incarnation {
    Incarnation { epoch: continues.epoch, moves: continues.moves }
}

fn begin_trace(shared: &Shared, offer: &SessionOffer, service: &Service) -> SessionTrace {
    let capabilities = service.engine.capabilities();
    let start = SessionStart {
        session_id: offer.session_id.as_str(),
        request_id: offer.request_id.as_str(),
        worker_id: shared.worker_id.as_str(),
        engine_id: &capabilities.engine_id,
        model: &capabilities.model,
        language: &service.language,
        encoding: &offer.config.encoding,
        sample_rate: offer.config.sample_rate,
        channels: offer.config.channels,
    };
    SessionTrace::begin(&shared.tracers, &offer.trace, &start)
}
