//! An answer, read piece by piece.

use bytes::Bytes;
use dalston_telemetry::Span;
use http::{HeaderMap, StatusCode, header, response::Parts};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio_util::task::AbortOnDropHandle;

use crate::{EgressError, patience::Patience};

/// An answer whose body is still to be read. Dropped, it closes the connection.
#[derive(Debug)]
pub struct Response {
    parts: Parts,
    body: Incoming,
    left: u64,
    limit: u64,
    patience: Patience,
    _driver: AbortOnDropHandle<()>,
    /// Open until the answer is dropped: reading it is most of the time it takes.
    span: Span,
}

impl Response {
    pub(crate) fn new(
        response: http::Response<Incoming>,
        limit: u64,
        patience: Patience,
        driver: AbortOnDropHandle<()>,
        span: Span,
    ) -> Self {
        let (parts, body) = response.into_parts();
        Self { parts, body, left: limit, limit, patience, _driver: driver, span }
    }

    /// How it was answered.
    pub fn status(&self) -> StatusCode {
        self.parts.status
    }

    /// What else the answer says.
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// Bytes of the body, where that is said in advance.
    pub fn content_length(&self) -> Option<u64> {
        self.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    /// The body's next piece, `None` at its end.
    ///
    /// # Errors
    /// [`EgressError::TooLarge`] before a byte too many is given, and at once where too many are announced; silence, and a body
    /// that breaks off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, EgressError> {
        let piece = self.next().await;
        if let Err(error) = &piece {
            self.span.fail(error.kind(), "the answer could not be read");
        }
        piece
    }

    async fn next(&mut self) -> Result<Option<Bytes>, EgressError> {
        let too_large = EgressError::TooLarge { limit: self.limit };
        if self.content_length().is_some_and(|length| length > self.limit) {
            return Err(too_large);
        }
        while let Some(frame) = self.patience.wait(self.body.frame()).await? {
            // Trailers are nobody's business here.
            let Ok(piece) = frame.map_err(EgressError::Broken)?.into_data() else { continue };
            self.left = self.left.checked_sub(piece.len() as u64).ok_or(too_large)?;
            return Ok(Some(piece));
        }
        Ok(None)
    }
}
