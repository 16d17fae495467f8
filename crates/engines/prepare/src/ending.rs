//! Whether an upload was cut off: as far as its container tells how it should end.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// The longest page of Ogg: its header, 255 lengths and 255 times 255 bytes.
const LONGEST_PAGE: u64 = 27 + 255 + 255 * 255;
/// What a file may differ from what it says: half a packet, rounding.
const TOLERANCE: f64 = 0.25;

/// What was read, what its container said there would be, and whether it ended within something.
#[derive(Debug, Clone, Copy)]
pub struct Ending {
    /// Seconds.
    pub read: f64,
    /// Seconds, where that is known.
    pub expected: Option<f64>,
    /// Whether the file ended where it could not end.
    pub is_cut: bool,
}

impl Ending {
    /// What its owner should hear of it.
    pub fn warning(&self) -> Option<String> {
        let read = self.read;
        match self.expected {
            Some(expected) if expected > read + TOLERANCE => {
                Some(format!("the file is truncated: {read:.1} s of {expected:.1} s could be read"))
            }
            _ if self.is_cut => Some(format!("the file is truncated: it breaks off after {read:.1} s")),
            _ => None,
        }
    }
}

/// Whether an Ogg ends within a page, or with one that is not the last of its stream.
pub fn is_ogg_cut(path: &Path) -> bool {
    let Some(tail) = tail(path, 2 * LONGEST_PAGE) else { return false };
    let Some(last) = tail.windows(5).rposition(|start| start == b"OggS\0") else { return true };
    const END_OF_STREAM: u8 = 4;
    let page = &tail[last..];
    let (Some(kind), Some(&segments)) = (page.get(5), page.get(26)) else { return true };
    let Some(lengths) = page.get(27..27 + usize::from(segments)) else { return true };
    let length = 27 + lengths.len() + lengths.iter().map(|length| usize::from(*length)).sum::<usize>();
    kind & END_OF_STREAM == 0 || page.len() < length
}

fn tail(path: &Path, most: u64) -> Option<Vec<u8>> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(most))).ok()?;
    let mut tail = Vec::new();
    file.take(most).read_to_end(&mut tail).ok()?;
    Some(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_as_long_as_it_says_is_not_warned_of() {
        let ending = |read, expected, is_cut| Ending { read, expected, is_cut }.warning();
        assert_eq!(ending(24.5, Some(24.6), false), None);
        assert_eq!(ending(24.6, None, false), None);
        let short = ending(12.34, Some(24.6), true).expect("a warning");
        assert_eq!(short, "the file is truncated: 12.3 s of 24.6 s could be read");
        assert!(ending(12.34, None, true).expect("a warning").contains("after 12.3 s"));
    }
}
