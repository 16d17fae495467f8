//! A formant: the two-pole resonator of Klatt's synthesiser (J. Acoust. Soc. Am. 67, 1980, eq. 2).

use std::f32::consts::{PI, TAU};

use super::RATE_F;

#[derive(Default)]
pub(super) struct Resonator {
    a: f32,
    b: f32,
    c: f32,
    last: [f32; 2],
}

impl Resonator {
    /// Gain 1 at 0 Hz. The memory stays, so that a formant may move while it rings.
    pub(super) fn tune(&mut self, hertz: f32, bandwidth: f32) {
        self.c = -(-2.0 * PI * bandwidth / RATE_F).exp();
        self.b = 2.0 * (-PI * bandwidth / RATE_F).exp() * (TAU * hertz / RATE_F).cos();
        self.a = 1.0 - self.b - self.c;
    }

    pub(super) fn hear(&mut self, sample: f32) -> f32 {
        let out = self.a * sample + self.b * self.last[0] + self.c * self.last[1];
        self.last = [out, self.last[0]];
        out
    }
}
