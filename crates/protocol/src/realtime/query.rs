//! The handshake's query parameters.

use super::{Attachment, Resume, Retention, SessionConfig, config::in_range};
use crate::ApiError;

/// A session's settings out of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedQuery {
    /// The settings, checked.
    pub config: SessionConfig,
    /// Whether the session begins with this connection, or goes on.
    pub attachment: Attachment,
    /// Parameters that mean nothing here; the client is warned of them and served all the same.
    pub unknown: Vec<String>,
}

/// Vocabulary terms in one session.
const MAX_TERMS: usize = 100;
/// Characters in one vocabulary term.
const MAX_TERM_CHARS: usize = 50;
/// Characters in a code or id.
const MAX_NAME: usize = 128;
/// Parameters that the gateway reads before the session is made.
const READ_ELSEWHERE: [&str; 4] = ["token", "api_key", "traceparent", "tracestate"];

/// Reads the decoded `name=value` pairs of the handshake's query.
///
/// # Errors
/// The first parameter that is wrong, named, with its value and what is allowed. A parameter given twice is wrong.
pub fn parse_query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<ParsedQuery, ApiError> {
    let mut config = SessionConfig::default();
    let mut unknown = Vec::new();
    let mut wish = Wish::default();
    let mut seen: Vec<&str> = Vec::new();
    for (name, value) in pairs {
        if seen.contains(&name) {
            return Err(ApiError::param(name, format!("{name} is given twice; give it once")));
        }
        seen.push(name);
        let is_known = set(&mut config, name, value)? || wish.set(name, value)? || READ_ELSEWHERE.contains(&name);
        if !is_known {
            unknown.push(name.chars().take(MAX_NAME).collect());
        }
    }
    config.endpointing.check()?;
    Ok(ParsedQuery { config, attachment: wish.attachment()?, unknown })
}

/// What a query says of resuming.
#[derive(Default)]
struct Wish {
    resumable: bool,
    token: Option<super::ResumeToken>,
    received: Option<u64>,
    last_final: Option<String>,
}

