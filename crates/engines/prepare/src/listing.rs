//! Names for what an upload is, readable here or not.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use symphonia::core::codecs::audio::AudioCodecId;
use symphonia::core::codecs::audio::well_known as id;

/// A container by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Container {
    pub name: &'static str,
    /// Whether it would be read if it were well.
    pub readable: bool,
}

const READABLE: bool = true;

/// Offset, bytes, name. The first that matches is it.
const CONTAINERS: &[(usize, &[u8], &str, bool)] = &[
    (0, b"RIFF", "WAV", READABLE),
    (0, b"FORM", "AIFF", READABLE),
    (0, b"caff", "CAF", READABLE),
    (0, b"fLaC", "FLAC", READABLE),
    (0, b"OggS", "Ogg", READABLE),
    (0, b"\x1a\x45\xdf\xa3", "Matroska", READABLE),
    (4, b"ftyp", "MP4", READABLE),
    (0, b"ID3", "MP3", READABLE),
    (0, b"RF64", "RF64 (a WAV of more than 4 GiB)", false),
    (0, b"riff\x2e\x91", "Wave64", false),
    (0, b".snd", "Sun AU", false),
    (0, b"NIST_1A", "NIST SPHERE", false),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media", false),
    (0, b"#!AMR", "AMR", false),
    (0, b"\x0b\x77", "AC-3", false),
    (0, b"FLV", "Flash video", false),
    (0, b"\x00\x00\x01\xba", "an MPEG programme stream", false),
    (0, b"MThd", "MIDI", false),
    (0, b"%PDF", "a PDF document", false),
    (0, b"PK\x03\x04", "a ZIP archive", false),
    (0, b"\x1f\x8b", "a gzip archive", false),
    (0, b"\x89PNG", "a PNG picture", false),
    (0, b"\xff\xd8\xff", "a JPEG picture", false),
    (0, b"GIF8", "a GIF picture", false),
    (0, b"<", "a page of HTML or XML", false),
    (0, b"{", "JSON", false),
];

/// What a file seems to be.
pub fn container(path: &Path) -> Option<Container> {
    let mut head = Vec::new();
    File::open(path).ok()?.take(16).read_to_end(&mut head).ok()?;
    let starts = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    let found = CONTAINERS.iter().find(|(at, magic, ..)| starts(*at, magic))?;
    Some(Container { name: found.2, readable: found.3 })
}

/// How a stream of Ogg begins that nobody here can read.
const UNREAD_IN_OGG: &[(&[u8], &str)] = &[
    (b"Speex   ", "Speex"),
    (b"CELT    ", "CELT"),
    (b"\x80theora", "Theora video without audio"),
    (b"PCM     ", "OggPCM"),
];

/// What an Ogg begins with, if that cannot be read.
pub fn unread_in_ogg(path: &Path) -> Option<&'static str> {
    let mut head = Vec::new();
    File::open(path).ok()?.take(27 + 255 + 16).read_to_end(&mut head).ok()?;
    // The first page: a header with the number of lengths at its end, the lengths, the first packet.
    let lengths = head.starts_with(b"OggS").then(|| head.get(26))??;
    let packet = head.get(27 + usize::from(*lengths)..)?;
    UNREAD_IN_OGG.iter().find(|(magic, _)| packet.starts_with(magic)).map(|(_, name)| *name)
}

/// A codec's name, as ffmpeg writes it.
pub fn codec(codec: AudioCodecId) -> &'static str {
    if let Some(registered) = symphonia::default::get_codecs().get_audio_decoder(codec) {
        return registered.codec.info.short_name;
    }
    match codec {
        id::CODEC_ID_OPUS => "opus",
        id::CODEC_ID_ADPCM_G722 => "G.722",
        id::CODEC_ID_ADPCM_G726 | id::CODEC_ID_ADPCM_G726LE => "G.726",
        id::CODEC_ID_SPEEX => "Speex",
        id::CODEC_ID_MUSEPACK => "Musepack",
        id::CODEC_ID_AC3 => "AC-3",
        id::CODEC_ID_EAC3 => "E-AC-3",
        id::CODEC_ID_AC4 => "AC-4",
        id::CODEC_ID_DCA => "DTS",
        id::CODEC_ID_WMA => "Windows Media audio",
        id::CODEC_ID_WAVPACK => "WavPack",
        id::CODEC_ID_MONKEYS_AUDIO => "Monkey's Audio",
        id::CODEC_ID_TTA => "TTA",
        id::CODEC_ID_TRUEHD => "TrueHD",
        _ => "that the file names",
    }
}
