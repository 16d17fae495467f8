//! The store of one process: a map behind a lock.

use std::{collections::HashMap, sync::Arc, time::Duration};

use dalston_protocol::SessionId;
use futures_util::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Claim, Epoch, KeptFinals, Look, ResumeStore, Save, Saved, SecretHash, Taken, Whole};
use crate::Unavailable;

/// Sessions at once, those that ended a moment ago among them. Beyond it the next ones cannot be resumed.
const MOST: usize = 20_000;
/// How often what has expired is removed, at most.
const SWEEP: Duration = Duration::from_secs(5);

/// Sessions of this process, which end with it.
#[derive(Debug)]
pub struct InProcessResumeStore {
    // Not an async lock: no await happens under it.
    state: Mutex<State>,
    most: usize,
}

#[derive(Debug)]
struct State {
    sessions: HashMap<SessionId, Kept>,
    swept: Instant,
}

#[derive(Debug)]
struct Kept {
    epoch: Epoch,
    until: Instant,
    /// `None` once it is over: then it only tells that it was taken.
    session: Option<Box<Session>>,
}

#[derive(Debug)]
struct Session {
    secret: SecretHash,
    tenant: Arc<str>,
    begun: String,
    state: String,
    finals: KeptFinals,
}

impl Default for InProcessResumeStore {
    fn default() -> Self {
        Self::with_room_for(MOST)
    }
}

impl InProcessResumeStore {
    /// For so many sessions at once.
    pub fn with_room_for(most: usize) -> Self {
        Self { state: Mutex::new(State { sessions: HashMap::new(), swept: Instant::now() }), most }
    }

    fn save_now(&self, save: Save) -> Saved {
        let Save { session: id, epoch, after, whole, state, finals, ttl } = save;
        let now = Instant::now();
        let mut kept = self.state.lock();
        kept.sweep(now);
        let held = kept.sessions.get_mut(&id).filter(|held| held.until > now);
        let session = match (held, whole) {
            (Some(held), _) if epoch.has_lost_to(held.epoch) || held.session.is_none() => return Saved::TakenOver,
            (_, Some(whole)) => {
                if kept.sessions.len() >= self.most && !kept.sessions.contains_key(&id) {
                    return Saved::Full;
                }
                let fresh = Kept { epoch, until: now + ttl, session: Some(Box::new(Session::new(whole, after))) };
                kept.sessions.entry(id).insert_entry(fresh).into_mut()
            }
            (Some(held), None) if held.epoch == epoch && held.finals_so_far() == Some(after) => held,
            (_, None) => return Saved::Forgotten,
        };
        session.until = now + ttl;
        if let Some(session) = &mut session.session {
            session.state = state.unwrap_or_else(|| std::mem::take(&mut session.state));
            finals.into_iter().for_each(|said| session.finals.push(said));
        }
        Saved::Kept
    }

    fn take_now(&self, claim: &Claim, ttl: Duration) -> Option<Taken> {
        let now = Instant::now();
        let mut kept = self.state.lock();
        let held = kept.sessions.get_mut(&claim.session)?;
        let session = held.claimed(claim, now)?;
        let taken = Taken {
            epoch: Epoch::with_number(held.epoch.number + 1),
            begun: session.begun.clone(),
            state: session.state.clone(),
            dropped: session.finals.dropped(),
            finals: session.finals.skip(0),
        };
        (held.epoch, held.until) = (taken.epoch, now + ttl);
        Some(taken)
    }

    fn look_now(&self, claim: &Claim) -> Option<Look> {
        let kept = self.state.lock();
        let Session { begun, state, .. } = kept.sessions.get(&claim.session)?.claimed(claim, Instant::now())?;
        Some(Look { begun: begun.clone(), state: state.clone() })
    }

    fn forget_now(&self, session: &SessionId, epoch: Epoch, ttl: Duration) {
        let mut kept = self.state.lock();
        if let Some(held) = kept.sessions.get_mut(session).filter(|held| !epoch.has_lost_to(held.epoch)) {
            (held.session, held.until) = (None, Instant::now() + ttl);
        }
    }
}

impl State {
    fn sweep(&mut self, now: Instant) {
        if now.saturating_duration_since(self.swept) >= SWEEP {
            self.sessions.retain(|_, held| held.until > now);
            self.swept = now;
        }
    }
}

impl Kept {
    /// The session, for who may have it.
    fn claimed(&self, claim: &Claim, now: Instant) -> Option<&Session> {
        let session = self.session.as_deref().filter(|_| self.until > now)?;
        (session.secret == claim.secret && session.tenant == claim.tenant).then_some(session)
    }

    fn finals_so_far(&self) -> Option<u64> {
        self.session.as_ref().map(|session| session.finals.count())
    }
}

impl Session {
    fn new(whole: Whole, dropped: u64) -> Self {
        let Whole { secret, tenant, begun } = whole;
        Self { secret, tenant, begun, state: String::new(), finals: KeptFinals::after(dropped) }
    }
}

impl ResumeStore for InProcessResumeStore {
    fn outlives_process(&self) -> bool {
        false
    }

    fn save(&self, save: Save) -> BoxFuture<'_, Result<Saved, Unavailable>> {
        async move { Ok(self.save_now(save)) }.boxed()
    }

    fn look<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<Option<Look>, Unavailable>> {
        async move { Ok(self.look_now(claim)) }.boxed()
    }

    fn take<'a>(&'a self, claim: &'a Claim, ttl: Duration) -> BoxFuture<'a, Result<Option<Taken>, Unavailable>> {
        async move { Ok(self.take_now(claim, ttl)) }.boxed()
    }

    fn forget<'a>(
        &'a self,
        session: &'a SessionId,
        epoch: Epoch,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), Unavailable>> {
        async move {
            self.forget_now(session, epoch, ttl);
            Ok(())
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::resume::{Subject, first};

    async fn subject() -> Subject {
        let pass = Box::new(|time| tokio::time::advance(time).boxed());
        Subject { store: Arc::new(InProcessResumeStore::default()), ttl: Duration::from_secs(30), pass }
    }

    crate::resume_conformance!(tokio::test(start_paused = true), subject);

    #[tokio::test(start_paused = true)]
    async fn one_too_many_is_refused_until_others_have_expired() {
        let store = InProcessResumeStore::with_room_for(2);
        let ttl = Duration::from_secs(30);
        for expected in [Saved::Kept, Saved::Kept, Saved::Full] {
            assert_eq!(store.save(first(&SessionId::generate(), ttl)).await, Ok(expected));
        }
        tokio::time::advance(ttl).await;
        assert_eq!(store.save(first(&SessionId::generate(), ttl)).await, Ok(Saved::Kept));
        assert_eq!(store.state.lock().sessions.len(), 1, "nothing is left of those that have expired");
    }
}
