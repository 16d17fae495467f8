use serde_json::{Value, json};

use super::*;

fn spoken(reply: &Value) -> Vec<Spoken> {
    Reply::read(reply.to_string().as_bytes()).expect("a transcript").spoken(100.0, 10.0)
}

/// `text@start-end`, parted by spaces.
fn shown(words: &[Word]) -> String {
    let words: Vec<String> = words.iter().map(|w| format!("{}@{:.1}-{:.1}", w.text, w.start, w.end)).collect();
    words.join(" ")
}

#[test]
fn words_go_to_their_segments_with_the_punctuation_of_the_text() {
    let word = |word: &str, start: f64, end: f64| json!({ "word": word, "start": start, "end": end });
    let found = spoken(&json!({
        "task": "transcribe", "language": "english", "duration": 10.0, "text": "Go, forward! Ten metres.",
        "segments": [
            { "id": 0, "start": 0.0, "end": 2.0, "text": " Go, forward!", "avg_logprob": -0.1 },
            { "id": 1, "start": 2.0, "end": 4.0, "text": " Ten metres.", "avg_logprob": 0.0 },
        ],
        "words": [word("Go", 0.1, 0.5), word("forward", 0.5, 2.1), word("Ten", 2.1, 2.5), word("metres", 2.5, 4.2)],
    }));
    let [first, second] = &found[..] else { panic!("{found:?}") };
    assert_eq!(
        (first.text.as_str(), shown(&first.words)),
        ("Go, forward!", "Go,@100.1-100.5 forward!@100.5-102.1".into())
    );
    assert_eq!(
        (second.text.as_str(), shown(&second.words)),
        ("Ten metres.", "Ten@102.1-102.5 metres.@102.5-104.2".into())
    );
    assert!(first.confidence.is_some_and(|confidence| (confidence - 0.905).abs() < 0.001), "{first:?}");
    assert_eq!(second.confidence, None);
}

#[test]
fn words_may_stand_with_their_segments_and_bring_a_probability() {
    let found = spoken(&json!({ "text": "go", "segments": [
        { "start": 1.0, "end": 2.0, "text": "go", "words": [{ "word": " go", "start": 1.2, "end": 1.8, "probability": 0.5 }] },
    ]}));
    assert_eq!((shown(&found[0].words), found[0].words[0].confidence), ("go@101.2-101.8".into(), Some(0.5)));
}

#[test]
fn a_text_alone_is_one_segment_without_words_and_no_text_is_none() {
    let found = spoken(&json!({ "text": " go \n forward " }));
    let expected = Spoken { start: 100.0, end: 110.0, text: "go forward".into(), ..Spoken::default() };
    assert_eq!(found, [expected]);
    assert!(spoken(&json!({ "text": "" })).is_empty());
    assert!(spoken(&json!({ "text": " ", "segments": null, "words": [] })).is_empty());
}

#[test]
fn times_that_cannot_be_are_brought_into_order() {
    let found =
        spoken(&json!({ "text": "a b c", "segments": [{ "start": -5.0, "end": 99.0, "text": "a b c" }], "words": [
            { "word": "c", "start": 8.0, "end": 1e300 },
            { "word": "a", "start": -1.0, "end": 3.0 },
            { "word": "b", "start": 2.0, "end": 1.0 },
        ]}));
    assert_eq!((found[0].start, found[0].end), (100.0, 110.0));
    assert_eq!(shown(&found[0].words), "a@100.0-103.0 b@103.0-103.0 c@108.0-110.0");
}

#[test]
fn an_utterances_words_are_its_text() {
    let reply = json!({ "text": "twenty-one — yes", "words": [
        { "word": "twenty", "start": 0.0, "end": 0.4 }, { "word": "one", "start": 0.4, "end": 0.6 },
        { "word": "yes", "start": 1.0, "end": 1.2 }, { "word": "sir", "start": 1.2, "end": 1.4 },
    ]});
    let heard = Reply::read(reply.to_string().as_bytes()).expect("a transcript").hypothesis(2.0);
    assert_eq!(heard.text, "twenty one yes sir");
    assert_eq!(heard.words.len(), 4);
    let heard = Reply::read(br#"{"text":"Yes,  sir."}"#).expect("a transcript").hypothesis(2.0);
    assert_eq!((heard.text.as_str(), heard.words.len()), ("Yes, sir.", 0));
}

#[test]
fn what_is_no_transcript_is_refused() {
    for wrong in ["", "null", "[]", "{}", "<html>", r#"{"text":5}"#, r#"{"text":"a","segments":[{"start":"x"}]}"#] {
        let error = Reply::read(wrong.as_bytes()).expect_err(wrong);
        assert!(matches!(error, CallError::Nonsense(_)), "{wrong}: {error}");
    }
}
