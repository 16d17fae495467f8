//! The WAV files, read back by another reader.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::Cursor;

use dalston_protocol::SessionId;
use dalston_store::{Limits, RecordingStart, StoredAudio};
use proptest::prelude::*;
use support::{Fixture, TENANT, files, said, start_with_audio};

/// Keeps a session with this audio.
async fn keep(fixture: &Fixture, start: RecordingStart, portions: &[&[u8]]) -> (SessionId, StoredAudio) {
    let end = said(&start, "x");
    let recording = fixture.record(start);
    for portion in portions {
        recording.audio(portion);
    }
    let summary = recording.finish(end).await.unwrap();
    (summary.session_id, summary.audio.unwrap())
}

#[tokio::test]
async fn pcm_is_read_back_sample_by_sample() {
    let fixture = Fixture::new().await;
    let samples: Vec<i16> = (0..100_001).map(|i| (i * 7919 % 65_536 - 32_768) as i16).collect();
    let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let portions: Vec<&[u8]> = bytes.chunks(641).collect();
    let (id, audio) = keep(&fixture, start_with_audio("pcm_s16le", 1), &portions).await;
    assert!(audio.complete);
    assert_eq!(audio.seconds, 100_001.0 / 16_000.0);
    let wav = fixture.wav(&id).await.unwrap();
    assert_eq!(wav.len() as u64, audio.bytes);
    let mut reader = hound::WavReader::new(Cursor::new(wav)).unwrap();
    assert_eq!((reader.spec().sample_rate, reader.spec().channels, reader.spec().bits_per_sample), (16_000, 1, 16));
    assert_eq!(reader.samples::<i16>().map(Result::unwrap).collect::<Vec<_>>(), samples);
}

#[tokio::test]
async fn stereo_float_is_read_back_sample_by_sample() {
    let fixture = Fixture::new().await;
    let samples: Vec<f32> = (0..50_000).map(|i| (i as f32 / 50_000.0) * 2.0 - 1.0).collect();
    let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let mut start = start_with_audio("pcm_f32le", 2);
    start.config.sample_rate = 48_000;
    let (id, audio) = keep(&fixture, start, &[&bytes]).await;
    assert_eq!(audio.seconds, 25_000.0 / 48_000.0);
    let mut reader = hound::WavReader::new(Cursor::new(fixture.wav(&id).await.unwrap())).unwrap();
    assert_eq!((reader.spec().sample_rate, reader.spec().channels), (48_000, 2));
    assert_eq!(reader.spec().sample_format, hound::SampleFormat::Float);
    assert_eq!(reader.samples::<f32>().map(Result::unwrap).collect::<Vec<_>>(), samples);
}

#[tokio::test]
async fn companded_audio_is_kept_as_it_came_and_padded_when_odd() {
    let fixture = Fixture::new().await;
    for (encoding, code) in [("mulaw", 7), ("alaw", 6)] {
        let (id, audio) = keep(&fixture, start_with_audio(encoding, 1), &[&[1, 2], &[3]]).await;
        assert_eq!(audio.seconds, 3.0 / 16_000.0);
        let wav = fixture.wav(&id).await.unwrap();
        assert_eq!(wav[20], code);
        assert_eq!(wav[54..], [3, 0, 0, 0, 1, 2, 3, 0], "{encoding}");
    }
}

#[tokio::test]
async fn half_a_sample_at_the_end_is_not_kept() {
    let fixture = Fixture::new().await;
    let (id, audio) = keep(&fixture, start_with_audio("pcm_s16le", 2), &[&[1, 2, 3], &[4, 5, 6]]).await;
    assert_eq!(fixture.wav(&id).await.unwrap()[40..], [4, 0, 0, 0, 1, 2, 3, 4]);
    assert!(audio.complete, "what is not a sample is not missing");
}

#[tokio::test]
async fn a_session_without_audio_has_no_file() {
    let fixture = Fixture::new().await;
    for portions in [&[][..], &[&[1u8][..]]] {
        let (id, audio) = keep(&fixture, start_with_audio("pcm_s16le", 1), portions).await;
        assert_eq!(audio, StoredAudio { complete: true, bytes: 0, seconds: 0.0 });
        assert_eq!(fixture.wav(&id).await, None);
        assert!(fixture.archive.get(TENANT, &id).await.unwrap().is_some());
    }
    assert_eq!(files(fixture.root(), "spool"), [""; 0]);
}

#[tokio::test]
async fn audio_that_was_not_asked_for_is_not_kept() {
    let fixture = Fixture::new().await;
    let mut start = start_with_audio("pcm_s16le", 1);
    start.config.store_audio = false;
    let (id, end) = (start.session_id.clone(), said(&start, "x"));
    let recording = fixture.record(start);
    recording.audio(&[1; 1_000_000]);
    assert_eq!(recording.finish(end).await.unwrap().audio, None);
    assert_eq!(fixture.wav(&id).await, None);
}

#[tokio::test]
async fn a_session_keeps_no_more_than_the_limit_and_says_so() {
    let fixture = Fixture::with(Limits { audio_bytes: 100_000, ..Limits::default() }).await;
    let portions = vec![&[7u8; 20_000][..]; 8];
    let (id, audio) = keep(&fixture, start_with_audio("pcm_s16le", 1), &portions).await;
    assert!(!audio.complete);
    assert_eq!(audio.bytes, 44 + 100_000, "the beginning stays");
    assert_eq!(fixture.wav(&id).await.unwrap().len(), 44 + 100_000);

    let (_, audio) = keep(&fixture, start_with_audio("pcm_s16le", 1), &[&[7; 100_001]]).await;
    assert_eq!(audio, StoredAudio { complete: false, bytes: 0, seconds: 0.0 });
    assert_eq!(files(fixture.root(), "spool"), [""; 0]);
}

#[tokio::test]
async fn sessions_that_speak_at_once_do_not_mix() {
    let fixture = Fixture::new().await;
    let starts: Vec<_> = (0..20).map(|_| start_with_audio("mulaw", 1)).collect();
    let recordings: Vec<_> = starts.iter().map(|start| fixture.record(start.clone())).collect();
    for round in 0..300 {
        for (n, recording) in recordings.iter().enumerate() {
            recording.audio(&vec![n as u8; 100 + (round * 13 + n * 7) % 1500]);
        }
    }
    for (start, recording) in starts.iter().zip(recordings) {
        assert!(recording.finish(said(start, start.session_id.as_str())).await.unwrap().audio.unwrap().complete);
    }
    for (n, start) in starts.iter().enumerate() {
        let wav = fixture.wav(&start.session_id).await.unwrap();
        let expected: usize = (0..300).map(|round| 100 + (round * 13 + n * 7) % 1500).sum();
        let data = &wav[58..58 + expected];
        assert_eq!(wav.len(), 58 + expected + expected % 2);
        assert!(data.iter().all(|byte| *byte == n as u8), "session {n} holds another's audio");
        let kept = fixture.archive.get(TENANT, &start.session_id).await.unwrap().unwrap();
        assert_eq!(kept.transcript.text, start.session_id.as_str());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn portions_do_not_matter(cuts in proptest::collection::vec(0usize..90_000, 0..40)) {
        let bytes: Vec<u8> = (0..90_000u32).map(|i| (i * 31 % 251) as u8).collect();
        let mut cuts = cuts;
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let portions: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let wav = runtime.block_on(async {
            let fixture = Fixture::new().await;
            let (id, _) = keep(&fixture, start_with_audio("pcm_s16le", 1), &portions).await;
            fixture.wav(&id).await.unwrap()
        });
        prop_assert_eq!(&wav[44..], bytes);
    }
}
