//! How workers come and go.

use super::*;
use crate::Health;

/// It may have lost nothing but its way to the registry: its gateways know.
pub async fn a_silent_worker_gets_no_sessions_and_keeps_those_it_has(subject: Subject) {
    let id = subject.add(4).await;
    let (lease, _) = subject.reserve_with(|request| request.ttl *= 100).await.expect("there is room");
    subject.pass(subject.times.worker_ttl * 5 / 4).await;
    let status = subject.status(&id).await.expect("a lost worker is remembered for a while");
    assert_eq!((status.health, status.used, status.free()), (Health::Lost, 1, 0));
    assert!(matches!(subject.reserve().await, Err(ReserveError::NoCapacity { .. })));
    subject.release(&lease).await;
    assert_eq!(subject.used(&id).await, 0, "its gateway found out that it is dead");
}

/// Nothing of it was sold meanwhile, and what was not renewed has ended.
pub async fn a_late_heartbeat_revives_the_worker_with_its_leases(subject: Subject) {
    let id = subject.add(2).await;
    let (held, _) = subject.reserve().await.expect("there is room");
    subject.reserve().await.expect("there is room");
    for _ in 0..3 {
        subject.pass(subject.times.worker_ttl * 2 / 5).await;
        subject.renew(&[&held]).await;
    }
    assert_eq!(subject.heartbeat(&id).await, Heartbeat::Counted);
    let status = subject.status(&id).await.expect("it is known");
    assert_eq!((status.health, status.used), (Health::Ready, 1));
    subject.reserve().await.expect("one slot is free");
    assert!(matches!(subject.reserve().await, Err(ReserveError::NoCapacity { .. })));
}

/// Its gateways went on saying that its sessions live, while nobody here knew of what worker they spoke.
pub async fn a_worker_that_comes_back_after_it_was_forgotten_has_its_leases_again(subject: Subject) {
    let record = worker(2, vec![engine("echo", "echo-en", &["en"])]);
    let id = record.worker_id.clone();
    subject.registry.register(record.clone()).await.expect("the registry answers");
    let (lease, _) = subject.reserve().await.expect("there is room");
    let mut waited = Duration::ZERO;
    while waited < subject.times.forget_after * 2 {
        subject.pass(subject.lease_ttl() / 2).await;
        subject.renew(&[&lease]).await;
        waited += subject.lease_ttl() / 2;
    }
    assert_eq!(subject.status(&id).await, None);
    assert_eq!(subject.heartbeat(&id).await, Heartbeat::Unknown);
    subject.registry.restore(record, vec![lease.id.clone()]).await.expect("the registry answers");
    subject.renew(&[&lease]).await;
    assert_eq!(subject.used(&id).await, 1);
    subject.release(&lease).await;
    assert_eq!(subject.used(&id).await, 0);
}

/// Coming back once is no charm.
pub async fn a_revived_worker_can_be_lost_again(subject: Subject) {
    let id = subject.add(2).await;
    for used in 1..=2 {
        assert_eq!(subject.heartbeat(&id).await, Heartbeat::Counted);
        subject.reserve_with(|request| request.ttl *= 100).await.expect("there is room");
        subject.pass(subject.times.worker_ttl * 5 / 4).await;
        let status = subject.status(&id).await.expect("it is remembered");
        assert_eq!((status.health, status.used), (Health::Lost, used));
    }
}

/// For a while its model exists, but has no capacity. In the end the worker must register again.
pub async fn a_lost_worker_is_remembered_and_then_forgotten(subject: Subject) {
    let id = subject.add(1).await;
    let other = worker(1, vec![engine("stein", "stein-de", &["de"])]);
    let alive = other.worker_id.clone();
    subject.registry.register(other).await.expect("the registry answers");
    let step = subject.times.worker_ttl / 2;
    let wait = async |time: Duration| {
        for _ in 0..time.div_duration_f64(step).ceil() as u32 {
            subject.pass(step).await;
            assert_eq!(subject.heartbeat(&alive).await, Heartbeat::Counted);
        }
    };
    wait(subject.times.worker_ttl * 3 / 2).await;
    let result = subject.want("en", Some("echo")).await;
    assert!(matches!(result, Err(ReserveError::NoCapacity { .. })), "{result:?}");
    wait(subject.times.forget_after).await;
    let result = subject.want("en", Some("echo")).await;
    assert!(matches!(result, Err(ReserveError::NoSuchModel { .. })), "{result:?}");
    assert_eq!(subject.status(&id).await, None);
    assert_eq!(subject.heartbeat(&id).await, Heartbeat::Unknown);
}

/// Until it registers again.
pub async fn a_draining_worker_keeps_its_sessions_and_gets_no_more(subject: Subject) {
    let id = subject.add(4).await;
    let (lease, _) = subject.reserve().await.expect("there is room");
    subject.registry.drain(&id).await.expect("the registry answers");
    assert_eq!(subject.reserve().await, Err(ReserveError::Draining));
    subject.renew(&[&lease]).await;
    assert_eq!(subject.heartbeat(&id).await, Heartbeat::Counted);
    let status = subject.status(&id).await.expect("it is known");
    assert_eq!((status.health, status.used, status.free()), (Health::Draining, 1, 0));

    let other = subject.add(1).await;
    assert_eq!(subject.reserve().await.expect("another has room").1.worker_id, other);
    let full = subject.reserve().await;
    assert!(matches!(full, Err(ReserveError::NoCapacity { .. })), "the other one will have room again: {full:?}");
}

