//! Captions as text: live in a terminal, line by line into anything else.

use std::io::{self, Write};

use dalston_protocol::realtime::{ServerMessage, TranscriptFinal};

/// How captions are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// The partial is one dim line that is rewritten in place; the final takes its place, with its time.
    Terminal {
        /// Columns of the terminal.
        width: usize,
        /// Whether to use colours.
        colour: bool,
    },
    /// A line for each final, and nothing else.
    Lines,
    /// A line for each partial and each final, with their times.
    LinesWithPartials,
}

/// Writes captions.
#[derive(Debug)]
pub struct Captions<W> {
    out: W,
    style: Style,
    /// Whether a partial stands in the line of the cursor.
    is_line_open: bool,
    /// Whether the session has several channels, which are then named.
    names_channels: bool,
}

const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";
/// Carriage return, then erase to the end of the line.
const REWRITE: &str = "\r\x1b[K";

impl<W: Write> Captions<W> {
    /// Captions in this style.
    pub const fn new(out: W, style: Style) -> Self {
        Self { out, style, is_line_open: false, names_channels: false }
    }

    /// Shows what the event has to show.
    ///
    /// # Errors
    /// When writing fails.
    pub fn event(&mut self, event: &ServerMessage) -> io::Result<()> {
        match event {
            ServerMessage::SessionBegin { config, .. } => self.names_channels = config.channels > 1,
            ServerMessage::Partial { text, start, channel, .. } => self.partial(&printable(text), *start, *channel)?,
            ServerMessage::Final(heard) => self.heard(heard)?,
            _ => return Ok(()),
        }
        self.out.flush()
    }

    /// Leaves the terminal with the cursor on a line of its own.
    ///
    /// # Errors
    /// When writing fails.
    pub fn clear(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.is_line_open) {
            self.out.write_all(REWRITE.as_bytes())?;
        }
        self.out.flush()
    }

    fn partial(&mut self, text: &str, start: f64, channel: Option<u8>) -> io::Result<()> {
        let (clock, channel) = (clock(start), self.channel(channel));
        match self.style {
            Style::Lines => Ok(()),
            Style::LinesWithPartials => writeln!(self.out, "[{clock}] {channel}{text} …"),
            Style::Terminal { width, colour } => {
                let (dim, plain) = if colour { (DIM, PLAIN) } else { ("", "") };
                let head = format!("[{clock}] {channel}");
                // One column stays free, or the cursor would wrap and the line could not be rewritten.
                let text = tail(text, width.saturating_sub(head.chars().count() + 1));
                self.is_line_open = true;
                write!(self.out, "{REWRITE}{dim}{head}{text}{plain}")
            }
        }
    }

    fn heard(&mut self, heard: &TranscriptFinal) -> io::Result<()> {
        self.clear()?;
        if heard.text.is_empty() {
            return Ok(());
        }
        let (clock, channel, text) = (clock(heard.start), self.channel(heard.channel), printable(&heard.text));
        match self.style {
            Style::Lines => writeln!(self.out, "{channel}{text}"),
            Style::Terminal { colour: true, .. } => writeln!(self.out, "{DIM}[{clock}]{PLAIN} {channel}{text}"),
            Style::Terminal { .. } | Style::LinesWithPartials => writeln!(self.out, "[{clock}] {channel}{text}"),
        }
    }

    fn channel(&self, channel: Option<u8>) -> String {
        match channel {
            Some(channel) if self.names_channels => format!("channel {channel}: "),
            _ => String::new(),
        }
    }
}

/// `01:02.3`, or `1:01:02.3` from an hour on.
fn clock(seconds: f64) -> String {
    let tenths = (seconds * 10.0).floor().max(0.0) as u64;
    let (minutes, hours) = (tenths / 600 % 60, tenths / 36_000);
    let seconds = (tenths % 600) as f64 / 10.0;
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:04.1}") } else { format!("{minutes:02}:{seconds:04.1}") }
}

/// Text that cannot move the cursor or ring the bell: a server is not always one's own.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The end of a text that is too long for its line: what was said last matters most.
fn tail(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().skip(length - width.saturating_sub(1)).collect();
    format!("…{kept}")
}

#[cfg(test)]
mod tests {
    use dalston_protocol::realtime::FinalCause;

    use super::*;

    fn partial(text: &str) -> ServerMessage {
        let utterance_id = "utt_1".into();
        ServerMessage::Partial { utterance_id, text: text.into(), start: 1.25, end: 2.0, channel: None }
    }

    fn heard(text: &str) -> ServerMessage {
        ServerMessage::Final(TranscriptFinal {
            utterance_id: "utt_1".into(),
            text: text.into(),
            start: 1.25,
            end: 2.0,
            confidence: None,
            language: "en".into(),
            words: Vec::new(),
            channel: None,
            cause: FinalCause::Endpoint,
            id: None,
        })
    }

    fn shown(style: Style, events: &[ServerMessage]) -> String {
        let mut captions = Captions::new(Vec::new(), style);
        for event in events {
            captions.event(event).unwrap();
        }
        captions.clear().unwrap();
        String::from_utf8(captions.out).unwrap()
    }

    #[test]
    fn a_pipe_gets_only_what_will_not_change() {
        let events = [partial("go"), partial("go forward"), heard("go forward"), heard(""), heard("ten")];
        assert_eq!(shown(Style::Lines, &events), "go forward\nten\n");
    }

    #[test]
    fn a_terminal_rewrites_the_partial_and_keeps_the_final() {
        let style = Style::Terminal { width: 80, colour: false };
        let expected = "\r\x1b[K[00:01.2] go\r\x1b[K[00:01.2] go far\r\x1b[K[00:01.2] go forward\n";
        assert_eq!(shown(style, &[partial("go"), partial("go far"), heard("go forward")]), expected);
    }

    #[test]
    fn a_partial_never_wraps() {
        let style = Style::Terminal { width: 20, colour: false };
        assert_eq!(shown(style, &[partial("one two three four")]), "\r\x1b[K[00:01.2] …ree four\r\x1b[K");
        assert_eq!("[00:01.2] …ree four".chars().count(), 19);
    }

    #[test]
    fn text_cannot_steer_the_terminal() {
        assert_eq!(shown(Style::Lines, &[heard("a\x1b[2Jb\u{9b}c")]), "a [2Jb c\n");
    }

    #[test]
    fn the_clock_counts_hours() {
        assert_eq!(clock(0.0), "00:00.0");
        assert_eq!(clock(59.99), "00:59.9");
        assert_eq!(clock(3661.5), "1:01:01.5");
    }
}
