//! What the terminal can do.

use std::{env, io};

/// Columns when nobody says: wide enough for a waterfall in a log.
const USUAL_WIDTH: usize = 120;

/// Columns of the terminal that standard output is, or else `COLUMNS`, or else a usual width.
pub fn width() -> usize {
    let asked = || env::var("COLUMNS").ok()?.parse().ok().filter(|columns| *columns > 0);
    match terminal_size::terminal_size_of(io::stdout()) {
        Some((terminal_size::Width(columns), _)) if columns > 0 => columns.into(),
        _ => asked().unwrap_or(USUAL_WIDTH),
    }
}

/// Whether colours are wanted where they are possible (<https://no-color.org>).
pub fn wants_colour() -> bool {
    env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && env::var_os("TERM").is_none_or(|term| term != "dumb")
}
