//! Jobs as text for people.

use std::fmt::Write;

use dalston_client::DeadList;
use dalston_protocol::job::{Job, JobCreated, JobList, Stage};

use crate::transcribe::stages;

pub(super) fn list(list: &JobList) -> String {
    let mut text = String::new();
    for job in &list.items {
        let length = job.audio_duration.map_or_else(String::new, duration);
        let name = job.name.as_deref().unwrap_or_default();
        line(
            &mut text,
            format_args!("{}  {:<10} {:<24} {length:>9}  {name}", job.id, job.status.as_str(), job.created_at),
        );
    }
    ending(&mut text, list.next_cursor.as_deref(), list.items.is_empty(), "no jobs");
    text
}

pub(super) fn job(job: &Job) -> String {
    let mut text = String::new();
    let mut entry = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            line(&mut text, format_args!("{name:<10} {value}"));
        }
    };
    entry("job", Some(job.id.as_str()));
    entry("name", job.name.as_deref());
    entry("status", Some(job.status.as_str()));
    entry("audio", job.audio_duration.map(duration).as_deref());
    entry("created", Some(&job.created_at));
    entry("started", job.started_at.as_deref());
    entry("ended", job.completed_at.as_deref());
    entry("expires", job.expires_at.as_deref());
    entry("request", Some(job.request_id.as_str()));
    entry("trace", job.trace_id.as_deref());
    for stage in &job.stages {
        line(&mut text, format_args!("  {}", stage_line(stage)));
    }
    if let Some(error) = &job.error {
        line(&mut text, format_args!("error      {} ({})", error.message, error.code));
    }
    if let Some(transcript) = &job.transcript {
        for warning in &transcript.warnings {
            line(&mut text, format_args!("warning    {warning}"));
        }
        line(&mut text, format_args!("\n{}", transcript.text));
    }
    text
}

pub(super) fn progress(job: &Job) -> String {
    let error = job.error.as_ref().map_or_else(String::new, |error| format!(": {} ({})", error.message, error.code));
    let doing = if job.status.is_terminal() { String::new() } else { stages(job) };
    format!("{:>3.0}%  {:<10} {doing}{error}\n", job.progress * 100.0, job.status.as_str())
}

pub(super) fn standing(job: &JobCreated) -> String {
    format!("{}  {}\n", job.id, job.status)
}

pub(super) fn dead(dead: &DeadList) -> String {
    let mut text = String::new();
    for item in &dead.items {
        let (name, stage) = (item.name.as_deref().unwrap_or_default(), &item.task.stage.stage);
        let why = item.task.error.as_ref().map_or_else(String::new, |e| format!("{} ({})", e.message, e.code));
        line(&mut text, format_args!("{}  {stage:<12} {name}: {why}", item.job_id));
    }
    ending(&mut text, dead.next_cursor.as_deref(), dead.items.is_empty(), "nothing failed for good");
    text
}

/// What stands below a page.
fn ending(text: &mut String, next_cursor: Option<&str>, is_empty: bool, nothing: &str) {
    match next_cursor {
        Some(cursor) => line(text, format_args!("more with --cursor {cursor}")),
        None if is_empty => line(text, format_args!("{nothing}")),
        None => {}
    }
}

fn stage_line(stage: &Stage) -> String {
    let channel = stage.channel.map_or_else(String::new, |channel| format!(" {channel}"));
    let name = format!("{}{channel}", stage.stage);
    let seconds = |time: Option<f64>| time.map_or_else(|| "-".to_owned(), |time| format!("{time:.3} s"));
    let (wait, took) = (seconds(stage.wait_seconds), seconds(stage.duration_seconds));
    format!("{name:<14} {:<16} {:<10} waited {wait:>10}  took {took:>10}", stage.engine_id, stage.status.as_str())
}

/// `1:02:03` or `2:03`
fn duration(seconds: f64) -> String {
    let all = seconds.round() as u64;
    match (all / 3600, all / 60 % 60, all % 60) {
        (0, minutes, seconds) => format!("{minutes}:{seconds:02}"),
        (hours, minutes, seconds) => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{arguments}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_like_a_clock() {
        assert_eq!(duration(3.4), "0:03");
        assert_eq!(duration(63.0), "1:03");
        assert_eq!(duration(3_723.0), "1:02:03");
    }
}
