//! The load itself: many sessions that stream the same track on their schedules, with the server watched.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use crate::{
    crowd::crowd,
    schedule::{Arrivals, Pace},
    server::{Memory, Observer, ProcessTree, Sample, Usage},
    session::{Part, Session},
    stage::Stage,
    tally::Tally,
    track::Track,
    witness::Said,
};

/// What is to be streamed.
#[derive(Debug, Clone)]
pub struct Load {
    /// Sessions at once.
    pub sessions: usize,
    /// What each of them says.
    pub track: Arc<Track>,
    /// Times faster than life.
    pub speed: f64,
    /// From the first session's beginning to the last's.
    pub ramp: Duration,
    /// The finals that each must have.
    pub expected: Option<Arc<[Said]>>,
}

/// What came of it.
#[derive(Debug)]
pub struct Streamed {
    /// What the sessions add up to.
    pub tally: Arc<Tally>,
    /// How it went over time.
    pub series: Vec<Sample>,
    /// What was measured while every session spoke.
    pub plateau: Option<Plateau>,
    /// Audio sent by all of them, seconds.
    pub audio: f64,
}

/// The time in which every session spoke.
#[derive(Debug, Clone, Copy)]
pub struct Plateau {
    /// How long it was.
    pub lasted: Duration,
    /// CPU that the server used.
    pub server_cpu: Duration,
    /// CPU that this generator used.
    pub generator_cpu: Duration,
    /// What the server held at its end.
    pub memory: Memory,
    /// What it used at its end.
    pub usage: Usage,
}

impl Load {
    /// Before the first session, so that all is set up when it is due.
    const LEAD: Duration = Duration::from_millis(200);
    /// After the last arrival, until things have settled.
    const SETTLE: Duration = Duration::from_secs(1);
    /// A plateau that is shorter says nothing.
    const SHORTEST_PLATEAU: Duration = Duration::from_secs(2);

    /// Streams it.
    pub async fn stream(&self, stage: &Stage, title: &str) -> Streamed {
        let tally = Arc::new(Tally::default());
        let client = Arc::new(stage.target.client(stage.session.config(self.track.sample_rate)));
        let lasts = Duration::from_secs_f64(self.track.seconds / self.speed);
        let start = Instant::now() + Self::LEAD;
        let arrivals = Arrivals { start, sessions: self.sessions, ramp: self.ramp, jitter: self.track.frame };
        let observer = Observer::start(title, self.ramp + lasts, Arc::clone(&tally), stage.tree);

        let sessions = crowd(arrivals, |number, due| {
            let session = Session {
                client: Arc::clone(&client),
                number,
                part: Part::Speak(Arc::clone(&self.track)),
                pace: Pace { start: due, frame: self.track.frame, speed: self.speed },
                endpointing: stage.session.endpointing(),
                patience: stage.session.patience,
                expected: self.expected.clone(),
                keep: false,
                tally: Arc::clone(&tally),
            };
            session.run()
        });
        let last_arrival = arrivals.due(self.sessions.saturating_sub(1));
        let (outcomes, plateau) = tokio::join!(sessions, plateau(stage, last_arrival + Self::SETTLE, start + lasts));
        let audio = outcomes.iter().map(|outcome| outcome.sent).sum();
        Streamed { tally, series: observer.stop(), plateau, audio }
    }

    /// The finals of one session alone, sent as fast as the server takes it: what each session of the load must have. Adds its
    /// faults to `tally`.
    pub async fn reference(&self, stage: &Stage, tally: &Arc<Tally>) -> Arc<[Said]> {
        let session = Session {
            client: Arc::new(stage.target.client(stage.session.config(self.track.sample_rate))),
            number: 0,
            part: Part::Speak(Arc::clone(&self.track)),
            pace: Pace { start: Instant::now(), frame: self.track.frame, speed: f64::INFINITY },
            endpointing: stage.session.endpointing(),
            patience: stage.session.patience,
            expected: None,
            keep: true,
            tally: Arc::clone(tally),
        };
        session.run().await.said.into()
    }
}

/// Measures from `begin` to `end`.
async fn plateau(stage: &Stage, begin: Instant, end: Instant) -> Option<Plateau> {
    if end < begin + Load::SHORTEST_PLATEAU {
        return None;
    }
    let own_cpu = || ProcessTree::of(std::process::id()).and_then(|own| own.own_cpu()).unwrap_or_default();
    sleep_until(begin).await;
    let (before, own_before) = (stage.usage().await?, own_cpu());
    sleep_until(end).await;
    let (usage, own_after) = (stage.usage().await?, own_cpu());
    Some(Plateau {
        lasted: usage.at.saturating_duration_since(before.at),
        server_cpu: usage.cpu.saturating_sub(before.cpu),
        generator_cpu: own_after.saturating_sub(own_before),
        memory: stage.memory().await?,
        usage,
    })
}
