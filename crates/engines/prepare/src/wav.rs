//! What a WAV says of itself that the reader of its samples does not hand on.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// Most chunks before the samples.
const MOST_CHUNKS: usize = 1_000;

/// Of a file's samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claims {
    /// Samples of each channel, by the chunk `fact`: the last block of a compressed file may hold fewer than it could.
    pub samples: Option<u32>,
    /// Bytes of the chunk `data`.
    pub bytes: u32,
}

impl Claims {
    /// `None` for what is no WAV, or has no samples.
    pub fn of(path: &Path) -> Option<Self> {
        let mut file = BufReader::new(File::open(path).ok()?);
        file.seek(SeekFrom::Start(12)).ok()?;
        let mut samples = None;
        for _ in 0..MOST_CHUNKS {
            let mut head = [0; 8];
            file.read_exact(&mut head).ok()?;
            let size = u32::from_le_bytes(*head.last_chunk()?);
            match head.first_chunk::<4>()? {
                b"data" => return Some(Self { samples, bytes: size }),
                b"fact" if size >= 4 => {
                    let mut number = [0; 4];
                    file.read_exact(&mut number).ok()?;
                    samples = Some(u32::from_le_bytes(number));
                    file.seek_relative((padded(size) - 4).cast_signed()).ok()?;
                }
                _ => file.seek_relative(padded(size).cast_signed()).ok()?,
            }
        }
        None
    }

    /// Whether its writer knew how long it would become. One that could not go back wrote about as much as fits.
    pub fn is_size_known(&self) -> bool {
        const NEARLY: u32 = 1 << 16;
        let is_near = |most: u32| (most - NEARLY..=most).contains(&self.bytes);
        !is_near(u32::MAX) && !is_near(1 << 31)
    }
}

/// Chunks begin at even places.
fn padded(size: u32) -> u64 {
    u64::from(size).next_multiple_of(2)
}
