//! `max`: the most sessions at which all is well.

use std::sync::Arc;

use clap::Args;

use super::pace::{AudioArgs, usual_ramp};
use crate::{
    descriptors,
    latency::Moment,
    load::Load,
    report::{Report, Value},
    stage::Stage,
    tally::Tally,
};

/// Finds the most sessions at once whose finals come within a budget, without any fault: doubles until it fails, then halves the
/// gap. `--seconds` is how long all of them speak together in each try.
#[derive(Debug, Clone, Args)]
pub struct Max {
    #[command(flatten)]
    audio: AudioArgs,
    /// The 99th percentile of end of speech → final, beyond the endpointing time, must not be above this.
    #[arg(long, default_value_t = 50.0, value_name = "MS", value_parser = super::positive)]
    budget_ms: f64,
    /// Sessions to begin with.
    #[arg(long, default_value_t = 100)]
    from: usize,
    /// Sessions that are enough.
    #[arg(long, default_value_t = 8_000)]
    to: usize,
    /// Stops when the gap is at most this share of the answer.
    #[arg(long, default_value_t = 0.05, value_parser = super::positive)]
    precision: f64,
    /// How often a number must fail to count as too many: a machine may have had other things to do. All tries are shown.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=10))]
    attempts: u8,
}

/// One try.
struct Try {
    ok: bool,
    row: Vec<Value>,
    /// One of its faults.
    fault: Option<String>,
}

impl Max {
    /// Runs it.
    ///
    /// # Errors
    /// When there is no audio, or this machine cannot hold so many connections.
    pub async fn run(&self, stage: Arc<Stage>) -> anyhow::Result<Report> {
        descriptors::need(self.to)?;
        let about = format!("p99 of finals within {} ms of the endpointing time, without any fault", self.budget_ms);
        let mut report = Report::new("max", about);
        let mut tries = Vec::new();
        let (mut good, mut bad) = (0, None);
        let mut next = Some(self.from.clamp(1, self.to));
        while let Some(sessions) = next {
            let mut ok = false;
            for _ in 0..self.attempts {
                let tried = self.attempt(&stage, sessions).await?;
                tries.push(tried.row);
                report.notes.extend(tried.fault.map(|fault| format!("with {sessions} sessions: {fault}")));
                ok = tried.ok;
                if ok {
                    break;
                }
            }
            if ok {
                good = sessions;
            } else {
                bad = Some(sessions);
            }
            next = self.next(good, bad);
        }
        let heads = vec![
            "sessions",
            "within_budget",
            "final_p50_ms",
            "final_p99_ms",
            "faults",
            "server_cores",
            "cpu_ms_per_session_second",
            "generator_late_p99_ms",
        ];
        report.figure("tries", "sessions", Value::Rows(heads, tries));
        report.figure("sessions", "maximum effective streams", Value::Count(good as u64));
        if bad.is_none() {
            report.notes.push(format!("all is well up to --to {}: the limit is above it", self.to));
        }
        report.check("there is a number of sessions at which all is well", good > 0, || "not even one".into());
        Ok(report)
    }

    /// What to try next, when `good` sessions went well and `bad` did not; `None` when that is close enough.
    fn next(&self, good: usize, bad: Option<usize>) -> Option<usize> {
        match bad {
            None => (good < self.to).then(|| (good * 2).min(self.to)),
            Some(bad) => {
                let close = (self.precision * bad as f64).max(1.0);
                ((bad - good) as f64 > close).then(|| good + (bad - good) / 2)
            }
        }
    }

    async fn attempt(&self, stage: &Stage, sessions: usize) -> anyhow::Result<Try> {
        let ramp = usual_ramp(sessions);
        let track = self.audio.track_beyond(ramp)?;
        let mut load = Load { sessions, track, speed: self.audio.pace, ramp, expected: None };
        let alone = Arc::new(Tally::default());
        load.expected = Some(load.reference(stage, &alone).await);
        let streamed = load.stream(stage, &format!("max {sessions}")).await;
        let tally = &streamed.tally;
        let millis = |moment, share| tally.latency(moment).quantile(share).as_secs_f64() * 1_000.0;
        let p99 = millis(Moment::BeyondEndpointing, 0.99);
        let faults = alone.fault_count() + tally.fault_count();
        let came = tally.latency(Moment::BeyondEndpointing).count() > 0;
        let ok = came && faults == 0 && p99 <= self.budget_ms;
        let unknown = || Value::Text("?".into());
        let (cores, each) = streamed.plateau.map_or((unknown(), unknown()), |plateau| {
            let cores = plateau.server_cpu.as_secs_f64() / plateau.lasted.as_secs_f64();
            let each = 1_000.0 * cores / (sessions as f64 * load.speed);
            (Value::Number(cores, ""), Value::Number(each, ""))
        });
        let row = vec![
            Value::Count(sessions as u64),
            Value::Text(if ok { "yes" } else { "no" }.into()),
            Value::Number(millis(Moment::BeyondEndpointing, 0.5), ""),
            Value::Number(p99, ""),
            Value::Count(faults),
            cores,
            each,
            Value::Number(millis(Moment::Wake, 0.99), ""),
        ];
        Ok(Try { ok, row, fault: alone.first_fault().or_else(|| tally.first_fault()) })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        max: Max,
    }

    /// The numbers that are tried when up to `limit` sessions go well.
    fn tried(line: &str, limit: usize) -> Vec<usize> {
        let max = Line::parse_from(line.split(' ')).max;
        let (mut good, mut bad, mut tried, mut next) = (0, None, Vec::new(), max.from);
        loop {
            tried.push(next);
            if next <= limit {
                good = next;
            } else {
                bad = Some(next);
            }
            match max.next(good, bad) {
                Some(sessions) => next = sessions,
                None => return tried,
            }
        }
    }

    #[test]
    fn the_limit_is_closed_in_on_from_both_sides() {
        assert_eq!(tried("max --from 100 --precision 0.05", 730), [100, 200, 400, 800, 600, 700, 750, 725]);
        assert_eq!(tried("max --from 100 --precision 0.001", 3), [100, 50, 25, 12, 6, 3, 4]);
        assert_eq!(tried("max --from 100 --to 300", 1_000), [100, 200, 300]);
        assert_eq!(tried("max --from 2", 0), [2, 1]);
    }
}
