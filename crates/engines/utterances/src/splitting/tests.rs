use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn rules() -> Rules {
    Rules::new(Duration::from_millis(500), Duration::from_secs(5))
}

/// Frames that carry their own number, so that every sample of a piece can be told; quiet ones are small.
fn frame(number: usize, voiced: bool) -> Frame {
    let loudness = if voiced { 8_000 } else { 0 };
    std::array::from_fn(|i| if i % 2 == 0 { (number % 4_000) as i16 } else { loudness })
}

fn split(pattern: &[bool], verdict: Verdict) -> Vec<Piece> {
    let mut splitter = Splitter::new(rules());
    let frames = pattern.iter().enumerate();
    let mut pieces: Vec<_> =
        frames.filter_map(|(i, &voiced)| splitter.frame(&frame(i, voiced), voiced, verdict)).collect();
    pieces.extend(splitter.finish(verdict));
    pieces
}

/// Runs of frames: so many, voiced or not.
fn pattern(runs: &[(usize, bool)]) -> Vec<bool> {
    runs.iter().flat_map(|&(count, voiced)| std::iter::repeat_n(voiced, count)).collect()
}

/// First and end of each piece, in frames.
fn places(pieces: &[Piece]) -> Vec<(usize, usize)> {
    let frames = |samples: usize| samples / FRAME_SAMPLES;
    let start = |piece: &Piece| usize::try_from(piece.start.samples()).expect("small");
    pieces.iter().map(|piece| (frames(start(piece)), frames(start(piece) + piece.samples.len()))).collect()
}

#[test]
fn a_pause_parts_and_a_breath_does_not() {
    let check = |silence: usize, expected: &[(usize, usize)]| {
        let pattern = pattern(&[(50, false), (50, true), (silence, false), (50, true), (50, false)]);
        assert_eq!(places(&split(&pattern, Verdict::Speech)), expected, "{silence} frames");
    };
    check(20, &[(35, 182)]);
    check(60, &[(35, 112), (145, 222)]);
    // The end of one and the beginning of the next may be the same silence: it is the first one's.
    check(26, &[(35, 112), (112, 188)]);
}

#[test]
fn a_click_is_no_speech() {
    assert_eq!(split(&pattern(&[(50, false), (3, true), (100, false)]), Verdict::Undecided), []);
}

#[test]
fn what_is_no_voice_gives_no_piece() {
    let sound = pattern(&[(50, false), (400, true), (50, false)]);
    assert_eq!(split(&sound, Verdict::NotSpeech), []);
    assert!(!split(&sound, Verdict::Undecided).is_empty());
}

#[test]
fn of_what_is_short_the_words_decide() {
    let sound = pattern(&[(50, false), (60, true), (50, false)]);
    let doubts = |verdict| split(&sound, verdict).iter().map(|piece| piece.doubtful).collect::<Vec<_>>();
    assert_eq!(doubts(Verdict::NotSpeech), [true]);
    assert_eq!(doubts(Verdict::Undecided), [false]);
    assert_eq!(doubts(Verdict::Speech), [false]);
}

#[test]
fn long_speech_is_cut_in_its_quiet_places() {
    // Breaths of 160 ms at every 190 frames.
    let breaths = pattern(&[(190, true), (8, false), (190, true), (8, false), (190, true)]);
    let found = places(&split(&breaths, Verdict::Speech));
    assert_eq!(found.len(), 3, "{found:?}");
    for (pair, breath) in found.windows(2).zip([190..198, 388..396]) {
        assert_eq!(pair[0].1, pair[1].0, "nothing is lost");
        assert!(breath.contains(&pair[0].1), "{found:?}");
    }
}

proptest! {
    #[test]
    fn pieces_are_in_order_within_the_limit_and_true_to_the_file(
        runs in vec((1usize..200, any::<bool>()), 1..20),
    ) {
        let pattern = pattern(&runs);
        let all: Vec<i16> = pattern.iter().enumerate().flat_map(|(i, &voiced)| frame(i, voiced)).collect();
        let mut end = 0;
        for piece in split(&pattern, Verdict::Speech) {
            let start = usize::try_from(piece.start.samples()).expect("small");
            prop_assert!(start >= end);
            prop_assert!(piece.samples.len() <= 5 * 16_000 && !piece.samples.is_empty());
            end = start + piece.samples.len();
            prop_assert_eq!(&all[start..end], &piece.samples[..]);
        }
    }

    #[test]
    fn every_frame_of_speech_is_in_a_piece(runs in vec((1usize..200, any::<bool>()), 1..20)) {
        let pattern = pattern(&runs);
        let places = places(&split(&pattern, Verdict::Speech));
        let mut at = 0;
        for (count, voiced) in runs {
            let run = at..at + count;
            at = run.end;
            if voiced && count >= 6 {
                for frame in run {
                    prop_assert!(places.iter().any(|&(start, end)| (start..end).contains(&frame)), "{frame}: {places:?}");
                }
            }
        }
    }
}
