//! What is kept: of batch jobs while they are worked on and after, and of live sessions when they are over.
//!
//! # Jobs
//!
//! [`JobStore`] is the truth about jobs and their tasks, in SQLite or PostgreSQL: see [`jobs`]. [`Artifacts`] holds what
//! they are made of and what they leave, in a folder or in a bucket: see [`artifacts`].
//!
//! # The archive of sessions
//!
//! A live session that asked for it (`retention`, `store_audio`) leaves its transcript, and maybe its audio, in an
//! [`Archive`]: a folder that one process has open at a time. Where several processes share what was kept, finished sessions go
//! from that folder to a [`Shelf`], a bucket for example, where all of them list, read, delete and sweep.
//!
//! ```no_run
//! # async fn example(
//! #     start: dalston_store::RecordingStart, end: dalston_store::SessionRecord, chunk: &[u8], tenant: &str,
//! # ) -> Result<(), dalston_store::StoreError> {
//! use dalston_store::{Archive, Limits};
//!
//! let archive = Archive::open("/var/lib/dalston/archive", Limits::default()).await?;
//! if let Some(recording) = archive.record(start) {
//!     recording.audio(chunk); // never waits
//!     recording.finish(end).await?;
//! }
//! let newest = archive.list(tenant, 20, None).await?;
//! archive.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! What holds of it, whatever happens:
//!
//! * **A session is there whole or not at all.** It is written in a spool, then moved; the move of `session.json` makes it
//!   visible. What a crash leaves in the spool is moved the rest of the way when the archive is opened again if the session
//!   was finished, and removed if it was not.
//! * **A slow or full disk never holds up a live session.** Audio waits in bounded memory; when there is no more of it, or
//!   the disk fails, the rest of that session's audio is given up and [`StoredAudio::complete`] says so.
//! * **Tenants do not see each other.** Each has a folder of its own; the id of another's session is not found.
//! * **Nothing is kept too long.** An expired session is not found from that moment on; its bytes go with the first
//!   [`Shelf::sweep`] of the next minute.
//! * **What was deleted stays deleted.** For 31 days a session that was deleted leaves a tombstone, which holds nothing but its
//!   id: whoever still has a record of it throws that away. A record waits for its place for 30 days at most, and is given up then.
//! * **Cost is bounded.** One session is found by its id alone. A page reads the records it shows, and the names within the
//!   minutes they stand in.

#![forbid(unsafe_code)]

mod archive;
pub mod artifacts;
mod bucket;
mod error;
mod finishing;
mod incarnation;
pub mod jobs;
mod listing;
mod location;
mod place;
mod recording;
mod reel;
mod replacing;
mod session;
mod shelf;
mod spool;
mod storage;
mod sweeping;
mod tape;
#[cfg(feature = "testing")]
pub mod testing;
mod tombstone;
mod wav;

pub use archive::{Archive, Limits};
pub use artifacts::{Artifacts, Stored, TaskOutputFile, Upload, job_folder, node_folder};
pub use error::{Cause, StoreError};
pub use incarnation::Incarnation;
pub use jobs::{
    AnnouncedEngine, Change, Created, DeadPage, DeadTask, Deleted, Delivery, Idempotency, JOB_QUEUE, JobPage,
    JobRecord, JobStore, KeyHash, KeyRecord, KeyStore, ListQuery, MAX_KEYS, MAX_WEBHOOKS, NewJob, NewKeyRecord,
    NewTask, NewWebhook, OutboxRow, Outgoing, PutOff, Settled, SigningSecret, Source, Standing, Started, TaskFailure,
    TaskRecord, Told, WebhookRecord, Work, engine_queue, job_end_topic, job_topic,
};
pub use location::Location;
pub use recording::Recording;
pub use session::{Page, RecordingStart, SessionRecord, SessionSummary, StoredAudio, StoredSession, Transcript};
pub use shelf::{AudioStream, Shelf};
