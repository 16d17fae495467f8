//! Uploads of all kinds, good and bad, through a real child process.
//!
//! This program is also the child that its tests start (`engine-host prepare`), and children that do wrong.

mod bad_files;
mod children;
mod damage;
mod formats;
mod support;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["engine-host", "prepare"] => dalston_engine_prepare::run(),
        ["engine-host", wrong] => children::misbehave(wrong),
        _ => libtest_mimic::run(&Arguments::from_args(), trials()).exit_code(),
    }
}

macro_rules! trials {
    ($($module:ident: $($test:ident),* $(,)?;)*) => {
        vec![$($(Trial::test(concat!(stringify!($module), "::", stringify!($test)), || {
            $module::$test();
            Ok(())
        }),)*)*]
    };
}

fn trials() -> Vec<Trial> {
    let mut trials = trials! {
        formats:
            wav_of_16_khz_comes_out_as_it_went_in,
            channels_are_kept_apart_and_the_mix_is_their_mean,
            the_name_of_the_file_does_not_matter,
            names_what_it_read,
            opus_of_six_channels_is_read,
            opus_is_on_time_in_every_container,
            aac_is_on_time_in_every_container,
            an_adpcm_wav_is_as_long_as_its_fact_chunk_says,
            a_whole_file_is_not_warned_of,
            progress_only_grows_and_ends_at_one;
        bad_files:
            an_empty_file_is_empty,
            one_byte_is_not_audio,
            wav_without_samples_is_empty,
            wav_without_channels_is_refused,
            wav_of_no_rate_is_refused,
            wav_of_384_khz_is_read,
            wav_of_nine_channels_is_refused,
            wav_that_claims_all_of_4_gib_ends_where_it_ends,
            numbers_that_are_none_are_silence,
            text_pictures_and_archives_are_named,
            containers_that_are_not_read_are_named,
            codecs_that_are_not_read_are_named,
            speex_in_ogg_is_named,
            a_truncated_file_gives_what_is_there_and_says_so,
            hours_of_silence_in_little_are_too_long,
            what_says_that_it_is_too_long_is_refused_unread,
            what_says_nothing_of_its_length_is_read_up_to_the_limit,
            more_silence_than_its_bytes_can_be_a_recording_of_is_refused;
        children:
            a_child_that_hangs_is_killed_when_the_task_is_cancelled,
            a_child_that_hangs_is_given_up_after_its_time,
            a_child_that_aborts_means_a_damaged_file,
            a_child_that_is_killed_means_that_it_may_go_well_again,
            a_child_that_says_nothing_useful_is_an_error,
            a_child_sees_nothing_of_the_servers_environment,
            a_child_that_wants_all_memory_ends_alone;
    };
    for case in formats::CASES {
        let name = format!("formats::{}_decodes_to_the_samples_of_its_wav", case.extension);
        trials.push(Trial::test(name, || {
            formats::decodes_to_the_samples_of_its_wav(case);
            Ok(())
        }));
    }
    for extension in damage::FORMATS {
        let name = format!("damage::{extension}_damaged_anywhere_is_read_or_refused");
        trials.push(Trial::test(name, || {
            damage::is_read_or_refused(extension);
            Ok(())
        }));
    }
    trials
}
