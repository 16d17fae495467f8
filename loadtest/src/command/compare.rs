//! `compare`: the same run on two servers in turn, so that whatever else the machine does hits both alike.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use clap::{Args, Parser};

use super::median;
use crate::{
    cli::{self, Cli},
    report::{Report, Value},
};

/// Runs another command against two servers in turn and reports ratios.
#[derive(Debug, Clone, Args)]
pub struct Compare {
    /// The first server: an address (`ws://…`), or a command line that starts it.
    #[arg(long)]
    a: String,
    /// The second server.
    #[arg(long)]
    b: String,
    /// How often each has its turn; medians are compared.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=99))]
    rounds: u8,
    /// The command with its options, as in `-- pace --sessions 100`.
    #[arg(last = true, required = true)]
    run: Vec<String>,
}

/// The values of each figure, in the order of their turns, under its label.
type Turns = BTreeMap<String, Vec<f64>>;

impl Compare {
    /// Runs it.
    ///
    /// # Errors
    /// Those of the command, which may be anything but another comparison.
    pub async fn run(&self) -> anyhow::Result<Report> {
        let (a, b) = (self.command(&self.a)?, self.command(&self.b)?);
        let mut report = Report::new("compare", format!("{}, {} times each in turn", self.run.join(" "), self.rounds));
        let mut turns = [Turns::new(), Turns::new()];
        let mut order = Vec::new();
        for round in 1..=self.rounds {
            for ((name, command), turns) in [("A", &a), ("B", &b)].into_iter().zip(&mut turns) {
                // Boxed: a comparison holds a whole run.
                let run = Box::pin(cli::measure(command)).await.with_context(|| format!("{name}, round {round}"))?;
                let broken: Vec<&str> =
                    run.checks.iter().filter(|check| !check.ok).map(|check| check.claim.as_str()).collect();
                let claim = format!("all claims hold for {name} in round {round}");
                report.check(claim, broken.is_empty(), || broken.join("; "));
                for (label, value) in comparable(&run) {
                    if !order.contains(&label) {
                        order.push(label.clone());
                    }
                    turns.entry(label).or_default().push(value);
                }
            }
        }
        let [of_a, of_b] = &turns;
        let rows = order.iter().filter_map(|label| row(label, of_a.get(label)?, of_b.get(label)?)).collect();
        report.figure(
            "figures",
            "figure",
            Value::Rows(vec!["figure", "a", "b", "b_over_a", "a_spread", "b_spread"], rows),
        );
        report.figure("a", "A", Value::Text(self.a.clone()));
        report.figure("b", "B", Value::Text(self.b.clone()));
        Ok(report)
    }

    /// The command line of one turn.
    fn command(&self, server: &str) -> anyhow::Result<Cli> {
        let is_address = ["ws://", "http://"].iter().any(|scheme| server.starts_with(scheme));
        let option = if is_address { "--url" } else { "--server" };
        let line = ["dalston-loadtest"].into_iter().chain(self.run.iter().map(String::as_str)).chain([option, server]);
        let command = Cli::try_parse_from(line).map_err(|error| anyhow::anyhow!("{error}"))?;
        if command.is_comparison() {
            bail!("a comparison cannot be compared");
        }
        Ok(command)
    }
}

/// The figures of a run that are numbers; of latencies the median and the 99th percentile.
fn comparable(run: &Report) -> Vec<(String, f64)> {
    let numbers = |figure: &crate::report::Figure| match &figure.value {
        Value::Count(count) | Value::Bytes(count) => vec![(figure.key.clone(), *count as f64)],
        Value::Number(number, _) | Value::Share(number) => vec![(figure.key.clone(), *number)],
        Value::Latency(summary) => {
            vec![(format!("{} p50", figure.key), summary.p50), (format!("{} p99", figure.key), summary.p99)]
        }
        Value::Text(_) | Value::Rows(..) => Vec::new(),
    };
    run.figures.iter().flat_map(numbers).collect()
}

fn row(label: &str, of_a: &[f64], of_b: &[f64]) -> Option<Vec<Value>> {
    let (a, b) = (median(of_a)?, median(of_b)?);
    let ratio = if a == b { 1.0 } else { b / a };
    let cells = [a, b, ratio].map(|number| Value::Number(number, ""));
    let spreads = [of_a, of_b].map(|values| Value::Text(spread(values)));
    Some([vec![Value::Text(label.into())], cells.to_vec(), spreads.to_vec()].concat())
}

/// How far the turns lie apart, as a share of their median: a ratio within it says nothing.
fn spread(values: &[f64]) -> String {
    let (low, high) =
        values.iter().fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(*value), high.max(*value)));
    match median(values) {
        Some(median) if median > 0.0 => format!("±{:.0} %", 50.0 * (high - low) / median),
        _ => "±0 %".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_compared_and_their_spread_is_told() {
        let row = row("cpu_ms", &[1.0, 9.0, 2.0], &[4.0, 4.0, 4.0]).unwrap();
        let numbers = [2.0, 4.0, 2.0].map(|number| Value::Number(number, ""));
        assert_eq!(row[1..4], numbers);
        assert_eq!(row[4..], [Value::Text("±200 %".into()), Value::Text("±0 %".into())]);
    }

    #[test]
    fn an_address_and_a_command_are_told_apart() {
        let compare = |a: &str, run: &[&str]| {
            let run = run.iter().map(|word| (*word).to_owned()).collect();
            Compare { a: a.into(), b: a.into(), rounds: 1, run }.command(a)
        };
        assert!(compare("ws://127.0.0.1:1", &["pace", "--sessions", "1"]).is_ok());
        assert!(compare("dalston serve", &["idle"]).is_ok());
        assert!(compare("dalston serve", &["nothing"]).is_err());
        let nested = ["compare", "--a", "x", "--b", "y", "--", "idle"];
        assert!(compare("ws://127.0.0.1:1", &nested).is_err());
    }
}
