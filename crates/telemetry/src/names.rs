//! Every name an operator sees: spans, attribute keys, metrics. Nothing else in the workspace spells one.
//!
//! An attribute key is a [`Key`], and only this module can make one: that is half of the promise that no transcript,
//! audio or secret reaches a span (the other half is [`Label`](crate::Label), which bounds what a value may be).

/// An attribute key from this catalogue. It cannot be made outside this module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(&'static str);

impl Key {
    /// The key as a viewer shows it.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// Span names.
pub mod span {
    /// SERVER, `dalston-gateway`: the life of one live session, from upgrade to close frame.
    pub const WEBSOCKET_STREAM: &str = "WebSocket /v1/audio/transcriptions/stream";
    /// What a WebSocket span of another route begins with; the route follows.
    pub const WEBSOCKET_PREFIX: &str = "WebSocket ";
    /// INTERNAL, `dalston-session-router`: one allocation, with all its attempts.
    pub const ALLOCATE: &str = "session_router.allocate";
    /// INTERNAL, `dalston-realtime`: the worker's side of a session, carrying the exact totals.
    pub const SESSION: &str = "realtime.session";
    /// Exported at once, so that an open session can be seen.
    pub const SESSION_START: &str = "realtime.session_start";
    /// One chunk of audio: decode, resample, VAD. Sampled.
    pub const CHUNK: &str = "realtime.process_audio_chunk";
    /// One decision of the endpointer. Sampled.
    pub const VAD_ENDPOINT: &str = "realtime.vad_endpoint";
    /// One partial (sampled) or final (always).
    pub const TRANSCRIPT: &str = "realtime.generate_transcript";
    /// Draining and closing.
    pub const SESSION_CLOSE: &str = "realtime.session_close";
    /// INTERNAL, `dalston-gateway`: the upload on its way into the object store, whichever that is.
    pub const UPLOAD_SOURCE: &str = "upload_to_s3";
    /// INTERNAL, `dalston-gateway`: the job's rows.
    pub const CREATE_JOB: &str = "gateway.create_job";
    /// PRODUCER, `dalston-gateway`: what the orchestrator's work on the job is the child of.
    pub const PUBLISH_JOB_CREATED: &str = "publish_job_created_event";
    /// CONSUMER, `dalston-orchestrator`: the first look at a job.
    pub const HANDLE_JOB: &str = "orchestrator.handle_job";
    /// CONSUMER, `dalston-orchestrator`: a look at a job of which a task has ended.
    pub const HANDLE_TASK_COMPLETED: &str = "orchestrator.handle_task_completed";
    /// INTERNAL, `dalston-orchestrator`: which tasks the job has now.
    pub const BUILD_DAG: &str = "orchestrator.build_dag";
    /// PRODUCER, `dalston-orchestrator`: a task becomes ready; parent of what its engine does.
    pub const SCHEDULE_TASK: &str = "orchestrator.schedule_task";
    /// INTERNAL, `dalston-orchestrator`: the transcript out of the results.
    pub const ASSEMBLE: &str = "orchestrator.assemble_transcript";
    /// INTERNAL, `dalston-orchestrator`: the job becomes terminal.
    pub const MARK_JOB_COMPLETED: &str = "orchestrator.mark_job_completed";
    /// INTERNAL, `dalston-orchestrator`: one attempt to tell a webhook of the job's end.
    pub const DELIVER_WEBHOOK: &str = "orchestrator.deliver_webhook";
    /// INTERNAL, an engine's lane: inputs become local files.
    pub const DOWNLOAD_INPUT: &str = "download_input";
    /// INTERNAL, an engine's lane: results become artifacts.
    pub const UPLOAD_OUTPUT: &str = "upload_output";
}

/// Names of span events.
pub mod event {
    /// A worker refused or died and the next one is tried.
    pub const WORKER_REFUSED: &str = "worker_refused";
    /// Another worker goes on with the session.
    pub const SESSION_MOVED: &str = "session_moved";
    /// The session goes on at this connection; the span is linked to the one it began with.
    pub const SESSION_RESUMED: &str = "session_resumed";
    /// The client is gone and may come back.
    pub const CLIENT_AWAITED: &str = "client_awaited";
    /// The lag budget was passed and the client was warned.
    pub const LAG_WARNING: &str = "lag_warning";
    /// The server asked its clients to come back elsewhere.
    pub const DRAIN: &str = "drain";
}

/// Attribute keys.
pub mod key {
    use super::Key;

