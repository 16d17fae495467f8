//! The fields of the form with which a job is asked for: one table for who reads them and for who describes them.

use serde_json::{Map, Value, json};

/// One field of the form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    /// Its name.
    pub(crate) name: &'static str,
    /// The form of its value.
    pub(crate) kind: Kind,
    /// What it does.
    pub(crate) about: &'static str,
}

/// The form of a value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    File,
    Text,
    Bool,
    Integer(i32, i32),
    OneOf(&'static [&'static str]),
    Number,
}

/// What is named `…[]` may stand several times in a form.
pub(crate) fn may_repeat(name: &str) -> bool {
    name.ends_with("[]")
}

const fn field(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, about }
}

/// Every field that is read. Any other is an error that names it.
pub(crate) const FIELDS: &[Field] = &[
    field("file", Kind::File, "the audio: WAV, FLAC, MP3, OGG, M4A, WebM and others"),
    field("audio_url", Kind::Text, "where to fetch the audio instead: a URL that anybody can reach, by https or http"),
    field("model", Kind::Text, "engine or model, as in /v1/models; the default engine if absent"),
    field("language", Kind::Text, "code of the language that is spoken, or auto"),
    field("vocabulary", Kind::Text, "JSON array of phrases that are likely to be said: 100 at most, of 50 characters"),
    field("timestamps_granularity", Kind::OneOf(&["none", "segment", "word"]), "how fine the times are"),
    field("speaker_detection", Kind::OneOf(&["none", "diarize", "per_channel"]), "how it is found out who speaks"),
    field("num_speakers", Kind::Integer(1, 32), "how many speakers there are, where that is known"),
    field("retention", Kind::Integer(-1, 3650), "days that audio and transcript are kept: 0 not at all, -1 for ever"),
    field("name", Kind::Text, "what to call the job; the file's name if absent"),
    field("wait", Kind::Bool, "answer with the finished job; also allowed in the query"),
    field(
        "response_format",
        Kind::OneOf(&["json", "text", "srt", "vtt", "verbose_json"]),
        "answer at the end, in OpenAI's way and in this form",
    ),
    field("prompt", Kind::Text, "OpenAI's way: terms parted by commas are taken as vocabulary"),
    field("temperature", Kind::Number, "OpenAI's way: 0 to 1; has no effect"),
    field("timestamp_granularities[]", Kind::OneOf(&["segment", "word"]), "OpenAI's way: for verbose_json"),
    field("stream", Kind::Bool, "OpenAI's way: only false"),
    field("chunking_strategy", Kind::OneOf(&["auto"]), "OpenAI's way: what is done anyway"),
    field("include[]", Kind::Text, "OpenAI's way: only nothing; logprobs are not given"),
];

/// Those of them that OpenAI has for translations.
pub(crate) const OF_TRANSLATIONS: [&str; 5] = ["file", "model", "prompt", "response_format", "temperature"];

/// The form as OpenAPI describes it.
pub(crate) fn form_schema() -> Value {
    let properties: Map<String, Value> = FIELDS.iter().map(|field| (field.name.into(), schema(field))).collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false,
        "oneOf": [{ "required": ["file"] }, { "required": ["audio_url"] }] })
}

/// That of a translation.
pub(crate) fn translation_schema() -> Value {
    let fields = FIELDS.iter().filter(|field| OF_TRANSLATIONS.contains(&field.name));
    let properties: Map<String, Value> = fields.map(|field| (field.name.into(), schema(field))).collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false, "required": ["file"] })
}

fn schema(field: &Field) -> Value {
    let mut schema = match field.kind {
        Kind::File => json!({ "type": "string", "contentMediaType": "application/octet-stream" }),
        Kind::Text => json!({ "type": "string" }),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Integer(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::OneOf(words) => json!({ "type": "string", "enum": words }),
        Kind::Number => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
    };
    if may_repeat(field.name) {
        schema = json!({ "type": "array", "items": schema });
    }
    schema["description"] = field.about.into();
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_field_stands_twice() {
        for (index, field) in FIELDS.iter().enumerate() {
            assert!(FIELDS[..index].iter().all(|other| other.name != field.name), "{}", field.name);
        }
    }
}
