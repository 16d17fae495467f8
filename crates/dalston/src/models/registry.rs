//! Models that are known: where they are published, and what they must be.
//!
//! A checksum stands here as it was published, or the model does not stand here. Whisper's are those of whisper.cpp's
//! `models/README.md`; of the others they are the SHA-256 by which the files are stored where they are published.

use super::digest::Digest;

/// A model that can be pulled, or that comes otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    /// What it is called, as `engine/name`.
    pub id: &'static str,
    /// Which engine runs it.
    pub engine: &'static str,
    /// What it is good for.
    pub about: &'static str,
    /// The licence of its weights.
    pub licence: &'static str,
    /// How it comes.
    pub source: Source,
}

/// How a model comes.
#[derive(Debug, Clone, Copy)]
pub enum Source {
    /// One file.
    File(File),
    /// A folder of files.
    Folder(&'static [File]),
    /// With a package of the system, in this folder.
    System {
        /// What installs it.
        install: &'static str,
        /// Where it is then.
        folder: &'static str,
    },
}

/// A file of a model.
#[derive(Debug, Clone, Copy)]
pub struct File {
    /// What it is called on the disk.
    pub name: &'static str,
    /// Where it is published.
    pub url: &'static str,
    /// Its length, as published.
    pub size: Size,
    /// Its checksum, as published.
    pub digest: Digest,
}

/// A length as somebody published it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// To the byte.
    Bytes(u64),
    /// Rounded to mebibytes.
    About(u64),
}

impl Size {
    /// Bytes, or nearly.
    pub fn bytes(self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::About(mebibytes) => mebibytes << 20,
        }
    }
}

impl Model {
    /// The part of its id behind the engine.
    pub fn name(&self) -> &'static str {
        self.id.split_once('/').map_or(self.id, |(_, name)| name)
    }

    /// Its files.
    pub fn files(&self) -> &[File] {
        match &self.source {
            Source::File(file) => std::slice::from_ref(file),
            Source::Folder(files) => files,
            Source::System { .. } => &[],
        }
    }

    /// Bytes of all its files, or nearly.
    pub fn size(&self) -> u64 {
        self.files().iter().map(|file| file.size.bytes()).sum()
    }
}

/// The model that a user means: by its id, or by its name where no other engine has one of that name.
pub fn find(asked: &str) -> Option<&'static Model> {
    let by_id = MODELS.iter().find(|model| model.id == asked);
    let mut by_name = MODELS.iter().filter(|model| model.name() == asked);
    by_id.or_else(|| by_name.next().filter(|_| by_name.next().is_none()))
}

macro_rules! whisper {
    ($name:literal, $mebibytes:literal, $sha1:literal, $about:literal) => {
        Model {
            id: concat!("whisper/", $name),
            engine: "whisper",
            about: $about,
            licence: "MIT",
            source: Source::File(File {
                name: concat!("ggml-", $name, ".bin"),
                url: concat!("https://huggingface.co/ggerganov/whisper.cpp/resolve/main/ggml-", $name, ".bin"),
                size: Size::About($mebibytes),
                digest: Digest::sha1($sha1),
            }),
        }
    };
}

macro_rules! zipformer {
    ($name:literal, $bytes:literal, $sha256:literal) => {
        File {
            name: $name,
            url: concat!(
                "https://huggingface.co/csukuangfj/sherpa-onnx-streaming-zipformer-en-20M-2023-02-17/resolve/main/",
                $name
            ),
            size: Size::Bytes($bytes),
            digest: Digest::sha256($sha256),
        }
    };
}

