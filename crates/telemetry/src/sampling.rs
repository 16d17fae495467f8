//! Coins within a session, and the count that a sampled span stands for.
//!
//! Let `p` be the rate of a kind. An operation that is neither slow nor failed is kept with probability `p` and then counts for
//! `1/p`; a slow or failed one is kept always and counts for 1. So over a session the adjusted counts add up to the number of
//! operations in expectation, with variance `n (1-p)/p` for the `n` ordinary ones. The coin is tossed before anything is
//! made; there is no counter modulo `n`, which would alias with whatever repeats and give short sessions nothing.

use opentelemetry::trace::SpanId;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// A biased coin. Its probability is a multiple of 2⁻⁵³, so 0 is never and 1 is always.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Coin {
    threshold: u64,
    /// `1/p`.
    weight: f64,
}

const ONE: u64 = 1 << 53;

impl Coin {
    pub(crate) fn new(probability: f64) -> Self {
        let threshold = (probability.clamp(0.0, 1.0) * ONE as f64) as u64;
        // A coin that never falls has no weight to give.
        let weight = if threshold == 0 { 0.0 } else { ONE as f64 / threshold as f64 };
        Self { threshold, weight }
    }

    #[inline]
    pub(crate) fn toss(self, rng: &mut SmallRng) -> bool {
        (rng.next_u64() >> 11) < self.threshold
    }
}

/// Why an operation has a span.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Keep {
    /// The coin fell; the span stands for this many operations.
    Sampled(f64),
    /// Kept whatever the coin says; stands for itself alone.
    Always,
    /// As `Always`, and a viewer is told why.
    Because(&'static str),
}

impl Keep {
    pub(crate) fn adjusted_count(self) -> f64 {
        match self {
            Self::Sampled(weight) => weight,
            Self::Always | Self::Because(_) => 1.0,
        }
    }

    pub(crate) fn reason(self) -> Option<&'static str> {
        match self {
            Self::Because(reason) => Some(reason),
            Self::Sampled(_) | Self::Always => None,
        }
    }
}

/// How many operations of a kind there were, and how many have a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) total: u64,
    pub(crate) sampled: u64,
}

impl Tally {
    /// Counts an operation and says whether it has a span: if it is `forced` in any case, else if the coin falls.
    #[inline]
    pub(crate) fn decide(&mut self, forced: Option<Keep>, coin: Coin, rng: &mut SmallRng) -> Option<Keep> {
        self.total += 1;
        let keep = forced.or_else(|| coin.toss(rng).then_some(Keep::Sampled(coin.weight)));
        self.sampled += u64::from(keep.is_some());
        keep
    }
}

/// The generator of one session; `seed` is given by tests only.
pub(crate) fn generator(seed: Option<u64>) -> SmallRng {
    SmallRng::seed_from_u64(seed.unwrap_or_else(rand::random))
}

/// An id for a span of that session: ids are unique within a trace, where zero means none.
pub(crate) fn span_id(rng: &mut SmallRng) -> SpanId {
    SpanId::from(rng.next_u64().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn certain_coins_never_surprise() {
        let mut rng = generator(Some(1));
        assert!((0..10_000).all(|_| Coin::new(1.0).toss(&mut rng)));
        assert!((0..10_000).all(|_| !Coin::new(0.0).toss(&mut rng)));
    }

    proptest! {
        /// The estimate lies within six standard deviations for any rate and seed: no false alarm in a lifetime of runs.
        #[test]
        fn weights_of_kept_operations_estimate_their_number(p in 0.02f64..1.0, seed: u64) {
            let (coin, n) = (Coin::new(p), 20_000u32);
            let mut rng = generator(Some(seed));
            let estimate = (0..n).filter(|_| coin.toss(&mut rng)).count() as f64 * coin.weight;
            let deviation = (f64::from(n) * (1.0 - p) / p).sqrt();
            prop_assert!((estimate - f64::from(n)).abs() <= 6.0 * deviation + 1.0, "{estimate} for {n} at {p}");
        }
    }
}
