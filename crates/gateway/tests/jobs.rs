//! Jobs over HTTP: made, listed, read, renamed, cancelled, tried again, deleted.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use dalston_protocol::key::Scope;
use support::{
    Server, config,
    jobs::{BatchServer, Form, JOBS, heard},
    keys::Keys,
};

#[tokio::test]
async fn an_upload_becomes_a_job_that_can_be_read_back() {
    let server = BatchServer::start().await;
    let form = Form::of(b"RIFF audio").field("language", "en").field("vocabulary", r#"["Dalston"]"#);
    let answer = server.post(&form).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let created = answer.json();
    let id = created["id"].as_str().unwrap();
    assert_eq!(created["status"], "pending");
    assert!(created["created_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(answer.header("location"), Some(&*format!("{JOBS}/{id}")));

    let job = server.http(&format!("GET {JOBS}/{id}")).await.json();
    assert_eq!((&job["status"], &job["name"]), (&"pending".into(), &"talk.wav".into()));
    assert_eq!(job["parameters"]["vocabulary"][0], "Dalston");
    assert_eq!((job["progress"].as_f64(), job.get("transcript")), (Some(0.0), None));
    let audio = server.http(&format!("GET {JOBS}/{id}/audio")).await;
    assert_eq!((audio.status, &*audio.body, audio.header("content-type")), (200, "RIFF audio", Some("audio/wav")));
    let part = server.http(&format!("GET {JOBS}/{id}/audio\r\nRange: bytes=5-7")).await;
    assert_eq!((part.status, &*part.body, part.header("content-range")), (206, "aud", Some("bytes 5-7/10")));
    let outside = server.http(&format!("GET {JOBS}/{id}/audio\r\nRange: bytes=10-")).await;
    assert_eq!((outside.status, &*outside.code()), (416, "out_of_range"));
}

#[tokio::test]
async fn a_completed_job_has_its_transcript_stages_tasks_and_artifacts() {
    let server = BatchServer::start().await;
    let id = server.accepted(&Form::of(b"audio")).await;
    server.worker.complete(&id, &heard()).await;

    let job = server.http(&format!("GET {JOBS}/{id}")).await.json();
    assert_eq!((&job["status"], job["progress"].as_f64()), (&"completed".into(), Some(1.0)));
    assert_eq!(job["transcript"]["text"], "go forward ten meters");
    assert_eq!(job["audio_duration"].as_f64(), Some(2.0));
    let stage = &job["stages"][0];
    assert_eq!((&stage["stage"], &stage["engine_id"]), (&"transcribe".into(), &"scripted".into()));
    assert!(stage["wait_seconds"].is_number() && stage["duration_seconds"].is_number(), "{stage}");

    let tasks = server.http(&format!("GET {JOBS}/{id}/tasks")).await.json();
    let task = &tasks["tasks"][0];
    assert_eq!(
        (&task["node"], &task["attempts"], &task["status"]),
        (&"transcribe".into(), &1.into(), &"completed".into())
    );
    let artifacts = format!("{JOBS}/{id}/tasks/{}/artifacts", task["id"].as_str().unwrap());
    let listed = server.http(&format!("GET {artifacts}")).await.json();
    assert_eq!(listed["artifacts"][0]["name"], "1/output.json");
    let output = server.http(&format!("GET {artifacts}/1/output.json")).await;
    assert_eq!((output.status, &*output.body), (200, r#"{"result":{},"files":{}}"#));
    for climbing in ["../../source", "1/../../../source", "%2e%2e/%2e%2e/source", "1", "nothing"] {
        assert_eq!(server.http(&format!("GET {artifacts}/{climbing}")).await.status, 404, "{climbing}");
    }
}

#[tokio::test]
async fn a_transcript_is_exported_in_every_format() {
    let server = BatchServer::start().await;
    let id = server.accepted(&Form::of(b"audio")).await;
    let early = server.http(&format!("GET {JOBS}/{id}/export/srt")).await;
    assert_eq!((early.status, &*early.code()), (409, "wrong_status"));
    server.worker.complete(&id, &heard()).await;

    let export = async |format: &str| server.http(&format!("GET {JOBS}/{id}/export/{format}")).await;
    assert_eq!(export("txt").await.body, "speaker_0: go forward\nspeaker_1: ten meters\n");
    assert!(export("srt").await.body.starts_with("1\n00:00:00,000 --> 00:00:01,000\nspeaker_0: go forward\n\n2\n"));
    let vtt = export("vtt").await;
    assert!(vtt.body.starts_with("WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n<v speaker_0>go forward\n\n"));
    assert_eq!(vtt.header("content-type"), Some("text/vtt; charset=utf-8"));
    assert_eq!(export("json").await.json()["segments"][1]["words"][0]["word"], "ten");
    let narrow = export("vtt?max_line_length=10&max_lines=1").await.body;
    assert_eq!(narrow.matches("-->").count(), 2, "{narrow}");
    for (wrong, param) in [
        ("pdf", "format"),
        ("srt?max_lines=0", "max_lines"),
        ("srt?max_line_length=1e999", "max_line_length"),
        ("srt?lines=2", "lines"),
    ] {
        let answer = export(wrong).await;
        assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &param.into()), "{wrong}");
    }
}

#[tokio::test]
async fn lists_go_from_the_newest_to_the_oldest_by_pages() {
    let server = BatchServer::start().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(server.accepted(&Form::of(b"audio").field("name", &format!("talk {number}"))).await.to_string());
    }
    server.worker.complete(&ids[1].parse().unwrap(), &heard()).await;
    let mut seen = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let page = server.http(&format!("GET {JOBS}{query}")).await.json();
        for job in page["items"].as_array().unwrap() {
            assert!(job.get("transcript").is_none() && job.get("stages").is_none(), "{job}");
            seen.push(job["id"].as_str().unwrap().to_owned());
        }
        match page["next_cursor"].as_str() {
            Some(cursor) => query = format!("?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    ids.reverse();
    assert_eq!(seen, ids);

    let completed = server.http(&format!("GET {JOBS}?status=completed")).await.json();
    assert_eq!(
        (completed["items"].as_array().unwrap().len(), &completed["items"][0]["id"]),
        (1, &ids[3].as_str().into())
    );
    let later = server.http(&format!("GET {JOBS}?since=2100-01-01T00:00:00Z")).await.json();
    assert_eq!(later["items"].as_array().unwrap().len(), 0);
    for (wrong, param) in [
        ("status=done", "status"),
        ("since=yesterday", "since"),
        ("limit=0", "limit"),
        ("cursor=x", "cursor"),
        ("offset=1", "offset"),
    ] {
        let answer = server.http(&format!("GET {JOBS}?{wrong}")).await;
        assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &param.into()), "{wrong}");
    }
}

#[tokio::test]
async fn a_job_is_renamed_and_its_name_taken_away() {
    let server = BatchServer::start().await;
    let id = server.accepted(&Form::of(b"audio")).await;
    let rename =
        async |body: &str| server.send(&format!("PATCH {JOBS}/{id}"), "application/json", body.as_bytes()).await;
    assert_eq!(rename(r#"{"name":"interview"}"#).await.json()["name"], "interview");
    assert!(rename(r#"{"name":null}"#).await.json().get("name").is_none());
    for wrong in ["", "[]", r#"{"name":""}"#, r#"{"name":"a","status":"completed"}"#] {
        assert_eq!(rename(wrong).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn only_a_job_that_has_ended_can_be_deleted_and_nothing_of_it_stays() {
    let server = BatchServer::start().await;
    let id = server.accepted(&Form::of(b"audio")).await;
    let path = format!("{JOBS}/{id}");
    let refused = server.http(&format!("DELETE {path}")).await;
    assert_eq!((refused.status, &*refused.code()), (409, "wrong_status"));
    server.worker.complete(&id, &heard()).await;
    assert_eq!(server.stored_files().len(), 3);
    assert_eq!(server.http(&format!("DELETE {path}")).await.status, 204);
    assert_eq!(server.stored_files(), Vec::<String>::new());
    for request in ["GET", "DELETE"] {
        assert_eq!(server.http(&format!("{request} {path}")).await.status, 404);
    }
}

#[tokio::test]
async fn cancelling_is_at_once_while_nothing_runs_and_soon_while_something_does() {
    let server = BatchServer::start().await;
    let waiting = server.accepted(&Form::of(b"audio")).await;
    let cancel = async |id: &dalston_protocol::JobId| server.http(&format!("POST {JOBS}/{id}/cancel")).await.json();
    assert_eq!(cancel(&waiting).await["status"], "cancelled");
    let running = server.accepted(&Form::of(b"audio")).await;
    server.worker.begin(&running).await;
    assert_eq!(cancel(&running).await["status"], "cancelling");
    let done = server.accepted(&Form::of(b"audio")).await;
    server.worker.complete(&done, &heard()).await;
    assert_eq!(cancel(&done).await["status"], "completed", "what has ended stays as it is");
}

#[tokio::test]
async fn what_failed_is_listed_and_can_be_tried_again() {
    let server = BatchServer::start().await;
    let id = server.accepted(&Form::of(b"audio")).await;
    let task = server.worker.begin(&id).await;
    server.worker.fail(&task, "unsupported_audio", "this is not audio").await;

    let job = server.http(&format!("GET {JOBS}/{id}")).await.json();
    assert_eq!((&job["status"], &job["error"]["code"]), (&"failed".into(), &"unsupported_audio".into()));
    let dead = server.http(&format!("GET {JOBS}/dead")).await.json();
    assert_eq!(
        (&dead["items"][0]["job_id"], &dead["items"][0]["task"]["error"]["code"]),
        (&id.as_str().into(), &"unsupported_audio".into())
    );

    assert_eq!(server.http(&format!("POST {JOBS}/{id}/retry")).await.json()["status"], "running");
    let again = server.http(&format!("POST {JOBS}/{id}/retry")).await;
    assert_eq!((again.status, &*again.code()), (409, "wrong_status"));
    let task = server.worker.start(&task.id).await;
    server.worker.finish(&task, &heard()).await;
    assert_eq!(server.http(&format!("GET {JOBS}/{id}")).await.json()["status"], "completed");
}

#[tokio::test]
async fn another_tenants_job_is_not_found() {
    let keys = Keys::new().await;
    let [mine, other] = [keys.with(&[Scope::Batch]).await, keys.with(&[Scope::Batch]).await]
        .map(|key| format!("Authorization: Bearer {key}"));
    let server = BatchServer::with_keys(config(""), &keys).await;

    let answer = server.post_to(JOBS, &Form::of(b"audio"), &format!("{mine}\r\n")).await;
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    server.worker.complete(&id.parse().unwrap(), &heard()).await;
    let task = server.worker.job(&id.parse().unwrap()).await.1[0].id.to_string();
    for route in [
        format!("GET {JOBS}/{id}"),
        format!("DELETE {JOBS}/{id}"),
        format!("POST {JOBS}/{id}/cancel"),
        format!("POST {JOBS}/{id}/retry"),
        format!("GET {JOBS}/{id}/export/txt"),
        format!("GET {JOBS}/{id}/audio"),
        format!("GET {JOBS}/{id}/events"),
        format!("GET {JOBS}/{id}/tasks"),
        format!("GET {JOBS}/{id}/tasks/{task}/artifacts"),
        format!("GET {JOBS}/{id}/tasks/{task}/artifacts/1/output.json"),
    ] {
        let answer = server.http(&format!("{route}\r\n{other}")).await;
        assert_eq!((answer.status, &*answer.code()), (404, "not_found"), "{route}");
    }
    let list =
        async |key: &str| server.http(&format!("GET {JOBS}\r\n{key}")).await.json()["items"].as_array().unwrap().len();
    assert_eq!((list(&mine).await, list(&other).await), (1, 0));
    assert_eq!(server.http(&format!("GET {JOBS}/{id}\r\n{mine}")).await.status, 200);
}

#[tokio::test]
async fn a_server_without_jobs_says_so() {
    let server = Server::start("").await;
    for route in ["GET /v1/audio/transcriptions", "POST /v1/audio/transcriptions", "GET /v1/audio/transcriptions/job_1"]
    {
        let answer = server.http(route).await;
        assert_eq!((answer.status, &*answer.code()), (404, "not_found"), "{route}");
        assert!(answer.body.contains("takes no files"), "{}", answer.body);
    }
}

#[tokio::test]
async fn engines_of_jobs_are_listed_with_their_stages() {
    let server = BatchServer::start().await;
    let engines = server.http("GET /v1/engines").await.json();
    let stages: Vec<_> = engines["batch"].as_array().unwrap().iter().map(|engine| engine["stage"].clone()).collect();
    assert_eq!(stages, ["prepare", "transcribe", "diarize"]);
    assert_eq!(engines["batch"][1]["capabilities"]["engine_id"], "scripted");
}

#[tokio::test]
async fn what_a_patch_does_not_name_stays() {
    let server = BatchServer::start().await;
    let id = server.accepted(&Form::of(b"audio").field("name", "interview")).await;
    for (body, name) in [("{}", Some("interview")), (r#"{"name": null}"#, None), ("{}", None)] {
        let answer = server.send(&format!("PATCH {JOBS}/{id}"), "application/json", body.as_bytes()).await;
        assert_eq!((answer.status, answer.json()["name"].as_str()), (200, name), "{body}: {answer:?}");
    }
    let nobody = dalston_protocol::JobId::generate();
    assert_eq!(server.send(&format!("PATCH {JOBS}/{nobody}"), "application/json", b"{}").await.status, 404);
}
