//! A gateway: begins sessions as they come, speaks and listens for each, and ends them.

use std::{future::pending, sync::Arc, time::Duration};

use dalston_protocol::{
    RequestId, SessionId,
    realtime::{ServerMessage, SessionConfig},
};
use dalston_session_router::{
    Allocated, Links, RouterSettings, SessionRequest, SessionRouter,
    link::{FromWorker, Liveness, ToWorker},
};
use dalston_telemetry::{Metrics, TraceContext, Tracers};
use tokio::time::{interval, sleep, timeout};

use crate::{
    Mode,
    history::{Claim, End, History},
    plan::Arrival,
    registry::FarRegistry,
    worker::secret,
};

/// How often a client is heard.
const FRAME: Duration = Duration::from_millis(400);

/// The host, for as long as it lives.
pub async fn run(number: usize, arrivals: Vec<Arrival>, history: Arc<History>, mode: Mode) -> turmoil::Result {
    let registry = Arc::new(FarRegistry::new(mode));
    let router = SessionRouter::new(registry, RouterSettings::default(), Tracers::off(), Arc::new(Metrics::new()));
    let links = Links::new().across_machines(secret(), Liveness::default());
    let router = Arc::new(router.with_links(links));
    // Those that come while it is down find nobody.
    for arrival in arrivals.into_iter().filter(|arrival| arrival.at >= now()) {
        sleep(arrival.at - now()).await;
        let session = Session::begin(&history, number, arrival.until);
        tokio::spawn(session.run(router.clone()));
    }
    pending().await
}

fn now() -> Duration {
    turmoil::sim_elapsed().expect("a host runs in the simulation")
}

struct Session {
    id: SessionId,
    until: Duration,
    history: Arc<History>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.history.is_dropped(&self.id);
    }
}

impl Session {
    fn begin(history: &Arc<History>, gateway: usize, until: Duration) -> Self {
        let id = SessionId::generate();
        history.asks(&id, gateway, until);
        Self { id, until, history: history.clone() }
    }

    async fn run(self, router: Arc<SessionRouter>) {
        let request = SessionRequest {
            session_id: self.id.clone(),
            request_id: RequestId::generate(),
            tenant: "simulation".into(),
            config: SessionConfig::default(),
        };
        let allocated = router.allocate(request, &TraceContext::none()).await;
        self.history.is_answered(&self.id, allocated.as_ref().ok().map(|allocated| &allocated.worker_id));
        let end = match allocated {
            Ok(allocated) => self.talk(allocated, &router).await,
            Err(_) => End::NoCapacity,
        };
        self.history.ends(&self.id, end);
    }

    async fn talk(&self, allocated: Allocated, router: &SessionRouter) -> End {
        let Allocated { mut channel, lease, worker_id, .. } = allocated;
        let mut frames = interval(FRAME);
        let mut words = Words::of(self);
        let hang_up = sleep(self.until.saturating_sub(now()));
        tokio::pin!(hang_up);
        let end = loop {
            tokio::select! {
                () = &mut hang_up => {
                    drop(channel.to_worker);
                    // The link finds out whether the worker lives.
                    let most = Liveness::default().dead_after * 2;
                    let last = timeout(most, async {
                        while let Some(said) = channel.from_worker.recv().await {
                            if words.hear(&said) { return End::Over; }
                        }
                        End::WorkerDied
                    });
                    break last.await.unwrap_or_else(|_| {
                        self.history.breaks(Claim::OneEndEach, format!("{} was told of no end", self.id));
                        End::WorkerDied
                    });
                }
                _ = frames.tick() => {
                    // Without room the client would have to wait.
                    if let Ok(room) = channel.to_worker.try_reserve() {
                        room.send(ToWorker::Audio(words.next().into()));
                    }
                }
                said = channel.from_worker.recv() => match said {
                    Some(said) => if words.hear(&said) { break End::Over },
                    None => break End::WorkerDied,
                },
            }
        };
        if end == End::WorkerDied {
            router.worker_died(&worker_id).await;
        }
        lease.release().await;
        end
    }
}

/// What is said and heard in a session: its id and a number, so that nothing can be mistaken, lost or repeated unseen.
struct Words<'a> {
    session: &'a Session,
    said: u64,
    heard: u64,
}

impl<'a> Words<'a> {
    fn of(session: &'a Session) -> Self {
        Self { session, said: 0, heard: 0 }
    }

    fn next(&mut self) -> String {
        self.said += 1;
        format!("{} {}", self.session.id, self.said)
    }

    /// Whether it was the last word.
    fn hear(&mut self, said: &FromWorker) -> bool {
        match said {
            FromWorker::Closed(_) => return true,
            FromWorker::Event(event) => {
                self.heard += 1;
                let expected = format!("{} {}", self.session.id, self.heard);
                if !matches!(&**event, ServerMessage::Flushed { id: Some(id) } if *id == expected) {
                    let why = format!("{event:?} in the place of {expected}");
                    self.session.history.breaks(Claim::SessionsHearTheirOwn, why);
                }
            }
            _ => {}
        }
        false
    }
}
