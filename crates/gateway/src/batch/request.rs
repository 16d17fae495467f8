//! What a request asks for, out of the fields of its form. Pure.

use dalston_engine_sdk::batch::{EngineInfo, Stage};
use dalston_protocol::{
    ApiError, ErrorCode,
    job::{Granularity, JobParameters, MAX_VOCABULARY_TERM, MAX_VOCABULARY_TERMS, SpeakerDetection},
    realtime::Retention,
};

use super::{
    JobSettings,
    fields::{FIELDS, Field, Kind, OF_TRANSLATIONS, may_repeat},
    openai::{OpenAi, ResponseFormat},
};

/// Most characters of a name.
const MAX_NAME: usize = 255;

/// What a route is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Transcription,
    /// The text is to be English. Asked for in OpenAI's way alone.
    Translation,
}

/// A request whose fields are still coming in.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    purpose: Purpose,
    settings: &'a JobSettings,
    engines: &'a [EngineInfo],
    seen: Vec<&'static str>,
    asked: Asked,
    alias: Option<String>,
    by_sdk: bool,
    format: Option<ResponseFormat>,
    granularities: Vec<Granularity>,
}

/// What was asked for, once all of it is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    pub(crate) parameters: JobParameters,
    pub(crate) name: Option<String>,
    /// Where the audio is, if it does not come with the form.
    pub(crate) audio_url: Option<String>,
    pub(crate) wait: bool,
    /// The answer is to be in OpenAI's way.
    pub(crate) openai: Option<OpenAi>,
}

impl<'a> Request<'a> {
    pub(crate) fn new(settings: &'a JobSettings, engines: &'a [EngineInfo], purpose: Purpose) -> Self {
        let mut asked = Asked::default();
        asked.parameters.translate = purpose == Purpose::Translation;
        Self {
            purpose,
            settings,
            engines,
            seen: Vec::new(),
            asked,
            alias: None,
            by_sdk: false,
            format: None,
            granularities: Vec::new(),
        }
    }

    /// Nothing can be said of models and languages before the first engine has told of itself, which takes a moment where engines
    /// are processes of their own.
    ///
    /// # Errors
    /// There is none that transcribes.
    pub(crate) fn expect_engines(&self) -> Result<(), ApiError> {
        if transcribers(self.engines).next().is_some() {
            return Ok(());
        }
        let message = "no engine that transcribes files is running; try again soon, or start one";
        Err(ApiError::new(ErrorCode::NoCapacity, message).retry_after(2.0))
    }

    /// It is OpenAI's own client that asks, which reads nothing but OpenAI's answers.
    pub(crate) fn comes_from_openais_sdk(&mut self) {
        self.by_sdk = true;
    }

    /// Whether what was said so far asks for OpenAI's way.
    pub(crate) fn is_openai(&self) -> bool {
        self.purpose == Purpose::Translation || self.by_sdk || self.alias.is_some() || self.format.is_some()
    }

    /// Where the audio is, if the form says so.
    pub(crate) fn audio_url(&self) -> Option<&str> {
        self.asked.audio_url.as_deref()
    }

