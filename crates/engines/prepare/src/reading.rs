//! One upload from its first byte to its last.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use dalston_audio::{FILE_RATES, SAMPLE_RATE};
use dalston_engine_sdk::batch::Prepared;
use serde::{Deserialize, Serialize};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;

use crate::decoder::{Fault, TrackDecoder};
use crate::ending::{self, Ending};
use crate::output::Output;
use crate::source::{Position, Source};
use crate::{Limits, Rejection, length, listing};

/// What is wanted of an upload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Wanted {
    /// The upload.
    pub source: PathBuf,
    /// Where the files go.
    pub folder: PathBuf,
    /// Whether each channel gets a file.
    pub channels: bool,
    /// What it is held to.
    pub limits: Limits,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Read {
    pub prepared: Prepared,
    /// Names of the files.
    pub files: Vec<String>,
}

/// Why reading ended early.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The upload is at fault.
    Rejected(Rejection),
    /// The machine is.
    Failed(String),
    /// Whoever watches had enough.
    Cancelled,
}

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

/// A packet that cannot be decoded is silence of its length, but not of more.
const LONGEST_GAP: Duration = Duration::from_secs(1);

/// Told the share of the file that was read, with each packet; may stop the reading.
pub type Watch<'a> = dyn FnMut(f64) -> Result<(), Stop> + 'a;

/// Reads an upload. Blocks.
pub fn read(wanted: &Wanted, watch: &mut Watch<'_>) -> Result<Read, Stop> {
    let length = std::fs::metadata(&wanted.source).map_err(|error| unreadable(&error))?.len();
    if length == 0 {
        return Err(Rejection::Empty { why: "the file has no bytes".to_owned() }.into());
    }
    let first = match attempt(wanted, length, true, watch) {
        Err(Stop::Rejected(
            rejection @ (Rejection::Corrupt { .. } | Rejection::Empty { .. } | Rejection::Unsupported { .. }),
        )) => rejection,
        done => return done,
    };
    // Readers look for an index at the end of a file that can be sought in, and give up where it is cut off. As a stream it
    // may still be read.
    match attempt(wanted, length, false, watch) {
        // The reader of Ogg passes over streams that it does not know, and then misses one.
        Err(Stop::Rejected(_)) => match listing::unread_in_ogg(&wanted.source) {
            Some(codec) => Err(Rejection::unsupported(format!("the codec {codec}")).into()),
            None => Err(first.into()),
        },
        done => done,
    }
}

fn attempt(wanted: &Wanted, length: u64, seekable: bool, watch: &mut Watch<'_>) -> Result<Read, Stop> {
    let position = Position::default();
    let source = Source::open(&wanted.source, seekable, position.clone()).map_err(|error| unreadable(&error))?;
    let stream = MediaSourceStream::new(Box::new(source), MediaSourceStreamOptions::default());
    let reader = symphonia::default::get_probe()
        .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
        .map_err(|error| not_probed(wanted, &error))?;
    Reading::new(wanted, length, reader)?.run(&mut || watch(position.get() as f64 / length as f64))
}

struct Reading<'a> {
    wanted: &'a Wanted,
    /// Of the upload, in bytes.
    length: u64,
    reader: Box<dyn FormatReader>,
    decoder: TrackDecoder,
    output: Option<(Output, usize, u32)>,
    /// What the first thing that could not be decoded said.
    fault: Option<String>,
    /// Seconds that its container promises.
    expected: Option<f64>,
    /// Whether the file ended within a packet.
    is_cut: bool,
}

impl<'a> Reading<'a> {
    fn new(wanted: &'a Wanted, length: u64, reader: Box<dyn FormatReader>) -> Result<Self, Stop> {
        let decoder = TrackDecoder::of(&wanted.source, reader.as_ref())?;
        let limit = wanted.limits.longest;
        if length::declared(reader.as_ref(), decoder.track, length).is_some_and(|declared| declared > limit) {
            return Err(Rejection::TooLong { limit }.into());
        }
        let expected = length::expected(&wanted.source, reader.as_ref(), decoder.track);
        let expected = expected.map(|expected| decoder.heard_of(expected));
        Ok(Self { wanted, length, reader, decoder, output: None, fault: None, expected, is_cut: false })
    }

