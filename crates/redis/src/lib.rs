//! Redis, as every part of the product that keeps something there reaches it.
//!
//! ```no_run
//! use dalston_redis::{Keys, Redis, RedisError, Script, Settings, cmd};
//!
//! # async fn example() -> Result<(), RedisError> {
//! let redis = Redis::open("redis://127.0.0.1:6379", Settings::default())?; // Connects when it is first asked.
//! let keys = Keys::new("dalston", "visits");
//! let visits: u64 = redis.query(cmd("INCR").arg(keys.key("count"))).await?;
//!
//! let script = Script::new("visits.reset", "return redis.call('GETDEL', KEYS[1])");
//! let before: Option<u64> = redis.run(&script.call().key(keys.key("count"))).await?;
//! # let _ = (visits, before); Ok(()) }
//! ```
//!
//! * **One connection for all short calls** of a [`Redis`] and its clones. It is made when it is needed, thrown away
//!   when it is lost, does not answer or leads to a server that may not write, and made again: with Sentinel at whoever
//!   is the primary by then. While no server can be reached, calls fail at once instead of each trying for itself.
//! * **Every wait ends.** A call answers within [`Settings::answer`], whatever the server does. Nothing is repeated in
//!   secret: [`RedisError::may_have_happened`] says what the caller has to reckon with.
//! * **Nothing blocks on the shared connection.** Who waits for something to happen listens to a channel by a
//!   [`Listener`], which has a connection of its own, and looks for himself.
//! * **Keys of one script share a slot** ([`Keys`]), so that it runs in a cluster too.
//! * Calls made for a span are CLIENT spans below it. Calls that belong to no trace make none.

#![forbid(unsafe_code)]

mod address;
mod connection;
mod error;
mod keys;
mod listener;
mod redis;
mod script;
#[cfg(feature = "testing")]
pub mod testing;

pub use ::redis::{Cmd, FromRedisValue, ToRedisArgs, Value, cmd};

pub use self::redis::{Redis, Settings};
pub use error::RedisError;
pub use keys::Keys;
pub use listener::{Heard, Listener};
pub use script::{Script, ScriptCall};
