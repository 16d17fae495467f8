//! Ids, messages, transcripts, error and close codes of the Dalston API.
//!
//! Pure data: nothing here does I/O, reads a clock or knows a runtime. A server and a client share it, so a message that
//! one writes is by construction one that the other reads.

#![forbid(unsafe_code)]

mod close;
mod error;
mod id;
pub mod job;
pub mod key;
pub mod realtime;
mod transcript;
mod webhook;

pub use close::{Close, CloseCode};
pub use error::{ApiError, ErrorBody, ErrorCode};
pub use id::{InvalidId, JobId, LeaseId, MessageId, RequestId, SessionId, TaskId, WebhookId, WorkerId};
pub use transcript::{Segment, Word, round_ms};
pub use webhook::{EndedJob, Webhook, WebhookDelivery, WebhookDeliveryList, WebhookEvent, WebhookList, WebhookMessage};
