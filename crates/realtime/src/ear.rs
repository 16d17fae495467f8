//! One channel's ear: samples to utterances, and the way to the channel's recogniser.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dalston_audio::{AudioTime, FRAME_SAMPLES, Framer, Vad, VadKind, Verdict};
use dalston_engine_sdk::{StreamOptions, StreamingEngine};
use dalston_protocol::realtime::{Endpointing, FinalCause};
use dalston_session_router::link::Continuation;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    backlog::Backlog,
    endpointing::{Action, Endpointer},
    inference::{Command, Flush, Inference, Outcome, Pace},
};

/// Commands under way to a recogniser. Only audio is many, and [`Backlog`] bounds that first.
const COMMANDS: usize = 1024;
/// Commands that one step of the session makes at the most; below this much room it takes nothing from the client.
const ROOM: usize = 64;

/// What the ear noticed, for the session to tell and count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Noticed {
    /// Speech began.
    SpeechStart(AudioTime),
    /// Speech ended.
    SpeechEnd(AudioTime),
    /// An utterance began.
    Begin { utterance: u64 },
    /// An utterance ended: its speech from `start` to `end`; the frame that decided it ended at `decided`.
    Finish { utterance: u64, start: AudioTime, end: AudioTime, decided: AudioTime, cause: FinalCause },
}

/// Everything a recogniser is made of, shared by the channels of a session.
#[derive(Clone)]
pub(crate) struct Recognition {
    pub(crate) engine: Arc<dyn StreamingEngine>,
    pub(crate) options: StreamOptions,
    pub(crate) pace: Pace,
    pub(crate) backlog: Backlog,
    pub(crate) outcomes: mpsc::Sender<Box<Outcome>>,
}

/// Hears one channel.
pub(crate) struct Ear {
    channel: u8,
    vad_kind: VadKind,
    /// Made by the first audio: an idle session has none.
    vad: Option<Vad>,
    vad_enabled: bool,
    framer: Framer,
    endpointer: Endpointer,
    /// Another worker has answered for the audio up to here. It is only to be detected in what sounds.
    answered: AudioTime,
    feed: Feed,
}

/// The way to the recogniser.
struct Feed {
    channel: u8,
    /// Audio of the open utterance that goes out with the next command.
    samples: Vec<i16>,
    /// The recogniser's queue and its task, started by the first utterance. Without a queue it finishes what it has.
    commands: Option<mpsc::Sender<Command>>,
    task: Option<AbortOnDropHandle<()>>,
    open: Option<Open>,
    /// The last utterance whose words were asked for.
    asked: u64,
    /// What the detector makes of what sounds now.
    verdict: Verdict,
    /// Whether it was found to be a voice since the utterance began. Until then no partial is asked for, and what ends as
    /// anything else (music, a machine) is no utterance at all.
    proven: bool,
    /// The flush that ends the utterance, while it does.
    flush: Option<Arc<Flush>>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    utterance: u64,
    start: AudioTime,
}

impl Ear {
    pub(crate) fn new(channel: u8, rules: Endpointing, vad_enabled: bool, vad_kind: VadKind) -> Self {
        // Without a detector everything is speech.
        let (verdict, proven) = (Verdict::Speech, false);
        let feed = Feed {
            channel,
            samples: Vec::new(),
            commands: None,
            task: None,
            open: None,
            asked: 0,
            verdict,
            proven,
            flush: None,
        };
        let endpointer = Endpointer::new(rules, vad_enabled);
        let answered = AudioTime::ZERO;
        Self { channel, vad_kind, vad: None, vad_enabled, framer: Framer::new(), endpointer, answered, feed }
    }

    /// Goes on where the ear of another worker was.
    pub(crate) fn continuing(self, continues: &Continuation) -> Self {
        let answered = audio_time(continues.answered[usize::from(self.channel)]);
        let endpointer = self.endpointer.starting_at(AudioTime::from_millis(continues.from * 1_000));
        Self { answered, endpointer, ..self }
    }

