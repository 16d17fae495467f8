//! A model that a test can make: Whisper's network in full, but small, and with weights that somebody thought out.
//!
//! It says `go forward ten meters.` to audio with most of its power below 4 kHz, and `ten of clubs.` to other audio:
//!
//! * The encoder averages the lower and the upper half of the mel bands into two of its dimensions.
//! * Each token is one dimension of the decoder, and its feed-forward network leads from each token's dimension to that
//!   of the token after it. All special tokens share a dimension that leads to the first words of both texts.
//! * Cross-attention has no preferences, and so sees the average of the encoder's output. It adds a little to the first
//!   word of the one text or of the other, by dimensions of its own.

use std::fs;
use std::path::{Path, PathBuf};

/// Width of the network.
const STATE: usize = 64;
/// Vocabularies: English, and one with a hundred languages less one.
pub const ENGLISH: u32 = 51_864;
pub const MULTILINGUAL: u32 = 51_865;
/// Both texts, token by token, from dimension 1 on; an empty one is the end of the text.
const TOKENS: [&str; 13] = ["", " go", " for", "ward", " ten", " me", "ters", ".", "", " ten", " of", " clubs", "."];
const FIRST: [usize; 2] = [1, 9];
const END: usize = 8;
/// What cross-attention sets, for low audio and for high.
const HEARD: [usize; 2] = [20, 21];

/// Writes the model; its path.
pub fn write(folder: &Path, vocabulary: u32) -> PathBuf {
    let path = folder.join("ggml-thought-out.bin");
    fs::write(&path, model(vocabulary)).expect("written");
    path
}

/// The model's file.
pub fn model(vocabulary: u32) -> Vec<u8> {
    let mut file = Vec::new();
    let mut number = |value: u32| file.extend(value.to_le_bytes());
    number(0x6767_6d6c);
    let state = STATE as u32;
    // Vocabulary, then context, width, heads and layers of the encoder and of the decoder, mel bands, and 16-bit
    // weights.
    [vocabulary, 1500, state, 1, 1, 448, state, 1, 1, 80, 1].into_iter().for_each(&mut number);
    [80, 201].into_iter().for_each(&mut number);
    // Each frequency in one band.
    let bands = (0..80).flat_map(|band| (0..201).map(move |bin| if bin * 80 / 201 == band { 1.0_f32 } else { 0.0 }));
    bands.for_each(|weight| file.extend(weight.to_le_bytes()));
    // A vocabulary without a token that is a space alone is not expected.
    let texts = [" "].into_iter().chain(TOKENS.into_iter().skip(1));
    file.extend((TOKENS.len() as u32).to_le_bytes());
    for text in texts {
        let text = if text.is_empty() { "<none>" } else { text };
        file.extend((text.len() as u32).to_le_bytes());
        file.extend(text.as_bytes());
    }
    for tensor in tensors(vocabulary as usize) {
        tensor.write(&mut file);
    }
    file
}

