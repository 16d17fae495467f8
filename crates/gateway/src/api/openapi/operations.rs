//! What each route takes and gives.

/// One method of one route.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) id: &'static str,
    pub(super) about: &'static str,
    /// Parameters of the query, with what they do.
    pub(super) query: &'static [(&'static str, &'static str)],
    pub(super) headers: &'static [(&'static str, &'static str)],
    pub(super) body: Body,
    /// By status. Errors are the same everywhere.
    pub(super) answers: &'static [(&'static str, Answer)],
}

/// What a request brings.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body {
    None,
    /// A shape by its name.
    Json(&'static str),
    /// The form of an upload.
    Form,
    /// That of one to be translated.
    TranslationForm,
}

/// What an answer brings.
#[derive(Debug)]
pub(super) enum Answer {
    Empty,
    Socket,
    /// A shape by its name.
    Json(&'static str),
    /// One of several shapes, or a text.
    JsonOrText(&'static [&'static str]),
    /// JSON of a shape that is not described further.
    Object,
    /// A content type.
    Text(&'static str),
    Bytes,
}

impl Operation {
    pub(super) fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path == path
    }

    const fn query(self, query: &'static [(&'static str, &'static str)]) -> Self {
        Self { query, ..self }
    }

    const fn headers(self, headers: &'static [(&'static str, &'static str)]) -> Self {
        Self { headers, ..self }
    }

    const fn takes(self, body: Body) -> Self {
        Self { body, ..self }
    }
}

const fn op(
    method: &'static str,
    path: &'static str,
    id: &'static str,
    about: &'static str,
    answers: &'static [(&'static str, Answer)],
) -> Operation {
    Operation { method, path, id, about, query: &[], headers: &[], body: Body::None, answers }
}

use Answer::{Bytes, Empty, Json, JsonOrText, Object, Socket, Text};

const JOBS: &str = "/v1/audio/transcriptions";
const JOB: &str = "/v1/audio/transcriptions/{id}";