impl Wish {
    /// Whether the parameter is one of these.
    fn set(&mut self, name: &str, value: &str) -> Result<bool, ApiError> {
        match name {
            "resumable" => self.resumable = boolean(name, value)?,
            "resume" => {
                // It may be most of a secret, so it is not repeated.
                let wrong =
                    |error| ApiError::param(name, format!("resume is {error}; without it a new session begins"));
                self.token = Some(value.parse().map_err(wrong)?);
            }
            "received" => self.received = Some(number(name, value)?),
            "last_final" => {
                if value.strip_prefix("utt_").is_none_or(|number| number.parse::<u64>().is_err()) {
                    let message = format!("last_final={} is not an utterance_id such as utt_7", shown(value));
                    return Err(ApiError::param(name, message));
                }
                self.last_final = Some(value.into());
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn attachment(self) -> Result<Attachment, ApiError> {
        let Self { resumable, token, received, last_final } = self;
        if let Some(token) = token {
            let received = received.unwrap_or(0);
            return Ok(Attachment::Resume(Box::new(Resume { token, received, last_final })));
        }
        let given = [("received", received.is_some()), ("last_final", last_final.is_some())];
        if let Some((name, _)) = given.into_iter().find(|(_, is_given)| *is_given) {
            let message = format!("{name} says what came of a session that is resumed; give its token as resume, too");
            return Err(ApiError::param(name, message));
        }
        Ok(if resumable { Attachment::BeginResumable } else { Attachment::Begin })
    }
}

/// Whether the parameter is one of this protocol.
fn set(config: &mut SessionConfig, name: &str, value: &str) -> Result<bool, ApiError> {
    match name {
        "encoding" => config.encoding = one_of(name, value, &["pcm_s16le", "pcm_f32le", "mulaw", "alaw"])?,
        "sample_rate" => {
            config.sample_rate = number(name, value)?;
            in_range(name, f64::from(config.sample_rate), 8_000.0, 48_000.0)?;
        }
        "channels" => config.channels = one_of(name, value, &["1", "2"])?.parse().unwrap_or(1),
        "language" => config.language = code(name, value)?,
        "model" => config.model = Some(code(name, value)?).filter(|model| model != "auto"),
        "enable_vad" => config.enable_vad = boolean(name, value)?,
        "interim_results" => config.interim_results = boolean(name, value)?,
        "word_timestamps" => config.word_timestamps = boolean(name, value)?,
        "endpointing_ms" => config.endpointing.endpointing_ms = number(name, value)?,
        "min_speech_ms" => config.endpointing.min_speech_ms = number(name, value)?,
        "prefix_padding_ms" => config.endpointing.prefix_padding_ms = number(name, value)?,
        "max_utterance_s" => config.endpointing.max_utterance_s = number(name, value)?,
        "vocabulary" => config.vocabulary = vocabulary(value)?,
        "retention" => {
            let days: i32 = number(name, value)?;
            config.retention = Retention::try_from(days).map_err(|message| ApiError::param(name, message))?;
        }
        "store_audio" => config.store_audio = boolean(name, value)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn one_of(name: &str, value: &str, allowed: &[&str]) -> Result<String, ApiError> {
    if allowed.contains(&value) {
        return Ok(value.into());
    }
    Err(ApiError::param(name, format!("{name}={} is not allowed; one of {}", shown(value), allowed.join(", "))))
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, ApiError> {
    value.parse().map_err(|_| ApiError::param(name, format!("{name}={} is not a number that fits", shown(value))))
}

/// `true` and `false` in any case, as some clients' languages print them.
fn boolean(name: &str, value: &str) -> Result<bool, ApiError> {
    if value.eq_ignore_ascii_case("true") || value == "1" {
        return Ok(true);
    }
    if value.eq_ignore_ascii_case("false") || value == "0" {
        return Ok(false);
    }
    Err(ApiError::param(name, format!("{name}={} is not allowed; true or false", shown(value))))
}

pub(super) fn code(name: &str, value: &str) -> Result<String, ApiError> {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':');
    if (1..=MAX_NAME).contains(&value.len()) && value.chars().all(safe) {
        return Ok(value.into());
    }
    let message = format!("{name}={} is not a name; letters, digits and -_./: only, 1 to {MAX_NAME}", shown(value));
    Err(ApiError::param(name, message))
}

fn vocabulary(value: &str) -> Result<Vec<String>, ApiError> {
    let wrong = |message: String| ApiError::param("vocabulary", message);
    let terms: Vec<String> = serde_json::from_str(value)
        .map_err(|e| wrong(format!("vocabulary is not a JSON array of strings such as [\"Dalston\"]: {e}")))?;
    if terms.len() > MAX_TERMS {
        return Err(wrong(format!("vocabulary has {} terms; at most {MAX_TERMS} are allowed", terms.len())));
    }
    match terms.iter().position(|term| term.trim().is_empty() || term.chars().count() > MAX_TERM_CHARS) {
        Some(at) => Err(wrong(format!("vocabulary[{at}] must have 1 to {MAX_TERM_CHARS} characters"))),
        None => Ok(terms),
    }
}

/// A value as it may stand in a message: quoted, escaped and short.
fn shown(value: &str) -> String {
    let short: String = value.chars().take(40).collect();
    format!("{short:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<ParsedQuery, ApiError> {
        parse_query(
            query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, ""))),
        )
    }

    #[test]
    fn nothing_given_is_the_default() {
        assert_eq!(parse("").unwrap().config, SessionConfig::default());
    }

    #[test]
    fn every_parameter_is_read() {
        let query = "encoding=mulaw&sample_rate=8000&channels=2&language=en-US&model=pocketsphinx&enable_vad=False\
                     &interim_results=0&word_timestamps=TRUE&endpointing_ms=800&min_speech_ms=0&prefix_padding_ms=100\
                     &max_utterance_s=12.5&vocabulary=[\"Dalston\"]&retention=30&store_audio=true&token=x&colour=red";
        let parsed = parse(query).unwrap();
        assert_eq!(parsed.unknown, ["colour"]);
        let expected = SessionConfig {
            encoding: "mulaw".into(),
            sample_rate: 8000,
            channels: 2,
            language: "en-US".into(),
            model: Some("pocketsphinx".into()),
            enable_vad: false,
            interim_results: false,
            word_timestamps: true,
            endpointing: super::super::Endpointing {
                endpointing_ms: 800,
                min_speech_ms: 0,
                prefix_padding_ms: 100,
                max_utterance_s: 12.5,
            },
            vocabulary: vec!["Dalston".into()],
            retention: Retention::Days(30),
            store_audio: true,
        };
        assert_eq!(parsed.config, expected);
    }

    #[test]
    fn a_session_is_resumed_with_its_token_and_what_had_come() {
        let token = super::super::ResumeToken::new(crate::SessionId::generate(), &"x".repeat(43)).unwrap();
        let resume = String::from(token.clone());
        let check =
            |query: &str, expected: Attachment| assert_eq!(parse(query).unwrap().attachment, expected, "{query}");
        check("resumable=false", Attachment::Begin);
        check("resumable=true", Attachment::BeginResumable);
        let wish = Resume { token, received: 0, last_final: None };
        check(&format!("resume={resume}"), Attachment::Resume(Box::new(wish.clone())));
        let wish = Resume { received: 64_000, last_final: Some("utt_3".into()), ..wish };
        check(&format!("resume={resume}&received=64000&last_final=utt_3"), Attachment::Resume(Box::new(wish)));
    }

    #[test]
    fn a_wrong_parameter_is_named_with_what_is_allowed() {
        let check = |query: &str, param: &str| {
            let error = parse(query).expect_err(query);
            assert_eq!(error.param.as_deref(), Some(param), "{query}");
            assert!(error.message.contains(param), "{query}: {}", error.message);
        };
        check("encoding=opus", "encoding");
        check("encoding=", "encoding");
        check("sample_rate=7999", "sample_rate");
        check("sample_rate=48001", "sample_rate");
        check("sample_rate=1e999", "sample_rate");
        check("sample_rate=-16000", "sample_rate");
        check("channels=3", "channels");
        check("channels=0", "channels");
        check("language=e n", "language");
        check("model=<script>", "model");
        check("enable_vad=maybe", "enable_vad");
        check("endpointing_ms=99", "endpointing_ms");
        check("max_utterance_s=NaN", "max_utterance_s");
        check("max_utterance_s=inf", "max_utterance_s");
        check("prefix_padding_ms=1001", "prefix_padding_ms");
        check("vocabulary=word", "vocabulary");
        check("vocabulary=[1]", "vocabulary");
        check(&format!("vocabulary=[\"{}\"]", "x".repeat(51)), "vocabulary");
        check(&format!("vocabulary=[{}]", vec!["\"x\""; 101].join(",")), "vocabulary");
        check("retention=-2", "retention");
        check("retention=3651", "retention");
        check("language=en&language=en", "language");
        check("resumable=perhaps", "resumable");
        check("resume=", "resume");
        check("resume=ses_1", "resume");
        check("received=0", "received");
        check("received=-1", "received");
        check("received=1e9", "received");
        check("last_final=utt_1", "last_final");
        check("last_final=7", "last_final");
    }
}
