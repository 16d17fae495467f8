//! The shapes of what is sent, read off values of the very types that are sent: a description that is written beside the
//! types is one that drifts away from them.

use dalston_protocol::{
    ApiError, ErrorCode, JobId, MessageId, RequestId, Segment, TaskId, Webhook, WebhookDelivery, WebhookDeliveryList,
    WebhookEvent, WebhookId, WebhookList, Word,
    job::{
        Artifact, Granularity, Job, JobCreated, JobError, JobList, JobParameters, JobStatus, SpeakerDetection, Stage,
        Task, TaskList, TaskStatus, Transcript,
    },
    key::{Key, KeyLimits, KeyList, NewKey, Scope},
};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// A time as it stands in answers.
const TIME: &str = "2026-01-31T12:00:00.000Z";

/// Every shape by its name.
pub(super) fn schemas() -> Map<String, Value> {
    let mut schemas = Map::new();
    let mut add = |name: &str, schema: Value| schemas.insert(name.into(), schema);
    add("JobCreated", shape(&created(), &created()));
    add("Job", shape(&job(), &least_job()));
    let list = |job, next_cursor| JobList { items: vec![job], next_cursor };
    add("JobList", shape(&list(job(), Some("1.job_1".into())), &list(least_job(), None)));
    add("Transcript", shape(&transcript(), &least_transcript()));
    add("TaskList", shape(&TaskList { tasks: vec![task()] }, &TaskList { tasks: vec![least_task()] }));
    let artifacts = json!({ "artifacts": [Artifact { name: "1/output.json".into(), bytes: 120 }] });
    add("ArtifactList", shape(&artifacts, &artifacts));
    let dead = |task, name: Option<&str>| json!([{ "job_id": JobId::generate(), "name": name, "task": task }]);
    let (full, least) = (dead(task(), Some("talk.wav")), dead(least_task(), None));
    add("DeadList", shape(&json!({ "items": full, "next_cursor": "1.job_1" }), &json!({ "items": least })));
    add("Rename", json!({ "type": "object", "properties": { "name": { "type": ["string", "null"] } } }));
    add("Webhook", shape(&webhook(), &least_webhook()));
    let list = |delivery| WebhookDeliveryList { items: vec![delivery] };
    add("WebhookDeliveryList", shape(&list(delivery()), &list(least_delivery())));
    add("WebhookList", shape(&WebhookList { items: vec![webhook()] }, &WebhookList { items: vec![least_webhook()] }));
    add(
        "NewWebhook",
        json!({ "type": "object", "properties": {
        "url": { "type": "string" }, "events": { "type": "array", "items": { "type": "string", "enum": WebhookEvent::ALL } },
    }, "required": ["url"], "additionalProperties": false }),
    );
    let secret = json!({ "id": WebhookId::generate(), "secret": "whsec_" });
    add("WebhookSecret", shape(&secret, &secret));
    add("Key", shape(&key(), &least_key()));
    add("KeyList", shape(&KeyList { items: vec![key()] }, &KeyList { items: vec![least_key()] }));
    add("NewKey", shape(&new_key(), &least_new_key()));
    add("Error", shape(&error().body(&RequestId::generate()), &least_error().body(&RequestId::generate())));
    add(
        "OpenAiTranscript",
        json!({ "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"] }),
    );
    for schema in schemas.values_mut() {
        name_words(schema);
    }
    schemas
}

fn webhook() -> Webhook {
    let (disabled_at, secret) = (Some(TIME.into()), Some("whsec_".into()));
    Webhook { disabled_at, secret, ..least_webhook() }
}

fn least_webhook() -> Webhook {
    Webhook {
        id: WebhookId::generate(),
        url: "https://example.org/hook".into(),
        events: WebhookEvent::ALL.into(),
        created_at: TIME.into(),
        disabled_at: None,
        secret: None,
    }
}

