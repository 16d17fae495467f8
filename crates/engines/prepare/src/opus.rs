//! Opus, which symphonia finds in its containers and does not decode.
//!
//! The identification header is RFC 7845, section 5.1: magic, version, channels, pre-skip, rate of the original, output gain, channel
//! mapping. Its numbers are little-endian, except in an MP4, whose boxes are big-endian. Decoders of Opus give 48 kHz whatever
//! went in.

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
    pre_skip: u16,
    /// Samples per channel at the beginning that only let the decoder settle.
    to_skip: usize,
    interleaved: Vec<f32>,
}

/// Of the numbers in the identification header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteOrder {
    /// Of the box `dOps` in an MP4.
    BigEndian,
    /// Anywhere else.
    LittleEndian,
}

impl ByteOrder {
    /// In this container.
    pub fn of(container: &str) -> Self {
        if container == "isomp4" { Self::BigEndian } else { Self::LittleEndian }
    }

    fn number(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::BigEndian => u16::from_be_bytes(bytes),
            Self::LittleEndian => u16::from_le_bytes(bytes),
        }
    }
}

enum Streams {
    One(Box<OpusDecoder>),
    Many(Box<MultistreamDecoder>),
}

impl Opus {
    /// By the identification header.
    pub fn new(head: &[u8], order: ByteOrder) -> Result<Self, Rejection> {
        let short = || Rejection::corrupt("its Opus header is cut off");
        let body = head.strip_prefix(MAGIC).ok_or_else(short)?;
        let (fixed, rest) = body.split_first_chunk::<11>().ok_or_else(short)?;
        let [_version, channels, skip_1, skip_2, _, _, _, _, gain_1, gain_2, family] = *fixed;
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
        let gain = f32::from(order.number([gain_1, gain_2]).cast_signed()) / 256.0;
        let pre_skip = order.number([skip_1, skip_2]);
        let channels = usize::from(channels);
        Ok(Self {
            streams,
            channels,
            gain: 10f32.powf(gain / 20.0),
            pre_skip,
            to_skip: pre_skip.into(),
            interleaved: vec![0.0; LONGEST * channels],
        })
    }

    /// Seconds at the beginning that are left out.
    pub fn pre_skip(&self) -> f64 {
        f64::from(self.pre_skip) / f64::from(RATE)
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
