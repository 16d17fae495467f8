//! What a model's folder holds, told by the names in it: nothing is opened.
//!
//! The library must be told what a network is, and ends the process when that is wrong. Publishers' folders are called
//! by it: `sherpa-onnx-streaming-zipformer-en-2023-06-26`, `sherpa-onnx-nemo-ctc-en-conformer-small`. A folder that is
//! called otherwise has to be renamed.

use std::io;
use std::path::{Path, PathBuf};

use dalston_engine_sdk::Languages;

/// A folder that can be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFolder {
    /// What the folder is called.
    pub name: String,
    /// What is in it.
    pub network: Network,
    /// Its vocabulary.
    pub tokens: PathBuf,
    /// Whether it hears as the audio comes.
    pub streaming: bool,
}

/// A network that recognises speech, with its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// Encoder, decoder and joiner.
    Transducer {
        /// From sound to states.
        encoder: PathBuf,
        /// From text to states.
        decoder: PathBuf,
        /// From both to text.
        joiner: PathBuf,
        /// Whether it is one of NeMo's, which are run differently.
        nemo: bool,
    },
    /// Zipformer with CTC.
    ZipformerCtc(PathBuf),
    /// NeMo's networks with CTC.
    NemoCtc(PathBuf),
    /// WeNet's with CTC. Not streaming.
    WenetCtc(PathBuf),
    /// Paraformer. Not streaming.
    Paraformer(PathBuf),
    /// SenseVoice. Not streaming.
    SenseVoice(PathBuf),
}

/// Why a folder cannot be loaded. Goes on after the folder's name.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// The vocabulary is missing.
    #[error("has no tokens.txt")]
    NoTokens,
    /// The files of no network that is known.
    #[error("has neither encoder, decoder and joiner nor a model*.onnx")]
    NoNetwork,
    /// It could be several.
    #[error(
        "does not tell by its name what its {0} is: zipformer-ctc, nemo-ctc, wenet, paraformer and sense-voice are \
         known (and only zipformer-ctc and nemo-ctc with `streaming`)"
    )]
    Unnamed(String),
}

impl ModelFolder {
    /// Looks into a folder.
    ///
    /// # Errors
    /// What is missing.
    pub fn inspect(path: &Path) -> Result<Self, Problem> {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        files.sort();
        // By the folder that is meant, whatever stands for it.
        let name = path.canonicalize()?.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let tokens = files.iter().find(|file| file_name(file) == "tokens.txt").ok_or(Problem::NoTokens)?.clone();
        let streaming = name.contains("streaming");
        let network = network(&name, &files, streaming)?;
        Ok(Self { name, network, tokens, streaming })
    }

    /// Those that its name tells (`-en-`, `-zh-en-`), else any.
    pub fn languages(&self) -> Languages {
        let parts = self.name.split(['-', '_', '.']);
        let codes: Vec<String> = parts.filter(|part| LANGUAGES.contains(part)).map(str::to_owned).collect();
        if codes.is_empty() { Languages::any() } else { Languages::Only(codes) }
    }
}

/// Codes that are part of the names of published models.
const LANGUAGES: [&str; 23] = [
    "en", "zh", "de", "fr", "es", "ru", "ja", "ko", "yue", "vi", "th", "it", "pt", "nl", "pl", "uk", "be", "bn", "ar",
    "id", "hr", "kk", "uz",
];

fn network(name: &str, files: &[PathBuf], streaming: bool) -> Result<Network, Problem> {
    if let Some(encoder) = part(files, "encoder", true) {
        // Quantising the decoder costs words and gains nothing: it is small.
        let (decoder, joiner) = (part(files, "decoder", false), part(files, "joiner", true));
        let (Some(decoder), Some(joiner)) = (decoder, joiner) else { return Err(Problem::NoNetwork) };
        let nemo = name.contains("nemo") || name.contains("parakeet");
        return Ok(Network::Transducer { encoder, decoder, joiner, nemo });
    }
    let model = part(files, "model", true).or_else(|| part(files, "ctc", true)).ok_or(Problem::NoNetwork)?;
    let is = |word: &str| name.contains(word);
    match () {
        () if is("nemo") && is("ctc") => Ok(Network::NemoCtc(model)),
        () if is("zipformer") && is("ctc") => Ok(Network::ZipformerCtc(model)),
        () if is("wenet") && !streaming => Ok(Network::WenetCtc(model)),
        () if is("paraformer") && !streaming => Ok(Network::Paraformer(model)),
        () if is("sense-voice") && !streaming => Ok(Network::SenseVoice(model)),
        () => Err(Problem::Unnamed(file_name(&model))),
    }
}

