//! Languages by the English names that Whisper's servers call them by (<https://github.com/openai/whisper>).

/// The code of a language that is named, or is a code already. `None` for what is neither.
pub fn code(name: &str) -> Option<String> {
    let name = name.trim().to_ascii_lowercase();
    let named = NAMES.iter().find(|(_, known)| *known == name).map(|(code, _)| (*code).to_owned());
    named.or_else(|| is_code(&name).then_some(name))
}

/// Two or three letters, and perhaps a region.
fn is_code(text: &str) -> bool {
    let base = text.split(['-', '_']).next().unwrap_or_default();
    let is_short = (2..=3).contains(&base.len()) && text.len() <= 12;
    is_short
        && base.bytes().all(|b| b.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[rustfmt::skip]
const NAMES: &[(&str, &str)] = &[
    ("af", "afrikaans"), ("am", "amharic"), ("ar", "arabic"), ("as", "assamese"), ("az", "azerbaijani"), ("ba", "bashkir"),
    ("be", "belarusian"), ("bg", "bulgarian"), ("bn", "bengali"), ("bo", "tibetan"), ("br", "breton"), ("bs", "bosnian"),
    ("ca", "catalan"), ("ca", "valencian"), ("cs", "czech"), ("cy", "welsh"), ("da", "danish"), ("de", "german"),
    ("el", "greek"), ("en", "english"), ("es", "spanish"), ("es", "castilian"), ("et", "estonian"), ("eu", "basque"),
    ("fa", "persian"), ("fi", "finnish"), ("fo", "faroese"), ("fr", "french"), ("gl", "galician"), ("gu", "gujarati"),
    ("ha", "hausa"), ("haw", "hawaiian"), ("he", "hebrew"), ("hi", "hindi"), ("hr", "croatian"), ("ht", "haitian"),
    ("ht", "haitian creole"), ("hu", "hungarian"), ("hy", "armenian"), ("id", "indonesian"), ("is", "icelandic"),
    ("it", "italian"), ("ja", "japanese"), ("jv", "javanese"), ("ka", "georgian"), ("kk", "kazakh"), ("km", "khmer"),
    ("kn", "kannada"), ("ko", "korean"), ("la", "latin"), ("lb", "luxembourgish"), ("lb", "letzeburgesch"), ("ln", "lingala"),
    ("lo", "lao"), ("lt", "lithuanian"), ("lv", "latvian"), ("mg", "malagasy"), ("mi", "maori"), ("mk", "macedonian"),
    ("ml", "malayalam"), ("mn", "mongolian"), ("mr", "marathi"), ("ms", "malay"), ("mt", "maltese"), ("my", "myanmar"),
    ("my", "burmese"), ("ne", "nepali"), ("nl", "dutch"), ("nl", "flemish"), ("nn", "nynorsk"), ("no", "norwegian"),
    ("oc", "occitan"), ("pa", "punjabi"), ("pa", "panjabi"), ("pl", "polish"), ("ps", "pashto"), ("ps", "pushto"),
    ("pt", "portuguese"), ("ro", "romanian"), ("ro", "moldavian"), ("ro", "moldovan"), ("ru", "russian"), ("sa", "sanskrit"),
    ("sd", "sindhi"), ("si", "sinhala"), ("si", "sinhalese"), ("sk", "slovak"), ("sl", "slovenian"), ("sn", "shona"),
    ("so", "somali"), ("sq", "albanian"), ("sr", "serbian"), ("su", "sundanese"), ("sv", "swedish"), ("sw", "swahili"),
    ("ta", "tamil"), ("te", "telugu"), ("tg", "tajik"), ("th", "thai"), ("tk", "turkmen"), ("tl", "tagalog"),
    ("tr", "turkish"), ("tt", "tatar"), ("uk", "ukrainian"), ("ur", "urdu"), ("uz", "uzbek"), ("vi", "vietnamese"),
    ("yi", "yiddish"), ("yo", "yoruba"), ("yue", "cantonese"), ("zh", "chinese"), ("zh", "mandarin"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_known_by_its_name_and_its_code() {
        for (told, expected) in [
            ("english", Some("en")),
            ("English", Some("en")),
            ("haitian creole", Some("ht")),
            ("lao", Some("lo")),
            ("de", Some("de")),
            ("en-US", Some("en-us")),
            ("yue", Some("yue")),
            ("", None),
            ("klingonese", None),
            ("e!", None),
        ] {
            assert_eq!(code(told).as_deref(), expected, "{told}");
        }
    }
}
