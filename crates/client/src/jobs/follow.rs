//! A job's event stream, read (server-sent events).

use dalston_protocol::{ErrorBody, job::Job};

use super::exchange::Answer;
use crate::JobsError;

/// Longest event: a job with a hundred stages is far below.
const LONGEST: usize = 1 << 20;

/// How a job goes. Ends when the job has.
#[derive(Debug)]
pub struct Progress {
    answer: Answer,
    buffer: Vec<u8>,
}

impl Progress {
    pub(super) fn new(answer: Answer) -> Self {
        Self { answer, buffer: Vec::new() }
    }

    /// The job as it next is; `None` after its end, or when the server ends the stream.
    ///
    /// # Errors
    /// The connection broke, or the server told of an error, such as that the job was deleted.
    pub async fn next(&mut self) -> Result<Option<Job>, JobsError> {
        loop {
            while let Some(event) = self.buffered() {
                if let Some(job) = parse(&event)? {
                    return Ok(Some(job));
                }
            }
            if self.buffer.len() > LONGEST {
                return Err(JobsError::Unspeakable(format!("an event of more than {LONGEST} bytes")));
            }
            match self.answer.piece().await? {
                Some(piece) => self.buffer.extend_from_slice(&piece),
                None => return Ok(None),
            }
        }
    }

    /// An event that is there whole.
    fn buffered(&mut self) -> Option<String> {
        let end = self.buffer.windows(2).position(|pair| pair == b"\n\n")?;
        let event = self.buffer.drain(..end + 2).collect::<Vec<u8>>();
        Some(String::from_utf8_lossy(&event).into_owned())
    }
}

/// `None` for comments and for kinds that this client does not know.
fn parse(event: &str) -> Result<Option<Job>, JobsError> {
    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let Some(data) = field("data") else { return Ok(None) };
    let wrong = |error: serde_json::Error| JobsError::Unspeakable(format!("an event of another shape: {error}"));
    match field("event") {
        Some("progress") => serde_json::from_str(data).map(Some).map_err(wrong),
        Some("error") => {
            let error = serde_json::from_str::<ErrorBody>(data).map_err(wrong)?.error;
            Err(JobsError::Told { code: error.code, message: error.message })
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_unknown_events_are_passed_over_and_errors_are_errors() {
        assert!(parse(": still here\n\n").unwrap().is_none());
        assert!(parse("event: other\ndata: {}\n\n").unwrap().is_none());
        assert!(parse("event: progress\ndata: {}\n\n").is_err());
        let error = r#"{"error":{"code":"not_found","message":"gone","request_id":"req_1"}}"#;
        let told = parse(&format!("event: error\ndata: {error}\n\n")).unwrap_err();
        assert!(matches!(told, JobsError::Told { message, .. } if message == "gone"));
    }
}
