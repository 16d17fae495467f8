//! What an MP4 says of the part of a track that is to be heard: its edit list, or else the tag that iTunes writes. The reader of the
//! samples passes over both.
//!
//! Boxes are ISO 14496-12: a size, a name, what they hold; numbers are big-endian.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::presentation::Presentation;

/// Largest index that is looked into: half a day of AAC has less than a quarter of it.
const LARGEST_INDEX: u64 = 64 << 20;
/// Most boxes beside the index: a fragment is two, and lasts a second or more.
const MOST_BOXES: usize = 200_000;

/// Of the track with this id; `None` where the file does not say.
pub fn presentation(path: &Path, track: u32) -> Option<Presentation> {
    let index = index(path)?;
    let movie_scale = scale(child(&index, b"mvhd")?)?;
    let trak = children(&index).filter(|(name, _)| name == b"trak").map(|(_, trak)| trak);
    let trak = trak.into_iter().find(|trak| child(trak, b"tkhd").and_then(track_id) == Some(track))?;
    let media_scale = scale(child(child(trak, b"mdia")?, b"mdhd")?)?;
    let edited = child(trak, b"edts").and_then(|edts| edit(child(edts, b"elst")?, movie_scale, media_scale));
    // A list that cuts nothing off may stand beside a tag that does.
    edited.filter(|edit| edit.skip > 0.0).or_else(|| gapless(&index, media_scale)).or(edited)
}

/// What the box `moov` holds.
fn index(path: &Path) -> Option<Vec<u8>> {
    let mut file = File::open(path).ok()?;
    for _ in 0..MOST_BOXES {
        let mut head = [0; 8];
        file.read_exact(&mut head).ok()?;
        let size = match u32::from_be_bytes(*head.first_chunk()?) {
            0 => return None,
            1 => {
                let mut long = [0; 8];
                file.read_exact(&mut long).ok()?;
                u64::from_be_bytes(long).checked_sub(16)?
            }
            size => u64::from(size).checked_sub(8)?,
        };
        if head[4..] == *b"moov" {
            let mut index = Vec::new();
            file.take(size.min(LARGEST_INDEX)).read_to_end(&mut index).ok()?;
            return Some(index);
        }
        file.seek(SeekFrom::Current(size.try_into().ok()?)).ok()?;
    }
    None
}

/// The boxes of which this one is made; the last one may be cut off.
fn children(mut within: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (head, rest) = within.split_first_chunk::<8>()?;
        let size = u32::from_be_bytes(*head.first_chunk()?) as usize;
        let held = rest.get(..size.checked_sub(8)?).unwrap_or(rest);
        within = &rest[held.len()..];
        Some((*head.last_chunk()?, held))
    })
}

fn child<'a>(within: &'a [u8], name: &[u8; 4]) -> Option<&'a [u8]> {
    children(within).find(|(found, _)| found == name).map(|(_, held)| held)
}

