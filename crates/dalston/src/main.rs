//! The one binary.

use std::{io, process::ExitCode};

use clap::Parser;
use dalston::{cli::Cli, run, run_host_if_asked};

fn main() -> ExitCode {
    if let Some(code) = run_host_if_asked() {
        return code;
    }
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whoever read our output has seen enough, as `head` does.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let is_one = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    };
    error.chain().any(is_one)
}
