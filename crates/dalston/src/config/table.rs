//! The macro behind [`Settings`](super::Settings): one line a setting gives its field, its keys, its default and its page in the
//! documentation, so that none of them can disagree.

/// What is known of one setting.
#[derive(Debug)]
pub struct Setting {
    /// Key in a TOML file; a dot parts a table from what is in it.
    pub key: &'static str,
    /// Environment variable.
    pub variable: &'static str,
    /// As it would be written; empty is unset.
    pub default: &'static str,
    /// What would be right, after "expected".
    pub expected: fn() -> String,
    /// Whether it must never be shown.
    pub is_secret: fn() -> bool,
    /// Lines of documentation.
    pub docs: &'static [&'static str],
}

/// Settings that belong together.
#[derive(Debug)]
pub struct Group {
    /// Heading in the documentation.
    pub title: &'static str,
    /// Its settings.
    pub settings: &'static [Setting],
}

/// Every setting there is, in the order of the documentation.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    super::settings::GROUPS.iter().flat_map(|group| group.settings)
}

/// The setting with this key.
pub fn find(key: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.key == key)
}

macro_rules! settings {
    ($($title:literal {
        $($(#[doc = $doc:literal])* $field:ident: $type:ty, $key:literal, $variable:literal, $default:literal;)*
    })*) => {
        /// Every setting of a server, read and within its bounds.
        #[derive(Debug, Clone)]
        pub struct Settings {
            $($($(#[doc = $doc])* pub $field: $type,)*)*
        }

        /// Every setting, by group.
        pub static GROUPS: &[Group] = &[$(Group {
            title: $title,
            settings: &[$(Setting {
                key: $key,
                variable: $variable,
                default: $default,
                expected: <$type as Value>::expected,
                is_secret: <$type as Value>::is_secret,
                docs: &[$($doc),*],
            }),*],
        }),*];

        impl Settings {
            /// Reads every setting out of the layers. One that cannot be read is a problem, and its default stands in for it
            /// so that the others can be checked too.
            pub fn read(layers: &Layers, problems: &mut Vec<Problem>) -> Self {
                Self { $($($field: read_one(layers, $key, problems),)*)* }
            }
        }
    };
}

pub(super) use settings;
