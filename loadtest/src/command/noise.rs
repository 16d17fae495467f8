//! `noise`: what is not speech must have no words.

use std::{sync::Arc, time::Duration};

use clap::Args;
use tokio::{task::JoinSet, time::Instant};

use crate::{
    fault::Fault,
    report::{Report, Value},
    schedule::Pace,
    server::Observer,
    session::{Part, Session},
    signal::{Colour, Piece, RATE, at_level, hum, noise, play, quantised},
    stage::Stage,
    tally::Tally,
    track::Track,
};

/// Streams silence, noise, hum and music, each on a session of its own, and fails on any word.
#[derive(Debug, Clone, Args)]
pub struct Noise {
    /// Seconds of each sound.
    #[arg(long, default_value_t = 60.0, value_parser = super::positive)]
    seconds: f64,
    /// Times faster than life.
    #[arg(long, default_value_t = 1.0, value_parser = super::positive)]
    pace: f64,
    /// Which noise and music is made.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Loudness of the noises, decibels below full scale.
    #[arg(long, value_delimiter = ',', default_values_t = [-60.0, -40.0, -20.0], allow_hyphen_values = true)]
    levels: Vec<f32>,
    /// Loudness of hum and music.
    #[arg(long, default_value_t = -20.0, allow_hyphen_values = true)]
    music_level: f32,
}

/// Audio in one frame.
const FRAME: Duration = Duration::from_millis(100);

impl Noise {
    /// Runs it.
    ///
    /// # Errors
    /// When there is nothing to send.
    pub async fn run(&self, stage: Arc<Stage>) -> anyhow::Result<Report> {
        let samples = (self.seconds * f64::from(RATE)) as usize;
        let sounds = self.sounds(samples);
        let about = format!("{} sounds of {} s at pace {}", sounds.len(), self.seconds, self.pace);
        let all = Arc::new(Tally::default());
        let client = Arc::new(stage.target.client(stage.session.config(RATE)));
        let observer =
            Observer::start("noise", Duration::from_secs_f64(self.seconds / self.pace), Arc::clone(&all), stage.tree);
        let mut tasks = JoinSet::new();
        let start = Instant::now();
        for (number, (name, wave)) in sounds.into_iter().enumerate() {
            let track = Arc::new(Track::new(&quantised(&wave), RATE, FRAME)?);
            // Not in step.
            let start = start + FRAME.mul_f64(number as f64 * 0.618) + Duration::from_millis(100);
            let session = Session {
                client: Arc::clone(&client),
                number,
                part: Part::Speak(track),
                pace: Pace { start, frame: FRAME, speed: self.pace },
                endpointing: stage.session.endpointing(),
                patience: stage.session.patience,
                // No final at all.
                expected: Some(Arc::new([])),
                keep: true,
                tally: Arc::clone(&all),
            };
            tasks.spawn(async move { (number, name, session.run().await) });
        }
        let mut outcomes = tasks.join_all().await;
        outcomes.sort_by_key(|(number, ..)| *number);

        let mut report = Report::new("noise", about);
        report.series = observer.stop();
        let rows = outcomes.iter().map(|(_, name, outcome)| {
            let words = outcome.said.iter().map(|said| said.text.split_whitespace().count()).sum::<usize>();
            let text: Vec<&str> = outcome.said.iter().map(|said| said.text.as_str()).collect();
            vec![
                Value::Text(name.clone()),
                Value::Count(outcome.said.len() as u64),
                Value::Count(words as u64),
                Value::Text(text.join(" | ").chars().take(60).collect()),
            ]
        });
        report.figure("sounds", "sound", Value::Rows(vec!["sound", "finals", "words", "heard"], rows.collect()));
        if let Some(model) = all.model() {
            report.figure("model", "recognised by", Value::Text(model.into()));
        }
        let (partials, words) = (all.partials.get(), all.words.get());
        report.figure("words", "words", Value::Count(words));
        report.figure("partials", "partials", Value::Count(partials));
        report.check("no sound has words", words == 0, || format!("{words} words came"));
        report.check("no sound has a partial", partials == 0, || format!("{partials} partials came"));
        let others = [Fault::Opening, Fault::Warning, Fault::Error, Fault::Message, Fault::Audio, Fault::Ending];
        report.faults(&all, &others);
        Ok(report)
    }

    fn sounds(&self, samples: usize) -> Vec<(String, Vec<f32>)> {
        let mut sounds = vec![("silence".to_owned(), vec![0.0; samples])];
        let colours = [("white", Colour::White), ("pink", Colour::Pink), ("brown", Colour::Brown)];
        for (name, colour) in colours {
            for level in &self.levels {
                sounds
                    .push((format!("{name} noise at {level} dB"), at_level(noise(colour, samples, self.seed), *level)));
            }
        }
        let level = self.music_level;
        let mut add = |name: &str, wave| sounds.push((format!("{name} at {level} dB"), at_level(wave, level)));
        add("hum", hum(samples));
        let pieces =
            [("organ", Piece::Organ), ("guitar", Piece::Guitar), ("drums", Piece::Drums), ("band", Piece::Band)];
        pieces.into_iter().for_each(|(name, piece)| add(name, play(piece, samples, self.seed)));
        sounds
    }
}
