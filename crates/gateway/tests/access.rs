//! Who is let in: keys, scopes, tokens, origins, limits (SE1).

mod support;

use dalston_gateway::{
    GatewayConfig, GatewayError, HttpLimits,
    auth::{ApiKey, AuthConfig, Scope, ServerSecret},
    routes,
};
use dalston_telemetry::{SessionOutcome, Tracers};
use support::{
    CAPACITY, Server,
    wire::{STREAM, read_frames},
};

struct Keys {
    config: GatewayConfig,
    realtime: String,
    read: String,
    admin: String,
    none: String,
}

fn keys() -> Keys {
    let secret = ServerSecret::generate();
    let make = |scopes: &[Scope]| ApiKey::generate(&secret, scopes.to_vec());
    let (realtime, read, admin) = (make(&[Scope::Realtime]), make(&[Scope::Read]), make(&[Scope::Admin]));
    let none = make(&[]);
    let mut records: Vec<_> = [&realtime, &read, &admin, &none].map(|key| key.record().clone()).into();
    records[0].max_sessions = Some(2);
    let text = |key: ApiKey| key.expose().to_owned();
    let auth = AuthConfig::Keys { server_secret: secret, keys: records };
    let config = GatewayConfig { auth, ..GatewayConfig::default() };
    Keys { config, realtime: text(realtime), read: text(read), admin: text(admin), none: text(none) }
}

async fn serve(keys: &Keys) -> Server {
    Server::with(keys.config.clone(), Tracers::off(), CAPACITY).await
}

#[tokio::test]
async fn every_route_but_the_public_list_answers_401() {
    let server = serve(&keys()).await;
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
    let keys = keys();
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
    let keys = keys();
    let mut server = serve(&keys).await;
    let bearer = format!("Bearer {}", keys.realtime);
    for (query, headers) in [
        (String::new(), vec![("authorization", bearer.as_str())]),
        (String::new(), vec![("xi-api-key", keys.realtime.as_str())]),
        (format!("?api_key={}", keys.realtime), vec![]),
    ] {
        let _client = server.connect_with(&query, &headers).await;
        let session = server.session().await;
        let id = keys.realtime.split('_').nth(1).unwrap();
        assert_eq!(&*session.offer.tenant, id);
        session.finish().await;
    }
}

#[tokio::test]
async fn a_session_without_the_right_key_is_accepted_and_told_why() {
    let keys = keys();
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
    let keys = keys();
    let mut server = serve(&keys).await;
    let issued = server.http(&format!("POST /auth/tokens\r\nxi-api-key: {}", keys.realtime)).await;
    assert_eq!((issued.status, issued.json()["expires_in"].as_u64()), (201, Some(60)));
    let query = format!("?token={}", issued.json()["token"].as_str().unwrap());
    let mut first = server.connect(&query).await;
    let session = server.session().await;
    assert_eq!(&*session.offer.tenant, keys.realtime.split('_').nth(1).unwrap());
    let (error, code) = server.connect(&query).await.refusal().await;
    assert_eq!((error.as_str(), code), ("invalid_credentials", 4401));
    session.finish().await;
    assert_eq!(first.rest().await.1, 1000);
}

#[tokio::test]
async fn a_key_has_no_more_sessions_than_its_limit() {
    let keys = keys();
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
    let keys = keys();
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
    let keys = keys();
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
    let keys = keys();
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
    let refused = gateway.serve(listener, std::future::pending()).await;
    assert!(matches!(refused, Err(GatewayError::PublicWithoutAuth(_))));
}
