//! Channels that are listened to, on a connection of their own.

use std::{collections::BTreeSet, fmt, mem, sync::Arc, time::Duration};

use futures_util::StreamExt;
use parking_lot::Mutex;
use redis::aio::{PubSubSink, PubSubStream};
use tokio::{
    sync::{Notify, watch},
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    RedisError, Settings,
    connection::{FIRST_PAUSE, LONGEST_PAUSE, bounded, to_listen_to},
    redis::Shared,
};

/// How often the server is asked whether it is still there.
const PING: Duration = Duration::from_secs(10);

/// What a [`Listener`] tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard<'a> {
    /// Somebody has published to this channel.
    Message {
        /// Which channel.
        channel: &'a str,
        /// What was published.
        payload: &'a [u8],
    },
    /// It listens again after a lost connection. What was published in between nobody has heard: look for yourself.
    Again,
}

/// Listens to channels. A lost connection is made again and listens to the same channels.
pub struct Listener {
    wishes: Arc<Wishes>,
    answer: Duration,
    _task: AbortOnDropHandle<()>,
}

/// What is wanted, and what the server has confirmed. The task makes the second like the first: so there is no queue of
/// orders that could be full, and none that a lost connection forgets.
struct Wishes {
    channels: Mutex<Channels>,
    changed: Notify,
    confirmed: watch::Sender<u64>,
}

#[derive(Default)]
struct Channels {
    wanted: BTreeSet<String>,
    confirmed: BTreeSet<String>,
}

impl Listener {
    pub(crate) fn start(shared: Arc<Shared>, heard: impl Fn(Heard<'_>) + Send + Sync + 'static) -> Self {
        let wishes =
            Arc::new(Wishes { channels: Mutex::default(), changed: Notify::new(), confirmed: watch::Sender::new(0) });
        let answer = shared.settings.answer;
        let task = tokio::spawn(run(shared, wishes.clone(), heard));
        Self { wishes, answer, _task: AbortOnDropHandle::new(task) }
    }

    /// Listens to `channel`: when this returns, nothing that is published there goes unheard but for lost connections.
    /// Until then and after an error it goes on trying until [`Listener::unsubscribe`].
    ///
    /// # Errors
    /// When the server has not confirmed it in time.
    pub async fn subscribe(&self, channel: &str) -> Result<(), RedisError> {
        self.add(channel);
        self.confirmed(channel).await
    }

    /// The first half of [`Listener::subscribe`]: begins to listen, and does not wait.
    pub fn add(&self, channel: &str) {
        self.wishes.channels.lock().wanted.insert(channel.to_owned());
        self.wishes.changed.notify_one();
    }

    /// The second half: waits until the server has confirmed it.
    ///
    /// # Errors
    /// When it has not in time.
    pub async fn confirmed(&self, channel: &str) -> Result<(), RedisError> {
        let mut confirmed = self.wishes.confirmed.subscribe();
        let waiting = confirmed.wait_for(|_| self.wishes.channels.lock().confirmed.contains(channel));
        match timeout(self.answer, waiting).await {
            Ok(Ok(_)) => Ok(()),
            // The sender is in `self`.
            Ok(Err(_)) => Err(RedisError::Lost),
            Err(_) => Err(RedisError::TimedOut(self.answer)),
        }
    }

    /// Listens to it no longer.
    pub fn unsubscribe(&self, channel: &str) {
        self.wishes.channels.lock().wanted.remove(channel);
        self.wishes.changed.notify_one();
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channels = self.wishes.channels.lock().wanted.len();
        f.debug_struct("Listener").field("channels", &channels).finish_non_exhaustive()
    }
}

/// Until it is aborted.
async fn run(shared: Arc<Shared>, wishes: Arc<Wishes>, heard: impl Fn(Heard<'_>)) {
    let (mut failures, mut pause, mut has_stood) = (0, FIRST_PAUSE, false);
    loop {
        let error = match Session::begin(&shared, &wishes, failures).await {
            Ok(mut session) => {
                pause = FIRST_PAUSE;
                if mem::replace(&mut has_stood, true) {
                    heard(Heard::Again);
                }
                session.listen(&heard).await
            }
            Err(error) => error,
        };
        wishes.channels.lock().confirmed.clear();
        tracing::debug!(%error, "channels of Redis are not heard; connecting again");
        failures += 1;
        sleep(pause).await;
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

/// One connection.
struct Session<'a> {
    sink: PubSubSink,
    stream: PubSubStream,
    wishes: &'a Wishes,
    answer: Duration,
}

impl<'a> Session<'a> {
    /// Connects and listens to all that is wanted.
    async fn begin(shared: &Shared, wishes: &'a Wishes, attempt: usize) -> Result<Self, RedisError> {
        let Settings { connect, answer, .. } = shared.settings;
        let client = to_listen_to(&shared.address, &shared.settings, attempt).await?;
        let (sink, stream) = bounded(connect, client.get_async_pubsub()).await?.split();
        let mut session = Self { sink, stream, wishes, answer };
        session.settle().await?;
        Ok(session)
    }

    /// Until the connection is lost.
    async fn listen(&mut self, heard: &impl Fn(Heard<'_>)) -> RedisError {
        let mut ping = interval(PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                message = self.stream.next() => match message {
                    Some(message) => {
                        let (channel, payload) = (message.get_channel_name(), message.get_payload_bytes());
                        heard(Heard::Message { channel, payload });
                        Ok(())
                    }
                    None => Err(RedisError::Lost),
                },
                () = self.wishes.changed.notified() => self.settle().await,
                _ = ping.tick() => within(self.answer, self.sink.ping::<redis::Value>()).await.map(drop),
            };
            if let Err(error) = done {
                return error;
            }
        }
    }

    /// Makes what is listened to what is wanted.
    async fn settle(&mut self) -> Result<(), RedisError> {
        let (new, old) = self.wishes.channels.lock().differences();
        if !new.is_empty() {
            within(self.answer, self.sink.subscribe(&new)).await?;
            self.wishes.channels.lock().confirmed.extend(new);
            self.wishes.confirmed.send_modify(|count| *count += 1);
        }
        if !old.is_empty() {
            // First, so that whoever wants one of them again meanwhile waits for a new confirmation.
            self.wishes.channels.lock().confirmed.retain(|channel| !old.contains(channel));
            within(self.answer, self.sink.unsubscribe(&old)).await?;
        }
        Ok(())
    }
}

impl Channels {
    /// What is wanted and not listened to, and the other way round.
    fn differences(&self) -> (Vec<String>, BTreeSet<String>) {
        let new = self.wanted.difference(&self.confirmed).cloned().collect();
        let old = self.confirmed.difference(&self.wanted).cloned().collect();
        (new, old)
    }
}

async fn within<T>(limit: Duration, step: impl Future<Output = redis::RedisResult<T>>) -> Result<T, RedisError> {
    match timeout(limit, step).await {
        Ok(done) => done.map_err(|error| RedisError::from(&error)),
        Err(_) => Err(RedisError::TimedOut(limit)),
    }
}
