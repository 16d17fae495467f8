//! When the words of a text were said, by the real library on recorded and synthetic speech.

mod support;

use std::time::{Duration, Instant};

use dalston_engine_sdk::{EngineError, MAX_TEXT, NativeStream, Profile, StreamOptions, Word};

use support::{hear, library, open, profile, recording, spoken, try_open};

const SENTENCES: [(&str, &str); 3] = [
    (
        "0870",
        "And Mister John Dashwood had then leisure to consider how much there might be prudently in his power to do for them.",
    ),
    ("0880", "He was not an ill-disposed young man,"),
    ("0890", "unless to be rather cold hearted, and rather selfish, is to be ill-disposed."),
];

fn sentence(number: &str) -> Vec<i16> {
    recording(&format!("librivox/sense_and_sensibility_01_austen_64kb-{number}.wav"))
}

fn text(text: &str) -> StreamOptions {
    StreamOptions { text: Some(text.to_owned()), ..profile(Profile::Accurate) }
}

fn align(said: &str, audio: &[i16]) -> Result<Vec<Word>, EngineError> {
    let mut stream = try_open(&text(said))?;
    for part in audio.chunks(8000) {
        stream.accept(part)?;
    }
    stream.finish().map(|hypothesis| hypothesis.words)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
fn a_known_recording_is_aligned_to_known_times() {
    let _one = library();
    let words = align("Go forward, ten meters.", &recording("goforward.raw")).expect("aligned");
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    assert_eq!(texts, ["Go", "forward,", "ten", "meters."]);
    let off = words.iter().zip([0.46, 0.64, 1.16, 1.54]).map(|(word, start)| (word.start - start).abs()).collect();
    assert!(median(off) < 0.05, "{words:?}");
    assert!(words.iter().all(|word| word.confidence.is_none()), "nothing is known about it: {words:?}");
}

#[test]
fn aligned_words_stand_where_free_decoding_hears_them() {
    let _one = library();
    let (mut off, mut common) = (Vec::new(), 0);
    for (number, said) in SENTENCES {
        let audio = sentence(number);
        let heard = hear(&mut open(&profile(Profile::Accurate)), &audio, 8000).words;
        let aligned = align(said, &audio).expect("aligned");
        assert_eq!(aligned.len(), said.split_whitespace().count());
        for word in &aligned {
            let plain = word.text.to_lowercase().replace([',', '.'], "");
            let times = heard.iter().filter(|heard| heard.text == plain);
            let nearest = times.map(|heard| (heard.start - word.start).abs()).min_by(f64::total_cmp);
            // Free decoding mishears some; those have nothing to be compared with.
            if let Some(nearest) = nearest.filter(|nearest| *nearest < 1.0) {
                off.push(nearest);
                common += 1;
            }
        }
    }
    assert!(common > 25, "{common} words of both");
    assert!(median(off.clone()) < 0.08, "{off:?}");
}

#[test]
fn numbers_and_signs_are_aligned_as_they_are_said() {
    let _one = library();
    let audio = spoken("in nineteen ninety nine we paid three dollars and fifty cents, that is ten percent of it");
    let said = "In 1999 we paid $3.50 — that is 10% of it.";
    let words = align(said, &audio).expect("aligned");
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    assert_eq!(texts, said.split_whitespace().collect::<Vec<_>>());
    let long = |text: &str| words.iter().find(|word| word.text == text).map(|word| word.end - word.start).expect(text);
    assert!(long("1999") > 0.6 && long("$3.50") > 0.7 && long("10%") > 0.4, "{words:?}");
    assert_eq!(long("—"), 0.0);
}

#[test]
fn words_of_no_dictionary_are_aligned_by_their_letters() {
    let _one = library();
    let audio = spoken("we walked from hoxton to dalston on the public import grammar");
    let words = align("We walked from Hoxton to Dalston on the public import grammar", &audio).expect("aligned");
    assert_eq!(words.len(), 11);
}

#[test]
fn a_text_that_was_not_said_is_refused() {
    let _one = library();
    let others = ["this is quite another text that nobody said", "hello", "ten of clubs", "the public grammar import"];
    for said in others {
        let refused = align(said, &recording("goforward.raw"));
        assert!(matches!(refused, Err(EngineError::Rejected(_))), "{said}: {refused:?}");
    }
    for (number, _) in SENTENCES {
        for (_, said) in SENTENCES.iter().filter(|(other, _)| *other != number) {
            let refused = align(said, &sentence(number));
            assert!(matches!(refused, Err(EngineError::Rejected(_))), "{said} in {number}: {refused:?}");
        }
    }
}

#[test]
fn silence_noise_and_next_to_no_audio_have_no_words() {
    let _one = library();
    let noise: Vec<i16> = (0..48_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 20) as i16).collect();
    for audio in [vec![], vec![0; 10], vec![0; 48_000], noise] {
        let refused = align("hello world", &audio);
        assert!(matches!(refused, Err(EngineError::Rejected(_))), "{} samples: {refused:?}", audio.len());
    }
}

#[test]
fn a_text_without_a_sound_is_aligned_to_nothing() {
    let _one = library();
    for (said, count) in [("", 0), ("  ", 0), ("— … ♪", 3)] {
        assert_eq!(align(said, &recording("goforward.raw")).expect("nothing to do").len(), count, "{said:?}");
    }
}

#[test]
fn texts_that_nobody_says_end_quickly_and_without_harm() {
    let _one = library();
    let audio = recording("goforward.raw");
    let texts = [
        "go ".repeat(3_400),
        "a".repeat(10_000),
        "x".repeat(MAX_TEXT + 1),
        "語 \u{1F600} go".to_owned(),
        "\u{200b}\u{301}\0 zero".to_owned(),
        "<s> ++NOISE++ [SPEECH] ; | (go) {forward} * / \\ \"".to_owned(),
        "go forward ten meters ".repeat(100),
    ];
    for said in texts {
        let began = Instant::now();
        let refused = align(&said, &audio);
        assert!(matches!(refused, Err(EngineError::Rejected(_))), "{said:.40}: {refused:?}");
        assert!(began.elapsed() < Duration::from_secs(30), "{said:.40}: {:?}", began.elapsed());
    }
}

#[test]
fn audio_beyond_the_limit_is_refused_and_not_kept() {
    let _one = library();
    let mut stream = open(&text("hello"));
    let minute = vec![0; 60 * 16_000];
    for _ in 0..5 {
        stream.accept(&minute).expect("five minutes");
    }
    assert!(matches!(stream.accept(&[0]), Err(EngineError::Rejected(_))));
}
