//! Any rate to 16 kHz, without a delay that anyone downstream would have to know of.

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Async, FixedAsync, Resampler as _, SincInterpolationParameters, SincInterpolationType, WindowFunction};

use crate::decoder::rounded;
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

    /// From any rate that a file may have, which is brought into [`FILE_RATES`].
    #[must_use]
    pub fn at_any_rate(rate: u32) -> Self {
        Self { rate: rate.clamp(*FILE_RATES.start(), *FILE_RATES.end()), received: 0, filter: None }
    }

    /// Takes samples of any number and gives `sink` what they complete, never empty, in pieces of at most 10 ms, except
    /// at 16 kHz.
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

/// Rates of files, in hertz: from what old telephony left behind to what studios keep.
pub const FILE_RATES: std::ops::RangeInclusive<u32> = 4_000..=384_000;

/// Zero crossings of the sinc on both sides together, counted at the slower of the two rates. With a Blackman window this passes
/// up to 0.85 of the slower Nyquist frequency untouched and holds aliases and images below −75 dB; docs and tests measure it.
const CROSSINGS: usize = 64;

/// Where the filter is 6 dB down, as a share of the slower Nyquist frequency.
const CUTOFF: f32 = 0.92;

/// Interpolated phases are computed from this many stored ones; cubic interpolation between them is 110 dB clean.
const STORED_PHASES: usize = 8;

/// Blocks of input in a second: 10 ms each, of which 160 samples of output come, give or take one.
const BLOCKS_PER_SECOND: u32 = 100;

/// Room for a block's output.
const OUTPUT_BLOCK: usize = 256;

/// A windowed-sinc filter fed in blocks of one size, so that its output cannot depend on the caller's pieces.
#[derive(Debug)]
struct Filter {
    sinc: Async<f32>,
    /// The block that is being filled; its length is the block size.
    block: Box<[f32]>,
    filled: usize,
    /// Output samples that stand for a time before the first input sample, still to be dropped.
    to_drop: usize,
    emitted: u64,
}

impl Filter {
    fn new(rate: u32) -> Self {
        let design = Design::new(rate);
        let parameters = SincInterpolationParameters::new(design.sinc_len, WindowFunction::Blackman)
            .f_cutoff(CUTOFF)
            .oversampling_factor(design.phases)
            .interpolation(design.interpolation);
        let block = (rate / BLOCKS_PER_SECOND) as usize;
        let ratio = f64::from(SAMPLE_RATE) / f64::from(rate);
        let sinc = Async::new_sinc(ratio, 1.0, &parameters, block, 1, FixedAsync::Input)
            .expect("the ratio is finite and positive and the block is not empty");
        debug_assert!(sinc.output_frames_max() <= OUTPUT_BLOCK, "10 ms are at most 171 samples of output");
        let Alignment { lead_in, to_drop } = design.alignment(rate, block);
        Self { sinc, block: vec![0.0; block].into(), filled: lead_in, to_drop, emitted: 0 }
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
        let mut output = [0.0f32; OUTPUT_BLOCK];
        let made = {
            let input =
                SequentialSlice::new(&self.block, 1, self.block.len()).expect("one channel, the slice's length");
            let mut output =
                SequentialSlice::new_mut(&mut output, 1, OUTPUT_BLOCK).expect("one channel, the array's length");
            let (_, made) = self
                .sinc
                .process_into_buffer(&input, &mut output, None)
                .expect("the input is one block and the output has room for what comes of it");
            made
        };
        let dropped = self.to_drop.min(made);
        self.to_drop -= dropped;
        let wanted = usize::try_from(total - self.emitted).unwrap_or(usize::MAX);
        let kept = &output[dropped..made];
        let kept = &kept[..kept.len().min(wanted)];
        if kept.is_empty() {
            return;
        }
        self.emitted += kept.len() as u64;
        let mut samples = [0i16; OUTPUT_BLOCK];
        for (slot, &sample) in samples.iter_mut().zip(kept) {
            *slot = rounded(sample);
        }
        sink(&samples[..kept.len()]);
    }
}

/// The shape of the filter for one rate.
struct Design {
    /// Taps, at the input's rate.
    sinc_len: usize,
    /// Shifted copies of the sinc that are stored.
    phases: usize,
    interpolation: SincInterpolationType,
}

/// How the delay of the filter is made whole: silence put before the input, and output to drop.
struct Alignment {
    lead_in: usize,
    to_drop: usize,
}

impl Design {
    fn new(rate: u32) -> Self {
        let (longer, shorter) = (rate.max(SAMPLE_RATE) as usize, SAMPLE_RATE as usize);
        let sinc_len = (CROSSINGS * longer).div_ceil(shorter).next_multiple_of(8);
        // Between two rates in a simple proportion only a few phases occur, and then all of them are stored.
        let distinct = (SAMPLE_RATE / gcd(rate, SAMPLE_RATE)) as usize;
        let (phases, interpolation) = if distinct <= STORED_PHASES {
            (distinct, SincInterpolationType::Nearest)
        } else {
            (STORED_PHASES, SincInterpolationType::Cubic)
        };
        Self { sinc_len, phases, interpolation }
    }

    /// The filter centres its output *k* on the input sample (*k* + 1) · step − len/2 + 1/phases − lead_in, where step is input
    /// samples per output sample. Chooses the lead-in, shorter than a block, and the *k* that make this zero. Where the rates
    /// allow no zero, what remains is below a microsecond or two.
    fn alignment(&self, rate: u32, block: usize) -> Alignment {
        let step = f64::from(rate) / f64::from(SAMPLE_RATE);
        let centre_of_first = step - self.sinc_len as f64 / 2.0 + 1.0 / self.phases as f64;
        let candidates = (0..block).map(|lead_in| {
            let delay = lead_in as f64 - centre_of_first;
            let to_drop = (delay / step).round().max(0.0);
            ((to_drop * step - delay).abs(), Alignment { lead_in, to_drop: to_drop as usize })
        });
        let (_, alignment) = candidates.min_by(|(a, _), (b, _)| a.total_cmp(b)).expect("a block has samples");
        alignment
    }
}

const fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