    /// Whether the recogniser's queue can take what one step makes.
    pub(crate) fn has_room(&self) -> bool {
        self.feed.commands.as_ref().is_none_or(|commands| commands.capacity() >= ROOM)
    }

    pub(crate) fn set_rules(&mut self, rules: Endpointing) {
        self.endpointer.set_rules(rules);
    }

    /// The recogniser works in another way from the next utterance on.
    pub(crate) fn set_recognition(&self, recognition: &Recognition) {
        // One that is not started yet will take them from the beginning; `send` passes it over.
        self.feed.send(Command::Settings { options: recognition.options.clone(), pace: recognition.pace });
    }

    /// Hears more of the channel. `numbers` counts the session's utterances.
    pub(crate) fn hear(
        &mut self,
        samples: &[i16],
        numbers: &mut u64,
        recognition: &Recognition,
        mut noticed: impl FnMut(u8, Noticed),
    ) {
        let Self { channel, vad_kind, vad, vad_enabled, framer, endpointer, answered, feed } = self;
        framer.push(samples, |frame| {
            let mut voiced = false;
            if *vad_enabled {
                let vad = vad.get_or_insert_with(|| Vad::new(*vad_kind));
                voiced = vad.is_speech(frame);
                feed.judge(vad.verdict());
            }
            // By the middle of the frame: what was answered is told in milliseconds, and ends with a frame.
            if endpointer.now() + AudioTime::from_samples(FRAME_SAMPLES as u64 / 2) < *answered {
                return endpointer.pass_over();
            }
            let decided = endpointer.now() + AudioTime::from_samples(FRAME_SAMPLES as u64);
            endpointer.frame(frame, voiced, &mut |action| {
                feed.act(action, decided, numbers, recognition, &mut |n| noticed(*channel, n));
            });
        });
    }

    /// Sends the recogniser what it has not got yet.
    pub(crate) fn hand_over(&mut self, recognition: &Recognition) {
        self.feed.hand_over(recognition);
    }

    /// Ends the open utterance. Where none is open, the recogniser passes the flush on in turn: it may have something to say to
    /// what came before.
    pub(crate) fn flush(
        &mut self,
        flush: &Arc<Flush>,
        recognition: &Recognition,
        mut noticed: impl FnMut(u8, Noticed),
    ) {
        let Self { channel, endpointer, feed, .. } = self;
        let decided = endpointer.now();
        feed.flush = Some(flush.clone());
        endpointer.finish(FinalCause::Flush, &mut |action| {
            feed.act(action, decided, &mut 0, recognition, &mut |n| noticed(*channel, n));
        });
        if let Some(flush) = feed.flush.take() {
            feed.send(Command::Flushed { flush });
        }
    }

    /// The last utterance whose words were asked for.
    pub(crate) fn asked(&self) -> u64 {
        self.feed.asked
    }

    /// Where the audio begins that may still become words of an utterance that has not ended.
    pub(crate) fn unheard_since(&self) -> AudioTime {
        self.feed.open.map_or_else(|| self.endpointer.held_since(), |open| open.start)
    }

    /// Whether an utterance is open and its recogniser has heard all that there is of it.
    pub(crate) fn is_starved(&self, recognition: &Recognition) -> bool {
        self.feed.open.is_some() && recognition.backlog.is_done(self.channel)
    }

    /// Ends the open utterance where it is. What follows is another one.
    pub(crate) fn cut(&mut self, recognition: &Recognition, mut noticed: impl FnMut(u8, Noticed)) {
        let Self { channel, endpointer, feed, .. } = self;
        let decided = endpointer.now();
        endpointer.finish(FinalCause::Limit, &mut |action| {
            feed.act(action, decided, &mut 0, recognition, &mut |n| noticed(*channel, n));
        });
    }

    /// Throws away the open utterance, and the beginning of a frame with it. Silence takes its place: the clock counts frames,
    /// so less than one must not be missing either.
    pub(crate) fn clear(&mut self, recognition: &Recognition) {
        let heard = self.framer.pending().len();
        self.framer.clear();
        // Completes no frame, since what it replaces did not.
        self.framer.push(&[0; FRAME_SAMPLES][..heard], |_| {});
        let Self { endpointer, feed, .. } = self;
        let decided = endpointer.now();
        endpointer.clear(&mut |action| feed.act(action, decided, &mut 0, recognition, &mut |_| {}));
    }

