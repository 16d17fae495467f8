//! A session's settings as the handshake's query: only what differs from the API's defaults.

use dalston_protocol::realtime::SessionConfig;

/// The query for a session that is resumed: it has its settings.
pub(crate) fn resuming(pairs: &[(&str, String)], given: Option<&str>) -> String {
    form_urlencoded::Serializer::new(given.unwrap_or_default().to_owned()).extend_pairs(pairs).finish()
}

/// The query for `config`, after whatever stood in the URL already.
pub(crate) fn query(config: &SessionConfig, given: Option<&str>) -> String {
    let default = SessionConfig::default();
    let mut query = form_urlencoded::Serializer::new(given.unwrap_or_default().to_owned());
    let mut add = |name: &str, value: String, is_default: bool| {
        if !is_default {
            query.append_pair(name, &value);
        }
    };
    let (times, usual) = (&config.endpointing, &default.endpointing);
    add("encoding", config.encoding.clone(), config.encoding == default.encoding);
    add("sample_rate", config.sample_rate.to_string(), config.sample_rate == default.sample_rate);
    add("channels", config.channels.to_string(), config.channels == default.channels);
    add("language", config.language.clone(), config.language == default.language);
    add("model", config.model.clone().unwrap_or_default(), config.model.is_none());
    add("enable_vad", config.enable_vad.to_string(), config.enable_vad == default.enable_vad);
    add("interim_results", config.interim_results.to_string(), config.interim_results == default.interim_results);
    add("word_timestamps", config.word_timestamps.to_string(), config.word_timestamps == default.word_timestamps);
    add("endpointing_ms", times.endpointing_ms.to_string(), times.endpointing_ms == usual.endpointing_ms);
    add("min_speech_ms", times.min_speech_ms.to_string(), times.min_speech_ms == usual.min_speech_ms);
    add("prefix_padding_ms", times.prefix_padding_ms.to_string(), times.prefix_padding_ms == usual.prefix_padding_ms);
    add("max_utterance_s", times.max_utterance_s.to_string(), times.max_utterance_s == usual.max_utterance_s);
    add("vocabulary", serde_json::json!(config.vocabulary).to_string(), config.vocabulary.is_empty());
    add("retention", i32::from(config.retention).to_string(), config.retention == default.retention);
    add("store_audio", config.store_audio.to_string(), config.store_audio == default.store_audio);
    query.finish()
}

#[cfg(test)]
mod tests {
    use dalston_protocol::realtime::{Endpointing, Retention, parse_query};
    use proptest::prelude::*;

    use super::*;

    fn as_the_server_reads_it(query: &str) -> SessionConfig {
        let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        let parsed = parse_query(pairs.iter().map(|(name, value)| (&**name, &**value))).expect(query);
        assert!(parsed.unknown.is_empty(), "{query}: {:?}", parsed.unknown);
        parsed.config
    }

    #[test]
    fn defaults_need_no_query() {
        assert_eq!(query(&SessionConfig::default(), None), "");
    }

    #[test]
    fn what_stood_in_the_url_is_kept() {
        let config = SessionConfig { channels: 2, ..SessionConfig::default() };
        assert_eq!(query(&config, Some("token=abc")), "token=abc&channels=2");
    }

    prop_compose! {
        fn endpointing()(
            endpointing_ms in 100u32..=10_000, min_speech_ms in 0u32..=2_000,
            prefix_padding_ms in 0u32..=1_000, max_utterance_s in 3.0f64..=60.0,
        ) -> Endpointing {
            Endpointing { endpointing_ms, min_speech_ms, prefix_padding_ms, max_utterance_s }
        }
    }

    prop_compose! {
        fn config()(
            encoding in prop::sample::select(vec!["pcm_s16le", "pcm_f32le", "mulaw", "alaw"]),
            sample_rate in 8_000u32..=48_000, channels in 1u8..=2, language in "[a-z]{2}(-[A-Z]{2})?",
            model in prop::option::of("[a-z0-9/._:-]{1,20}x"), flags in prop::array::uniform4(any::<bool>()),
            endpointing in endpointing(), vocabulary in prop::collection::vec("\\PC{0,20}[a-z\"&=+% ]{0,5}x", 0..5),
            days in 1u16..=3650,
        ) -> SessionConfig {
            SessionConfig {
                encoding: encoding.into(), sample_rate, channels, language, model, enable_vad: flags[0],
                interim_results: flags[1], word_timestamps: flags[2], endpointing, vocabulary,
                retention: Retention::Days(days), store_audio: flags[3],
            }
        }
    }

    proptest! {
        #[test]
        fn the_server_reads_what_the_client_meant(config in config()) {
            prop_assert_eq!(as_the_server_reads_it(&query(&config, None)), config);
        }
    }
}
