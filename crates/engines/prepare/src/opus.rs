//! Opus, which symphonia finds in its containers and does not decode.
//!
//! The identification header is RFC 7845, section 5.1: magic, version, channels, pre-skip, rate of the original, output gain, channel
//! mapping. Decoders of Opus give 48 kHz whatever went in.

use opus_rs::OpusDecoder;
use opus_rs::multistream::{ChannelMappingTable, MultistreamDecoder};

use crate::Rejection;

/// The rate at which Opus is decoded.
pub const RATE: u32 = 48_000;
/// The longest packet: 120 ms.
const LONGEST: usize = RATE as usize * 120 / 1000;
const MAGIC: &[u8] = b"OpusHead";

/// A decoder of one track.
pub struct Opus {
    streams: Streams,
    channels: usize,
    gain: f32,
    /// Samples per channel at the beginning that only let the decoder settle.
    to_skip: usize,
    interleaved: Vec<f32>,
}

enum Streams {
    One(Box<OpusDecoder>),
    Many(Box<MultistreamDecoder>),
}

impl Opus {
    /// By the identification header.
    pub fn new(head: &[u8]) -> Result<Self, Rejection> {
        let short = || Rejection::corrupt("its Opus header is cut off");
        let body = head.strip_prefix(MAGIC).ok_or_else(short)?;
        let (fixed, rest) = body.split_first_chunk::<11>().ok_or_else(short)?;
        let [_version, channels, skip_low, skip_high, _, _, _, _, gain_low, gain_high, family] = *fixed;
        let refused = |why: &str| Rejection::corrupt(format!("its Opus header is wrong: {why}"));
        let streams = if family == 0 {
            let decoder = OpusDecoder::new(RATE as i32, channels.into()).map_err(refused)?;
            Streams::One(Box::new(decoder))
        } else {
            let table = ChannelMappingTable::parse(family, channels, rest).ok_or_else(short)?;
            let streams = u16::from(table.stream_count) + u16::from(table.coupled_count);
            let is_known = |&stream: &u8| stream == u8::MAX || u16::from(stream) < streams;
            if channels == 0 || table.stream_count == 0 || streams > 255 || !table.mapping.iter().all(is_known) {
                return Err(refused("its channel mapping"));
            }
            Streams::Many(Box::new(MultistreamDecoder::new(RATE as i32, table).map_err(refused)?))
        };
        // Q7.8, in dB.
        let gain = f32::from(i16::from_le_bytes([gain_low, gain_high])) / 256.0;
        let channels = usize::from(channels);
        Ok(Self {
            streams,
            channels,
            gain: 10f32.powf(gain / 20.0),
            to_skip: u16::from_le_bytes([skip_low, skip_high]).into(),
            interleaved: vec![0.0; LONGEST * channels],
        })
    }

    /// Decodes a packet into one plane per channel, without its last `padding` samples.
    pub fn decode(&mut self, packet: &[u8], padding: usize, planes: &mut Vec<Vec<f32>>) -> Result<(), &'static str> {
        planes.resize_with(self.channels, Vec::new);
        planes.iter_mut().for_each(Vec::clear);
        // An empty packet means one that was lost; here none is.
        if packet.is_empty() {
            return Err("an empty Opus packet");
        }
        let frames = match &mut self.streams {
            Streams::One(decoder) => decoder.decode(packet, LONGEST, &mut self.interleaved)?,
            Streams::Many(decoder) => decoder.decode(packet, LONGEST, &mut self.interleaved)?,
        };
        let skipped = self.to_skip.min(frames);
        self.to_skip -= skipped;
        let end = frames.saturating_sub(padding).max(skipped);
        for (channel, plane) in planes.iter_mut().enumerate() {
            let own = self.interleaved.iter().skip(channel).step_by(self.channels);
            plane.extend(own.take(end).skip(skipped).map(|sample| sample * self.gain));
        }
        Ok(())
    }
}
