//! The languages of multilingual models, in the order of their tokens.

use dalston_engine_sdk::Languages;

/// What leaves the language to the model.
pub const AUTO: &str = "auto";

/// Codes of ISO 639, as Whisper has them.
#[rustfmt::skip]
pub const CODES: [&str; 100] = [
    "en", "zh", "de", "es", "ru", "ko", "fr", "ja", "pt", "tr", "pl", "ca", "nl", "ar", "sv", "it", "id", "hi",
    "fi", "vi", "he", "uk", "el", "ms", "cs", "ro", "da", "hu", "ta", "no", "th", "ur", "hr", "bg", "lt", "la",
    "mi", "ml", "cy", "sk", "te", "fa", "lv", "bn", "sr", "az", "sl", "kn", "et", "mk", "br", "eu", "is", "hy",
    "ne", "mn", "bs", "kk", "sq", "sw", "gl", "mr", "pa", "si", "km", "sn", "yo", "so", "af", "oc", "ka", "be",
    "tg", "sd", "gu", "am", "yi", "lo", "uz", "fo", "ht", "ps", "tk", "nn", "mt", "sa", "lb", "my", "bo", "tl",
    "mg", "as", "tt", "haw", "ln", "ha", "ba", "jw", "su",
    // Since large-v3.
    "yue",
];

/// What a model with so many languages recognises. `auto` is the first of them, and so stays what it is.
pub fn languages(count: usize) -> Languages {
    let codes = &CODES[..count.min(CODES.len())];
    match codes {
        [only] => Languages::Only(vec![(*only).to_owned()]),
        many => Languages::Only([AUTO].iter().chain(many).map(|code| (*code).to_owned()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_english_model_hears_english_and_another_finds_out() {
        assert_eq!(languages(1).resolve("auto").as_deref(), Some("en"));
        assert_eq!(languages(1).resolve("de"), None);
        assert_eq!(languages(99).resolve("auto").as_deref(), Some("auto"));
        assert_eq!(languages(99).resolve("de-AT").as_deref(), Some("de"));
        assert_eq!((languages(99).resolve("yue"), languages(100).resolve("yue").as_deref()), (None, Some("yue")));
    }

    #[cfg(feature = "native")]
    #[test]
    fn the_library_has_the_same_languages_in_the_same_order() {
        let theirs: Vec<_> = (0..=whisper_rs::get_lang_max_id()).filter_map(whisper_rs::get_lang_str).collect();
        assert_eq!(theirs, CODES);
    }
}
