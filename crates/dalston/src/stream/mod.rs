//! `dalston stream`: audio to a server, captions from it.

mod captions;
mod pacing;
mod samples;
mod show;
mod source;
mod srt;
mod wav;

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, Result, anyhow};
use dalston_client::{Event, Events, StreamClient, StreamError};
use dalston_protocol::{
    CloseCode,
    realtime::{ServerMessage, SessionConfig},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use self::{
    show::Show,
    source::{RawFormat, Source},
};
use crate::{cli::StreamArgs, trace};

pub use source::RawEncoding;

/// Longest silence of a server that owes answers, once no more audio goes out. It has shorter limits of its own.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a session left behind.
#[derive(Debug, Default)]
struct Outcome {
    trace_id: Option<String>,
    has_words: bool,
    /// The last unrecoverable error that the server told.
    failure: Option<String>,
    /// Errors after which the session went on, each of which cost something that was said; and the last of them.
    lost: u32,
    last_loss: String,
    /// How it was closed.
    close: Option<(u16, String)>,
}

/// Streams a file or standard input. The exit code says whether all of it was answered.
pub async fn run(args: &StreamArgs) -> Result<ExitCode> {
    let raw = RawFormat { encoding: args.encoding, sample_rate: args.sample_rate, channels: args.channels };
    let source = Source::open(&args.file, raw)?;
    let pace = args.pace.unwrap_or(if args.file.as_os_str() == "-" { 0.0 } else { 1.0 });
    let format = source.format();
    let config = SessionConfig {
        encoding: format.encoding.to_owned(),
        sample_rate: format.sample_rate,
        channels: format.channels,
        ..args.session()
    };
    let client = StreamClient::new(args.target.endpoint.clone())
        .config(config)
        .resumable(true)
        .api_key(args.target.api_key())
        .traceparent(args.traceparent.clone());
    let (sink, events) = client.connect().await?;

    let (stop, sent_all) = (CancellationToken::new(), CancellationToken::new());
    let announce = sent_all.clone().drop_guard();
    let send = pacing::send(source, sink, pace, stop.clone());
    let sender = tokio::spawn(async move {
        let _announce = announce;
        send.await
    });
    let mut show = Show::new(args.output, args.partials);
    let Some(outcome) = listen(events, &mut show, &stop, &sent_all).await? else {
        // The user does not want to wait.
        return Ok(ExitCode::from(130));
    };
    stop.cancel();
    let sent = sender.await.context("sending ended badly")?;

    show.finish()?;
    if let (true, Some(trace_id)) = (args.trace, &outcome.trace_id) {
        eprintln!();
        trace::run_of_ended_session(&args.target, trace_id).await.context("no trace to show")?;
    }
    verdict(&outcome)?;
    sent?;
    if args.trace && outcome.trace_id.is_none() {
        return Err(anyhow!("the server does not trace this session; start it with `dalston serve --trace-ring`"));
    }
    if args.fail_if_empty && !outcome.has_words {
        return Err(anyhow!("no word was recognised"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows what comes until the session is over. The first ctrl-c ends the audio, so that what was said is still answered;
/// `None` after a second one.
async fn listen(
    mut events: Events,
    show: &mut Show,
    stop: &CancellationToken,
    sent_all: &CancellationToken,
) -> Result<Option<Outcome>> {
    let mut interrupts = signal(SignalKind::interrupt()).context("cannot hear ctrl-c")?;
    let mut outcome = Outcome::default();
    loop {
        let silence = async {
            sent_all.cancelled().await;
            sleep(PATIENCE).await;
        };
        let event = tokio::select! {
            event = events.next() => event,
            _ = interrupts.recv() => {
                if stop.is_cancelled() {
                    return Ok(None);
                }
                show.note("finishing what was said; ctrl-c again ends at once")?;
                stop.cancel();
                continue;
            }
            () = silence => return Err(anyhow!("the server has not answered for {PATIENCE:?}")),
        };
        match event {
            Some(Ok(Event::Message(message))) => {
                outcome.learn(&message);
                if let ServerMessage::SessionBegin { resumed: Some(_), .. } = &*message {
                    show.note("the connection was lost; the session goes on")?;
                }
                show.event(&message)?;
            }
            Some(Ok(Event::Closed { code, reason })) => {
                outcome.close = Some((code, reason));
                return Ok(Some(outcome));
            }
            Some(Err(unknown @ StreamError::UnknownMessage(_))) => show.note(&unknown.to_string())?,
            Some(Err(error)) => {
                show.clear()?;
                return Err(error.into());
            }
            None => return Ok(Some(outcome)),
        }
    }
}

impl Outcome {
    fn learn(&mut self, message: &ServerMessage) {
        match message {
            ServerMessage::SessionBegin { trace_id, .. } => self.trace_id.clone_from(trace_id),
            ServerMessage::Final(heard) => self.has_words |= !heard.text.is_empty(),
            ServerMessage::Error { message, recoverable: false, .. } => self.failure = Some(message.clone()),
            ServerMessage::Error { message, recoverable: true, .. } => {
                self.lost += 1;
                self.last_loss.clone_from(message);
            }
            _ => {}
        }
    }
}

/// Whether the session ended as it should, and all of it was answered.
fn verdict(outcome: &Outcome) -> Result<()> {
    let Some((code, reason)) = &outcome.close else {
        return Err(anyhow!("the session ended without a close"));
    };
    if *code == CloseCode::Normal.as_u16() {
        return match (outcome.lost, &outcome.last_loss) {
            (0, _) => Ok(()),
            (1, error) => Err(anyhow!("the transcript has a gap: {error}")),
            (many, last) => Err(anyhow!("the transcript has {many} gaps, the last: {last}")),
        };
    }
    let why = outcome.failure.as_ref().unwrap_or(reason);
    let name = CloseCode::try_from(*code).map_or("unknown", CloseCode::outcome);
    Err(anyhow!("the server ended the session with {code} ({name}): {why}"))
}
