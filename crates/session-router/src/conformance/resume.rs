//! What every [`ResumeStore`] must hold to.

use std::{sync::Arc, time::Duration};

use dalston_protocol::SessionId;
use futures_util::future::{BoxFuture, join_all};

use crate::{Claim, Epoch, Look, MOST_FINALS_BYTES, ResumeStore, Save, Saved, SecretHash, Taken, Whole};

/// An empty store and a way to let time pass for it.
pub struct Subject {
    /// Empty at the start.
    pub store: Arc<dyn ResumeStore>,
    /// How long things are kept in these tests.
    pub ttl: Duration,
    /// Resolves when the time has passed for the store.
    pub pass: Box<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>,
}

/// One test per claim. Takes the test attribute, and a path to an `async fn() -> Subject`.
#[macro_export]
macro_rules! resume_conformance {
    ($test:meta, $subject:path) => {
        $crate::resume_conformance! { @each $test, $subject:
            what_was_saved_is_taken
            who_was_taken_over_is_told_so_and_writes_nothing
            of_two_epochs_with_the_same_number_only_the_one_that_is_written_down_counts
            of_many_that_take_it_at_once_the_last_one_has_it
            a_look_changes_nothing
            a_wrong_secret_a_strange_tenant_and_no_session_are_answered_alike
            what_is_not_saved_again_expires
            a_save_without_a_change_keeps_it_and_its_state
            finals_that_do_not_follow_are_not_written
            what_is_over_cannot_be_taken_and_its_last_owner_is_told
            one_that_was_taken_over_can_forget_nothing
            the_oldest_finals_go_when_there_are_too_many
        }
    };
    (@each $test:meta, $subject:path: $($claim:ident)*) => {
        $(
            #[$test]
            async fn $claim() {
                $crate::conformance::resume::$claim($subject().await).await;
            }
        )*
    };
}

const SECRET: SecretHash = SecretHash([7; 32]);
const FIRST: Epoch = Epoch { number: 1, holder: u64::MAX };

/// The first save of a session, with no finals.
pub fn first(session: &SessionId, ttl: Duration) -> Save {
    let whole = Whole { secret: SECRET, tenant: "tenant".into(), begun: "begun".into() };
    Save { whole: Some(whole), state: Some("state 0".into()), ..next(session, 0, &[], ttl) }
}

/// A save of its first owner's, after so many finals.
pub fn next(session: &SessionId, after: u64, finals: &[&str], ttl: Duration) -> Save {
    let finals = finals.iter().map(|&said| said.to_owned()).collect();
    Save { session: session.clone(), epoch: FIRST, after, whole: None, state: None, finals, ttl }
}

/// What its client shows.
pub fn claim(session: &SessionId) -> Claim {
    Claim { session: session.clone(), secret: SECRET, tenant: "tenant".into() }
}

impl Subject {
    async fn begun(&self) -> SessionId {
        let session = SessionId::generate();
        assert_eq!(self.save(first(&session, self.ttl)).await, Saved::Kept);
        session
    }

    async fn save(&self, save: Save) -> Saved {
        self.store.save(save).await.expect("the store answers")
    }

    async fn take(&self, claim: &Claim) -> Option<Taken> {
        self.store.take(claim, self.ttl).await.expect("the store answers")
    }

    async fn forget(&self, session: &SessionId, epoch: Epoch) {
        self.store.forget(session, epoch, self.ttl).await.expect("the store answers");
    }
}

/// Whatever was appended in how many steps.
pub async fn what_was_saved_is_taken(subject: Subject) {
    let session = subject.begun().await;
    assert_eq!(subject.save(next(&session, 0, &["a", "b"], subject.ttl)).await, Saved::Kept);
    let save = Save { state: Some("state 1".into()), ..next(&session, 2, &["c"], subject.ttl) };
    assert_eq!(subject.save(save).await, Saved::Kept);
    let taken = subject.take(&claim(&session)).await.expect("it is there");
    let expected = Taken {
        epoch: Epoch { number: 2, ..taken.epoch },
        begun: "begun".into(),
        state: "state 1".into(),
        dropped: 0,
        finals: ["a", "b", "c"].map(String::from).into(),
    };
    assert_eq!(taken, expected);
}

