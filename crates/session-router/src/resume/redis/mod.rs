//! The store that gateways of many machines share: one Lua script per operation, and two keys a session that share a
//! slot of a cluster. Redis itself forgets what has expired.

use std::time::Duration;

use dalston_protocol::SessionId;
use dalston_redis::{FromRedisValue, Keys, Redis, RedisError, Script, ScriptCall, Settings};
use dalston_telemetry::{Component, Tracers};
use futures_util::{FutureExt, future::BoxFuture};

use super::{Claim, Epoch, Look, MOST_FINALS_BYTES, ResumeStore, Save, Saved, SecretHash, Taken, Whole};
use crate::Unavailable;

/// For an answer. A final waits for it, and so does a client that comes back.
const ANSWER: Duration = Duration::from_secs(1);

/// Sessions on Redis. Each gateway has its own handle, and all that share a server and a prefix have the same sessions.
#[derive(Debug)]
pub struct RedisResumeStore {
    redis: Redis,
    prefix: String,
    save: Script,
    look: Script,
    take: Script,
    forget: Script,
}

impl RedisResumeStore {
    /// Reads the URL, as [`Redis::open`] does, and connects when it is first asked something.
    ///
    /// # Errors
    /// The URL cannot be used.
    pub fn open(url: &str, prefix: &str, tracers: Tracers) -> Result<Self, RedisError> {
        let settings = Settings { connect: ANSWER, answer: ANSWER, component: Component::Gateway, tracers };
        Ok(Self {
            redis: Redis::open(url, settings)?,
            prefix: prefix.to_owned(),
            save: Script::new("resume.save", include_str!("save.lua")),
            look: Script::new("resume.look", include_str!("look.lua")),
            take: Script::new("resume.take", include_str!("take.lua")),
            forget: Script::new("resume.forget", include_str!("forget.lua")),
        })
    }

    fn call<'a>(&self, script: &'a Script, session: &SessionId) -> ScriptCall<'a> {
        let keys = Keys::new(&self.prefix, session.as_str());
        script.call().key(keys.key("head")).key(keys.key("finals"))
    }

    async fn ask<T: FromRedisValue>(&self, call: ScriptCall<'_>) -> Result<T, Unavailable> {
        self.redis.run(&call).await.map_err(|error| Unavailable(error.to_string()))
    }

    async fn do_save(&self, save: Save) -> Result<Saved, Unavailable> {
        let call = self.call(&self.save, &save.session).arg(save.epoch.number).arg(save.epoch.holder);
        let call = call.arg(save.after).arg(millis(save.ttl));
        let call = call.arg(MOST_FINALS_BYTES).arg(u8::from(save.whole.is_some()));
        let call = match &save.whole {
            Some(Whole { secret, tenant, begun }) => call.arg(hex(secret)).arg(&**tenant).arg(begun),
            None => call.arg("").arg("").arg(""),
        };
        let call = call.arg(save.state.unwrap_or_default());
        let call = save.finals.iter().fold(call, |call, said| call.arg(said));
        match self.ask::<String>(call).await?.as_str() {
            "kept" => Ok(Saved::Kept),
            "taken" => Ok(Saved::TakenOver),
            "forgotten" => Ok(Saved::Forgotten),
            _ => Err(nonsense()),
        }
    }

    async fn do_look(&self, claim: &Claim) -> Result<Option<Look>, Unavailable> {
        let call = self.call(&self.look, &claim.session).arg(hex(&claim.secret)).arg(&*claim.tenant);
        match self.ask::<Option<(String, String)>>(call).await? {
            Some((begun, state)) => Ok(Some(Look { begun, state })),
            None => Ok(None),
        }
    }

    async fn do_take(&self, claim: &Claim, ttl: Duration) -> Result<Option<Taken>, Unavailable> {
        let call = self.call(&self.take, &claim.session);
        let mut epoch = Epoch::with_number(0);
        let call = call.arg(hex(&claim.secret)).arg(&*claim.tenant).arg(epoch.holder).arg(millis(ttl));
        let Some(answer) = self.ask::<Option<Vec<String>>>(call).await? else { return Ok(None) };
        let mut answer = answer.into_iter();
        let mut next = || answer.next().ok_or_else(nonsense);
        let (taken, begun, state, dropped) = (next()?, next()?, next()?, next()?);
        let number = |text: &str| text.parse().map_err(|_| nonsense());
        epoch.number = number(&taken)?;
        let dropped = number(&dropped)?;
        Ok(Some(Taken { epoch, begun, state, dropped, finals: answer.collect() }))
    }
}

impl ResumeStore for RedisResumeStore {
    fn outlives_process(&self) -> bool {
        true
    }

    fn save(&self, save: Save) -> BoxFuture<'_, Result<Saved, Unavailable>> {
        self.do_save(save).boxed()
    }

    fn look<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<Option<Look>, Unavailable>> {
        self.do_look(claim).boxed()
    }

    fn take<'a>(&'a self, claim: &'a Claim, ttl: Duration) -> BoxFuture<'a, Result<Option<Taken>, Unavailable>> {
        self.do_take(claim, ttl).boxed()
    }

    fn forget<'a>(
        &'a self,
        session: &'a SessionId,
        epoch: Epoch,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), Unavailable>> {
        let call = self.call(&self.forget, session).arg(epoch.number).arg(epoch.holder).arg(millis(ttl));
        self.ask(call).boxed()
    }
}

