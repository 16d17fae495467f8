//! Workers that do not take a session.

use dalston_protocol::{ApiError, ErrorCode, realtime::SessionConfig};
use dalston_telemetry::TraceContext;
use tokio::time::{Duration, Instant};

use super::stage::{Manner, Stage, request};
use crate::{Health, RouterSettings, link::Refusal};

/// Tries `manner` first and a good worker next. Gives the bad one's health, and how long the session had to wait.
async fn passed_over(manner: Manner) -> (Health, Duration) {
    let stage = Stage::new();
    let good = stage.busy_worker().await;
    let bad = stage.worker(10, manner).await;
    let begun = Instant::now();
    let allocated = stage.allocate().await.expect("the good worker takes it");
    assert_eq!(allocated.worker_id, good.id);
    assert_eq!((stage.status(&good).await.used, stage.status(&bad).await.used), (2, 0));
    (stage.health(&bad).await, begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_session_gets_a_slot_and_its_worker_the_offer() {
    let stage = Stage::new();
    let worker = stage.worker(2, Manner::Accepts).await;
    let config = SessionConfig { language: "EN".into(), model: Some("echo-en".into()), ..Default::default() };
    let asked = request(config.clone());
    let allocated = stage.router.allocate(asked.clone(), &TraceContext::none()).await.expect("there is room");
    assert_eq!((allocated.engine_id.as_str(), allocated.language.as_str()), ("echo", "en"));
    assert_eq!(allocated.worker_id, worker.id);
    let offers = worker.offers.lock();
    assert_eq!((&offers[0].session_id, &offers[0].lease), (&asked.session_id, allocated.lease.id()));
    assert_eq!((&offers[0].config, &*offers[0].tenant), (&config, "anonymous"));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_refuses_is_suspect_at_once_and_the_next_is_tried() {
    let refusal = Refusal::Unreachable("connection refused".into());
    assert_eq!(passed_over(Manner::Refuses(refusal)).await, (Health::Suspect, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_never_answers_costs_one_deadline_and_is_suspect() {
    let (health, waited) = passed_over(Manner::Silent).await;
    let deadline = RouterSettings::default().open_deadline;
    assert_eq!(health, Health::Suspect);
    assert!((deadline..deadline + Duration::from_millis(5)).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_late_for_one_session_and_not_for_others_gets_it_again() {
    let stage = Stage::new();
    let worker = stage.worker(10, Manner::Dawdles).await;
    let begun = Instant::now();
    let (late, other) = tokio::join!(stage.allocate(), stage.allocate());
    let (late, _other) = (late.expect("it is asked once more"), other.expect("it is answered at once"));
    assert_eq!((late.worker_id, worker.offers.lock().len()), (worker.id.clone(), 3));
    let deadline = RouterSettings::default().open_deadline;
    assert!((deadline..deadline + Duration::from_millis(5)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    assert_eq!((stage.health(&worker).await, stage.status(&worker).await.used), (Health::Ready, 2));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_dies_after_an_answer_is_asked_once_more_and_no_longer() {
    let stage = Stage::new();
    let worker = stage.worker(10, Manner::Silent).await;
    // What it has answered by then was to this one.
    let answered = stage.router.opens.begin(&worker.id);
    let asking = stage.allocate();
    let answering = async {
        super::stage::pass(Duration::from_millis(1)).await;
        answered.is_answered();
    };
    let (asked, ()) = tokio::join!(asking, answering);
    assert_eq!(asked.map_err(|error| error.code).err(), Some(ErrorCode::NoCapacity));
    assert_eq!(worker.offers.lock().len(), 2);
    assert_eq!(stage.health(&worker).await, Health::Suspect);
}

#[tokio::test(start_paused = true)]
async fn a_dead_port_costs_no_time() {
    assert_eq!(passed_over(Manner::Dead).await, (Health::Suspect, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_full_worker_is_passed_over_and_stays_in_good_standing() {
    assert_eq!(passed_over(Manner::Refuses(Refusal::Full)).await, (Health::Ready, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_draining_worker_is_taken_at_its_word() {
    assert_eq!(passed_over(Manner::Refuses(Refusal::Draining)).await, (Health::Draining, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_worker_without_a_link_is_like_one_that_does_not_answer() {
    let stage = Stage::new();
    let good = stage.busy_worker().await;
    let unlinked = stage.worker(10, Manner::Accepts).await;
    stage.router.links().remove(&unlinked.id);
    assert_eq!(stage.allocate().await.expect("the good worker takes it").worker_id, good.id);
    assert_eq!(stage.health(&unlinked).await, Health::Suspect);
}

#[tokio::test(start_paused = true)]
async fn a_suspect_is_not_tried_again_until_it_has_cooled_down() {
    let stage = Stage::new();
    let bad = stage.worker(10, Manner::Silent).await;
    assert_eq!(stage.allocate().await.map_err(|error| error.code).err(), Some(ErrorCode::NoCapacity));
    let begun = Instant::now();
    let error = stage.allocate().await.expect_err("the only worker is suspect");
    assert_eq!((error.code, begun.elapsed()), (ErrorCode::NoCapacity, Duration::ZERO));
    assert_eq!(error.retry_after, Some(5.0), "the cool-down");
    assert_eq!(bad.offers.lock().len(), 1);
    super::stage::pass(Duration::from_secs(9)).await;
    assert_eq!(stage.allocate().await.map_err(|error| error.code).err(), Some(ErrorCode::NoCapacity));
    assert_eq!(bad.offers.lock().len(), 2, "it had its second chance");
}

#[tokio::test(start_paused = true)]
async fn when_all_are_full_the_client_is_told_when_to_come_back() {
    let stage = Stage::new();
    let worker = stage.worker(1, Manner::Accepts).await;
    let _held = stage.allocate().await.expect("there is room for one");
    let error = stage.allocate().await.expect_err("there is no room for two");
    assert_eq!((error.code, error.close().code.as_u16()), (ErrorCode::NoCapacity, 4503));
    assert!(error.retry_after.is_some_and(|seconds| seconds >= 1.0), "{error:?}");
    assert!(error.message.contains("retry_after="), "{error:?}");
    assert_eq!(worker.offers.lock().len(), 1, "a full worker is not even asked");
}

#[tokio::test(start_paused = true)]
async fn when_all_are_draining_the_client_is_sent_elsewhere() {
    let stage = Stage::new();
    let worker = stage.worker(4, Manner::Accepts).await;
    worker.membership.drain().await.expect("the registry answers");
    let error = stage.allocate().await.expect_err("the only worker is draining");
    assert_eq!((error.code, error.close().code.as_u16()), (ErrorCode::Draining, 1012));
}

#[tokio::test(start_paused = true)]
async fn a_rejected_session_is_not_offered_around() {
    let stage = Stage::new();
    let good = stage.busy_worker().await;
    let rejection = ApiError::param("vocabulary", "this engine takes none");
    let strict = stage.worker(10, Manner::Refuses(Refusal::Rejected(rejection.clone()))).await;
    assert_eq!(stage.allocate().await.err(), Some(rejection));
    assert_eq!((stage.health(&strict).await, stage.status(&strict).await.used), (Health::Ready, 0));
    assert_eq!(good.offers.lock().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn attempts_are_bounded() {
    let stage = Stage::new();
    let mut workers = Vec::new();
    for _ in 0..5 {
        workers.push(stage.worker(10, Manner::Silent).await);
    }
    let begun = Instant::now();
    let error = stage.allocate().await.expect_err("nobody answers");
    let RouterSettings { max_attempts, open_deadline, .. } = RouterSettings::default();
    let limit = open_deadline * max_attempts as u32 + Duration::from_millis(10);
    assert!(begun.elapsed() <= limit, "{:?}", begun.elapsed());
    assert_eq!(error.code, ErrorCode::NoCapacity);
    assert_eq!(workers.iter().map(|worker| worker.offers.lock().len()).sum::<usize>(), max_attempts);
    assert_eq!(stage.used().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_model_or_language_names_the_right_ones() {
    let stage = Stage::new();
    let _worker = stage.worker(1, Manner::Accepts).await;
    let check = async |language: &str, model: Option<&str>, code: ErrorCode, named: &str| {
        let config = SessionConfig { language: language.into(), model: model.map(Into::into), ..Default::default() };
        let error = stage.router.allocate(request(config), &TraceContext::none()).await.expect_err("nobody has it");
        assert_eq!((error.code, error.close().code.as_u16()), (code, 4404));
        assert!(error.message.contains(named), "{error}");
    };
    check("en", Some("whisper"), ErrorCode::ModelNotFound, "echo, echo-en").await;
    check("tlh", None, ErrorCode::LanguageNotSupported, "there is en").await;
}