    /// A field has begun.
    ///
    /// # Errors
    /// Nobody reads it, or it is there for the second time.
    pub(crate) fn begin(&mut self, name: &str) -> Result<&'static Field, ApiError> {
        let is_here = |field: &Field| self.purpose == Purpose::Transcription || OF_TRANSLATIONS.contains(&field.name);
        let here = || FIELDS.iter().filter(|field| is_here(field));
        let Some(field) = here().find(|field| field.name == name) else {
            let known = here().map(|field| field.name).collect::<Vec<_>>().join(", ");
            let shown = shown(name);
            return Err(ApiError::param(shown.clone(), format!("there is no field {shown}; there are {known}")));
        };
        if self.seen.contains(&field.name) && !may_repeat(field.name) {
            return Err(ApiError::param(field.name, format!("{} is given twice; give it once", field.name)));
        }
        self.seen.push(field.name);
        if SOURCES.iter().all(|source| self.seen.contains(source)) {
            return Err(ApiError::param("audio_url", "give the audio as `file` or as `audio_url`, not both"));
        }
        Ok(field)
    }

    /// The value of a field that has begun.
    ///
    /// # Errors
    /// Names the field, its value and what is allowed.
    pub(crate) fn set(&mut self, field: &Field, value: &str) -> Result<(), ApiError> {
        let name = field.name;
        check(field, value)?;
        let parameters = &mut self.asked.parameters;
        match name {
            "model" => self.set_model(value)?,
            "language" => parameters.language = language(value)?,
            "vocabulary" => parameters.vocabulary = vocabulary(value)?,
            "timestamps_granularity" => parameters.timestamps_granularity = granularity(value),
            "speaker_detection" => parameters.speaker_detection = speakers(value),
            "num_speakers" => parameters.num_speakers = value.parse().ok(),
            "retention" => parameters.retention = retention(value)?,
            "name" => self.asked.name = Some(job_name(value)?),
            "wait" => self.asked.wait = is_true(value),
            "response_format" => self.format = Some(value.parse()?),
            "prompt" => parameters.vocabulary = terms(value),
            "timestamp_granularities[]" => self.granularities.push(granularity(value)),
            "stream" if is_true(value) => {
                return Err(ApiError::param(name, "streamed answers are not built; leave stream away or say false"));
            }
            "include[]" if !value.is_empty() => {
                let message = format!("{} is not given here; leave include[] away", shown(value));
                return Err(ApiError::param(name, message));
            }
            "audio_url" => self.asked.audio_url = Some(value.to_owned()),
            _ => {}
        }
        Ok(())
    }

    fn set_model(&mut self, value: &str) -> Result<(), ApiError> {
        let meant = self.settings.alias(value);
        if meant.is_some() {
            self.alias = Some(value.to_owned());
        }
        let model = meant.unwrap_or(Some(value).filter(|value| !value.is_empty()));
        self.asked.parameters.model = model.map(str::to_owned);
        if self.transcribers().next().is_some() {
            return Ok(());
        }
        if self.asked.parameters.translate {
            return self.check_translation();
        }
        let message =
            format!("no engine here answers to the model {}; there are {}", shown(value), self.names(|_| true));
        Err(no_model(message))
    }

    /// Engines, by the names that `model` may be.
    fn names(&self, are_meant: impl Fn(&EngineInfo) -> bool) -> String {
        let meant = transcribers(self.engines).filter(|engine| are_meant(engine));
        meant.map(|engine| engine.engine_id.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Whether whoever is to translate can.
    fn check_translation(&self) -> Result<(), ApiError> {
        if !self.asked.parameters.translate || self.transcribers().next().is_some() {
            return Ok(());
        }
        let able = self.names(EngineInfo::translates);
        Err(no_model(match (self.asked.parameters.model.as_deref(), able.as_str()) {
            (_, "") => "no engine here translates; /v1/engines tells what each can".to_owned(),
            (Some(model), able) => format!("the model {} does not translate here; these do: {able}", shown(model)),
            (None, able) => format!("these engines translate: {able}"),
        }))
    }

    /// Engines that would do.
    fn transcribers(&self) -> impl Iterator<Item = &'a EngineInfo> {
        let model = self.asked.parameters.model.clone();
        let must_translate = self.asked.parameters.translate;
        transcribers(self.engines)
            .filter(move |engine| engine.answers_to(model.as_deref()) && (!must_translate || engine.translates()))
    }

    /// All fields have come.
    ///
    /// # Errors
    /// Fields that do not go together.
    pub(crate) fn finish(&mut self) -> Result<Asked, ApiError> {
        self.check_translation()?;
        self.check_language()?;
        self.check_speakers()?;
        if self.is_openai() {
            self.finish_openai()?;
        } else if let Some(name) = self.seen.iter().find(|name| OPENAI_ONLY.contains(name)) {
            let message = format!("{name} is read only with response_format or one of OpenAI's model names");
            return Err(ApiError::param(*name, message));
        }
        Ok(self.asked.clone())
    }

    fn check_language(&self) -> Result<(), ApiError> {
        let language = &self.asked.parameters.language;
        if self.transcribers().any(|engine| engine.speaks(language)) {
            return Ok(());
        }
        let message = format!("no model here recognises {}; /v1/engines lists the languages", shown(language));
        Err(ApiError { param: Some("language".into()), ..ApiError::new(ErrorCode::LanguageNotSupported, message) })
    }

    fn check_speakers(&self) -> Result<(), ApiError> {
        let parameters = &self.asked.parameters;
        let can_diarize = self.engines.iter().any(|engine| engine.stage == Stage::DIARIZE);
        if parameters.speaker_detection == SpeakerDetection::Diarize && !can_diarize {
            let message = "no engine here tells voices apart; use per_channel or none";
            return Err(ApiError::param("speaker_detection", message));
        }
        if parameters.num_speakers.is_some() && parameters.speaker_detection != SpeakerDetection::Diarize {
            return Err(ApiError::param("num_speakers", "num_speakers is read only with speaker_detection=diarize"));
        }
        Ok(())
    }

    fn finish_openai(&mut self) -> Result<(), ApiError> {
        let format = self.format.unwrap_or_default();
        if !self.granularities.is_empty() && format != ResponseFormat::VerboseJson {
            let message = "timestamp_granularities[] is read only with response_format=verbose_json";
            return Err(ApiError::param("timestamp_granularities[]", message));
        }
        let words = self.granularities.contains(&Granularity::Word);
        let segments = self.granularities.is_empty() || self.granularities.contains(&Granularity::Segment);
        if words {
            self.asked.parameters.timestamps_granularity = Granularity::Word;
        }
        if !self.seen.contains(&"retention") {
            // The answer is all that these clients ever ask for.
            self.asked.parameters.retention = Retention::None;
        }
        self.asked.openai = Some(OpenAi { format, words, segments, translated: self.purpose == Purpose::Translation });
        Ok(())
    }
}

