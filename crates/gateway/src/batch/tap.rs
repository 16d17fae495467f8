//! A body that is let through piece by piece.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use parking_lot::Mutex;

/// Lets no more of a body through than was allowed, and never two pieces in one go: the form's reader takes all that it can
/// get into memory, so what it can get is what bounds it.
#[derive(Debug, Clone)]
pub(super) struct Tap(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    body: BodyDataStream,
    allowed: u64,
    has_given: bool,
}

/// Why no more comes.
#[derive(Debug, thiserror::Error)]
pub(super) enum TapError {
    /// More came than was allowed.
    #[error("more came than was allowed")]
    TooMuch,
    /// The body broke off.
    #[error("the body broke off")]
    Broken,
}

impl Tap {
    pub(super) fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(State { body: body.into_data_stream(), allowed: 0, has_given: false })))
    }

    /// Lets this many bytes through from now on, and the rest of the piece in which they end.
    pub(super) fn allow(&self, bytes: u64) {
        self.0.lock().allowed = bytes;
    }

    /// Reads and throws away, at most this much.
    pub(super) async fn drain(&mut self, bytes: u64) {
        self.allow(bytes);
        while let Some(Ok(_)) = self.next().await {}
    }
}

impl Stream for Tap {
    type Item = Result<Bytes, TapError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.0.lock();
        if std::mem::take(&mut state.has_given) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match state.body.poll_next_unpin(cx) {
            Poll::Ready(Some(Ok(_))) if state.allowed == 0 => Poll::Ready(Some(Err(TapError::TooMuch))),
            Poll::Ready(Some(Ok(piece))) => {
                state.allowed = state.allowed.saturating_sub(piece.len() as u64);
                state.has_given = true;
                Poll::Ready(Some(Ok(piece)))
            }
            Poll::Ready(Some(Err(_))) => Poll::Ready(Some(Err(TapError::Broken))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn tap(pieces: &[&'static str]) -> Tap {
        let pieces: Vec<_> =
            pieces.iter().map(|piece| Ok::<_, std::io::Error>(Bytes::from_static(piece.as_bytes()))).collect();
        Tap::new(Body::from_stream(stream::iter(pieces)))
    }

    #[tokio::test]
    async fn no_more_comes_than_was_allowed() {
        let mut tap = tap(&["abc", "def", "ghi", "jkl"]);
        tap.allow(4);
        assert_eq!(tap.next().await.unwrap().unwrap(), "abc");
        assert_eq!(tap.next().await.unwrap().unwrap(), "def", "the piece in which the allowance ends");
        assert!(matches!(tap.next().await, Some(Err(TapError::TooMuch))));
        tap.allow(1);
        assert_eq!(tap.next().await.unwrap().unwrap(), "jkl");
    }

    #[tokio::test]
    async fn pieces_come_one_by_one_even_where_all_are_there() {
        let mut tap = tap(&["abc", "def"]);
        tap.allow(100);
        let mut polled_ready = 0;
        std::future::poll_fn(|cx| {
            while let Poll::Ready(Some(_)) = Pin::new(&mut tap).poll_next(cx) {
                polled_ready += 1;
            }
            Poll::Ready(())
        })
        .await;
        assert_eq!(polled_ready, 1);
    }
}
