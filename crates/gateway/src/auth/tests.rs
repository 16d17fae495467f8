use std::time::Duration;

use dalston_protocol::key::{NewKey, Scope};
use dalston_store::JobStore;
use tempfile::TempDir;

use super::*;

struct Server {
    auth: Authenticator,
    keys: KeyStore,
    secret: ServerSecret,
    _folder: TempDir,
}

async fn server(mode: Option<AuthMode>) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("jobs.db").display());
    let keys = JobStore::open(&url).await.unwrap().keys();
    let secret = ServerSecret::generate();
    let config = AuthConfig { mode, ..AuthConfig::default() };
    let mut auth = Authenticator::new(&config).unwrap();
    auth.with_keys(keys.clone(), secret.clone(), config.limits);
    Server { auth, keys, secret, _folder: folder }
}

impl Server {
    /// A key that this gateway knows.
    async fn key(&self, scopes: &[Scope]) -> ApiKey {
        let key = self.unknown_key(scopes).await;
        self.auth.keys_changed().await.unwrap();
        key
    }

    /// A key that was just made by somebody else.
    async fn unknown_key(&self, scopes: &[Scope]) -> ApiKey {
        let key = ApiKey::generate(&self.secret, wanted(scopes));
        self.keys.add(key.record().clone()).await.unwrap().unwrap();
        key
    }

    fn with_key(&self, key: &str) -> Result<Principal, ApiError> {
        self.auth.authenticate(Some(&Credential::Key(key.into())))
    }
}

fn wanted(scopes: &[Scope]) -> NewKey {
    let (scopes, limits) = (scopes.to_vec(), KeyLimits::default());
    NewKey { name: "test".into(), scopes, tenant: None, limits, expires_in_days: None }
}

const LOCAL: ([u8; 4], u16) = ([127, 0, 0, 1], 8000);
const PUBLIC: ([u8; 4], u16) = ([0, 0, 0, 0], 8000);

#[tokio::test]
async fn a_public_address_needs_keys() {
    let check = async |server: &Server, local: bool, public: bool| {
        assert_eq!(server.auth.ready_for(LOCAL.into()).await.is_ok(), local);
        assert_eq!(server.auth.ready_for(PUBLIC.into()).await.is_ok(), public);
    };
    let unset = server(None).await;
    check(&unset, true, false).await;
    unset.key(&[Scope::Read]).await;
    check(&unset, true, true).await;
    let none = server(Some(AuthMode::None)).await;
    none.key(&[Scope::Read]).await;
    check(&none, true, false).await;
    check(&server(Some(AuthMode::Keys)).await, true, true).await;
    let bare = Authenticator::new(&AuthConfig { mode: Some(AuthMode::Keys), ..AuthConfig::default() }).unwrap();
    assert!(bare.ready_for(LOCAL.into()).await.is_err(), "keys, and nowhere to look for them");
}

#[tokio::test]
async fn the_first_key_closes_an_open_server_and_taking_it_back_does_not_open_it() {
    let server = server(None).await;
    assert_eq!(&*server.auth.authenticate(None).unwrap().tenant(), "anonymous");
    let key = server.unknown_key(&[Scope::Realtime]).await;
    tokio::time::timeout(Duration::from_secs(20), async {
        tokio::select! {
            () = server.auth.keep_fresh() => {}
            () = async { while !server.auth.asks_for_keys() { tokio::task::yield_now().await } } => {}
        }
    })
    .await
    .expect("nobody noticed");
    assert_eq!(server.auth.authenticate(None).unwrap_err().code, ErrorCode::MissingCredentials);
    assert!(server.with_key(key.expose()).is_ok());
    assert!(server.auth.origins().is_none());
    assert!(server.keys.revoke(key.id()).await.unwrap());
    server.auth.keys_changed().await.unwrap();
    assert_eq!(server.with_key(key.expose()).unwrap_err().code, ErrorCode::InvalidCredentials);
    assert_eq!(server.auth.authenticate(None).unwrap_err().code, ErrorCode::MissingCredentials);
}

#[tokio::test]
async fn a_key_lets_in_itself_and_no_other() {
    let server = server(None).await;
    let key = server.key(&[Scope::Realtime]).await;
    let principal = server.with_key(key.expose()).unwrap();
    assert_eq!(&*principal.tenant(), key.id());
    assert!(principal.require(Scope::Realtime).is_ok());
    assert_eq!(principal.require(Scope::Admin).unwrap_err().code, ErrorCode::InsufficientScope);

    let other = ApiKey::generate(&server.secret, wanted(&[Scope::Realtime]));
    let swapped = other.expose().replace(other.id(), key.id());
    for wrong in [other.expose(), &swapped, "", "dal_", "dal__", key.id(), &key.expose()[1..], &"x".repeat(100_000)] {
        assert_eq!(server.with_key(wrong).unwrap_err().code, ErrorCode::InvalidCredentials);
    }
    let half = key.expose().rsplit('_').next().unwrap();
    assert!(!format!("{key:?} {:?} {:?}", key.record(), server.auth).contains(half), "the secret prints");
}

