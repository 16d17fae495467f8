//! A model's file that is not what it should be is refused before anything is loaded, with what is wrong and what to
//! do.

#[allow(dead_code, reason = "the other half is for those who load the model")]
mod support;

use std::fs;
use std::path::Path;

use dalston_engine_sdk::EngineError;
use dalston_engine_whisper::{Defect, ModelFile, Settings};
use support::{ENGLISH, MULTILINGUAL, model};

fn inspect(bytes: &[u8]) -> Result<ModelFile, Defect> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), bytes).expect("written");
    ModelFile::inspect(file.path())
}

#[test]
fn a_whole_file_says_what_it_is() {
    let english = model(ENGLISH);
    let found = inspect(&english).expect("whole");
    assert_eq!((found.languages, found.audio_context, found.size), (1, 1500, english.len() as u64));
    assert_eq!(inspect(&model(MULTILINGUAL)).expect("whole").languages, 99);
}

#[test]
fn a_file_that_ends_anywhere_too_soon_is_truncated() {
    let whole = model(ENGLISH);
    // Everywhere in the heads, and here and there in the weights, among them the last.
    let heads = 0..200;
    let places = heads.chain((200..whole.len()).step_by(whole.len() / 97)).chain([whole.len() - 1]);
    for place in places {
        let found = inspect(&whole[..place]);
        assert!(matches!(found, Err(Defect::Truncated)), "{place} of {}: {found:?}", whole.len());
    }
}

#[test]
fn a_file_without_weights_is_no_model() {
    let whole = model(ENGLISH);
    let name = b"encoder.positional_embedding";
    let first = whole.windows(name.len()).position(|bytes| bytes == name).expect("the first tensor") - 5 * 4;
    assert!(matches!(inspect(&whole[..first]), Err(Defect::Truncated)));
}

#[test]
fn other_files_are_foreign() {
    let mut kind = model(ENGLISH);
    kind[..4].copy_from_slice(b"GGUF");
    assert!(matches!(inspect(&kind), Err(Defect::Foreign(_))));
    let mut network = model(ENGLISH);
    network[4..8].copy_from_slice(&7u32.to_le_bytes());
    assert!(matches!(inspect(&network), Err(Defect::Foreign(_))));
    assert!(matches!(inspect(b"<html>Not Found</html>"), Err(Defect::Foreign(_))));
}

#[test]
fn numbers_that_lie_are_refused_and_nothing_is_allocated_for_them() {
    let whole = model(ENGLISH);
    // The size of the filters, the number of words, a word's length, and a tensor's shape.
    let name = b"encoder.positional_embedding";
    let tensor = whole.windows(name.len()).position(|bytes| bytes == name).expect("the first tensor");
    let vocabulary = 56 + 80 * 201 * 4;
    for place in [48, 52, vocabulary, vocabulary + 4, tensor - 4, tensor - 8, tensor - 12, tensor - 16, tensor - 20] {
        let mut lying = whole.clone();
        lying[place..place + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(inspect(&lying).is_err(), "at {place}");
    }
}

#[test]
fn what_is_missing_is_said_with_the_setting_and_the_command() {
    let of = |model: Option<&str>| Settings { model: model.map(Into::into), ..Settings::default() }.probe();
    for (model, about) in
        [(None, "a model"), (Some("/nowhere/ggml-base.bin"), "/nowhere/ggml-base.bin"), (Some("/tmp"), "directory")]
    {
        let Err(error @ EngineError::Unavailable { .. }) = of(model) else { panic!("{model:?}") };
        let text = error.to_string();
        assert!(
            text.contains(about) && text.contains("DALSTON_WHISPER_MODEL") && text.contains("models pull"),
            "{text}"
        );
    }
}

#[test]
fn a_model_is_called_by_its_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = support::write(folder.path(), MULTILINGUAL);
    let found = Settings { model: Some(path.clone()), ..Settings::default() }.probe().expect("whole");
    assert_eq!(found.capabilities().full_name(), "whisper/thought-out");
    assert_eq!(found.capabilities().languages.resolve("auto").as_deref(), Some("auto"));
    assert_eq!(found.path, Path::new(&path));
}
