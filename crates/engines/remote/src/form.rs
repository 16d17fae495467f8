//! A form with a file, as it stands in a request (<https://www.rfc-editor.org/rfc/rfc7578>).

use bytes::Bytes;
use http::HeaderValue;

/// A form that is being written.
pub struct Form {
    boundary: String,
    body: Vec<u8>,
}

impl Form {
    /// With room for so many bytes beside the fields.
    pub fn new(bytes: usize) -> Self {
        /// Of all the fields and what parts them; more is no fault.
        const FIELDS: usize = 4 * 1024;
        // Nobody who fills in a field can know it.
        let boundary = format!("{:032x}", rand::random::<u128>());
        Self { boundary, body: Vec::with_capacity(bytes + FIELDS) }
    }

    #[must_use]
    pub fn field(self, name: &str, value: &str) -> Self {
        self.part(&format!("name=\"{name}\""), value.as_bytes())
    }

    /// A WAV file.
    #[must_use]
    pub fn wav(self, name: &str, bytes: &[u8]) -> Self {
        self.part(&format!("name=\"{name}\"; filename=\"audio.wav\"\r\nContent-Type: audio/wav"), bytes)
    }

    fn part(mut self, head: &str, value: &[u8]) -> Self {
        let Self { boundary, body } = &mut self;
        body.extend_from_slice(format!("--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n").as_bytes());
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
        self
    }

    /// Its content type, and the whole of it.
    pub fn finish(mut self) -> (HeaderValue, Bytes) {
        self.body.extend_from_slice(format!("--{}--\r\n", self.boundary).as_bytes());
        let kind = HeaderValue::try_from(format!("multipart/form-data; boundary={}", self.boundary));
        (kind.expect("hexadecimal digits can stand in a header"), self.body.into())
    }
}
