//! How slots are taken and given back.

use futures_util::FutureExt;

use super::*;

/// The next wish finds it.
pub async fn a_released_slot_is_free_at_once(subject: Subject) {
    let id = subject.add(1).await;
    let (lease, _) = subject.reserve().await.expect("there is room");
    let full = subject.reserve().await;
    assert!(matches!(full, Err(ReserveError::NoCapacity { retry_after }) if !retry_after.is_zero()), "{full:?}");
    subject.release(&lease).await;
    assert_eq!(subject.used(&id).await, 0);
    subject.reserve().await.expect("the slot is free again");
}

/// Nobody else's slot is freed by it.
pub async fn releasing_twice_or_nothing_is_harmless(subject: Subject) {
    let id = subject.add(3).await;
    let (first, _) = subject.reserve().await.expect("there is room");
    subject.reserve().await.expect("there is room");
    subject.release(&first).await;
    subject.release(&first).await;
    subject.release(&LeaseId::generate()).await;
    assert_eq!(subject.used(&id).await, 1);
}

/// Asking twice under one name does not take two slots, so that asking again after a lost answer is safe.
pub async fn a_lease_has_one_slot(subject: Subject) {
    let (one, two) = (subject.add(2).await, subject.add(2).await);
    let lease = LeaseId::generate();
    for _ in 0..3 {
        subject.reserve_with(|request| request.lease = lease.clone()).await.expect("there is room");
    }
    assert_eq!(subject.used(&one).await + subject.used(&two).await, 1);
    subject.release(&lease).await;
    assert_eq!(subject.used(&one).await + subject.used(&two).await, 0);
}

/// Whoever held it has died.
pub async fn a_lease_that_is_not_renewed_expires(subject: Subject) {
    let id = subject.add(1).await;
    let (lease, _) = subject.reserve().await.expect("there is room");
    subject.pass(subject.lease_ttl() / 2).await;
    assert_eq!(subject.used(&id).await, 1);
    subject.pass(subject.lease_ttl()).await;
    assert_eq!(subject.used(&id).await, 0);
    assert_eq!(subject.renew(std::slice::from_ref(&lease)).await, [lease], "it does not come back");
    assert_eq!(subject.used(&id).await, 0);
}

/// As long as somebody renews it.
pub async fn a_renewed_lease_lives_on(subject: Subject) {
    let id = subject.add(1).await;
    let (lease, _) = subject.reserve().await.expect("there is room");
    for _ in 0..8 {
        subject.pass(subject.lease_ttl() / 2).await;
        assert_eq!(subject.heartbeat(&id).await, Heartbeat::Counted);
        assert_eq!(subject.renew(std::slice::from_ref(&lease)).await, []);
    }
    assert_eq!(subject.used(&id).await, 1);
}

/// In one batch, those and no others; and the others are renewed.
pub async fn renewing_tells_which_leases_are_lost(subject: Subject) {
    let id = subject.add(4).await;
    let mut leases = Vec::new();
    for _ in 0..3 {
        leases.push(subject.reserve().await.expect("there is room").0);
    }
    subject.release(&leases[1]).await;
    leases.push(LeaseId::generate());
    subject.pass(subject.lease_ttl() / 2).await;
    assert_eq!(subject.renew(&leases).await, [leases[1].clone(), leases[3].clone()]);
    subject.pass(subject.lease_ttl() * 3 / 4).await;
    assert_eq!(subject.used(&id).await, 2);
}

/// The future is dropped after its first poll, before the caller learns anything; the name is enough to clean up.
pub async fn an_abandoned_wish_can_be_released_by_its_name(subject: Subject) {
    let id = subject.add(1).await;
    let lease = LeaseId::generate();
    let _ = subject.reserve_with(|request| request.lease = lease.clone()).now_or_never();
    subject.release(&lease).await;
    assert_eq!(subject.used(&id).await, 0);
    subject.reserve().await.expect("the slot is free");
}