/// Suspicion is about new sessions only.
pub async fn a_suspect_is_out_at_once_and_keeps_its_sessions(subject: Subject) {
    let id = subject.add(4).await;
    let (lease, _) = subject.reserve().await.expect("there is room");
    let cool_down = subject.times.worker_ttl * 10;
    subject.suspect(&id, cool_down).await;
    let result = subject.reserve().await;
    let about = cool_down - subject.times.worker_ttl..=cool_down;
    assert!(
        matches!(result, Err(ReserveError::NoCapacity { retry_after }) if about.contains(&retry_after)),
        "it is said when the suspect may be back: {result:?}"
    );
    subject.renew(&[&lease]).await;
    assert_eq!(subject.used(&id).await, 1);
    assert_eq!(subject.status(&id).await.map(|status| status.health), Some(Health::Suspect));
}

/// Neither a heartbeat before nor the time alone brings it back.
pub async fn a_suspect_is_back_with_its_first_heartbeat_after_the_cool_down(subject: Subject) {
    let id = subject.add(1).await;
    let cool_down = subject.times.worker_ttl / 2;
    let health = async || subject.status(&id).await.expect("it is known").health;
    subject.suspect(&id, cool_down).await;
    assert_eq!(subject.heartbeat(&id).await, Heartbeat::Counted);
    assert_eq!(health().await, Health::Suspect, "a heartbeat within the cool-down");
    subject.pass(cool_down * 5 / 4).await;
    assert_eq!(health().await, Health::Suspect, "the cool-down without a heartbeat");
    assert_eq!(subject.heartbeat(&id).await, Heartbeat::Counted);
    assert_eq!(health().await, Health::Ready);
    subject.reserve().await.expect("it gets sessions again");
}

/// Whoever suspects it for longer has the say.
pub async fn a_second_suspicion_never_shortens_the_first(subject: Subject) {
    let id = subject.add(1).await;
    subject.suspect(&id, subject.times.worker_ttl * 10).await;
    subject.suspect(&id, Duration::ZERO).await;
    assert_eq!(subject.heartbeat(&id).await, Heartbeat::Counted);
    assert_eq!(subject.status(&id).await.map(|status| status.health), Some(Health::Suspect));
}

/// It leaves nothing behind, and may be done twice.
pub async fn deregistering_ends_the_leases(subject: Subject) {
    let (id, other) = (subject.add(1).await, subject.add(1).await);
    let (first, _) = subject.reserve().await.expect("there is room");
    let (second, _) = subject.reserve().await.expect("there is room");
    for _ in 0..2 {
        subject.registry.deregister(&id).await.expect("the registry answers");
    }
    assert_eq!(subject.status(&id).await, None);
    subject.renew(&[&first, &second]).await;
    assert_eq!(subject.status(&id).await, None, "a renewal brings no worker back");
    assert_eq!(subject.used(&other).await, 1);
    assert_eq!(subject.heartbeat(&id).await, Heartbeat::Unknown);
}

/// The record is replaced, draining and suspicion end, sessions go on. A capacity below what is in use fills up by itself.
pub async fn registering_again_keeps_the_leases(subject: Subject) {
    let mut record = worker(3, vec![engine("echo", "echo-en", &["en"])]);
    let id = record.worker_id.clone();
    subject.registry.register(record.clone()).await.expect("the registry answers");
    let mut leases = Vec::new();
    for _ in 0..2 {
        leases.push(subject.reserve().await.expect("there is room").0);
    }
    subject.registry.drain(&id).await.expect("the registry answers");
    subject.suspect(&id, subject.times.worker_ttl).await;
    record.capacity = 1;
    subject.registry.register(record).await.expect("the registry answers");
    let status = subject.status(&id).await.expect("it is known");
    assert_eq!((status.health, status.capacity, status.used, status.free()), (Health::Ready, 1, 2, 0));
    subject.renew(&leases.iter().collect::<Vec<_>>()).await;
    assert_eq!(subject.used(&id).await, 2, "what is taken stays taken");
    assert!(matches!(subject.reserve().await, Err(ReserveError::NoCapacity { .. })));
}

/// Whoever held them goes on renewing them, and no slot is sold twice meanwhile.
pub async fn a_worker_that_was_forgotten_brings_its_leases_back(subject: Subject) {
    let record = worker(2, vec![engine("echo", "echo-en", &["en"])]);
    let id = record.worker_id.clone();
    subject.registry.register(record.clone()).await.expect("the registry answers");
    let (lease, _) = subject.reserve().await.expect("there is room");
    subject.registry.deregister(&id).await.expect("the registry answers");
    for _ in 0..2 {
        subject.registry.restore(record.clone(), vec![lease.id.clone()]).await.expect("the registry answers");
        assert_eq!(subject.used(&id).await, 1, "however often it says so");
    }
    subject.renew(&[&lease]).await;
    subject.reserve().await.expect("one slot is free");
    assert!(matches!(subject.reserve().await, Err(ReserveError::NoCapacity { .. })));
    subject.release(&lease).await;
    assert_eq!(subject.used(&id).await, 1);
}

/// Its gateway died with the registry.
pub async fn what_a_worker_brings_back_ends_when_nobody_renews_it(subject: Subject) {
    let record = worker(1, vec![engine("echo", "echo-en", &["en"])]);
    let id = record.worker_id.clone();
    subject.registry.restore(record, vec![LeaseId::generate()]).await.expect("the registry answers");
    for _ in 0..5 {
        assert_eq!(subject.used(&id).await, 1);
        assert_eq!(subject.heartbeat(&id).await, Heartbeat::Counted);
        subject.pass(subject.times.worker_ttl * 2 / 5).await;
    }
    subject.pass(subject.times.worker_ttl / 5).await;
    assert_eq!(subject.heartbeat(&id).await, Heartbeat::Counted);
    assert_eq!(subject.used(&id).await, 0);
}
