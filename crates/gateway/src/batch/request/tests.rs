use dalston_engine_sdk::{Capabilities, Languages};

use super::*;

fn engines() -> Vec<EngineInfo> {
    let capabilities = Capabilities {
        engine_id: "scripted".into(),
        model: "en".into(),
        version: "1".into(),
        languages: Languages::Only(vec!["en".into()]),
        partials: false,
        word_timestamps: true,
        confidence: true,
        vocabulary: true,
        punctuation: false,
        alignment: false,
        translation: false,
        max_streams: None,
    };
    let transcribe = EngineInfo::new("scripted", Stage::TRANSCRIBE);
    vec![EngineInfo::new("prepare", Stage::PREPARE), EngineInfo { capabilities: Some(capabilities), ..transcribe }]
}

/// The same, and one that translates.
fn translators() -> Vec<EngineInfo> {
    let mut engines = engines();
    let scripted = engines[1].capabilities.clone().unwrap();
    let capabilities = Capabilities { engine_id: "polyglot".into(), translation: true, ..scripted };
    let languages = Languages::any();
    let capabilities = Some(Capabilities { languages, ..capabilities });
    engines.push(EngineInfo { capabilities, ..EngineInfo::new("polyglot", Stage::TRANSCRIBE) });
    engines
}

fn ask(fields: &[(&str, &str)]) -> Result<Asked, ApiError> {
    ask_for(Purpose::Transcription, &engines(), fields)
}

fn ask_for(purpose: Purpose, engines: &[EngineInfo], fields: &[(&str, &str)]) -> Result<Asked, ApiError> {
    let settings = JobSettings::default();
    let mut request = Request::new(&settings, engines, purpose);
    for (name, value) in fields {
        let field = request.begin(name)?;
        request.set(field, value)?;
    }
    request.finish()
}

