//! The seam: what every broker does, and what may be relied upon.

use std::{fmt, time::Duration};

use futures_util::future::BoxFuture;

use crate::Subscription;

/// Longest body in bytes. Messages name what is to be done; the thing itself is in a store.
pub const MAX_BODY: usize = 64 << 10;

/// Queues with leases, and topics to be woken by. `conformance` holds every implementation to this contract.
///
/// * A message that was accepted is delivered until it is acknowledged: **at least once**, to one consumer at a time.
/// * A claim is **fenced** by who holds it and by how often the message was delivered: whoever lost it can neither
///   renew, acknowledge nor release it, whether another consumer has it by now or the same one again. Between the end
///   of its lease and the next delivery it may be lost or not.
/// * In a queue, what came back (its lease ran out, or it was released) goes before what is new; the rest goes in the
///   order of publication. Of several queues that have something, the one that was served longest ago is next.
/// * Each operation but [`claim`](Self::claim) ends within a bound of its own. Dropping its future leaves it done or
///   not done, never half.
///
/// Queues are a closed list that the program makes up: one that was used once stays listed.
pub trait Broker: fmt::Debug + Send + Sync + 'static {
    /// Adds a message. Several with the same body are several messages.
    fn publish<'a>(&'a self, queue: &'a str, body: String) -> BoxFuture<'a, Result<(), BrokerError>>;

    /// Takes a message of one of `queues` for the time of `lease`, or gives `None` when none came within `wait`. Those
    /// who wait are served in the order they came. Dropping the future may cost the message that it was about to get
    /// one lease, no more.
    fn claim<'a>(
        &'a self,
        queues: &'a [String],
        consumer: &'a str,
        lease: Duration,
        wait: Duration,
    ) -> BoxFuture<'a, Result<Option<Delivery>, BrokerError>>;

    /// Makes the claim last for `lease` from now on. `false`: it is no longer yours, and somebody else may be at work.
    fn renew<'a>(&'a self, claim: &'a Claim, lease: Duration) -> BoxFuture<'a, Result<bool, BrokerError>>;

    /// Removes the message: it is done. `false`: it was no longer yours, and nothing happened.
    fn acknowledge<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<bool, BrokerError>>;

    /// Gives the message back at once. `false`: it was no longer yours, and nothing happened.
    fn release<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<bool, BrokerError>>;

    /// All queues as they stand, by name.
    fn queues(&self) -> BoxFuture<'_, Result<Vec<QueueStats>, BrokerError>>;

    /// Wakes who has subscribed to `topic`. It carries nothing and may be lost with a connection: who is woken looks
    /// for himself, and looks now and then unwoken.
    fn notify<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<(), BrokerError>>;

    /// To be woken by every [`notify`](Self::notify) of `topic` from now on.
    fn subscribe<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<Subscription, BrokerError>>;
}

/// A message and the right to work on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// To renew, acknowledge or release it with.
    pub claim: Claim,
    /// What was published.
    pub body: String,
    /// From its publication to this delivery.
    pub waited: Duration,
}

/// The right to work on a message, while its lease lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The queue it came from.
    pub queue: String,
    /// The broker's name for the message, unique in the queue.
    pub id: String,
    /// Who has it.
    pub consumer: String,
    /// How often it was delivered, this time included.
    pub deliveries: u32,
}

/// A queue as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueStats {
    /// Its name.
    pub queue: String,
    /// Messages that nobody has.
    pub ready: usize,
    /// Messages that somebody works on.
    pub claimed: usize,
    /// How long ago the oldest of the ready ones was published.
    pub oldest: Option<Duration>,
}

/// Why a broker did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// It holds as many messages as it may. Those it accepted are safe; this one was not.
    #[error("the broker is full with {limit} messages")]
    Full {
        /// How many it takes.
        limit: usize,
    },
    /// The message is longer than [`MAX_BODY`].
    #[error("a message of {bytes} bytes is longer than {MAX_BODY}")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// It did not answer. What was asked may have happened or not.
    #[error("the broker is unavailable: {0}")]
    Unavailable(String),
}
