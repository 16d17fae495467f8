//! `dalston-loadtest`: see the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    dalston_loadtest::cli::run()
}
