//! ITU-T G.711: logarithmic 8-bit samples of telephony, expanded by tables built at compile time.

/// Expands a µ-law byte to the 16-bit scale (the 14-bit code times four): ±32124 at most.
#[must_use]
pub const fn mulaw_to_linear(byte: u8) -> i16 {
    MULAW[byte as usize]
}

/// Expands an A-law byte to the 16-bit scale (the 13-bit code times eight): ±32256 at most.
#[must_use]
pub const fn alaw_to_linear(byte: u8) -> i16 {
    ALAW[byte as usize]
}

static MULAW: [i16; 256] = table(true);
static ALAW: [i16; 256] = table(false);

const fn table(mulaw: bool) -> [i16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = if mulaw { expand_mulaw(byte as u8) } else { expand_alaw(byte as u8) };
        byte += 1;
    }
    table
}

/// All bits are sent inverted. Adding the bias of 33 steps (132 on this scale) makes every segment a plain power of two.
const fn expand_mulaw(byte: u8) -> i16 {
    const BIAS: i16 = 33 << 2;
    let code = !byte;
    let segment = (code >> 4) & 7;
    let step = (code & 15) as i16;
    let magnitude = (((step << 3) + BIAS) << segment) - BIAS;
    if code & 0x80 == 0 { magnitude } else { -magnitude }
}

/// Even bits are sent inverted. The two lowest segments have the same step; the value is the middle of its interval.
const fn expand_alaw(byte: u8) -> i16 {
    let code = byte ^ 0x55;
    let segment = (code >> 4) & 7;
    let middle = (((code & 15) as i16) << 4) + 8;
    let magnitude = if segment == 0 { middle } else { (middle + 0x100) << (segment - 1) };
    if code & 0x80 == 0 { -magnitude } else { magnitude }
}