fn delivery() -> WebhookDelivery {
    let time = || Some(TIME.to_owned());
    let (answered, problem) = (Some(500), Some("timeout".into()));
    WebhookDelivery { next_attempt_at: time(), ended_at: time(), answered, problem, ..least_delivery() }
}

fn least_delivery() -> WebhookDelivery {
    WebhookDelivery {
        id: MessageId::generate(),
        job_id: JobId::generate(),
        attempts: 1,
        created_at: TIME.into(),
        next_attempt_at: None,
        ended_at: None,
        answered: None,
        problem: None,
    }
}

fn key() -> Key {
    let time = || Some(TIME.to_owned());
    Key {
        limits: limits(),
        last_used_at: time(),
        expires_at: time(),
        revoked_at: time(),
        key: Some("dal_".into()),
        ..least_key()
    }
}

fn least_key() -> Key {
    Key {
        id: "0123456789ab".into(),
        name: "laptop".into(),
        scopes: Scope::ALL.into(),
        tenant: "0123456789ab".into(),
        limits: KeyLimits::default(),
        created_at: TIME.into(),
        last_used_at: None,
        expires_at: None,
        revoked_at: None,
        key: None,
    }
}

fn new_key() -> NewKey {
    NewKey { tenant: Some("team".into()), limits: limits(), expires_in_days: Some(90), ..least_new_key() }
}

fn least_new_key() -> NewKey {
    let (scopes, limits) = (Scope::ALL.into(), KeyLimits::default());
    NewKey { name: "laptop".into(), scopes, tenant: None, limits, expires_in_days: None }
}

fn limits() -> KeyLimits {
    KeyLimits { max_sessions: Some(1), max_jobs: Some(1), max_uploads: Some(1), requests_per_second: Some(1) }
}

/// `full` has every field, `least` only those that are always there.
fn shape(full: &impl Serialize, least: &impl Serialize) -> Value {
    let value = |value: serde_json::Result<Value>| value.expect("what is sent has a form in JSON");
    derived(&value(serde_json::to_value(full)), Some(&value(serde_json::to_value(least))))
}

fn derived(full: &Value, least: Option<&Value>) -> Value {
    match full {
        Value::Object(fields) => {
            let part = |name: &String| least.and_then(|least| least.get(name));
            let properties: Map<String, Value> =
                fields.iter().map(|(name, value)| (name.clone(), derived(value, part(name)))).collect();
            let required: Vec<&String> = fields.keys().filter(|name| least.is_none() || part(name).is_some()).collect();
            json!({ "type": "object", "properties": properties, "required": required })
        }
        Value::Array(items) => {
            let least = least.and_then(|least| least.get(0));
            json!({ "type": "array", "items": items.first().map_or(json!({}), |item| derived(item, least)) })
        }
        Value::String(_) => json!({ "type": "string" }),
        Value::Bool(_) => json!({ "type": "boolean" }),
        Value::Number(number) if number.is_f64() => json!({ "type": "number" }),
        Value::Number(_) => json!({ "type": "integer" }),
        Value::Null => json!({}),
    }
}

