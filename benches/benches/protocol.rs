//! What is read and written for a session besides audio: its parameters, its client's messages, its events.
#![allow(missing_docs, reason = "criterion's macros make public items")]

mod thread_time;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use dalston_protocol::realtime::{ClientMessage, FinalCause, ServerMessage, SessionInfo, TranscriptFinal, parse_query};
use dalston_protocol::{RequestId, SessionId, Word};
use thread_time::{ThreadTime, short};

const SENTENCE: &str = "go forward ten meters and then turn left at the second door";

fn words() -> Vec<Word> {
    let word = |(i, word): (usize, &str)| Word {
        text: word.into(),
        word: word.into(),
        start: i as f64 * 0.31,
        end: i as f64 * 0.31 + 0.27,
        confidence: Some(0.93),
    };
    SENTENCE.split(' ').enumerate().map(word).collect()
}

fn final_with(words: Vec<Word>) -> ServerMessage {
    ServerMessage::Final(TranscriptFinal {
        utterance_id: "utt_17".into(),
        text: SENTENCE.into(),
        start: 41.22,
        end: 44.94,
        confidence: Some(0.91),
        language: "en".into(),
        words,
        channel: None,
        cause: FinalCause::Endpoint,
        id: None,
    })
}

fn events(criterion: &mut Criterion<ThreadTime>) {
    let begin = ServerMessage::SessionBegin {
        session_id: SessionId::generate(),
        request_id: RequestId::generate(),
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
        config: SessionInfo {
            sample_rate: 16_000,
            encoding: "pcm_s16le".into(),
            channels: 1,
            language: "en".into(),
            model: "pocketsphinx/en-us".into(),
        },
        resume: None,
        resumed: None,
    };
    let partial = ServerMessage::Partial {
        utterance_id: "utt_17".into(),
        text: SENTENCE.into(),
        start: 41.22,
        end: 44.58,
        channel: None,
    };
    let mut group = criterion.benchmark_group("event to JSON");
    for (name, message) in [
        ("session.begin", begin),
        ("vad.speech_start", ServerMessage::SpeechStart { timestamp: 41.22, channel: None }),
        ("transcript.partial, 12 words", partial),
        ("transcript.final, 12 words", final_with(Vec::new())),
        ("transcript.final, 12 words with times", final_with(words())),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| serde_json::to_string(black_box(&message))));
    }
    group.finish();
}

fn messages(criterion: &mut Criterion<ThreadTime>) {
    let mut group = criterion.benchmark_group("message from JSON");
    for (name, text) in [
        ("end", r#"{"type":"end"}"#),
        ("flush", r#"{"type":"flush","id":"01JD3V5W8Y9ZK4M7N2P6Q8R0ST"}"#),
        ("config", r#"{"type":"config","endpointing_ms":800,"interim_results":false,"language":"en"}"#),
        ("refused", r#"{"type":"config","endpoint":800}"#),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| ClientMessage::parse(black_box(text))));
    }
    group.finish();
}

fn parameters(criterion: &mut Criterion<ThreadTime>) {
    let query = [
        ("encoding", "mulaw"),
        ("sample_rate", "8000"),
        ("language", "en"),
        ("interim_results", "true"),
        ("word_timestamps", "true"),
        ("endpointing_ms", "600"),
        ("vocabulary", "dalston,kingsland,hackney"),
    ];
    let mut group = criterion.benchmark_group("handshake");
    group.bench_function("no parameter", |bencher| bencher.iter(|| parse_query([])));
    group.bench_function("seven parameters", |bencher| bencher.iter(|| parse_query(black_box(query))));
    group.finish();
}

criterion_group! {
    name = benches;
    config = short();
    targets = events, messages, parameters
}
criterion_main!(benches);
