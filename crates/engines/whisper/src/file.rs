//! What a model's file says of itself, and whether it is whole: read without native code.
//!
//! whisper.cpp takes a file that breaks off before its first tensor for a model without weights, and one that breaks
//! off in its last for a whole one. Both then hear nonsense. So the file is walked from end to end before it is loaded:
//! only heads are read, which takes milliseconds.
//!
//! The format: a magic number, eleven numbers that describe the network, the mel filters, the vocabulary, and tensors,
//! each with a head, up to the end. All little-endian.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

/// `ggml`, read as a number.
const MAGIC: u32 = 0x6767_6d6c;
/// Words of the English vocabulary with all special tokens; multilingual ones have one more, and one for each language
/// beyond the ninety-nine that there were first.
const ENGLISH: u32 = 51_864;
/// Longest entry of a vocabulary, and longest name of a tensor: many times what there is.
const LONGEST_NAME: u32 = 1024;

/// A model's file that could be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelFile {
    /// Languages it knows, in whisper's order; an English model knows one.
    pub languages: usize,
    /// Positions of the encoder's output for thirty seconds.
    pub audio_context: u32,
    /// Bytes.
    pub size: u64,
}

/// Why a file cannot be loaded. Goes on after the file's name.
#[derive(Debug, thiserror::Error)]
pub enum Defect {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It begins with something else.
    #[error("is no ggml model of Whisper: {0}")]
    Foreign(&'static str),
    /// It ends too soon.
    #[error("ends too soon, as a download does that broke off")]
    Truncated,
}

impl ModelFile {
    /// Looks at the file from end to end.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn inspect(path: &Path) -> Result<Self, Defect> {
        let mut walk = Walk::open(path)?;
        let facts = walk.walk();
        facts.map_err(|defect| match defect {
            Defect::Unreadable(error) if error.kind() == ErrorKind::UnexpectedEof => Defect::Truncated,
            other => other,
        })
    }
}

struct Walk {
    file: BufReader<File>,
    at: u64,
    size: u64,
}

impl Walk {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let data = file.metadata()?;
        if data.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        Ok(Self { file: BufReader::new(file), at: 0, size: data.len() })
    }

    fn walk(&mut self) -> Result<ModelFile, Defect> {
        if self.number()? != MAGIC {
            return Err(Defect::Foreign("it does not begin with `ggml`"));
        }
        let mut described = [0; 11];
        for number in &mut described {
            *number = self.number()?;
        }
        let [vocabulary, audio_context, audio_state, _, audio_layers, _, text_state, _, text_layers, mels, _] =
            described;
        let is_network = (ENGLISH..=ENGLISH + 256).contains(&vocabulary)
            && (1..=1 << 16).contains(&audio_context)
            && audio_state == text_state
            && (1..=256).contains(&audio_layers)
            && (1..=256).contains(&text_layers)
            && matches!(mels, 80 | 128);
        if !is_network {
            return Err(Defect::Foreign("what it says of its network is not Whisper's"));
        }
        let (rows, columns) = (self.number()?, self.number()?);
        self.skip(u64::from(rows) * u64::from(columns) * 4)?;
        for _ in 0..self.number()? {
            let length = self.number()?;
            if length > LONGEST_NAME {
                return Err(Defect::Foreign("its vocabulary cannot be read"));
            }
            self.skip(length.into())?;
        }
        let mut tensors = 0;
        while self.at < self.size {
            self.tensor()?;
            tensors += 1;
        }
        if tensors != 11 + 15 * audio_layers + 24 * text_layers {
            return Err(Defect::Truncated);
        }
        // A multilingual vocabulary has a token more than the English one beside those of the languages, of which that
        // has 99 too.
        let languages = if vocabulary == ENGLISH { 1 } else { (vocabulary - ENGLISH + 98) as usize };
        Ok(ModelFile { languages, audio_context, size: self.size })
    }

    /// A tensor's head is read, its weights are passed over.
    fn tensor(&mut self) -> Result<(), Defect> {
        let (dimensions, name, kind) = (self.number()?, self.number()?, self.number()?);
        let block = block(kind).filter(|_| (1..=4).contains(&dimensions) && name <= LONGEST_NAME);
        let (weights, bytes) = block.ok_or(Defect::Foreign("it has a tensor of an unknown kind"))?;
        let mut count: u64 = 1;
        for _ in 0..dimensions {
            count = count.saturating_mul(self.number()?.into());
        }
        self.skip(name.into())?;
        self.skip((count / weights).saturating_mul(bytes))
    }

    fn number(&mut self) -> Result<u32, Defect> {
        let mut bytes = [0; 4];
        self.file.read_exact(&mut bytes)?;
        self.at += 4;
        Ok(u32::from_le_bytes(bytes))
    }

    fn skip(&mut self, bytes: u64) -> Result<(), Defect> {
        let at = self.at.checked_add(bytes).filter(|at| *at <= self.size).ok_or(Defect::Truncated)?;
        match i64::try_from(bytes) {
            Ok(bytes) => self.file.seek_relative(bytes)?,
            Err(_) => drop(self.file.seek(SeekFrom::Start(at))?),
        }
        self.at = at;
        Ok(())
    }
}

/// Weights in a block of this kind, and its bytes.
fn block(kind: u32) -> Option<(u64, u64)> {
    Some(match kind {
        0 => (1, 4),      // f32
        1 => (1, 2),      // f16
        2 => (32, 18),    // q4_0
        3 => (32, 20),    // q4_1
        6 => (32, 22),    // q5_0
        7 => (32, 24),    // q5_1
        8 => (32, 34),    // q8_0
        10 => (256, 84),  // q2_k
        11 => (256, 110), // q3_k
        12 => (256, 144), // q4_k
        13 => (256, 176), // q5_k
        14 => (256, 210), // q6_k
        _ => return None,
    })
}
