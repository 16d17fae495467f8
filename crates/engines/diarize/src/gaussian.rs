//! A voice as one Gaussian, kept as sums: of two pieces together they are the sums of both.

use crate::cepstrum::{DIMENSIONS, Vector};

/// Numbers in one triangle of a covariance matrix.
pub const TRIANGLE: usize = DIMENSIONS * (DIMENSIONS + 1) / 2;

/// Parameters of one Gaussian.
const PARAMETERS: f64 = (DIMENSIONS + TRIANGLE) as f64;
/// Variance that every dimension has at least, so that silence and short pieces have a determinant.
const LEAST_VARIANCE: f64 = 0.05;

/// Sums over vectors. In single precision where there are many of them: a unit has 25 vectors.
#[derive(Debug, Clone)]
pub struct Sums {
    pub count: f32,
    first: [f32; DIMENSIONS],
    second: [f32; TRIANGLE],
}

impl Sums {
    pub const fn new() -> Self {
        Self { count: 0.0, first: [0.0; DIMENSIONS], second: [0.0; TRIANGLE] }
    }

    pub fn add(&mut self, vector: &Vector) {
        self.count += 1.0;
        let mut at = 0;
        for (row, value) in vector.iter().enumerate() {
            self.first[row] += value;
            for other in &vector[..=row] {
                self.second[at] += value * other;
                at += 1;
            }
        }
    }
}

/// A voice, or a piece of one.
#[derive(Debug, Clone)]
pub struct Voice {
    count: f64,
    first: [f64; DIMENSIONS],
    second: [f64; TRIANGLE],
    /// Logarithm of the determinant of the covariance.
    log_determinant: f64,
}

/// A lower triangular matrix, row by row.
type Triangle = [f64; TRIANGLE];

impl Voice {
    /// Of all of these together.
    pub fn of<'a>(sums: impl IntoIterator<Item = &'a Sums>) -> Self {
        let mut voice = Self { count: 0.0, first: [0.0; _], second: [0.0; _], log_determinant: 0.0 };
        for sums in sums {
            voice.count += f64::from(sums.count);
            voice.first.iter_mut().zip(sums.first).for_each(|(sum, more)| *sum += f64::from(more));
            voice.second.iter_mut().zip(sums.second).for_each(|(sum, more)| *sum += f64::from(more));
        }
        voice.settled()
    }

    /// Of both.
    pub fn with(&self, other: &Self) -> Self {
        let mut voice = self.clone();
        voice.count += other.count;
        voice.first.iter_mut().zip(other.first).for_each(|(sum, more)| *sum += more);
        voice.second.iter_mut().zip(other.second).for_each(|(sum, more)| *sum += more);
        voice.settled()
    }

    fn settled(mut self) -> Self {
        self.log_determinant = log_determinant(&cholesky(&self.covariance()));
        self
    }

    /// Vectors in it.
    pub fn count(&self) -> f64 {
        self.count
    }

    fn mean(&self) -> [f64; DIMENSIONS] {
        self.first.map(|sum| sum / self.count.max(1.0))
    }

    fn covariance(&self) -> Triangle {
        let mean = self.mean();
        let mut covariance = self.second;
        let mut at = 0;
        for row in 0..DIMENSIONS {
            for column in 0..=row {
                let value = covariance[at] / self.count.max(1.0) - mean[row] * mean[column];
                covariance[at] = if row == column { value.max(0.0) + LEAST_VARIANCE } else { value };
                at += 1;
            }
        }
        covariance
    }

    /// By how much two voices explain this better than one, less what two cost. Negative: it is one voice. `penalty` is the
    /// λ of the literature: what a parameter costs more than theory says, since neighbouring vectors are much alike.
    pub fn distance(&self, other: &Self, penalty: f64) -> f64 {
        let both = self.with(other);
        let apart = self.count * self.log_determinant + other.count * other.log_determinant;
        let gain = 0.5 * (both.count * both.log_determinant - apart);
        gain - penalty * 0.5 * PARAMETERS * both.count.max(2.0).ln()
    }

    /// Ready to judge units.
    pub fn judge(&self) -> Judge {
        Judge { mean: self.mean(), factor: cholesky(&self.covariance()), log_determinant: self.log_determinant }
    }
}

/// Tells how likely units are of a voice.
pub struct Judge {
    mean: [f64; DIMENSIONS],
    factor: Triangle,
    log_determinant: f64,
}