#[tokio::test]
async fn a_key_of_another_server_secret_lets_nobody_in() {
    let server = server(None).await;
    let foreign = ApiKey::generate(&ServerSecret::generate(), wanted(&[Scope::Realtime]));
    server.keys.add(foreign.record().clone()).await.unwrap().unwrap();
    server.auth.keys_changed().await.unwrap();
    assert_eq!(server.with_key(foreign.expose()).unwrap_err().code, ErrorCode::InvalidCredentials);
    assert!(server.auth.asks_for_keys());
}

#[tokio::test]
async fn what_a_holder_has_open_is_counted_also_when_other_keys_come_and_go() {
    let server = server(None).await;
    let mut limited = wanted(&[Scope::Realtime]);
    limited.limits.max_sessions = Some(1);
    let key = ApiKey::generate(&server.secret, limited);
    server.keys.add(key.record().clone()).await.unwrap().unwrap();
    server.auth.keys_changed().await.unwrap();
    let _open = server.with_key(key.expose()).unwrap().begin_session().unwrap();
    server.key(&[Scope::Read]).await;
    assert_eq!(server.with_key(key.expose()).unwrap().begin_session().unwrap_err().code, ErrorCode::RateLimited);
}

#[tokio::test]
async fn wrong_keys_ask_the_database_nothing_and_leave_nothing_behind() {
    let server = server(Some(AuthMode::Keys)).await;
    let key = server.key(&[Scope::Realtime]).await;
    let Server { auth, secret, _folder, keys } = server;
    // Nothing could be asked any more.
    keys.used(&[]).await.unwrap();
    for _ in 0..1_000 {
        let wrong = ApiKey::generate(&secret, wanted(&[]));
        let refused = auth.authenticate(Some(&Credential::Key(wrong.expose().into())));
        assert_eq!(refused.unwrap_err().code, ErrorCode::InvalidCredentials);
    }
    assert_eq!(auth.keyring.as_ref().unwrap().known(), 1);
    assert!(auth.authenticate(Some(&Credential::Key(key.expose().into()))).is_ok());
}

#[tokio::test]
async fn keys_are_believed_for_a_while_without_a_database_and_then_nobody_is_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("jobs.db").display());
    let jobs = JobStore::open(&url).await.unwrap();
    let (keys, secret) = (jobs.keys(), ServerSecret::generate());
    let key = ApiKey::generate(&secret, wanted(&[Scope::Realtime]));
    keys.add(key.record().clone()).await.unwrap().unwrap();
    let mut auth = Authenticator::new(&AuthConfig::default()).unwrap();
    auth.with_keys(keys, secret, KeyLimits::default());
    auth.keys_changed().await.unwrap();
    jobs.close().await;
    assert!(auth.keys_changed().await.is_err(), "the database is gone");

    tokio::time::pause();
    let with = |key: &str| auth.authenticate(Some(&Credential::Key(key.to_owned().into())));
    tokio::time::advance(Duration::from_secs(59)).await;
    assert!(with(key.expose()).is_ok());
    assert_eq!(with("dal_x_y").unwrap_err().code, ErrorCode::InvalidCredentials);
    tokio::time::advance(Duration::from_secs(2)).await;
    for given in [key.expose(), "dal_x_y"] {
        let refused = with(given).unwrap_err();
        assert_eq!((refused.code, refused.retry_after.is_some()), (ErrorCode::Unavailable, true), "which key is told");
    }
    assert_eq!(auth.authenticate(None).unwrap_err().code, ErrorCode::MissingCredentials);
}

#[tokio::test]
async fn a_token_opens_one_session_in_the_name_of_its_key() {
    let server = server(None).await;
    let key = server.key(&[Scope::Realtime, Scope::Admin]).await;
    let owner = server.with_key(key.expose()).unwrap();
    let with_token = |issued: &IssuedToken| {
        let token = Credential::Token(issued.token.clone().into());
        server.auth.authenticate(Some(&token))
    };

    let issued = server.auth.issue_token(&owner).unwrap();
    let bearer = with_token(&issued).unwrap();
    assert_eq!(bearer.tenant(), owner.tenant());
    assert!(bearer.require(Scope::Realtime).is_ok());
    assert!(bearer.require(Scope::Admin).is_err(), "a token carries no more than it needs");
    let second = with_token(&issued).expect("nothing has come of the first yet");
    server.auth.take_token(&bearer).unwrap().unwrap().use_up();
    assert_eq!(server.auth.take_token(&second).unwrap_err().code, ErrorCode::InvalidCredentials, "used twice");
    assert_eq!(with_token(&issued).unwrap_err().code, ErrorCode::InvalidCredentials);
    assert!(server.auth.take_token(&owner).unwrap().is_none(), "a key is not used up");

    let issued = server.auth.issue_token(&owner).unwrap();
    assert!(server.keys.revoke(key.id()).await.unwrap());
    server.auth.keys_changed().await.unwrap();
    assert_eq!(with_token(&issued).unwrap_err().code, ErrorCode::InvalidCredentials, "its key was taken back");
}

#[tokio::test]
async fn the_last_use_of_a_key_is_noted() {
    let server = server(None).await;
    let (used, unused) = (server.key(&[Scope::Read]).await, server.key(&[Scope::Read]).await);
    server.with_key(used.expose()).unwrap();
    server.auth.note_uses().await;
    for key in server.keys.list().await.unwrap() {
        assert_eq!(key.last_used_at.is_some(), key.id != unused.id(), "{key:?}");
    }
}
