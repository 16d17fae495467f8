use std::time::Duration;

use dalston_engine_sdk::Word;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

fn probability() -> impl Strategy<Value = Option<f32>> {
    option::of(0.0f32..=1.0)
}

fn hypothesis() -> impl Strategy<Value = Hypothesis> {
    let word = (".{0,12}", 0.0..1e4f64, 0.0..1e3f64, probability());
    let word = word.prop_map(|(text, start, long, confidence)| Word { text, start, end: start + long, confidence });
    (".{0,40}", vec(word, 0..6), probability()).prop_map(|(text, words, confidence)| Hypothesis {
        text,
        words,
        confidence,
    })
}

fn error() -> impl Strategy<Value = EngineError> {
    prop_oneof![
        (".{0,40}", ".{0,40}").prop_map(|(what, fix)| EngineError::Unavailable { what, fix }),
        (0u64..1000).prop_map(|seconds| EngineError::Busy(Duration::from_secs(seconds))),
        ".{0,40}".prop_map(EngineError::Rejected),
        ".{0,40}".prop_map(EngineError::Failed),
        ".{0,40}".prop_map(EngineError::Died),
        (0u64..1000).prop_map(|seconds| EngineError::Stalled(Duration::from_secs(seconds))),
    ]
}

fn options() -> impl Strategy<Value = StreamOptions> {
    let profile = prop_oneof![Just(Profile::LowLatency), Just(Profile::Balanced), Just(Profile::Accurate)];
    ("[a-z]{0,8}", profile, vec(".{0,20}", 0..5), option::of(".{0,40}"), any::<bool>()).prop_map(
        |(language, profile, vocabulary, text, translate)| {
            let caller = Caller::default();
            StreamOptions { language, profile, vocabulary, text, translate, caller }
        },
    )
}

fn assert_survives<M: Message + PartialEq + std::fmt::Debug>(message: &M) {
    assert_eq!(M::decode(&message.encode()).as_ref(), Ok(message));
    let frame = message.frame();
    let (length, body) = frame.split_at(LENGTH);
    assert_eq!(length, u32::try_from(body.len()).expect("short").to_le_bytes());
    assert_eq!(M::decode(body).as_ref(), Ok(message));
}

proptest! {
    #[test]
    fn every_message_survives_the_wire(
        id: u64, pid: u32, code: i32, options in options(), error in error(), hypothesis in hypothesis(),
        samples in vec(any::<i16>(), 0..300), want_partial: bool, adaptation in vec(any::<u8>(), 0..100),
    ) {
        assert_survives(&Order::Fork { id, options });
        assert_survives(&Order::Kill { id });
        assert_survives(&Report::Ready);
        assert_survives(&Report::LoadFailed(error.clone()));
        assert_survives(&Report::Forked { id, pid });
        assert_survives(&Report::Refused { id, error: error.clone() });
        assert_survives(&Report::Ended { id, how: Exit::Code(code) });
        assert_survives(&Report::Ended { id, how: Exit::Signal(code) });
        prop_assert_eq!(
            Request::audio_frame(&samples, want_partial),
            Request::Audio { want_partial, samples: samples.clone() }.frame()
        );
        assert_survives(&Request::Audio { want_partial, samples });
        assert_survives(&Request::Adapt(adaptation.clone()));
        assert_survives(&Request::Finish);
        assert_survives(&Answer::Decoded(None));
        assert_survives(&Answer::Decoded(Some(hypothesis.clone())));
        assert_survives(&Answer::Final { hypothesis, adaptation });
        assert_survives(&Answer::Failed(error));
    }

    #[test]
    fn any_bytes_are_a_message_or_garbage_and_never_a_panic(bytes in vec(any::<u8>(), 0..400), tag in 0u8..6) {
        for bytes in [bytes.clone(), [&[tag], &bytes[..]].concat()] {
            let _ = (Order::decode(&bytes), Report::decode(&bytes), Request::decode(&bytes), Answer::decode(&bytes));
        }
    }

    #[test]
    fn a_message_cut_short_is_garbage(hypothesis in hypothesis(), cut in 0usize..1000) {
        let bytes = Answer::Decoded(Some(hypothesis)).encode();
        let cut = cut % bytes.len();
        prop_assert_eq!(Answer::decode(&bytes[..cut]), Err(Garbage));
    }
}

#[test]
fn a_list_that_claims_more_than_it_holds_allocates_nothing() {
    let bytes = [&[2u8][..], &0u32.to_le_bytes(), &f32::NAN.to_le_bytes(), &u32::MAX.to_le_bytes()].concat();
    assert_eq!(Answer::decode(&bytes), Err(Garbage));
}

#[test]
fn a_long_reason_is_cut_and_not_refused() {
    let long = EngineError::Failed("é".repeat(100_000));
    let Ok(Answer::Failed(EngineError::Failed(why))) = Answer::decode(&Answer::Failed(long).encode()) else {
        panic!("a failure")
    };
    assert!(why.len() <= 1000 && why.chars().all(|c| c == 'é'));
}
