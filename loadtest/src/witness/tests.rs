use std::time::Duration;

use dalston_protocol::{
    RequestId, Segment,
    realtime::{FinalCause, SessionInfo},
};

use super::*;

fn begin() -> ServerMessage {
    let config = SessionInfo {
        sample_rate: 16_000,
        encoding: "pcm_s16le".into(),
        channels: 1,
        language: "en".into(),
        model: "engine/model".into(),
    };
    let (session_id, request_id) = (SessionId::generate(), RequestId::generate());
    ServerMessage::SessionBegin { session_id, request_id, trace_id: None, config, resume: None, resumed: None }
}

fn said(utterance: u32, text: &str, start: f64, end: f64) -> ServerMessage {
    ServerMessage::Final(TranscriptFinal {
        utterance_id: format!("utt_{utterance}"),
        text: text.into(),
        start,
        end,
        confidence: None,
        language: "en".into(),
        words: Vec::new(),
        channel: None,
        cause: FinalCause::Endpoint,
        id: None,
    })
}

fn end(audio: f64, texts: &[&str]) -> ServerMessage {
    let segment = |text: &&str| Segment {
        id: 0,
        start: 0.0,
        end: 0.0,
        text: (*text).into(),
        speaker: None,
        channel: None,
        confidence: None,
        words: Vec::new(),
        words_estimated: false,
    };
    ServerMessage::SessionEnd(SessionEnd {
        session_id: SessionId::generate(),
        total_audio_seconds: audio,
        total_speech_duration: 0.0,
        transcript: texts.join(" "),
        segments: texts.iter().map(segment).collect(),
        truncated: false,
    })
}

fn pace() -> Pace {
    Pace { start: Instant::now(), frame: Duration::from_millis(100), speed: 1.0 }
}

/// The faults of a session of 4 s that hears these messages and then this close code.
fn faults(expected: Option<&[Said]>, messages: &[ServerMessage], close: u16) -> Vec<Fault> {
    let tally = Tally::default();
    let expectation = Expectation { pace: pace(), endpointing: 0.5, audio: 4.0, finals: expected, keep: false };
    let mut witness = Witness::new(&tally, 0, expectation);
    messages.iter().for_each(|message| witness.hear(message, Instant::now()));
    witness.closed(close, "");
    Fault::ALL.into_iter().filter(|kind| tally.faults(*kind).count > 0).collect()
}

#[test]
fn a_session_as_it_should_be_has_no_fault() {
    let expected = [Said { text: "a".into(), start: 0.0, end: 1.0 }, Said { text: "b c".into(), start: 1.5, end: 3.0 }];
    let messages = [begin(), said(1, "a", 0.0, 1.0), said(2, "b c", 1.5, 3.0), end(4.0, &["a", "b c"])];
    assert_eq!(faults(Some(&expected), &messages, 1000), []);
}

#[test]
fn every_way_to_go_wrong_is_its_own_fault() {
    let check = |messages: &[ServerMessage], close: u16, fault: Fault| {
        assert_eq!(faults(None, messages, close), [fault], "{messages:?}");
    };
    let a = || said(1, "a", 1.0, 2.0);
    check(&[], 4503, Fault::Opening);
    check(&[begin(), a(), a(), end(4.0, &["a", "a"])], 1000, Fault::Order);
    check(&[begin(), a(), said(2, "b", 1.9, 3.0), end(4.0, &["a", "b"])], 1000, Fault::Order);
    check(&[begin(), said(1, "a", 2.0, 1.0), end(4.0, &["a"])], 1000, Fault::Order);
    check(&[begin(), a(), end(3.9, &["a"])], 1000, Fault::Audio);
    check(&[begin(), a(), end(4.0, &["b"])], 1000, Fault::Transcript);
    check(&[begin(), a(), end(4.0, &["a", ""])], 1000, Fault::Transcript);
    check(&[begin(), a()], 1000, Fault::Ending);
    check(&[begin(), end(4.0, &[])], 1011, Fault::Ending);
    check(&[begin(), begin(), end(4.0, &[])], 1000, Fault::Message);
    check(&[begin(), end(4.0, &[]), ServerMessage::SpeechEnd { timestamp: 4.0, channel: None }], 1000, Fault::Message);
}

#[test]
fn another_final_than_expected_is_a_fault_and_so_is_one_that_is_missing() {
    let expected = [Said { text: "a".into(), start: 0.0, end: 1.0 }];
    let check = |messages: &[ServerMessage], faulty: bool| {
        let expected: &[Fault] = if faulty { &[Fault::Words] } else { &[] };
        assert_eq!(faults(Some(&[Said { text: "a".into(), start: 0.0, end: 1.0 }]), messages, 1000), expected);
    };
    assert_eq!(expected.len(), 1);
    check(&[begin(), said(1, "a", 0.0, 1.0), end(4.0, &["a"])], false);
    check(&[begin(), said(1, "b", 0.0, 1.0), end(4.0, &["b"])], true);
    check(&[begin(), said(1, "a", 0.0, 1.1), end(4.0, &["a"])], true);
    check(&[begin(), end(4.0, &[])], true);
    check(&[begin(), said(1, "a", 0.0, 1.0), said(2, "b", 1.0, 2.0), end(4.0, &["a", "b"])], true);
}

#[test]
fn a_final_is_timed_from_the_schedule_of_the_audio_that_made_it_possible() {
    let tally = Tally::default();
    let pace = pace();
    let expectation = Expectation { pace, endpointing: 0.5, audio: 4.0, finals: None, keep: false };
    let mut witness = Witness::new(&tally, 0, expectation);
    witness.hear(&begin(), pace.start);
    // An utterance without words leaves its end of speech behind.
    for timestamp in [0.4, 1.42] {
        witness.hear(&ServerMessage::SpeechEnd { timestamp, channel: None }, pace.start);
    }
    // The sample at 1.92 s comes with the frame that is due at 2 s.
    witness.hear(&said(2, "a", 1.0, 1.42), pace.start + Duration::from_millis(2_030));
    let took = |moment| tally.latency(moment).quantile(1.0).as_millis();
    assert_eq!((took(Moment::BeyondEndpointing), took(Moment::Final)), (30, 530));
    assert_eq!(tally.latency(Moment::Final).count(), 1);
}