fn hex(secret: &SecretHash) -> String {
    secret.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

fn nonsense() -> Unavailable {
    Unavailable("the server's answer is not one of the script's".into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dalston_redis::testing::{Launch, RedisServer};

    use super::*;
    use crate::conformance::resume::{Subject, claim, first, next};

    fn store(server: &RedisServer) -> RedisResumeStore {
        RedisResumeStore::open(&server.url(), "test", Tracers::off()).expect("it is a URL")
    }

    /// Time passes as it does: these keys have Redis's own expiry.
    fn subject_of(server: RedisServer) -> Subject {
        let store = Arc::new(store(&server));
        let pass = move |time| {
            let _alive = &server;
            tokio::time::sleep(time).boxed()
        };
        Subject { store, ttl: Duration::from_millis(500), pass: Box::new(pass) }
    }

    mod server {
        use super::*;

        async fn subject() -> Subject {
            subject_of(RedisServer::start())
        }

        crate::resume_conformance!(tokio::test, subject);
    }

    mod cluster {
        use super::*;

        async fn subject() -> Subject {
            subject_of(Launch::default().cluster().start())
        }

        crate::resume_conformance!(tokio::test, subject);
    }

    #[tokio::test]
    async fn a_server_that_lost_everything_or_the_newest_says_so_and_is_told_all_again() {
        let server = RedisServer::start();
        let (store, session, ttl) = (store(&server), SessionId::generate(), Duration::from_secs(30));
        assert_eq!(store.save(first(&session, ttl)).await, Ok(Saved::Kept));
        assert_eq!(store.save(next(&session, 0, &["a", "b"], ttl)).await, Ok(Saved::Kept));
        server.ask(&["RPOP", &format!("{{test:{session}}}:finals")]);
        assert_eq!(store.save(next(&session, 2, &["c"], ttl)).await, Ok(Saved::Forgotten));
        server.ask(&["FLUSHALL"]);
        assert_eq!(store.save(next(&session, 2, &["c"], ttl)).await, Ok(Saved::Forgotten));
        let again = Save { finals: ["a", "b", "c"].map(String::from).into(), ..first(&session, ttl) };
        assert_eq!(store.save(again).await, Ok(Saved::Kept));
        let taken = store.take(&claim(&session), ttl).await.expect("it answers").expect("it is there");
        assert_eq!(taken.finals, ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn of_two_that_a_server_gave_the_same_epoch_because_it_lost_one_the_later_one_has_the_session() {
        let server = RedisServer::start();
        let (store, session, ttl) = (store(&server), SessionId::generate(), Duration::from_secs(30));
        assert_eq!(store.save(first(&session, ttl)).await, Ok(Saved::Kept));
        let take = async || store.take(&claim(&session), ttl).await.expect("it answers").expect("it is there").epoch;
        let (head, before) = (format!("{{test:{session}}}:head"), format!("{{test:{session}}}:before"));
        server.ask(&["COPY", &head, &before]);
        let lost = take().await;
        server.ask(&["COPY", &before, &head, "REPLACE"]);
        let stands = take().await;
        assert_eq!((lost.number, stands.number), (2, 2));
        let save = |epoch, after, said| Save { epoch, ..next(&session, after, &[said], ttl) };
        assert_eq!(store.save(save(stands, 0, "a")).await, Ok(Saved::Kept));
        assert_eq!(store.save(save(lost, 1, "b")).await, Ok(Saved::TakenOver));
        assert_eq!(store.save(Save { epoch: lost, ..first(&session, ttl) }).await, Ok(Saved::TakenOver));
        // Its client does not come back to it.
        assert_eq!(store.forget(&session, lost, ttl).await, Ok(()));
        assert_eq!(store.save(save(stands, 1, "b")).await, Ok(Saved::Kept));
        let taken = store.take(&claim(&session), ttl).await.expect("it answers").expect("it is there");
        assert_eq!((taken.epoch.number, taken.finals), (3, vec!["a".to_owned(), "b".to_owned()]));
    }

    #[tokio::test]
    async fn the_secret_itself_is_not_kept_and_nothing_is_for_ever() {
        let server = RedisServer::start();
        let (store, session) = (store(&server), SessionId::generate());
        assert_eq!(store.save(first(&session, Duration::from_secs(30))).await, Ok(Saved::Kept));
        let next = next(&session, 0, &["a"], Duration::from_secs(30));
        assert_eq!(store.save(next).await, Ok(Saved::Kept));
        for key in ["head", "finals"] {
            let left: i64 = server.ask(&["PTTL", &format!("{{test:{session}}}:{key}")]).parse().expect("a number");
            assert!((1..=30_000).contains(&left), "{key}: {left}");
        }
    }
}
