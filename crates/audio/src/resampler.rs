//! Any rate to 16 kHz, without a delay that anyone downstream would have to know of.

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Async, FixedAsync, Resampler as _, SincInterpolationParameters, SincInterpolationType, WindowFunction};

use crate::{AudioTime, SAMPLE_RATE, SAMPLE_RATES};

/// Resamples one channel to [`SAMPLE_RATE`], in whatever pieces it arrives.
///
/// * The output depends on the input alone, bit for bit, not on how it was cut.
/// * Output sample *n* stands for the input at *n*/16000 s: the filter's delay is cut off the beginning and what it still holds
///   comes out of [`Resampler::finish`]. In all there are round(input × 16000 / rate) samples.
/// * At 16 kHz input goes to the sink as it is, and there is no filter. At other rates it is built by the first sample.
#[derive(Debug)]
pub struct Resampler {
    rate: u32,
    received: u64,
    filter: Option<Box<Filter>>,
}

impl Resampler {
    /// From `rate` Hz, which is brought into [`SAMPLE_RATES`].
    #[must_use]
    pub fn new(rate: u32) -> Self {
        Self { rate: rate.clamp(*SAMPLE_RATES.start(), *SAMPLE_RATES.end()), received: 0, filter: None }
    }

    /// Takes samples of any number and gives `sink` what they complete, never empty, at most 512 at a time where the input
    /// has no longer pieces.
    pub fn process(&mut self, samples: &[i16], mut sink: impl FnMut(&[i16])) {
        if samples.is_empty() {
            return;
        }
        self.received += samples.len() as u64;
        if self.rate == SAMPLE_RATE {
            return sink(samples);
        }
        self.filter.get_or_insert_with(|| Box::new(Filter::new(self.rate))).process(samples, &mut sink);
    }

    /// Gives out what the filter still holds and begins another stream.
    pub fn finish(&mut self, mut sink: impl FnMut(&[i16])) {
        let total = self.received();
        self.received = 0;
        if let Some(mut filter) = self.filter.take() {
            filter.drain_to(total.samples(), &mut sink);
        }
    }

    /// How much input there has been, on the output's clock: where the output will end if the input ends now.
    #[must_use]
    pub fn received(&self) -> AudioTime {
        let rate = u64::from(self.rate);
        AudioTime::from_samples((self.received * u64::from(SAMPLE_RATE) + rate / 2) / rate)
    }
}

/// A windowed-sinc filter fed in blocks of one size, so that its output cannot depend on the caller's pieces.
#[derive(Debug)]
struct Filter {
    sinc: Async<f32>,
    /// The block that is being filled; its length is the block size.
    block: Vec<f32>,
    filled: usize,
    output: Vec<f32>,
    /// Output samples that stand for a time before the first input sample, still to be dropped.
    to_drop: usize,
    emitted: u64,
}

impl Filter {
    fn new(rate: u32) -> Self {
        let ratio = f64::from(SAMPLE_RATE) / f64::from(rate);
        let sinc_len = 128;
        let parameters = SincInterpolationParameters::new(sinc_len, WindowFunction::BlackmanHarris)
            .oversampling_factor(32)
            .interpolation(SincInterpolationType::Cubic);
        let block = rate as usize / 100;
        let sinc = Async::new_sinc(ratio, 1.0, &parameters, block, 1, FixedAsync::Input)
            .expect("the ratio is finite and positive and the block is not empty");
        let to_drop = sinc.output_delay();
        let output = vec![0.0; sinc.output_frames_max()];
        Self { sinc, block: vec![0.0; block], filled: 0, output, to_drop, emitted: 0 }
    }

    fn process(&mut self, mut samples: &[i16], sink: &mut impl FnMut(&[i16])) {
        while !samples.is_empty() {
            let taken = (self.block.len() - self.filled).min(samples.len());
            let (head, rest) = samples.split_at(taken);
            for (slot, &sample) in self.block[self.filled..].iter_mut().zip(head) {
                *slot = f32::from(sample);
            }
            self.filled += taken;
            samples = rest;
            if self.filled == self.block.len() {
                self.run_block(u64::MAX, sink);
            }
        }
    }

    /// Pads with silence until `total` samples have come out, and stops exactly there.
    fn drain_to(&mut self, total: u64, sink: &mut impl FnMut(&[i16])) {
        while self.emitted < total {
            self.block[self.filled..].fill(0.0);
            self.run_block(total, sink);
        }
    }

    fn run_block(&mut self, total: u64, sink: &mut impl FnMut(&[i16])) {
        self.filled = 0;
        let capacity = self.output.len();
        let input = SequentialSlice::new(&self.block, 1, self.block.len()).expect("one channel as long as the slice");
        let mut output =
            SequentialSlice::new_mut(&mut self.output, 1, capacity).expect("one channel as long as the slice");
        let (_, made) = self
            .sinc
            .process_into_buffer(&input, &mut output, None)
            .expect("the buffers have the sizes that the filter asked for");
        let dropped = self.to_drop.min(made);
        self.to_drop -= dropped;
        let mut samples = [0i16; 512];
        let room = usize::try_from(total - self.emitted).unwrap_or(usize::MAX);
        let kept = (made - dropped).min(room);
        for (slot, &sample) in samples.iter_mut().zip(&self.output[dropped..dropped + kept]) {
            // `as` saturates, which is the clamp.
            *slot = sample.round() as i16;
        }
        self.emitted += kept as u64;
        if kept > 0 {
            sink(&samples[..kept]);
        }
    }
}
