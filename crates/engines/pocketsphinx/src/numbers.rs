//! How numbers are said in English: every way that is usual, the likeliest first.

const ONES: [&str; 20] = [
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
const SCALES: [(u64, &str); 3] = [(1_000_000_000, "billion"), (1_000_000, "million"), (1_000, "thousand")];
/// Ordinals that are not the number with `th`.
const ORDINALS: [(&str, &str); 7] = [
    ("one", "first"),
    ("two", "second"),
    ("three", "third"),
    ("five", "fifth"),
    ("eight", "eighth"),
    ("nine", "ninth"),
    ("twelve", "twelfth"),
];
/// Digits of the longest number that is said as one.
const LONGEST: usize = 12;

/// A number in words.
pub type Words = Vec<String>;

/// A whole number: as one, with `and`, in pairs as years are, and digit by digit.
pub fn whole(digits: &str) -> Vec<Words> {
    let mut ways = Vec::new();
    let value = digits.parse::<u64>().ok().filter(|_| digits.len() <= LONGEST);
    if let Some(value) = value.filter(|_| digits.len() == 1 || !digits.starts_with('0')) {
        ways.push(cardinal(value, false));
        ways.push(cardinal(value, true));
        ways.extend(in_pairs(value));
    }
    ways.push(one_by_one(digits, "zero"));
    ways.push(one_by_one(digits, "oh"));
    let mut seen = Vec::new();
    for way in ways {
        if !way.is_empty() && !seen.contains(&way) {
            seen.push(way);
        }
    }
    seen
}

/// The same as a place in an order: `21` is `twenty first`. None for what is said digit by digit.
pub fn ordinal(digits: &str) -> Option<Words> {
    let value = digits.parse().ok().filter(|_| digits.len() <= LONGEST)?;
    let mut words = cardinal(value, false);
    let last = words.pop()?;
    let known = ORDINALS.iter().find(|(cardinal, _)| *cardinal == last).map(|(_, ordinal)| (*ordinal).to_owned());
    words.push(known.unwrap_or_else(|| match last.strip_suffix('y') {
        Some(stem) => format!("{stem}ieth"),
        None => format!("{last}th"),
    }));
    Some(words)
}

/// Digit after digit.
pub fn one_by_one(digits: &str, zero: &str) -> Words {
    let name = |digit: u32| if digit == 0 { zero } else { ONES[digit as usize] };
    digits.chars().filter_map(|c| c.to_digit(10)).map(|digit| name(digit).to_owned()).collect()
}

fn cardinal(value: u64, with_and: bool) -> Words {
    let mut words = Vec::new();
    let mut rest = value;
    for (scale, name) in SCALES {
        if rest >= scale {
            below_thousand(rest / scale, with_and, &mut words);
            words.push(name.to_owned());
            rest %= scale;
        }
    }
    if rest > 0 || value == 0 {
        below_thousand(rest, with_and, &mut words);
    }
    words
}

fn below_thousand(value: u64, with_and: bool, words: &mut Words) {
    if value >= 100 {
        words.extend([ONES[(value / 100) as usize % 10].to_owned(), "hundred".to_owned()]);
        if value.is_multiple_of(100) {
            return;
        }
        if with_and {
            words.push("and".to_owned());
        }
    }
    let rest = (value % 100) as usize;
    if rest < ONES.len() {
        words.push(ONES[rest].to_owned());
    } else {
        words.push(TENS[rest / 10].to_owned());
        words.extend((!rest.is_multiple_of(10)).then(|| ONES[rest % 10].to_owned()));
    }
}

/// `1999` as `nineteen ninety nine`, `120` as `one twenty`: numbers of three and four digits alone.
fn in_pairs(value: u64) -> Vec<Words> {
    if !(100..10_000).contains(&value) || value.is_multiple_of(1000) {
        return Vec::new();
    }
    let (first, second) = (cardinal(value / 100, false), value % 100);
    let then = match second {
        0 if value < 1000 => return Vec::new(),
        0 => vec!["hundred".to_owned()],
        1..10 => vec!["oh".to_owned(), ONES[second as usize].to_owned()],
        _ => cardinal(second, false),
    };
    vec![[first, then].concat()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(digits: &str) -> Vec<String> {
        whole(digits).iter().map(|words| words.join(" ")).collect()
    }

    #[test]
    fn a_number_is_said_in_every_usual_way() {
        assert_eq!(said("7"), ["seven"]);
        assert_eq!(said("0"), ["zero", "oh"]);
        assert_eq!(said("42"), ["forty two", "four two"]);
        assert_eq!(
            said("1999"),
            [
                "one thousand nine hundred ninety nine",
                "one thousand nine hundred and ninety nine",
                "nineteen ninety nine",
                "one nine nine nine"
            ]
        );
        assert!(said("1905").contains(&"nineteen oh five".to_owned()));
        assert!(said("1900").contains(&"nineteen hundred".to_owned()));
        assert!(said("120").contains(&"one twenty".to_owned()));
        assert!(said("1066").contains(&"ten sixty six".to_owned()));
        assert!(said("2000").iter().all(|said| !said.starts_with("twenty ")), "{:?}", said("2000"));
        assert_eq!(said("007"), ["zero zero seven", "oh oh seven"]);
        assert_eq!(said("1000000")[0], "one million");
        assert_eq!(said("999999999999")[0].split(' ').count(), 19);
        assert_eq!(said(&"9".repeat(40)).len(), 1, "nobody says that as one number");
    }

    #[test]
    fn an_order_has_words_of_its_own() {
        for (digits, said) in
            [("1", "first"), ("3", "third"), ("12", "twelfth"), ("21", "twenty first"), ("30", "thirtieth")]
        {
            assert_eq!(ordinal(digits).map(|words| words.join(" ")).as_deref(), Some(said));
        }
        assert_eq!(ordinal(&"1".repeat(30)), None);
    }
}
