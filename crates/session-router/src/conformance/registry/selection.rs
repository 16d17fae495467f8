//! Which worker is chosen.

use std::collections::HashMap;

use futures_util::future::join_all;

use super::*;

/// Of several engines, also within one worker, the one that has both.
pub async fn the_engine_fits_model_and_language(subject: Subject) {
    let german = worker(8, vec![engine("stein", "stein-de", &["de"]), engine("stein", "stein-fr", &["fr", "fr-CA"])]);
    let any = worker(8, vec![engine("babel", "large", &[])]);
    let (german_id, any_id) = (german.worker_id.clone(), any.worker_id.clone());
    subject.registry.register(german).await.expect("the registry answers");
    subject.registry.register(any).await.expect("the registry answers");

    let check = async |language: &str, model: Option<&str>, worker: &WorkerId, engine: &str, resolved: &str| {
        let reservation = subject.want(language, model).await.expect("there is room");
        let got = (&reservation.worker_id, reservation.engine_id.as_str(), reservation.language.as_str());
        assert_eq!(got, (worker, engine, resolved), "{language} {model:?}");
    };
    check("de", Some("stein"), &german_id, "stein", "de").await;
    check("fr", Some("stein"), &german_id, "stein", "fr").await;
    check("auto", Some("stein-fr"), &german_id, "stein", "fr").await;
    check("auto", Some("stein/stein-fr"), &german_id, "stein", "fr").await;
    check("tlh", None, &any_id, "babel", "tlh").await;
    check("auto", Some("large"), &any_id, "babel", "auto").await;
    let reservation = subject.want("fr", None).await.expect("there is room");
    assert_eq!(reservation.candidates, 2, "both have it");
}

/// Engine ids and models, sorted.
pub async fn an_unknown_model_is_answered_with_the_known_ones(subject: Subject) {
    subject.add(1).await;
    let available = vec!["echo".to_owned(), "echo-en".to_owned()];
    assert_eq!(subject.want("en", Some("nowhere")).await, Err(ReserveError::NoSuchModel { available }));
}

/// Those of the model that was asked for, not of others.
pub async fn an_unknown_language_is_answered_with_the_known_ones(subject: Subject) {
    subject.add(1).await;
    let other = worker(1, vec![engine("stein", "stein-de", &["de"])]);
    subject.registry.register(other).await.expect("the registry answers");
    let of = |codes: &[&str]| ReserveError::NoSuchLanguage { available: codes.iter().map(|&c| c.to_owned()).collect() };
    assert_eq!(subject.want("tlh", None).await, Err(of(&["de", "en"])));
    assert_eq!(subject.want("de", Some("echo")).await, Err(of(&["en"])));
}

/// A cluster that is starting must not tell its clients that they are wrong.
pub async fn without_any_worker_there_is_no_capacity_rather_than_no_model(subject: Subject) {
    let result = subject.want("en", Some("echo")).await;
    assert!(matches!(result, Err(ReserveError::NoCapacity { .. })), "{result:?}");
}

/// Load is relative: a worker with three times the slots gets three times the sessions.
pub async fn the_smallest_share_in_use_is_chosen(subject: Subject) {
    let (small, large) = (subject.add(10).await, subject.add(30).await);
    for _ in 0..20 {
        subject.reserve().await.expect("there is room");
    }
    assert_eq!((subject.used(&small).await, subject.used(&large).await), (5, 15));
}

/// Forty over two make twenty each.
pub async fn equal_workers_share_evenly(subject: Subject) {
    let (one, two) = (subject.add(40).await, subject.add(40).await);
    for _ in 0..40 {
        subject.reserve().await.expect("there is room");
    }
    assert_eq!((subject.used(&one).await, subject.used(&two).await), (20, 20));
}

/// Also when each session has ended before the next one comes, and all workers are always empty.
pub async fn short_sessions_take_turns(subject: Subject) {
    for _ in 0..3 {
        subject.add(1).await;
    }
    let mut sessions: HashMap<WorkerId, u32> = HashMap::new();
    for _ in 0..30 {
        let (lease, reservation) = subject.reserve().await.expect("there is room");
        *sessions.entry(reservation.worker_id).or_default() += 1;
        subject.release(&lease).await;
    }
    assert_eq!(sessions.into_values().collect::<Vec<_>>(), [10, 10, 10]);
}

/// Not even when it is the only one that has room.
pub async fn an_excluded_worker_is_not_chosen(subject: Subject) {
    let (one, two) = (subject.add(8).await, subject.add(2).await);
    for _ in 0..2 {
        let (_, reservation) =
            subject.reserve_with(|request| request.exclude = vec![one.clone()]).await.expect("there is room");
        assert_eq!((reservation.worker_id, reservation.candidates), (two.clone(), 1));
    }
    let result = subject.reserve_with(|request| request.exclude = vec![one]).await;
    assert!(matches!(result, Err(ReserveError::NoCapacity { .. })), "{result:?}");
}

/// Fifty at once for ten slots: ten get one.
pub async fn concurrent_wishes_never_exceed_the_capacity(subject: Subject) {
    let (one, two) = (subject.add(4).await, subject.add(6).await);
    let results = join_all((0..50).map(|_| subject.reserve())).await;
    let refused = results.iter().filter_map(|result| result.as_ref().err()).collect::<Vec<_>>();
    assert_eq!(refused.len(), 40);
    assert!(refused.iter().all(|error| matches!(error, ReserveError::NoCapacity { .. })), "{refused:?}");
    assert_eq!((subject.used(&one).await, subject.used(&two).await), (4, 6));
}