/// Every operation there is. A test holds it to the table of routes.
pub(super) const OPERATIONS: &[Operation] = &[
    op("GET", "/", "start_page", "Every route in a few lines.", &[("200", Text("text/plain"))]),
    op("GET", "/healthz", "healthz", "Whether the process lives.", &[("200", Object)]),
    op("GET", "/readyz", "readyz", "Whether sessions can be served.", &[("200", Object), ("503", Json("Error"))]),
    op("GET", "/openapi.json", "openapi", "This description.", &[("200", Object)]),
    op("GET", "/docs", "docs", "This description, to be read.", &[("200", Text("text/html"))]),
    op("GET", "/metrics", "metrics", "OpenMetrics.", &[("200", Text("application/openmetrics-text"))]),
    op("GET", "/v1/audio/transcriptions/stream", "stream", "Live transcription over a WebSocket.", &[("101", Socket)]),
    op("GET", JOBS, "list_jobs", "Your jobs, newest first, without transcripts.", &[("200", Json("JobList"))]).query(
        &[
            ("status", "only jobs that stand there: pending, running, cancelling, completed, failed or cancelled"),
            ("since", "only jobs accepted then or later: a time in UTC such as 2026-01-31T12:00:00Z"),
            ("limit", "jobs on a page: 1 to 100, 20 if absent"),
            ("cursor", "what the page before gave as next_cursor"),
        ],
    ),
    op(
        "POST",
        JOBS,
        "create_job",
        "Make a job of a file. With response_format, one of OpenAI's model names, or from OpenAI's own client, the answer \
         comes at the end and in OpenAI's shapes, errors too.",
        &[
            ("200", JsonOrText(&["JobCreated", "Job", "OpenAiTranscript"])),
            ("201", Json("JobCreated")),
            ("202", Json("JobCreated")),
        ],
    )
    .query(&[("wait", "true: answer with the finished job, or with 202 if that takes too long")])
    .headers(&[("Idempotency-Key", "the same key with the same request gives the same job; one at most")])
    .takes(Body::Form),
    op(
        "POST",
        "/v1/audio/translations",
        "translate",
        "What is said in a file, in English, in OpenAI's shapes, errors too. For engines that translate.",
        &[("200", JsonOrText(&["OpenAiTranscript"]))],
    )
    .takes(Body::TranslationForm),
    op(
        "GET",
        "/v1/audio/transcriptions/dead",
        "list_dead",
        "Tasks that failed for good.",
        &[("200", Json("DeadList"))],
    )
    .query(&[("limit", "jobs whose tasks are told: 1 to 100, 20 if absent"), ("cursor", "`next_cursor` of the page before")]),
    op("GET", JOB, "get_job", "One job, with stages, and with its transcript once completed.", &[("200", Json("Job"))]),
    op("PATCH", JOB, "rename_job", "Name it otherwise, or not at all (null). What is not given stays.", &[("200", Json("Job"))])
        .takes(Body::Json("Rename")),
    op("DELETE", JOB, "delete_job", "Forget a job that has ended, with everything of it.", &[("204", Empty)]),
    op(
        "POST",
        "/v1/audio/transcriptions/{id}/cancel",
        "cancel_job",
        "End a job. One that has ended stays as it is.",
        &[("200", Json("JobCreated"))],
    ),
    op(
        "POST",
        "/v1/audio/transcriptions/{id}/retry",
        "retry_job",
        "Another try at a job that failed.",
        &[("200", Json("JobCreated"))],
    ),
    op(
        "GET",
        "/v1/audio/transcriptions/{id}/events",
        "job_events",
        "Server-sent events: `progress`, with the job as data, until it has ended.",
        &[("200", Text("text/event-stream")), ("204", Empty)],
    )
    .headers(&[("Last-Event-ID", "as browsers send it when they come back")]),
    op(
        "GET",
        "/v1/audio/transcriptions/{id}/export/{format}",
        "export_job",
        "The transcript as a file: txt, srt, vtt or json.",
        &[("200", JsonOrText(&["Transcript"]))],
    )
    .query(&[
        ("max_line_length", "characters of a subtitle's line: 10 to 200, 42 if absent"),
        ("max_lines", "lines of a subtitle: 1 to 10, 2 if absent"),
    ]),
    op(
        "GET",
        "/v1/audio/transcriptions/{id}/audio",
        "job_audio",
        "The upload as it came.",
        &[("200", Bytes), ("206", Bytes)],
    )
    .headers(&[("Range", "one range of bytes")]),
    op(
        "GET",
        "/v1/audio/transcriptions/{id}/tasks",
        "job_tasks",
        "What exactly happened.",
        &[("200", Json("TaskList"))],
    ),
    op(
        "GET",
        "/v1/audio/transcriptions/{id}/tasks/{task}/artifacts",
        "list_artifacts",
        "What the attempts at a task have written.",
        &[("200", Json("ArtifactList"))],
    ),
    op(
        "GET",
        "/v1/audio/transcriptions/{id}/tasks/{task}/artifacts/{*name}",
        "get_artifact",
        "One of these.",
        &[("200", Bytes)],
    ),
    op("GET", "/v1/webhooks", "list_webhooks", "Who is told of your jobs' ends.", &[("200", Json("WebhookList"))]),
    op(
        "POST",
        "/v1/webhooks",
        "create_webhook",
        "Have a URL told of your jobs' ends, as Standard Webhooks says. The secret that messages are signed with is told here \
         and never again.",
        &[("201", Json("Webhook"))],
    )
    .takes(Body::Json("NewWebhook")),
    op("DELETE", "/v1/webhooks/{id}", "delete_webhook", "Have it told nothing more.", &[("204", Empty)]),
    op(
        "GET",
        "/v1/webhooks/{id}/deliveries",
        "list_deliveries",
        "What became of the newest messages to it: attempts, and how the last one was answered.",
        &[("200", Json("WebhookDeliveryList"))],
    ),
    op(
        "POST",
        "/v1/webhooks/{id}/rotate",
        "rotate_webhook",
        "Another secret. For a day, messages are signed with the one before, too.",
        &[("200", Json("WebhookSecret"))],
    ),
    op(
        "GET",
        "/v1/realtime/status",
        "realtime_status",
        "How many live sessions there are and may be.",
        &[("200", Object)],
    ),
    op("GET", "/v1/realtime/workers", "realtime_workers", "Who serves live sessions.", &[("200", Object)]),
    op("GET", "/v1/realtime/sessions", "list_sessions", "Your live sessions that were kept.", &[("200", Object)])
        .query(&[("limit", "1 to 100, 20 if absent"), ("cursor", "the last session of the page before")]),
    op("GET", "/v1/realtime/sessions/{session_id}", "get_session", "One of them.", &[("200", Object)]),
    op("DELETE", "/v1/realtime/sessions/{session_id}", "delete_session", "Forget it.", &[("204", Empty)]),
    op("GET", "/v1/realtime/sessions/{session_id}/audio", "session_audio", "Its audio.", &[("200", Text("audio/wav"))]),
    op("GET", "/v1/models", "list_models", "What `model` may be, in OpenAI's shape.", &[("200", Object)]),
    op("GET", "/v1/models/{id}", "get_model", "One of these, or what another service's name means.", &[("200", Object)]),
    op("GET", "/v1/engines", "list_engines", "What each engine can do.", &[("200", Object)]),
    op("GET", "/v1/traces", "list_traces", "Recent traces, where they are kept.", &[("200", Object)])
        .query(&[("limit", "1 to 500, 50 if absent")]),
    op("GET", "/v1/traces/{trace_id}", "get_trace", "The spans of one trace.", &[("200", Object)]),
    op("POST", "/auth/tokens", "issue_token", "A token for one live session, for browsers.", &[("201", Object)]),
    op("GET", "/auth/keys", "list_keys", "Who may use the server, of all tenants.", &[("200", Json("KeyList"))]),
    op(
        "POST",
        "/auth/keys",
        "create_key",
        "A key. It is told here and never again. What its limits leave open, the server's settings say.",
        &[("201", Json("Key"))],
    )
    .takes(Body::Json("NewKey")),
    op(
        "DELETE",
        "/auth/keys/{id}",
        "revoke_key",
        "Take a key back for good. Within seconds it opens nothing; what is open goes on.",
        &[("204", Empty)],
    ),
];
