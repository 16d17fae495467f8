//! What telemetry is told: defaults, then the environment, with every problem reported at once by its key.

use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;

use crate::error::{BadVariable, TelemetryError};
use crate::ring::RingLimits;
use crate::sampler::{RootSampler, SamplerPolicy};

/// Directives below `LOG_LEVEL`: libraries that speak at `info` of what is no news to an operator, and the spans that lend
/// `request_id` to a line, which must be there at any level.
///
/// `sqlx::postgres::notice` repeats what PostgreSQL has to remark: at each start that `_sqlx_migrations` "already exists", since
/// sqlx makes sure of it so, which reads like a fault and is none. Its warnings are shown.
const BASE_DIRECTIVES: &str = "h2=warn,hyper=warn,hyper_util=warn,tonic=warn,tower=warn,tungstenite=warn,\
                               sqlx::postgres::notice=warn,dalston_scope=error";

/// One value per thing that telemetry can be told.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// What this role calls itself: `dalston-gateway`, …, or `dalston` for all in one.
    pub service: &'static str,
    /// `OTEL_SERVICE_NAME`; see [`ServiceNames`](crate::ServiceNames) for what it does to several components.
    pub service_name: Option<String>,
    /// `OTEL_ENABLED`: send spans to a collector. Off builds no provider, no exporter, no thread.
    pub otel_enabled: bool,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`: a gRPC target.
    pub endpoint: String,
    /// `OTEL_TRACES_SAMPLER` and `_ARG`.
    pub sampler: SamplerPolicy,
    /// `DALSTON_TRACE_*_RATE`.
    pub rates: SpanRates,
    /// `LOG_LEVEL`, in the syntax of `tracing_subscriber::EnvFilter`.
    pub log_level: String,
    /// `LOG_FORMAT`.
    pub log_format: LogFormat,
    /// Keep the spans of recent traces in memory. Not an environment variable: a flag of the server asks for it.
    pub trace_ring: Option<RingLimits>,
    /// `OTEL_BSP_MAX_QUEUE_SIZE`: ended spans that wait for the collector. A full queue drops the newest and counts it.
    pub queue_spans: usize,
}

/// Probability that an operation of a traced session has a span of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpanRates {
    /// Of a chunk.
    pub chunk: f64,
    /// Of an endpoint decision.
    pub vad: f64,
    /// Of a partial transcript. Finals are always kept.
    pub partial: f64,
}

impl Default for SpanRates {
    fn default() -> Self {
        Self { chunk: 0.01, vad: 0.1, partial: 0.1 }
    }
}

impl SpanRates {
    /// A span for everything.
    pub const ALL: Self = Self { chunk: 1.0, vad: 1.0, partial: 1.0 };
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people at a terminal; `colour` adds ANSI codes.
    Pretty {
        /// Whether to use ANSI codes.
        colour: bool,
    },
}

impl LogFormat {
    /// JSON unless standard error is a terminal.
    pub fn for_stderr() -> Self {
        let colour = std::env::var_os("NO_COLOR").is_none();
        if std::io::stderr().is_terminal() { Self::Pretty { colour } } else { Self::Json }
    }
}

impl Options {
    /// The defaults, without a look at the environment.
    pub fn new(service: &'static str) -> Self {
        Self {
            service,
            service_name: None,
            otel_enabled: false,
            endpoint: "http://localhost:4317".to_owned(),
            sampler: SamplerPolicy::default(),
            rates: SpanRates::default(),
            log_level: "info".to_owned(),
            log_format: LogFormat::for_stderr(),
            trace_ring: None,
            queue_spans: 8192,
        }
    }

    /// The defaults, overridden by the environment.
    ///
    /// # Errors
    /// [`TelemetryError::Config`] with every variable that has a value which cannot be used.
    pub fn from_env(service: &'static str) -> Result<Self, TelemetryError> {
        Self::from_vars(service, |key| std::env::var(key).ok())
    }

    /// As [`Options::from_env`], with the variables from anywhere. An empty variable counts as unset.
    ///
    /// # Errors
    /// As [`Options::from_env`].
    pub fn from_vars(service: &'static str, vars: impl Fn(&str) -> Option<String>) -> Result<Self, TelemetryError> {
        let mut options = Self::new(service);
        let mut reader = Reader { vars, problems: Vec::new() };
        options.service_name = reader.text("OTEL_SERVICE_NAME");
        reader.set("OTEL_ENABLED", "true or false", &mut options.otel_enabled, parse_bool);
        reader.set("OTEL_EXPORTER_OTLP_ENDPOINT", ENDPOINT_HINT, &mut options.endpoint, parse_endpoint);
        reader.set("OTEL_TRACES_SAMPLER", SamplerPolicy::HINT, &mut options.sampler, SamplerPolicy::from_name);
        if let RootSampler::Ratio(ratio) = &mut options.sampler.root {
            reader.set("OTEL_TRACES_SAMPLER_ARG", RATE_HINT, ratio, parse_rate);
        }
        reader.set("DALSTON_TRACE_CHUNK_RATE", RATE_HINT, &mut options.rates.chunk, parse_rate);
        reader.set("DALSTON_TRACE_VAD_RATE", RATE_HINT, &mut options.rates.vad, parse_rate);
        reader.set("DALSTON_TRACE_PARTIAL_RATE", RATE_HINT, &mut options.rates.partial, parse_rate);
        reader.set("LOG_LEVEL", LEVEL_HINT, &mut options.log_level, parse_level);
        reader.set("LOG_FORMAT", "json or pretty", &mut options.log_format, parse_format);
        reader.set("OTEL_BSP_MAX_QUEUE_SIZE", "a number of spans, 1 to 1000000", &mut options.queue_spans, parse_queue);
        if reader.problems.is_empty() { Ok(options) } else { Err(TelemetryError::Config(reader.problems)) }
    }

    /// The filter for log lines: `LOG_LEVEL` over quiet libraries.
    pub(crate) fn log_filter(&self) -> Result<EnvFilter, TelemetryError> {
        EnvFilter::try_new(format!("{BASE_DIRECTIVES},{}", self.log_level)).map_err(|_| {
            let value = self.log_level.clone();
            TelemetryError::Config(vec![BadVariable { key: "LOG_LEVEL", value, expected: LEVEL_HINT.to_owned() }])
        })
    }

    /// Whether anything wants spans.
    pub(crate) fn wants_spans(&self) -> bool {
        self.otel_enabled || self.trace_ring.is_some()
    }
}

const RATE_HINT: &str = "a probability from 0 to 1";
const ENDPOINT_HINT: &str = "an http:// URL of an OTLP gRPC receiver, such as http://localhost:4317";
const LEVEL_HINT: &str = "error, warn, info, debug or trace, or directives such as info,dalston_gateway=debug";

struct Reader<F> {
    vars: F,
    problems: Vec<BadVariable>,
}

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    fn text(&self, key: &'static str) -> Option<String> {
        (self.vars)(key).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn set<T>(&mut self, key: &'static str, expected: &str, target: &mut T, parse: impl Fn(&str) -> Option<T>) {
        let Some(value) = self.text(key) else { return };
        match parse(&value) {
            Some(parsed) => *target = parsed,
            None => self.problems.push(BadVariable { key, value, expected: expected.to_owned() }),
        }
    }
}

fn parse_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

fn parse_rate(text: &str) -> Option<f64> {
    f64::from_str(text).ok().filter(|rate| (0.0..=1.0).contains(rate))
}

/// TLS is not built in: a collector on another host belongs behind an agent or a tunnel.
fn parse_endpoint(text: &str) -> Option<String> {
    let authority = text.strip_prefix("http://")?.trim_end_matches('/');
    let is_url = tonic::transport::Endpoint::from_shared(text.to_owned()).is_ok();
    (is_url && !authority.is_empty()).then(|| text.to_owned())
}

fn parse_level(text: &str) -> Option<String> {
    EnvFilter::try_new(text).is_ok().then(|| text.to_owned())
}

fn parse_format(text: &str) -> Option<LogFormat> {
    match text {
        "json" => Some(LogFormat::Json),
        "pretty" | "text" => Some(LogFormat::Pretty { colour: LogFormat::for_stderr() != LogFormat::Json }),
        _ => None,
    }
}

fn parse_queue(text: &str) -> Option<usize> {
    text.parse().ok().filter(|spans| (1..=1_000_000).contains(spans))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(vars: &[(&str, &str)]) -> Result<Options, TelemetryError> {
        let find = |key: &str| vars.iter().find(|(k, _)| *k == key).map(|(_, v)| (*v).to_owned());
        Options::from_vars("dalston", find)
    }

    #[test]
    fn nothing_set_is_off_with_the_documented_rates() {
        let options = options(&[]).unwrap();
        assert!(!options.wants_spans());
        assert_eq!(options.rates, SpanRates { chunk: 0.01, vad: 0.1, partial: 0.1 });
    }

    #[test]
    fn every_bad_variable_is_reported_with_its_key() {
        let error = options(&[
            ("OTEL_ENABLED", "maybe"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4317"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("DALSTON_TRACE_CHUNK_RATE", "1.5"),
            ("DALSTON_TRACE_VAD_RATE", "NaN"),
            ("LOG_LEVEL", "loud=="),
            ("LOG_FORMAT", "xml"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ])
        .unwrap_err();
        let TelemetryError::Config(problems) = error else { panic!("{error}") };
        let keys: Vec<_> = problems.iter().map(|problem| problem.key).collect();
        assert_eq!(
            keys,
            [
                "OTEL_ENABLED",
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "OTEL_TRACES_SAMPLER",
                "DALSTON_TRACE_CHUNK_RATE",
                "DALSTON_TRACE_VAD_RATE",
                "LOG_LEVEL",
                "LOG_FORMAT",
                "OTEL_BSP_MAX_QUEUE_SIZE"
            ]
        );
        assert!(problems[3].to_string().contains("DALSTON_TRACE_CHUNK_RATE=\"1.5\": expected a probability"));
    }

    #[test]
    fn the_sampler_argument_belongs_to_the_ratio_samplers() {
        let ratio = options(&[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.25")]).unwrap();
        assert_eq!(ratio.sampler.root, RootSampler::Ratio(0.25));
        let always = options(&[("OTEL_TRACES_SAMPLER", "always_on"), ("OTEL_TRACES_SAMPLER_ARG", "0.25")]).unwrap();
        assert_eq!(always.sampler.root, RootSampler::AlwaysOn);
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        assert_eq!(options(&[("LOG_LEVEL", " "), ("OTEL_ENABLED", "")]).unwrap(), options(&[]).unwrap());
    }
}
