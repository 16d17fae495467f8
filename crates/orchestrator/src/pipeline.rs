//! What a job goes through: which stages, in which order, done by whom. Pure: the same job gives the same graph.

use std::{sync::Arc, time::Duration};

use dalston_engine_sdk::batch::{EngineInfo, Prepared, Stage};
use dalston_protocol::job::{Granularity, JobError, JobParameters, SpeakerDetection};

/// The engines there are, and how long they may take.
#[derive(Debug, Clone)]
pub struct Pipeline {
    engines: Arc<[EngineInfo]>,
    patience: Patience,
}

/// How long tasks may take, and how often they are tried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Patience {
    /// What every task has: two minutes.
    pub least: Duration,
    /// Seconds of work allowed for a second of audio: 20. The slowest engine there is was seen to take four, on a machine that had
    /// other work; an attempt beyond this hangs rather than works, and is tried again.
    pub per_audio_second: f64,
    /// For the stage that does not know the length yet: half an hour.
    pub prepare: Duration,
    /// Failures after which a task is given up: 3.
    pub attempts: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            least: Duration::from_secs(120),
            per_audio_second: 20.0,
            prepare: Duration::from_secs(1800),
            attempts: 3,
        }
    }
}

/// A task of a job's graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its place: the stage, and the channel if there are several. Unique within the job.
    pub name: String,
    /// What is done.
    pub stage: Stage,
    /// By whom.
    pub engine_id: String,
    /// For which channel.
    pub channel: Option<u8>,
    /// Nodes whose output it needs.
    pub depends_on: Vec<String>,
    /// How long it may take once it runs.
    pub deadline: Duration,
    /// Failures after which it is given up.
    pub max_attempts: u32,
}

/// A job's graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Each after those that it depends on.
    pub nodes: Vec<Node>,
    /// Whether these are all. Not, while the number of channels is not known.
    pub is_whole: bool,
}

impl Pipeline {
    /// Of these engines. The first that fits is taken.
    pub fn new(engines: impl Into<Arc<[EngineInfo]>>) -> Self {
        Self { engines: engines.into(), patience: Patience::default() }
    }

    /// With other limits.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// All engines.
    pub fn engines(&self) -> &[EngineInfo] {
        &self.engines
    }

    /// The engine that would transcribe this.
    ///
    /// # Errors
    /// `model_not_found`, `translation_not_supported` or `language_not_supported`.
    pub fn transcriber(&self, parameters: &JobParameters) -> Result<&EngineInfo, JobError> {
        let model = parameters.model.as_deref();
        let named: Vec<&EngineInfo> =
            self.of_stage(&Stage::TRANSCRIBE).filter(|engine| engine.answers_to(model)).collect();
        if named.is_empty() {
            let model = model.unwrap_or("any");
            return Err(error("model_not_found", format!("no engine has the model `{model}`"), &Stage::TRANSCRIBE));
        }
        let able: Vec<&EngineInfo> =
            named.into_iter().filter(|engine| !parameters.translate || engine.translates()).collect();
        if able.is_empty() {
            let message = "no engine for this model translates into English".into();
            return Err(error("translation_not_supported", message, &Stage::TRANSCRIBE));
        }
        able.into_iter().find(|engine| engine.speaks(&parameters.language)).ok_or_else(|| {
            let message = format!("no engine for this model has the language `{}`", parameters.language);
            error("language_not_supported", message, &Stage::TRANSCRIBE)
        })
    }

    /// What a job with these parameters goes through, as far as it can be known.
    ///
    /// # Errors
    /// When there is no engine for a stage that it needs.
    pub fn plan(&self, parameters: &JobParameters, prepared: Option<&Prepared>) -> Result<Plan, JobError> {
        let prepare = Node { deadline: self.patience.prepare, ..self.node(Stage::PREPARE, None, &[], prepared)? };
        let by_channel = parameters.speaker_detection == SpeakerDetection::PerChannel;
        let channels: Vec<Option<u8>> = match prepared {
            Some(prepared) if by_channel => (0..prepared.channels).map(Some).collect(),
            None if by_channel => return Ok(Plan { nodes: vec![prepare], is_whole: false }),
            _ => vec![None],
        };
        let transcriber = self.transcriber(parameters)?;
        let has_words = transcriber.capabilities.as_ref().is_some_and(|it| it.word_timestamps);
        // Speakers change between words, so who looks for them needs the words' times.
        let wants_words = parameters.timestamps_granularity == Granularity::Word
            || parameters.speaker_detection == SpeakerDetection::Diarize;
        let aligner = self.of_stage(&Stage::ALIGN).find(|engine| engine.speaks(&parameters.language));
        // A translation is not what was said, so there is nothing to align it with.
        let aligner = aligner.filter(|_| wants_words && !has_words && !parameters.translate);

        let mut nodes = vec![prepare];
        for channel in channels {
            let engine_id = transcriber.engine_id.clone();
            let transcribe = self.node(Stage::TRANSCRIBE, channel, &[Stage::PREPARE.node(None)], prepared)?;
            nodes.push(Node { engine_id, ..transcribe });
            if let Some(aligner) = aligner {
                let needs = [Stage::PREPARE.node(None), Stage::TRANSCRIBE.node(channel)];
                let align = self.node(Stage::ALIGN, channel, &needs, prepared)?;
                nodes.push(Node { engine_id: aligner.engine_id.clone(), ..align });
            }
        }
        if parameters.speaker_detection == SpeakerDetection::Diarize {
            nodes.push(self.node(Stage::DIARIZE, None, &[Stage::PREPARE.node(None)], prepared)?);
        }
        Ok(Plan { nodes, is_whole: true })
    }

    fn of_stage(&self, stage: &Stage) -> impl Iterator<Item = &EngineInfo> + use<'_> {
        let stage = stage.clone();
        self.engines.iter().filter(move |engine| engine.stage == stage)
    }

    fn node(
        &self,
        stage: Stage,
        channel: Option<u8>,
        depends_on: &[String],
        prepared: Option<&Prepared>,
    ) -> Result<Node, JobError> {
        let Some(engine) = self.of_stage(&stage).next() else {
            return Err(error("no_engine", format!("no engine does the stage `{stage}`"), &stage));
        };
        // Planned again when the length is known; what is not begun by then takes the deadline it has.
        let work = prepared.map_or(0.0, |prepared| prepared.duration * self.patience.per_audio_second);
        let deadline = self.patience.least + Duration::try_from_secs_f64(work).unwrap_or(Duration::MAX / 2);
        Ok(Node {
            name: stage.node(channel),
            engine_id: engine.engine_id.clone(),
            stage,
            channel,
            depends_on: depends_on.to_vec(),
            deadline,
            max_attempts: self.patience.attempts,
        })
    }
}

fn error(code: &str, message: String, stage: &Stage) -> JobError {
    JobError { code: code.into(), message, stage: Some(stage.to_string()) }
}
