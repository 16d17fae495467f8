use dalston_protocol::realtime::FinalCause;

use super::*;

fn said(number: u64, start: f64, end: f64, channel: Option<u8>) -> FromWorker {
    FromWorker::Event(Box::new(ServerMessage::Final(TranscriptFinal {
        utterance_id: format!("utt_{number}"),
        text: "go".into(),
        start,
        end,
        confidence: None,
        language: "en".into(),
        words: Vec::new(),
        channel,
        cause: FinalCause::Endpoint,
        id: None,
    })))
}

fn speech(starts: bool, timestamp: f64) -> FromWorker {
    FromWorker::Event(Box::new(match starts {
        true => ServerMessage::SpeechStart { timestamp, channel: None },
        false => ServerMessage::SpeechEnd { timestamp, channel: None },
    }))
}

#[test]
fn a_final_settles_its_audio_before_its_worker_says_so() {
    let mut progress = Progress::new(&SessionConfig::default());
    assert!(progress.counts(&FromWorker::Settled(Duration::from_millis(1_500))));
    assert!(progress.counts(&said(3, 5.2, 9.7, None)));
    assert_eq!(progress.settled(), Duration::from_secs_f64(9.7));
    let continuation = progress.continuation(progress.from(), Duration::ZERO, Duration::ZERO);
    assert_eq!((continuation.from, continuation.utterances, continuation.moves), (7, 3, 1));
    assert_eq!(continuation.answered[0], Duration::from_secs_f64(9.7));
    assert!(!progress.counts(&said(4, 5.2, 9.7, None)), "nothing is said twice");
}

#[test]
fn written_down_and_read_again_it_is_the_same() {
    let mut progress = Progress::new(&SessionConfig::default());
    let said = [said(1, 1.0, 2.5, None), said(2, 3.0, 4.5, None)];
    let finals: Vec<TranscriptFinal> = said
        .iter()
        .map(|said| match said {
            FromWorker::Event(event) => match &**event {
                ServerMessage::Final(said) => said.clone(),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(said.iter().all(|said| progress.counts(said)) && progress.counts(&speech(true, 5.0)));
    let text = serde_json::to_string(&progress).expect("it has a JSON form");
    let read: Progress = serde_json::from_str(&text).expect("it is its own");
    let zero = Duration::ZERO;
    let again = read.clone().with_finals(&finals, true);
    assert_eq!(again.continuation(2, zero, zero), progress.continuation(2, zero, zero));
    let end = |progress: &Progress| progress.said().clone().into_end("ses_1".parse().expect("an id"), 6.0, 3.0);
    assert!(!end(&again).truncated);
    assert!(end(&read.with_finals(&finals[1..], false)).truncated);
}

#[test]
fn a_final_that_was_written_down_later_than_the_rest_settles_its_audio_too() {
    let mut progress = Progress::new(&SessionConfig::default());
    assert!(progress.counts(&said(1, 1.0, 2.5, None)));
    let before = progress.without_finals();
    let later = said(2, 3.0, 7.5, None);
    assert!(progress.counts(&later));
    let FromWorker::Event(event) = later else { unreachable!("it is an event") };
    let ServerMessage::Final(later) = *event else { unreachable!("it is a final") };
    let mut read = before.with_finals([&later], false);
    assert_eq!((read.from(), read.utterances()), (5, 2));
    assert!(!read.counts(&said(3, 3.0, 7.5, None)), "nothing is said twice");
}

#[test]
fn what_was_acknowledged_is_answered_for_by_more_than_the_warm_up() {
    let mut progress = Progress::new(&SessionConfig::default());
    assert!(progress.counts(&said(1, 1.0, 8.7, None)));
    for known in [0, progress.from()] {
        progress.acknowledged(known);
        assert_eq!(progress.settled(), Duration::from_secs_f64(8.7), "{known}");
    }
    progress.acknowledged(19);
    assert_eq!(progress.from(), 19);
    let continuation = progress.continuation(19, Duration::ZERO, Duration::ZERO);
    assert_eq!((continuation.answered[0], continuation.last_end[0]), (Duration::from_secs(21), 8.7));
}

#[test]
fn the_slower_channel_says_from_where_and_each_is_answered_for_itself() {
    let mut progress = Progress::new(&SessionConfig { channels: 2, ..SessionConfig::default() });
    progress.counts(&FromWorker::Settled(Duration::from_secs(4)));
    progress.counts(&said(1, 1.0, 20.0, Some(0)));
    assert_eq!(progress.from(), 2);
    let continuation = progress.continuation(2, Duration::ZERO, Duration::ZERO);
    assert_eq!(continuation.answered, [20, 4].map(Duration::from_secs));
    assert_eq!(continuation.last_end, [20.0, 0.0]);
}

fn spoken(channel: u8, until: f64, speech: f64) -> FromWorker {
    let seconds = Duration::from_secs_f64;
    FromWorker::Spoken(Box::new(Spoken { channel, until: seconds(until), speech: seconds(speech) }))
}

#[test]
fn speech_counts_once_it_is_answered_for_and_then_whether_it_had_words_or_not() {
    let mut progress = Progress::new(&SessionConfig { channels: 2, ..SessionConfig::default() });
    let counted = |progress: &Progress| progress.continuation(0, Duration::ZERO, Duration::ZERO).speech.as_secs_f64();
    for said in [spoken(0, 2.5, 1.5), spoken(0, 4.0, 1.0), spoken(1, 3.0, 0.5)] {
        assert!(progress.counts(&said));
        assert_eq!(counted(&progress), 0.0, "it is not answered for");
    }
    // Its words begin later than its speech.
    progress.counts(&said(1, 1.8, 2.5, Some(0)));
    assert_eq!(counted(&progress), 1.5);
    progress.counts(&FromWorker::Settled(Duration::from_micros(2_999_999)));
    assert_eq!(counted(&progress), 2.0, "of the other channel there are no words");
    progress.moved();
    progress.counts(&FromWorker::Settled(Duration::from_secs(5)));
    assert_eq!(counted(&progress), 2.0, "the next worker counts what it hears again");
}

#[test]
fn the_next_worker_is_told_which_connection_has_the_session() {
    let mut progress = Progress::new(&SessionConfig::default());
    let told = |progress: &Progress| {
        let continuation = progress.continuation(0, Duration::ZERO, Duration::ZERO);
        (continuation.epoch, continuation.moves)
    };
    assert_eq!(told(&progress), (1, 1));
    progress.moved();
    progress.taken(3);
    assert_eq!((told(&progress), told(&progress.without_finals())), ((3, 2), (3, 2)));
}

#[test]
fn the_client_is_not_told_again_that_somebody_speaks() {
    let mut progress = Progress::new(&SessionConfig::default());
    assert!(progress.counts(&speech(true, 1.0)) && progress.counts(&speech(false, 2.0)));
    assert!(progress.counts(&speech(true, 3.0)));
    progress.moved();
    assert!(!progress.counts(&speech(true, 3.02)), "the one that goes on");
    assert!(progress.counts(&speech(false, 4.0)));
    progress.moved();
    assert!(!progress.counts(&speech(true, 3.0)) && !progress.counts(&speech(false, 4.0)), "the one that is over");
    assert!(progress.counts(&speech(true, 5.0)));
}
