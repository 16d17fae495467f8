//! Who is let in: keys, scopes, tokens, origins, limits (SE1).

mod support;

use dalston_gateway::{GatewayConfig, GatewayError, HttpLimits, routes};
use dalston_protocol::key::{KeyLimits, NewKey, Scope};
use dalston_session_router::link::Refusal;
use dalston_telemetry::{SessionOutcome, Tracers};
use support::{
    Server,
    keys::{Keys, id, wanted},
    wire::{STREAM, read_frames},
};

/// A gateway with one key of each kind.
struct Kinds {
    keys: Keys,
    realtime: String,
    read: String,
    admin: String,
    none: String,
}

async fn keys() -> Kinds {
    let keys = Keys::new().await;
    let limits = KeyLimits { max_sessions: Some(2), ..KeyLimits::default() };
    let realtime = keys.make(NewKey { limits, ..wanted(&[Scope::Realtime]) }).await.expose().to_owned();
    let (read, admin) = (keys.with(&[Scope::Read]).await, keys.with(&[Scope::Admin]).await);
    let none = keys.with(&[]).await;
    Kinds { keys, realtime, read, admin, none }
}

async fn serve(kinds: &Kinds) -> Server {
    Server::with_keys(GatewayConfig::default(), &kinds.keys).await
}

