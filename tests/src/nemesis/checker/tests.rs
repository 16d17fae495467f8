//! Every rule holds for a good history, and is broken by what it is about.

use std::time::Duration;

use super::*;
use crate::nemesis::{Fault, ToShared};

fn world() -> World {
    let voice = |word: &str| (1..=3).map(|number| format!("{word} says {number} things")).collect();
    World { voices: vec![voice("one"), voice("two")], recordings: vec!["a recording".into()] }
}

fn closed(code: u16, whole: bool) -> End {
    End::Closed { code, reason: String::new(), whole }
}

fn said(session: usize, number: usize, text: &str) -> What {
    What::Final { session, start: number as f64 * 4.0, end: number as f64 * 4.0 + 3.0, text: text.into() }
}

/// Two sessions side by side and a job.
fn good() -> Vec<What> {
    let world = world();
    let mut history = vec![
        What::Begun { session: 0, voice: 0, gateways: vec![0] },
        What::Begun { session: 1, voice: 1, gateways: vec![0, 1] },
        What::Accepted { key: "k".into(), recording: 0, job: "j".into() },
        What::Accepted { key: "k".into(), recording: 0, job: "j".into() },
        What::Committed { task: "t".into() },
        What::Told { message: "m".into(), job: "j".into(), readable: None },
        What::Told { message: "m".into(), job: "j".into(), readable: Some(true) },
    ];
    for number in 0..3 {
        for session in 0..2 {
            history.push(said(session, number, &world.voices[session][number]));
        }
    }
    for session in 0..2 {
        history.push(What::SaidAll { session });
        history.push(What::Ended { session, how: closed(1000, true) });
    }
    history.push(What::JobIs { job: "j".into(), status: "completed".into(), text: Some("a recording".into()) });
    history.push(What::Exited { who: "gateway 0".into(), well: true });
    history.push(What::Slots { worker: "w".into(), used: 0 });
    history
}

fn rules(history: Vec<What>) -> BTreeSet<Rule> {
    let entry = |(at, what)| Entry { at: Duration::from_secs(at as u64), what };
    let history: Vec<Entry> = history.into_iter().enumerate().map(entry).collect();
    check(&world(), &history).into_iter().map(|violation| violation.rule).collect()
}

/// The good history, with one thing changed, breaks exactly this.
#[track_caller]
fn breaks(rule: Rule, change: impl FnOnce(&mut Vec<What>)) {
    let mut history = good();
    change(&mut history);
    assert_eq!(rules(history), BTreeSet::from([rule]));
}

/// The good history, with one thing changed, is good.
#[track_caller]
fn is_fine(change: impl FnOnce(&mut Vec<What>)) {
    let mut history = good();
    change(&mut history);
    assert_eq!(rules(history), BTreeSet::new());
}

fn final_of(history: &[What], session: usize, number: usize) -> usize {
    let mut finals = history
        .iter()
        .enumerate()
        .filter(|(_, what)| matches!(what, What::Final { .. }) && what.session() == Some(session));
    finals.nth(number).expect("it has as many").0
}

fn ends(history: &mut [What], session: usize, end: End) {
    let at = history.iter().position(|what| matches!(what, What::Ended { .. }) && what.session() == Some(session));
    history[at.expect("it ends")] = What::Ended { session, how: end };
}

#[test]
fn a_good_history_breaks_nothing() {
    is_fine(|_| ());
}

#[test]
fn a_session_without_an_end_with_two_or_without_a_code_is_seen() {
    breaks(Rule::OneEnd, |history| history.retain(|what| !matches!(what, What::Ended { session: 0, .. })));
    breaks(Rule::OneEnd, |history| history.push(What::Ended { session: 0, how: closed(1000, true) }));
    breaks(Rule::OneEnd, |history| ends(history, 0, End::Hung));
    breaks(Rule::OneEnd, |history| ends(history, 0, End::Broken("reset".into())));
    breaks(Rule::OneEnd, |history| ends(history, 0, closed(1005, false)));
    breaks(Rule::OneEnd, |history| {
        history.push(What::GatewayKilled { life: 1 });
        ends(history, 0, End::Broken("reset".into()));
    });
}

#[test]
fn a_session_whose_gateway_was_killed_or_whose_client_left_may_end_without_a_code() {
    is_fine(|history| {
        history.push(What::GatewayKilled { life: 0 });
        ends(history, 0, End::Broken("reset".into()));
    });
    is_fine(|history| ends(history, 0, End::Left));
}

#[test]
fn a_session_that_could_go_on_elsewhere_has_to() {
    breaks(Rule::OneEnd, |history| {
        history.push(What::GatewayKilled { life: 0 });
        ends(history, 1, End::Broken("reset".into()));
    });
    is_fine(|history| {
        history.extend([0, 1].map(|life| What::GatewayKilled { life }));
        ends(history, 1, End::Broken("reset".into()));
    });
}

#[test]
fn a_lost_word_is_seen_wherever_it_was() {
    for number in 0..3 {
        breaks(Rule::NoWordLost, |history| {
            history.remove(final_of(history, 0, number));
        });
    }
}