/// A number at this place.
fn u32_at(held: &[u8], at: usize) -> Option<u32> {
    held.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// Two times stand before what is looked for in a header, of four bytes each or, since version 1, eight.
fn after_times(header: &[u8]) -> usize {
    if header.first() == Some(&1) { 20 } else { 12 }
}

fn track_id(tkhd: &[u8]) -> Option<u32> {
    u32_at(tkhd, after_times(tkhd))
}

/// Units a second.
fn scale(header: &[u8]) -> Option<f64> {
    u32_at(header, after_times(header)).filter(|scale| *scale > 0).map(f64::from)
}

/// The first stretch of the media that the list names, as far as it is the only one. Where a track begins later than others
/// is passed over: times are those of the sound.
fn edit(elst: &[u8], movie_scale: f64, media_scale: f64) -> Option<Presentation> {
    let is_long = elst.first() == Some(&1);
    let entries = elst.get(8..)?.chunks_exact(if is_long { 20 } else { 12 }).map(|entry| {
        let (length, start) = entry.split_at(if is_long { 8 } else { 4 });
        let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let start =
            if is_long { i64::from_be_bytes(*start.first_chunk()?) } else { u32_at(start, 0)?.cast_signed().into() };
        Some((number(length), start))
    });
    let mut stretches = entries.flatten().filter(|(_, start)| *start >= 0);
    let (length, start) = stretches.next()?;
    // A file that was written in fragments did not know.
    let is_known = length > 0 && stretches.next().is_none();
    let keep = is_known.then(|| length as f64 / movie_scale);
    Some(Presentation { skip: start as f64 / media_scale, keep })
}

/// The tag `iTunSMPB`: samples of the encoder before the sound, after it, and the sound's, in hex.
fn gapless(index: &[u8], media_scale: f64) -> Option<Presentation> {
    let meta = child(child(index, b"udta")?, b"meta")?.get(4..)?;
    let tags = children(child(meta, b"ilst")?).filter(|(name, _)| name == b"----");
    let tag =
        tags.map(|(_, tag)| tag).find(|tag| child(tag, b"name").is_some_and(|name| name.ends_with(b"iTunSMPB")))?;
    let text = std::str::from_utf8(child(tag, b"data")?.get(8..)?).ok()?;
    let mut numbers = text.split_ascii_whitespace().skip(1).map(|number| u64::from_str_radix(number, 16).ok());
    let (skip, _padding, keep) = (numbers.next()??, numbers.next()??, numbers.next()??);
    Some(Presentation { skip: skip as f64 / media_scale, keep: (keep > 0).then(|| keep as f64 / media_scale) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(name: &[u8; 4], held: &[u8]) -> Vec<u8> {
        [&u32::try_from(held.len() + 8).unwrap().to_be_bytes()[..], name, held].concat()
    }

    #[test]
    fn an_edit_list_tells_what_is_to_be_heard() {
        let entry = |length: u32, start: i32| [&length.to_be_bytes()[..], &start.to_be_bytes(), &[0, 1, 0, 0]].concat();
        let list = |entries: &[Vec<u8>]| [&[0; 8][..], &entries.concat()].concat();
        let found = edit(&list(&[entry(4_000, 1_024)]), 1_000.0, 8_000.0);
        assert_eq!(found, Some(Presentation { skip: 0.128, keep: Some(4.0) }));
        let found = edit(&list(&[entry(500, -1), entry(0, 1_024)]), 1_000.0, 8_000.0);
        assert_eq!(found, Some(Presentation { skip: 0.128, keep: None }), "a late beginning, and a fragmented file");
        let found = edit(&list(&[entry(100, 800), entry(100, 4_000)]), 1_000.0, 8_000.0);
        assert_eq!(found, Some(Presentation { skip: 0.1, keep: None }), "two stretches");
        assert_eq!(edit(&list(&[entry(500, -1)]), 1_000.0, 8_000.0), None);
    }

    #[test]
    fn the_tag_of_itunes_tells_it_too() {
        let text = b" 00000000 00000840 000001CA 0000000000001F40 00000000";
        let tag = [
            boxed(b"mean", b"\0\0\0\0com.apple.iTunes"),
            boxed(b"name", b"\0\0\0\0iTunSMPB"),
            boxed(b"data", &[&[0, 0, 0, 1, 0, 0, 0, 0], &text[..]].concat()),
        ]
        .concat();
        let meta = [&[0; 4][..], &boxed(b"ilst", &boxed(b"----", &tag))].concat();
        let index = boxed(b"udta", &boxed(b"meta", &meta));
        assert_eq!(gapless(&index, 8_000.0), Some(Presentation { skip: 0.264, keep: Some(1.0) }));
    }

    #[test]
    fn boxes_that_lie_about_their_size_end_the_search() {
        for bytes in [&[0, 0, 0, 0, b'm', b'v', b'h', b'd'][..], &[0xff; 40], &[0, 0, 0, 7, 1, 2, 3, 4], &[1]] {
            assert_eq!(child(bytes, b"mvhd").and_then(scale), None);
            assert_eq!(edit(bytes, 1.0, 1.0), None);
        }
    }
}