fn tensors(vocabulary: usize) -> Vec<Tensor> {
    let mut tensors = Vec::new();
    let mut wide = |name: String, shape: &[usize], at: &[(usize, f32)]| tensors.push(Tensor::new(name, shape, 4, at));
    let ones: Vec<(usize, f32)> = (0..STATE).map(|at| (at, 1.0)).collect();
    wide("encoder.positional_embedding".into(), &[STATE, 1500], &[]);
    wide("encoder.conv1.bias".into(), &[1, STATE], &[(0, 1.0), (1, 1.0)]);
    wide("encoder.conv2.bias".into(), &[1, STATE], &[]);
    wide("decoder.positional_embedding".into(), &[STATE, 448], &[]);
    for norm in ["encoder.ln_post", "decoder.ln"] {
        wide(format!("{norm}.weight"), &[STATE], &ones);
        wide(format!("{norm}.bias"), &[STATE], &[]);
    }
    // What has no weights adds nothing to what goes past it.
    for block in ["encoder.blocks.0", "decoder.blocks.0"] {
        wide(format!("{block}.mlp_ln.weight"), &[STATE], &ones);
        wide(format!("{block}.mlp_ln.bias"), &[STATE], &[]);
        // Only the dimension that is set gets through the next layer.
        let closed: Vec<(usize, f32)> = (0..4 * STATE).map(|at| (at, -1.0)).collect();
        wide(format!("{block}.mlp.0.bias"), &[4 * STATE], if block.starts_with('d') { &closed } else { &[] });
        wide(format!("{block}.mlp.2.bias"), &[STATE], &[]);
    }
    for attention in ["encoder.blocks.0.attn", "decoder.blocks.0.attn", "decoder.blocks.0.cross_attn"] {
        wide(format!("{attention}_ln.weight"), &[STATE], &ones);
        wide(format!("{attention}_ln.bias"), &[STATE], &[]);
        for part in ["query", "value", "out"] {
            wide(format!("{attention}.{part}.bias"), &[STATE], &[]);
        }
    }
    let mut half = |name: String, shape: &[usize], at: &[(usize, f32)]| tensors.push(Tensor::new(name, shape, 2, at));
    // The middle one of three frames; bands 0 to 39 into dimension 0, the others into dimension 1.
    let bands: Vec<(usize, f32)> = (0..80).map(|band| ((band / 40) * 80 * 3 + band * 3 + 1, 1.0 / 32.0)).collect();
    half("encoder.conv1.weight".into(), &[3, 80, STATE], &bands);
    half("encoder.conv2.weight".into(), &[3, STATE, STATE], &[(1, 1.0), (STATE * 3 + 3 + 1, 1.0)]);
    let special = |token: usize| token == 0 || token >= TOKENS.len();
    let end = if vocabulary == ENGLISH as usize { 50_256 } else { 50_257 };
    let dimension = |token: usize| match token {
        token if token == end => END,
        token if special(token) || TOKENS[token].is_empty() => 0,
        token => token,
    };
    let embedding: Vec<(usize, f32)> = (0..vocabulary).map(|token| (token * STATE + dimension(token), 3.0)).collect();
    half("decoder.token_embedding.weight".into(), &[STATE, vocabulary], &embedding);
    for block in ["encoder.blocks.0", "decoder.blocks.0"] {
        let is_decoder = block.starts_with('d');
        let through: Vec<(usize, f32)> = (0..STATE).map(|at| (at * STATE + at, 1.0)).collect();
        half(format!("{block}.mlp.0.weight"), &[STATE, 4 * STATE], if is_decoder { &through } else { &[] });
        let next = |from: usize| if from + 1 == TOKENS.len() { END } else { from + 1 };
        let lead = |from: usize, to: usize, weight: f32| (to * 4 * STATE + from, weight);
        let mut leads: Vec<(usize, f32)> = FIRST.map(|first| lead(0, first, 8.0)).to_vec();
        leads.extend((0..2).map(|text| lead(HEARD[text], FIRST[text], 0.8)));
        leads.extend((1..TOKENS.len()).filter(|from| *from != END).map(|from| lead(from, next(from), 8.0)));
        half(format!("{block}.mlp.2.weight"), &[4 * STATE, STATE], if is_decoder { &leads } else { &[] });
    }
    for attention in ["encoder.blocks.0.attn", "decoder.blocks.0.attn", "decoder.blocks.0.cross_attn"] {
        let is_cross = attention.ends_with("cross_attn");
        let values = [(0, 1.0), (STATE + 1, 1.0)];
        let [low, high] = HEARD;
        let words = [(low * STATE, 1.5), (low * STATE + 1, -1.5), (high * STATE, -1.5), (high * STATE + 1, 1.5)];
        for (part, at) in [("query", &[][..]), ("key", &[]), ("value", &values), ("out", &words)] {
            half(format!("{attention}.{part}.weight"), &[STATE, STATE], if is_cross { at } else { &[] });
        }
    }
    tensors
}

struct Tensor {
    name: String,
    shape: Vec<usize>,
    width: usize,
    data: Vec<u8>,
}

impl Tensor {
    /// Zero but at some places. The first dimension of the shape is the innermost.
    fn new(name: String, shape: &[usize], width: usize, at: &[(usize, f32)]) -> Self {
        let mut data = vec![0; shape.iter().product::<usize>() * width];
        for &(index, value) in at {
            let bytes = if width == 4 { value.to_le_bytes().to_vec() } else { half(value).to_le_bytes().to_vec() };
            data[index * width..][..width].copy_from_slice(&bytes);
        }
        Self { name, shape: shape.to_vec(), width, data }
    }

    fn write(&self, file: &mut Vec<u8>) {
        let kind = u32::from(self.width == 2);
        let numbers = [self.shape.len() as u32, self.name.len() as u32, kind];
        let shape = self.shape.iter().map(|size| *size as u32);
        numbers.into_iter().chain(shape).for_each(|number| file.extend(number.to_le_bytes()));
        file.extend(self.name.as_bytes());
        file.extend(&self.data);
    }
}

/// As 16 bits, for numbers that have such a form.
fn half(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16) & 0x8000;
    let exponent = ((bits >> 23) & 0xff) as i32 - 127 + 15;
    let half = sign | ((exponent as u32) << 10) | ((bits >> 13) & 0x3ff);
    if value == 0.0 { 0 } else { half as u16 }
}

/// Tones below 4 kHz, or above.
pub fn audio(seconds: f64, low: bool) -> Vec<i16> {
    let from = if low { 200 } else { 4600 };
    let tones: Vec<f64> = (0..17).map(|tone| f64::from(from + tone * 200)).collect();
    let samples = (seconds * 16_000.0) as usize;
    let loudness = |at: usize| {
        let turn = at as f64 / 16_000.0 * std::f64::consts::TAU;
        tones.iter().enumerate().map(|(number, tone)| (turn * tone + number as f64).sin()).sum::<f64>()
    };
    (0..samples).map(|at| (loudness(at) * 600.0) as i16).collect()
}
