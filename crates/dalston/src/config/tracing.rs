//! The settings of traces and logs whose text `dalston-telemetry` reads itself, by the names of the environment.

use dalston_telemetry::{Options, RingLimits, SpanRates, TelemetryError};

use super::{
    layers::{Layers, Source},
    settings::Settings,
    table,
    value::Value,
};

/// What a whole server calls itself.
const SERVICE: &str = "dalston";

/// Text that telemetry reads itself, with what would be right.
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident, $variable:literal = $expected:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name;

        impl Value for $name {
            fn expected() -> String {
                $expected.into()
            }

            fn parse(text: &str) -> Option<Self> {
                is_taken($variable, text).then_some(Self)
            }
        }
    )*};
}

texts! {
    /// A collector.
    OtlpEndpoint, "OTEL_EXPORTER_OTLP_ENDPOINT" = "an http:// URL of an OTLP gRPC receiver";
    /// What the process calls itself.
    ServiceName, "OTEL_SERVICE_NAME" = "a name";
    /// Which traces are kept.
    Sampler, "OTEL_TRACES_SAMPLER" = "always_on, always_off or traceidratio, each also after parentbased_";
    /// Which share of them.
    SamplerArg, "OTEL_TRACES_SAMPLER_ARG" = "a probability from 0 to 1";
    /// How much is logged.
    LogLevel, "LOG_LEVEL" = "error, warn, info, debug or trace, or directives such as info,dalston_gateway=debug";
    /// How a log line looks.
    LogFormatName, "LOG_FORMAT" = "json or pretty";
}

/// Whether telemetry can read this text.
fn is_taken(variable: &str, text: &str) -> bool {
    let given = |asked: &str| match asked {
        _ if asked == variable => Some(text.to_owned()),
        // The argument is looked at for the samplers that take one.
        "OTEL_TRACES_SAMPLER" => Some("traceidratio".to_owned()),
        _ => None,
    };
    Options::from_vars(SERVICE, given).is_ok()
}

/// What telemetry is told.
///
/// # Errors
/// None that the settings let through.
pub fn options(settings: &Settings, layers: &Layers) -> Result<Options, TelemetryError> {
    let given = |variable: &str| {
        let given = layers.get(table::all().find(|setting| setting.variable == variable)?);
        (given.source != Source::Default).then_some(given.text)
    };
    let spans = settings.trace_ring.get();
    Ok(Options {
        otel_enabled: settings.otel_enabled,
        queue_spans: settings.otel_queue.get(),
        rates: SpanRates {
            chunk: settings.chunk_rate.get(),
            vad: settings.vad_rate.get(),
            partial: settings.partial_rate.get(),
        },
        trace_ring: (spans > 0).then(|| RingLimits::of_spans(spans)),
        ..Options::from_vars(SERVICE, given)?
    })
}
