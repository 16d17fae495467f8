//! Serves those of this process who wait: one look after another, so that who came first is served first.

use std::{sync::Arc, time::Duration};

use dalston_redis::{Keys, Redis, RedisError, ScriptCall, Value};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep_until},
};

use super::{
    line::{Answer, Line, Look, Ticket, Wish},
    scripts::{self, Found},
};
use crate::{BrokerError, Claim};

#[derive(Debug)]
pub(super) struct Desk {
    pub(super) redis: Redis,
    pub(super) keys: Keys,
    line: Mutex<Line>,
    woken: Notify,
}

impl Desk {
    pub(super) fn new(redis: Redis, keys: Keys) -> Self {
        Self { redis, keys, line: Mutex::default(), woken: Notify::new() }
    }

    /// Steps in line. Left when the place is dropped.
    pub(super) fn join(self: &Arc<Self>, wish: Wish, wait: Duration) -> Place {
        let now = Instant::now();
        // What is too far to be told is a year away.
        let deadline = now + wait.min(Duration::from_secs(365 * 24 * 3600));
        let (ticket, answer) = self.line.lock().join(wish, deadline, now);
        self.woken.notify_one();
        Place { desk: self.clone(), ticket, answer }
    }

    /// There may be something in `queue`, or in any.
    pub(super) fn ring(&self, queue: Option<&str>) {
        self.line.lock().ring(queue);
        self.woken.notify_one();
    }

    /// Runs until it is dropped.
    pub(super) async fn serve(&self) {
        loop {
            let (unclaimed, look, next) = {
                let mut line = self.line.lock();
                let look = line.look(Instant::now());
                (line.unclaimed(), look, line.next())
            };
            for claim in unclaimed {
                self.give_back(&claim).await;
            }
            match (look, next) {
                (Some(look), _) => self.take(&look).await,
                (None, Some(next)) => tokio::select! {
                    () = self.woken.notified() => {}
                    () = sleep_until(next) => {}
                },
                (None, None) => self.woken.notified().await,
            }
        }
    }

    async fn take(&self, look: &Look) {
        let found = self.look(&look.wish).await;
        let now = Instant::now();
        let mut line = self.line.lock();
        match found {
            Ok(Found::Delivery(delivery)) => line.give(look.ticket, delivery),
            Ok(Found::NothingFor(time)) => line.found_nothing(look, Some(time), now),
            Ok(Found::Nothing) => line.found_nothing(look, None, now),
            // What fails one would fail the next as well, each after the whole time that an answer may take.
            Err(error) => line.fail(&error),
        }
    }

    async fn look(&self, wish: &Wish) -> Result<Found, BrokerError> {
        let call = self.call(&scripts::CLAIM).arg(&wish.consumer).arg(scripts::micros(wish.lease)).arg(&wish.queues);
        let answer: Value = self.redis.run(&call).await?;
        Found::read(&answer, &wish.consumer).ok_or_else(strange)
    }

    /// `script` with what each of them begins with.
    pub(super) fn call<'a>(&self, script: &'a dalston_redis::Script) -> ScriptCall<'a> {
        script.call().key(self.keys.key("served")).arg(self.keys.prefix())
    }

    /// A script that asks whether a claim stands.
    pub(super) fn fenced<'a>(&self, script: &'a dalston_redis::Script, claim: &Claim) -> ScriptCall<'a> {
        self.call(script).arg(&claim.queue).arg(&claim.id).arg(&claim.consumer).arg(claim.deliveries)
    }

    /// What was taken for somebody who has left. When it fails, its lease ends some time.
    async fn give_back(&self, claim: &Claim) {
        if let Err(error) = self.redis.run::<bool>(&self.fenced(&scripts::RELEASE, claim)).await {
            tracing::debug!(%error, "a message that nobody waited for any more comes back when its lease ends");
        }
    }
}

pub(super) fn strange() -> BrokerError {
    BrokerError::Unavailable("Redis gave an answer that no script of ours gives".to_owned())
}

impl From<RedisError> for BrokerError {
    fn from(error: RedisError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// A place in line.
#[derive(Debug)]
pub(super) struct Place {
    desk: Arc<Desk>,
    ticket: Ticket,
    answer: oneshot::Receiver<Answer>,
}

impl Place {
    pub(super) async fn answer(mut self) -> Answer {
        let answer = &mut self.answer;
        answer.await.unwrap_or_else(|_| Err(BrokerError::Unavailable("the broker has ended".to_owned())))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let given = self.answer.try_recv().ok().and_then(Result::ok).flatten();
        self.desk.line.lock().leave(self.ticket, given.map(|delivery| delivery.claim));
        self.desk.woken.notify_one();
    }
}
