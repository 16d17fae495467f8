//! Files that are not what they should be: a typed error that names it, or what can be read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dalston_engine_prepare::Limits;
use dalston_engine_sdk::batch::{TaskError, Watched};

use crate::support::{encoded, engine, file, folder, prepare, prepare_channels, refusal, run, run_in, speech, wav};

const PCM: u16 = 1;
const FLOAT: u16 = 3;

fn refused(name: &str, bytes: &[u8], code: &str, word: &str) {
    let (found, message) = refusal(&file(name, bytes));
    assert_eq!(found, code, "{name}: {message}");
    assert!(message.contains(word), "{name}: {message}");
}

pub fn an_empty_file_is_empty() {
    refused("empty.wav", b"", "empty_audio", "no bytes");
}

pub fn one_byte_is_not_audio() {
    for byte in [0x00, 0x52, 0xff] {
        refused("one-byte.wav", &[byte], "unsupported_audio", "unknown type");
    }
}

pub fn wav_without_samples_is_empty() {
    refused("no-samples.wav", &wav(PCM, 1, 16_000, 16, 0, b""), "empty_audio", "without samples");
}

pub fn wav_without_channels_is_refused() {
    let (code, message) = refusal(&file("no-channels.wav", &wav(PCM, 0, 16_000, 16, 4, b"abcd")));
    assert!(["corrupt_audio", "unsupported_audio"].contains(&code), "{code}: {message}");
}

pub fn wav_of_no_rate_is_refused() {
    let (code, message) = refusal(&file("no-rate.wav", &wav(PCM, 1, 0, 16, 4, b"abcd")));
    assert!(["corrupt_audio", "unsupported_audio"].contains(&code), "{code}: {message}");
}

pub fn wav_of_384_khz_is_read() {
    // A tenth of a second, and 40 Hz in it.
    let sine = |i: u32| (8_000.0 * (f64::from(i) / 9_600.0 * std::f64::consts::TAU).sin()) as i16;
    let data: Vec<u8> = (0..38_400).flat_map(|i| sine(i).to_le_bytes()).collect();
    let out = prepare(&file("384.wav", &wav(PCM, 1, 384_000, 16, 76_800, &data))).expect("a WAV");
    assert_eq!((out.prepared.sample_rate, out.mix.len()), (384_000, 1_600));
    let crossings = out.mix.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
    assert!((3..=4).contains(&crossings), "{crossings}");
}

pub fn wav_of_nine_channels_is_refused() {
    refused("nine.wav", &wav(PCM, 9, 16_000, 16, 180, &[0; 180]), "too_many_channels", "9 channels; 8");
}

pub fn wav_that_claims_all_of_4_gib_ends_where_it_ends() {
    // What a program writes that streams and does not know the length.
    for claimed in [u32::MAX, u32::MAX - 1, 0x7fff_ffff, 64_000] {
        let out = prepare(&file("claims.wav", &wav(PCM, 1, 16_000, 16, claimed, &[1; 32_000]))).expect("a WAV");
        assert_eq!(out.seconds(), 1.0, "{claimed}");
        // One that knew and was cut off.
        assert_eq!(out.prepared.warnings.len(), usize::from(claimed == 64_000), "{claimed}");
    }
}

pub fn numbers_that_are_none_are_silence() {
    let values = [f32::NAN, 0.5, f32::INFINITY, f32::NEG_INFINITY, -0.5, 4.0, -4.0, 0.25];
    let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let out = prepare(&file("nan.wav", &wav(FLOAT, 1, 16_000, 32, 32, &data))).expect("a WAV");
    assert_eq!(out.mix, [0, 16_384, 0, 0, -16_384, 32_767, -32_768, 8_192]);
    let data = f32::NAN.to_le_bytes().repeat(44_100);
    let out = prepare(&file("all-nan.wav", &wav(FLOAT, 1, 44_100, 32, 176_400, &data))).expect("a WAV");
    assert!(out.mix.iter().all(|sample| *sample == 0));
    assert_eq!(out.prepared.loudness_db, None);
}