    fn run(mut self, watch: &mut dyn FnMut() -> Result<(), Stop>) -> Result<Read, Stop> {
        loop {
            watch()?;
            match self.reader.next_packet() {
                Ok(Some(packet)) if packet.track_id == self.decoder.track => {
                    if !self.take(&packet)? {
                        break;
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(Error::ResetRequired) => {
                    if !self.follow() {
                        break;
                    }
                }
                // Cut off: what is there is there.
                Err(Error::IoError(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    // Not so a WAV whose writer did not know its length: its claim tells, where it is one.
                    self.is_cut = self.reader.format_info().short_name != "wave";
                    break;
                }
                Err(Error::IoError(error)) if error.raw_os_error().is_some() => return Err(unreadable(&error)),
                Err(error) => {
                    self.fault.get_or_insert(error.to_string());
                    break;
                }
            }
        }
        self.finish()
    }

    /// Decodes a packet and writes what it gave. Whether there may be more.
    fn take(&mut self, packet: &Packet) -> Result<bool, Stop> {
        match self.decoder.decode(packet) {
            Ok(()) => {}
            Err(Fault::Packet(why)) => {
                self.fault.get_or_insert(why);
                self.decoder.silence(packet, LONGEST_GAP);
            }
            Err(Fault::Changed) => return Ok(self.follow()),
            Err(Fault::Track(why)) => {
                self.fault.get_or_insert(why);
                return Ok(false);
            }
        }
        self.write()?;
        Ok(true)
    }

    /// A chained stream goes on with tracks of its own.
    fn follow(&mut self) -> bool {
        match TrackDecoder::of(&self.wanted.source, self.reader.as_ref()) {
            Ok(decoder) => {
                self.decoder = decoder;
                true
            }
            Err(_) => false,
        }
    }

    fn write(&mut self) -> Result<(), Stop> {
        let TrackDecoder { planes, rate, .. } = &self.decoder;
        if planes.first().is_none_or(Vec::is_empty) {
            return Ok(());
        }
        let Limits { max_channels, longest, .. } = self.wanted.limits;
        if planes.len() > max_channels.into() {
            return Err(Rejection::TooManyChannels { found: planes.len(), limit: max_channels }.into());
        }
        if !FILE_RATES.contains(rate) {
            return Err(Rejection::unsupported(format!("audio of {rate} samples a second")).into());
        }
        let (output, _, _) = match &mut self.output {
            Some(output) => output,
            none => {
                let files = if self.wanted.channels { planes.len() } else { 0 };
                let output = Output::create(&self.wanted.folder, files, *rate)?;
                none.insert((output, planes.len(), *rate))
            }
        };
        output.write(planes, *rate)?;
        let written = Duration::from_secs(output.written() / u64::from(SAMPLE_RATE));
        let plausible = length::plausible(self.length);
        if written > longest {
            return Err(Rejection::TooLong { limit: longest }.into());
        }
        if written > plausible {
            return Err(Rejection::Unfolds { bytes: self.length, limit: plausible }.into());
        }
        Ok(())
    }

    fn finish(self) -> Result<Read, Stop> {
        let Some((output, channels, sample_rate)) = self.output else {
            return Err(match self.fault {
                Some(why) => Rejection::Corrupt { why },
                None => Rejection::Empty { why: format!("a {} track without samples", self.decoder.codec) },
            }
            .into());
        };
        let written = output.finish()?;
        let duration = written.samples as f64 / f64::from(SAMPLE_RATE);
        let is_cut =
            self.is_cut || self.reader.format_info().short_name == "ogg" && ending::is_ogg_cut(&self.wanted.source);
        let prepared = Prepared {
            duration,
            channels: u8::try_from(channels).unwrap_or(u8::MAX),
            sample_rate,
            codec: self.decoder.codec.to_owned(),
            loudness_db: written.loudness_db,
            warnings: Ending { read: duration, expected: self.expected, is_cut }.warning().into_iter().collect(),
        };
        Ok(Read { prepared, files: written.files })
    }
}

fn not_probed(wanted: &Wanted, error: &Error) -> Stop {
    let known = listing::container(&wanted.source);
    match error {
        Error::IoError(error) if error.raw_os_error().is_some() => unreadable(error),
        Error::Unsupported(_) if known.is_none() => Rejection::unsupported("a file of an unknown type").into(),
        _ if known.is_some_and(|container| !container.readable) => {
            Rejection::unsupported(known.map_or("it", |container| container.name)).into()
        }
        // Readers say so of a file that ends before what they look for.
        Error::Unsupported(what) if what.contains("missing") => Rejection::corrupt(*what).into(),
        Error::Unsupported(what) => {
            let name = known.map_or("file", |container| container.name);
            Rejection::unsupported(format!("this kind of {name} ({what})")).into()
        }
        // A scan for anything that could be read has come to the end.
        Error::IoError(_) if known.is_none() => Rejection::unsupported("a file of an unknown type").into(),
        error => Rejection::corrupt(error.to_string()).into(),
    }
}

fn unreadable(error: &io::Error) -> Stop {
    Stop::Failed(format!("reading the upload: {error}"))
}
