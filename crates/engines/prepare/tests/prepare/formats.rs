//! Every format gives the samples of the WAV that it was made from.

use std::path::Path;

use dalston_engine_prepare::Limits;
use dalston_engine_sdk::batch::Watched;

use crate::support::{Out, command, encoded, engine, file, folder, prepare, prepare_channels, run, samples, speech};

/// A format and what is expected of it.
pub struct Case {
    pub extension: &'static str,
    options: &'static [&'static str],
    /// Least ratio of the signal to its difference from the WAV's, in dB, where they fit best; `None`: not one bit differs.
    least_ratio: Option<f64>,
    /// Farthest that it may be late, in samples of 16 kHz.
    latest: usize,
    /// Rates at which it is tried.
    rates: &'static [u32],
}

const ALL: &[u32] = &[8_000, 44_100, 48_000];

/// The formats.
pub const CASES: &[Case] = &[
    Case { extension: "wav", options: &["-c:a", "pcm_s24le"], least_ratio: None, latest: 0, rates: ALL },
    Case { extension: "flac", options: &[], least_ratio: None, latest: 0, rates: ALL },
    Case { extension: "aiff", options: &[], least_ratio: None, latest: 0, rates: ALL },
    Case { extension: "caf", options: &["-c:a", "alac"], least_ratio: None, latest: 0, rates: ALL },
    Case { extension: "mkv", options: &["-c:a", "flac"], least_ratio: None, latest: 0, rates: ALL },
    Case { extension: "mp3", options: &["-b:a", "64k"], least_ratio: Some(10.0), latest: 2, rates: ALL },
    Case {
        extension: "ogg",
        options: &["-c:a", "libvorbis", "-q:a", "8"],
        least_ratio: Some(28.0),
        latest: 2,
        rates: ALL,
    },
    Case { extension: "opus", options: &["-b:a", "128k"], least_ratio: Some(18.0), latest: 2, rates: ALL },
    Case {
        extension: "webm",
        options: &["-c:a", "libopus", "-b:a", "128k"],
        least_ratio: Some(18.0),
        latest: 2,
        rates: ALL,
    },
    Case { extension: "m4a", options: &["-b:a", "128k"], least_ratio: Some(9.0), latest: 2, rates: ALL },
    Case { extension: "aac", options: &["-b:a", "128k"], least_ratio: Some(9.0), latest: 2, rates: ALL },
];

pub fn decodes_to_the_samples_of_its_wav(case: &Case) {
    for &rate in case.rates {
        for channels in [1, 2] {
            let source = speech(rate, channels);
            let expected = prepare_channels(&source).expect("a WAV");
            let found = prepare_channels(&encoded(&source, case.extension, case.options)).expect(case.extension);
            let what = format!("{} of {rate} Hz, {channels} channels", case.extension);
            assert_eq!(found.prepared.channels, channels, "{what}");
            assert_eq!(found.channels.len(), usize::from(channels), "{what}");
            compare(&expected.mix, &found.mix, case, &what);
            for (expected, found) in expected.channels.iter().zip(&found.channels) {
                compare(expected, found, case, &what);
            }
        }
    }
}

fn compare(expected: &[i16], found: &[i16], case: &Case, what: &str) {
    let Some(least) = case.least_ratio else {
        assert!(expected == found, "{what}: {} samples differ from {}", found.len(), expected.len());
        return;
    };
    let late = lag(expected, found, case.latest);
    let ratio = ratio(expected, &found[late..]);
    assert!(ratio >= least, "{what}: {ratio:.1} dB at {late} samples");
    let longer = found.len().abs_diff(expected.len());
    // The last packet may be padded.
    assert!(longer <= case.latest + 2_100, "{what}: {} samples for {}", found.len(), expected.len());
}

