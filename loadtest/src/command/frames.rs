//! `frames`: how many frames a second the server takes, as a share of what a WebSocket server with nothing behind it takes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use bytes::Bytes;
use clap::Args;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::{
    baseline::{Baseline, Kind, Running},
    descriptors, duration,
    flood::{Flood, Taken},
    report::{Report, Value},
    server::ProcessTree,
    signal::{RATE, quantised, speech},
    stage::Stage,
};

/// Floods the server, with voice activity detection off, and four bare WebSocket servers with the same frames, in turn.
#[derive(Debug, Clone, Args)]
pub struct Frames {
    /// Sessions at once.
    #[arg(long, default_value_t = 16)]
    sessions: usize,
    /// How long each is flooded, each time.
    #[arg(long, default_value = "3s", value_parser = duration::parse)]
    lasting: Duration,
    /// How often each has its turn; the median counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=99))]
    rounds: u8,
    /// Audio in one frame.
    #[arg(long, default_value_t = 100, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    frame_ms: u64,
    /// Fails when the server takes less than this share of the faster echo server's frames, as in 0.6.
    #[arg(long, value_name = "SHARE")]
    min_share: Option<f64>,
}

/// The name under which the server stands beside the baselines.
const SERVER: &str = "the server";

/// One turn of one server.
#[derive(Debug, Clone, Copy)]
struct Turn {
    frames_per_second: f64,
    /// Microseconds of CPU for each frame, where its process can be seen.
    cpu_us: Option<f64>,
}

impl Frames {
    /// Runs it.
    ///
    /// # Errors
    /// When a session breaks or loses a frame, or a baseline does not start.
    pub async fn run(&self, stage: Arc<Stage>) -> anyhow::Result<Report> {
        descriptors::need(self.sessions)?;
        let mut turns: BTreeMap<&'static str, Vec<Turn>> = BTreeMap::new();
        let bar = indicatif::ProgressBar::new((u64::from(self.rounds)) * (Baseline::ALL.len() as u64 + 1));
        for _ in 0..self.rounds {
            for baseline in Baseline::ALL {
                bar.set_message(baseline.name());
                turns.entry(baseline.name()).or_default().push(self.baseline(baseline).await?);
                bar.inc(1);
            }
            turns.entry(SERVER).or_default().push(self.server(&stage).await?);
            bar.inc(1);
        }
        bar.finish_and_clear();
        let median: BTreeMap<&str, Turn> = turns.iter().map(|(name, turns)| (*name, median(turns))).collect();

        let about = format!(
            "{} sessions send frames of {} ms as fast as they are taken, {} times {:?}",
            self.sessions, self.frame_ms, self.rounds, self.lasting
        );
        let mut report = Report::new("frames", about);
        let ours = median[SERVER];
        let best = |kind: Kind| {
            let of_kind = Baseline::ALL.into_iter().filter(|baseline| baseline.kind == kind);
            of_kind.map(|baseline| median[baseline.name()].frames_per_second).fold(0.0, f64::max)
        };
        let names = Baseline::ALL.map(Baseline::name).into_iter().chain([SERVER]);
        let rows = names.map(|name| {
            let Turn { frames_per_second, cpu_us } = median[name];
            let cpu = cpu_us.map_or(Value::Text("?".into()), |cpu| Value::Number(cpu, ""));
            vec![Value::Text(name.into()), Value::Number(frames_per_second, ""), cpu]
        });
        let heads = vec!["server", "frames_per_second", "cpu_us_per_frame"];
        report.figure("servers", "server", Value::Rows(heads, rows.collect()));
        report.figure("frames_per_second", "frames a second", Value::Number(ours.frames_per_second, ""));
        let share = ours.frames_per_second / best(Kind::Echo);
        report.figure("share_of_echo", "share of the faster echo server", Value::Share(share));
        let of_sink = ours.frames_per_second / best(Kind::Sink);
        report.figure("share_of_sink", "share of the faster sink server", Value::Share(of_sink));
        report.check("every frame that was sent was heard", true, String::new);
        if let Some(least) = self.min_share {
            let claim = format!("the server takes at least {:.0} % of an echo server's frames", least * 100.0);
            report.check(claim, share >= least, || format!("it is {:.1} %", share * 100.0));
        }
        Ok(report)
    }

    async fn baseline(&self, baseline: Baseline) -> anyhow::Result<Turn> {
        let running = Running::start(baseline).await.with_context(|| format!("the {}", baseline.name()))?;
        let request = format!("ws://{}/", running.authority).into_client_request()?;
        let flood = self.flood(running.authority.clone(), request, Duration::from_secs(30))?;
        let turn = turn(&flood, Some(running.tree)).await.with_context(|| format!("the {}", baseline.name()))?;
        running.stop().await?;
        Ok(turn)
    }

    async fn server(&self, stage: &Stage) -> anyhow::Result<Turn> {
        let request = stage.flood_request()?;
        let flood = self.flood(stage.target.endpoint().authority(), request, stage.session.patience)?;
        turn(&flood, stage.tree).await
    }

    fn flood(&self, authority: String, request: http::Request<()>, patience: Duration) -> anyhow::Result<Flood> {
        let samples = quantised(&speech(2.0, 1).wave);
        // From inside the first phrase.
        let length = (self.frame_ms * u64::from(RATE) / 1_000) as usize;
        let frame: Bytes =
            samples[8_000..].iter().take(length).flat_map(|sample| sample.to_le_bytes()).collect::<Vec<u8>>().into();
        ensure!(frame.len() == 2 * length, "a frame of {} ms is too long", self.frame_ms);
        Ok(Flood { authority, request, frame, sessions: self.sessions, lasting: self.lasting, patience })
    }
}

async fn turn(flood: &Flood, tree: Option<ProcessTree>) -> anyhow::Result<Turn> {
    let cpu = || tree.and_then(|tree| tree.usage().ok()).map(|usage| usage.cpu);
    let before = cpu();
    let Taken { frames, took } = flood.run().await?;
    let used = before.zip(cpu()).map(|(before, after)| after.saturating_sub(before));
    Ok(Turn {
        frames_per_second: frames as f64 / took.as_secs_f64(),
        cpu_us: used.map(|used| used.as_secs_f64() * 1e6 / frames.max(1) as f64),
    })
}

/// The turn in the middle by frames a second.
fn median(turns: &[Turn]) -> Turn {
    let mut turns = turns.to_vec();
    turns.sort_by(|a, b| a.frames_per_second.total_cmp(&b.frames_per_second));
    turns[turns.len() / 2]
}
