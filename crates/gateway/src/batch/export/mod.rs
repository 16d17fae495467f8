//! Transcripts as files: plain text and subtitles. Pure.

mod cue;

use std::{fmt::Write, str::FromStr};

use dalston_protocol::{ApiError, Segment, job::Transcript};

use self::cue::{Cue, cues};

/// A form in which a transcript leaves the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// One line for each segment, with its speaker where there are speakers.
    Text,
    /// SubRip.
    Srt,
    /// WebVTT (<https://www.w3.org/TR/webvtt1/>).
    Vtt,
    /// The transcript as the API shows it.
    Json,
}

impl Format {
    pub(crate) const ALL: [Self; 4] = [Self::Text, Self::Srt, Self::Vtt, Self::Json];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "txt",
            Self::Srt => "srt",
            Self::Vtt => "vtt",
            Self::Json => "json",
        }
    }

    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; charset=utf-8",
            Self::Srt => "application/x-subrip; charset=utf-8",
            Self::Vtt => "text/vtt; charset=utf-8",
            Self::Json => "application/json",
        }
    }
}

impl FromStr for Format {
    type Err = ApiError;

    fn from_str(given: &str) -> Result<Self, ApiError> {
        Self::ALL.into_iter().find(|format| format.as_str() == given).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            ApiError::param("format", format!("there is no such format; there are {known}"))
        })
    }
}

/// How subtitles are broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Characters of a line; a longer word stands alone.
    pub(crate) line_length: usize,
    /// Lines of a subtitle. What does not fit becomes the next one.
    pub(crate) lines: usize,
}

impl Layout {
    /// What `max_line_length` may be.
    pub(crate) const LINE_LENGTH: std::ops::RangeInclusive<usize> = 10..=200;
    /// What `max_lines` may be.
    pub(crate) const LINES: std::ops::RangeInclusive<usize> = 1..=10;
}

impl Default for Layout {
    /// As broadcasters count.
    fn default() -> Self {
        Self { line_length: 42, lines: 2 }
    }
}

/// The file in `format`; `None` for JSON, which is the transcript itself.
pub(crate) fn render(transcript: &Transcript, format: Format, layout: Layout) -> Option<String> {
    match format {
        Format::Text => Some(text(transcript)),
        Format::Srt => Some(srt(transcript, layout)),
        Format::Vtt => Some(vtt(transcript, layout)),
        Format::Json => None,
    }
}

fn text(transcript: &Transcript) -> String {
    let mut file = String::new();
    for segment in transcript.segments.iter().filter(|segment| !segment.text.is_empty()) {
        match voice(segment) {
            // Writing to a String cannot fail.
            Some(voice) => drop(writeln!(file, "{voice}: {}", segment.text)),
            None => drop(writeln!(file, "{}", segment.text)),
        }
    }
    if transcript.segments.is_empty() && !transcript.text.is_empty() {
        let _ = writeln!(file, "{}", transcript.text);
    }
    file
}

fn srt(transcript: &Transcript, layout: Layout) -> String {
    let mut file = String::new();
    for (index, cue) in cues(transcript, layout).iter().enumerate() {
        let (start, end) = (timestamp(cue.start, ','), timestamp(cue.end, ','));
        let voice = cue.voice.as_ref().map(|voice| format!("{voice}: ")).unwrap_or_default();
        let _ = write!(file, "{}\n{start} --> {end}\n{voice}{}\n\n", index + 1, cue.lines.join("\n"));
    }
    file
}

fn vtt(transcript: &Transcript, layout: Layout) -> String {
    let mut file = String::from("WEBVTT\n\n");
    for Cue { start, end, voice, lines } in cues(transcript, layout) {
        let voice = voice.map(|voice| format!("<v {}>", escaped(&voice))).unwrap_or_default();
        let lines = escaped(&lines.join("\n"));
        let _ = write!(file, "{} --> {}\n{voice}{lines}\n\n", timestamp(start, '.'), timestamp(end, '.'));
    }
    file
}

/// Who is heard: the speaker, or else the channel where there are several.
fn voice(segment: &Segment) -> Option<String> {
    segment.speaker.clone().or_else(|| segment.channel.map(|channel| format!("channel_{channel}")))
}

/// What would be markup in a cue's text (WebVTT §4.2.2). `-->` cannot stand once `>` is escaped.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// `00:01:02,345`
fn timestamp(seconds: f64, point: char) -> String {
    let ms = (seconds * 1000.0).round().max(0.0) as u64;
    format!("{:02}:{:02}:{:02}{point}{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript(segments: Vec<Segment>) -> Transcript {
        let text = segments.iter().map(|segment| segment.text.as_str()).collect::<Vec<_>>().join(" ");
        Transcript { text, duration: 10.0, segments, ..Transcript::default() }
    }

    fn segment(start: f64, end: f64, text: &str) -> Segment {
        Segment {
            id: 0,
            start,
            end,
            text: text.into(),
            speaker: None,
            channel: None,
            confidence: None,
            words: vec![],
            words_estimated: false,
        }
    }

    #[test]
    fn a_segment_is_a_subtitle() {
        let heard = transcript(vec![segment(1.0, 2.5, "go forward"), segment(3661.0, 3662.0, "ten meters")]);
        assert_eq!(
            srt(&heard, Layout::default()),
            "1\n00:00:01,000 --> 00:00:02,500\ngo forward\n\n2\n01:01:01,000 --> 01:01:02,000\nten meters\n\n"
        );
        assert_eq!(
            vtt(&heard, Layout::default()),
            "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\ngo forward\n\n01:01:01.000 --> 01:01:02.000\nten meters\n\n"
        );
        assert_eq!(text(&heard), "go forward\nten meters\n");
    }

    #[test]
    fn speakers_are_named_and_channels_where_there_are_no_speakers() {
        let speaker = Segment { speaker: Some("speaker_1".into()), ..segment(0.0, 1.0, "a") };
        let channel = Segment { channel: Some(0), ..segment(1.0, 2.0, "b") };
        let heard = transcript(vec![speaker, channel]);
        assert_eq!(text(&heard), "speaker_1: a\nchannel_0: b\n");
        assert!(srt(&heard, Layout::default()).contains("\nspeaker_1: a\n"));
        assert!(vtt(&heard, Layout::default()).contains("\n<v channel_0>b\n"));
    }

    #[test]
    fn text_cannot_become_markup() {
        let heard = transcript(vec![segment(0.0, 1.0, "<b>a & b --> c")]);
        assert!(vtt(&heard, Layout::default()).ends_with("\n&lt;b&gt;a &amp; b --&gt; c\n\n"));
    }

    #[test]
    fn a_transcript_without_times_is_one_text() {
        let heard = Transcript { text: "all of it".into(), duration: 2.0, ..Transcript::default() };
        assert_eq!(text(&heard), "all of it\n");
        assert_eq!(srt(&heard, Layout::default()), "1\n00:00:00,000 --> 00:00:02,000\nall of it\n\n");
    }

    #[test]
    fn nothing_said_is_an_empty_file() {
        let heard = transcript(vec![]);
        assert_eq!(text(&heard), "");
        assert_eq!(srt(&heard, Layout::default()), "");
        assert_eq!(vtt(&heard, Layout::default()), "WEBVTT\n\n");
    }
}