    macro_rules! keys {
        ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
            $($(#[$doc])* pub const $name: Key = Key($text);)*
            /// All of them, for tests and documentation.
            pub const ALL: &[Key] = &[$($name),*];
        };
    }

    keys! {
        /// `req_…`, the same in log lines, answers and spans.
        REQUEST_ID = "dalston.request_id";
        /// `ses_…`, on the session span and on every child of it.
        SESSION_ID = "session.id";
        /// `job_…`, on every span of a job.
        JOB_ID = "dalston.job_id";
        /// `task_…`.
        TASK_ID = "dalston.task_id";
        /// `prepare`, `transcribe`, …
        STAGE = "dalston.stage";
        /// Which attempt at a task, from 1.
        ATTEMPT = "dalston.attempt";
        /// Seconds from ready to running.
        QUEUE_WAIT_SECONDS = "dalston.queue_wait_seconds";
        /// Channel that a task is for.
        CHANNEL = "dalston.channel";
        /// Tasks that a job has.
        TASKS = "dalston.tasks";
        /// Which object store: `local`, `s3`, …
        STORAGE_BACKEND = "dalston.storage.backend";
        /// Bytes that went to or came from it.
        ARTIFACT_BYTES = "dalston.artifact.bytes";
        /// Always `dalston`: its queues are the same whatever carries them.
        MESSAGING_SYSTEM = "messaging.system";
        /// The queue.
        MESSAGING_DESTINATION = "messaging.destination.name";
        /// What is done with the message, in a word of the conventions: `send` or `process`.
        MESSAGING_OPERATION_TYPE = "messaging.operation.type";
        /// The same in the product's own word.
        MESSAGING_OPERATION_NAME = "messaging.operation.name";
        /// Which engine works.
        ENGINE_ID = "dalston.engine_id";
        /// Which model the engine has loaded.
        MODEL = "dalston.model";
        /// Language code of the session.
        LANGUAGE = "dalston.language";
        /// Which worker serves the session.
        WORKER_ID = "dalston.worker_id";
        /// How an operation ended, in one word of a closed list.
        OUTCOME = "dalston.outcome";
        /// Workers that fitted when a session was allocated.
        CANDIDATES = "dalston.allocation.candidates";
        /// Workers that were tried.
        ATTEMPTS = "dalston.allocation.attempts";
        /// Which worker served it before.
        LAST_WORKER_ID = "dalston.last_worker_id";
        /// How often the session went on at another worker, this time included.
        SESSION_MOVES = "dalston.session.moves";
        /// Audio that its worker had not answered for, which the next one hears again.
        REPLAYED_SECONDS = "dalston.session.replayed_seconds";
        /// How often the client of the session has come back, this time included.
        SESSION_RESUMES = "dalston.session.resumes";
        /// HTTP method, current convention.
        HTTP_REQUEST_METHOD = "http.request.method";
        /// HTTP status, current convention.
        HTTP_RESPONSE_STATUS_CODE = "http.response.status_code";
        /// HTTP method, as older dashboards ask for it.
        HTTP_METHOD = "http.method";
        /// HTTP status, as older dashboards ask for it.
        HTTP_STATUS_CODE = "http.status_code";
        /// The route's template, never the path with its query.
        HTTP_ROUTE = "http.route";
        /// Host that an outgoing request goes to.
        SERVER_ADDRESS = "server.address";
        /// Its port.
        SERVER_PORT = "server.port";
        /// `redis`, `postgresql`, …
        DB_SYSTEM_NAME = "db.system.name";
        /// The command, never its arguments.
        DB_OPERATION_NAME = "db.operation.name";
        /// Which script or procedure it called.
        DB_STORED_PROCEDURE_NAME = "db.stored_procedure.name";
        /// Kind of failure, from a closed list.
        ERROR_TYPE = "error.type";
        /// WebSocket close code.
        CLOSE_CODE = "dalston.websocket.close_code";
        /// Wire encoding of the audio.
        AUDIO_ENCODING = "dalston.audio.encoding";
        /// Samples per second, as the client sends them.
        AUDIO_SAMPLE_RATE = "dalston.audio.sample_rate";
        /// Interleaved channels.
        AUDIO_CHANNELS = "dalston.audio.channels";
        /// Seconds of audio an operation dealt with.
        AUDIO_SECONDS = "dalston.audio.seconds";
        /// Bytes of audio as they came from the wire.
        AUDIO_BYTES = "dalston.audio.bytes";
        /// Received minus processed audio, in seconds, when the span ended.
        LAG_SECONDS = "dalston.lag_seconds";
        /// Greatest lag of the session.
        LAG_MAX_SECONDS = "dalston.session.lag_max_seconds";
        /// `partial` or `final`.
        TRANSCRIPT_KIND = "dalston.transcript.kind";
        /// Number of words in a transcript; the words themselves are never recorded.
        TRANSCRIPT_WORDS = "dalston.transcript.words";
        /// Ordinal of the utterance within the session.
        UTTERANCE = "dalston.utterance";
        /// Why the endpointer ended an utterance.
        ENDPOINT_REASON = "dalston.vad.endpoint_reason";
        /// Seconds of speech in the utterance.
        SPEECH_SECONDS = "dalston.vad.speech_seconds";
        /// Seconds of silence that ended it.
        SILENCE_SECONDS = "dalston.vad.silence_seconds";
        /// How many operations this span stands for: 1/p for a sampled one, 1 for one that is always kept.
        ADJUSTED_COUNT = "dalston.sampling.adjusted_count";
        /// Why a span was kept beside the coin: `slow` or `error`.
        SAMPLING_REASON = "dalston.sampling.reason";
        /// Exact number of chunks.
        CHUNKS_TOTAL = "dalston.session.chunks";
        /// How many of them have a span.
        CHUNKS_SAMPLED = "dalston.session.chunks_sampled";
        /// Exact number of endpoint decisions.
        VAD_TOTAL = "dalston.session.vad_endpoints";
        /// How many of them have a span.
        VAD_SAMPLED = "dalston.session.vad_endpoints_sampled";
        /// Exact number of partials.
        PARTIALS_TOTAL = "dalston.session.partials";
        /// How many of them have a span.
        PARTIALS_SAMPLED = "dalston.session.partials_sampled";
        /// Exact number of finals.
        FINALS_TOTAL = "dalston.session.finals";
        /// How many of them have a span: all.
        FINALS_SAMPLED = "dalston.session.finals_sampled";
        /// Utterances that began.
        UTTERANCES_TOTAL = "dalston.session.utterances";
        /// Seconds of audio of the whole session.
        SESSION_AUDIO_SECONDS = "dalston.session.audio_seconds";
        /// Seconds of it that were speech.
        SESSION_SPEECH_SECONDS = "dalston.session.speech_seconds";
        /// Messages that were dropped for a slow reader.
        DROPPED_EVENTS = "dalston.session.dropped_events";
    }
}

/// Metric names, without the `_total` and unit endings which the exposition format adds.
pub mod metric {
    /// Prefix of every metric of the product.
    pub const PREFIX: &str = "dalston";
    /// Live sessions.
    pub const SESSIONS_OPEN: &str = "sessions_open";
    /// Sessions that ended, by outcome.
    pub const SESSIONS_ENDED: &str = "sessions_ended";
    /// Sessions that went on at another worker.
    pub const SESSIONS_MOVED: &str = "sessions_moved";
    /// Sessions whose clients came back.
    pub const SESSIONS_RESUMED: &str = "sessions_resumed";
    /// Sessions that wait for their clients to come back.
    pub const SESSIONS_AWAITED: &str = "sessions_awaiting_client";
    /// From the loss of a worker, or its word that it goes down, to the next one.
    pub const SESSION_MOVE: &str = "session_move";
    /// From request to reserved worker.
    pub const ALLOCATION: &str = "allocation";
    /// Received minus processed audio.
    pub const LAG: &str = "lag";
    /// From the start of speech to its first partial.
    pub const FIRST_PARTIAL: &str = "time_to_first_partial";
    /// From the end of speech (as the endpointer decided) to the final.
    pub const SPEECH_TO_FINAL: &str = "end_of_speech_to_final";
    /// VAD time per chunk.
    pub const VAD: &str = "vad";
    /// Recogniser time per call.
    pub const DECODE: &str = "decode";
    /// Waiting for a decoder stream.
    pub const DECODER_WAIT: &str = "decoder_wait";
    /// Decoder streams in use.
    pub const DECODER_IN_USE: &str = "decoder_streams_in_use";
    /// Decoder streams there are.
    pub const DECODER_LIMIT: &str = "decoder_streams_limit";
    /// Sessions that wait for one.
    pub const DECODER_WAITING: &str = "decoder_streams_waiting";
    /// Audio received.
    pub const AUDIO: &str = "audio";
    /// Lag warnings sent.
    pub const LAG_WARNINGS: &str = "lag_warnings";
    /// Spans the collector took.
    pub const SPANS_EXPORTED: &str = "spans_exported";
    /// Spans lost, by reason.
    pub const SPANS_DROPPED: &str = "spans_dropped";
    /// HTTP requests by route, method and status.
    pub const HTTP_REQUESTS: &str = "http_requests";
    /// Time to answer, by route.
    pub const HTTP_DURATION: &str = "http_request_duration";
    /// WebSocket payload, by direction.
    pub const WEBSOCKET_BYTES: &str = "websocket_payload";
    /// WebSocket messages, by direction.
    pub const WEBSOCKET_MESSAGES: &str = "websocket_messages";
    /// Open TCP connections.
    pub const CONNECTIONS_OPEN: &str = "connections_open";
    /// Jobs that were accepted.
    pub const JOBS_CREATED: &str = "jobs_created";
    /// Jobs that became terminal, by status.
    pub const JOBS_ENDED: &str = "jobs_ended";
    /// From acceptance to the end of a job.
    pub const JOB_DURATION: &str = "job_duration";
    /// Attempts at tasks, by stage and outcome.
    pub const TASKS_ENDED: &str = "tasks_ended";
    /// From the beginning of an attempt to its end, by stage.
    pub const TASK_DURATION: &str = "task_duration";
    /// From ready to running, by stage.
    pub const TASK_WAIT: &str = "task_wait";
    /// Messages in a queue that nobody has claimed.
    pub const QUEUE_DEPTH: &str = "queue_depth";
    /// Age of the oldest of them.
    pub const QUEUE_OLDEST: &str = "queue_oldest";
    /// Attempts to tell webhooks of jobs' ends, by outcome.
    pub const WEBHOOKS: &str = "webhooks";
}

/// Target of spans that only lend their fields to log lines; the trace bridge passes them by.
pub const SCOPE_TARGET: &str = "dalston_scope";
