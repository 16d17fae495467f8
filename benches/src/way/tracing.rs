//! `tracing` spans, turned into OpenTelemetry's by tracing-opentelemetry.

use tracing::dispatcher::{Dispatch, with_default};
use tracing::{Span, info_span};
use tracing_subscriber::layer::SubscriberExt;

use super::Session;
use crate::work::{CHUNK, Work};

pub(super) struct Bridged {
    dispatch: Dispatch,
    session: Span,
}

impl Bridged {
    pub(super) fn open(kept: bool) -> Self {
        let layer = tracing_opentelemetry::layer().with_tracer(super::opentelemetry::tracer(kept));
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
        let session = with_default(&dispatch, || info_span!("realtime.session"));
        Self { dispatch, session }
    }
}

impl Session for Bridged {
    #[inline(never)]
    fn chunks(&mut self, work: &Work, count: u64) {
        let session_id = super::ours::START.session_id;
        with_default(&self.dispatch, || {
            let _session = self.session.enter();
            for _ in 0..count {
                let span = info_span!(
                    "realtime.process_audio_chunk",
                    session.id = session_id,
                    dalston.sampling.adjusted_count = 1.0,
                    dalston.audio.seconds = CHUNK.audio.as_secs_f64(),
                    dalston.audio.bytes = CHUNK.bytes as i64,
                    dalston.lag.seconds = CHUNK.lag.as_secs_f64(),
                );
                span.in_scope(|| work.process());
            }
        });
    }
}