#[test]
fn a_client_that_was_told_has_lost_nothing_unsaid() {
    is_fine(|history| {
        history.remove(final_of(history, 0, 1));
        history.insert(3, What::Gap { session: 0 });
    });
    is_fine(|history| {
        history.remove(final_of(history, 0, 2));
        ends(history, 0, closed(1011, false));
    });
    // Cut in the middle of a word.
    is_fine(|history| {
        let at = final_of(history, 0, 2);
        history[at] = said(0, 2, "one says 9");
        ends(history, 0, closed(1012, true));
    });
}

#[test]
fn a_session_that_was_ended_early_has_all_until_then() {
    breaks(Rule::NoWordLost, |history| {
        history.remove(final_of(history, 0, 1));
        ends(history, 0, closed(1012, true));
    });
    breaks(Rule::NoStrangeWord, |history| {
        let at = final_of(history, 0, 2);
        history[at] = said(0, 2, "one never says");
        ends(history, 0, closed(1012, true));
    });
}

#[test]
fn a_final_that_comes_twice_is_seen() {
    breaks(Rule::NoFinalTwice, |history| {
        let again = What::Final { session: 0, start: 20.0, end: 21.0, text: "one says 3 things".into() };
        history.insert(final_of(history, 0, 2) + 1, again);
    });
}

#[test]
fn finals_out_of_order_are_seen() {
    breaks(Rule::FinalsInOrder, |history| {
        let at = final_of(history, 0, 2);
        history[at] = What::Final { session: 0, start: 6.5, end: 11.0, text: "one says 3 things".into() };
    });
    breaks(Rule::FinalsInOrder, |history| {
        let at = final_of(history, 0, 2);
        history[at] = What::Final { session: 0, start: 8.0, end: 7.5, text: "one says 3 things".into() };
    });
}

#[test]
fn words_that_nobody_said_are_seen() {
    breaks(Rule::NoStrangeWord, |history| {
        let at = final_of(history, 0, 1);
        history[at] = said(0, 1, "one says 2 thing");
    });
}

#[test]
fn another_sessions_words_are_seen() {
    breaks(Rule::NoCrossTalk, |history| {
        let at = final_of(history, 0, 1);
        history[at] = said(0, 1, "two says 2 things");
    });
}

#[test]
fn a_slot_that_nobody_uses_is_seen() {
    breaks(Rule::NoSlotLeaked, |history| history.push(What::Slots { worker: "w".into(), used: 1 }));
}

#[test]
fn a_job_that_is_lost_has_failed_or_says_something_else_is_seen() {
    let is = |status: &str, text: Option<&str>| What::JobIs {
        job: "j".into(),
        status: status.into(),
        text: text.map(str::to_owned),
    };
    for other in [is("running", None), is("failed", None), is("completed", None), is("completed", Some("another"))] {
        breaks(Rule::NoJobLost, |history| {
            let at = history.iter().position(|what| matches!(what, What::JobIs { .. })).expect("it is there");
            history[at] = other;
        });
    }
    breaks(Rule::NoJobLost, |history| history.retain(|what| !matches!(what, What::JobIs { .. })));
}

#[test]
fn a_task_that_commits_twice_is_seen() {
    breaks(Rule::CommittedOnce, |history| history.push(What::Committed { task: "t".into() }));
}

#[test]
fn a_key_that_gives_two_jobs_is_seen() {
    breaks(Rule::OneJobPerKey, |history| {
        history.push(What::Accepted { key: "k".into(), recording: 0, job: "j2".into() });
        history.push(What::JobIs { job: "j2".into(), status: "completed".into(), text: Some("a recording".into()) });
        history.push(What::Told { message: "m2".into(), job: "j2".into(), readable: Some(true) });
    });
}

#[test]
fn a_webhook_that_is_not_told_or_under_two_ids_or_too_early_is_seen() {
    breaks(Rule::WebhookTold, |history| history.retain(|what| !matches!(what, What::Told { .. })));
    breaks(Rule::WebhookTold, |history| {
        history.push(What::Told { message: "m2".into(), job: "j".into(), readable: Some(true) });
    });
    breaks(Rule::WebhookNotTooEarly, |history| {
        history.insert(4, What::Told { message: "m".into(), job: "j".into(), readable: Some(false) });
    });
}

#[test]
fn processes_that_do_not_end_well_panic_or_do_not_heal_are_seen() {
    breaks(Rule::ExitsWell, |history| history.push(What::Exited { who: "engine 1".into(), well: false }));
    breaks(Rule::NoPanic, |history| history.push(What::Panicked { line: "panicked".into() }));
    breaks(Rule::Heals, |history| history.push(What::Overdue { what: "a gateway is not ready".into() }));
}

#[test]
fn a_violation_is_printed_with_what_it_is_about_and_the_faults() {
    let mut history = good();
    history.push(What::Fault { fault: Fault::Shared(ToShared::RedisKilled), lasts: Duration::ZERO });
    history.remove(final_of(&history, 0, 2));
    let history: Vec<Entry> = history.into_iter().map(|what| Entry { at: Duration::ZERO, what }).collect();
    let broken = check(&world(), &history);
    let part = broken[0].part(&history);
    assert_eq!(broken.len(), 1);
    assert!(part.iter().all(|entry| matches!(entry.what, What::Fault { .. }) || entry.what.session() == Some(0)));
    assert_eq!(part.len(), 6);
}
