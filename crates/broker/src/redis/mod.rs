//! The broker of many machines: Redis Streams with one consumer group each, and scripts that fence.
//!
//! # What stands where
//!
//! A queue is a stream, and in its group's pending entries stands who has what and how often it was delivered. Redis
//! lets anybody acknowledge anything, so every acknowledgement, renewal and release goes through a script that first
//! compares both (`redis/*.lua`; `common.lua` lists the keys). Leases stand beside it in a sorted set by the time they
//! end: pending entries know only since when they are idle, and each claim has a lease of its own length.
//!
//! A claim, too, is one script: it takes what has come back before what is new, from the queue that was served longest
//! ago, and writes down the lease in the same step. A blocking `XREADGROUP` could do neither, and whoever died between
//! its answer and the writing of a lease would take the message with him. So it is not Redis that waits but this
//! process, in a line ([`Line`](line::Line)): a publication or a release rings the queue's bell on a channel, which a
//! connection of its own listens to, and the first in line looks. Once a second, and when a lease ends, the first looks
//! unrung: so neither a bell that a lost connection has swallowed nor a dead process keeps a message waiting.
//!
//! All keys of a broker share a hash tag, because the limit and the order of queues are over all of them. A cluster
//! gives a broker one of its nodes; several brokers, each with a prefix of its own, are several nodes' work.
//!
//! # What is lost with what
//!
//! With `appendonly yes` and `appendfsync always` what was accepted survives a crash of the server; with less, as much
//! as Redis says; where a replica takes over, all but what had not reached it. A server that comes back empty is made
//! use of at once: claims of before are refused, streams and groups are made again, and the store publishes again what
//! was forgotten.
//!
//! Leases end by the server's wall clock. When it leaps ahead, messages go to a second consumer early, and the first is
//! refused; when it leaps back, what a dead consumer had comes back that much later.

mod desk;
mod line;
mod scripts;

use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use dalston_redis::{Heard, Keys, Listener, Redis, Value, cmd};
use futures_util::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use tokio_util::task::AbortOnDropHandle;

use crate::{Broker, BrokerError, Claim, Delivery, MAX_BODY, QueueStats, Subscription, topics::Topics};
use desk::{Desk, strange};
use line::Wish;
use scripts::{ACKNOWLEDGE, PUBLISH, RELEASE, RENEW, STATS, micros, stats};

/// The broker of many machines. Those who use the same server and prefix share its queues and topics.
///
/// Those who wait in one process are served in the order they came; between processes, whichever hears a bell first.
pub struct RedisBroker {
    desk: Arc<Desk>,
    topics: Topics,
    listener: Arc<Listener>,
    /// Queues whose bells are listened to: those that were ever waited for here.
    bells: Mutex<HashSet<String>>,
    limit: usize,
    _serving: AbortOnDropHandle<()>,
}

impl RedisBroker {
    /// Takes `limit` messages, ready and claimed, of all queues; one more is refused with [`BrokerError::Full`]. It
    /// connects when it is first asked something.
    ///
    /// # Panics
    /// Outside a tokio runtime, or when `prefix` has a brace.
    pub fn new(redis: &Redis, prefix: &str, limit: usize) -> Self {
        let keys = Keys::new(prefix, "broker");
        let (desk, topics) = (Arc::new(Desk::new(redis.clone(), keys.clone())), Topics::default());
        let listener = Arc::new(redis.listen(hearing(&keys, desk.clone(), topics.clone())));
        // Weak, or the listener would hold itself.
        let (weak, channels) = (Arc::downgrade(&listener), keys);
        topics.watch(move |topic, is_watched| match (weak.upgrade(), is_watched) {
            (Some(listener), true) => listener.add(&topic_channel(&channels, topic)),
            (Some(listener), false) => listener.unsubscribe(&topic_channel(&channels, topic)),
            (None, _) => {}
        });
        let serving = tokio::spawn({
            let desk = desk.clone();
            async move { desk.serve().await }
        });
        let _serving = AbortOnDropHandle::new(serving);
        Self { desk, topics, listener, bells: Mutex::default(), limit, _serving }
    }

