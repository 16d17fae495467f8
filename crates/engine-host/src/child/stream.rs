//! A stream's process: one session's utterance, request by request, until its socket ends.

use std::io::{self, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use dalston_engine_sdk::{EngineError, MAX_ADAPTATION, NativeModel, NativeStream, Profile, StreamOptions};

use super::{panics, process};
use crate::wire::{Answer, LENGTH, MAX_FRAME, Message, Request};

/// By how much a stream that is in no hurry gives way to others.
const NICE: i32 = 5;

/// How a stream's loop ends when it is not the socket's end.
enum Stop {
    /// The engine failed; the server is told.
    Engine(EngineError),
    /// The socket failed: nobody can be told.
    Socket,
}

impl From<EngineError> for Stop {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self::Socket
    }
}

/// Serves one stream and ends the process.
pub fn run<M: NativeModel>(model: M, options: &StreamOptions, socket: OwnedFd) -> ! {
    let _unnamed = rustix::thread::set_name(c"dalston-stream");
    // When memory runs out it is a stream that goes, not the host and not the server. Not allowed everywhere, not needed.
    let _unset = std::fs::write("/proc/self/oom_score_adj", "500");
    let mut socket = UnixStream::from(socket);
    if options.profile == Profile::Accurate {
        // Files can wait, speakers cannot. It may always be nicer.
        let _unset = rustix::process::nice(NICE);
    }
    let code = match serve(model, options, &mut socket) {
        Ok(()) => 0,
        Err(Stop::Engine(error)) => {
            let _gone = socket.write_all(&Answer::Failed(error).frame());
            1
        }
        Err(Stop::Socket) => 0,
    };
    process::end(code)
}

fn serve<M: NativeModel>(model: M, options: &StreamOptions, socket: &mut UnixStream) -> Result<(), Stop> {
    let mut stream = panics::caught(|| model.into_stream(options))?;
    let mut requests = BufReader::with_capacity(64 * 1024, socket.try_clone()?);
    while let Some(request) = next(&mut requests)? {
        if let Some(answer) = panics::caught(|| answer(&mut stream, request))? {
            socket.write_all(&answer.frame())?;
        }
    }
    Ok(())
}

/// What the engine says to a request.
fn answer(stream: &mut impl NativeStream, request: Request) -> Result<Option<Answer>, EngineError> {
    Ok(match request {
        Request::Adapt(adaptation) => {
            stream.adapt(&adaptation)?;
            None
        }
        Request::Audio { want_partial, samples } => {
            stream.accept(&samples)?;
            Some(Answer::Decoded(if want_partial { stream.partial()? } else { None }))
        }
        Request::Finish => {
            let hypothesis = stream.finish()?;
            let mut adaptation = stream.adaptation();
            if adaptation.len() > MAX_ADAPTATION {
                adaptation.clear();
            }
            Some(Answer::Final { hypothesis, adaptation })
        }
    })
}

/// The next request, or `None` when the server has let go.
fn next(requests: &mut impl Read) -> Result<Option<Request>, Stop> {
    let mut length = [0; LENGTH];
    match requests.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_FRAME {
        return Err(Stop::Socket);
    }
    let mut frame = vec![0; length];
    requests.read_exact(&mut frame)?;
    Request::decode(&frame).map(Some).map_err(|_garbage| Stop::Socket)
}