/// Nor does it when it says everything anew.
pub async fn who_was_taken_over_is_told_so_and_writes_nothing(subject: Subject) {
    let session = subject.begun().await;
    let taken = subject.take(&claim(&session)).await.expect("it is there");
    assert_eq!(subject.save(next(&session, 0, &["late"], subject.ttl)).await, Saved::TakenOver);
    assert_eq!(subject.save(first(&session, subject.ttl)).await, Saved::TakenOver, "not even whole");
    let save = Save { epoch: taken.epoch, ..next(&session, 0, &["mine"], subject.ttl) };
    assert_eq!(subject.save(save).await, Saved::Kept);
    assert_eq!(subject.take(&claim(&session)).await.expect("it is there").finals, ["mine"]);
}

/// A store that lost its newest writes gives a number twice, and so does one that forgot everything.
pub async fn of_two_epochs_with_the_same_number_only_the_one_that_is_written_down_counts(subject: Subject) {
    let taken_again = subject.begun().await;
    let by_taking = subject.take(&claim(&taken_again)).await.expect("it is there").epoch;
    let (said_anew, by_saving) = (SessionId::generate(), Epoch { number: 2, ..FIRST });
    assert_eq!(subject.save(Save { epoch: by_saving, ..first(&said_anew, subject.ttl) }).await, Saved::Kept);
    for (session, epoch) in [(taken_again, by_taking), (said_anew, by_saving)] {
        let lost = Epoch { holder: epoch.holder ^ 1, ..epoch };
        for save in [next(&session, 0, &["lost"], subject.ttl), first(&session, subject.ttl)] {
            assert_eq!(subject.save(Save { epoch: lost, ..save }).await, Saved::TakenOver);
        }
        subject.forget(&session, lost).await;
        assert_eq!(subject.save(Save { epoch, ..next(&session, 0, &["mine"], subject.ttl) }).await, Saved::Kept);
        assert_eq!(subject.take(&claim(&session)).await.expect("it is there").finals, ["mine"]);
    }
}

/// The others find out with their next save.
pub async fn of_many_that_take_it_at_once_the_last_one_has_it(subject: Subject) {
    let session = subject.begun().await;
    let claim = claim(&session);
    let mut epochs: Vec<Epoch> = join_all((0..8).map(|_| subject.take(&claim)))
        .await
        .into_iter()
        .map(|taken| taken.expect("it is there").epoch)
        .collect();
    epochs.sort_unstable_by_key(|epoch| epoch.number);
    assert!(epochs.iter().map(|epoch| epoch.number).eq(2..10), "{epochs:?}");
    for epoch in epochs {
        let expected = if epoch.number == 9 { Saved::Kept } else { Saved::TakenOver };
        assert_eq!(subject.save(Save { epoch, ..next(&session, 0, &[], subject.ttl) }).await, expected);
    }
}

/// Whoever has the session still has it, and for no longer.
pub async fn a_look_changes_nothing(subject: Subject) {
    let session = subject.begun().await;
    let look = async |claim: &Claim| subject.store.look(claim).await.expect("the store answers");
    let expected = Look { begun: "begun".into(), state: "state 0".into() };
    assert_eq!(look(&claim(&session)).await, Some(expected.clone()));
    assert_eq!(look(&Claim { tenant: "other".into(), ..claim(&session) }).await, None);
    assert_eq!(look(&Claim { secret: SecretHash([8; 32]), ..claim(&session) }).await, None);
    let save = Save { state: Some("state 1".into()), ..next(&session, 0, &["a"], subject.ttl) };
    assert_eq!(subject.save(save).await, Saved::Kept, "nobody took it");
    (subject.pass)(subject.ttl / 2).await;
    assert_eq!(look(&claim(&session)).await, Some(Look { state: "state 1".into(), ..expected }));
    (subject.pass)(subject.ttl * 7 / 10).await;
    assert_eq!(look(&claim(&session)).await, None);
    let session = subject.begun().await;
    subject.forget(&session, FIRST).await;
    assert_eq!(look(&claim(&session)).await, None);
}

