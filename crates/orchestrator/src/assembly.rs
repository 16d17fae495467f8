//! The transcript out of what the stages have come to. Pure.

use dalston_engine_sdk::batch::{Aligned, Diarized, Prepared, Spoken, Transcribed, Turn};
use dalston_protocol::{
    Segment, Word,
    job::{Granularity, JobParameters, SpeakerDetection, Transcript},
    round_ms,
};

/// What was heard on one channel, or in the mix.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Heard {
    /// `None` for the mix.
    pub channel: Option<u8>,
    /// The words.
    pub transcribed: Transcribed,
    /// The same with times, where a stage of its own gave them.
    pub aligned: Option<Aligned>,
}

/// Puts the transcript together: segments of all channels in the order of their beginnings, cut where the speaker changes.
pub fn assemble(
    parameters: &JobParameters,
    prepared: &Prepared,
    heard: Vec<Heard>,
    diarized: Option<&Diarized>,
) -> Transcript {
    let language = heard.first().map(|heard| heard.transcribed.language.clone()).unwrap_or_default();
    let model = heard.first().map(|heard| heard.transcribed.model.clone()).unwrap_or_default();
    let mut segments: Vec<Segment> = heard.into_iter().flat_map(|heard| of_channel(heard, diarized)).collect();
    segments.sort_by(|a, b| a.start.total_cmp(&b.start));
    within(&mut segments, prepared.duration);
    for (id, segment) in (0..).zip(&mut segments) {
        segment.id = id;
    }
    let texts: Vec<&str> = segments.iter().map(|segment| segment.text.as_str()).collect();
    let text = texts.join(" ");
    match parameters.timestamps_granularity {
        Granularity::Word => {}
        // Who spoke is said by the segments alone.
        Granularity::None if parameters.speaker_detection == SpeakerDetection::None => segments.clear(),
        Granularity::None | Granularity::Segment => {
            for segment in &mut segments {
                (segment.words, segment.words_estimated) = (Vec::new(), false);
            }
        }
    }
    let (duration, warnings) = (round_ms(prepared.duration), prepared.warnings.clone());
    Transcript { text, language, duration, model, segments, warnings }
}

/// Frames of a recogniser do not end where the audio does; what is said does.
fn within(segments: &mut [Segment], duration: f64) {
    let last = round_ms(duration);
    for segment in segments {
        let words = segment.words.iter_mut().flat_map(|word| [&mut word.start, &mut word.end]);
        for time in words.chain([&mut segment.start, &mut segment.end]) {
            *time = time.min(last);
        }
    }
}

fn of_channel(heard: Heard, diarized: Option<&Diarized>) -> Vec<Segment> {
    let Heard { channel, transcribed, aligned } = heard;
    let Aligned { segments, estimated } =
        aligned.unwrap_or(Aligned { segments: transcribed.segments, estimated: Vec::new() });
    let by_channel = channel.map(|channel| label(channel.into()));
    segments
        .into_iter()
        .enumerate()
        .filter(|(_, spoken)| !spoken.text.is_empty())
        .flat_map(|(at, spoken)| {
            let parts = match diarized {
                Some(diarized) => by_speaker(spoken, &diarized.turns),
                None => vec![(by_channel.clone(), spoken)],
            };
            let is_estimated = estimated.contains(&at);
            parts.into_iter().map(move |(speaker, spoken)| segment(spoken, speaker, channel, is_estimated))
        })
        .collect()
}

/// Cuts what was said where the speaker changes. Without times of words it goes as a whole to whoever spoke most in it.
fn by_speaker(spoken: Spoken, turns: &[Turn]) -> Vec<(Option<String>, Spoken)> {
    let name = |speaker: Option<u32>| speaker.map(label);
    if spoken.words.is_empty() {
        return vec![(name(speaker_of(spoken.start, spoken.end, turns)), spoken)];
    }
    let mut parts: Vec<(Option<u32>, Spoken)> = Vec::new();
    for word in spoken.words {
        let speaker = speaker_of(word.start, word.end, turns);
        match parts.last_mut() {
            Some((last, part)) if *last == speaker => {
                part.end = word.end;
                part.text.push(' ');
                part.text.push_str(&word.text);
                part.words.push(word);
            }
            _ => {
                let Spoken { confidence, .. } = spoken;
                let text = word.text.clone();
                parts.push((speaker, Spoken { start: word.start, end: word.end, text, confidence, words: vec![word] }));
            }
        }
    }
    parts.into_iter().map(|(speaker, part)| (name(speaker), part)).collect()
}

/// Who speaks longest in this time; who is nearest to it when nobody does.
fn speaker_of(start: f64, end: f64, turns: &[Turn]) -> Option<u32> {
    let overlap = |turn: &&Turn| turn.end.min(end) - turn.start.max(start);
    // A negative overlap is a distance.
    turns.iter().max_by(|a, b| overlap(a).total_cmp(&overlap(b))).map(|turn| turn.speaker)
}

fn label(number: u32) -> String {
    format!("speaker_{number}")
}

