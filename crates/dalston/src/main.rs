//! The one binary.

use std::{io, process::ExitCode};

use clap::{
    Parser,
    error::{ContextKind, ContextValue},
};
use dalston::{cli::Cli, run, run_host_if_asked, told};

fn main() -> ExitCode {
    if let Some(code) = run_host_if_asked() {
        return code;
    }
    let cli = Cli::try_parse().unwrap_or_else(|error| without_secrets(error).exit());
    match run(cli) {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// A value that cannot be read is repeated to the user. What stands before the host of a URL is a password, and standard error
/// is kept in logs.
fn without_secrets(mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue) else { return error };
    if let Some((_, host)) = value.rsplit_once('@') {
        let shown = ContextValue::String(format!("…@{host}"));
        error.insert(ContextKind::InvalidValue, shown);
    }
    error
}

/// Whoever read our output has seen enough, as `head` does.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let is_one = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    };
    error.chain().any(is_one)
}
