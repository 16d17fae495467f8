//! What the real library hears in recorded and synthetic speech.

mod support;

use dalston_engine_sdk::{EngineError, Hypothesis, NativeStream, Profile, StreamOptions};

use support::{hear, library, open, profile, recording, spoken};

#[test]
fn a_known_recording_decodes_exactly_in_every_profile() {
    let _one = library();
    for choice in [Profile::Balanced, Profile::LowLatency, Profile::Accurate] {
        for (name, text) in [("goforward.raw", "go forward ten meters"), ("cards/001.wav", "ten of clubs")] {
            assert_eq!(hear(&mut open(&profile(choice)), &recording(name), 1600).text, text, "{choice:?}");
        }
    }
}

#[test]
fn words_carry_ordered_times_and_confidence() {
    let _one = library();
    let audio = recording("goforward.raw");
    let found = hear(&mut open(&profile(Profile::Balanced)), &audio, 3200);
    let seconds = audio.len() as f64 / 16_000.0;
    let mut before = 0.0;
    for word in &found.words {
        assert!(before <= word.start && word.start < word.end && word.end <= seconds + 0.01, "{found:?}");
        assert!(word.confidence.is_some_and(|c| (0.0..=1.0).contains(&c)), "{found:?}");
        before = word.end - 1e-9;
    }
    // Where they are heard in the recording, to a tenth of a second.
    let starts: Vec<f64> = found.words.iter().map(|word| word.start).collect();
    for (start, expected) in starts.iter().zip([0.46, 0.64, 1.16, 1.54]) {
        assert!((start - expected).abs() < 0.1, "{starts:?}");
    }
    assert!(found.confidence.is_some());
}

#[test]
fn any_chunking_gives_the_same_words() {
    let _one = library();
    let audio = recording("librivox/sense_and_sensibility_01_austen_64kb-0880.wav");
    let expected = hear(&mut open(&profile(Profile::LowLatency)), &audio, audio.len());
    assert!(expected.text.contains("young man"), "{expected:?}");
    for chunk in [1600, 777, 32_000] {
        assert_eq!(
            hear(&mut open(&profile(Profile::LowLatency)), &audio, chunk).text,
            expected.text,
            "chunks of {chunk}"
        );
    }
}

#[test]
fn partials_come_before_the_end() {
    let _one = library();
    let mut stream = open(&profile(Profile::Balanced));
    let mut partials = Vec::new();
    for part in recording("goforward.raw").chunks(1600) {
        stream.accept(part).expect("accepted");
        partials.extend(stream.partial().expect("a partial").map(|hypothesis| hypothesis.text));
    }
    assert!(partials.iter().any(|text| text.starts_with("go forward")), "{partials:?}");
    assert!(partials.iter().all(|text| !text.contains(['<', '[', '('])), "{partials:?}");
}

#[test]
fn an_utterance_without_audio_has_no_words() {
    let _one = library();
    let mut stream = open(&profile(Profile::Balanced));
    assert_eq!(stream.partial().expect("none"), None);
    assert_eq!(stream.finish().expect("empty"), Hypothesis::default());
    stream.accept(&[]).expect("nothing");
    assert_eq!(stream.finish().expect("empty").text, "");
    // Less than one analysis window.
    stream.accept(&[1, 2, 3]).expect("a little");
    assert_eq!(stream.finish().expect("empty").text, "");
    assert_eq!(hear(&mut stream, &recording("goforward.raw"), 1600).text, "go forward ten meters");
}

#[test]
fn what_was_learned_of_a_voice_goes_on_to_the_next_stream() {
    let _one = library();
    let mut first = open(&profile(Profile::LowLatency));
    assert!(first.adaptation().is_empty());
    hear(&mut first, &recording("librivox/sense_and_sensibility_01_austen_64kb-0870.wav"), 1600);
    let learned = first.adaptation();
    assert_eq!(learned.len() % 4, 0);
    let mut second = open(&profile(Profile::LowLatency));
    second.adapt(&learned).expect("what the first one gave");
    assert_eq!(second.adaptation(), learned);
    assert!(matches!(second.adapt(&[1, 2, 3]), Err(EngineError::Rejected(_))));
    assert!(matches!(second.adapt(&f32::NAN.to_le_bytes().repeat(13)), Err(EngineError::Rejected(_))));
}

#[test]
fn noise_teaches_nothing_about_a_voice() {
    let _one = library();
    let mut stream = open(&profile(Profile::LowLatency));
    let noise: Vec<i16> = (0..48_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 20) as i16).collect();
    hear(&mut stream, &noise, 1600);
    assert!(stream.adaptation().is_empty());
    let voice = recording("librivox/sense_and_sensibility_01_austen_64kb-0870.wav");
    hear(&mut stream, &voice, 1600);
    let learned = stream.adaptation();
    assert!(!learned.is_empty());
    hear(&mut stream, &noise, 1600);
    assert_eq!(stream.adaptation(), learned);
}

#[test]
fn a_hint_makes_an_unknown_word_heard() {
    let _one = library();
    let audio = spoken("we walked from hoxton to dalston");
    let without = hear(&mut open(&profile(Profile::Balanced)), &audio, 1600);
    assert!(!without.text.contains("dalston"), "{without:?}");
    let hinted = StreamOptions { vocabulary: vec!["Dalston".into(), "Hoxton".into()], ..profile(Profile::Balanced) };
    let with = hear(&mut open(&hinted), &audio, 1600);
    assert!(with.text.contains("dalston"), "without: {without:?}, with: {with:?}");
}
