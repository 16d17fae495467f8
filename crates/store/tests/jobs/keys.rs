//! Who may use the server.

use std::time::{Duration, SystemTime};

use dalston_protocol::key::{KeyLimits, Scope};
use dalston_store::{KeyHash, NewKeyRecord};

use crate::{
    fixture::{Fixture, TENANT},
    of_both_databases,
};

of_both_databases!(
    a_key_is_kept_as_it_was_made_and_seen_by_other_processes,
    the_version_changes_with_the_keys_and_with_nothing_else,
    keys_made_and_taken_back_at_once_are_all_counted,
    a_key_that_was_taken_back_stays_so,
    uses_are_noted_and_never_put_back,
    open_jobs_of_a_tenant_are_counted_up_to_what_is_asked_for,
);

fn key(id: &str) -> NewKeyRecord {
    NewKeyRecord {
        id: id.into(),
        hash: KeyHash::new("aGFzaA".into()),
        made_with: "0123456789abcdef".into(),
        name: "a laptop".into(),
        scopes: vec![Scope::Realtime, Scope::Admin],
        tenant: TENANT.into(),
        limits: KeyLimits { max_jobs: Some(3), ..KeyLimits::default() },
        lasts: Some(Duration::from_secs(3600)),
    }
}

async fn a_key_is_kept_as_it_was_made_and_seen_by_other_processes(fixture: Fixture) {
    let keys = fixture.store.keys();
    let made = keys.add(key("a1")).await.unwrap().unwrap();
    let wanted = key("a1");
    assert_eq!((&made.hash, &made.scopes, made.limits), (&wanted.hash, &wanted.scopes, wanted.limits));
    assert_eq!(made.expires_at.unwrap().duration_since(made.created_at).unwrap(), Duration::from_secs(3600));
    assert!(made.last_used_at.is_none() && made.revoked_at.is_none());
    assert!(!format!("{made:?} {wanted:?}").contains("aGFzaA"), "the hash prints");

    let other = fixture.other_process().await;
    assert_eq!(other.keys().usable().await.unwrap(), (1, vec![made.clone()]));
    assert_eq!(other.keys().list().await.unwrap(), [made]);
    other.close().await;
    assert!(keys.add(key("a1")).await.is_err(), "an id stands twice");
}

async fn the_version_changes_with_the_keys_and_with_nothing_else(fixture: Fixture) {
    let keys = fixture.store.keys();
    let version = async || keys.version().await.unwrap();
    assert_eq!(version().await, 0, "no key was ever made");
    keys.add(key("a1")).await.unwrap().unwrap();
    assert_eq!(version().await, 1);
    keys.used(&[("a1".into(), SystemTime::now())]).await.unwrap();
    keys.list().await.unwrap();
    assert!(!keys.revoke("none").await.unwrap());
    assert_eq!(version().await, 1);
    assert!(keys.revoke("a1").await.unwrap());
    assert!(!keys.revoke("a1").await.unwrap());
    assert_eq!(version().await, 2);
}

async fn keys_made_and_taken_back_at_once_are_all_counted(fixture: Fixture) {
    const KEYS: i64 = 10;
    let making: Vec<_> = (0..KEYS)
        .map(|n| {
            let keys = fixture.store.keys();
            tokio::spawn(async move {
                keys.add(key(&format!("a{n}"))).await.unwrap().unwrap();
                keys.revoke(&format!("a{n}")).await.unwrap()
            })
        })
        .collect();
    for made in making {
        assert!(made.await.unwrap());
    }
    assert_eq!(fixture.store.keys().version().await.unwrap(), 2 * KEYS);
}

async fn a_key_that_was_taken_back_stays_so(fixture: Fixture) {
    let keys = fixture.store.keys();
    for id in ["a1", "a2", "a3"] {
        keys.add(key(id)).await.unwrap().unwrap();
    }
    assert!(keys.revoke("a2").await.unwrap());
    let usable: Vec<String> = keys.usable().await.unwrap().1.into_iter().map(|key| key.id).collect();
    assert!(usable.len() == 2 && !usable.contains(&"a2".into()), "{usable:?}");
    let listed = keys.list().await.unwrap();
    assert_eq!((listed.len(), listed[2].id.as_str(), listed[2].revoked_at.is_some()), (3, "a2", true));
    assert!(keys.add(key("a2")).await.is_err(), "an id came back to life");
}

async fn uses_are_noted_and_never_put_back(fixture: Fixture) {
    let keys = fixture.store.keys();
    keys.add(key("a1")).await.unwrap().unwrap();
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let noted = async || keys.list().await.unwrap()[0].last_used_at;
    keys.used(&[("a1".into(), at(2_000)), ("gone".into(), at(2_000))]).await.unwrap();
    assert_eq!(noted().await, Some(at(2_000)));
    keys.used(&[("a1".into(), at(1_000))]).await.unwrap();
    assert_eq!(noted().await, Some(at(2_000)), "another gateway was slower to tell");
}

async fn open_jobs_of_a_tenant_are_counted_up_to_what_is_asked_for(fixture: Fixture) {
    let open = async |most| fixture.store.open_jobs_of(TENANT, most).await.unwrap();
    assert_eq!(open(5).await, 0);
    let first = fixture.job().await;
    for _ in 0..3 {
        fixture.job().await;
    }
    assert_eq!((open(5).await, open(2).await), (4, 2));
    assert_eq!(fixture.store.open_jobs_of("another", 5).await.unwrap(), 0);
    fixture.store.cancel(TENANT, &first.id).await.unwrap();
    assert_eq!(open(5).await, 3);
}
