//! Whole files through PocketSphinx in processes of its own. Needs what `make test` installs: `libpocketsphinx3`,
//! `pocketsphinx-en-us` and `pocketsphinx-testdata`.
//!
//! This program is also the host that its tests start (`engine-host pocketsphinx`).

mod claims;
mod support;

use std::process::ExitCode;

use dalston_engine_pocketsphinx::{PocketSphinx, Settings};
use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args == ["engine-host", "pocketsphinx"] {
        return dalston_engine_host::run(|| PocketSphinx::load(&Settings::from_env()));
    }
    libtest_mimic::run(&Arguments::from_args(), trials()).exit_code()
}

macro_rules! trials {
    ($($test:ident),* $(,)?) => {
        vec![$(Trial::test(stringify!($test), || {
            claims::$test();
            Ok(())
        })),*]
    };
}

fn trials() -> Vec<Trial> {
    trials![
        words_get_their_times_on_the_clock_of_the_file,
        a_segment_that_does_not_fit_keeps_its_words_and_is_named,
        a_channel_is_aligned_by_its_own_audio,
        what_has_times_stays_as_it_is,
        a_language_that_the_aligner_does_not_speak_is_left_alone,
        texts_that_nobody_says_cost_their_own_segment_only,
        a_task_that_is_cancelled_ends,
        an_engine_that_cannot_start_fails_the_task,
        an_engine_that_cannot_align_makes_no_aligner,
    ]
}