/// Where audio comes from: one of them.
const SOURCES: [&str; 2] = ["file", "audio_url"];

/// Fields without a meaning in the native way.
const OPENAI_ONLY: [&str; 6] =
    ["prompt", "temperature", "timestamp_granularities[]", "stream", "include[]", "chunking_strategy"];

fn transcribers(engines: &[EngineInfo]) -> impl Iterator<Item = &EngineInfo> {
    engines.iter().filter(|engine| engine.stage == Stage::TRANSCRIBE)
}

fn no_model(message: String) -> ApiError {
    ApiError { param: Some("model".into()), ..ApiError::new(ErrorCode::ModelNotFound, message) }
}

/// Whether the value has the form that the table says.
fn check(field: &Field, value: &str) -> Result<(), ApiError> {
    let name = field.name;
    let wrong = |allowed: String| Err(ApiError::param(name, format!("{name}={} is not {allowed}", shown(value))));
    match field.kind {
        Kind::OneOf(allowed) if !allowed.contains(&value) => wrong(format!("one of {}", allowed.join(", "))),
        Kind::Bool if !is_true(value) && !is_false(value) => wrong("true or false".into()),
        Kind::Integer(least, most) => match value.parse::<i32>() {
            Ok(number) if (least..=most).contains(&number) => Ok(()),
            _ => wrong(format!("a whole number from {least} to {most}")),
        },
        Kind::Number => match value.parse::<f64>() {
            Ok(number) if (0.0..=1.0).contains(&number) => Ok(()),
            _ => wrong("a number from 0 to 1".into()),
        },
        _ => Ok(()),
    }
}

fn retention(value: &str) -> Result<Retention, ApiError> {
    let days: i32 = value.parse().map_err(|_| ApiError::param("retention", "retention is a number of days"))?;
    Retention::try_from(days).map_err(|message| ApiError::param("retention", message))
}

/// `true` and `false` in any case, as some clients' languages print them.
fn is_true(value: &str) -> bool {
    value.eq_ignore_ascii_case("true") || value == "1"
}

fn is_false(value: &str) -> bool {
    value.eq_ignore_ascii_case("false") || value == "0"
}

fn language(value: &str) -> Result<String, ApiError> {
    let is_code = (1..=35).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let message = || format!("language={} is not a code such as en or en-US, nor auto", shown(value));
    is_code.then(|| value.to_owned()).ok_or_else(|| ApiError::param("language", message()))
}

fn vocabulary(value: &str) -> Result<Vec<String>, ApiError> {
    let wrong = |message: String| ApiError::param("vocabulary", message);
    let terms: Vec<String> = serde_json::from_str(value)
        .map_err(|error| wrong(format!("vocabulary is not a JSON array of strings such as [\"Dalston\"]: {error}")))?;
    if terms.len() > MAX_VOCABULARY_TERMS {
        return Err(wrong(format!("vocabulary has {} terms; at most {MAX_VOCABULARY_TERMS} are allowed", terms.len())));
    }
    if let Some(term) = terms.iter().find(|term| term.chars().any(char::is_control)) {
        return Err(wrong(format!("the term {} of vocabulary has control characters; leave them out", shown(term))));
    }
    match terms.iter().find(|term| term.trim().is_empty() || term.chars().count() > MAX_VOCABULARY_TERM) {
        Some(term) => Err(wrong(format!(
            "the term {} of vocabulary has {} characters; 1 to {MAX_VOCABULARY_TERM} are allowed",
            shown(term),
            term.chars().count()
        ))),
        None => Ok(terms),
    }
}

/// A prompt is prose to other services; here, what of it could be a term.
fn terms(prompt: &str) -> Vec<String> {
    let terms = prompt.split([',', ';', '\n']).map(|term| term.trim().trim_end_matches('.'));
    let short = terms.filter(|term| (1..=MAX_VOCABULARY_TERM).contains(&term.chars().count()));
    short.take(MAX_VOCABULARY_TERMS).map(str::to_owned).collect()
}

/// A name that can be printed, for `name` and for renaming.
pub(crate) fn job_name(value: &str) -> Result<String, ApiError> {
    let name = value.trim();
    if (1..=MAX_NAME).contains(&name.chars().count()) && !name.chars().any(char::is_control) {
        return Ok(name.to_owned());
    }
    let message = format!("a name has 1 to {MAX_NAME} characters, none of them a control character");
    Err(ApiError::param("name", message))
}

fn granularity(value: &str) -> Granularity {
    match value {
        "none" => Granularity::None,
        "word" => Granularity::Word,
        _ => Granularity::Segment,
    }
}

fn speakers(value: &str) -> SpeakerDetection {
    match value {
        "diarize" => SpeakerDetection::Diarize,
        "per_channel" => SpeakerDetection::PerChannel,
        _ => SpeakerDetection::None,
    }
}

/// A value as an error may quote it.
fn shown(value: &str) -> String {
    const MOST: usize = 60;
    let mut shown: String = value.chars().filter(|c| !c.is_control()).take(MOST).collect();
    if value.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests;