fn segment(spoken: Spoken, speaker: Option<String>, channel: Option<u8>, words_estimated: bool) -> Segment {
    let word = |word: dalston_engine_sdk::Word| Word {
        word: word.text.clone(),
        text: word.text,
        start: round_ms(word.start),
        end: round_ms(word.end),
        confidence: word.confidence,
    };
    Segment {
        id: 0,
        start: round_ms(spoken.start),
        end: round_ms(spoken.end),
        text: spoken.text,
        speaker,
        channel,
        confidence: spoken.confidence,
        words: spoken.words.into_iter().map(word).collect(),
        words_estimated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(start: f64, words: &[(&str, f64, f64)]) -> Spoken {
        let text = words.iter().map(|(text, ..)| *text).collect::<Vec<_>>().join(" ");
        let word = |&(text, start, end): &(&str, f64, f64)| dalston_engine_sdk::Word {
            text: text.into(),
            start,
            end,
            confidence: Some(0.5),
        };
        let end = words.last().map_or(start, |word| word.2);
        Spoken { start, end, text, confidence: Some(0.5), words: words.iter().map(word).collect() }
    }

    fn heard(channel: Option<u8>, segments: Vec<Spoken>) -> Heard {
        let transcribed = Transcribed { language: "en".into(), model: "e/m".into(), segments };
        Heard { channel, transcribed, aligned: None }
    }

    #[test]
    fn what_was_wrong_with_the_file_stands_in_the_transcript() {
        let prepared = Prepared { warnings: vec!["the file is truncated".into()], ..prepared() };
        let transcript = assemble(&JobParameters::default(), &prepared, Vec::new(), None);
        assert_eq!(transcript.warnings, ["the file is truncated"]);
    }

    fn prepared() -> Prepared {
        let codec = "mp3".into();
        Prepared { duration: 9.87654, channels: 2, sample_rate: 8000, codec, loudness_db: None, warnings: Vec::new() }
    }

    /// One line a segment: who, from when, what.
    fn lines(transcript: &Transcript) -> Vec<String> {
        let line =
            |s: &Segment| format!("{} {} {} {}w", s.speaker.as_deref().unwrap_or("-"), s.start, s.text, s.words.len());
        transcript.segments.iter().map(line).collect()
    }

    #[test]
    fn channels_are_speakers_and_take_turns_in_time() {
        let parameters = JobParameters { speaker_detection: SpeakerDetection::PerChannel, ..JobParameters::default() };
        let left = heard(Some(0), vec![said(0.0, &[("hello", 0.0, 0.4)]), said(5.0, &[("bye", 5.0, 5.5)])]);
        let right = heard(Some(1), vec![said(2.0, &[("who", 2.0, 2.1), ("there", 2.2, 2.5)])]);
        let transcript = assemble(&parameters, &prepared(), vec![left, right], None);
        assert_eq!(lines(&transcript), ["speaker_0 0 hello 0w", "speaker_1 2 who there 0w", "speaker_0 5 bye 0w"]);
        assert_eq!(transcript.text, "hello who there bye");
        assert_eq!(transcript.segments[1].channel, Some(1));
        assert_eq!((transcript.duration, transcript.language.as_str()), (9.877, "en"));
    }

    #[test]
    fn a_segment_is_cut_where_the_speaker_changes() {
        let parameters = JobParameters {
            speaker_detection: SpeakerDetection::Diarize,
            timestamps_granularity: Granularity::Word,
            ..JobParameters::default()
        };
        let words = [("are", 0.0, 0.3), ("you", 0.3, 0.9), ("yes", 1.4, 1.6), ("well", 7.0, 7.2)];
        let turn = |start, end, speaker| Turn { start, end, speaker };
        let diarized = Diarized { method: "test".into(), turns: vec![turn(0.0, 1.0, 0), turn(1.0, 2.0, 1)] };
        let transcript =
            assemble(&parameters, &prepared(), vec![heard(None, vec![said(0.0, &words)])], Some(&diarized));
        assert_eq!(lines(&transcript), ["speaker_0 0 are you 2w", "speaker_1 1.4 yes well 2w"]);
    }

    #[test]
    fn words_whose_times_were_not_heard_are_labelled_where_words_are_shown() {
        let said = said(1.0, &[("hello", 1.0, 1.4), ("you", 1.4, 1.9)]);
        let aligned = Aligned { segments: vec![said.clone(), said.clone()], estimated: vec![1] };
        let heard = Heard { aligned: Some(aligned), ..heard(None, vec![said.clone(), said]) };
        let labels = |granularity| {
            let parameters = JobParameters { timestamps_granularity: granularity, ..JobParameters::default() };
            let transcript = assemble(&parameters, &prepared(), vec![heard.clone()], None);
            transcript.segments.iter().map(|segment| segment.words_estimated).collect::<Vec<_>>()
        };
        assert_eq!(labels(Granularity::Word), [false, true]);
        assert_eq!(labels(Granularity::Segment), [false, false], "there are no words to doubt");
    }

    #[test]
    fn without_timestamps_there_is_text_alone() {
        let parameters = JobParameters { timestamps_granularity: Granularity::None, ..JobParameters::default() };
        let transcript =
            assemble(&parameters, &prepared(), vec![heard(None, vec![said(0.0, &[("a", 0.0, 1.0)])])], None);
        assert_eq!((transcript.text.as_str(), transcript.segments.len()), ("a", 0));
    }
}
