//! The audio path of a session: one step at a time, bounded in work and in what it queues.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use dalston_protocol::realtime::FinalCause;
use dalston_session_router::link::{FromWorker, Spoken};
use dalston_telemetry::{Chunk, Lap, VadEndpoint};

use super::{End, Session};
use crate::{ear::Noticed, inference::Flush};

/// A message of audio that is being heard.
#[derive(Debug)]
pub(super) struct Pending {
    bytes: Bytes,
    size: usize,
    began: Instant,
    /// Time spent on it, without the waits for a recogniser.
    busy: Duration,
}

impl Pending {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self { size: bytes.len(), bytes, began: Instant::now(), busy: Duration::ZERO }
    }
}

impl Session {
    /// Hears the next fifth of a second of the pending message, which is all of a usual one.
    pub(super) async fn hear_more(&mut self) -> Result<(), End> {
        let Some(mut pending) = self.pending.take() else { return Ok(()) };
        let began = Instant::now();
        let step = (self.intake.format().bytes_per_second() / 5).min(pending.bytes.len());
        let bytes = pending.bytes.split_to(step);
        let Self { intake, ears, utterances, recognition, .. } = self;
        // Almost always stays empty, and then allocates nothing.
        let mut noticed = Vec::new();
        intake.push(&bytes, |channel, samples| {
            ears[channel].hear(samples, utterances, recognition, |channel, what| noticed.push((channel, what)));
        });
        ears.iter_mut().for_each(|ear| ear.hand_over(recognition));
        pending.busy += began.elapsed();
        if pending.bytes.is_empty() {
            self.count_chunk(&pending);
        } else {
            self.pending = Some(pending);
        }
        self.notice(noticed, began).await?;
        self.report_settled(false);
        self.watch_lag().await
    }

    fn count_chunk(&mut self, pending: &Pending) {
        let audio = Duration::from_secs_f64(pending.size as f64 / self.intake.format().bytes_per_second() as f64);
        let metrics = &self.shared.metrics;
        metrics.vad.observe(pending.busy);
        metrics.lag.observe(self.lag.lag());
        metrics.audio_seconds.inc_by(audio.as_secs_f64());
        let lap = Lap::between(pending.began, pending.began + pending.busy);
        self.trace.chunk(lap, Chunk { audio, bytes: pending.size, lag: self.lag.lag(), failed: false });
    }

    /// Tells the client and the trace what the ears noticed.
    pub(super) async fn notice(&mut self, noticed: Vec<(u8, Noticed)>, began: Instant) -> Result<(), End> {
        for (channel, what) in noticed {
            match what {
                Noticed::SpeechStart(at) => self.tell_speech_start(channel, at).await?,
                Noticed::SpeechEnd(at) => self.tell_speech_end(channel, at).await?,
                Noticed::Begin { utterance } => self.told.began(channel, utterance, began),
                Noticed::Finish { utterance, start, end, decided, cause } => {
                    let speech = end.saturating_sub(start).duration();
                    self.told.speech += speech;
                    let silence = decided.saturating_sub(end).duration();
                    let endpoint = VadEndpoint { reason: reason(cause), utterance, speech, silence };
                    self.trace.vad_endpoint(Lap::between(began, Instant::now()), endpoint);
                    // Before its words: what they answer for is counted then.
                    let spoken = Spoken { channel, until: end.duration(), speech };
                    self.send(FromWorker::Spoken(Box::new(spoken))).await?;
                }
            }
        }
        Ok(())
    }

    /// Ends the open utterance of every channel now. A flush to which no channel has anything to say is answered here.
    pub(super) async fn flush(&mut self, id: Option<String>) -> Result<(), End> {
        let began = Instant::now();
        let mut noticed = Vec::new();
        let flush = Arc::new(Flush::new(id));
        let Self { ears, recognition, .. } = self;
        for ear in ears.iter_mut() {
            ear.flush(&flush, recognition, |channel, what| noticed.push((channel, what)));
        }
        self.notice(noticed, began).await?;
        self.settle(Some(flush)).await
    }

    /// A channel that waits for a stream holds both back. If the other holds one and has nothing to hear, neither can go on,
    /// and of enough such sessions none could: so the other's utterance is cut here, and its stream is free for who waits.
    pub(super) async fn give_way(&mut self) -> Result<(), End> {
        if self.has_room() || !self.recognition.backlog.is_waiting() {
            return Ok(());
        }
        let began = Instant::now();
        let mut noticed = Vec::new();
        let Self { ears, recognition, .. } = self;
        for ear in ears.iter_mut().filter(|ear| ear.is_starved(recognition)) {
            ear.cut(recognition, |channel, what| noticed.push((channel, what)));
        }
        self.notice(noticed, began).await
    }

    /// The stream is over: hears what the filters hold and ends what is open.
    pub(super) fn hear_the_end(&mut self) -> Vec<(u8, Noticed)> {
        let Self { intake, ears, utterances, recognition, .. } = self;
        let mut noticed = Vec::new();
        let cut_off = intake.finish(|channel, samples| {
            ears[channel].hear(samples, utterances, recognition, |channel, what| noticed.push((channel, what)));
        });
        if cut_off > 0 {
            tracing::debug!(bytes = cut_off, "the audio ended inside a sample");
        }
        for ear in ears.iter_mut() {
            ear.finish(utterances, recognition, |channel, what| noticed.push((channel, what)));
        }
        noticed
    }
}

fn reason(cause: FinalCause) -> &'static str {
    match cause {
        FinalCause::Endpoint => "silence",
        FinalCause::Flush => "flush",
        FinalCause::Limit => "max_utterance",
        FinalCause::End => "end",
    }
}
