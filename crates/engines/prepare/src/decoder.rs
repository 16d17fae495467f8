//! One track of a file, packet by packet to planes of samples.

use std::path::Path;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::{FormatReader, Track, TrackType};
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, TimeBase};

use crate::Rejection;
use crate::listing;
use crate::opus::{self, ByteOrder, Opus};
use crate::presentation::{Presentation, Trim};

/// The decoder of the track that is read.
pub struct TrackDecoder {
    pub track: u32,
    /// As the result names it.
    pub codec: &'static str,
    time_base: Option<TimeBase>,
    decoder: Decoder,
    presentation: Presentation,
    /// From the first packet on, which tells the rate.
    trim: Option<Trim>,
    /// What the last packet gave, a plane per channel.
    pub planes: Vec<Vec<f32>>,
    pub rate: u32,
}

enum Decoder {
    Symphonia(Box<dyn AudioDecoder>),
    Opus(Opus),
}

/// A packet gave nothing.
pub enum Fault {
    /// It is damaged; the next one may be well.
    Packet(String),
    /// The stream has changed, and with it its tracks.
    Changed,
    /// Nothing more can be decoded.
    Track(String),
}

impl TrackDecoder {
    /// Of the first audio track that can be decoded.
    pub fn of(path: &Path, reader: &dyn FormatReader) -> Result<Self, Rejection> {
        let audio = reader.tracks().iter().filter(|track| track.track_type() == Some(TrackType::Audio));
        let mut refusal = None;
        for track in audio {
            match Self::of_track(path, reader, track) {
                Ok(decoder) => return Ok(decoder),
                Err(error) => {
                    refusal.get_or_insert(error);
                }
            }
        }
        let container = reader.format_info().short_name;
        Err(refusal.unwrap_or_else(|| Rejection::unsupported(format!("a file of type {container} without audio"))))
    }

    fn of_track(path: &Path, reader: &dyn FormatReader, track: &Track) -> Result<Self, Rejection> {
        let Some(CodecParameters::Audio(parameters)) = &track.codec_params else {
            return Err(Rejection::unsupported("a track of an unknown codec"));
        };
        let mut presentation = Presentation::of(path, reader, track);
        let (decoder, rate) = if parameters.codec == CODEC_ID_OPUS {
            let head = parameters.extra_data.as_deref().unwrap_or_default();
            let decoder = Opus::new(head, ByteOrder::of(reader.format_info().short_name))?;
            // Where the container says so too, it says it of the same samples.
            presentation.skip = (presentation.skip - decoder.pre_skip()).max(0.0);
            (Decoder::Opus(decoder), opus::RATE)
        } else {
            (Decoder::Symphonia(symphonia_decoder(parameters)?), parameters.sample_rate.unwrap_or(0))
        };
        Ok(Self {
            track: track.id,
            codec: listing::codec(parameters.codec),
            time_base: track.time_base,
            decoder,
            presentation,
            trim: None,
            planes: Vec::new(),
            rate,
        })
    }

    /// Decodes a packet into [`TrackDecoder::planes`].
    pub fn decode(&mut self, packet: &Packet) -> Result<(), Fault> {
        self.decode_whole(packet)?;
        self.trim();
        Ok(())
    }

    /// Seconds of a track that is so long in its container that are to be heard.
    pub fn heard_of(&self, seconds: f64) -> f64 {
        let rest = seconds - self.presentation.skip;
        self.presentation.keep.map_or(rest, |keep| keep.min(rest))
    }

    fn trim(&mut self) {
        let Self { presentation, trim, rate, planes, .. } = self;
        trim.get_or_insert_with(|| Trim::new(*presentation, *rate)).apply(planes);
    }

    fn decode_whole(&mut self, packet: &Packet) -> Result<(), Fault> {
        match &mut self.decoder {
            Decoder::Opus(decoder) => {
                let padding = frames(self.time_base, packet.trim_end, opus::RATE);
                let padding = usize::try_from(padding).unwrap_or(usize::MAX);
                decoder.decode(&packet.data, padding, &mut self.planes).map_err(|why| Fault::Packet(why.to_owned()))
            }
            Decoder::Symphonia(decoder) => match decoder.decode(packet) {
                Ok(buffer) => {
                    self.rate = buffer.spec().rate();
                    buffer.copy_to_vecs_planar(&mut self.planes);
                    Ok(())
                }
                Err(error @ (Error::DecodeError(_) | Error::IoError(_))) => Err(Fault::Packet(error.to_string())),
                Err(Error::ResetRequired) => Err(Fault::Changed),
                Err(error) => Err(Fault::Track(error.to_string())),
            },
        }
    }

    /// Puts silence of the packet's length into the planes, so that what comes later keeps its time.
    pub fn silence(&mut self, packet: &Packet, longest: std::time::Duration) {
        let most = longest.as_secs() * u64::from(self.rate);
        let frames = frames(self.time_base, packet.dur, self.rate).min(most);
        for plane in &mut self.planes {
            plane.clear();
            plane.resize(usize::try_from(frames).unwrap_or(0), 0.0);
        }
        self.trim();
    }
}

fn symphonia_decoder(parameters: &AudioCodecParameters) -> Result<Box<dyn AudioDecoder>, Rejection> {
    let codecs = symphonia::default::get_codecs();
    let name = listing::codec(parameters.codec);
    if codecs.get_audio_decoder(parameters.codec).is_none() {
        return Err(Rejection::unsupported(format!("the codec {name}")));
    }
    codecs.make_audio_decoder(parameters, &AudioDecoderOptions::default()).map_err(|error| match error {
        Error::Unsupported(what) => Rejection::unsupported(format!("this kind of {name} ({what})")),
        error => Rejection::corrupt(format!("no decoder for its {name}: {error}")),
    })
}

/// A time in the track's own units as samples of this rate.
fn frames(base: Option<TimeBase>, duration: Duration, rate: u32) -> u64 {
    let (numer, denom) = base.map_or((1, rate.max(1)), |base| (base.numer.get(), base.denom.get()));
    let frames = u128::from(duration.get()) * u128::from(numer) * u128::from(rate) / u128::from(denom);
    u64::try_from(frames).unwrap_or(u64::MAX)
}
