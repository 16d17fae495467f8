//! What a setting can hold: how its text is read, and what is said when it cannot be.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// A type that a setting can have. The same text is read from a file, the environment and a flag.
pub trait Value: Sized {
    /// What would be right, to stand after "expected".
    fn expected() -> String;

    /// Reads the text; `None` when it is not one.
    fn parse(text: &str) -> Option<Self>;

    /// Whether the value must never be shown.
    fn is_secret() -> bool {
        false
    }
}

impl Value for bool {
    fn expected() -> String {
        "true or false".into()
    }

    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        }
    }
}

impl Value for SocketAddr {
    fn expected() -> String {
        "an IP address and a port, such as 127.0.0.1:8000 or [::1]:8000".into()
    }

    fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("localhost:") {
            Some(port) => Some(SocketAddr::from(([127, 0, 0, 1], port.parse().ok()?))),
            None => text.parse().ok(),
        }
    }
}

impl Value for PathBuf {
    fn expected() -> String {
        "a path".into()
    }

    fn parse(text: &str) -> Option<Self> {
        Some(PathBuf::from(text))
    }
}

impl Value for String {
    fn expected() -> String {
        "text".into()
    }

    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

/// Empty text is `None`.
impl<T: Value> Value for Option<T> {
    fn expected() -> String {
        T::expected()
    }

    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() { Some(None) } else { T::parse(text).map(Some) }
    }

    fn is_secret() -> bool {
        T::is_secret()
    }
}

/// Parted by commas; in a file also an array.
impl<T: Value> Value for Vec<T> {
    fn expected() -> String {
        format!("a list, parted by commas, each {}", T::expected())
    }

    fn parse(text: &str) -> Option<Self> {
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(T::parse).collect()
    }

    fn is_secret() -> bool {
        T::is_secret()
    }
}

/// One of several names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice<T>(pub T);

/// What has a name in the configuration.
pub trait Named: Copy + 'static {
    /// Every value with its name.
    const NAMES: &'static [(&'static str, Self)];
}

impl<T: Named> Value for Choice<T> {
    fn expected() -> String {
        let names: Vec<&str> = T::NAMES.iter().map(|(name, _)| *name).collect();
        match names.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => "nothing".to_owned(),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        T::NAMES.iter().find(|(name, _)| *name == text).map(|(_, value)| Self(*value))
    }
}

/// A whole number within bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count<const LOW: usize, const HIGH: usize>(usize);

impl<const LOW: usize, const HIGH: usize> Count<LOW, HIGH> {
    /// The number.
    pub const fn get(self) -> usize {
        self.0
    }
}

impl<const LOW: usize, const HIGH: usize> Value for Count<LOW, HIGH> {
    fn expected() -> String {
        format!("a whole number from {LOW} to {HIGH}")
    }

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|number| (LOW..=HIGH).contains(number)).map(Self)
    }
}

/// A probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate(f64);

impl Rate {
    /// From 0 to 1.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Value for Rate {
    fn expected() -> String {
        "a probability from 0 to 1".into()
    }

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|rate| (0.0..=1.0).contains(rate)).map(Self)
    }
}

/// A time within bounds of milliseconds, written with its unit: `250ms`, `1.5s`, `2m`, `1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span<const LOW_MS: u64, const HIGH_MS: u64>(Duration);

impl<const LOW_MS: u64, const HIGH_MS: u64> Span<LOW_MS, HIGH_MS> {
    /// The time.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl<const LOW_MS: u64, const HIGH_MS: u64> Value for Span<LOW_MS, HIGH_MS> {
    fn expected() -> String {
        format!("a time from {} to {}", shown(LOW_MS), shown(HIGH_MS))
    }

    fn parse(text: &str) -> Option<Self> {
        let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
        let (number, unit) = text.split_at(unit_at);
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let number: f64 = number.trim().parse().ok()?;
        let span = Duration::try_from_secs_f64(number * seconds).ok()?;
        let is_within = Duration::from_millis(LOW_MS) <= span && span <= Duration::from_millis(HIGH_MS);
        is_within.then_some(Self(span))
    }
}

/// In the largest unit that fits evenly.
fn shown(ms: u64) -> String {
    match ms {
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ if ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
        _ => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Wait = Span<100, 3_600_000>;

    #[test]
    fn a_time_needs_its_unit_and_stays_within_bounds() {
        let check = |text: &str, expected: Option<f64>| {
            assert_eq!(Wait::parse(text).map(|span| span.get().as_secs_f64()), expected, "{text}");
        };
        check("100ms", Some(0.1));
        check("1.5s", Some(1.5));
        check("2 m", Some(120.0));
        check("1h", Some(3600.0));
        for wrong in ["", "5", "99ms", "61m", "-1s", "NaNs", "infs", "1e999s", "1d", "s"] {
            check(wrong, None);
        }
        assert_eq!(Wait::expected(), "a time from 100ms to 1h");
    }

    #[test]
    fn a_number_stays_within_its_bounds() {
        for (text, is_right) in [("1", true), ("10", true), ("0", false), ("11", false), ("-1", false), ("1.0", false)]
        {
            assert_eq!(Count::<1, 10>::parse(text).is_some(), is_right, "{text}");
        }
    }

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Colour {
        Red,
        Blue,
    }

    impl Named for Colour {
        const NAMES: &'static [(&'static str, Self)] = &[("red", Self::Red), ("blue", Self::Blue)];
    }

    #[test]
    fn a_choice_lists_its_names() {
        assert_eq!(Choice::<Colour>::expected(), "red or blue");
        assert_eq!(Choice::parse("blue"), Some(Choice(Colour::Blue)));
        assert_eq!(Choice::<Colour>::parse("Blue"), None);
    }

    #[test]
    fn localhost_is_an_address() {
        assert_eq!(SocketAddr::parse("localhost:80"), Some(([127, 0, 0, 1], 80).into()));
        assert_eq!(SocketAddr::parse("localhost"), None);
        assert_eq!(SocketAddr::parse("0.0.0.0:99999"), None);
    }

    #[test]
    fn a_list_is_parted_by_commas() {
        assert_eq!(Vec::<Count<1, 9>>::parse("1, 2,,").map(|list| list.len()), Some(2));
        assert!(Vec::<Count<1, 9>>::parse("1, x").is_none());
        assert!(Vec::<String>::parse("").is_some_and(|list| list.is_empty()));
    }
}
