//! From a written word to the words that are said: pure, and English where letters do not say it.
//!
//! Punctuation has no sound, `$3.50` is `three dollars fifty`, `BBC` is three letters, `1999` may be said in four ways. What a word
//! is for a reader stays a word: whatever is said for it is one thing to align.

use crate::numbers::{self, Words};

/// Ways to say one written word that are tried. The likeliest come first, so what is left out is rarely missed.
const MOST_WAYS: usize = 8;

/// The ways in which a written word may be said, each in words as dictionaries write them; none when it has no sound.
pub fn ways(written: &str) -> Vec<Words> {
    let mut ways: Vec<Words> = Vec::new();
    for part in parts(written) {
        let of_part = part.ways();
        if ways.is_empty() {
            ways = of_part;
            continue;
        }
        // The last part changes fastest, so the likeliest of all parts are together at the front.
        let with = |way: &Words| of_part.iter().map(|part| [way.as_slice(), part].concat()).collect::<Vec<_>>();
        ways = ways.iter().flat_map(with).take(MOST_WAYS).collect();
    }
    ways.truncate(MOST_WAYS);
    ways
}

/// A stretch of a written word that is said by one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Letters and apostrophes, as they stand.
    Letters(String),
    /// Digits, and those behind a decimal point.
    Number { whole: String, fraction: String },
    /// A number with `st`, `nd`, `rd` or `th`.
    Ordinal(String),
    /// A number with the sign of a currency before it.
    Money { whole: String, cents: String, unit: &'static str },
    /// A sign that is read out.
    Sign(&'static str),
}

impl Part {
    fn ways(&self) -> Vec<Words> {
        match self {
            Self::Letters(letters) => of_letters(letters),
            Self::Number { whole, fraction } if fraction.is_empty() => numbers::whole(whole),
            Self::Number { whole, fraction } => {
                let point = |way: Words| [way, vec!["point".into()], numbers::one_by_one(fraction, "zero")].concat();
                numbers::whole(whole).into_iter().map(point).collect()
            }
            Self::Ordinal(digits) => numbers::ordinal(digits).map_or_else(|| numbers::whole(digits), |way| vec![way]),
            Self::Money { whole, cents, unit } => money(whole, cents, unit),
            Self::Sign(word) => vec![vec![(*word).to_owned()]],
        }
    }
}

fn of_letters(letters: &str) -> Vec<Words> {
    let word = letters.to_lowercase();
    let count = letters.chars().count();
    let is_spelled = (2..=5).contains(&count) && letters.chars().all(char::is_uppercase);
    // `a.` is how dictionaries write the name of the letter.
    let names = || word.chars().map(|letter| format!("{letter}.")).collect();
    let mut ways = vec![vec![word.clone()]];
    if is_spelled {
        ways.push(names());
    }
    ways
}

fn money(whole: &str, cents: &str, unit: &str) -> Vec<Words> {
    let one = |amount: &Words| if amount.len() == 1 && amount[0] == "one" { unit.trim_end_matches('s') } else { unit };
    let mut ways = Vec::new();
    // However many there are, it is said as one number.
    for amount in numbers::whole(whole).into_iter().take(2) {
        let with_unit = [amount.clone(), vec![one(&amount).to_owned()]].concat();
        if let Some(cents) = numbers::whole(cents).into_iter().next().filter(|_| cents.chars().any(|c| c != '0')) {
            let spoken_cents = [vec!["and".to_owned()], cents.clone(), vec!["cents".to_owned()]].concat();
            ways.push([with_unit.clone(), cents.clone()].concat());
            ways.push([with_unit, spoken_cents].concat());
            ways.push([amount, cents].concat());
        } else {
            ways.push(with_unit);
            ways.push(amount);
        }
    }
    ways
}

/// Parts a written word. Whatever is no letter, digit or sign that is read out has no sound, and parts what stands around it.
fn parts(written: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = written;
    let mut currency = None;
    while let Some(first) = rest.chars().next() {
        let part;
        (part, rest) = if first.is_ascii_digit() {
            number(rest, currency.take())
        } else if is_letter(first) {
            let (letters, rest) = rest.split_at(rest.find(|c| !is_letter(c)).unwrap_or(rest.len()));
            let letters = letters.replace('’', "'");
            (letters.chars().any(char::is_alphabetic).then(|| Part::Letters(letters.to_owned())), rest)
        } else {
            currency = unit(first).or(currency);
            (sign(first).map(Part::Sign), &rest[first.len_utf8()..])
        };
        parts.extend(part);
    }
    initials(parts)
}

/// A number at the beginning, and what comes after it.
fn number<'a>(text: &'a str, currency: Option<&'static str>) -> (Option<Part>, &'a str) {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let mut end = digits(text);
    let mut whole = text[..end].to_owned();
    // Thousands are parted by commas, each with three digits behind it.
    while text[end..].starts_with(',') && digits(&text[end + 1..]) == 3 {
        whole.push_str(&text[end + 1..end + 4]);
        end += 4;
    }
    let mut fraction = String::new();
    if text[end..].starts_with('.') && digits(&text[end + 1..]) > 0 {
        let from = end + 1;
        end = from + digits(&text[from..]);
        text[from..end].clone_into(&mut fraction);
    }
    let rest = &text[end..];
    if let Some(unit) = currency {
        return (Some(Part::Money { whole, cents: fraction, unit }), rest);
    }
    let suffix = ["st", "nd", "rd", "th"].iter().find(|suffix| {
        rest.get(..2).is_some_and(|head| head.eq_ignore_ascii_case(suffix))
            && !rest[2..].starts_with(char::is_alphanumeric)
    });
    match suffix {
        Some(suffix) if fraction.is_empty() => (Some(Part::Ordinal(whole)), &rest[suffix.len()..]),
        _ => (Some(Part::Number { whole, fraction }), rest),
    }
}