/// By how many samples the second is late, by where a second of it correlates best.
fn lag(expected: &[i16], found: &[i16], latest: usize) -> usize {
    let window = &expected[8_000..16_000];
    let score = |late: usize| -> f64 {
        let other = &found[8_000 + late..16_000 + late];
        window.iter().zip(other).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    (0..=latest).max_by(|a, b| score(*a).total_cmp(&score(*b))).expect("at least none")
}

fn ratio(expected: &[i16], found: &[i16]) -> f64 {
    let (mut signal, mut noise) = (0.0, 0.0);
    for (a, b) in expected.iter().zip(found) {
        let (a, b) = (f64::from(*a), f64::from(*b));
        signal += a * a;
        noise += (a - b) * (a - b);
    }
    10.0 * (signal / noise.max(1e-9)).log10()
}

/// How late the sound is, and how much longer it became, in seconds; each channel of the file like the first.
fn shift(source: &Path, encoded: &Path) -> (f64, f64) {
    let expected = prepare(source).expect("a WAV").mix;
    let found = prepare(encoded).unwrap_or_else(|error| panic!("{}: {error}", encoded.display())).mix;
    const FARTHEST: i32 = 8_000;
    let window = &expected[12_000..28_000];
    let score = |late: i32| -> f64 {
        let from = usize::try_from(12_000 + late).expect("within");
        let other = found.get(from..from + window.len()).unwrap_or_default();
        window.iter().zip(other).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let late = (-FARTHEST..=FARTHEST).max_by(|a, b| score(*a).total_cmp(&score(*b))).expect("at least none");
    (f64::from(late) / 16_000.0, (found.len() as f64 - expected.len() as f64) / 16_000.0)
}

pub fn opus_is_on_time_in_every_container() {
    for rate in [8_000, 48_000] {
        let source = speech(rate, 1);
        for extension in ["ogg", "webm", "mp4"] {
            let (late, longer) = shift(&source, &encoded(&source, extension, &["-c:a", "libopus", "-b:a", "64k"]));
            assert!(late.abs() <= 0.005, "{extension} of {rate} Hz is {late:.3} s late");
            assert!(longer.abs() <= 0.025, "{extension} of {rate} Hz is {longer:.3} s longer");
        }
    }
}

pub fn aac_is_on_time_in_every_container() {
    for rate in [8_000, 44_100] {
        let source = speech(rate, 1);
        for (extension, longest) in [("m4a", 0.005), ("mp4", 0.005), ("mkv", 0.13), ("aac", 0.13)] {
            let (late, longer) = shift(&source, &encoded(&source, extension, &["-c:a", "aac"]));
            assert!(late.abs() <= 0.005, "{extension} of {rate} Hz is {late:.3} s late");
            // Only an edit list tells how full the last packet is.
            assert!((-0.005..=longest).contains(&longer), "{extension} of {rate} Hz is {longer:.3} s longer");
        }
    }
}

pub fn an_adpcm_wav_is_as_long_as_its_fact_chunk_says() {
    let source = speech(8_000, 1);
    for codec in ["ms-adpcm", "ima-adpcm"] {
        // ffmpeg claims what its last block would hold.
        let made = folder().join(format!("{codec}.wav"));
        let (from, to) = (source.to_str().expect("text"), made.to_str().expect("text"));
        command("sox", &["-D", from, "-e", codec, to]);
        let (late, longer) = shift(&source, &made);
        assert_eq!(late, 0.0, "{codec}");
        assert!(longer.abs() <= 0.001, "{codec} is {longer:.3} s longer");
    }
}

pub fn a_whole_file_is_not_warned_of() {
    for case in CASES {
        for rate in case.rates {
            let whole = prepare(&encoded(&speech(*rate, 1), case.extension, case.options)).expect(case.extension);
            assert_eq!(whole.prepared.warnings, [""; 0], "{} of {rate} Hz", case.extension);
        }
    }
}

pub fn wav_of_16_khz_comes_out_as_it_went_in() {
    let source = speech(16_000, 1);
    let Out { prepared, mix, channels } = prepare(&source).expect("a WAV");
    assert_eq!(mix, samples(&source));
    assert!(channels.is_empty());
    assert_eq!(prepared.duration, 4.0);
    assert_eq!((prepared.channels, prepared.sample_rate, prepared.codec.as_str()), (1, 16_000, "pcm_s16le"));
    let loudness = prepared.loudness_db.expect("not silent");
    assert!((-40.0..-10.0).contains(&loudness), "{loudness}");
}

pub fn channels_are_kept_apart_and_the_mix_is_their_mean() {
    let source = speech(16_000, 2);
    let mut reader = hound::WavReader::open(&source).expect("a WAV");
    let both: Vec<i16> = reader.samples().collect::<Result<_, _>>().expect("samples");
    let side = |side: usize| both.iter().skip(side).step_by(2).copied().collect::<Vec<_>>();
    let found = prepare_channels(&source).expect("a WAV");
    assert_eq!(found.channels, [side(0), side(1)]);
    for ((left, right), mixed) in side(0).iter().zip(side(1)).zip(&found.mix) {
        let mean = (f32::from(*left) + f32::from(right)) / 2.0;
        assert!((mean - f32::from(*mixed)).abs() <= 0.5);
    }
}

pub fn the_name_of_the_file_does_not_matter() {
    let flac = encoded(&speech(16_000, 1), "flac", &[]);
    let bytes = std::fs::read(flac).expect("read");
    for name in ["upload", "upload.mp3", "upload.exe"] {
        assert_eq!(prepare(&file(name, &bytes)).expect("FLAC").prepared.codec, "flac");
    }
}

pub fn names_what_it_read() {
    let source = speech(48_000, 2);
    for (extension, codec) in [("opus", "opus"), ("ogg", "vorbis"), ("mp3", "mp3"), ("m4a", "aac")] {
        let options: &[&str] = if extension == "ogg" { &["-c:a", "libvorbis"] } else { &[] };
        let prepared = prepare(&encoded(&source, extension, options)).expect(extension).prepared;
        assert_eq!((prepared.codec.as_str(), prepared.channels, prepared.sample_rate), (codec, 2, 48_000));
    }
}

pub fn opus_of_six_channels_is_read() {
    let source = encoded(&speech(48_000, 2), "wav", &["-ac", "6"]);
    let expected = prepare_channels(&source).expect("a WAV");
    let found = prepare_channels(&encoded(&source, "opus", &["-b:a", "384k", "-mapping_family", "1"])).expect("Opus");
    assert_eq!(found.prepared.channels, 6);
    // Front left and right stand first and third in Opus.
    for (wav, opus) in [(0, 0), (1, 2)] {
        let ratio = ratio(&expected.channels[wav], &found.channels[opus]);
        assert!(ratio > 8.0, "{ratio}");
    }
}

pub fn progress_only_grows_and_ends_at_one() {
    let watched = Watched::default();
    // Long enough for a few lines.
    let source = encoded(&speech(48_000, 2), "flac", &["-af", "aloop=loop=60:size=192000"]);
    run(&engine("prepare", Limits::default()), &source, false, &watched).expect("FLAC");
    let progress = watched.progress();
    assert!(progress.len() > 1 && progress.last() == Some(&1.0), "{progress:?}");
}
