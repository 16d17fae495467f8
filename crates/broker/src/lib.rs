//! Queues of work with leases, and wake-ups for whoever watches.
//!
//! A message is claimed for a time, worked on, and acknowledged. Whoever dies in between loses the claim, and the
//! message goes to another:
//!
//! ```
//! use std::time::Duration;
//! use dalston_broker::{Broker, InProcessBroker};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), dalston_broker::BrokerError> {
//! let broker = InProcessBroker::default();
//! broker.publish("engine.echo", "task_1".into()).await?;
//!
//! let (queues, lease) = (["engine.echo".to_owned()], Duration::from_secs(30));
//! let delivery = broker.claim(&queues, "runner-1", lease, Duration::from_secs(5)).await?.expect("it was published");
//! assert_eq!(delivery.body, "task_1");
//! assert!(broker.renew(&delivery.claim, lease).await?, "still ours");
//! assert!(broker.acknowledge(&delivery.claim).await?, "done");
//! # Ok(()) }
//! ```
//!
//! [`InProcessBroker`] serves the parts of one process, [`RedisBroker`] those of many machines; whoever uses one cannot tell
//! which it is.
//!
//! The broker only carries. What must not be forgotten is in a store, which publishes again what a broker has lost; so
//! a message may come twice, or come for something that is long done, and whoever claims it asks the store first.

#![forbid(unsafe_code)]

mod broker;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod in_process;
mod redis;
mod subscription;
mod topics;

pub use broker::{Broker, BrokerError, Claim, Delivery, MAX_BODY, QueueStats};
pub use in_process::InProcessBroker;
pub use redis::RedisBroker;
pub use subscription::{Subscription, Waker};
