//! Words made from voiced time.

use dalston_engine_sdk::{Hypothesis, SAMPLE_RATE, Word};

/// 10 ms: the grain in which loudness is judged.
const BLOCK: usize = SAMPLE_RATE as usize / 100;
/// Loud blocks that make a word: 300 ms.
const BLOCKS_A_WORD: u32 = 30;
/// Loud blocks at the end of an utterance that still make one: 100 ms.
const LEAST_BLOCKS: u32 = 10;
/// Mean absolute sample value of a loud block: about −45 dB of full scale.
const LOUD: u64 = 180;

/// What the words are chosen from. Each is itself in speech, so that word counts and error rates are easy to read.
const VOCABULARY: [&str; 32] = [
    "alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett", "kilo", "lima",
    "mike", "november", "oscar", "papa", "quebec", "romeo", "sierra", "tango", "uniform", "victor", "whiskey", "xray",
    "yankee", "zulu", "zero", "one", "two", "three", "four", "five",
];

/// The words of one utterance so far.
#[derive(Debug, Default)]
pub(crate) struct Words {
    block: Vec<i16>,
    /// Whole blocks so far.
    blocks: u64,
    open: Option<Open>,
    words: Vec<Word>,
}

/// A word that is being made.
#[derive(Debug, Clone, Copy)]
struct Open {
    since: u64,
    loud: u32,
    checksum: u32,
}

impl Words {
    pub(crate) fn hear(&mut self, mut samples: &[i16]) {
        while !samples.is_empty() {
            let (now, later) = samples.split_at((BLOCK - self.block.len()).min(samples.len()));
            self.block.extend_from_slice(now);
            samples = later;
            if self.block.len() == BLOCK {
                self.judge();
            }
        }
    }

    /// The words so far, that of the sound going on included.
    pub(crate) fn so_far(&self) -> Hypothesis {
        let pending = self.open.filter(|open| open.loud >= LEAST_BLOCKS).map(|open| self.word(open));
        hypothesis(self.words.iter().cloned().chain(pending).collect())
    }

    pub(crate) fn finish(mut self) -> Hypothesis {
        if let Some(open) = self.open.filter(|open| open.loud >= LEAST_BLOCKS) {
            let word = self.word(open);
            self.words.push(word);
        }
        hypothesis(self.words)
    }

    fn judge(&mut self) {
        let loudness: u64 = self.block.iter().map(|s| u64::from(s.unsigned_abs())).sum();
        if loudness >= LOUD * BLOCK as u64 {
            let open = self.open.get_or_insert(Open { since: self.blocks, loud: 0, checksum: 0 });
            open.loud += 1;
            open.checksum =
                self.block.iter().fold(open.checksum, |sum, &s| sum.wrapping_mul(31).wrapping_add(s as u32));
        }
        self.blocks += 1;
        self.block.clear();
        if let Some(open) = self.open.take_if(|open| open.loud == BLOCKS_A_WORD) {
            let word = self.word(open);
            self.words.push(word);
        }
    }

    fn word(&self, open: Open) -> Word {
        let seconds = |blocks: u64| blocks as f64 * BLOCK as f64 / f64::from(SAMPLE_RATE);
        // The high bits depend on all samples.
        let text = VOCABULARY[(open.checksum.wrapping_mul(0x9E37_79B1) >> 27) as usize];
        Word { text: text.into(), start: seconds(open.since), end: seconds(self.blocks), confidence: Some(1.0) }
    }
}

fn hypothesis(words: Vec<Word>) -> Hypothesis {
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    Hypothesis { text: texts.join(" "), confidence: (!words.is_empty()).then_some(1.0), words }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(blocks: usize, seed: u32) -> Vec<i16> {
        (0..blocks as u32 * BLOCK as u32)
            .map(|i| (i.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 18) as i16)
            .collect()
    }

    fn words(samples: &[i16], chunk: usize) -> Hypothesis {
        let mut words = Words::default();
        samples.chunks(chunk).for_each(|chunk| words.hear(chunk));
        words.finish()
    }

    #[test]
    fn any_chunking_gives_the_same_words() {
        let samples = noise(200, 1);
        let whole = words(&samples, usize::MAX);
        assert_eq!(whole.words.len(), 7, "2 s give six words and a rest");
        for chunk in [1, 7, 159, 160, 161, 3_000] {
            assert_eq!(words(&samples, chunk), whole, "chunks of {chunk}");
        }
    }

    #[test]
    fn a_lost_or_doubled_block_shows() {
        let samples = noise(300, 1);
        let whole = words(&samples, 320).text;
        let lost = [&samples[..BLOCK * 50], &samples[BLOCK * 51..]].concat();
        let doubled = [&samples[..BLOCK * 51], &samples[BLOCK * 50..]].concat();
        assert_ne!(words(&lost, 320).text, whole);
        assert_ne!(words(&doubled, 320).text, whole);
    }

    #[test]
    fn silence_has_no_words() {
        assert_eq!(words(&[0; 160_000], 320), Hypothesis::default());
        assert_eq!(words(&[], 320), Hypothesis::default());
    }

    #[test]
    fn words_are_in_order_and_inside_the_audio() {
        let samples = [vec![0; 16_000], noise(100, 5), vec![0; 8_000], noise(40, 9)].concat();
        let heard = words(&samples, 1_000).words;
        assert_eq!(heard[0].start, 1.0);
        assert!(heard.windows(2).all(|pair| pair[0].start < pair[0].end && pair[0].end <= pair[1].start), "{heard:?}");
        assert!(heard.last().is_some_and(|word| word.end <= 2.9 + 1e-9), "{heard:?}");
    }
}
