//! Which audio belongs to a segment, and where its words then stand: pure.

use dalston_engine_sdk::Word;
use dalston_engine_sdk::batch::Spoken;

/// Seconds around a segment that are heard with it: engines without times of words are vague about those of segments.
const AROUND: f64 = 0.3;

/// A stretch of the audio, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    pub start: f64,
    pub end: f64,
}

/// The audio of each segment: with a little around it, but not what belongs to its neighbours.
pub fn spans(segments: &[Spoken], length: f64) -> Vec<Span> {
    let clean = |time: f64| if time.is_finite() { time.clamp(0.0, length) } else { 0.0 };
    let span = |at: usize| {
        let Spoken { start, end, .. } = segments[at];
        let before = at.checked_sub(1).map_or(0.0, |before| segments[before].end);
        let after = segments.get(at + 1).map_or(length, |after| after.start);
        // Neighbours that overlap it have a say in its padding and not in itself.
        let start = clean((start - AROUND).max(before.min(start)));
        let end = clean((end + AROUND).min(after.max(end)));
        Span { start, end: end.max(start) }
    };
    (0..segments.len()).map(span).collect()
}

/// The words that the aligner heard, on the clock of the file; `None` when they are not the segment's.
pub fn on_the_clock(spoken: &Spoken, span: Span, words: Vec<Word>) -> Option<Vec<Word>> {
    let written = spoken.text.split_whitespace();
    if !written.eq(words.iter().map(|word| word.text.as_str())) {
        return None;
    }
    let at = |time: f64| (span.start + time).clamp(span.start, span.end);
    Some(words.into_iter().map(|word| Word { start: at(word.start), end: at(word.end), ..word }).collect())
}

/// The words of a segment over its time, each as long as it has letters.
pub fn shared_out(spoken: &Spoken) -> Vec<Word> {
    let words: Vec<&str> = spoken.text.split_whitespace().collect();
    let letters: usize = words.iter().map(|word| word.chars().count()).sum();
    let seconds = (spoken.end - spoken.start).max(0.0);
    let at = |before: usize| spoken.start + seconds * before as f64 / letters.max(1) as f64;
    let mut before = 0;
    let mut place = |word: &&str| {
        let start = at(before);
        before += word.chars().count();
        Word { text: (*word).to_owned(), start, end: at(before), confidence: None }
    };
    words.iter().map(&mut place).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(start: f64, end: f64, text: &str) -> Spoken {
        Spoken { start, end, text: text.to_owned(), ..Spoken::default() }
    }

    #[test]
    fn a_little_around_is_heard_but_not_the_neighbours() {
        let segments = [said(0.1, 1.0, "a"), said(1.1, 2.0, "b"), said(1.9, 3.0, "c"), said(8.0, 9.9, "d")];
        let spans = spans(&segments, 10.0);
        let expected = [(0.0, 1.1), (1.0, 2.0), (1.9, 3.3), (7.7, 10.0)];
        for (span, (start, end)) in spans.iter().zip(expected) {
            assert!((span.start - start).abs() < 1e-9 && (span.end - end).abs() < 1e-9, "{spans:?}");
        }
    }

    #[test]
    fn words_that_are_not_the_segments_are_not_taken() {
        let word = |text: &str| Word { text: text.to_owned(), start: 0.5, end: 9.0, confidence: None };
        let (spoken, span) = (said(2.0, 3.0, "Hello,  you"), Span { start: 1.7, end: 3.3 });
        let placed = on_the_clock(&spoken, span, vec![word("Hello,"), word("you")]).expect("the same words");
        assert_eq!((placed[0].start, placed[1].end), (2.2, 3.3), "within the audio that was heard");
        assert_eq!(on_the_clock(&spoken, span, vec![word("hello"), word("you")]), None);
        assert_eq!(on_the_clock(&spoken, span, vec![word("Hello,")]), None);
    }

    proptest! {
        #[test]
        fn shared_out_words_are_all_of_the_text_and_fill_the_segment(
            text in "\\PC{0,60}", start in 0.0..1e4f64, long in -1.0..1e3f64,
        ) {
            let spoken = said(start, start + long, &text);
            let words = shared_out(&spoken);
            let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
            prop_assert_eq!(texts, text.split_whitespace().collect::<Vec<_>>());
            prop_assert!(words.iter().all(|word| word.start <= word.end));
            prop_assert!(words.windows(2).all(|pair| pair[0].end == pair[1].start));
            if let (Some(first), Some(last)) = (words.first(), words.last()) {
                prop_assert_eq!(first.start, start);
                prop_assert!((last.end - start - long.max(0.0)).abs() < 1e-6);
            }
        }

        #[test]
        fn spans_are_of_the_file_whatever_an_engine_says(
            times in proptest::collection::vec((any::<f64>(), any::<f64>()), 0..8), length in 0.0..1e5f64,
        ) {
            let segments: Vec<Spoken> = times.iter().map(|(start, end)| said(*start, *end, "a")).collect();
            for span in spans(&segments, length) {
                prop_assert!(0.0 <= span.start && span.start <= span.end && span.end <= length, "{:?}", span);
            }
        }
    }
}
