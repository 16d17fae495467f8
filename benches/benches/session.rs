//! Ten seconds of a session through the realtime worker, on one thread, from the link to the last event: decoding, resampling, voice
//! activity, endpointing, `loopback` in the place of a recogniser, the events. No socket.
//!
//! The audio comes as fast as it is taken, so the time is the processor's.
#![allow(missing_docs, reason = "criterion's macros make public items")]

mod thread_time;

use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use dalston_audio::VadKind;
use dalston_engine_loopback::{Behaviour, Loopback};
use dalston_protocol::{LeaseId, RequestId, SessionId, realtime::ClientMessage, realtime::SessionConfig};
use dalston_realtime::{RealtimeConfig, Worker};
use dalston_session_router::{
    Address, InProcessRegistry, Membership,
    link::{FromWorker, InProcessLink, SessionOffer, ToWorker, WorkerLink, in_process},
};
use dalston_telemetry::{Metrics, Options, RingLimits, SpanCounters, SpanRates, Tracers};
use thread_time::{ThreadTime, short};
use tokio_util::sync::CancellationToken;

const SECONDS: usize = 10;

/// One row.
struct Case {
    name: &'static str,
    audio: Audio,
    rate: u32,
    /// Messages a second.
    messages: usize,
    vad: Option<VadKind>,
    /// Of the spans in the ring; `None` is off.
    traced: Option<SpanRates>,
}

#[derive(Clone, Copy)]
enum Audio {
    Silence,
    Speech,
}

const USUAL: Case = Case {
    name: "speech, default detector, 100 ms messages",
    audio: Audio::Speech,
    rate: 16_000,
    messages: 10,
    vad: Some(VadKind::Confirmed),
    traced: None,
};

const BASIC_RATES: SpanRates = SpanRates { chunk: 0.01, vad: 0.1, partial: 0.1 };

const CASES: [Case; 9] = [
    USUAL,
    Case { name: "silence", audio: Audio::Silence, ..USUAL },
    Case { name: "speech, no detector", vad: None, ..USUAL },
    Case { name: "speech, detector webrtc", vad: Some(VadKind::WebRtc), ..USUAL },
    Case { name: "speech, detector earshot", vad: Some(VadKind::Earshot), ..USUAL },
    Case { name: "speech at 48 kHz", rate: 48_000, ..USUAL },
    Case { name: "20 ms messages, tracing off", messages: 50, ..USUAL },
    Case { name: "20 ms messages, default rates", messages: 50, traced: Some(BASIC_RATES), ..USUAL },
    Case { name: "20 ms messages, rate 1 for everything", messages: 50, traced: Some(SpanRates::ALL), ..USUAL },
];

impl Audio {
    /// Ten seconds of 16-bit mono, in messages.
    fn messages(self, rate: u32, a_second: usize) -> Vec<bytes::Bytes> {
        let samples = SECONDS * rate as usize;
        let audio: Vec<i16> = match self {
            Self::Silence => vec![0; samples],
            Self::Speech => recording().into_iter().cycle().take(samples).collect(),
        };
        let bytes: Vec<u8> = audio.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let size = 2 * rate as usize / a_second;
        bytes.chunks(size).map(bytes::Bytes::copy_from_slice).collect()
    }
}

fn recording() -> Vec<i16> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../demo/demo.wav");
    let wav = hound::WavReader::open(path).expect("the recording is part of the project");
    wav.into_samples().collect::<Result<_, _>>().expect("it is whole")
}

/// A worker that runs until the runtime ends.
struct Stage {
    link: InProcessLink,
    tracers: Tracers,
}

impl Stage {
    async fn new(case: &Case) -> Self {
        let tracers = case.traced.map_or_else(Tracers::off, |rates| {
            let options = Options { rates, trace_ring: Some(RingLimits::default()), ..Options::new("dalston") };
            Tracers::start(&options, SpanCounters::default()).expect("a ring needs nothing").0
        });
        let config = RealtimeConfig { vad: case.vad.unwrap_or_default(), ..RealtimeConfig::default() };
        let engine = Arc::new(Loopback::new(Behaviour::default()));
        let worker = Worker::new(config, vec![engine], Arc::new(Metrics::new()), tracers.clone(), None);
        let registry = Arc::new(InProcessRegistry::default());
        let record = worker.record(Address::InProcess);
        let membership =
            Membership::join(registry, record, Duration::from_secs(3)).await.expect("it is in this process");
        let (link, port) = in_process();
        tokio::spawn(worker.run(port, membership, CancellationToken::new()));
        Self { link, tracers }
    }

    async fn session(&self, config: SessionConfig, messages: &[bytes::Bytes]) {
        let root = self.tracers.websocket("/v1/audio/transcriptions/stream", None);
        let offer = SessionOffer {
            session_id: SessionId::generate(),
            request_id: RequestId::generate(),
            tenant: "anonymous".into(),
            lease: LeaseId::generate(),
            config,
            trace: root.context(),
            continues: None,
        };
        let mut channel = self.link.open(offer).await.expect("the worker takes the session");
        let sending = async {
            for message in messages {
                channel.to_worker.send(ToWorker::Audio(message.clone())).await.expect("the session is open");
            }
            let end = ToWorker::Message(Box::new(ClientMessage::End));
            channel.to_worker.send(end).await.expect("the session is open");
        };
        let hearing = async {
            loop {
                if let FromWorker::Closed(close) = channel.from_worker.recv().await.expect("a close comes first") {
                    assert_eq!(close.code.as_u16(), 1000, "{close:?}");
                    return;
                }
            }
        };
        tokio::join!(sending, hearing);
    }
}

fn ten_seconds(criterion: &mut Criterion<ThreadTime>) {
    let mut group = criterion.benchmark_group("ten seconds of a session");
    for case in CASES {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let stage = runtime.block_on(Stage::new(&case));
        let messages = case.audio.messages(case.rate, case.messages);
        let config =
            SessionConfig { enable_vad: case.vad.is_some(), sample_rate: case.rate, ..SessionConfig::default() };
        group.bench_function(case.name, |bencher| {
            bencher.iter(|| runtime.block_on(stage.session(config.clone(), &messages)));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = short();
    targets = ten_seconds
}
criterion_main!(benches);
