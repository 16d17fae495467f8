//! What a decoder searches for, and how widely: its command line.

use std::ffi::{CStr, CString};
use std::path::Path;

use dalston_engine_sdk::{EngineError, Profile, StreamOptions};

use crate::files::Installation;

/// What a decoder is for. Nothing can be shared between decoders, so each kind is loaded apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// For any words of the language model.
    Words(Profile),
    /// For the words of a text that is given.
    Text,
}

impl Search {
    /// What a stream asks for.
    pub fn of(options: &StreamOptions) -> Self {
        if options.text.is_some() { Self::Text } else { Self::Words(options.profile) }
    }

    /// The decoder's command line. The library's own silence removal is off: it shifts all times after a pause.
    pub fn arguments(self, installation: &Installation) -> Result<Vec<CString>, EngineError> {
        let model = &installation.model;
        let mut paths = vec![(c"-hmm", &model.acoustic), (c"-dict", &model.dictionary)];
        if let Self::Words(_) = self {
            paths.push((c"-lm", &model.language_model));
        }
        let mut arguments = vec![c"dalston".to_owned()];
        for (key, path) in paths {
            arguments.extend([key.to_owned(), text(path)?]);
        }
        arguments.extend([c"-remove_silence", c"no"].map(CStr::to_owned));
        arguments.extend(self.width().iter().copied().map(CStr::to_owned));
        Ok(arguments)
    }

    fn width(self) -> &'static [&'static CStr] {
        match self {
            // Without the second pass an utterance ends in 10 ms, not in 120.
            Self::Words(Profile::LowLatency) => &[c"-maxhmmpf", c"3000", c"-maxwpf", c"10", c"-fwdflat", c"no"],
            Self::Words(Profile::Balanced) => &[c"-maxhmmpf", c"3000", c"-maxwpf", c"10"],
            // No limits but the beams, and those wider than the library's own.
            Self::Words(Profile::Accurate) => &[
                c"-beam",
                c"1e-60",
                c"-wbeam",
                c"1e-40",
                c"-pbeam",
                c"1e-60",
                c"-lpbeam",
                c"1e-50",
                c"-lponlybeam",
                c"7e-35",
                c"-fwdflatbeam",
                c"1e-80",
                c"-fwdflatwbeam",
                c"1e-40",
            ],
            // A single way through, so wide beams cost little. Every sound is scored, not the text's alone: a score is then
            // how far the text is from the sound that fits best.
            Self::Text => &[
                c"-compallsen",
                c"yes",
                c"-bestpath",
                c"no",
                c"-beam",
                c"1e-80",
                c"-wbeam",
                c"1e-60",
                c"-pbeam",
                c"1e-80",
            ],
        }
    }
}

fn text(path: &Path) -> Result<CString, EngineError> {
    CString::new(path.as_os_str().as_encoded_bytes())
        .map_err(|_| EngineError::Rejected("a model path holds a zero byte".into()))
}