pub fn text_pictures_and_archives_are_named() {
    let check = |name: &str, bytes: &[u8], word: &str| refused(name, bytes, "unsupported_audio", word);
    check("page.mp3", b"<!doctype html><html><body>404 not found</body></html>", "HTML");
    check("error.wav", br#"{"error":"not found"}"#, "JSON");
    check("paper.mp3", b"%PDF-1.7 and so on, for a while", "PDF");
    check("files.wav", b"PK\x03\x04 and so on, for a while", "ZIP");
    check("picture.ogg", b"\x89PNG\r\n\x1a\n and so on", "PNG");
    check("notes.wav", b"dear all, please find attached the recording of today", "unknown type");
}

pub fn containers_that_are_not_read_are_named() {
    let source = speech(16_000, 1);
    for (extension, word) in [("au", "Sun AU"), ("w64", "Wave64"), ("wma", "Windows Media"), ("ac3", "AC-3")] {
        let (code, message) = refusal(&encoded(&source, extension, &[]));
        assert_eq!(code, "unsupported_audio", "{extension}: {message}");
        assert!(message.contains(word), "{extension}: {message}");
    }
}

pub fn codecs_that_are_not_read_are_named() {
    let source = speech(48_000, 1);
    for (extension, codec, word) in [("mkv", "ac3", "AC-3"), ("mka", "wavpack", "WavPack"), ("mp4", "ac3", "AC-3")] {
        let (code, message) = refusal(&encoded(&source, extension, &["-c:a", codec]));
        assert_eq!(code, "unsupported_audio", "{codec} in {extension}: {message}");
        assert!(message.contains(word), "{codec} in {extension}: {message}");
    }
}

pub fn speex_in_ogg_is_named() {
    let (code, message) = refusal(&encoded(&speech(16_000, 1), "spx", &["-c:a", "libspeex"]));
    assert_eq!(code, "unsupported_audio", "{message}");
    assert!(message.contains("Speex"), "{message}");
}

pub fn a_truncated_file_gives_what_is_there_and_says_so() {
    let source = speech(48_000, 2);
    let cases: [(&str, &[&str]); 6] = [
        ("wav", &[]),
        ("flac", &[]),
        ("mp3", &["-b:a", "128k"]),
        ("ogg", &["-c:a", "libvorbis"]),
        ("opus", &["-b:a", "128k"]),
        ("webm", &["-c:a", "libopus", "-b:a", "128k"]),
    ];
    for (extension, options) in cases {
        let whole = std::fs::read(encoded(&source, extension, options)).expect("read");
        let half = file(&format!("half.{extension}"), &whole[..whole.len() / 2]);
        let out = prepare_channels(&half).unwrap_or_else(|error| panic!("{extension}: {error}"));
        assert!((1.0..3.5).contains(&out.seconds()), "{extension}: {}", out.seconds());
        assert!(out.channels.iter().all(|channel| channel.len() == out.mix.len()), "{extension}");
        let warnings = &out.prepared.warnings;
        assert!(warnings.len() == 1 && warnings[0].contains("is truncated"), "{extension}: {warnings:?}");
        // Ogg tells no length that a part of it would have too.
        let told = if ["ogg", "opus"].contains(&extension) { "breaks off" } else { "of 4.0 s could be read" };
        assert!(warnings[0].contains(told), "{extension}: {warnings:?}");
    }
    // The index of an MP4 stands at its end, unless it was put to the beginning.
    let whole = encoded(&source, "m4a", &["-b:a", "128k", "-movflags", "+faststart"]);
    let whole = std::fs::read(whole).expect("read");
    let half = prepare(&file("half-faststart.m4a", &whole[..whole.len() / 2])).expect("MP4");
    assert!(half.prepared.warnings.iter().any(|warning| warning.contains("of 4.0 s")), "{half:?}");
    let whole = std::fs::read(encoded(&source, "m4a", &["-b:a", "128k"])).expect("read");
    let (code, message) = refusal(&file("half.m4a", &whole[..whole.len() / 2]));
    assert_eq!(code, "corrupt_audio", "{message}");
}

/// Digital silence of some seconds in 8 kHz, by ffmpeg.
fn silence(seconds: u32, extension: &str) -> PathBuf {
    let made = folder().join(format!("nothing-{seconds}.{extension}"));
    if !made.exists() {
        let part = folder().join(format!("nothing-{seconds}.part.{extension}"));
        let (length, to) = (seconds.to_string(), part.to_str().expect("text"));
        let generated = ["-v", "error", "-y", "-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", &length];
        // The largest blocks that FLAC has: the least bytes for the most silence.
        let blocks: &[&str] = if extension == "flac" { &["-frame_size", "65535", to] } else { &[to] };
        crate::support::command("ffmpeg", &[&generated, blocks].concat());
        std::fs::rename(part, &made).expect("renamed");
    }
    made
}

/// A FLAC that does not say how many samples it has: the last 36 bits of the 18 bytes before the checksum of its audio.
fn without_length(flac: &Path) -> PathBuf {
    let mut bytes = std::fs::read(flac).expect("read");
    // "fLaC", the header of the first block, then its fields: sizes of blocks and frames (10 bytes), rate, channels, bits.
    bytes[8 + 13] &= 0xf0;
    bytes[8 + 14..8 + 18].fill(0);
    file(&format!("unsaid-{}", flac.file_name().and_then(|name| name.to_str()).expect("a name")), &bytes)
}

/// Refused so, with this word in the message, and whether anything was decoded by then.
fn too_long(source: &Path, longest: Duration, word: &str) -> bool {
    let scratch = tempfile::TempDir::new().expect("a folder");
    let limits = Limits { longest, ..Limits::default() };
    match run_in(scratch.path(), &engine("prepare", limits), source, false, &Watched::default()) {
        Err(TaskError::Rejected { code: "too_long", message }) => assert!(message.contains(word), "{message}"),
        other => panic!("{}: {other:?}", source.display()),
    }
    scratch.path().join("audio.wav").exists()
}

pub fn hours_of_silence_in_little_are_too_long() {
    too_long(&silence(7_200, "flac"), Duration::from_secs(3_600), "1 hours");
}

pub fn what_says_that_it_is_too_long_is_refused_unread() {
    for extension in ["flac", "wav", "ogg", "opus", "m4a"] {
        let source = silence(90, extension);
        assert!(!too_long(&source, Duration::from_secs(60), "longest"), "{extension} was decoded");
        let out = run(&engine("prepare", Limits::default()), &source, false, &Watched::default()).expect("read");
        assert!((89.0..91.0).contains(&out.seconds()), "{extension}: {}", out.seconds());
    }
}

pub fn what_says_nothing_of_its_length_is_read_up_to_the_limit() {
    let source = without_length(&silence(90, "flac"));
    assert!(too_long(&source, Duration::from_secs(60), "longest"), "it was not decoded");
    assert!(!too_long(&silence(90, "flac"), Duration::from_secs(60), "longest"));
    assert_eq!(prepare(&source).expect("read").seconds(), 90.0);
}

pub fn more_silence_than_its_bytes_can_be_a_recording_of_is_refused() {
    let source = without_length(&silence(7_200, "flac"));
    assert!(too_long(&source, Limits::default().longest, "unfold"));
}
