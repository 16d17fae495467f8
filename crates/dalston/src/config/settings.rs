//! Every setting of a server: name, type, bounds, default and documentation in one place.

use std::{net::SocketAddr, path::PathBuf};

use dalston_audio::VadKind;
use dalston_egress::Allowed;
use dalston_engine_loopback::Behaviour;
use dalston_engine_remote::{Endpoint, Key};
use dalston_engine_sdk::{Profile, batch::Stage};
use dalston_gateway::auth::{AuthMode, ServerSecret};
use dalston_session_router::link::ClusterSecret;
use dalston_store::Location;

use super::{
    choice::EngineNames,
    cluster::{DatabaseUrl, RedisUrl, Roles, WorkerUrl},
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
        /// What this process is: `all`, the whole server, or some of its parts. `gateway` serves HTTP and WebSocket,
        /// `realtime` live sessions, `orchestrator` sees jobs through, `engine` does their stages. Parts in separate processes
        /// meet in Redis and PostgreSQL; one that is no gateway serves `/healthz`, `/readyz` and `/metrics` at `bind`.
        role: Roles, "role", "DALSTON_ROLE", "all";
    }
    "Cluster" {
        /// Where processes meet: queues, workers and their slots. `redis://[user:password@]host[:port][/database]`, `rediss://`
        /// with TLS, `redis+sentinel://host,host/service`, `redis+cluster://host,host`. Unset: within this process.
        redis: Option<RedisUrl>, "redis.url", "REDIS_URL", "";
        /// The PostgreSQL database that keeps jobs and keys: `postgres://user:password@host/database`. Unset: the SQLite file
        /// `jobs.db` in `data_dir`.
        database: Option<DatabaseUrl>, "database.url", "DATABASE_URL", "";
        /// Where files, transcripts and kept sessions lie: a path, `file:///path`, or `s3://bucket/prefix` for several machines.
        /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION` and `AWS_ENDPOINT_URL` tell how a bucket is reached.
        /// Unset: folders in `data_dir`.
        artifacts: Option<Location>, "artifacts.url", "DALSTON_ARTIFACTS_URL", "";
        /// What gateways and realtime workers prove to each other. The same in all of them.
        cluster_secret: Option<ClusterSecret>, "cluster.secret", "DALSTON_CLUSTER_SECRET", "";
        /// Where a realtime worker listens for gateways: loopback or a private network. Port 0 takes a free one.
        worker_bind: SocketAddr, "realtime.bind", "DALSTON_REALTIME_BIND", "127.0.0.1:8100";
        /// `ws://host:port` at which gateways reach this worker, where that is not what it listens on.
        worker_url: Option<WorkerUrl>, "realtime.url", "DALSTON_REALTIME_URL", "";
        /// Stages of jobs that are done here: `prepare`, `transcribe`, `align`, `diarize`. Unset: all.
        stages: Vec<Stage>, "engine.stages", "DALSTON_STAGES", "";
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
        /// Where the server of `remote` is: what stands before `/audio/transcriptions`, such as `https://api.openai.com/v1`.
        /// It hears everything that is recognised with it.
        remote_url: Option<Endpoint>, "engine.remote.url", "DALSTON_REMOTE_URL", "";
        /// What that server calls its model.
        remote_model: String, "engine.remote.model", "DALSTON_REMOTE_MODEL", "whisper-1";
        /// The key that it asks for.
        remote_key: Option<Key>, "engine.remote.api_key", "DALSTON_REMOTE_API_KEY", "";
        /// Codes of the languages that it knows, the usual one first. Unset: any.
        remote_languages: Vec<String>, "engine.remote.languages", "DALSTON_REMOTE_LANGUAGES", "";
        /// Whether it tells when each word was said (`verbose_json`). Otherwise files go there in parts of half a minute.
        remote_words: bool, "engine.remote.words", "DALSTON_REMOTE_WORDS", "true";
        /// Whether it has `/audio/translations` too.
        remote_translates: bool, "engine.remote.translates", "DALSTON_REMOTE_TRANSLATES", "false";
        /// Longest wait for one of its answers. A live utterance has `engine.deadline`.
        remote_timeout: Wait, "engine.remote.timeout", "DALSTON_REMOTE_TIMEOUT", "10m";
        /// Longest audio that is sent at once; a longer file is cut where it is quiet. Ten minutes are 19 MB; OpenAI takes 25.
        remote_longest: Span<10_000, 3_600_000>, "engine.remote.longest", "DALSTON_REMOTE_LONGEST", "10m";
        /// Model of `whisper`: an id out of `dalston models list`, such as `whisper/base.en`, or the path of a ggml file.
        whisper_model: Option<String>, "engine.whisper.model", "DALSTON_WHISPER_MODEL", "";
        /// Threads with which `whisper` decodes one utterance. Unset: one for each core, at most four.
        whisper_threads: Option<Count<1, 256>>, "engine.whisper.threads", "DALSTON_WHISPER_THREADS", "";
        /// Audio of a live utterance after which `whisper` hears it again. Longer is cheaper, with later words.
        whisper_step: Span<200, 10_000>, "engine.whisper.step", "DALSTON_WHISPER_STEP", "1s";
        /// Model of `sherpa`: an id out of `dalston models list`, or the folder of a model, called as its publisher calls it.
        sherpa_model: Option<String>, "engine.sherpa.model", "DALSTON_SHERPA_MODEL", "";
        /// File of a model with which `sherpa` writes punctuation into finals. Unset: none.
        sherpa_punctuation: Option<PathBuf>, "engine.sherpa.punctuation", "DALSTON_SHERPA_PUNCTUATION", "";
        /// With `engine.sherpa.embedding`, what `sherpa` tells the speakers of files apart with: a segmentation model of pyannote's.
        sherpa_segmentation: Option<PathBuf>, "engine.sherpa.segmentation", "DALSTON_SHERPA_SEGMENTATION", "";
        /// … and a model of voices. Without both, speakers are told apart by the basic means that are always there.
        sherpa_embedding: Option<PathBuf>, "engine.sherpa.embedding", "DALSTON_SHERPA_EMBEDDING", "";
        /// How `loopback` behaves: `delay=20ms,error_every=7`, and likewise `delay_per_second`, `stall_every`, `panic_every`.
        loopback: Behaviour, "engine.loopback", "DALSTON_LOOPBACK", "";
        /// Utterances that an engine decodes at once; the next waits, which counts as lag. Each takes about 32 MiB with
        /// PocketSphinx, and is a request with `remote`. Unset: four for each core.
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
        /// Waits before webhooks are told again what they did not take, each ± 20 %; after the last one, it is given up.
        webhook_retries: Vec<Wait>, "webhooks.retries", "DALSTON_WEBHOOK_RETRIES", "5s,1m,5m,30m,2h,5h,8h,8h";
        /// Longest time for one attempt to tell a webhook.
        webhook_timeout: Span<10, 60_000>, "webhooks.timeout", "DALSTON_WEBHOOK_TIMEOUT", "15s";
        /// A PEM file with certificates to trust besides those of the machine.
        egress_ca_file: Option<PathBuf>, "egress.ca_file", "DALSTON_EGRESS_CA_FILE", "";
    }
    "Authentication" {
        /// `none` lets everybody in who reaches the address, which must then be a loopback one; `keys` asks for an API key,
        /// which `dalston keys create` makes. Unset: `keys` from the moment that there ever was one.
        auth: Option<Choice<AuthMode>>, "gateway.auth.mode", "DALSTON_AUTH", "";
        /// What the hashes of API keys are keyed with; 32 characters or more, and the same in all gateways. Unset: the file
        /// `server-secret` in `data_dir`, which is made when it is first needed.
        server_secret: Option<ServerSecret>, "gateway.auth.server_secret", "DALSTON_SERVER_SECRET", "";
        /// Without keys: origins of browser pages that may use the server, beside those of loopback.
        allowed_origins: Vec<String>, "gateway.auth.allowed_origins", "DALSTON_ALLOWED_ORIGINS", "";
        /// Whether `/metrics` answers without a key.
        public_metrics: bool, "gateway.http.public_metrics", "DALSTON_PUBLIC_METRICS", "false";
        /// Sessions at once for a key that says nothing of its own. Then close 4429. Unset, here and below: no limit.
        sessions_per_key: Option<Count<1, 100_000>>, "gateway.auth.limits.max_sessions", "DALSTON_SESSIONS_PER_KEY", "";
        /// … jobs that have not ended, of its tenant. Then 429.
        jobs_per_key: Option<Count<1, 1_000_000>>, "gateway.auth.limits.max_jobs", "DALSTON_JOBS_PER_KEY", "";
        /// … uploads at once. Then 429.
        uploads_per_key: Option<Count<1, 100_000>>, "gateway.auth.limits.max_uploads", "DALSTON_UPLOADS_PER_KEY", "";
        /// … requests a second, in the long run; a second's worth may come at once. Then 429.
        requests_per_key: Option<Count<1, 1_000_000>>,
            "gateway.auth.limits.requests_per_second", "DALSTON_REQUESTS_PER_SECOND", "";
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
        /// Time to find another worker for a session whose own was lost. Then close 1011.
        move_timeout: Wait, "gateway.stream.move_timeout", "DALSTON_MOVE_TIMEOUT", "30s";
        /// A session that its client may resume waits for it so long.
        resume_window: Wait, "gateway.stream.resume_window", "DALSTON_RESUME_WINDOW", "30s";
        /// Longest session. What was received by then is answered. Unset: no limit.
        max_duration: Option<Wait>, "gateway.stream.max_duration", "DALSTON_MAX_DURATION", "";
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