/// Single letters one after the other are said as letters: `U.S.A.`, `e.g.`.
fn initials(parts: Vec<Part>) -> Vec<Part> {
    let is_single = |part: &Part| matches!(part, Part::Letters(letters) if letters.chars().count() == 1);
    if parts.len() < 2 || !parts.iter().all(is_single) {
        return parts;
    }
    let joined = parts.iter().map(|part| match part {
        Part::Letters(letter) => format!("{}.", letter.to_lowercase()),
        _ => String::new(),
    });
    joined.map(Part::Letters).collect()
}

fn is_letter(c: char) -> bool {
    c.is_alphabetic() || matches!(c, '\'' | '’')
}

fn unit(c: char) -> Option<&'static str> {
    Some(match c {
        '$' => "dollars",
        '£' => "pounds",
        '€' => "euros",
        _ => return None,
    })
}

fn sign(c: char) -> Option<&'static str> {
    Some(match c {
        '%' => "percent",
        '&' => "and",
        '+' => "plus",
        '=' => "equals",
        '@' => "at",
        '°' => "degrees",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(written: &str) -> Vec<String> {
        ways(written).iter().map(|words| words.join(" ")).collect()
    }

    #[test]
    fn punctuation_has_no_sound() {
        for silent in ["", "—", "…", "...", "'", "\"", "♪", "(!)", "$"] {
            assert_eq!(said(silent), Vec::<String>::new(), "{silent:?}");
        }
        for (written, spoken) in [("Hello,", "hello"), ("don’t", "don't"), ("e-mail", "e mail"), ("“Yes!”", "yes")]
        {
            assert_eq!(said(written), [spoken], "{written:?}");
        }
    }

    #[test]
    fn signs_and_numbers_are_read_out() {
        for (written, spoken) in [
            ("10%", "ten percent"),
            ("$3.50", "three dollars fifty"),
            ("$1", "one dollar"),
            ("£1,250", "one thousand two hundred fifty pounds"),
            ("3.14", "three point one four"),
            ("1,234,567", "one million two hundred thirty four thousand five hundred sixty seven"),
            ("21st", "twenty first"),
            ("10:30", "ten thirty"),
            ("R&B", "r and b"),
            ("mp3", "mp three"),
            ("&", "and"),
        ] {
            assert_eq!(said(written).first().map(String::as_str), Some(spoken), "{written:?}");
        }
    }

    #[test]
    fn capitals_may_be_letters() {
        assert_eq!(said("BBC"), ["bbc", "b. b. c."]);
        assert_eq!(said("U.S."), ["u. s."]);
        assert_eq!(said("NATO,"), ["nato", "n. a. t. o."]);
        assert_eq!(said("I"), ["i"]);
    }

    proptest! {
        #[test]
        fn any_text_has_a_bounded_number_of_ways_in_words_of_a_dictionary(written in "\\PC{0,40}") {
            let ways = ways(&written);
            prop_assert!(ways.len() <= MOST_WAYS);
            for word in ways.iter().flatten() {
                prop_assert!(!word.is_empty() && word.chars().all(|c| c.is_alphabetic() || "'.".contains(c)
                    || !c.is_ascii()), "{word:?}");
            }
        }

        #[test]
        fn whatever_has_letters_or_digits_has_a_sound(written in "[ -~]{0,20}[a-zA-Z0-9][ -~]{0,20}") {
            prop_assert!(!ways(&written).is_empty());
        }
    }
}
