//! Checksums as they are published: SHA-1 or SHA-256.
//!
//! A SHA-1 tells a broken download from a whole one. It does not prove that nobody meant harm; but of most models
//! nothing better is published, and they come over TLS.

use std::fmt::{self, Write as _};

use serde::{Serialize, Serializer};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// What a file must come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// In hexadecimal.
    Sha1(&'static str),
    /// In hexadecimal.
    Sha256(&'static str),
}

impl Digest {
    /// A SHA-1, which a mistyped one is not: checked when the program is compiled.
    pub const fn sha1(hex: &'static str) -> Self {
        assert!(hex.len() == 40, "a SHA-1 has 40 digits");
        Self::Sha1(hex)
    }

    /// A SHA-256 likewise.
    pub const fn sha256(hex: &'static str) -> Self {
        assert!(hex.len() == 64, "a SHA-256 has 64 digits");
        Self::Sha256(hex)
    }

    /// Something that computes one of the same kind.
    pub fn hasher(self) -> Hasher {
        match self {
            Self::Sha1(_) => Hasher::Sha1(Sha1::new()),
            Self::Sha256(_) => Hasher::Sha256(Sha256::new()),
        }
    }

    /// The digits.
    pub fn hex(self) -> &'static str {
        match self {
            Self::Sha1(hex) | Self::Sha256(hex) => hex,
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Sha1(_) => "sha1",
            Self::Sha256(_) => "sha256",
        };
        write!(f, "{kind}:{}", self.hex())
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A checksum that is being computed.
#[derive(Clone)]
pub enum Hasher {
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Hasher {
    /// More of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(hasher) => hasher.update(bytes),
            Self::Sha256(hasher) => hasher.update(bytes),
        }
    }

    /// In hexadecimal.
    pub fn finish(self) -> String {
        let hex = |bytes: &[u8]| {
            bytes.iter().fold(String::new(), |mut text, byte| {
                let _infallible = write!(text, "{byte:02x}");
                text
            })
        };
        match self {
            Self::Sha1(hasher) => hex(&hasher.finalize()),
            Self::Sha256(hasher) => hex(&hasher.finalize()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_of_nothing_are_the_well_known_ones() {
        let empty = [
            Digest::sha1("da39a3ee5e6b4b0d3255bfef95601890afd80709"),
            Digest::sha256("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ];
        for digest in empty {
            assert_eq!(digest.hasher().finish(), digest.hex(), "{digest}");
        }
    }
}
