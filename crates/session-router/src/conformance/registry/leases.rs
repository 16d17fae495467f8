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
    subject.registry.release(&LeaseId::generate()).await.expect("the registry answers");
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
    subject.registry.release(&lease).await.expect("the registry answers");
    assert_eq!(subject.used(&one).await + subject.used(&two).await, 0);
}

/// Whoever held it has died.
pub async fn a_lease_that_is_not_renewed_expires(subject: Subject) {
    let id = subject.add(1).await;
    subject.reserve().await.expect("there is room");
    subject.pass(subject.lease_ttl() / 2).await;
    assert_eq!(subject.used(&id).await, 1);
    subject.pass(subject.lease_ttl()).await;
    assert_eq!(subject.used(&id).await, 0);
    subject.reserve().await.expect("the slot is free again");
}

/// As long as somebody renews it.
pub async fn a_renewed_lease_lives_on(subject: Subject) {
    let id = subject.add(1).await;
    let (lease, _) = subject.reserve().await.expect("there is room");
    for _ in 0..8 {
        subject.pass(subject.lease_ttl() / 2).await;
        assert_eq!(subject.heartbeat(&id).await, Heartbeat::Counted);
        subject.renew(&[&lease]).await;
    }
    assert_eq!(subject.used(&id).await, 1);
}

/// Its holder could not renew it in time, and its session lives.
pub async fn a_lease_that_is_gone_is_taken_again_while_there_is_room(subject: Subject) {
    let id = subject.add(2).await;
    let (lease, _) = subject.reserve().await.expect("there is room");
    subject.pass(subject.lease_ttl() * 3 / 2).await;
    assert_eq!(subject.used(&id).await, 0);
    for _ in 0..2 {
        subject.renew(&[&lease]).await;
        assert_eq!(subject.used(&id).await, 1, "however often it says so");
    }
    subject.pass(subject.lease_ttl() / 2).await;
    assert_eq!(subject.used(&id).await, 1, "it lives as long as any");
    subject.release(&lease).await;
    assert_eq!(subject.used(&id).await, 0);
}

/// Nothing is sold twice here; that there is no free slot at the worker either, the other one will find out there.
pub async fn a_lease_whose_slot_was_sold_meanwhile_waits_until_there_is_room(subject: Subject) {
    let id = subject.add(1).await;
    let (first, _) = subject.reserve().await.expect("there is room");
    subject.pass(subject.lease_ttl() * 3 / 2).await;
    let (second, _) = subject.reserve().await.expect("nobody has said that it is taken");
    subject.renew(&[&first, &second]).await;
    assert_eq!(subject.used(&id).await, 1);
    subject.release(&second).await;
    subject.renew(&[&first]).await;
    assert!(matches!(subject.reserve().await, Err(ReserveError::NoCapacity { .. })), "it is the first one's again");
    subject.release(&first).await;
    assert_eq!(subject.used(&id).await, 0);
}

/// The future is dropped after its first poll, before the caller learns anything; the name is enough to clean up.
pub async fn an_abandoned_wish_can_be_released_by_its_name(subject: Subject) {
    let id = subject.add(1).await;
    let lease = LeaseId::generate();
    let _ = subject.reserve_with(|request| request.lease = lease.clone()).now_or_never();
    subject.registry.release(&lease).await.expect("the registry answers");
    assert_eq!(subject.used(&id).await, 0);
    subject.reserve().await.expect("the slot is free");
}
