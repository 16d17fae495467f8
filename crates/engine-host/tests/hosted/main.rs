//! Hosted engines in real processes: claims, faults, the pool, and orphans.
//!
//! This program is also the host that its tests start (`engine-host NAME`), and the server that they kill (`server`).

mod claims;
mod faults;
mod files;
mod orphans;
mod pool;
mod support;
mod tally;

use std::future::Future;
use std::process::ExitCode;

use dalston_engine_pocketsphinx::{PocketSphinx, Settings};
use dalston_engine_sdk::conformance::CLAIMS;
use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["engine-host", "tally"] => dalston_engine_host::run(tally::Tally::load),
        ["engine-host", "pocketsphinx"] => dalston_engine_host::run(|| PocketSphinx::load(&Settings::from_env())),
        ["server"] => {
            block_on(orphans::serve());
            ExitCode::SUCCESS
        }
        _ => libtest_mimic::run(&Arguments::from_args(), trials()).exit_code(),
    }
}

fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

macro_rules! trials {
    ($($module:ident: $($test:ident),* $(,)?;)*) => {
        vec![$($(trial(
            concat!(stringify!($module), "::", stringify!($test)).to_owned(),
            || block_on($module::$test()),
        ),)*)*]
    };
}

fn trial(name: String, test: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        test();
        Ok(())
    })
}

fn trials() -> Vec<Trial> {
    let mut trials = trials! {
        faults:
            a_stream_killed_in_an_utterance_costs_no_word,
            a_host_killed_in_an_utterance_costs_no_word,
            a_stopped_stream_is_replaced,
            a_stopped_host_is_replaced,
            trouble_that_does_not_come_back_costs_no_word,
            trouble_that_comes_back_is_an_error_and_the_next_utterance_works,
            an_utterance_longer_than_is_kept_is_lost_with_its_stream,
            a_model_that_is_missing_is_said_with_its_fix,
            a_program_that_is_missing_is_unavailable,
            a_program_that_is_no_host_is_an_error,
            options_that_no_stream_can_serve_are_rejected,
            what_was_learned_goes_on_within_a_session_only,
            pocketsphinx_killed_in_an_utterance_still_hears_it,
            a_folder_that_is_no_model_is_refused;
        files:
            pocketsphinx_hears_a_file_with_the_times_of_its_words,
            streams_killed_in_a_file_cost_no_word;
        pool:
            a_full_pool_makes_wait_and_then_says_busy,
            an_utterance_that_has_begun_has_its_stream,
            who_waits_gets_the_stream_that_is_freed_in_turn,
            whoever_stops_waiting_gives_up_the_turn,
            waiting_is_reported,
            two_hundred_utterances_leave_nothing_behind;
        orphans:
            a_killed_server_leaves_no_process,
            a_killed_server_leaves_no_process_even_if_they_are_stopped,
            a_killed_host_takes_its_streams_along,
            signals_to_the_group_do_not_end_streams,
            shutting_down_ends_every_process_and_waits_for_it,
            dropping_the_engine_ends_its_processes;
    };
    for &(name, claim) in CLAIMS {
        trials.push(trial(format!("tally::{name}"), move || block_on(claims::tally_holds(claim))));
        trials.push(trial(format!("pocketsphinx::{name}"), move || block_on(claims::pocketsphinx_holds(claim))));
    }
    trials
}
