//! The form in which a file comes, read as it arrives: the file goes straight into the artifact store, and what is in memory
//! at any moment is a piece of it.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use dalston_protocol::{ApiError, ErrorCode};
use dalston_store::{StoreError, Upload};
use http::{HeaderMap, header};
use multer::{Multipart, parse_boundary};
use tokio::time::{Instant, timeout};

use super::{
    JobSettings,
    fields::Kind,
    pace::Pace,
    request::Request,
    tap::{Tap, TapError},
};

/// Bytes of a part's headers, a boundary and what lies between.
const MAX_PART_HEAD: u64 = 16 * 1024;
/// Bytes of a field: the largest vocabulary fits.
const MAX_TEXT: usize = 32 * 1024;
/// Parts of a form; there are fewer fields.
const MAX_PARTS: usize = 64;
/// What is still read of a request that is refused, so that its sender comes to read the answer.
const LINGER_BYTES: u64 = 64 << 20;
const LINGER: Duration = Duration::from_secs(5);

/// The file of a form. Not kept until its [`Upload`] is finished.
#[derive(Debug)]
pub(super) struct File {
    pub(super) upload: Upload,
    pub(super) name: Option<String>,
    pub(super) bytes: u64,
}

/// A form on its way in.
pub(super) struct Incoming<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) body: Body,
    pub(super) settings: &'a JobSettings,
}

impl Incoming<'_> {
    /// Reads all of it: fields into `request`, the file into `upload`, which is asked for when the file begins. `None`: there
    /// is no file, and `request` says where the audio is instead.
    ///
    /// # Errors
    /// What is wrong with the form, a field, or its size; a client that is too slow; a store that takes nothing.
    pub(super) async fn read<F>(
        self,
        request: &mut Request<'_>,
        upload: impl FnOnce() -> F,
    ) -> Result<Option<File>, ApiError>
    where
        F: Future<Output = Result<Upload, StoreError>>,
    {
        let boundary = boundary(self.headers)?;
        plain(self.headers)?;
        let declared = self.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if declared.is_some_and(|length: u64| length > self.settings.max_upload + (MAX_PARTS * MAX_TEXT) as u64) {
            return Err(too_large(self.settings));
        }
        let mut tap = Tap::new(self.body);
        let form = Multipart::new(tap.clone(), boundary);
        let mut reader = Reader { form, tap: tap.clone(), settings: self.settings, pace: Pace::default() };
        let limit = self.settings.upload_timeout;
        let read = match timeout(limit, reader.all(request, upload)).await {
            Ok(read) => read,
            Err(_) => Err(too_slow(format!("the upload took more than {} s", limit.as_secs_f64()))),
        };
        if read.as_ref().is_err_and(|error| error.code != ErrorCode::ClientIdle) {
            drop(reader);
            // Whoever sends more or slower has to do without the answer.
            let _ = timeout(LINGER, tap.drain(LINGER_BYTES)).await;
        }
        read
    }
}

struct Reader<'a> {
    form: Multipart<'static>,
    tap: Tap,
    settings: &'a JobSettings,
    pace: Pace,
}

impl Reader<'_> {
    async fn all<F>(&mut self, request: &mut Request<'_>, upload: impl FnOnce() -> F) -> Result<Option<File>, ApiError>
    where
        F: Future<Output = Result<Upload, StoreError>>,
    {
        let mut upload = Some(upload);
        let mut file = None;
        let mut parts = 0;
        while let Some(mut part) = self.next_part().await? {
            parts += 1;
            if parts > MAX_PARTS {
                return Err(malformed(format!("the form has more than {MAX_PARTS} parts")));
            }
            let Some(name) = part.name().map(str::to_owned) else {
                return Err(malformed("a part of the form has no name"));
            };
            let field = request.begin(&name)?;
            match (field.kind, upload.take()) {
                // `begin` lets no second file through.
                (Kind::File, Some(upload)) => {
                    let name = part.file_name().and_then(printable);
                    let upload = upload().await.map_err(unwritable)?;
                    file = Some(self.store(&mut part, File { upload, name, bytes: 0 }).await?);
                }
                (_, unused) => {
                    upload = unused;
                    let value = self.text(&mut part, field.name).await?;
                    request.set(field, &value)?;
                }
            }
        }
        if file.is_none() && request.audio_url().is_none() {
            let message = "the form has no file; send the audio as the part `file`, or say in `audio_url` where it is";
            return Err(ApiError::param("file", message));
        }
        Ok(file)
    }

    async fn next_part(&mut self) -> Result<Option<multer::Field<'static>>, ApiError> {
        self.tap.allow(MAX_PART_HEAD);
        let began = Instant::now();
        let part = patient(self.settings, self.form.next_field()).await?;
        self.came(0, began)?;
        Ok(part)
    }

    async fn store(&mut self, part: &mut multer::Field<'static>, mut file: File) -> Result<File, ApiError> {
        self.tap.allow(u64::MAX);
        while let Some(piece) = self.piece(part).await? {
            file.bytes += piece.len() as u64;
            if file.bytes > self.settings.max_upload {
                return Err(too_large(self.settings));
            }
            file.upload.write(piece).await.map_err(unwritable)?;
        }
        if file.bytes == 0 {
            return Err(ApiError::param("file", "the file is empty"));
        }
        Ok(file)
    }

    /// The next piece of a part, from a client that is fast enough.
    async fn piece(&mut self, part: &mut multer::Field<'static>) -> Result<Option<Bytes>, ApiError> {
        let began = Instant::now();
        let piece = patient(self.settings, part.chunk()).await?;
        if let Some(piece) = &piece {
            self.came(piece.len(), began)?;
        }
        Ok(piece)
    }

    fn came(&mut self, bytes: usize, began: Instant) -> Result<(), ApiError> {
        self.pace.came(bytes, began.elapsed()).map_err(|slow| too_slow(slow.to_string()))
    }

    async fn text(&mut self, part: &mut multer::Field<'static>, name: &str) -> Result<String, ApiError> {
        let too_long = || ApiError::param(name, format!("{name} has more than {MAX_TEXT} bytes"));
        self.tap.allow(MAX_TEXT as u64 + MAX_PART_HEAD);
        let mut text = Vec::new();
        while let Some(piece) = self.piece(part).await? {
            if text.len() + piece.len() > MAX_TEXT {
                return Err(too_long());
            }
            text.extend_from_slice(&piece);
        }
        String::from_utf8(text).map_err(|_| ApiError::param(name, format!("{name} is not UTF-8")))
    }
}

