//! Utterances from decisions, with the rules of a live session's defaults.

use dalston_audio::Verdict;

/// 100 ms of voice begin an utterance, closures of 60 ms notwithstanding; 500 ms without voice end it.
const MIN_SPEECH: usize = 5;
const ONSET_GAP: usize = 3;
const ENDPOINTING: usize = 25;
/// Kept before the onset and after the last voice: 300 ms and 240 ms.
const PADDING: usize = 15;
const TAIL: usize = 12;

/// One utterance, in frames.
#[derive(Clone, Copy)]
pub struct Utterance {
    /// The first voiced frame.
    pub onset: usize,
    /// When it was begun.
    pub begun: usize,
    /// The last voiced frame.
    pub last: usize,
    /// Not dropped for want of a verdict.
    pub kept: bool,
}

impl Utterance {
    /// The frames that are given to a recogniser.
    pub fn covers(&self, frame: usize) -> bool {
        self.kept && (self.onset.saturating_sub(PADDING)..=self.last + TAIL).contains(&frame)
    }
}

pub fn utterances(decisions: &[(bool, Verdict)]) -> Vec<Utterance> {
    let mut found = Vec::new();
    let mut open: Option<Utterance> = None;
    let (mut onset, mut voiced, mut gap, mut run, mut proven) = (0, 0, 0, 0, false);
    for (at, &(speech, verdict)) in decisions.iter().enumerate() {
        let Some(utterance) = &mut open else {
            match (speech, voiced) {
                (true, 0) => (onset, voiced, gap) = (at, 1, 0),
                (true, _) => (voiced, gap) = (voiced + 1, 0),
                (false, 0) => {}
                (false, _) if gap < ONSET_GAP => gap += 1,
                (false, _) => voiced = 0,
            }
            if voiced >= MIN_SPEECH {
                open = Some(Utterance { onset, begun: at, last: at, kept: true });
                (voiced, run, proven) = (0, 1, verdict == Verdict::Speech);
            }
            continue;
        };
        proven |= verdict == Verdict::Speech;
        run = if speech { run + 1 } else { 0 };
        if run >= 2 {
            utterance.last = at;
        }
        if !speech && at - utterance.last >= ENDPOINTING {
            utterance.kept = proven || verdict != Verdict::NotSpeech;
            found.extend(open.take());
        }
    }
    if let Some(mut utterance) = open {
        let last_verdict = decisions.last().map(|&(_, verdict)| verdict);
        utterance.kept = proven || last_verdict != Some(Verdict::NotSpeech);
        found.push(utterance);
    }
    found
}
