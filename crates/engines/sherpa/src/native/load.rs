//! From files to what the library makes of them.

use std::path::Path;

use dalston_engine_sdk::EngineError;
use sherpa_onnx::{
    OfflineModelConfig, OfflinePunctuation, OfflinePunctuationConfig, OfflineRecognizer, OfflineRecognizerConfig,
    OnlineModelConfig, OnlinePunctuation, OnlinePunctuationConfig, OnlineRecognizer, OnlineRecognizerConfig,
};

use super::Recognizer;
use crate::folder::{ModelFolder, Network};

/// Threads of a network. A fork has one; those that a library had started before it are gone in it.
const THREADS: i32 = 1;

pub fn recognizer(model: &ModelFolder) -> Result<Recognizer, EngineError> {
    let made = if model.streaming {
        OnlineRecognizer::create(&streaming(model)?).map(Recognizer::Streaming)
    } else {
        OfflineRecognizer::create(&whole(model)?).map(Recognizer::Whole)
    };
    made.ok_or_else(|| EngineError::Failed(format!("sherpa-onnx refuses the model {}", model.name)))
}

fn streaming(model: &ModelFolder) -> Result<OnlineRecognizerConfig, EngineError> {
    let mut config = OnlineModelConfig { num_threads: THREADS, tokens: path(&model.tokens)?, ..Default::default() };
    match &model.network {
        Network::Transducer { encoder, decoder, joiner, .. } => {
            config.transducer.encoder = path(encoder)?;
            config.transducer.decoder = path(decoder)?;
            config.transducer.joiner = path(joiner)?;
        }
        Network::ZipformerCtc(file) => config.zipformer2_ctc.model = path(file)?,
        Network::NemoCtc(file) => config.nemo_ctc.model = path(file)?,
        Network::WenetCtc(_) | Network::Paraformer(_) | Network::SenseVoice(_) => {
            return Err(EngineError::Failed(format!("the model {} cannot stream", model.name)));
        }
    }
    // Where utterances end is found out elsewhere.
    let decoding_method = Some("greedy_search".to_owned());
    Ok(OnlineRecognizerConfig { model_config: config, decoding_method, enable_endpoint: false, ..Default::default() })
}

fn whole(model: &ModelFolder) -> Result<OfflineRecognizerConfig, EngineError> {
    let mut config = OfflineModelConfig { num_threads: THREADS, tokens: path(&model.tokens)?, ..Default::default() };
    match &model.network {
        Network::Transducer { encoder, decoder, joiner, nemo } => {
            config.transducer.encoder = path(encoder)?;
            config.transducer.decoder = path(decoder)?;
            config.transducer.joiner = path(joiner)?;
            config.model_type = nemo.then(|| "nemo_transducer".to_owned());
        }
        Network::ZipformerCtc(file) => config.zipformer_ctc.model = path(file)?,
        Network::NemoCtc(file) => config.nemo_ctc.model = path(file)?,
        Network::WenetCtc(file) => config.wenet_ctc.model = path(file)?,
        Network::Paraformer(file) => config.paraformer.model = path(file)?,
        Network::SenseVoice(file) => {
            config.sense_voice.model = path(file)?;
            config.sense_voice.use_itn = true;
        }
    }
    let decoding_method = Some("greedy_search".to_owned());
    Ok(OfflineRecognizerConfig { model_config: config, decoding_method, ..Default::default() })
}

/// What writes punctuation.
pub enum Punctuation {
    /// CT-Transformer: Chinese and English.
    Transformer(OfflinePunctuation),
    /// CNN-BiLSTM: English, and case too.
    Recurrent(OnlinePunctuation),
}

pub fn punctuation(file: &Path) -> Result<Punctuation, EngineError> {
    let vocabulary = file.with_file_name("bpe.vocab");
    let made = if vocabulary.is_file() {
        let mut config = OnlinePunctuationConfig::default();
        config.model.cnn_bilstm = path(file)?;
        config.model.bpe_vocab = path(&vocabulary)?;
        OnlinePunctuation::create(&config).map(Punctuation::Recurrent)
    } else {
        let mut config = OfflinePunctuationConfig::default();
        config.model.ct_transformer = path(file)?;
        OfflinePunctuation::create(&config).map(Punctuation::Transformer)
    };
    made.ok_or_else(|| EngineError::Failed(format!("sherpa-onnx refuses the punctuation model {}", file.display())))
}

impl Punctuation {
    /// The text with punctuation, if there is any to be had.
    pub fn apply(&self, text: &str) -> Option<String> {
        match self {
            Self::Transformer(model) => model.add_punctuation(text),
            Self::Recurrent(model) => model.add_punctuation(text),
        }
    }
}

/// As the library takes it: its wrapper panics on a zero in it.
fn path(path: &Path) -> Result<Option<String>, EngineError> {
    let text = path.to_str().filter(|text| !text.contains('\0'));
    let text = text.ok_or_else(|| EngineError::Failed(format!("the path {} is not UTF-8", path.display())))?;
    Ok(Some(text.to_owned()))
}
