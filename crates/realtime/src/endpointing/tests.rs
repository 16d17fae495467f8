use proptest::prelude::*;

use super::*;

/// The actions for `pattern`, a character per frame (`x` voiced, `.` not), in short text: times in milliseconds, fed audio as
/// its length.
fn run(rules: Endpointing, vad: bool, pattern: &str, at_end: Option<FinalCause>) -> Vec<String> {
    let mut endpointer = Endpointer::new(rules, vad);
    let mut lines: Vec<String> = Vec::new();
    let mut fed = 0;
    let ms = |t: AudioTime| t.samples() / 16;
    let mut sink = |action: Action<'_>| {
        if let Action::Feed(samples) = action {
            fed += samples.len() / 16;
            return;
        }
        if fed > 0 {
            lines.push(format!("feed {fed}"));
            fed = 0;
        }
        lines.push(match action {
            Action::SpeechStart(at) => format!("speech from {}", ms(at)),
            Action::Begin(at) => format!("begin {}", ms(at)),
            Action::SpeechEnd(at) => format!("speech to {}", ms(at)),
            Action::Finish(at, cause) => format!("finish {} {cause:?}", ms(at)),
            Action::Discard => "discard".into(),
            Action::Feed(_) => unreachable!("handled above"),
        });
    };
    for voiced in pattern.chars() {
        let loudness = if voiced == 'x' { 1000 } else { 0 };
        let frame = std::array::from_fn(|i| if i % 2 == 0 { loudness } else { -loudness });
        endpointer.frame(&frame, voiced == 'x', &mut sink);
    }
    if let Some(cause) = at_end {
        endpointer.finish(cause, &mut sink);
    }
    lines
}

fn check(pattern: &str, expected: &[&str]) {
    assert_eq!(run(Endpointing::default(), true, pattern, None), expected, "{pattern}");
}

fn frames(parts: &[(char, usize)]) -> String {
    parts.iter().flat_map(|&(c, n)| std::iter::repeat_n(c, n)).collect()
}

#[test]
fn silence_is_nothing() {
    check(&".".repeat(500), &[]);
}

#[test]
fn speech_is_padded_and_ends_after_the_hangover() {
    check(
        &frames(&[('.', 50), ('x', 50), ('.', 30)]),
        &["speech from 1000", "begin 700", "feed 1540", "speech to 2000", "finish 2000 Endpoint"],
    );
}

#[test]
fn speech_shorter_than_the_minimum_is_no_speech() {
    check(&frames(&[('.', 50), ('x', 4), ('.', 100)]), &[]);
}

#[test]
fn a_plosive_does_not_undo_the_onset() {
    check(
        &frames(&[('.', 50), ('x', 3), ('.', 3), ('x', 20), ('.', 30)]),
        &["speech from 1000", "begin 700", "feed 1060", "speech to 1520", "finish 1520 Endpoint"],
    );
}

#[test]
fn a_click_does_not_hold_an_utterance_open() {
    check(
        &frames(&[('x', 20), ('.', 15), ('x', 1), ('.', 9)]),
        &["speech from 0", "begin 0", "feed 640", "speech to 400", "finish 400 Endpoint"],
    );
}

#[test]
fn a_pause_within_the_hangover_is_fed_whole() {
    check(
        &frames(&[('x', 20), ('.', 24), ('x', 20), ('.', 25)]),
        &["speech from 0", "begin 0", "feed 1520", "speech to 1280", "finish 1280 Endpoint"],
    );
}

#[test]
fn padding_never_reaches_into_the_last_utterance() {
    let rules = Endpointing { prefix_padding_ms: 1000, endpointing_ms: 500, ..Endpointing::default() };
    assert_eq!(
        run(rules, true, &frames(&[('x', 20), ('.', 25), ('x', 20)]), Some(FinalCause::End)),
        [
            "speech from 0",
            "begin 0",
            "feed 640",
            "speech to 400",
            "finish 400 Endpoint",
            "speech from 900",
            "begin 640",
            "feed 660",
            "speech to 1300",
            "finish 1300 End"
        ]
    );
}

#[test]
fn without_vad_only_the_end_parts() {
    assert_eq!(
        run(Endpointing::default(), false, &".".repeat(100), Some(FinalCause::Flush)),
        ["begin 0", "feed 2000", "finish 2000 Flush"]
    );
}

#[test]
fn a_long_utterance_is_cut_where_it_is_quiet_and_goes_on_there() {
    let rules = Endpointing { max_utterance_s: 5.0, ..Endpointing::default() };
    let pattern = frames(&[('x', 190), ('.', 6), ('x', 100)]);
    assert_eq!(
        run(rules, true, &pattern, Some(FinalCause::End)),
        [
            "speech from 0",
            "begin 0",
            "feed 3860",
            "finish 3860 Limit",
            "begin 3860",
            "feed 2060",
            "speech to 5920",
            "finish 5920 End"
        ]
    );
}

proptest! {
    /// Whatever is voiced: fed audio is in order, never twice, whole within an utterance, and held audio is bounded.
    #[test]
    fn every_sample_is_fed_once_and_in_order(
        runs in prop::collection::vec((any::<bool>(), 1usize..120), 1..30),
        max_utterance_s in 3.0f64..6.0,
        endpointing_ms in 100u32..2_000,
        prefix_padding_ms in 0u32..1_000,
        min_speech_ms in 0u32..400,
        vad in any::<bool>(),
    ) {
        let rules = Endpointing { endpointing_ms, min_speech_ms, prefix_padding_ms, max_utterance_s };
        let mut endpointer = Endpointer::new(rules, vad);
        // Each sample carries its own position (mod 2^15), so that an order or a gap shows.
        let mut position = 0u64;
        let mut open: Option<u64> = None;
        let mut last_end = 0u64;
        let mut failure = None;
        let mut sink = |action: Action<'_>| match action {
            Action::Begin(at) => {
                if open.is_some() || at.samples() < last_end { failure = Some(format!("begin at {at:?}")); }
                open = Some(at.samples());
            }
            Action::Feed(samples) => {
                let Some(next) = open.as_mut() else { failure = Some("fed outside an utterance".into()); return };
                for &sample in samples {
                    if sample != (*next & 0x7fff) as i16 { failure = Some(format!("sample {next} out of order")); }
                    *next += 1;
                }
            }
            Action::Finish(at, _) => {
                let Some(end) = open.take() else { failure = Some("finished twice".into()); return };
                if at.samples() > end { failure = Some(format!("speech until {at:?} but fed until {end}")); }
                last_end = end;
            }
            Action::SpeechStart(_) | Action::SpeechEnd(_) | Action::Discard => {}
        };
        for (voiced, count) in runs {
            for _ in 0..count {
                let frame: Frame = std::array::from_fn(|i| ((position + i as u64) & 0x7fff) as i16);
                position += FRAME_SAMPLES as u64;
                endpointer.frame(&frame, voiced, &mut sink);
                let bound = 16 * (2_000 + 1_000 + 400 + 2_020);
                prop_assert!(endpointer.held.len() <= bound, "{} samples held", endpointer.held.len());
            }
        }
        endpointer.finish(FinalCause::End, &mut sink);
        prop_assert_eq!(failure, None);
        prop_assert_eq!(open, None);
    }
}
