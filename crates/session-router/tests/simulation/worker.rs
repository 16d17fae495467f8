//! A worker: says back to each session what it hears of it, and takes as many as it has slots.

use std::{sync::Arc, time::Duration};

use dalston_protocol::{Close, SessionId, WorkerId, realtime::ServerMessage};
use dalston_session_router::{
    Address, Held, Membership, WorkerRecord,
    conformance::engine,
    link::{
        ClusterSecret, FromWorker, Incoming, Refusal, ServerSettings, SessionOffer, ToWorker, WorkerChannel,
        WorkerServer,
    },
};
use parking_lot::Mutex;
use tokio::{sync::Notify, task::JoinSet, time::sleep};

use crate::{
    Mode, Sabotage,
    history::{Claim, History},
    plan::SLOTS,
    registry::FarRegistry,
};

const PORT: u16 = 7_000;
/// As the binary has it.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Between two attempts to register.
const PAUSE: Duration = Duration::from_millis(500);

pub fn secret() -> ClusterSecret {
    ClusterSecret::new("the-secret-of-the-simulation").unwrap()
}

/// What the worker at `host` registers as.
pub fn record(worker_id: WorkerId, host: &str) -> WorkerRecord {
    let address = Address::Url(format!("ws://{host}:{PORT}"));
    WorkerRecord { worker_id, address, capacity: SLOTS, engines: vec![engine("echo", "echo-en", &["en"])] }
}

/// The host, from its start to the end of its draining.
pub async fn run(host: String, drain: Arc<Notify>, history: Arc<History>, mode: Mode) -> turmoil::Result {
    let life = Arc::new(Life { id: WorkerId::generate(), history, mode, last: Mutex::default() });
    let bind = ([0, 0, 0, 0], PORT).into();
    let record = record(life.id.clone(), &host);
    let settings =
        ServerSettings { advertise: Some(format!("ws://{host}:{PORT}")), ..ServerSettings::new(bind, secret(), SLOTS) };
    let (server, mut port) = WorkerServer::listen(settings)?;
    life.history.begins(&life.id, host);
    let registry = Arc::new(FarRegistry::new(mode));
    let membership = loop {
        match Membership::join(registry.clone(), record.clone(), HEARTBEAT).await {
            Ok(membership) => break membership,
            Err(_) => sleep(PAUSE).await,
        }
    };

    let mut sessions = JoinSet::new();
    let mut draining = false;
    while !draining || !sessions.is_empty() {
        tokio::select! {
            () = drain.notified(), if !draining => {
                draining = true;
                life.history.drains(&life.id);
                // Unheard, it is told again by the first gateway that is refused.
                let _ = membership.drain().await;
            }
            Some(incoming) = port.next() => {
                let refusal = if draining { Some(Refusal::Draining) }
                    else if sessions.len() >= SLOTS { Some(Refusal::Full) } else { None };
                match refusal {
                    Some(refusal) => {
                        life.history.refuses(&life.id, &refusal);
                        incoming.refuse(refusal);
                    }
                    None => life.take(incoming, &membership, &mut sessions),
                }
            }
            Some(ended) = sessions.join_next() => ended?,
        }
    }
    // Unheard, its heartbeats are missed.
    let _ = membership.leave().await;
    server.close(Duration::from_secs(1)).await;
    Ok(())
}

/// One life of a worker.
struct Life {
    id: WorkerId,
    history: Arc<History>,
    mode: Mode,
    /// The session that was taken last.
    last: Mutex<Option<SessionId>>,
}

impl Drop for Life {
    fn drop(&mut self) {
        self.history.is_gone(&self.id);
    }
}

impl Life {
    fn take(self: &Arc<Self>, incoming: Incoming, membership: &Membership, sessions: &mut JoinSet<()>) {
        let Some((offer, channel)) = incoming.accept() else { return };
        *self.last.lock() = Some(offer.session_id.clone());
        self.history.takes(&self.id, &offer.session_id);
        let held = membership.hold(offer.lease.clone());
        sessions.spawn(serve(Taken { life: self.clone(), offer, _held: held }, channel));
    }
}

/// A session that a worker has.
struct Taken {
    life: Arc<Life>,
    offer: SessionOffer,
    _held: Held,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.life.history.leaves(&self.life.id, &self.offer.session_id);
    }
}

impl Taken {
    fn reply(&self, heard: &str) -> FromWorker {
        let session = self.offer.session_id.as_str();
        if !heard.starts_with(session) {
            self.life.history.breaks(Claim::SessionsHearTheirOwn, format!("{session} was given {heard}"));
        }
        let last = self.life.last.lock().clone().filter(|_| self.life.mode.is_broken(Sabotage::Crosstalk));
        let said = last.map_or_else(|| heard.to_owned(), |last| heard.replace(session, last.as_str()));
        FromWorker::Event(Box::new(ServerMessage::Flushed { id: Some(said) }))
    }
}

async fn serve(taken: Taken, mut channel: WorkerChannel) {
    let close = loop {
        match channel.from_client.recv().await {
            Some(ToWorker::Audio(audio)) => {
                let reply = taken.reply(&String::from_utf8_lossy(&audio));
                if channel.to_client.send(reply).await.is_err() {
                    return;
                }
            }
            Some(ToWorker::Close(close)) => break *close,
            Some(ToWorker::Message(_)) => {}
            Some(ToWorker::Gone(_)) | None => break Close::normal(),
        }
    };
    channel.close(close).await;
}