#[test]
fn every_field_is_read() {
    let asked = ask(&[
        ("model", "scripted/en"),
        ("language", "en"),
        ("vocabulary", r#"["Dalston","Kingsland Road"]"#),
        ("timestamps_granularity", "word"),
        ("speaker_detection", "per_channel"),
        ("retention", "-1"),
        ("name", " interview "),
        ("wait", "True"),
    ])
    .unwrap();
    let expected = JobParameters {
        model: Some("scripted/en".into()),
        language: "en".into(),
        translate: false,
        vocabulary: vec!["Dalston".into(), "Kingsland Road".into()],
        timestamps_granularity: Granularity::Word,
        speaker_detection: SpeakerDetection::PerChannel,
        num_speakers: None,
        retention: Retention::Forever,
    };
    assert_eq!(asked.parameters, expected);
    assert_eq!((asked.name.as_deref(), asked.wait, asked.openai), (Some("interview"), true, None));
}

#[test]
fn a_wrong_value_names_its_field_and_what_is_allowed() {
    let check = |fields: &[(&str, &str)], param: &str, told: &str| {
        let error = ask(fields).expect_err("it was taken");
        assert_eq!(error.param.as_deref(), Some(param), "{fields:?}: {error}");
        assert!(error.message.contains(told), "{fields:?}: {error}");
    };
    check(&[("retention", "1e999")], "retention", "-1 to 3650");
    check(&[("retention", "3651")], "retention", "-1 to 3650");
    check(&[("timestamps_granularity", "letter")], "timestamps_granularity", "none, segment, word");
    check(&[("speaker_detection", "diarize")], "speaker_detection", "per_channel");
    check(&[("num_speakers", "2")], "num_speakers", "diarize");
    check(&[("num_speakers", "NaN")], "num_speakers", "1 to 32");
    check(&[("vocabulary", "Dalston")], "vocabulary", "JSON array");
    check(&[("vocabulary", r#"["go\nforward"]"#)], "vocabulary", "control characters");
    check(&[("vocabulary", &format!("[{}]", ["\"a\""; 101].join(",")))], "vocabulary", "at most 100");
    check(&[("vocabulary", r#"[""]"#)], "vocabulary", "1 to 50");
    check(&[("language", "../../etc/passwd")], "language", "en-US");
    check(&[("language", "de")], "language", "recognises de");
    check(&[("model", "whisper/large")], "model", "there are scripted");
    check(&[("wait", "perhaps")], "wait", "true or false");
    check(&[("name", "a\0b")], "name", "control");
    let url = ("audio_url", "https://example.org/a.wav");
    check(&[url, ("file", "")], "audio_url", "not both");
    check(&[("file", ""), url], "audio_url", "not both");
    check(&[("speed", "2")], "speed", "there is no field speed");
    check(&[("model", "scripted"), ("model", "scripted")], "model", "twice");
    check(&[("prompt", "a")], "prompt", "response_format");
    check(&[("response_format", "xml")], "response_format", "verbose_json");
    check(&[("response_format", "json"), ("temperature", "1e999")], "temperature", "0 to 1");
    check(&[("response_format", "json"), ("stream", "true")], "stream", "not built");
    check(&[("response_format", "json"), ("include[]", "logprobs")], "include[]", "logprobs is not given");
    check(&[("response_format", "json"), ("chunking_strategy", "x")], "chunking_strategy", "one of auto");
    let words = ("timestamp_granularities[]", "word");
    check(&[("response_format", "json"), words], "timestamp_granularities[]", "verbose_json");
}

#[test]
fn a_translation_is_for_engines_that_translate_and_has_few_fields() {
    let ask = |engines: &[EngineInfo], fields: &[(&str, &str)]| ask_for(Purpose::Translation, engines, fields);
    for model in [&[][..], &[("model", "whisper-1")], &[("model", "polyglot")]] {
        let asked = ask(&translators(), model).unwrap();
        assert!(asked.parameters.translate && asked.openai.is_some_and(|openai| openai.translated), "{model:?}");
    }
    let check = |engines: &[EngineInfo], fields: &[(&str, &str)], code: ErrorCode, told: &str| {
        let error = ask(engines, fields).expect_err("it was taken");
        assert!(error.code == code && error.message.contains(told), "{fields:?}: {error}");
    };
    check(&translators(), &[("model", "scripted")], ErrorCode::ModelNotFound, "these do: polyglot");
    check(&engines(), &[], ErrorCode::ModelNotFound, "no engine here translates");
    check(&engines(), &[("model", "whisper-1")], ErrorCode::ModelNotFound, "no engine here translates");
    check(&translators(), &[("language", "de")], ErrorCode::InvalidParameter, "there is no field language");
}

#[test]
fn openais_way_is_asked_for_by_its_names_and_its_format() {
    let asked = ask(&[("model", "whisper-1"), ("prompt", "Dalston, Kingsland Road.")]).unwrap();
    assert_eq!(asked.openai.as_ref().map(|openai| openai.format), Some(ResponseFormat::Json));
    assert_eq!(asked.parameters.model, None, "an alias means the default engine");
    assert_eq!(asked.parameters.vocabulary, ["Dalston", "Kingsland Road"]);
    assert_eq!(asked.parameters.retention, Retention::None);

    let granularity = "timestamp_granularities[]";
    let verbose = ("response_format", "verbose_json");
    let asked = ask(&[("model", "scripted"), verbose, (granularity, "word"), (granularity, "segment")]).unwrap();
    let openai = asked.openai.unwrap();
    assert_eq!((openai.format, openai.words, openai.segments), (ResponseFormat::VerboseJson, true, true));
    assert_eq!(asked.parameters.timestamps_granularity, Granularity::Word);
    assert!(ask(&[("model", "scripted")]).unwrap().openai.is_none());
    assert!(ask(&[("model", "whisper-1"), ("chunking_strategy", "auto")]).unwrap().openai.is_some());
}
