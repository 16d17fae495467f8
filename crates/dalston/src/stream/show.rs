//! What the user sees of a session, in the way that was asked for.

use std::io::{self, IsTerminal, Stdout, Write, stderr, stdout};

use dalston_protocol::{Segment, realtime::ServerMessage};

use super::{
    captions::{Captions, Style},
    srt,
};
use crate::{cli::TranscriptOutput, terminal};

/// Prints events. Results go to standard output, remarks to standard error.
#[derive(Debug)]
pub enum Show {
    /// Captions.
    Text(Captions<Stdout>),
    /// Events as they come.
    Json,
    /// Subtitles, once all is known.
    Srt {
        /// Of the transcript so far.
        segments: Vec<Segment>,
    },
}

impl Show {
    /// Prints in this way.
    pub fn new(output: TranscriptOutput, partials: bool) -> Self {
        let style = match (stdout().is_terminal(), partials) {
            (true, _) => Style::Terminal { width: terminal::width(), colour: terminal::wants_colour() },
            (false, true) => Style::LinesWithPartials,
            (false, false) => Style::Lines,
        };
        match output {
            TranscriptOutput::Text => Self::Text(Captions::new(stdout(), style)),
            TranscriptOutput::Json => Self::Json,
            TranscriptOutput::Srt => Self::Srt { segments: Vec::new() },
        }
    }

    /// Shows an event.
    ///
    /// # Errors
    /// When writing fails.
    pub fn event(&mut self, event: &ServerMessage) -> io::Result<()> {
        if !matches!(self, Self::Json) {
            match event {
                ServerMessage::Warning { code, message, .. } => self.note(&format!("warning: {message} ({code})"))?,
                // One that ends the session is said at the end.
                ServerMessage::Error { code, message, recoverable: true, .. } => {
                    self.note(&format!("error: {message} ({})", code.as_str()))?;
                }
                _ => {}
            }
        }
        match self {
            Self::Text(captions) => captions.event(event),
            Self::Json => {
                let mut out = stdout().lock();
                serde_json::to_writer(&mut out, event)?;
                out.write_all(b"\n")?;
                out.flush()
            }
            Self::Srt { segments } => {
                if let ServerMessage::Final(heard) = event {
                    segments.push(Segment {
                        id: segments.len() as u32,
                        start: heard.start,
                        end: heard.end,
                        text: heard.text.clone(),
                        speaker: None,
                        channel: heard.channel,
                        confidence: heard.confidence,
                        words: heard.words.clone(),
                        words_estimated: false,
                    });
                }
                Ok(())
            }
        }
    }

    /// A remark beside the transcript.
    ///
    /// # Errors
    /// When writing fails.
    pub fn note(&mut self, remark: &str) -> io::Result<()> {
        self.clear()?;
        writeln!(stderr(), "{remark}")
    }

    /// Leaves the terminal with the cursor on a line of its own.
    ///
    /// # Errors
    /// When writing fails.
    pub fn clear(&mut self) -> io::Result<()> {
        match self {
            Self::Text(captions) => captions.clear(),
            Self::Json | Self::Srt { .. } => Ok(()),
        }
    }

    /// Prints what could only be printed at the end.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(&mut self) -> io::Result<()> {
        self.clear()?;
        if let Self::Srt { segments } = self {
            segments.sort_by(|a, b| a.start.total_cmp(&b.start));
            stdout().lock().write_all(srt::subtitles(segments).as_bytes())?;
        }
        Ok(())
    }
}
