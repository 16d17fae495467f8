use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn word(text: &str, start: f64) -> Word {
    Word { text: text.to_owned(), start, end: start + 0.3, confidence: None }
}

/// Words half a second apart.
fn words(text: &str) -> Vec<Word> {
    text.split_whitespace().enumerate().map(|(at, text)| word(text, at as f64 / 2.0)).collect()
}

fn text(words: &[Word]) -> String {
    words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn what_two_hypotheses_begin_with_alike_is_committed() {
    let mut agreement = LocalAgreement::default();
    assert_eq!(agreement.hear(words("go for")), 0);
    assert_eq!(agreement.hear(words("Go forward ten")), 1);
    assert_eq!(text(agreement.committed()), "Go", "as the later hypothesis has it");
    assert_eq!(text(&agreement.words()), "Go forward ten");
    assert_eq!(agreement.hear(words("go forward, ten meters")), 2);
    assert_eq!(text(&agreement.finish(words("go forward ten meters."))), "Go forward, ten meters.");
}

#[test]
fn a_word_that_is_said_twice_is_heard_twice() {
    let mut agreement = LocalAgreement::default();
    agreement.hear(words("it is very"));
    agreement.hear(words("it is very"));
    assert_eq!(text(&agreement.finish(words("it is very very good"))), "it is very very good");
}

#[test]
fn a_word_that_is_heard_later_than_before_is_not_heard_twice() {
    let mut agreement = LocalAgreement::default();
    agreement.hear(words("so good"));
    agreement.hear(words("so good"));
    let later = vec![word("so", 0.9), word("good", 1.4), word("today", 1.9)];
    assert_eq!(text(&agreement.finish(later)), "so good today");
}

#[test]
fn words_whose_text_tells_nothing_are_parted_by_their_times() {
    let mut agreement = LocalAgreement::default();
    agreement.hear(words("a b"));
    agreement.hear(words("a b"));
    // As many edits from one word as from three.
    let other = vec![word("x", 0.0), word("y", 0.5), word("z", 1.0)];
    assert_eq!(text(&agreement.finish(other)), "a b z");
}

/// A hypothesis of some words out of few, so that they repeat.
fn hypothesis() -> impl Strategy<Value = Vec<Word>> {
    vec(("[a-c]{1,2}[.,]?", 0.0..0.6f64), 0..8).prop_map(|parts| {
        let mut at = 0.0;
        let each = parts.into_iter().map(|(text, gap)| {
            at += gap + 0.3;
            word(&text, at - 0.3)
        });
        each.collect()
    })
}

proptest! {
    #[test]
    fn what_is_committed_stays(hypotheses in vec((hypothesis(), 0usize..4), 1..12)) {
        let mut agreement = LocalAgreement::default();
        for (hypothesis, keep) in hypotheses {
            let before = agreement.committed().to_vec();
            let tail = agreement.tail.clone();
            let count = agreement.hear(hypothesis);
            let after = agreement.committed();
            prop_assert_eq!(&after[..before.len()], &before[..]);
            prop_assert_eq!(after.len(), before.len() + count);
            for (old, new) in tail.iter().zip(&after[before.len()..]) {
                prop_assert!(is_same(&old.text, &new.text), "{old:?} {new:?}");
            }
            let all = agreement.words();
            prop_assert_eq!(&all[..after.len()], after);
            prop_assert!(all.iter().all(|word| word.start <= word.end));
            prop_assert!(all.windows(2).all(|pair| pair[0].end <= pair[1].start));
            agreement.cut(keep);
        }
    }

    #[test]
    fn beginnings_of_a_text_end_in_the_text(
        truth in vec("[a-c]{1,2}", 1..30),
        steps in vec((1usize..5, option_of_keep(), -0.4..0.4f64), 1..20),
    ) {
        let truth = words(&truth.join(" "));
        let mut agreement = LocalAgreement::default();
        // The true word with which the window begins.
        let mut window = 0;
        let mut heard = 0;
        for (more, keep, shift) in steps {
            heard = (heard + more).min(truth.len());
            let late = |time: f64| (time + shift).max(0.0);
            let shifted = truth[window..heard.max(window)].iter();
            let shifted = shifted.map(|word| Word { start: late(word.start), end: late(word.end), ..word.clone() });
            agreement.hear(shifted.collect());
            prop_assert_eq!(text(&agreement.words()), text(&truth[..heard]));
            if let Some(keep) = keep {
                agreement.cut(keep);
                window = agreement.before_window().len();
            }
        }
        prop_assert_eq!(text(&agreement.finish(truth[window..].to_vec())), text(&truth));
    }
}

fn option_of_keep() -> impl Strategy<Value = Option<usize>> {
    proptest::option::of(0usize..4)
}