/// Every model that is known.
pub static MODELS: &[Model] = &[
    whisper!("tiny", 75, "bd577a113a864445d4c299885e0cb97d4ba92b5f", "99 languages, many errors"),
    whisper!("tiny.en", 75, "c78c86eb1a8faa21b369bcd33207cc90d64ae9df", "English, live on two cores"),
    whisper!("base", 142, "465707469ff3a37a2b9b8d8f89f2f99de7299dac", "99 languages"),
    whisper!("base.en", 142, "137c40403d78fd54d454da0f9bd998f78703390c", "English, live on two cores"),
    whisper!("small", 466, "55356645c2b361a969dfd0ef2c5a50d530afd8d5", "99 languages"),
    whisper!("small.en", 466, "db8a495a91d927739e50b3fc1cc4c6b8f6c2d022", "English, for files"),
    whisper!("medium", 1536, "fd9727b6e1217c2f614f9b698455c4ffd82463b4", "99 languages, for files"),
    whisper!("medium.en", 1536, "8c30f0e44ce9560643ebd10bbe50cd20eafd3723", "English, for files"),
    whisper!("large-v2", 2970, "0f4c8e34f21cf1a914c59d8b3ce882345ad349d6", "99 languages, for many cores"),
    whisper!("large-v2-q5_0", 1126, "00e39f2196344e901b3a2bd5814807a769bd1630", "large-v2 in five bits"),
    whisper!("large-v3", 2970, "ad82bf6a9043ceed055076d0fd39f5f186ff8062", "100 languages, for many cores"),
    whisper!("large-v3-q5_0", 1126, "e6e2ed78495d403bef4b7cff42ef4aaadcfea8de", "large-v3 in five bits"),
    whisper!("large-v3-turbo", 1536, "4af2b29d7ec73d781377bfd1758ca957a807e941", "large-v3 with a small decoder"),
    whisper!("large-v3-turbo-q5_0", 547, "e050f7970618a659205450ad97eb95a18d69c9ee", "the same in five bits"),
    Model {
        id: "sherpa/streaming-zipformer-en-20m",
        engine: "sherpa",
        about: "English, streaming, small",
        licence: "Apache-2.0",
        source: Source::Folder(&[
            zipformer!(
                "encoder-epoch-99-avg-1.int8.onnx",
                42_845_182,
                "3810755ce7c3ab26b42a8bcf39d191308fa27fb0f53358823ba46141d03b7eb3"
            ),
            zipformer!(
                "decoder-epoch-99-avg-1.onnx",
                2_092_272,
                "45a7f940ecfb53d89fa270ad11b88b961e53a317203eb24b1c8e95ed208b0f30"
            ),
            zipformer!(
                "joiner-epoch-99-avg-1.int8.onnx",
                259_572,
                "e085d73b593cf9b0707f370dbd656d58327d3fe36d80d849202ef81df02cb01e"
            ),
            zipformer!("tokens.txt", 5_048, "49e3c2646595fd907228b3c6787069658f67b17377c60aeb8619c4551b2316fb"),
        ]),
    },
    Model {
        id: "pocketsphinx/en-us",
        engine: "pocketsphinx",
        about: "American English, the default",
        licence: "BSD-2-Clause",
        source: Source::System {
            install: "apt-get install pocketsphinx-en-us",
            folder: "/usr/share/pocketsphinx/model/en-us",
        },
    },
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_model_has_an_id_of_its_own_and_files_from_a_secure_place() {
        let ids: HashSet<&str> = MODELS.iter().map(|model| model.id).collect();
        assert_eq!(ids.len(), MODELS.len());
        for model in MODELS {
            assert_eq!(model.id, format!("{}/{}", model.engine, model.name()));
            for file in model.files() {
                assert!(file.url.starts_with("https://") && file.url.ends_with(file.name), "{}", file.url);
                assert!(!file.name.contains('/') && file.size.bytes() > 0);
            }
        }
    }

    #[test]
    fn a_model_is_found_by_its_id_and_by_its_name() {
        assert_eq!(find("whisper/base.en").map(|model| model.id), Some("whisper/base.en"));
        assert_eq!(find("base.en").map(|model| model.id), Some("whisper/base.en"));
        assert!(find("whisper").is_none() && find("").is_none());
    }
}
