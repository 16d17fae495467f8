//! `GET …/{id}/audio`: the upload as it came, whole or a part of it (RFC 9110 §14).

use axum::{
    Extension,
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use dalston_protocol::{ApiError, ErrorCode};
use futures_util::{Stream, StreamExt, future, stream};
use http::{HeaderMap, StatusCode, header};

use super::{batch, job_id, no_artifact};
use crate::{
    api::{Failure, header_text},
    auth::Principal,
    gateway::App,
};

pub(crate) async fn audio(
    State(app): State<App>,
    Extension(caller): Extension<Principal>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let batch = batch(&app)?;
    let job = batch.job(&caller.tenant(), &job_id(&id)?).await?;
    let (bytes, stream) = batch.artifacts.stream(&job.source.key).await.map_err(no_artifact)?;
    let name = job.source.file_name.as_deref().unwrap_or_default();
    let mut answer = match wanted(&headers, bytes) {
        Wanted::All => ([(header::CONTENT_LENGTH, bytes.to_string())], Body::from_stream(stream)).into_response(),
        Wanted::Part(first, last) => {
            let headers = [
                (header::CONTENT_LENGTH, (last - first + 1).to_string()),
                (header::CONTENT_RANGE, format!("bytes {first}-{last}/{bytes}")),
            ];
            (StatusCode::PARTIAL_CONTENT, headers, Body::from_stream(part(stream, first, last))).into_response()
        }
        Wanted::Nothing => {
            let message = format!("the audio has {bytes} bytes");
            let range = [(header::CONTENT_RANGE, format!("bytes */{bytes}"))];
            return Ok((range, Failure(ApiError::new(ErrorCode::OutOfRange, message))).into_response());
        }
    };
    let headers = answer.headers_mut();
    // What a stranger uploaded must not be run as a page of this origin.
    headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static(content_type(name)));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, http::HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_DISPOSITION, http::HeaderValue::from_static("attachment"));
    headers.insert(header::ACCEPT_RANGES, http::HeaderValue::from_static("bytes"));
    Ok(answer)
}

#[derive(Debug, PartialEq)]
enum Wanted {
    All,
    /// From the first byte to the last, both included.
    Part(u64, u64),
    /// What lies outside.
    Nothing,
}

/// One range of bytes. Several, or what is no range, are answered with all, as the RFC allows.
fn wanted(headers: &HeaderMap, bytes: u64) -> Wanted {
    let Some(range) = header_text(headers, "range").and_then(|range| range.strip_prefix("bytes=")) else {
        return Wanted::All;
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let Some((first, last)) = range.split_once('-') else { return Wanted::All };
    match (number(first), number(last)) {
        (Some(first), _) if first >= bytes => Wanted::Nothing,
        (Some(first), Some(last)) if first <= last => Wanted::Part(first, last.min(bytes - 1)),
        (Some(first), None) if last.trim().is_empty() => Wanted::Part(first, bytes - 1),
        (None, Some(0)) if first.trim().is_empty() => Wanted::Nothing,
        (None, Some(count)) if first.trim().is_empty() => Wanted::Part(bytes.saturating_sub(count), bytes - 1),
        _ => Wanted::All,
    }
}

/// The bytes from `first` to `last`. What comes before is read and left out.
fn part<E>(all: impl Stream<Item = Result<Bytes, E>>, first: u64, last: u64) -> impl Stream<Item = Result<Bytes, E>> {
    let cut = move |at: &mut u64, piece: Result<Bytes, E>| {
        if *at > last {
            return future::ready(None);
        }
        let cut = piece.map(|piece| {
            let (begin, end) = (*at, *at + piece.len() as u64);
            *at = end;
            let within = |position: u64| (position.clamp(begin, end) - begin) as usize;
            piece.slice(within(first)..within(last + 1).max(within(first)))
        });
        future::ready(Some(stream::iter(Some(cut))))
    };
    all.scan(0, cut).flatten()
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "wav" => "audio/wav",
        "mp3" => "audio/mpeg",
        "flac" => "audio/flac",
        "ogg" | "oga" | "opus" => "audio/ogg",
        "m4a" | "mp4" => "audio/mp4",
        "aac" => "audio/aac",
        "webm" => "audio/webm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_the_rfc_says() {
        let check = |range: &str, expected: Wanted| {
            let headers = HeaderMap::from_iter([(header::RANGE, range.parse().unwrap())]);
            assert_eq!(wanted(&headers, 100), expected, "{range}");
        };
        check("bytes=0-0", Wanted::Part(0, 0));
        check("bytes=10-19", Wanted::Part(10, 19));
        check("bytes=90-1000", Wanted::Part(90, 99));
        check("bytes=90-", Wanted::Part(90, 99));
        check("bytes=-10", Wanted::Part(90, 99));
        check("bytes=-1000", Wanted::Part(0, 99));
        check("bytes=100-", Wanted::Nothing);
        check("bytes=-0", Wanted::Nothing);
        check("bytes=20-10", Wanted::All);
        check("bytes=0-1,5-6", Wanted::All);
        check("bytes=a-b", Wanted::All);
        check("seconds=0-1", Wanted::All);
    }

    #[tokio::test]
    async fn a_part_is_cut_out_wherever_pieces_begin() {
        let text = b"0123456789";
        for size in 1..=10 {
            for first in 0..10 {
                for last in first..10 {
                    let pieces: Vec<Result<Bytes, ()>> =
                        text.chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
                    let cut: Vec<_> = part(stream::iter(pieces), first as u64, last as u64).collect().await;
                    let cut: Vec<u8> = cut.into_iter().flat_map(Result::unwrap).collect();
                    assert_eq!(cut, text[first..=last], "{size} {first} {last}");
                }
            }
        }
    }
}
