use std::num::NonZeroUsize;
use std::sync::Arc;

use dalston_engine_align::Align;
use dalston_engine_loopback::Loopback;
use dalston_engine_sdk::Word;
use dalston_engine_sdk::batch::{Aligned, Spoken, TaskError, Transcribed, Watched};

use crate::support::{RATE, align, align_on, recording, runtime, said, transcribed};

const HOST: &[&str] = &["engine-host", "pocketsphinx"];
/// Where the words of the recording begin.
const GO_FORWARD: [f64; 4] = [0.46, 0.64, 1.16, 1.54];
const FIRST: f64 = 3.0;
const SECOND: f64 = 8.0;

/// The recording at three seconds and at eight, with silence around.
fn twice() -> Vec<i16> {
    let recording = recording("goforward.raw");
    let mut audio = vec![0; 12 * RATE];
    for at in [FIRST, SECOND] {
        let at = (at * RATE as f64) as usize;
        audio[at..at + recording.len()].copy_from_slice(&recording);
    }
    audio
}

fn texts(spoken: &Spoken) -> Vec<&str> {
    spoken.words.iter().map(|word| word.text.as_str()).collect()
}

fn assert_at(spoken: &Spoken, begin: f64) {
    let mut off: Vec<f64> =
        GO_FORWARD.iter().zip(&spoken.words).map(|(at, word)| (word.start - begin - at).abs()).collect();
    off.sort_by(f64::total_cmp);
    assert!(off.len() == 4 && off[2] < 0.08, "{off:?} off: {spoken:?}");
}

pub fn words_get_their_times_on_the_clock_of_the_file() {
    let segments = vec![
        said(FIRST + 0.2, FIRST + 2.3, "Go forward, ten meters."),
        said(SECOND + 0.6, SECOND + 2.0, "go forward ten metres"),
    ];
    let Aligned { segments, estimated } = align(&twice(), segments);
    assert_eq!(estimated, [0; 0], "{segments:?}");
    assert_eq!(texts(&segments[0]), ["Go", "forward,", "ten", "meters."]);
    assert_eq!(texts(&segments[1]), ["go", "forward", "ten", "metres"]);
    assert_at(&segments[0], FIRST);
    assert_at(&segments[1], SECOND);
    assert_eq!((segments[0].start, segments[0].text.as_str()), (FIRST + 0.2, "Go forward, ten meters."), "as it was");
}

pub fn a_segment_that_does_not_fit_keeps_its_words_and_is_named() {
    let wrong = "This is something else altogether!";
    let segments = vec![
        said(FIRST, FIRST + 2.0, wrong),
        said(SECOND, SECOND + 2.5, "go forward ten meters"),
        said(SECOND + 2.6, SECOND + 3.0, "nobody"),
    ];
    let Aligned { segments, estimated } = align(&twice(), segments);
    assert_eq!(estimated, [0, 2]);
    assert_eq!(texts(&segments[0]), wrong.split(' ').collect::<Vec<_>>());
    let (first, last) = (&segments[0].words[0], &segments[0].words[4]);
    assert_eq!((first.start, last.end), (FIRST, FIRST + 2.0), "shared out over the segment");
    assert!(segments[0].words.iter().all(|word| word.confidence.is_none()));
    assert_at(&segments[1], SECOND);
}

pub fn a_channel_is_aligned_by_its_own_audio() {
    let segments = vec![said(FIRST, FIRST + 2.5, "go forward ten meters")];
    let aligned = align_on(HOST, &twice(), Some(1), &transcribed(segments), &Watched::default()).expect("aligned");
    assert_at(&aligned.segments[0], FIRST);
}

pub fn what_has_times_stays_as_it_is() {
    let word = Word { text: "go".into(), start: 4.0, end: 5.0, confidence: Some(0.5) };
    let before = vec![Spoken { words: vec![word], ..said(4.0, 5.0, "go") }, said(5.0, 6.0, "  ")];
    let Aligned { segments, estimated } = align(&twice(), before.clone());
    assert_eq!((segments, estimated), (before, vec![]));
    assert_eq!(align(&[], vec![]), Aligned::default());
}

pub fn a_language_that_the_aligner_does_not_speak_is_left_alone() {
    let segments = vec![said(FIRST, FIRST + 2.0, "geh zehn Meter vor")];
    let german = Transcribed { language: "de".into(), ..transcribed(segments.clone()) };
    let aligned = align_on(HOST, &twice(), None, &german, &Watched::default()).expect("nothing to do");
    assert_eq!(aligned, Aligned { segments, estimated: vec![] });
}

pub fn texts_that_nobody_says_cost_their_own_segment_only() {
    let texts = [
        "go ".repeat(3_400),
        "a".repeat(10_000),
        "go ".repeat(20_000),
        "語 \u{1F600} go".to_owned(),
        "\u{0}".to_owned(),
    ];
    let mut before: Vec<Spoken> = texts.iter().map(|text| said(FIRST, FIRST + 2.5, text)).collect();
    before.push(said(-1e300, 1e300, "when"));
    before.push(said(20.0, 30.0, "beyond the end"));
    before.push(said(SECOND, SECOND + 2.5, "go forward ten meters"));
    let Aligned { segments, estimated } = align(&twice(), before.clone());
    assert_eq!(estimated, [0, 1, 2, 3, 5, 6]);
    for (before, after) in before.iter().zip(&segments) {
        assert_eq!(after.words.len(), before.text.split_whitespace().count());
    }
    assert_at(&segments[7], SECOND);
}

pub fn a_task_that_is_cancelled_ends() {
    let segments = vec![said(FIRST, FIRST + 2.0, "go forward ten meters"); 50];
    let ended = align_on(HOST, &twice(), None, &transcribed(segments), &Watched::cancelled());
    assert_eq!(ended, Err(TaskError::Cancelled));
}

pub fn an_engine_that_cannot_start_fails_the_task() {
    let segments = vec![said(FIRST, FIRST + 2.0, "go forward ten meters")];
    // This program knows no such host, and ends.
    let args = &["--list", "--format", "terse"];
    let ended = align_on(args, &twice(), None, &transcribed(segments), &Watched::default());
    assert!(matches!(ended, Err(TaskError::Failed(_))), "{ended:?}");
}

pub fn an_engine_that_cannot_align_makes_no_aligner() {
    let runtime = runtime();
    let loopback = Arc::new(Loopback::new("".parse().expect("a behaviour")));
    let made = runtime.block_on(async { Align::new(loopback, NonZeroUsize::MIN) });
    assert!(made.is_none());
}
