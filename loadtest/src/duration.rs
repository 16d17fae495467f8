//! Durations as people write them: `250ms`, `10s`, `1.5m`, `2h`, or plain seconds.

use std::time::Duration;

/// Longest that may be asked for: far below where clocks overflow.
const LONGEST: f64 = 7.0 * 86_400.0;

/// Reads one.
///
/// # Errors
/// What would be right.
pub fn parse(text: &str) -> Result<Duration, String> {
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3_600.0)];
    let (number, factor) = units
        .iter()
        .find_map(|(unit, factor)| text.strip_suffix(unit).map(|number| (number, *factor)))
        .unwrap_or((text, 1.0));
    match number.trim().parse::<f64>() {
        Ok(number) if (0.0..=LONGEST).contains(&(number * factor)) => Ok(Duration::from_secs_f64(number * factor)),
        _ => Err(format!("`{text}` is not a time such as 250ms, 10s, 1.5m or 2h")),
    }
}

/// Shown with three digits or so, in the unit that fits.
#[must_use]
pub fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        s if s < 0.000_999_5 => format!("{:.0} µs", s * 1e6),
        s if s < 0.099_95 => format!("{:.1} ms", s * 1e3),
        s if s < 0.999_5 => format!("{:.0} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_written() {
        let check = |text: &str, millis: u64| assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        check("250ms", 250);
        check("10s", 10_000);
        check("1.5m", 90_000);
        check("2h", 7_200_000);
        check("3", 3_000);
        for wrong in ["", "s", "-1s", "1e99", "nan", "ten", "1 week"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_are_shown_in_the_unit_that_fits() {
        let check = |micros: u64, text: &str| assert_eq!(shown(Duration::from_micros(micros)), text);
        check(0, "0 µs");
        check(250, "250 µs");
        check(1_234, "1.2 ms");
        check(250_000, "250 ms");
        check(12_345_678, "12.35 s");
    }
}