    /// Listens to the bells of `queues` from now on. Nobody waits for that: when a bell can be heard it counts as rung.
    fn hear(&self, queues: &[String]) {
        let mut bells = self.bells.lock();
        for queue in queues {
            if bells.contains(queue) {
                continue;
            }
            bells.insert(queue.clone());
            let (desk, listener, queue) = (self.desk.clone(), self.listener.clone(), queue.clone());
            // Ends within the time of an answer.
            tokio::spawn(async move {
                if let Err(error) = listener.subscribe(&bell_channel(&desk.keys, &queue)).await {
                    tracing::debug!(%error, "a queue's bell cannot be heard yet");
                }
                desk.ring(Some(&queue));
            });
        }
    }

    async fn fenced(&self, script: &dalston_redis::Script, claim: &Claim) -> Result<bool, BrokerError> {
        Ok(self.desk.redis.run(&self.desk.fenced(script, claim)).await?)
    }
}

fn bell_channel(keys: &Keys, queue: &str) -> String {
    keys.key(&format!("bell:{queue}"))
}

fn topic_channel(keys: &Keys, topic: &str) -> String {
    keys.key(&format!("topic:{topic}"))
}

/// What is done on hearing something.
fn hearing(keys: &Keys, desk: Arc<Desk>, topics: Topics) -> impl Fn(Heard<'_>) + Send + Sync + 'static {
    let (bells, topic_channels) = (bell_channel(keys, ""), topic_channel(keys, ""));
    move |heard| match heard {
        Heard::Message { channel, .. } => {
            if let Some(queue) = channel.strip_prefix(&bells) {
                desk.ring(Some(queue));
            } else if let Some(topic) = channel.strip_prefix(&topic_channels) {
                topics.notify(topic);
            }
        }
        Heard::Again => {
            desk.ring(None);
            topics.notify_all();
        }
    }
}

impl Broker for RedisBroker {
    fn publish<'a>(&'a self, queue: &'a str, body: String) -> BoxFuture<'a, Result<(), BrokerError>> {
        async move {
            if body.len() > MAX_BODY {
                return Err(BrokerError::TooLong { bytes: body.len() });
            }
            let call = self.desk.call(&PUBLISH).arg(queue).arg(body).arg(self.limit);
            match self.desk.redis.run(&call).await? {
                true => Ok(()),
                false => Err(BrokerError::Full { limit: self.limit }),
            }
        }
        .boxed()
    }

    fn claim<'a>(
        &'a self,
        queues: &'a [String],
        consumer: &'a str,
        lease: Duration,
        wait: Duration,
    ) -> BoxFuture<'a, Result<Option<Delivery>, BrokerError>> {
        async move {
            self.hear(queues);
            let wish = Wish { queues: queues.to_vec(), consumer: consumer.to_owned(), lease };
            self.desk.join(wish, wait).answer().await
        }
        .boxed()
    }

    fn renew<'a>(&'a self, claim: &'a Claim, lease: Duration) -> BoxFuture<'a, Result<bool, BrokerError>> {
        async move {
            let call = self.desk.fenced(&RENEW, claim).arg(micros(lease));
            Ok(self.desk.redis.run(&call).await?)
        }
        .boxed()
    }

    fn acknowledge<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<bool, BrokerError>> {
        self.fenced(&ACKNOWLEDGE, claim).boxed()
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<bool, BrokerError>> {
        self.fenced(&RELEASE, claim).boxed()
    }

    fn queues(&self) -> BoxFuture<'_, Result<Vec<QueueStats>, BrokerError>> {
        async move {
            let answer: Value = self.desk.redis.run(&self.desk.call(&STATS)).await?;
            stats(&answer).ok_or_else(strange)
        }
        .boxed()
    }

    fn notify<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<(), BrokerError>> {
        async move {
            let channel = topic_channel(&self.desk.keys, topic);
            let _: u64 = self.desk.redis.query(cmd("PUBLISH").arg(channel).arg("")).await?;
            Ok(())
        }
        .boxed()
    }

    fn subscribe<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<Subscription, BrokerError>> {
        async move {
            let subscription = self.topics.subscribe(topic);
            self.listener.confirmed(&topic_channel(&self.desk.keys, topic)).await?;
            Ok(subscription)
        }
        .boxed()
    }
}

impl fmt::Debug for RedisBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBroker").field("desk", &self.desk).field("limit", &self.limit).finish_non_exhaustive()
    }
}
