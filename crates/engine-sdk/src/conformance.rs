//! What every [`StreamingEngine`] is held to, as claims that a test runs against it.
//!
//! A claim panics with what it found. None measures time, and none needs a particular runtime: the caller brings both.

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join};

use crate::{EngineError, Hypothesis, Languages, Recognizer, SAMPLE_RATE, StreamOptions, StreamingEngine};

/// An engine to be held to the claims, with audio that it can do something with.
pub struct Subject<'a> {
    /// The engine.
    pub engine: &'a dyn StreamingEngine,
    /// Options that it can serve.
    pub options: StreamOptions,
    /// Two utterances in which it hears different words, each of them several.
    pub utterances: [Vec<i16>; 2],
}

/// One claim about a subject.
pub type Claim = for<'a> fn(&'a Subject<'a>) -> BoxFuture<'a, ()>;

/// Every claim and its name.
pub const CLAIMS: &[(&str, Claim)] = &[
    ("an_utterance_without_audio_has_no_words", |subject| subject.empty().boxed()),
    ("words_are_in_order_and_inside_the_audio", |subject| subject.times().boxed()),
    ("partials_come_when_they_are_wanted", |subject| subject.partials().boxed()),
    ("any_chunking_gives_the_same_words", |subject| subject.chunking().boxed()),
    ("two_streams_do_not_mix", |subject| subject.streams().boxed()),
    ("utterances_of_a_stream_do_not_mix", |subject| subject.utterances().boxed()),
    ("a_reset_forgets_the_utterance", |subject| subject.reset().boxed()),
    ("dropping_frees_what_was_held", |subject| subject.dropping().boxed()),
    ("a_language_it_does_not_know_is_rejected", |subject| subject.language().boxed()),
];

/// A tenth of a second.
const CHUNK: usize = SAMPLE_RATE as usize / 10;

