//! Text as the words that are compared for a word error rate.
//!
//! Lower-case letters and apostrophes only. Everything else parts words, but an apostrophe counts only inside one. Numbers are
//! read out as words: a whole number as a cardinal without "and" (`1,961` is "one thousand nine hundred sixty one"), a decimal
//! digit by digit after "point", an ordinal as one (`21st` is "twenty first"), `%` as "percent" and `&` as "and". A number that
//! is too long for that, or begins with 0, is read digit by digit.

const UNITS: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
const SCALES: [(u64, &str); 4] =
    [(1_000_000_000_000, "trillion"), (1_000_000_000, "billion"), (1_000_000, "million"), (1_000, "thousand")];
/// Cardinals whose ordinal is not the same with "th".
const ORDINALS: [(&str, &str); 7] = [
    ("one", "first"),
    ("two", "second"),
    ("three", "third"),
    ("five", "fifth"),
    ("eight", "eighth"),
    ("nine", "ninth"),
    ("twelve", "twelfth"),
];

/// The words of a text.
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    let text =
        text.to_lowercase().replace(['\u{2019}', '\u{2018}', '`'], "'").replace('%', " percent ").replace('&', " and ");
    let text: Vec<char> = text.chars().collect();
    let mut words = Vec::new();
    let mut at = 0;
    while at < text.len() {
        if text[at].is_ascii_digit() {
            at += number(&text[at..], &mut words);
        } else if text[at].is_alphabetic() {
            let length = text[at..].iter().take_while(|c| c.is_alphabetic() || **c == '\'').count();
            let word: String = text[at..at + length].iter().collect();
            words.push(word.trim_end_matches('\'').to_owned());
            at += length;
        } else {
            at += 1;
        }
    }
    words
}

/// Reads out the number that `text` begins with and says how many characters it took.
fn number(text: &[char], words: &mut Vec<String>) -> usize {
    let mut digits = String::new();
    let mut at = 0;
    while let Some(c) = text.get(at) {
        // A comma groups only when three digits follow.
        let groups = *c == ',' && digits_at(&text[at + 1..]) == 3;
        match c {
            '0'..='9' => digits.push(*c),
            ',' if groups => {}
            _ => break,
        }
        at += 1;
    }
    let before = words.len();
    match digits.parse::<u64>() {
        Ok(number) if number < 1_000_000_000_000_000 && (digits.len() == 1 || !digits.starts_with('0')) => {
            cardinal(number, words);
        }
        _ => spell(digits.chars(), words),
    }
    let decimals = if text.get(at) == Some(&'.') { digits_at(&text[at + 1..]) } else { 0 };
    if decimals > 0 {
        words.push("point".into());
        spell(text[at + 1..=at + decimals].iter().copied(), words);
        return at + 1 + decimals;
    }
    let suffix: String = text[at..].iter().take_while(|c| c.is_alphabetic()).collect();
    if words.len() > before && ["st", "nd", "rd", "th"].contains(&suffix.as_str()) {
        make_ordinal(words);
        at += suffix.len();
    }
    at
}

fn digits_at(text: &[char]) -> usize {
    text.iter().take_while(|c| c.is_ascii_digit()).count()
}

fn spell(digits: impl Iterator<Item = char>, words: &mut Vec<String>) {
    words.extend(digits.filter_map(|digit| digit.to_digit(10)).map(|digit| UNITS[digit as usize].to_owned()));
}

fn cardinal(number: u64, words: &mut Vec<String>) {
    let mut rest = number;
    for (scale, name) in SCALES {
        if rest >= scale {
            below_thousand(rest / scale, words);
            words.push(name.into());
            rest %= scale;
        }
    }
    if rest > 0 || number == 0 {
        below_thousand(rest, words);
    }
}

fn below_thousand(number: u64, words: &mut Vec<String>) {
    let mut rest = number as usize;
    if rest >= 100 {
        words.extend([UNITS[rest / 100].to_owned(), "hundred".to_owned()]);
        rest %= 100;
    }
    if rest >= 20 {
        words.push(TENS[rest / 10].into());
        rest %= 10;
    }
    if rest > 0 || number == 0 {
        words.push(UNITS[rest].into());
    }
}

fn make_ordinal(words: &mut [String]) {
    let Some(last) = words.last_mut() else { return };
    *last = match ORDINALS.iter().find(|(cardinal, _)| cardinal == last) {
        Some((_, ordinal)) => (*ordinal).to_owned(),
        None => match last.strip_suffix('y') {
            Some(stem) => format!("{stem}ieth"),
            None => format!("{last}th"),
        },
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn text_is_reduced_to_words() {
        let check = |text: &str, expected: &str| assert_eq!(super::words(text).join(" "), expected, "{text}");
        check("And so, my fellow Americans: ASK!", "and so my fellow americans ask");
        check("it's the dogs’ well-known 'bone'", "it's the dogs well known bone");
        check("  ", "");
        check("--", "");
    }

    #[test]
    fn numbers_are_read_out() {
        let check = |text: &str, expected: &str| assert_eq!(super::words(text).join(" "), expected, "{text}");
        check("0", "zero");
        check("7 men, 12 women", "seven men twelve women");
        check("40 and 99", "forty and ninety nine");
        check("1,961", "one thousand nine hundred sixty one");
        check("1000000", "one million");
        check("2000005", "two million five");
        check("1, 2,3", "one two three");
        check("3.14", "three point one four");
        check("the end in 5.", "the end in five");
        check("21st 2nd 30th 12th 100th", "twenty first second thirtieth twelfth one hundredth");
        check("007", "zero zero seven");
        check("50%", "fifty percent");
        check("99999999999999999999", &["nine"; 20].join(" "));
    }
}
