//! Where subtitles begin and end.

use dalston_protocol::{Word, job::Transcript};

use super::{Layout, voice};

/// Seconds that one subtitle stands at most, where word times tell where to part it.
const LONGEST: f64 = 6.0;
/// A pause that begins a new subtitle.
const PAUSE: f64 = 0.7;

/// One subtitle.
#[derive(Debug, PartialEq)]
pub(super) struct Cue {
    pub(super) start: f64,
    pub(super) end: f64,
    pub(super) voice: Option<String>,
    pub(super) lines: Vec<String>,
}

/// The subtitles of a transcript, in order.
pub(super) fn cues(transcript: &Transcript, layout: Layout) -> Vec<Cue> {
    if transcript.segments.is_empty() {
        return spread(0.0, transcript.duration, &transcript.text, layout);
    }
    let mut cues = Vec::new();
    for segment in &transcript.segments {
        let parts = match segment.words.is_empty() {
            true => spread(segment.start, segment.end, &segment.text, layout),
            false => timed(&segment.words, layout),
        };
        cues.extend(parts.into_iter().map(|cue| Cue { voice: voice(segment), ..cue }));
    }
    cues
}

/// Parted where words pause, or where no more of them fit.
fn timed(words: &[Word], layout: Layout) -> Vec<Cue> {
    let mut cues: Vec<Cue> = Vec::new();
    for word in words.iter().filter(|word| !word.text.trim().is_empty()) {
        match cues.last_mut().and_then(|cue| Some((with(cue, word, layout)?, cue))) {
            Some((lines, cue)) => {
                cue.lines = lines;
                cue.end = word.end;
            }
            None => {
                let lines = wrapped(&word.text, layout);
                cues.push(Cue { start: word.start, end: word.end, voice: None, lines });
            }
        }
    }
    cues
}

/// The lines of `cue` with `word` behind them, if it belongs there.
fn with(cue: &Cue, word: &Word, layout: Layout) -> Option<Vec<String>> {
    let near = word.end - cue.start <= LONGEST && word.start - cue.end < PAUSE;
    let lines = near.then(|| wrapped(&format!("{} {}", cue.lines.join(" "), word.text), layout))?;
    (lines.len() <= layout.lines).then_some(lines)
}

/// Without word times, a subtitle stands as long as its share of the characters.
fn spread(start: f64, end: f64, text: &str, layout: Layout) -> Vec<Cue> {
    let lines = wrapped(text, layout);
    let length = |lines: &[String]| lines.iter().map(|line| line.chars().count()).sum::<usize>() as f64;
    let all = length(&lines);
    let mut said = 0.0;
    let mut cues = Vec::new();
    for lines in lines.chunks(layout.lines) {
        let begin = said;
        said += length(lines);
        let at = |said: f64| start + (end - start) * said / all;
        cues.push(Cue { start: at(begin), end: at(said), voice: None, lines: lines.to_vec() });
    }
    cues
}

/// Broken between words into lines; a word longer than a line stands alone.
fn wrapped(text: &str, layout: Layout) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let fits = |line: &&mut String| line.chars().count() + 1 + word.chars().count() <= layout.line_length;
        match lines.last_mut().filter(fits) {
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(times: &[(&str, f64, f64)]) -> Vec<Word> {
        let word = |(text, start, end): &(&str, f64, f64)| Word {
            text: (*text).into(),
            word: (*text).into(),
            start: *start,
            end: *end,
            confidence: None,
        };
        times.iter().map(word).collect()
    }

    #[test]
    fn a_pause_and_a_long_time_part_subtitles() {
        let words = words(&[("a", 0.0, 0.5), ("b", 0.6, 1.0), ("c", 2.0, 2.5), ("d", 2.6, 9.0)]);
        let lines: Vec<_> = timed(&words, Layout::default()).into_iter().map(|cue| cue.lines.concat()).collect();
        assert_eq!(lines, ["a b", "c", "d"]);
    }

    #[test]
    fn a_long_segment_without_word_times_is_parted_by_characters() {
        let cues = spread(0.0, 4.0, "aaaa bbbb cccc dddd", Layout { line_length: 10, lines: 1 });
        let times: Vec<_> = cues.iter().map(|cue| (cue.start, cue.end)).collect();
        assert_eq!(times, [(0.0, 2.0), (2.0, 4.0)]);
    }

    proptest! {
        #[test]
        fn every_layout_is_kept_and_no_word_is_lost(
            said in proptest::collection::vec("[a-zäß]{1,9}", 0..60), line_length in 10_usize..60, lines in 1_usize..4,
        ) {
            let layout = Layout { line_length, lines };
            let text = said.join(" ");
            let at = |index: usize| index as f64 * 0.3;
            let timed_words: Vec<_> =
                said.iter().enumerate().map(|(index, word)| (word.as_str(), at(index), at(index + 1))).collect();
            for cues in [spread(1.0, 30.0, &text, layout), timed(&words(&timed_words), layout)] {
                prop_assert!(cues.iter().all(|cue| cue.lines.len() <= lines && cue.start <= cue.end));
                prop_assert!(cues.iter().flat_map(|cue| &cue.lines).all(|line| line.chars().count() <= line_length));
                prop_assert!(cues.windows(2).all(|pair| pair[0].end <= pair[1].start + 1e-9));
                let all: Vec<_> = cues.iter().flat_map(|cue| cue.lines.clone()).collect();
                prop_assert_eq!(all.join(" "), text.clone());
            }
        }
    }
}
