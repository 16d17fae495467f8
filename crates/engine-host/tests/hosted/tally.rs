//! A small native engine that does as its audio says: it tells a word per tenth of a second, and knows several ways to fail.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::BorrowedFd;

use dalston_engine_sdk::{
    Capabilities, EngineError, Hypothesis, Languages, NativeModel, NativeStream, SAMPLE_RATE, StreamOptions, Word,
};

/// What a sample of this value does to the stream that decodes it.
pub const PANIC: i16 = -32_000;
pub const EXIT: i16 = -31_999;
pub const HANG: i16 = -31_998;
pub const FAIL: i16 = -31_997;
pub const GARBAGE: i16 = -31_996;

/// A variable that names a file: trouble happens only to the stream that makes the file, so only once.
pub const ONCE: &str = "TALLY_ONCE";
/// A variable that keeps the model from being loaded.
pub const NO_MODEL: &str = "TALLY_NO_MODEL";
/// A vocabulary term with which no stream can be made.
pub const IMPOSSIBLE: &str = "impossible";

const WORD: usize = SAMPLE_RATE as usize / 10;

pub fn capabilities() -> Capabilities {
    Capabilities {
        engine_id: "tally".into(),
        model: "none".into(),
        version: "1".into(),
        languages: Languages::Only(vec!["en".into()]),
        partials: true,
        word_timestamps: true,
        confidence: true,
        vocabulary: true,
        punctuation: false,
        alignment: false,
        translation: false,
        max_streams: None,
    }
}

pub struct Tally;

impl Tally {
    pub fn load() -> Result<Self, EngineError> {
        match std::env::var(NO_MODEL).as_deref() {
            Ok("exit") => std::process::exit(7),
            Ok("panic") => panic!("no model today"),
            Ok("hang") => hang(),
            Ok(_) => Err(EngineError::Unavailable { what: "the tally".into(), fix: "unset it".into() }),
            Err(_) => Ok(Self),
        }
    }
}

impl NativeModel for Tally {
    type Stream = Counting;

    fn into_stream(self, options: &StreamOptions) -> Result<Counting, EngineError> {
        if options.vocabulary.iter().any(|term| term == IMPOSSIBLE) {
            return Err(EngineError::Rejected("no such stream".into()));
        }
        Ok(Counting { audio: Vec::new(), known: 0 })
    }
}

pub struct Counting {
    audio: Vec<i16>,
    /// Utterances of this session that earlier streams have finished.
    known: u8,
}

impl Counting {
    fn heard(&self, whole: bool) -> Hypothesis {
        let blocks = self.audio.chunks(WORD).filter(|block| whole || block.len() == WORD);
        let words: Vec<Word> = blocks
            .enumerate()
            .map(|(at, block)| {
                let sum =
                    block.iter().fold(0u32, |sum, &s| sum.wrapping_mul(31).wrapping_add(u32::from(s.cast_unsigned())));
                let start = (at * WORD) as f64 / f64::from(SAMPLE_RATE);
                let end = start + block.len() as f64 / f64::from(SAMPLE_RATE);
                // Confidence tells what was learned, for the tests to see.
                Word { text: format!("w{}", sum % 1000), start, end, confidence: Some(1.0 / f32::from(self.known + 1)) }
            })
            .collect();
        let text = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
        Hypothesis { text, words, confidence: None }
    }
}

impl NativeStream for Counting {
    fn accept(&mut self, samples: &[i16]) -> Result<(), EngineError> {
        for &sample in samples {
            if matches!(sample, PANIC | EXIT | HANG | FAIL | GARBAGE) && is_due() {
                match sample {
                    PANIC => panic!("a sample said so"),
                    EXIT => std::process::exit(3),
                    HANG => hang(),
                    FAIL => return Err(EngineError::Failed("a sample said so".into())),
                    _ => talk_nonsense(),
                }
            }
        }
        self.audio.extend_from_slice(samples);
        Ok(())
    }

    fn partial(&mut self) -> Result<Option<Hypothesis>, EngineError> {
        Ok(Some(self.heard(false)))
    }

    fn finish(&mut self) -> Result<Hypothesis, EngineError> {
        let heard = self.heard(true);
        self.audio.clear();
        self.known = self.known.saturating_add(1);
        Ok(heard)
    }

    fn adaptation(&self) -> Vec<u8> {
        vec![self.known]
    }

    fn adapt(&mut self, adaptation: &[u8]) -> Result<(), EngineError> {
        self.known = *adaptation.first().ok_or_else(|| EngineError::Rejected("nothing learned".into()))?;
        Ok(())
    }
}

fn is_due() -> bool {
    match std::env::var_os(ONCE) {
        Some(file) => OpenOptions::new().write(true).create_new(true).open(file).is_ok(),
        None => true,
    }
}

fn hang() -> ! {
    loop {
        std::thread::park();
    }
}

/// Writes into every socket it has, as memory corruption might.
#[allow(unsafe_code, reason = "a descriptor is borrowed by its number, to misuse it")]
fn talk_nonsense() {
    for number in 3..20 {
        if std::fs::read_link(format!("/proc/self/fd/{number}"))
            .is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))
        {
            // SAFETY: it is open, as the link shows, and is not closed here.
            let socket = unsafe { BorrowedFd::borrow_raw(number) };
            let copy = socket.try_clone_to_owned().expect("an open socket");
            let _gone = std::os::unix::net::UnixStream::from(copy).write_all(&[0xff; 64]);
        }
    }
}
