//! `dalston doctor`: whether everything that a server needs is there, and what to do if not.

mod checks;

use std::{
    io::{self, Write, stdout},
    process::ExitCode,
};

use anyhow::Result;
use serde::Serialize;

use crate::{
    cli::{DoctorArgs, Output},
    config,
};

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// As it should be.
    Ok,
    /// The server runs, and something of it suffers.
    Warning,
    /// The server does not start.
    Problem,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    status: Status,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, status: Status::Ok, found: found.into(), fix: None }
    }

    fn warning(check: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, status: Status::Warning, found: found.into(), fix: Some(fix.into()) }
    }

    fn problem(check: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, status: Status::Problem, found: found.into(), fix: Some(fix.into()) }
    }
}

/// Checks the server that these flags would start, and changes nothing. Fails when it would not start.
pub fn run(args: &DoctorArgs) -> Result<ExitCode> {
    let file = args.server.config.as_deref();
    let flags = args.server.flags();
    let configured = config::load(file, config::environment(), &flags).map(drop);
    // What can be read is checked even if the whole would be refused.
    let (settings, layers, _) = config::read(file, config::environment(), &flags);
    let mut findings = vec![checks::configuration(configured)];
    findings.extend(checks::engines(&settings));
    findings.extend([
        checks::address(&settings),
        checks::data_dir(&settings),
        checks::open_files(&settings),
        checks::memory(&settings),
        checks::collector(&settings, &layers.text("telemetry.endpoint")),
    ]);
    match args.output {
        Output::Text => print_text(&findings)?,
        Output::Json => writeln!(stdout().lock(), "{}", serde_json::to_string(&findings)?)?,
    }
    let is_fit = findings.iter().all(|finding| finding.status != Status::Problem);
    Ok(if is_fit { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_text(findings: &[Finding]) -> io::Result<()> {
    let mut out = stdout().lock();
    for Finding { check, status, found, fix } in findings {
        let mark = match status {
            Status::Ok => "ok",
            Status::Warning => "warning",
            Status::Problem => "PROBLEM",
        };
        writeln!(out, "{mark:<8} {check:<14} {found}")?;
        if let Some(fix) = fix {
            writeln!(out, "{:<23} fix: {fix}", "")?;
        }
    }
    Ok(())
}
