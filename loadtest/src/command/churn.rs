//! `churn`: clients that come and go in every manner, good and bad, and slots that must all be free afterwards.

use std::{sync::Arc, time::Duration};

use clap::Args;
use tokio::time::{Instant, sleep};

use crate::{
    crowd::crowd,
    descriptors, duration,
    fault::Fault,
    latency::Moment,
    report::{Report, Value},
    schedule::{Arrivals, Pace},
    server::Observer,
    session::{Part, Session},
    signal::{RATE, quantised, speech},
    stage::Stage,
    tally::Tally,
    track::Track,
};

/// Opens sessions at a set rate: most speak and end well, the others vanish, leave in the middle of a word, or read late.
#[derive(Debug, Clone, Args)]
pub struct Churn {
    /// Connections opened in a second.
    #[arg(long, default_value_t = 100.0, value_parser = super::positive)]
    rate: f64,
    /// How long connections are opened.
    #[arg(long, default_value = "30s", value_parser = duration::parse)]
    lasting: Duration,
    /// Audio that each sends.
    #[arg(long, default_value = "3s", value_parser = duration::parse)]
    speech: Duration,
    /// Of a hundred clients, those that vanish without a word.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u8).range(0..=100))]
    vanishing: u8,
    /// Of a hundred clients, those that close without `end`.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=100))]
    leaving: u8,
    /// Of a hundred clients, those that read nothing until they have sent all.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=100))]
    reading_late: u8,
    /// How long the server may take afterwards until no slot is used.
    #[arg(long, default_value = "15s", value_parser = duration::parse)]
    settle: Duration,
    /// Fails when the 99th percentile of connect → session.begin is above this many milliseconds.
    #[arg(long, value_name = "MS")]
    max_begin_ms: Option<f64>,
}

/// How a client behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Polite,
    Vanishing,
    Leaving,
    ReadingLate,
}

impl Churn {
    /// Of a hundred clients in a row the manners come mixed, and the same in every run: 37 has no factor in common with 100.
    fn manner(&self, number: usize) -> Manner {
        let place = number * 37 % 100;
        let vanishing = usize::from(self.vanishing);
        let leaving = vanishing + usize::from(self.leaving);
        let reading_late = leaving + usize::from(self.reading_late);
        match place {
            _ if place < vanishing => Manner::Vanishing,
            _ if place < leaving => Manner::Leaving,
            _ if place < reading_late => Manner::ReadingLate,
            _ => Manner::Polite,
        }
    }

    /// Runs it.
    ///
    /// # Errors
    /// When this machine cannot hold so many connections, or the server does not say what is used.
    pub async fn run(&self, stage: Arc<Stage>) -> anyhow::Result<Report> {
        let sessions = (self.rate * self.lasting.as_secs_f64()).ceil() as usize;
        let at_once = self.rate * (self.speech.as_secs_f64() + stage.session.patience.as_secs_f64());
        descriptors::need(sessions.min(at_once.ceil() as usize))?;
        let mut samples = quantised(&speech(self.speech.as_secs_f32(), 1).wave);
        samples.truncate((self.speech.as_secs_f64() * f64::from(RATE)) as usize);
        let track = Arc::new(Track::new(&samples, RATE, Duration::from_millis(100))?);
        let client = Arc::new(stage.target.client(stage.session.config(RATE)));

        let before = stage.memory().await;
        // Who reads late is owed all that others are, but in no time; what rude clients get to hear is held against nobody.
        let [tally, late, rude] = std::array::from_fn(|_| Arc::new(Tally::default()));
        let observer = Observer::start("churn", self.lasting + self.speech, Arc::clone(&tally), stage.tree);
        let start = Instant::now() + Duration::from_millis(100);
        let arrivals = Arrivals { start, sessions, ramp: self.lasting, jitter: Duration::ZERO };
        let outcomes = crowd(arrivals, |number, due| {
            let manner = self.manner(number);
            let track = Arc::clone(&track);
            let (part, tally) = match manner {
                Manner::Polite => (Part::Speak(track), &tally),
                Manner::ReadingLate => (Part::ReadLate(track), &late),
                Manner::Vanishing => (Part::Vanish(track), &rude),
                Manner::Leaving => (Part::Leave(track), &rude),
            };
            let session = Session {
                client: Arc::clone(&client),
                number,
                pace: Pace { start: due, frame: Duration::from_millis(100), speed: 1.0 },
                part,
                endpointing: stage.session.endpointing(),
                patience: stage.session.patience,
                expected: None,
                keep: false,
                tally: Arc::clone(tally),
            };
            async move { (manner, session.run().await.close) }
        });
        let outcomes = outcomes.await;
        let series = observer.stop();
        let (used, settled) = self.until_free(&stage).await?;
        let after = stage.settled(before, self.settle).await;

        let about = format!("{sessions} sessions at {} a second, {:?} of audio each", self.rate, self.speech);
        let mut report = Report::new("churn", about);
        report.series = series;
        for (key, label, manner) in [
            ("polite", "ended well", Manner::Polite),
            ("reading_late", "read late", Manner::ReadingLate),
            ("vanishing", "vanished", Manner::Vanishing),
            ("leaving", "left", Manner::Leaving),
        ] {
            let of_it = outcomes.iter().filter(|(other, _)| *other == manner).count();
            report.figure(key, format!("clients that {label}"), Value::Count(of_it as u64));
        }
        report.figure("settled_seconds", "until no slot was used", Value::Number(settled.as_secs_f64(), "s"));
        if let (Some(before), Some(after)) = (before, after) {
            report.figure("server_memory_before_bytes", "server memory before", Value::Bytes(before.bytes));
            report.figure("server_memory_after_bytes", "… after", Value::Bytes(after.bytes));
            let leaked = after.leaked_since(&before);
            report.check("the server closed every descriptor", leaked == 0, || format!("{leaked} more than before"));
        }
        report.latencies(&tally, &[Moment::Begin, Moment::BeyondEndpointing, Moment::End, Moment::Wake]);
        super::generator_note(&mut report, &tally);
        report.faults(&tally, &Fault::ALL);
        for (who, tally, kinds) in [("read late", &late, &Fault::ALL[..]), ("are rude", &rude, &[Fault::Opening][..])] {
            let faults: u64 = kinds.iter().map(|kind| tally.faults(*kind).count).sum();
            report.check(format!("those who {who} get what they are owed"), faults == 0, || {
                let first = kinds.iter().find_map(|kind| tally.faults(*kind).examples.pop());
                format!("{faults} faults, such as {}", first.unwrap_or_default())
            });
        }
        report.check("no slot is used afterwards", used == 0, || format!("{used} are, after {:?}", self.settle));
        super::limit(&mut report, "connect → session.begin", &tally, Moment::Begin, self.max_begin_ms);
        Ok(report)
    }

    /// Slots that are used still, and how long it took until there were none.
    async fn until_free(&self, stage: &Stage) -> anyhow::Result<(u64, Duration)> {
        let began = Instant::now();
        loop {
            let used = stage.target.used_slots().await?;
            if used == 0 || began.elapsed() >= self.settle {
                return Ok((used, began.elapsed()));
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}