/// What the form's reader gives, if the client sends anything at all.
async fn patient<T>(settings: &JobSettings, read: impl Future<Output = multer::Result<T>>) -> Result<T, ApiError> {
    match timeout(settings.read_timeout, read).await {
        Ok(read) => read.map_err(broken),
        Err(_) => Err(too_slow(format!("nothing came for {} s", settings.read_timeout.as_secs_f64()))),
    }
}

fn boundary(headers: &HeaderMap) -> Result<String, ApiError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    parse_boundary(kind).map_err(|_| {
        let message = "the body must be multipart/form-data with a boundary, and the audio its part `file`";
        ApiError::new(ErrorCode::UnsupportedMedia, message)
    })
}

/// Nothing is unpacked here: a kilobyte must not become a gigabyte.
fn plain(headers: &HeaderMap) -> Result<(), ApiError> {
    let is_plain = |coding: &header::HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(header::CONTENT_ENCODING).iter().all(is_plain) {
        return Ok(());
    }
    let message = "the body must be sent as it is, without a Content-Encoding";
    Err(ApiError { param: Some("Content-Encoding".into()), ..ApiError::new(ErrorCode::UnsupportedMedia, message) })
}

#[expect(clippy::needless_pass_by_value, reason = "stands in map_err")]
fn broken(error: multer::Error) -> ApiError {
    match &error {
        multer::Error::StreamReadFailed(cause) => match cause.downcast_ref() {
            Some(TapError::TooMuch) => {
                malformed(format!("a part of the form has a head of more than {MAX_PART_HEAD} bytes"))
            }
            _ => malformed("the body ended before its declared length"),
        },
        multer::Error::IncompleteStream
        | multer::Error::IncompleteFieldData { .. }
        | multer::Error::IncompleteHeaders => malformed("the form ended before its closing boundary"),
        other => malformed(format!("the body is not a well-formed form: {other}")),
    }
}

fn malformed(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::InvalidMessage, message)
}

fn too_slow(message: String) -> ApiError {
    ApiError::new(ErrorCode::ClientIdle, message)
}

fn too_large(settings: &JobSettings) -> ApiError {
    let message = format!("the file is larger than the limit of {} bytes", settings.max_upload);
    ApiError { param: Some("file".into()), ..ApiError::new(ErrorCode::TooLarge, message) }
}

#[expect(clippy::needless_pass_by_value, reason = "stands in map_err")]
pub(super) fn unwritable(error: StoreError) -> ApiError {
    tracing::error!(%error, "an upload cannot be stored");
    ApiError::new(ErrorCode::Unavailable, "the file cannot be stored now; try again").retry_after(5.0)
}

/// The last part of a file's name, without what does not print. It names nothing on this machine.
pub(super) fn printable(given: &str) -> Option<String> {
    const LONGEST: usize = 255;
    let last = given.rsplit(['/', '\\']).next().unwrap_or(given);
    let name: String = last.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    let name = name.trim();
    (!name.is_empty() && name != "." && name != "..").then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_trickled_form_is_a_timeout() {
        let head = "--X\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\n";
        let trickle = futures_util::stream::unfold(Some(head), |head| async move {
            let piece = match head {
                Some(head) => head,
                None => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    "a"
                }
            };
            Some((Ok::<_, std::io::Error>(piece), None))
        });
        let (settings, began) = (JobSettings::default(), Instant::now());
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("multipart/form-data; boundary=X"));
        let incoming = Incoming { headers: &headers, body: Body::from_stream(trickle), settings: &settings };
        let mut request = Request::new(&settings, &[], super::super::request::Purpose::Transcription);
        let never = std::future::pending::<Result<Upload, StoreError>>;
        let error = incoming.read(&mut request, never).await.expect_err("it was too slow");
        assert_eq!(error.code, ErrorCode::ClientIdle, "{error}");
        assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    }

    #[test]
    fn a_files_name_is_only_a_name() {
        let check =
            |given: &str, expected: Option<&str>| assert_eq!(printable(given).as_deref(), expected, "{given:?}");
        check("talk.wav", Some("talk.wav"));
        check("../../etc/passwd", Some("passwd"));
        check("C:\\audio\\talk.wav", Some("talk.wav"));
        check("a\r\nb", Some("ab"));
        check("..", None);
        check("/", None);
        check("", None);
    }
}
