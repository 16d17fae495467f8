//! Audio that is fetched from where a client says it is, into the artifact store, piece by piece.

use dalston_egress::{Client, EgressError, Limits, Origin, Request, file_name};
use dalston_protocol::{ApiError, ErrorCode};
use dalston_store::{StoreError, Upload};
use dalston_telemetry::{Component, TraceContext};
use tokio::time::Instant;

use super::{
    JobSettings,
    create::Caller,
    form::{File, printable, unwritable},
    pace::Pace,
};

/// The field at fault.
const FIELD: &str = "audio_url";
/// As often as a shortened link of a shared folder may lead on.
const MAX_REDIRECTS: u8 = 5;

/// How audio is fetched for a request.
pub(super) struct Fetch<'a> {
    pub(super) client: Option<&'a Client>,
    pub(super) settings: &'a JobSettings,
    pub(super) caller: &'a Caller,
    pub(super) trace: TraceContext,
}

impl Fetch<'_> {
    /// Reads what is at `url` into `upload`, within the time and size of an upload.
    ///
    /// # Errors
    /// What is wrong with the URL or with what it leads to, without a word of the URL itself: there may be a secret in it.
    pub(super) async fn file<F>(&self, url: &str, upload: impl FnOnce() -> F) -> Result<File, ApiError>
    where
        F: Future<Output = Result<Upload, StoreError>>,
    {
        let Some(client) = self.client else {
            return Err(ApiError::param(FIELD, "this server fetches nothing; send the audio itself as `file`"));
        };
        let limits =
            Limits { total: self.settings.upload_timeout, body: self.settings.max_upload, redirects: MAX_REDIRECTS };
        let request_id = self.caller.request_id.as_str();
        let origin = Origin { component: Component::Gateway, trace: self.trace.clone(), request_id };
        let mut answer = client.send(Request::get(url, limits, origin)).await.map_err(told)?;
        if !answer.status().is_success() {
            let status = answer.status().as_u16();
            return Err(ApiError::param(FIELD, format!("{FIELD} was answered with the status {status}")));
        }
        let name = file_name(url).and_then(|name| printable(&name));
        let mut file = File { upload: upload().await.map_err(unwritable)?, name, bytes: 0 };
        let mut pace = Pace::default();
        loop {
            let began = Instant::now();
            let Some(piece) = answer.chunk().await.map_err(told)? else { break };
            // It holds a place among the uploads as a slow client does.
            pace.came(piece.len(), began.elapsed())
                .map_err(|slow| ApiError::param(FIELD, format!("{FIELD}: {slow}")))?;
            file.bytes += piece.len() as u64;
            file.upload.write(piece).await.map_err(unwritable)?;
        }
        if file.bytes == 0 {
            return Err(ApiError::param(FIELD, format!("{FIELD} leads to an empty file")));
        }
        Ok(file)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "stands in map_err")]
fn told(error: EgressError) -> ApiError {
    // What the client is not told: which certificate, which system call.
    tracing::info!(kind = error.kind(), error = &error as &dyn std::error::Error, "audio could not be fetched");
    let code = match error {
        EgressError::TooLarge { .. } => ErrorCode::TooLarge,
        _ => ErrorCode::InvalidParameter,
    };
    ApiError { param: Some(FIELD.into()), ..ApiError::new(code, format!("{FIELD} {error}")) }
}
