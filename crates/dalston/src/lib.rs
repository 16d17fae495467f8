//! Dalston: a speech-to-text server you can see into.
//!
//! This crate is the command line: what can be typed ([`cli`]), what a server is told ([`config`]), and the putting together of
//! a server out of its parts. The parts themselves are the other crates.

#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
mod doctor;
mod health;
mod http;
mod jobs;
mod keys;
mod models;
mod refusal;
mod serve;
mod stream;
mod terminal;
mod trace;
mod transcribe;
mod webhooks;

use std::{
    io::{Write, stdout},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::CommandFactory;

pub use refusal::told;
pub use serve::engine::run_host_if_asked;

use crate::cli::{Cli, Command};

/// Does what was asked for.
///
/// # Errors
/// With a message for the user.
pub fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Serve(args) => {
            transcribe::end_with_parent_if_asked()?;
            return serve::run(&args);
        }
        Command::Stream(args) => return client_runtime()?.block_on(stream::run(&args)),
        Command::Transcribe(args) => return client_runtime()?.block_on(transcribe::run(&args)),
        Command::Jobs(command) => return client_runtime()?.block_on(jobs::run(&command)),
        Command::Keys(command) => client_runtime()?.block_on(keys::run(&command))?,
        Command::Webhooks(command) => client_runtime()?.block_on(webhooks::run(&command))?,
        Command::Models(command) => return client_runtime()?.block_on(models::run(&command)),
        Command::Trace(args) => client_runtime()?.block_on(trace::run(&args.target, &args.subject, args.output))?,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "dalston", &mut script);
            stdout().lock().write_all(&script)?;
        }
        Command::Doctor(args) => return doctor::run(&args),
        Command::Health(args) => return client_runtime()?.block_on(health::run(&args)),
    }
    Ok(ExitCode::SUCCESS)
}

/// One session needs one thread.
fn client_runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start a runtime")
}
