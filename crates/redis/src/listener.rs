//! Channels that are listened to, on a connection of their own.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

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
    /// It listens, for the first time or again. What was published in between nobody has heard: look for yourself.
    Listening,
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

    /// Listens to `channel`: when this returns, nothing that is published there goes unheard but for lost connections. Until
    /// then and after an error it goes on trying until [`Listener::unsubscribe`].
    ///
    /// # Errors
    /// When the server has not confirmed it in time.
    pub async fn subscribe(&self, channel: &str) -> Result<(), RedisError> {
        let mut confirmed = self.wishes.confirmed.subscribe();
        self.wishes.channels.lock().wanted.insert(channel.to_owned());
        self.wishes.changed.notify_one();
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
    let mut failures = 0;
    let mut pause = FIRST_PAUSE;
    loop {
        let failed = match connect(&shared, failures).await {
            Ok((sink, stream)) => {
                let mut session = Session { sink, stream, wishes: &wishes, settings: &shared.settings };
                let ended = session.listen(&heard).await;
                wishes.channels.lock().confirmed.clear();
                match ended {
                    // It stood; the next attempt is the first.
                    Err((true, error)) => {
                        pause = FIRST_PAUSE;
                        error
                    }
                    Err((false, error)) => error,
                    Ok(never) => match never {},
                }
            }
            Err(error) => error,
        };
        tracing::debug!(error = %failed, "channels of Redis are not heard; connecting again");
        failures += 1;
        sleep(pause).await;
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

async fn connect(shared: &Shared, attempt: usize) -> Result<(PubSubSink, PubSubStream), RedisError> {
    let client = to_listen_to(&shared.address, &shared.settings, attempt).await?;
    let pubsub = bounded(shared.settings.connect, client.get_async_pubsub()).await?;
    Ok(pubsub.split())
}

/// One connection.
struct Session<'a> {
    sink: PubSubSink,
    stream: PubSubStream,
    wishes: &'a Wishes,
    settings: &'a Settings,
}

/// It has no end but an error.
enum Never {}

impl Session<'_> {
    /// Until the connection is lost; the error says whether it has stood at all.
    async fn listen(&mut self, heard: &impl Fn(Heard<'_>)) -> Result<Never, (bool, RedisError)> {
        self.settle().await.map_err(|error| (false, error))?;
        heard(Heard::Listening);
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
                _ = ping.tick() => within(self.settings.answer, self.sink.ping::<redis::Value>()).await.map(drop),
            };
            done.map_err(|error| (true, error))?;
        }
    }

    /// Makes what is listened to what is wanted.
    async fn settle(&mut self) -> Result<(), RedisError> {
        let (new, old) = {
            let channels = self.wishes.channels.lock();
            let new: Vec<_> = channels.wanted.difference(&channels.confirmed).cloned().collect();
            let old: Vec<_> = channels.confirmed.difference(&channels.wanted).cloned().collect();
            (new, old)
        };
        if !new.is_empty() {
            within(self.settings.answer, self.sink.subscribe(&new)).await?;
            self.wishes.channels.lock().confirmed.extend(new);
            self.wishes.confirmed.send_modify(|count| *count += 1);
        }
        if !old.is_empty() {
            // First, so that whoever wants one of them again meanwhile waits for a new confirmation.
            self.wishes.channels.lock().confirmed.retain(|channel| !old.contains(channel));
            within(self.settings.answer, self.sink.unsubscribe(&old)).await?;
        }
        Ok(())
    }
}

async fn within<T>(limit: Duration, step: impl Future<Output = redis::RedisResult<T>>) -> Result<T, RedisError> {
    match timeout(limit, step).await {
        Ok(done) => done.map_err(|error| RedisError::from(&error)),
        Err(_) => Err(RedisError::TimedOut(limit)),
    }
}
