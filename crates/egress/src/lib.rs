//! Outgoing HTTP to places that others name: where to fetch audio, whom to tell of a job's end.
//!
//! Whoever may name a URL could name one that only this machine can reach: its own ports, its neighbours, its cloud's keys.
//! So, of every request made here:
//!
//! * **Nothing reaches an address that is not public**, but for what an operator [allows](Settings::allow). The rule is of
//!   addresses, not of spellings: a name is looked up here, what it means is checked, and the connection goes to the very
//!   address that was. A name that means another thing a moment later (rebinding) changes nothing.
//! * **Every redirect is checked like the first URL**, their number is bounded, and none leads from `https` to `http`.
//! * **Time and size are bounded**: of a connection, of a silence, of the whole; of the head, and of the body, which comes in
//!   pieces and is never unpacked.
//! * **No secret leaks**: no credentials in URLs, none carried to another origin by a redirect, no proxy from the
//!   environment; errors repeat nothing of a URL, and do not tell whether a private name exists.
//! * **It is part of a trace**: a CLIENT span for each hop, whose `traceparent` goes along, and the request id.
//!
//! ```no_run
//! # async fn example(trace: dalston_telemetry::TraceContext) -> Result<(), dalston_egress::EgressError> {
//! use std::time::Duration;
//!
//! use dalston_egress::{Client, Limits, Origin, Request, Settings};
//! use dalston_telemetry::{Component, Tracers};
//!
//! let client = Client::new(Settings::default(), Tracers::off())?;
//! let limits = Limits { total: Duration::from_secs(600), body: 1 << 30, redirects: 5 };
//! let origin = Origin { component: Component::Gateway, trace, request_id: "req_1" };
//! let mut answer = client.send(Request::get("https://example.org/talk.flac", limits, origin)).await?;
//! while let Some(piece) = answer.chunk().await? {
//!     println!("{} bytes", piece.len());
//! }
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod client;
mod connection;
mod error;
mod names;
mod network;
mod patience;
mod request;
mod response;
mod settings;
mod target;
mod tls;

pub use client::Client;
pub use error::EgressError;
pub use network::{Network, is_public};
pub use request::{Limits, Origin, Request};
pub use response::Response;
pub use settings::{Allowed, InvalidAllowed, Settings};
pub use target::file_name;
