//! The process itself, read from `/proc` when somebody asks. What cannot be read is left out.

use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// What `/proc/self` says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ProcessStatus {
    pub(super) resident_bytes: u64,
    pub(super) threads: u64,
    pub(super) cpu: Duration,
    pub(super) open_fds: u64,
}

impl ProcessStatus {
    pub(super) fn read() -> Option<Self> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        Some(Self {
            resident_bytes: status_field(&status, "VmRSS:")? * 1024,
            threads: status_field(&status, "Threads:")?,
            cpu: cpu_time(&stat)?,
            // The directory being read is one of them.
            open_fds: (std::fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1),
        })
    }
}

fn status_field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Fields 14 and 15 of `stat`, in ticks of 10 ms (USER_HZ is 100 on every Linux that Rust runs on). The command in field 2 may hold
/// spaces and brackets, so counting begins after its last one.
fn cpu_time(stat: &str) -> Option<Duration> {
    let after_command = &stat[stat.rfind(')')? + 1..];
    let mut fields = after_command.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 10))
}

/// Writes a [`ProcessStatus`] on each scrape.
#[derive(Debug)]
pub(super) struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let Some(process) = ProcessStatus::read() else { return Ok(()) };
        let cpu = ConstCounter::new(process.cpu.as_secs_f64());
        let help = "User and system time.";
        cpu.encode(encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), cpu.metric_type())?)?;
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: u64| {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
        };
        gauge("process_resident_memory", "Resident memory.", Some(&Unit::Bytes), process.resident_bytes)?;
        gauge("process_threads", "Threads.", None, process.threads)?;
        gauge("process_open_fds", "Open file descriptors.", None, process.open_fds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 9 0 1 2 3";
        assert_eq!(cpu_time(stat), Some(Duration::from_secs(3)));
    }

    #[test]
    fn this_process_has_memory_a_thread_and_descriptors() {
        let process = ProcessStatus::read().unwrap();
        assert!(process.resident_bytes > 100_000 && process.threads >= 1 && process.open_fds >= 3);
    }
}