impl Judge {
    /// Log likelihood of all vectors in these sums, but for what is the same for every voice.
    pub fn log_likelihood(&self, sums: &Sums) -> f64 {
        let count = f64::from(sums.count);
        if count == 0.0 {
            return 0.0;
        }
        // Σ (x − m)(x − m)ᵀ, of which the trace of the product with the inverse covariance is wanted: column by column of its
        // own covariance, and of the shift of the mean.
        let own: [f64; DIMENSIONS] = sums.first.map(|sum| f64::from(sum) / count);
        let shift: [f64; DIMENSIONS] = std::array::from_fn(|i| own[i] - self.mean[i]);
        let mut scatter = [[0.0; DIMENSIONS]; DIMENSIONS];
        let mut at = 0;
        for row in 0..DIMENSIONS {
            for column in 0..=row {
                let value = f64::from(sums.second[at]) / count - own[row] * own[column] + shift[row] * shift[column];
                scatter[row][column] = value;
                scatter[column][row] = value;
                at += 1;
            }
        }
        // trace(Σ⁻¹ S) with Σ = L Lᵀ: solve L Y = S, then L Z = Yᵀ; the trace is that of Z.
        let solved = scatter.map(|column| forward(&self.factor, column));
        let transposed: [[f64; DIMENSIONS]; DIMENSIONS] =
            std::array::from_fn(|row| std::array::from_fn(|column| solved[column][row]));
        let trace: f64 = transposed.iter().enumerate().map(|(i, row)| forward(&self.factor, *row)[i]).sum();
        -0.5 * count * (self.log_determinant + trace)
    }
}

/// Solves L y = b.
fn forward(factor: &Triangle, b: [f64; DIMENSIONS]) -> [f64; DIMENSIONS] {
    let mut y = b;
    let mut at = 0;
    for row in 0..DIMENSIONS {
        for column in 0..row {
            y[row] -= factor[at] * y[column];
            at += 1;
        }
        y[row] /= factor[at];
        at += 1;
    }
    y
}

/// The factor L of a covariance L Lᵀ.
fn cholesky(covariance: &Triangle) -> Triangle {
    let mut factor = [0.0; TRIANGLE];
    let at = |row: usize, column: usize| row * (row + 1) / 2 + column;
    for row in 0..DIMENSIONS {
        for column in 0..=row {
            let products: f64 = (0..column).map(|k| factor[at(row, k)] * factor[at(column, k)]).sum();
            let rest = covariance[at(row, column)] - products;
            factor[at(row, column)] =
                if row == column { rest.max(LEAST_VARIANCE).sqrt() } else { rest / factor[at(column, column)] };
        }
    }
    factor
}

fn log_determinant(factor: &Triangle) -> f64 {
    (0..DIMENSIONS).map(|row| 2.0 * factor[row * (row + 1) / 2 + row].ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors around a mean, from a small generator.
    fn sums(mean: f32, seed: u32, count: u32) -> Sums {
        let mut sums = Sums::new();
        let mut state = seed;
        for _ in 0..count {
            sums.add(&std::array::from_fn(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                mean + (state >> 8) as f32 / 16_777_216.0 * 4.0
            }));
        }
        sums
    }

    #[test]
    fn one_voice_is_nearer_to_itself_than_to_another() {
        let voice = |mean, seed| Voice::of(&[sums(mean, seed, 500)]);
        assert!(voice(0.0, 1).distance(&voice(0.0, 2), 1.0) < 0.0);
        assert!(voice(0.0, 1).distance(&voice(2.0, 2), 1.0) > 0.0);
    }

    #[test]
    fn a_judge_prefers_the_voice_that_it_knows() {
        let judges = [0.0, 1.0].map(|mean| Voice::of(&[sums(mean, 7, 500)]).judge());
        for (own, mean) in [0.0, 1.0].into_iter().enumerate() {
            let unit = sums(mean, 99, 25);
            assert!(judges[own].log_likelihood(&unit) > judges[1 - own].log_likelihood(&unit));
        }
    }

    #[test]
    fn nothing_is_no_voice_and_no_trouble() {
        let nothing = Voice::of(&[Sums::new()]);
        assert!(nothing.distance(&Voice::of(&[sums(0.0, 1, 10)]), 1.0).is_finite());
        assert_eq!(nothing.judge().log_likelihood(&Sums::new()), 0.0);
    }
}
