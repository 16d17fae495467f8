//! Every route of the API, walked as a stranger, as somebody without the scope, and as another tenant (SE1).

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use dalston_protocol::key::Scope;
use serde_json::Value;
use support::{
    config,
    jobs::{BatchServer, Form, JOBS, heard},
    keys::Keys,
    wire::Answer,
};

/// One operation, with ids of things that are there.
struct Operation {
    method: String,
    template: String,
    path: String,
    is_public: bool,
}

/// What tenant `mine` has.
struct Things {
    job: String,
    task: String,
    webhook: String,
    key: String,
}

impl Things {
    fn in_path(&self, template: &str) -> String {
        let id = match template {
            _ if template.starts_with("/v1/webhooks/") => &self.webhook,
            _ if template.starts_with("/auth/keys/") => &self.key,
            _ => &self.job,
        };
        template
            .replace("{id}", id)
            .replace("{task}", &self.task)
            .replace("{name}", "1/output.json")
            .replace("{format}", "txt")
            .replace("{session_id}", "ses_01890a5d-ac96-774b-bcce-b302099a8057")
            .replace("{trace_id}", "4bf92f3577b34da6a3ce929d0e0e4736")
    }
}

struct Site {
    server: BatchServer,
    operations: Vec<Operation>,
    mine: String,
    others: String,
    none: String,
    admin: String,
}

impl Site {
    async fn start() -> Self {
        let keys = Keys::new().await;
        let all = [Scope::Realtime, Scope::Batch, Scope::Read];
        let header = async |scopes: &[Scope]| format!("Authorization: Bearer {}\r\n", keys.with(scopes).await);
        let (mine, others) = (header(&all).await, header(&all).await);
        let (none, admin) = (header(&[]).await, header(&[Scope::Admin]).await);
        let server = BatchServer::with_keys(config(""), &keys).await;

        let made = server.post_to(JOBS, &Form::of(b"audio"), &mine).await.json();
        let job = made["id"].as_str().unwrap().to_owned();
        server.worker.complete(&job.parse().unwrap(), &heard()).await;
        let task = server.worker.job(&job.parse().unwrap()).await.1[0].id.to_string();
        let hook = br#"{"url": "https://example.org/hook"}"#;
        let webhook = server.server.send("POST /v1/webhooks", &mine, hook).await.json();
        let webhook = webhook["id"].as_str().unwrap().to_owned();
        let key = support::keys::id(&keys.with(&[]).await).to_owned();
        let things = Things { job, task, webhook, key };

        let document = server.http("GET /openapi.json").await.json();
        let operations = document["paths"].as_object().unwrap().iter().flat_map(|(template, methods)| {
            methods.as_object().unwrap().iter().map(|(method, operation)| Operation {
                method: method.to_uppercase(),
                template: template.clone(),
                path: things.in_path(template),
                is_public: operation["security"].is_null(),
            })
        });
        let operations = operations.collect();
        Self { server, operations, mine, others, none, admin }
    }

    async fn ask(&self, operation: &Operation, header: &str) -> Answer {
        let body: &[u8] = if operation.method == "PATCH" { br#"{"name": "x"}"# } else { b"" };
        self.server.server.send(&format!("{} {}", operation.method, operation.path), header, body).await
    }
}

const PUBLIC: [&str; 5] = ["/", "/docs", "/healthz", "/openapi.json", "/readyz"];
/// It opens its socket before it says no: see `access.rs`.
const STREAM: &str = "/v1/audio/transcriptions/stream";

#[tokio::test]
async fn a_stranger_is_401_everywhere_but_on_the_public_list() {
    let site = Site::start().await;
    let mut public: Vec<&str> = Vec::new();
    for operation in &site.operations {
        for header in ["", "Authorization: Bearer dal_0123456789ab_x\r\n", "xi-api-key: x\r\n"] {
            let answer = site.ask(operation, header).await;
            assert_eq!(answer.status == 401, !operation.is_public, "{} {}", operation.method, operation.path);
        }
        public.extend(Some(operation.template.as_str()).filter(|_| operation.is_public));
    }
    assert_eq!(public, PUBLIC);
    assert!(site.operations.len() > 30);
}

#[tokio::test]
async fn a_key_without_the_scope_is_403_everywhere_but_on_the_public_list() {
    let site = Site::start().await;
    for operation in site.operations.iter().filter(|operation| !operation.is_public && operation.template != STREAM) {
        let answer = site.ask(operation, &site.none).await;
        let place = format!("{} {}", operation.method, operation.path);
        assert_eq!((answer.status, &*answer.code()), (403, "insufficient_scope"), "{place}");
        // Who has all scopes but `admin` still does not administrate.
        if operation.template.starts_with("/auth/keys") {
            assert_eq!(site.ask(operation, &site.mine).await.status, 403, "{place}");
        }
    }
}

#[tokio::test]
async fn what_is_another_tenants_is_404_and_stays_as_it_is() {
    let site = Site::start().await;
    let owned = |operation: &&Operation| {
        operation.template.contains("{id}")
            && !["/auth/", "/v1/models/"].iter().any(|open| operation.template.starts_with(open))
    };
    let mut walked = 0;
    for operation in site.operations.iter().filter(owned) {
        for header in [&site.others, &site.admin] {
            let answer = site.ask(operation, header).await;
            let place = format!("{} {}", operation.method, operation.path);
            assert_eq!((answer.status, &*answer.code()), (404, "not_found"), "{place}: {answer:?}");
        }
        walked += 1;
    }
    assert!(walked >= 14, "{walked}");
    // The very same requests find it for its owner.
    for operation in site.operations.iter().filter(owned).filter(|operation| operation.method == "GET") {
        let status = site.ask(operation, &site.mine).await.status;
        assert!([200, 204].contains(&status), "{} is {status}", operation.path);
    }
    let count = async |path: &str, header: &str| {
        let answer = site.server.server.send(&format!("GET {path}"), header, b"").await;
        let list = answer.json();
        list["items"].as_array().or_else(|| Value::as_array(&list)).map_or(0, Vec::len)
    };
    for path in [JOBS, "/v1/webhooks"] {
        assert_eq!((count(path, &site.mine).await, count(path, &site.others).await), (1, 0), "{path}");
    }
}
