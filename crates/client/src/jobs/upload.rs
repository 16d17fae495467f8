//! A file on its way to a server, in a form (RFC 7578), piece by piece.

use std::{
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::{Request, header, request::Builder};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::{fs::File, io::AsyncReadExt};

use super::exchange::Outgoing;
use crate::JobsError;

/// Bytes that are read at once.
const PIECE: usize = 256 * 1024;

/// Told how many bytes of the file have gone out.
type Listener = Box<dyn Fn(u64) + Send + Sync>;

/// A file, and what is asked for.
pub struct Upload {
    file: PathBuf,
    fields: Vec<(&'static str, String)>,
    sent: Listener,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload").field("file", &self.file).field("fields", &self.fields).finish_non_exhaustive()
    }
}

impl Upload {
    /// This file.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), fields: Vec::new(), sent: Box::new(|_| {}) }
    }

    /// With a field of the form.
    #[must_use]
    pub fn field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// Tells how many bytes of the file have gone out so far.
    #[must_use]
    pub fn on_sent(self, sent: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self { sent: Box::new(sent), ..self }
    }

    pub(super) async fn into_request(self, request: Builder) -> Result<Request<Outgoing>, JobsError> {
        let unreadable = |source: io::Error| JobsError::File { path: self.file.clone(), source };
        let file = File::open(&self.file).await.map_err(unreadable)?;
        let length = file.metadata().await.map_err(unreadable)?.len();
        let boundary = boundary();
        let (head, tail) = (self.head(&boundary), format!("\r\n--{boundary}--\r\n"));
        let whole = (head.len() + tail.len()) as u64 + length;
        let request = request
            .header(header::CONTENT_TYPE, format!("multipart/form-data; boundary={boundary}"))
            .header(header::CONTENT_LENGTH, whole);
        let pieces = pieces(file, length, self.sent);
        let whole = stream::iter([Ok(Bytes::from(head))])
            .chain(pieces)
            .chain(stream::iter([Ok(Bytes::from(tail))]))
            .map_ok(Frame::data);
        let body = BodyExt::boxed(StreamBody::new(Box::pin(whole)));
        request.body(body).map_err(|error| JobsError::Unspeakable(error.to_string()))
    }

    /// The fields, and all of the file's part but the file.
    fn head(&self, boundary: &str) -> String {
        let mut head = String::new();
        for (name, value) in &self.fields {
            head.push_str(&format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            ));
        }
        let name = shown_name(&self.file);
        head.push_str(&format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        ));
        head
    }
}

/// The file's bytes, no more than were announced: one that grows meanwhile is cut, one that shrinks breaks the upload off.
fn pieces(
    file: File,
    length: u64,
    sent: Listener,
) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send + Sync {
    stream::try_unfold((file, 0_u64, sent), move |(mut file, at, sent)| async move {
        sent(at);
        let wanted = PIECE.min(usize::try_from(length - at).unwrap_or(PIECE));
        if wanted == 0 {
            return Ok(None);
        }
        let mut piece = vec![0; wanted];
        let count = file.read(&mut piece).await?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was sent"));
        }
        piece.truncate(count);
        Ok(Some((Bytes::from(piece), (file, at + count as u64, sent))))
    })
}

/// The file's own name, without what would end the header it stands in.
fn shown_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.chars().map(|c| if c.is_control() || c == '"' || c == '\\' { '_' } else { c }).collect()
}

/// Stands in no file: as random as an id.
fn boundary() -> String {
    format!("dalston-{}", dalston_protocol::RequestId::generate().as_str().trim_start_matches("req_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_cannot_leave_its_header() {
        let check = |path: &str, name: &str| assert_eq!(shown_name(Path::new(path)), name);
        check("/music/talk.wav", "talk.wav");
        check("a\"b\r\nc.wav", "a_b__c.wav");
        check("Größe.wav", "Größe.wav");
    }
}
