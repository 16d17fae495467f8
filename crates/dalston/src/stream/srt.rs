//! SubRip subtitles out of a finished transcript.

use std::fmt::Write;

use dalston_protocol::{Segment, Word};

/// Characters of one line, as broadcasters count.
const LINE: usize = 42;
/// Lines of one subtitle.
const LINES: usize = 2;
/// Seconds that one subtitle stands at most.
const LONGEST: f64 = 6.0;
/// A pause that begins a new subtitle.
const PAUSE: f64 = 0.7;

/// One subtitle.
#[derive(Debug, PartialEq)]
struct Cue {
    start: f64,
    end: f64,
    text: String,
}

/// The whole file.
pub fn subtitles(segments: &[Segment]) -> String {
    let mut file = String::new();
    for (index, cue) in segments.iter().flat_map(cues).enumerate() {
        let _ = write!(
            file,
            "{}\n{} --> {}\n{}\n\n",
            index + 1,
            timestamp(cue.start),
            timestamp(cue.end),
            wrapped(&cue.text)
        );
    }
    file
}

/// A segment without word times is one subtitle, however long.
fn cues(segment: &Segment) -> Vec<Cue> {
    if segment.words.is_empty() {
        return if segment.text.is_empty() {
            Vec::new()
        } else {
            vec![Cue { start: segment.start, end: segment.end, text: segment.text.clone() }]
        };
    }
    let mut cues: Vec<Cue> = Vec::new();
    for word in &segment.words {
        match cues.last_mut().filter(|cue| fits(cue, word)) {
            Some(cue) => {
                cue.end = word.end;
                cue.text.push(' ');
                cue.text.push_str(&word.text);
            }
            None => cues.push(Cue { start: word.start, end: word.end, text: word.text.clone() }),
        }
    }
    cues
}

fn fits(cue: &Cue, word: &Word) -> bool {
    let text = format!("{} {}", cue.text, word.text);
    wrapped(&text).lines().count() <= LINES && word.end - cue.start <= LONGEST && word.start - cue.end < PAUSE
}

/// Broken between words into lines of at most [`LINE`] characters; a longer word stands alone.
fn wrapped(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut().filter(|line| line.chars().count() + 1 + word.chars().count() <= LINE) {
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

/// `00:01:02,345`
fn timestamp(seconds: f64) -> String {
    let ms = (seconds * 1000.0).round().max(0.0) as u64;
    format!("{:02}:{:02}:{:02},{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(text: &str, times: &[(f64, f64)]) -> Segment {
        let word = |(word, (start, end)): (&str, &(f64, f64))| Word {
            text: word.into(),
            word: word.into(),
            start: *start,
            end: *end,
            confidence: None,
        };
        Segment {
            id: 0,
            start: 1.0,
            end: 2.5,
            text: text.into(),
            speaker: None,
            channel: None,
            confidence: None,
            words: text.split(' ').zip(times).map(word).collect(),
            words_estimated: false,
        }
    }

    #[test]
    fn a_segment_is_a_subtitle() {
        assert_eq!(subtitles(&[segment("go forward", &[])]), "1\n00:00:01,000 --> 00:00:02,500\ngo forward\n\n");
    }

    #[test]
    fn a_pause_and_a_long_time_part_subtitles() {
        let parted = cues(&segment("a b c d", &[(0.0, 0.5), (0.6, 1.0), (2.0, 2.5), (2.6, 9.0)]));
        let texts: Vec<&str> = parted.iter().map(|cue| &*cue.text).collect();
        assert_eq!(texts, ["a b", "c", "d"]);
    }

    #[test]
    fn no_subtitle_has_more_than_two_lines() {
        let text = ["word"; 40].join(" ");
        let times: Vec<(f64, f64)> = (0..40).map(|n| (f64::from(n) * 0.1, f64::from(n) * 0.1 + 0.1)).collect();
        for cue in cues(&segment(&text, &times)) {
            let lines = wrapped(&cue.text);
            assert!(lines.lines().count() <= LINES && lines.lines().all(|line| line.len() <= LINE), "{lines}");
        }
    }

    #[test]
    fn nothing_said_is_an_empty_file() {
        assert_eq!(subtitles(&[]), "");
        assert_eq!(subtitles(&[segment("", &[])]), "");
    }
}
