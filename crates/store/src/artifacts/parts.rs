//! An artifact on its way into a bucket.
//!
//! What is no longer than one part is sent at once when it is finished. Anything longer goes in parts of [`PART`] bytes, which
//! the server puts together at the end: until then there is no artifact. At most two parts are held, one that is sent while the
//! next is collected.

use std::{mem, sync::Arc};

use bytes::Bytes;
use object_store::{
    ObjectStoreExt, PutPayload, PutPayloadMut,
    multipart::{MultipartStore, PartId},
    path::Path as Key,
};
use serde::{Deserialize, Serialize};
use tokio::{runtime::Handle, task::JoinHandle};

use super::key;
use crate::{StoreError, bucket::Bucket, storage::Storage};

/// The least that S3 takes for a part that is not the last. All are equal, as some servers want it.
pub const PART: usize = 5 * 1024 * 1024;
/// The most that S3 takes: an artifact of 48 GiB.
const MAX_PARTS: usize = 10_000;

/// Which upload was begun, for whoever clears up after a process that was killed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Note {
    /// The artifact.
    pub(super) key: String,
    /// The server's name for the upload.
    pub(super) upload: String,
}

/// What was written so far.
#[derive(Debug)]
pub(super) struct Parts {
    storage: Storage,
    bucket: Arc<Bucket>,
    place: Key,
    buffer: PutPayloadMut,
    begun: Option<Begun>,
}

impl Parts {
    pub(super) fn new(storage: Storage, bucket: Arc<Bucket>, place: Key) -> Self {
        Self { storage, bucket, place, buffer: PutPayloadMut::new(), begun: None }
    }

    pub(super) async fn write(&mut self, mut bytes: Bytes) -> Result<(), StoreError> {
        while !bytes.is_empty() {
            let room = PART - self.buffer.content_length();
            self.buffer.push(bytes.split_to(room.min(bytes.len())));
            if self.buffer.content_length() == PART {
                self.send().await?;
            }
        }
        Ok(())
    }

    pub(super) async fn finish(mut self) -> Result<(), StoreError> {
        if self.begun.is_none() {
            let payload = mem::take(&mut self.buffer).freeze();
            let put = self.bucket.store.put(&self.place, payload).await;
            return put.map(drop).map_err(|error| self.storage.error(&self.place, error));
        }
        if !self.buffer.is_empty() {
            self.send().await?;
        }
        let Some(mut begun) = self.begun.take() else { return Ok(()) };
        let finished = begun.finish().await;
        finished.map_err(|error| self.storage.error(&self.place, error))
    }

    pub(super) async fn abort(mut self) -> Result<(), StoreError> {
        let Some(mut begun) = self.begun.take() else { return Ok(()) };
        begun.is_over = true;
        let aborted = begun.upload.clone().abort(begun.sending.take()).await;
        self.storage.found(&self.place, aborted).map(drop)
    }

    /// Begins to send what was collected, when the part before it has arrived.
    async fn send(&mut self) -> Result<(), StoreError> {
        let begun = match &mut self.begun {
            Some(begun) => begun,
            none => none.insert(Begun::new(&self.storage, &self.bucket, &self.place).await?),
        };
        if begun.sent.len() + 1 == MAX_PARTS {
            return Err(StoreError::TooLarge { key: self.place.to_string(), limit: (MAX_PARTS * PART) as u64 });
        }
        let sent = begun.next(mem::take(&mut self.buffer).freeze()).await;
        sent.map_err(|error| self.storage.error(&self.place, error))
    }
}

/// An upload that the server knows of. Dropped before it is finished, it is aborted in the background.
#[derive(Debug)]
struct Begun {
    upload: BegunUpload,
    /// Parts that arrived.
    sent: Vec<PartId>,
    sending: Option<JoinHandle<object_store::Result<PartId>>>,
    is_over: bool,
}

#[derive(Debug, Clone)]
struct BegunUpload {
    bucket: Arc<Bucket>,
    place: Key,
    id: String,
    note: Key,
}

impl Begun {
    async fn new(storage: &Storage, bucket: &Arc<Bucket>, place: &Key) -> Result<Self, StoreError> {
        let id = bucket.store.create_multipart(place).await.map_err(|error| storage.error(place, error))?;
        let upload = BegunUpload { bucket: bucket.clone(), place: place.clone(), id, note: key::of_upload() };
        let begun = Self { upload, sent: Vec::new(), sending: None, is_over: false };
        let BegunUpload { id, note, .. } = &begun.upload;
        let content = serde_json::to_vec(&Note { key: place.to_string(), upload: id.clone() });
        let content = content.expect("two texts can be written as JSON");
        bucket.store.put(note, content.into()).await.map_err(|error| storage.error(note, error))?;
        Ok(begun)
    }

    async fn next(&mut self, part: PutPayload) -> object_store::Result<()> {
        self.arrived().await?;
        let (upload, index) = (self.upload.clone(), self.sent.len());
        let send = async move { upload.bucket.store.put_part(&upload.place, &upload.id, index, part).await };
        self.sending = Some(tokio::spawn(send));
        Ok(())
    }

    /// Waits for the part that is being sent.
    async fn arrived(&mut self) -> object_store::Result<()> {
        let Some(sending) = &mut self.sending else { return Ok(()) };
        let arrived = sending.await;
        self.sending = None;
        self.sent.push(arrived.map_err(|error| object_store::Error::JoinError { source: error })??);
        Ok(())
    }

    async fn finish(&mut self) -> object_store::Result<()> {
        self.arrived().await?;
        let BegunUpload { bucket, place, id, note } = &self.upload;
        bucket.store.complete_multipart(place, id, mem::take(&mut self.sent)).await?;
        self.is_over = true;
        // A note that is left says that there is something to abort, and then there is nothing.
        if let Err(_left) = bucket.store.delete(note).await {
            tracing::debug!("the note about a finished upload stays in the bucket");
        }
        Ok(())
    }
}

impl BegunUpload {
    /// Waits for the part that is being sent: one that arrives afterwards would stay. The bucket's deadlines bound it.
    async fn abort(self, sending: Option<JoinHandle<object_store::Result<PartId>>>) -> object_store::Result<()> {
        if let Some(sending) = sending {
            let _ = sending.await;
        }
        match self.bucket.store.abort_multipart(&self.place, &self.id).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => self.bucket.store.delete(&self.note).await,
            Err(error) => Err(error),
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        // Without a runtime the process ends, and its note tells the next one.
        if !self.is_over
            && let Ok(runtime) = Handle::try_current()
        {
            // What it cannot do is done when the note is old.
            runtime.spawn(self.upload.clone().abort(self.sending.take()));
        }
    }
}
