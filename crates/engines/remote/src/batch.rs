//! Whole files.

use std::time::Duration;

use dalston_engine_sdk::{
    Caller,
    batch::{Engine, EngineInfo, Stage, TaskContext, TaskError, TaskInput, TaskOutput, Transcribed},
};
use dalston_telemetry::Component;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::{
    ENGINE_ID, Remote,
    error::CallError,
    recording::{RATE, Recording},
    reply::Reply,
    server::Question,
};

/// How often a task looks at whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);
/// How often a part is sent, so that a short weakness of the server does not cost the parts before it. Then the whole task fails,
/// which is tried again later.
const TRIES: u32 = 3;
/// Longest time between two tries. A server that wants more is left to the task's own retries.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Engine for Remote {
    fn info(&self) -> EngineInfo {
        let concurrency = self.capabilities.max_streams.map_or(1, |requests| (requests / 2).max(1));
        let info = EngineInfo::new(ENGINE_ID, Stage::TRANSCRIBE);
        EngineInfo { concurrency, capabilities: Some(self.capabilities.clone()), ..info }
    }

    fn process(&self, input: &TaskInput, ctx: &dyn TaskContext) -> Result<TaskOutput, TaskError> {
        let wanted = async {
            let mut looks = interval(LOOK);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while !ctx.is_cancelled() {
                looks.tick().await;
            }
        };
        let transcribed = self.runtime.block_on(async {
            tokio::select! {
                biased;
                // Ending here drops the request, which closes its connection.
                () = wanted => Err(TaskError::Cancelled),
                transcribed = Box::pin(self.transcribe(input, ctx)) => transcribed,
            }
        })?;
        TaskOutput::of(&transcribed)
    }
}

impl Remote {
    async fn transcribe(&self, input: &TaskInput, ctx: &dyn TaskContext) -> Result<Transcribed, TaskError> {
        let question = self.question(input, ctx)?;
        let mut recording = Recording::open(input.audio()?)?;
        let mut language = None;
        let mut segments = Vec::new();
        let mut from = 0;
        while let Some(samples) = recording.part(from, self.server.longest())? {
            let count = samples.len();
            let reply = match self.heard(&question, samples, ctx).await {
                // From now on the parts are shorter, this one too.
                Err(CallError::TextAlone) => continue,
                reply => reply?,
            };
            language = language.or_else(|| reply.language());
            segments.extend(reply.spoken(seconds(from), seconds(count)));
            from += count;
            ctx.progress(from as f64 / recording.length() as f64);
        }
        let language = match question {
            Question { translate: true, .. } => "en".to_owned(),
            Question { language: asked, .. } if asked != "auto" => asked,
            // What nobody tells is undetermined.
            _ => language.unwrap_or_else(|| "und".to_owned()),
        };
        Ok(Transcribed { language, model: self.capabilities.full_name(), segments })
    }

    fn question(&self, input: &TaskInput, ctx: &dyn TaskContext) -> Result<Question, TaskError> {
        let parameters = &input.parameters;
        let (wanted, name) = (&parameters.language, self.capabilities.full_name());
        let language = self.capabilities.languages.resolve(wanted).ok_or_else(|| {
            let languages = &self.capabilities.languages;
            TaskError::rejected("unsupported_language", format!("{name} does not know `{wanted}` but {languages:?}"))
        })?;
        Ok(Question {
            language,
            vocabulary: parameters.vocabulary.clone(),
            translate: parameters.translate,
            caller: Caller { traceparent: ctx.traceparent(), request_id: ctx.request_id().to_owned() },
            component: Component::EngineTranscribe,
        })
    }

    /// Sends a part until it is answered, as often as may be.
    async fn heard(&self, question: &Question, samples: Vec<i16>, ctx: &dyn TaskContext) -> Result<Reply, CallError> {
        for tried in 1..TRIES {
            let error = match self.server.ask(question, samples.clone(), ctx.time_left()).await {
                Err(error @ CallError::Passing { .. }) => error,
                ended => return ended,
            };
            let pause = pause(&error, tried);
            if pause > LONGEST_PAUSE || pause > ctx.time_left() {
                return Err(error);
            }
            sleep(pause).await;
        }
        self.server.ask(question, samples, ctx.time_left()).await
    }
}

/// As long as the server asks for, or else a second, then two; a little more each time, so that many who were sent away together
/// do not come back together.
fn pause(error: &CallError, tried: u32) -> Duration {
    let asked = if let CallError::Passing { after, .. } = error { *after } else { None };
    asked.unwrap_or(Duration::from_secs(1) * tried).mul_f64(rand::random_range(1.0..1.25))
}

fn seconds(samples: usize) -> f64 {
    samples as f64 / f64::from(RATE)
}