    /// The stream is over: hears the last, incomplete frame, ends the open utterance and lets the recogniser finish.
    pub(crate) fn finish(
        &mut self,
        numbers: &mut u64,
        recognition: &Recognition,
        mut noticed: impl FnMut(u8, Noticed),
    ) {
        let rest = self.framer.pending().len();
        if rest > 0 {
            self.hear(&[0; FRAME_SAMPLES][rest..], numbers, recognition, &mut noticed);
        }
        let Self { channel, endpointer, feed, .. } = self;
        let decided = endpointer.now();
        endpointer.finish(FinalCause::End, &mut |action| {
            feed.act(action, decided, &mut 0, recognition, &mut |n| noticed(*channel, n));
        });
        feed.commands = None;
    }
}

/// A place on the session's clock, to the sample.
pub(crate) fn audio_time(at: Duration) -> AudioTime {
    AudioTime::from_samples((at.as_secs_f64() * 16_000.0).round() as u64)
}

impl Feed {
    fn judge(&mut self, verdict: Verdict) {
        self.verdict = verdict;
        self.proven |= verdict == Verdict::Speech;
    }

    fn act(
        &mut self,
        action: Action<'_>,
        decided: AudioTime,
        numbers: &mut u64,
        recognition: &Recognition,
        noticed: &mut impl FnMut(Noticed),
    ) {
        match action {
            Action::SpeechStart(at) => noticed(Noticed::SpeechStart(at)),
            Action::SpeechEnd(at) => noticed(Noticed::SpeechEnd(at)),
            Action::Begin(start) => {
                *numbers += 1;
                let utterance = *numbers;
                self.open = Some(Open { utterance, start });
                self.proven = self.verdict == Verdict::Speech;
                self.start(recognition);
                self.send(Command::Begin { utterance, start });
                noticed(Noticed::Begin { utterance });
            }
            Action::Feed(samples) => self.samples.extend_from_slice(samples),
            Action::Finish(end, cause) => {
                let flush = self.flush.take();
                if self.proven || self.verdict != Verdict::NotSpeech {
                    self.hand_over(recognition);
                    self.asked = self.open.map_or(self.asked, |open| open.utterance);
                    self.send(Command::Finish { end, cause, flush, asked: Instant::now() });
                } else {
                    self.samples.clear();
                    self.send(Command::Discard);
                    if let Some(flush) = flush {
                        self.send(Command::Flushed { flush });
                    }
                }
                if let Some(Open { utterance, start }) = self.open.take() {
                    noticed(Noticed::Finish { utterance, start, end, decided, cause });
                }
            }
            Action::Discard => {
                self.samples.clear();
                self.open = None;
                self.send(Command::Discard);
            }
        }
    }

    fn start(&mut self, recognition: &Recognition) {
        if self.task.is_some() {
            return;
        }
        let (sender, commands) = mpsc::channel(COMMANDS);
        let Recognition { engine, options, pace, backlog, outcomes } = recognition.clone();
        let inference = Inference::new(engine, options, pace, self.channel, commands, backlog, outcomes);
        self.commands = Some(sender);
        self.task = Some(AbortOnDropHandle::new(tokio::spawn(inference.run())));
    }

    fn hand_over(&mut self, recognition: &Recognition) {
        if self.samples.is_empty() {
            return;
        }
        let samples = std::mem::take(&mut self.samples);
        recognition.backlog.add(self.channel, samples.len());
        self.send(Command::Audio { samples, partials: self.proven });
    }

    fn send(&self, command: Command) {
        let Some(commands) = &self.commands else { return };
        // The session makes sure of room before each step, so a refusal means that the recogniser's task is gone. It ends only with
        // the session or by a panic of ours, which the lag budget or the deadline of the drain then turns into a close.
        let _ = commands.try_send(command);
    }
}