#[tokio::test]
async fn every_route_but_the_public_list_answers_401() {
    let keys = keys().await;
    let server = serve(&keys).await;
    let public = ["/", "/healthz", "/readyz", "/openapi.json", "/docs"];
    let table = routes(&HttpLimits::default());
    assert!(table.len() > 10);
    for route in &table {
        let path = route.path.replace("{trace_id}", "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(route.public, public.contains(&route.path), "{path}");
        for method in ["GET", "POST", "DELETE", "PROPFIND"] {
            let answer = server.http(&format!("{method} {path}")).await;
            if route.public {
                assert_ne!(answer.status, 401, "{method} {path}");
                continue;
            }
            assert_eq!(answer.status, 401, "{method} {path}");
            assert_eq!(answer.code(), "missing_credentials");
            assert_eq!(answer.header("www-authenticate"), Some("bearer"));
        }
        for wrong in ["Authorization: Bearer dal_abc_def", "xi-api-key: x", "Authorization: Basic eDp4"] {
            for method in route.method.split(", ") {
                let answer = server.http(&format!("{method} {path}\r\n{wrong}")).await;
                assert_eq!(answer.status == 401, !route.public, "{method} {path} with {wrong}");
            }
        }
    }
}

#[tokio::test]
async fn a_key_without_the_scope_is_403_and_with_it_200() {
    let keys = keys().await;
    let server = serve(&keys).await;
    let check = async |key: &str, request: &str, expected: u16| {
        for header in ["Authorization: Bearer", "Authorization: Token", "xi-api-key:"] {
            let answer = server.http(&format!("{request}\r\n{header} {key}")).await;
            assert_eq!(answer.status, expected, "{request}");
        }
    };
    for request in
        ["GET /v1/realtime/status", "GET /v1/realtime/workers", "GET /v1/models", "GET /v1/engines", "GET /metrics"]
    {
        check(&keys.read, request, 200).await;
        check(&keys.admin, request, 200).await;
        check(&keys.realtime, request, 403).await;
        check(&keys.none, request, 403).await;
    }
    check(&keys.realtime, "POST /auth/tokens", 201).await;
    check(&keys.read, "POST /auth/tokens", 403).await;
    // Switched off, but that much may be known to whoever may see traces.
    check(&keys.admin, "GET /v1/traces", 404).await;
    check(&keys.read, "GET /v1/traces", 403).await;
    check(&keys.realtime, "GET /v1/traces/4bf92f3577b34da6a3ce929d0e0e4736", 404).await;
    check(&keys.none, "GET /v1/traces/4bf92f3577b34da6a3ce929d0e0e4736", 403).await;
}

#[tokio::test]
async fn a_session_is_opened_with_a_key_wherever_it_stands() {
    let keys = keys().await;
    let mut server = serve(&keys).await;
    let bearer = format!("Bearer {}", keys.realtime);
    for (query, headers) in [
        (String::new(), vec![("authorization", bearer.as_str())]),
        (String::new(), vec![("xi-api-key", keys.realtime.as_str())]),
        (format!("?api_key={}", keys.realtime), vec![]),
    ] {
        let _client = server.connect_with(&query, &headers).await;
        let session = server.session().await;
        assert_eq!(&*session.offer.tenant, id(&keys.realtime));
        session.finish().await;
    }
}

#[tokio::test]
async fn a_session_without_the_right_key_is_accepted_and_told_why() {
    let keys = keys().await;
    let check = async |query: String, expected: (&str, u16)| {
        let server = serve(&keys).await;
        let (error, code) = server.connect(&query).await.refusal().await;
        assert_eq!((error.as_str(), code), expected, "{query}");
        server.ended_once(SessionOutcome::Unauthorized).await;
    };
    check(String::new(), ("missing_credentials", 4401)).await;
    check("?api_key=dal_x_y".into(), ("invalid_credentials", 4401)).await;
    check("?token=tok_x".into(), ("invalid_credentials", 4401)).await;
    check(format!("?api_key={}", keys.read), ("insufficient_scope", 4403)).await;
    // Who has no key does not learn what else is wrong.
    check("?sample_rate=1".into(), ("missing_credentials", 4401)).await;
}

#[tokio::test]
async fn a_token_opens_one_session_and_not_two() {
    let keys = keys().await;
    let mut server = serve(&keys).await;
    let issued = server.http(&format!("POST /auth/tokens\r\nxi-api-key: {}", keys.realtime)).await;
    assert_eq!((issued.status, issued.json()["expires_in"].as_u64()), (201, Some(60)));
    let query = format!("?token={}", issued.json()["token"].as_str().unwrap());
    let mut first = server.connect(&query).await;
    let session = server.session().await;
    assert_eq!(&*session.offer.tenant, id(&keys.realtime));
    let (error, code) = server.connect(&query).await.refusal().await;
    assert_eq!((error.as_str(), code), ("invalid_credentials", 4401));
    session.finish().await;
    assert_eq!(first.rest().await.1, 1000);
}

#[tokio::test]
async fn a_key_has_no_more_sessions_than_its_limit() {
    let keys = keys().await;
    let mut server = serve(&keys).await;
    let query = format!("?api_key={}", keys.realtime);
    let mut first = server.connect(&query).await;
    let session = server.session().await;
    let _second = server.connect(&query).await;
    let _session = server.session().await;
    assert_eq!(server.connect(&query).await.refusal().await, ("rate_limited".into(), 4429));
    session.finish().await;
    assert_eq!(first.rest().await.1, 1000);
    let _third = server.connect(&query).await;
    server.session().await;
}

#[tokio::test]
async fn a_seat_is_free_when_the_client_sees_the_close_frame() {
    let keys = keys().await;
    let mut server = serve(&keys).await;
    let query = format!("?api_key={}", keys.realtime);
    let mut open = Vec::new();
    for _ in 0..5 {
        // It never answers the close frame, so that the handshake goes on.
        let mut client = server.connect_raw(&query).await;
        server.session().await.finish().await;
        assert_eq!(read_frames(&mut client).await.1, Some(1000));
        open.push(client);
    }
}

#[tokio::test]
async fn a_token_is_not_used_up_by_what_opens_no_session() {
    let keys = keys().await;
    let mut server = serve(&keys).await;
    let issued = server.http(&format!("POST /auth/tokens\r\nxi-api-key: {}", keys.realtime)).await.json();
    let query = format!("?token={}", issued["token"].as_str().unwrap());
    assert_eq!(server.http(&format!("GET {STREAM}{query}")).await.status, 400);
    let refused = server.connect(&format!("{query}&sample_rate=1")).await.refusal().await;
    assert_eq!(refused, ("invalid_parameter".into(), 4400));
    let _client = server.connect(&query).await;
    server.session().await;
    assert_eq!(server.connect(&query).await.refusal().await.1, 4401);
}

#[tokio::test]
async fn a_token_that_found_no_worker_can_be_used_again_and_one_session_comes_of_it() {
    let keys = keys().await;
    let mut server = serve(&keys).await;
    let issued = server.http(&format!("POST /auth/tokens\r\nxi-api-key: {}", keys.realtime)).await.json();
    let query = format!("?token={}", issued["token"].as_str().unwrap());
    for _ in 0..2 {
        let mut turned_away = server.connect(&query).await;
        // Meanwhile nobody else can use it.
        let mut second = server.connect(&query).await;
        assert_eq!(second.refusal().await, ("invalid_credentials".into(), 4401));
        server.refuse_session(Refusal::Full).await;
        assert_eq!(turned_away.refusal().await, ("no_capacity".into(), 4503));
    }
    let _client = server.connect(&query).await;
    server.session().await;
    assert_eq!(server.connect(&query).await.refusal().await.1, 4401);
}

#[tokio::test]
async fn a_key_that_is_made_opens_at_once_and_one_that_is_taken_back_does_not_any_more() {
    let keys = keys().await;
    let server = serve(&keys).await;
    let admin = format!("xi-api-key: {}", keys.admin);
    let body = br#"{"name": "laptop", "scopes": ["read", "read"], "limits": {"max_jobs": 3}, "expires_in_days": 30}"#;
    let answer = server.send("POST /auth/keys", &admin, body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let made = answer.json();
    let (key, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
    assert_eq!(made["scopes"], serde_json::json!(["read"]));
    assert_eq!((&made["tenant"], &made["limits"]["max_jobs"]), (&id.into(), &3.into()));
    let status = async || server.http(&format!("GET /v1/realtime/status\r\nxi-api-key: {key}")).await.status;
    assert_eq!(status().await, 200);

    let listed = server.http(&format!("GET /auth/keys\r\n{admin}")).await;
    assert_eq!(listed.json()["items"].as_array().unwrap().len(), 5);
    assert!(!listed.body.contains(key.rsplit('_').next().unwrap()) && !listed.body.contains("hash"), "{listed:?}");
    let remove = format!("DELETE /auth/keys/{id}\r\n{admin}");
    assert_eq!(server.http(&remove).await.status, 204);
    assert_eq!(status().await, 401);
    assert_eq!(server.http(&remove).await.status, 404);
    let listed = server.http(&format!("GET /auth/keys\r\n{admin}")).await.json();
    assert_eq!((&listed["items"][4]["id"], listed["items"][4]["revoked_at"].is_string()), (&id.into(), true));
}

#[tokio::test]
async fn a_wrong_wish_for_a_key_is_refused_by_name() {
    let keys = keys().await;
    let server = serve(&keys).await;
    let admin = format!("xi-api-key: {}", keys.admin);
    for (body, named) in [
        (r#"{"name": "x", "scopes": []}"#, "scopes"),
        (r#"{"name": "x", "scopes": ["root"]}"#, "realtime"),
        (r#"{"name": "", "scopes": ["read"]}"#, "name"),
        (r#"{"name": "x", "scopes": ["read"], "tenant": "../x"}"#, "tenant"),
        (r#"{"name": "x", "scopes": ["read"], "limits": {"max_jobs": 0}}"#, "max_jobs"),
        (r#"{"name": "x", "scopes": ["read"], "hash": "x"}"#, "unknown field"),
        ("", "JSON"),
    ] {
        let answer = server.send("POST /auth/keys", &admin, body.as_bytes()).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert!(answer.json()["error"]["message"].as_str().unwrap().contains(named), "{answer:?}");
    }
}

#[tokio::test]
async fn a_key_made_elsewhere_opens_within_seconds_at_every_gateway() {
    let keys = keys().await;
    let gateways = [serve(&keys).await, serve(&keys).await];
    let key = keys.keys.with(&[Scope::Read]).await;
    for (expected, change) in [(200, "made"), (401, "taken back")] {
        for gateway in &gateways {
            let until = tokio::time::Instant::now() + support::LONG;
            loop {
                let status = gateway.http(&format!("GET /v1/realtime/status\r\nxi-api-key: {key}")).await.status;
                if status == expected {
                    break;
                }
                assert!(tokio::time::Instant::now() < until, "nobody noticed that a key was {change}");
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
        keys.keys.store.revoke(id(&key)).await.unwrap();
    }
}

#[tokio::test]
async fn a_key_sends_no_more_requests_a_second_than_its_limit_and_the_others_do_not_notice() {
    let keys = keys().await;
    let limits = KeyLimits { requests_per_second: Some(3), ..KeyLimits::default() };
    let limited = keys.keys.make(NewKey { limits, ..wanted(&[Scope::Read, Scope::Realtime]) }).await;
    let server = serve(&keys).await;
    let ask = async |key: &str| server.http(&format!("GET /v1/realtime/status\r\nxi-api-key: {key}")).await;
    let mut refused = None;
    for _ in 0..100 {
        let answer = ask(limited.expose()).await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("100 requests passed");
    assert_eq!((refused.status, &*refused.code(), refused.header("retry-after")), (429, "rate_limited", Some("1")));
    assert!(refused.body.contains("3 requests a second (requests_per_second)"), "{}", refused.body);
    assert_eq!(ask(&keys.read).await.status, 200);
    // A WebSocket is a request like others.
    let mut refused = None;
    for _ in 0..100 {
        ask(limited.expose()).await;
        let mut client = server.connect_with("?sample_rate=1", &[("xi-api-key", limited.expose())]).await;
        let (code, close) = client.refusal().await;
        if close == 4429 {
            refused = Some(code);
            break;
        }
    }
    assert_eq!(refused.as_deref(), Some("rate_limited"));
}

#[tokio::test]
async fn a_token_is_of_no_matter_where_nobody_is_asked_for_a_key() {
    let mut server = Server::start("").await;
    let _client = server.connect("?token=tok_x").await;
    server.session().await;
}

#[tokio::test]
async fn a_foreign_page_is_kept_out_where_nobody_is_asked_for_a_key() {
    let mut server = Server::start("[auth]\nmode = \"none\"\nallowed_origins = [\"https://captions.example\"]").await;
    for origin in ["https://evil.example", "null", "http://localhost.evil.example"] {
        let mut client = server.connect_with("", &[("origin", origin)]).await;
        assert_eq!(client.refusal().await, ("origin_not_allowed".into(), 4403), "{origin}");
        let answer = server.http(&format!("GET /v1/realtime/status\r\nOrigin: {origin}")).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "origin_not_allowed"));
    }
    let rebound = server.http("GET /v1/realtime/status\r\nHost: evil.example").await;
    assert_eq!(rebound.status, 403);
    for origin in ["http://localhost:3000", "https://captions.example"] {
        let _client = server.connect_with("", &[("origin", origin)]).await;
        server.session().await.finish().await;
    }
}

#[tokio::test]
async fn with_keys_any_page_may_call() {
    let keys = keys().await;
    let mut server = serve(&keys).await;
    let headers = [("origin", "https://anywhere.example"), ("xi-api-key", keys.realtime.as_str())];
    let _client = server.connect_with("", &headers).await;
    server.session().await;
}

#[tokio::test]
async fn a_public_address_without_keys_is_not_served() {
    use dalston_session_router::{InProcessRegistry, RouterSettings, SessionRouter};
    let metrics = std::sync::Arc::new(dalston_telemetry::Metrics::new());
    let registry = std::sync::Arc::new(InProcessRegistry::default());
    let router = SessionRouter::new(registry, RouterSettings::default(), Tracers::off(), metrics.clone());
    let deps = dalston_gateway::Deps { router: router.into(), tracers: Tracers::off(), metrics };
    let gateway = dalston_gateway::Gateway::new(GatewayConfig::default(), deps).unwrap();
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let refused = gateway.serve(listener, std::future::pending(), async {}).await;
    assert!(matches!(refused, Err(GatewayError::PublicWithoutAuth(_))));
}
