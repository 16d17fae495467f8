//! Every setting of a server: name, type, bounds, default and documentation in one place.

use std::{net::SocketAddr, path::PathBuf};

use dalston_audio::VadKind;
use dalston_egress::Allowed;
use dalston_engine_loopback::Behaviour;
use dalston_engine_sdk::Profile;
use dalston_gateway::auth::ServerSecret;

use super::{
    choice::{AuthMode, EngineNames, Role},
    keys::ApiKeys,
    layers::Layers,
    problem::Problem,
    table::{self, Group, Setting, settings},
    tracing::{LogFormatName, LogLevel, OtlpEndpoint, Sampler, SamplerArg, ServiceName},
    value::{Choice, Count, Rate, Span, Value},
};

/// From 10 milliseconds to a day.
type Wait = Span<10, 86_400_000>;

settings! {
    "Server" {
        /// Where HTTP and WebSocket are served. An address that other machines can reach is refused while nobody is asked for
        /// a key.
        bind: SocketAddr, "bind", "DALSTON_BIND", "127.0.0.1:8000";
        /// Where the server keeps what must outlive it. Unset: `$XDG_DATA_HOME/dalston`, or `~/.local/share/dalston`.
        data_dir: Option<PathBuf>, "data_dir", "DALSTON_DATA_DIR", "";
        /// What this process is. `all` is the whole server in one process, and the only role of this version: separate
        /// processes need Redis between them, which is to come.
        role: Role, "role", "DALSTON_ROLE", "all";
    }
    "Engine" {
        /// What recognises speech; several, parted by commas, run side by side. `model=` chooses among them, and who names no
        /// model gets the first that has the language. `loopback` recognises nothing: it makes up words, for load and fault
        /// tests.
        engines: EngineNames, "engine.name", "DALSTON_ENGINE", "pocketsphinx";
        /// Speed against accuracy: `balanced` makes fewer errors, `low-latency` gives its finals sooner.
        engine_profile: Choice<Profile>, "engine.profile", "DALSTON_ENGINE_PROFILE", "balanced";
        /// PocketSphinx's library. Unset: `libpocketsphinx.so.3` where distributions put it.
        pocketsphinx_library: Option<PathBuf>, "engine.pocketsphinx.library", "DALSTON_POCKETSPHINX_LIBRARY", "";
        /// Folder of a Sphinx model: acoustic model, language model, dictionary. Unset: Debian's American English.
        pocketsphinx_model: Option<PathBuf>, "engine.pocketsphinx.model", "DALSTON_POCKETSPHINX_MODEL", "";
        /// Leaves PocketSphinx's own log on standard error, with the words it hears: for finding faults in the engine only.
        pocketsphinx_log: bool, "engine.pocketsphinx.log", "DALSTON_POCKETSPHINX_LOG", "false";
        /// How `loopback` behaves: `delay=20ms,error_every=7`, and likewise `delay_per_second`, `stall_every`, `panic_every`.
        loopback: Behaviour, "engine.loopback", "DALSTON_LOOPBACK", "";
        /// Utterances that an engine decodes at once; the next waits, which counts as lag. Each takes about 32 MiB with PocketSphinx.
        /// Unset: four for each core.
        engine_streams: Option<Count<1, 1_024>>, "engine.streams", "DALSTON_ENGINE_STREAMS", "";
        /// Longest time for one call of the engine. Then the utterance is given up and the client is told.
        engine_deadline: Wait, "engine.deadline", "DALSTON_ENGINE_DEADLINE", "20s";
    }
    "Live sessions" {
        /// Sessions at once. One more is closed with 4503 and told when to come back.
        max_sessions: Count<1, 100_000>, "realtime.max_sessions", "DALSTON_MAX_SESSIONS", "2000";
        /// What decides where speech is; docs/vad.md compares them.
        vad: Choice<VadKind>, "realtime.vad", "DALSTON_VAD", "confirmed";
        /// Audio between two partials of an utterance.
        partial_interval: Span<50, 10_000>, "realtime.partial_interval", "DALSTON_PARTIAL_INTERVAL", "300ms";
        /// Received minus processed audio from which the client is warned; not above the limit.
        lag_warning: Wait, "realtime.lag_warning", "DALSTON_LAG_WARNING", "3s";
        /// … and at which the session ends with 4010, when it lasts.
        lag_limit: Wait, "realtime.lag_limit", "DALSTON_LAG_LIMIT", "5s";
        /// How long the limit is borne.
        lag_grace: Wait, "realtime.lag_grace", "DALSTON_LAG_GRACE", "2s";
        /// Longest time for answering what was received before `end`.
        drain_deadline: Wait, "realtime.drain_deadline", "DALSTON_DRAIN_DEADLINE", "30s";
    }
    "Files" {
        /// Bytes of one upload, or of what `audio_url` names. Then 413.
        max_upload: Count<1_024, 1_099_511_627_776>, "jobs.max_upload", "DALSTON_MAX_UPLOAD", "2147483648";
        /// Uploads at once. Then 503.
        max_uploads: Count<1, 100_000>, "jobs.max_uploads", "DALSTON_MAX_UPLOADS", "64";
        /// Longest upload.
        upload_timeout: Wait, "jobs.upload_timeout", "DALSTON_UPLOAD_TIMEOUT", "1h";
        /// Hosts and networks that `audio_url` and webhooks may reach though they are not public: `media.intern`,
        /// `10.20.0.0/16`, `127.0.0.1`.
        egress_allow: Vec<Allowed>, "egress.allow", "DALSTON_EGRESS_ALLOW", "";
        /// A PEM file with certificates to trust besides those of the machine.
        egress_ca_file: Option<PathBuf>, "egress.ca_file", "DALSTON_EGRESS_CA_FILE", "";
    }
    "Authentication" {
        /// `none` lets everybody in who reaches the address, which must then be a loopback one; `keys` asks for an API key.
        /// Unset: `keys` when there are any.
        auth: Option<Choice<AuthMode>>, "gateway.auth.mode", "DALSTON_AUTH", "";
        /// API keys as `dalston keys create` prints them: an id, a keyed hash, scopes. In the environment a JSON array.
        api_keys: ApiKeys, "gateway.auth.keys", "DALSTON_API_KEYS", "";
        /// What the hashes of API keys are keyed with; 32 characters or more. Unset: the file `server-secret` in `data_dir`,
        /// which `dalston keys create` makes.
        server_secret: Option<ServerSecret>, "gateway.auth.server_secret", "DALSTON_SERVER_SECRET", "";
        /// Without keys: origins of browser pages that may use the server, beside those of loopback.
        allowed_origins: Vec<String>, "gateway.auth.allowed_origins", "DALSTON_ALLOWED_ORIGINS", "";
        /// Whether `/metrics` answers without a key.
        public_metrics: bool, "gateway.http.public_metrics", "DALSTON_PUBLIC_METRICS", "false";
    }
    "Connections" {
        /// Open connections. Beyond it a small reserve answers plain HTTP and opens no session; then the kernel queues.
        max_connections: Count<1, 1_000_000>, "gateway.http.max_connections", "DALSTON_MAX_CONNECTIONS", "10000";
        /// Longest time for a request's head, and for an idle connection to send its next request.
        header_timeout: Wait, "gateway.http.header_timeout", "DALSTON_HEADER_TIMEOUT", "10s";
        /// Longest time for answering a request. Then 503. Sessions are not bound by it.
        request_timeout: Wait, "gateway.http.request_timeout", "DALSTON_REQUEST_TIMEOUT", "30s";
        /// Bytes of a request's body. Then 413.
        max_body: Count<1_024, 1_073_741_824>, "gateway.http.max_body", "DALSTON_MAX_BODY", "65536";
        /// A peer that acknowledges nothing for this long is cut by the kernel.
        dead_peer: Wait, "gateway.http.dead_peer", "DALSTON_DEAD_PEER", "60s";
        /// From SIGTERM until the last session must have ended. What is open then is cut.
        drain_timeout: Wait, "gateway.http.drain_timeout", "DALSTON_DRAIN_TIMEOUT", "25s";
    }
    "WebSocket" {
        /// Bytes of one message. Then close 1009.
        max_message: Count<1_024, 67_108_864>, "gateway.stream.max_message", "DALSTON_MAX_MESSAGE", "1048576";
        /// Bytes of one text message. Then close 1009.
        max_text: Count<256, 67_108_864>, "gateway.stream.max_text", "DALSTON_MAX_TEXT", "65536";
        /// Text messages and pings a second, in the long run. Then close 4429.
        messages_per_second: Count<1, 1_000_000>, "gateway.stream.messages_per_second", "DALSTON_MESSAGES_PER_SECOND", "50";
        /// … and at once.
        message_burst: Count<1, 1_000_000>, "gateway.stream.message_burst", "DALSTON_MESSAGE_BURST", "100";
        /// A client that sends neither audio nor a message for this long is closed with 4408. `keepalive` keeps it open.
        idle_timeout: Wait, "gateway.stream.idle_timeout", "DALSTON_IDLE_TIMEOUT", "60s";
        /// Time between pings. A client of which nothing came for two of them is gone.
        ping_interval: Wait, "gateway.stream.ping_interval", "DALSTON_PING_INTERVAL", "20s";
        /// A client that reads nothing of what waits for it for this long is closed with 4408.
        write_timeout: Wait, "gateway.stream.write_timeout", "DALSTON_WRITE_TIMEOUT", "10s";
        /// Wait for the client's half of the closing handshake.
        close_timeout: Wait, "gateway.stream.close_timeout", "DALSTON_CLOSE_TIMEOUT", "5s";
        /// Wait for a worker to be found and to answer. Then close 4503.
        allocate_timeout: Wait, "gateway.stream.allocate_timeout", "DALSTON_ALLOCATE_TIMEOUT", "10s";
        /// Longest silence of a worker that owes an answer. Then close 1011. Longer than `realtime.drain_deadline`.
        worker_timeout: Wait, "gateway.stream.worker_timeout", "DALSTON_WORKER_TIMEOUT", "60s";
        /// Longest session. What was received by then is answered. Unset: no limit.
        max_duration: Option<Wait>, "gateway.stream.max_duration", "DALSTON_MAX_DURATION", "";
        /// Sessions at once for a key that says nothing of its own. Then close 4429. Unset: no limit.
        sessions_per_key: Option<Count<1, 100_000>>, "gateway.stream.sessions_per_key", "DALSTON_SESSIONS_PER_KEY", "";
    }
    "Traces and logs" {
        /// Whether spans are sent to a collector. Off makes no exporter, no thread, and costs nothing.
        otel_enabled: bool, "telemetry.enabled", "OTEL_ENABLED", "false";
        /// The collector's OTLP gRPC address.
        otel_endpoint: OtlpEndpoint, "telemetry.endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317";
        /// Replaces the `dalston` that the service names begin with.
        otel_service_name: ServiceName, "telemetry.service_name", "OTEL_SERVICE_NAME", "";
        /// Which traces are kept. A caller's wish does not count at the public edge.
        otel_sampler: Sampler, "telemetry.sampler", "OTEL_TRACES_SAMPLER", "parentbased_always_on";
        /// The share of traces, for the samplers that take one.
        otel_sampler_arg: SamplerArg, "telemetry.sampler_arg", "OTEL_TRACES_SAMPLER_ARG", "1.0";
        /// Ended spans that wait for the collector. When full, the newest is dropped and counted.
        otel_queue: Count<1, 1_000_000>, "telemetry.queue", "OTEL_BSP_MAX_QUEUE_SIZE", "8192";
        /// Probability that a chunk of audio has a span. Slow and failed ones always have.
        chunk_rate: Rate, "telemetry.chunk_rate", "DALSTON_TRACE_CHUNK_RATE", "0.01";
        /// … that an endpoint decision has one.
        vad_rate: Rate, "telemetry.vad_rate", "DALSTON_TRACE_VAD_RATE", "0.1";
        /// … that a partial transcript has one. Finals always have.
        partial_rate: Rate, "telemetry.partial_rate", "DALSTON_TRACE_PARTIAL_RATE", "0.1";
        /// Spans of recent sessions kept in memory for `/v1/traces`; 0 keeps none. `--trace-ring` alone means 20000.
        trace_ring: Count<0, 1_000_000>, "telemetry.trace_ring", "DALSTON_TRACE_RING", "0";
        /// Least severity of a log line: `error`, `warn`, `info`, `debug`, `trace`, or directives by module.
        log_level: LogLevel, "log.level", "LOG_LEVEL", "info";
        /// `json` or `pretty`. Unset: pretty in a terminal.
        log_format: LogFormatName, "log.format", "LOG_FORMAT", "";
    }
}

fn read_one<T: Value>(layers: &Layers, key: &str, problems: &mut Vec<Problem>) -> T {
    let setting = table::find(key).expect("the macro makes a field and its setting together");
    let given = layers.get(setting);
    T::parse(&given.text).unwrap_or_else(|| {
        problems.push(Problem::unreadable(setting, &given));
        T::parse(setting.default).expect("a test reads every default")
    })
}