/// Fields whose values are a closed list, wherever they stand.
fn name_words(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                match words(name) {
                    Some(words) if value["type"] == "string" => value["enum"] = words,
                    _ => name_words(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(name_words),
        _ => {}
    }
}

fn words(field: &str) -> Option<Value> {
    match field {
        "status" => {
            let mut words: Vec<&str> = JobStatus::ALL.iter().map(|status| status.as_str()).collect();
            let of_tasks = TaskStatus::ALL.iter().map(|status| status.as_str());
            let more: Vec<&str> = of_tasks.filter(|word| !words.contains(word)).collect();
            words.extend(more);
            Some(json!(words))
        }
        "timestamps_granularity" => Some(json!([Granularity::None, Granularity::Segment, Granularity::Word])),
        "speaker_detection" => {
            Some(json!([SpeakerDetection::None, SpeakerDetection::Diarize, SpeakerDetection::PerChannel]))
        }
        _ => None,
    }
}

fn created() -> JobCreated {
    JobCreated { id: JobId::generate(), status: JobStatus::Pending, created_at: TIME.into() }
}

fn least_job() -> Job {
    Job {
        id: JobId::generate(),
        status: JobStatus::Completed,
        name: None,
        parameters: JobParameters::default(),
        request_id: RequestId::generate(),
        trace_id: None,
        created_at: TIME.into(),
        started_at: None,
        completed_at: None,
        expires_at: None,
        audio_duration: None,
        progress: 1.0,
        stages: Vec::new(),
        error: None,
        transcript: None,
    }
}

fn job() -> Job {
    let some_time = || Some(TIME.into());
    Job {
        name: Some("talk.wav".into()),
        parameters: JobParameters {
            model: Some("pocketsphinx".into()),
            vocabulary: vec!["Dalston".into()],
            num_speakers: Some(2),
            ..JobParameters::default()
        },
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
        started_at: some_time(),
        completed_at: some_time(),
        expires_at: some_time(),
        audio_duration: Some(2.5),
        stages: vec![task().stage],
        error: Some(job_error()),
        transcript: Some(transcript()),
        ..least_job()
    }
}

fn job_error() -> JobError {
    JobError { code: "unsupported_audio".into(), message: "…".into(), stage: Some("prepare".into()) }
}

fn least_task() -> Task {
    let stage = Stage {
        stage: "transcribe".into(),
        channel: None,
        engine_id: "pocketsphinx".into(),
        status: TaskStatus::Running,
        progress: 0.5,
        wait_seconds: None,
        duration_seconds: None,
    };
    Task {
        id: TaskId::generate(),
        node: "transcribe".into(),
        depends_on: vec!["prepare".into()],
        stage,
        attempts: 1,
        crashes: 0,
        ready_at: None,
        started_at: None,
        completed_at: None,
        error: None,
    }
}

fn task() -> Task {
    let some_time = || Some(TIME.into());
    let task = least_task();
    let stage = Stage { channel: Some(0), wait_seconds: Some(0.5), duration_seconds: Some(2.5), ..task.stage };
    let error = Some(job_error());
    Task { stage, ready_at: some_time(), started_at: some_time(), completed_at: some_time(), error, ..task }
}

fn least_transcript() -> Transcript {
    let segment = Segment {
        id: 0,
        start: 0.5,
        end: 1.5,
        text: "hello".into(),
        speaker: None,
        channel: None,
        confidence: None,
        words: Vec::new(),
        words_estimated: false,
    };
    Transcript {
        text: "hello".into(),
        language: "en".into(),
        duration: 2.5,
        model: "pocketsphinx/en-us".into(),
        segments: vec![segment],
        warnings: Vec::new(),
    }
}

fn transcript() -> Transcript {
    let word = Word { text: "hello".into(), word: "hello".into(), start: 0.5, end: 1.5, confidence: Some(0.5) };
    let mut transcript = least_transcript();
    transcript.warnings.push("the file is truncated: 12.3 s of 24.6 s could be read".into());
    for segment in &mut transcript.segments {
        segment.speaker = Some("speaker_0".into());
        segment.channel = Some(0);
        segment.confidence = Some(0.5);
        segment.words = vec![word.clone()];
        segment.words_estimated = true;
    }
    transcript
}

fn least_error() -> ApiError {
    ApiError::new(ErrorCode::InvalidParameter, "…")
}

fn error() -> ApiError {
    ApiError::param("language", "…").retry_after(1.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_absent_is_not_required() {
        let job = &schemas()["Job"];
        let required: Vec<&str> = job["required"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert!(required.contains(&"status") && !required.contains(&"transcript"), "{required:?}");
        assert_eq!(job["properties"]["progress"]["type"], "number");
        assert_eq!(job["properties"]["status"]["enum"][0], "pending");
        let segment = &job["properties"]["transcript"]["properties"]["segments"]["items"];
        assert_eq!(segment["properties"]["words"]["items"]["properties"]["start"]["type"], "number");
    }
}