/// And whoever has the session keeps it.
pub async fn a_wrong_secret_a_strange_tenant_and_no_session_are_answered_alike(subject: Subject) {
    let session = subject.begun().await;
    let right = claim(&session);
    let mut secret = SECRET;
    secret.0[31] ^= 1;
    assert_eq!(subject.take(&Claim { secret, ..right.clone() }).await, None);
    assert_eq!(subject.take(&Claim { tenant: "other".into(), ..right.clone() }).await, None);
    assert_eq!(subject.take(&claim(&SessionId::generate())).await, None);
    assert_eq!(subject.take(&right).await.expect("it is there").epoch.number, 2, "none of them has it");
}

/// Whoever had it says everything anew, if it still can.
pub async fn what_is_not_saved_again_expires(subject: Subject) {
    let session = subject.begun().await;
    for _ in 0..3 {
        (subject.pass)(subject.ttl / 2).await;
        assert_eq!(subject.save(next(&session, 0, &[], subject.ttl)).await, Saved::Kept);
    }
    (subject.pass)(subject.ttl + subject.ttl / 5).await;
    assert_eq!(subject.take(&claim(&session)).await, None);
    assert_eq!(subject.save(next(&session, 0, &[], subject.ttl)).await, Saved::Forgotten);
    assert_eq!(subject.save(first(&session, subject.ttl)).await, Saved::Kept);
}

/// It only says that the session goes on.
pub async fn a_save_without_a_change_keeps_it_and_its_state(subject: Subject) {
    let session = subject.begun().await;
    assert_eq!(subject.save(next(&session, 0, &["a"], subject.ttl)).await, Saved::Kept);
    assert_eq!(subject.save(next(&session, 1, &[], subject.ttl)).await, Saved::Kept);
    let taken = subject.take(&claim(&session)).await.expect("it is there");
    assert_eq!((taken.state.as_str(), taken.finals), ("state 0", vec!["a".to_owned()]));
}

/// Neither a second time nor with a gap before them.
pub async fn finals_that_do_not_follow_are_not_written(subject: Subject) {
    let session = subject.begun().await;
    assert_eq!(subject.save(next(&session, 0, &["a"], subject.ttl)).await, Saved::Kept);
    for after in [0, 2] {
        assert_eq!(subject.save(next(&session, after, &["x"], subject.ttl)).await, Saved::Forgotten, "{after}");
    }
    assert_eq!(subject.take(&claim(&session)).await.expect("it is there").finals, ["a"]);
}

/// So a gateway that stood still meanwhile does not bring it back to life.
pub async fn what_is_over_cannot_be_taken_and_its_last_owner_is_told(subject: Subject) {
    let session = subject.begun().await;
    let taken = subject.take(&claim(&session)).await.expect("it is there");
    subject.forget(&session, taken.epoch).await;
    assert_eq!(subject.take(&claim(&session)).await, None);
    assert_eq!(subject.save(next(&session, 0, &[], subject.ttl)).await, Saved::TakenOver);
    assert_eq!(subject.save(first(&session, subject.ttl)).await, Saved::TakenOver, "it does not come back to life");
    subject.forget(&session, taken.epoch).await;
}

/// It is another's by then.
pub async fn one_that_was_taken_over_can_forget_nothing(subject: Subject) {
    let session = subject.begun().await;
    assert_eq!(subject.take(&claim(&session)).await.map(|taken| taken.epoch.number), Some(2));
    subject.forget(&session, FIRST).await;
    assert_eq!(subject.take(&claim(&session)).await.map(|taken| taken.epoch.number), Some(3));
}

/// They are counted, so that nobody takes what is left for all.
pub async fn the_oldest_finals_go_when_there_are_too_many(subject: Subject) {
    let session = subject.begun().await;
    let said = |n: u64| format!("{n} {}", "x".repeat(MOST_FINALS_BYTES / 8));
    for n in 0..20 {
        assert_eq!(subject.save(next(&session, n, &[&said(n)], subject.ttl)).await, Saved::Kept);
    }
    let taken = subject.take(&claim(&session)).await.expect("it is there");
    assert_eq!((taken.dropped, taken.finals.len()), (13, 7));
    assert!(taken.finals[6].starts_with("19 "), "the newest is kept");
    let epoch = taken.epoch;
    let whole = Save { epoch, after: taken.dropped, finals: taken.finals, ..first(&session, subject.ttl) };
    assert_eq!(subject.save(whole).await, Saved::Kept, "and all that is left can be said again");
    assert_eq!(subject.save(Save { epoch, ..next(&session, 20, &["y"], subject.ttl) }).await, Saved::Kept);
}