/// The file of one part of a network: in eight bits or not, where there are both.
fn part(files: &[PathBuf], prefix: &str, quantised: bool) -> Option<PathBuf> {
    let is_part = |file: &&PathBuf| {
        let name = file_name(file);
        name.starts_with(prefix) && name.ends_with(".onnx")
    };
    let all: Vec<&PathBuf> = files.iter().filter(is_part).collect();
    let wanted = all.iter().find(|file| file_name(file).contains(".int8.") == quantised);
    wanted.or(all.first()).map(|file| (*file).clone())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of this name with these files, all empty.
    fn inspect(name: &str, files: &[&str]) -> Result<ModelFolder, Problem> {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join(name);
        std::fs::create_dir(&folder).expect("made");
        files.iter().for_each(|file| std::fs::write(folder.join(file), "").expect("written"));
        ModelFolder::inspect(&folder)
    }

    #[test]
    fn a_folder_is_what_it_is_called_and_small_files_are_taken() {
        let files = [
            "tokens.txt",
            "encoder-1.onnx",
            "encoder-1.int8.onnx",
            "decoder-1.onnx",
            "decoder-1.int8.onnx",
            "joiner-1.onnx",
        ];
        let found = inspect("sherpa-onnx-streaming-zipformer-en-2023", &files).expect("a transducer");
        let Network::Transducer { encoder, decoder, joiner, nemo } = &found.network else { panic!("{found:?}") };
        let names = [encoder, decoder, joiner].map(|file| file_name(file));
        assert_eq!(names, ["encoder-1.int8.onnx", "decoder-1.onnx", "joiner-1.onnx"]);
        assert!(found.streaming && !nemo);
        assert_eq!(found.languages(), Languages::Only(vec!["en".into()]));
        let nemo = inspect("parakeet-tdt", &files).expect("a transducer");
        assert!(matches!(nemo.network, Network::Transducer { nemo: true, .. }) && !nemo.streaming);
        assert_eq!(nemo.languages(), Languages::any());
    }

    #[test]
    fn one_file_is_what_the_folder_says() {
        let check = |name: &str, expected: fn(PathBuf) -> Network| {
            let found = inspect(name, &["tokens.txt", "model.int8.onnx"]).expect(name);
            let file = match &found.network {
                Network::ZipformerCtc(file) | Network::NemoCtc(file) | Network::WenetCtc(file) => file,
                Network::Paraformer(file) | Network::SenseVoice(file) => file,
                Network::Transducer { .. } => panic!("{name}"),
            };
            assert_eq!(found.network, expected(file.clone()), "{name}");
        };
        check("zipformer-ctc-zh", Network::ZipformerCtc);
        check("nemo-ctc-en", Network::NemoCtc);
        check("wenet-en", Network::WenetCtc);
        check("paraformer-zh-en", Network::Paraformer);
        check("sense-voice-zh-en-ja-ko-yue", Network::SenseVoice);
    }

    #[test]
    fn what_is_missing_is_said() {
        assert!(matches!(inspect("a", &["model.onnx"]), Err(Problem::NoTokens)));
        assert!(matches!(inspect("a", &["tokens.txt"]), Err(Problem::NoNetwork)));
        assert!(matches!(inspect("a", &["tokens.txt", "encoder.onnx"]), Err(Problem::NoNetwork)));
        assert!(matches!(inspect("mine", &["tokens.txt", "model.onnx"]), Err(Problem::Unnamed(_))));
        assert!(matches!(inspect("streaming-paraformer", &["tokens.txt", "model.onnx"]), Err(Problem::Unnamed(_))));
        assert!(matches!(ModelFolder::inspect(Path::new("/nowhere")), Err(Problem::Unreadable(_))));
    }
}
