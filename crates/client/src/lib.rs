//! A client of the native API: live sessions ([`StreamClient`]: audio in, typed events out) and jobs ([`JobsClient`]).
//!
//! ```no_run
//! use dalston_client::{Event, StreamClient};
//! use dalston_protocol::realtime::{ClientMessage, ServerMessage};
//!
//! # async fn example(audio: Vec<u8>) -> Result<(), Box<dyn std::error::Error>> {
//! let (mut sink, mut events) = StreamClient::new("http://127.0.0.1:8000".parse()?).connect().await?;
//! sink.send_audio(audio).await?;
//! sink.send(&ClientMessage::End).await?;
//! while let Some(event) = events.next().await {
//!     match event? {
//!         Event::Message(message) => {
//!             if let ServerMessage::Final(heard) = *message {
//!                 println!("{}", heard.text);
//!             }
//!         }
//!         Event::Closed { code, reason } => println!("closed with {code} {reason}"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Nothing is retried and nothing is queued here: a send waits until the server's side of the TCP connection has taken
//! the bytes, which is how a server that falls behind slows its clients. Only a [resumable](StreamClient::resumable)
//! session keeps what its server has not acknowledged, and comes back by itself when its connection is lost.

#![forbid(unsafe_code)]

mod endpoint;
mod error;
mod events;
mod jobs;
mod query;
mod replay;
mod resuming;
mod sink;
mod stream_client;

pub use endpoint::Endpoint;
pub use error::{ConnectError, InvalidEndpoint, JobsError, StreamError};
pub use events::{Event, Events};
pub use jobs::{DeadItem, DeadList, JobsClient, ListJobs, Progress, Upload};
pub use sink::Sink;
pub use stream_client::{ApiKey, Buffers, StreamClient};
