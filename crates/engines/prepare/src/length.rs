//! How long an upload is before it is decoded: what its container says, where that can be believed, and what its size allows.
//!
//! Both only ever refuse. Whoever claims less than there is is still held to the limits while it is decoded.

use std::path::Path;
use std::time::Duration;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::formats::{FormatReader, Track};
use symphonia::core::units::{Duration as Units, TimeBase};

use crate::wav::Claims;

/// As much audio as any file may hold, however small it is.
const FREE: Duration = Duration::from_secs(3600);
/// Bits that a second of audio beyond that has at the least. The thriftiest recordings here, Opus that sends nothing in
/// pauses, have several times as many; only digital silence has fewer, and hours of it are a bomb.
const LEAST_BITS: u64 = 250;

/// What the container says of the length of its track; `None` where that is not to be relied on.
///
/// The headers of FLAC and MP4 and the last page of an Ogg stream are written by whoever knows. A WAV may claim anything (streams
/// claim four gigabytes), so it is believed as far as the file has bytes. Tags of MP3 are often wrong.
pub fn declared(reader: &dyn FormatReader, track: u32, bytes: u64) -> Option<Duration> {
    let track = reader.tracks().iter().find(|known| known.id == track)?;
    let said = said(track)?;
    match reader.format_info().short_name {
        "flac" | "ogg" | "isomp4" => Some(said),
        "wave" => Some(said.min(uncompressed(track, bytes)?)),
        _ => None,
    }
}

/// The most audio that a file of so many bytes can hold.
pub fn plausible(bytes: u64) -> Duration {
    FREE.saturating_add(Duration::from_secs(bytes.saturating_mul(8) / LEAST_BITS))
}

/// What the container says of the track's length in seconds, where it was written by whoever had all of it, and not found by
/// looking how much is there.
pub fn expected(path: &Path, reader: &dyn FormatReader, track: u32) -> Option<f64> {
    let all = reader.tracks();
    let track = all.iter().find(|known| known.id == track)?;
    let is_known = match reader.format_info().short_name {
        "flac" | "isomp4" | "aiff" | "caf" => true,
        "wave" => Claims::of(path).is_some_and(|claims| claims.is_size_known()),
        // Without an encoder's tag it is a guess by the first frame.
        "mp3" => track.delay.is_some(),
        // Of the longest track.
        "matroska" if all.len() == 1 => return of_media(reader),
        _ => false,
    };
    said(track).filter(|_| is_known).map(|said| said.as_secs_f64())
}

fn of_media(reader: &dyn FormatReader) -> Option<f64> {
    let media = reader.media_info();
    seconds(media.duration?, media.time_base?)
}

fn said(track: &Track) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds(track.duration?, track.time_base?)?).ok()
}

fn seconds(length: Units, base: TimeBase) -> Option<f64> {
    let seconds = length.get() as f64 * f64::from(base.numer.get()) / f64::from(base.denom.get());
    seconds.is_finite().then_some(seconds)
}

/// How long so many bytes are as plain samples; `None` for a track of anything else.
fn uncompressed(track: &Track, bytes: u64) -> Option<Duration> {
    let Some(CodecParameters::Audio(parameters)) = &track.codec_params else { return None };
    let bits = u64::from(parameters.bits_per_sample?) * parameters.channels.as_ref()?.count() as u64;
    let a_second = bits * u64::from(parameters.sample_rate?) / 8;
    (a_second > 0).then(|| Duration::from_secs(bytes / a_second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_hold_an_hour_and_large_ones_as_much_as_the_thriftiest_codec_needs() {
        assert_eq!(plausible(0), FREE);
        assert!(plausible(85_000) < Duration::from_secs(2 * 3600), "13 h of nothing in FLAC have this size");
        // An hour of Opus at 6 kbit/s.
        assert!(plausible(6_000 / 8 * 3600) > Duration::from_secs(24 * 3600));
        assert!(plausible(u64::MAX) > Duration::from_secs(1 << 40));
    }
}