impl Subject<'_> {
    fn open(&self) -> Box<dyn Recognizer> {
        self.engine.open(self.options.clone()).expect("options that the engine can serve")
    }

    /// What a fresh recogniser hears.
    async fn heard_alone(&self, utterance: usize) -> Hypothesis {
        hear(&mut *self.open(), &self.utterances[utterance], CHUNK).await
    }

    async fn empty(&self) {
        let mut recognizer = self.open();
        assert_eq!(recognizer.finish().await, Ok(Hypothesis::default()));
        assert_eq!(recognizer.accept(&[], false).await, Ok(None));
        assert_eq!(recognizer.finish().await, Ok(Hypothesis::default()));
        let heard = hear(&mut *recognizer, &self.utterances[0], CHUNK).await;
        assert!(!heard.text.is_empty(), "no words in the first utterance");
        assert_eq!(recognizer.finish().await, Ok(Hypothesis::default()), "an utterance ends once");
    }

    async fn times(&self) {
        for (number, audio) in self.utterances.iter().enumerate() {
            let heard = self.heard_alone(number).await;
            assert_well_formed(&heard);
            if self.engine.capabilities().word_timestamps {
                let texts: Vec<&str> = heard.words.iter().map(|word| word.text.as_str()).collect();
                assert_eq!(texts.join(" "), heard.text, "the words are the text");
                let seconds = audio.len() as f64 / f64::from(SAMPLE_RATE);
                assert!(heard.words.iter().all(|word| word.end <= seconds + 0.05), "{heard:?} in {seconds} s");
            }
            if self.engine.capabilities().confidence {
                assert!(heard.words.iter().all(|word| word.confidence.is_some()), "{heard:?}");
            }
        }
    }

    async fn partials(&self) {
        let mut recognizer = self.open();
        let mut partials = 0;
        for chunk in self.utterances[0].chunks(CHUNK) {
            assert_eq!(recognizer.accept(chunk, false).await, Ok(None), "a partial that nobody wanted");
            if let Some(partial) = recognizer.accept(&[], true).await.expect("accepted") {
                assert_well_formed(&partial);
                partials += usize::from(!partial.text.is_empty());
            }
        }
        assert_eq!(partials > 0, self.engine.capabilities().partials, "{partials} partials");
    }

    async fn chunking(&self) {
        let expected = self.heard_alone(0).await.text;
        for chunk in [1, 3, 7].map(|tenths| CHUNK * tenths + 13).into_iter().chain([usize::MAX]) {
            let heard = hear(&mut *self.open(), &self.utterances[0], chunk).await;
            assert_eq!(heard.text, expected, "chunks of {chunk}");
        }
    }

    async fn streams(&self) {
        let expected = [self.heard_alone(0).await, self.heard_alone(1).await].map(|heard| heard.text);
        assert_ne!(expected[0], expected[1], "the utterances differ");
        let (mut first, mut second) = (self.open(), self.open());
        let [a, b] = &self.utterances;
        let (a, b) = join(hear(&mut *first, a, CHUNK), hear(&mut *second, b, CHUNK * 2)).await;
        assert_eq!([a.text, b.text], expected);
    }

    /// An engine may know a voice better at its second utterance, but it hears the same each time, and nothing of the first.
    async fn utterances(&self) {
        let mut texts = Vec::new();
        for chunk in [CHUNK, CHUNK * 2 + 7] {
            let mut recognizer = self.open();
            let first = hear(&mut *recognizer, &self.utterances[0], chunk).await;
            let second = hear(&mut *recognizer, &self.utterances[1], chunk).await;
            assert_well_formed(&second);
            let seconds = self.utterances[1].len() as f64 / f64::from(SAMPLE_RATE);
            assert!(second.words.iter().all(|word| word.end <= seconds + 0.05), "{second:?} in {seconds} s");
            texts.push([first.text, second.text]);
        }
        assert_eq!(texts[0], texts[1]);
    }

    async fn reset(&self) {
        let expected = self.heard_alone(1).await.text;
        let mut recognizer = self.open();
        let half = &self.utterances[0][..self.utterances[0].len() / 2];
        recognizer.accept(half, false).await.expect("accepted");
        recognizer.reset();
        assert_eq!(recognizer.finish().await, Ok(Hypothesis::default()), "nothing is left of it");
        recognizer.accept(half, false).await.expect("accepted");
        recognizer.reset();
        recognizer.reset();
        assert_eq!(hear(&mut *recognizer, &self.utterances[1], CHUNK).await.text, expected);
    }

    /// More often than there are streams: with calls pending, between calls, and after a reset.
    async fn dropping(&self) {
        let rounds = self.engine.capabilities().max_streams.unwrap_or(8) + 2;
        for _ in 0..rounds {
            let mut pending = self.open();
            // Polled once and dropped, wherever that finds it.
            let _unfinished = pending.accept(&self.utterances[0], true).now_or_never();
            drop(pending);
            let mut open = self.open();
            open.accept(&self.utterances[0][..CHUNK], false).await.expect("a stream is free");
            let _unfinished = open.finish().now_or_never();
        }
        let expected = self.heard_alone(1).await.text;
        assert_eq!(self.heard_alone(1).await.text, expected);
    }

    async fn language(&self) {
        let unknown = StreamOptions { language: "tlh".into(), ..self.options.clone() };
        match (&self.engine.capabilities().languages, self.engine.open(unknown)) {
            (Languages::Only(_), Err(EngineError::Rejected(_))) | (Languages::Any(_), Ok(_)) => {}
            (languages, opened) => panic!("{languages:?}, and Klingon gave {:?}", opened.err()),
        }
    }
}

async fn hear(recognizer: &mut dyn Recognizer, audio: &[i16], chunk: usize) -> Hypothesis {
    for part in audio.chunks(chunk) {
        recognizer.accept(part, false).await.expect("accepted");
    }
    recognizer.finish().await.expect("finished")
}

fn assert_well_formed(heard: &Hypothesis) {
    let probable = |value: Option<f32>| value.is_none_or(|value| (0.0..=1.0).contains(&value));
    let mut before = 0.0;
    for word in &heard.words {
        assert!(!word.text.is_empty() && !word.text.contains(' '), "{heard:?}");
        assert!(before <= word.start + 1e-6 && word.start <= word.end, "words in order: {heard:?}");
        assert!(probable(word.confidence), "{heard:?}");
        before = word.end;
    }
    assert!(probable(heard.confidence), "{heard:?}");
    assert_eq!(heard.text.split_whitespace().collect::<Vec<_>>().join(" "), heard.text, "single spaces");
}
