//! Off means off: no allocation, no span, no thread, and a session that costs a pointer.
#![allow(unsafe_code, reason = "a global allocator that counts can only be written with it")]
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the message")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

use dalston_telemetry::{
    Chunk, Lap, Options, RingLimits, SessionOutcome, SessionStart, SessionTotals, SessionTrace, SpanCounters,
    SpanRates, Tracers, Transcript, TranscriptKind, VadEndpoint, key,
};

struct Counting;

thread_local! {
    /// Of this thread only: the test harness has threads of its own.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system allocator unchanged; the counters are thread-local cells without destructors.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        BYTES.with(|bytes| bytes.set(bytes.get().wrapping_add(layout.size())));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.with(|bytes| bytes.set(bytes.get().wrapping_sub(layout.size())));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

const START: SessionStart<'_> = SessionStart {
    session_id: "ses_01JD3V5W8Y9ZK4M7N2P6Q8R0ST",
    request_id: "req_01JD3V5W8Y9ZK4M7N2P6Q8R0ST",
    worker_id: "wrk_1",
    engine_id: "loopback",
    model: "loopback",
    language: "en",
    encoding: "pcm_s16le",
    sample_rate: 16_000,
    channels: 1,
};

const CHUNK: Chunk = Chunk { audio: Duration::from_millis(20), bytes: 640, lag: Duration::ZERO, failed: false };

fn whole_session(tracers: &Tracers, chunks: usize) {
    let root = tracers.websocket("/v1/audio/transcriptions/stream", None);
    root.set(key::CLOSE_CODE, 1000u16);
    let allocate = tracers.allocate(&root.context());
    let mut trace = SessionTrace::begin(tracers, &allocate.context(), &START);
    drop(allocate);
    for _ in 0..chunks {
        trace.chunk(trace.stopwatch().stop(), CHUNK);
    }
    let endpoint = VadEndpoint { reason: "silence", utterance: 1, speech: CHUNK.audio, silence: CHUNK.audio };
    trace.vad_endpoint(trace.stopwatch().stop(), endpoint);
    let said = Transcript { kind: TranscriptKind::Final, utterance: 1, audio: CHUNK.audio, words: 2, failed: true };
    trace.transcript(trace.stopwatch().stop(), said);
    trace.close(trace.stopwatch().stop(), SessionOutcome::Completed, 1000);
    trace.end(&SessionTotals {
        outcome: SessionOutcome::Completed,
        close_code: 1000,
        audio: CHUNK.audio,
        speech: CHUNK.audio,
        utterances: 1,
        lag_max: Duration::ZERO,
        dropped_events: 0,
    });
}

fn with_ring(rates: SpanRates) -> Tracers {
    let options = Options { rates, trace_ring: Some(RingLimits::default()), ..Options::new("dalston") };
    Tracers::start(&options, SpanCounters::default()).unwrap().0
}

#[test]
fn a_session_allocates_nothing_when_tracing_is_off() {
    let (tracers, _guard) = Tracers::start(&Options::new("dalston"), SpanCounters::default()).unwrap();
    assert!(tracers.is_off());
    assert_eq!(allocations(|| whole_session(&tracers, 1000)), 0);
}

#[test]
fn a_chunk_that_is_not_sampled_allocates_nothing() {
    let tracers = with_ring(SpanRates { chunk: 0.0, vad: 0.0, partial: 0.0 });
    let root = tracers.websocket("/v1/audio/transcriptions/stream", None);
    let mut trace = SessionTrace::begin(&tracers, &root.context(), &START);
    assert!(trace.is_traced());
    let now = Instant::now();
    assert_eq!(allocations(|| (0..1000).for_each(|_| trace.chunk(Lap::between(now, now), CHUNK))), 0);
}

#[test]
fn a_sampled_chunk_allocates_its_attributes_and_little_else() {
    const CHUNKS: u64 = 1000;
    let tracers = with_ring(SpanRates::ALL);
    let root = tracers.websocket("/v1/audio/transcriptions/stream", None);
    let mut trace = SessionTrace::begin(&tracers, &root.context(), &START);
    let now = Instant::now();
    let made = allocations(|| (0..CHUNKS).for_each(|_| trace.chunk(Lap::between(now, now), CHUNK)));
    println!("{:.2} allocations a sampled chunk", made as f64 / CHUNKS as f64);
    assert!(made <= 2 * CHUNKS, "{made} for {CHUNKS}");
}

#[test]
fn off_starts_no_thread() {
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().flatten().filter(is_exporter).count();
    fn is_exporter(task: &std::fs::DirEntry) -> bool {
        std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == "dalston-otlp")
    }
    let _guard = Tracers::start(&Options::new("dalston"), SpanCounters::default()).unwrap();
    let _ring_only = with_ring(SpanRates::default());
    assert_eq!(threads(), 0);
}

#[test]
fn a_session_costs_a_pointer_when_off_and_less_than_a_page_when_on() {
    assert_eq!(size_of::<SessionTrace>(), size_of::<usize>());
    let tracers = with_ring(SpanRates::default());
    let root = tracers.websocket("/v1/audio/transcriptions/stream", None);
    let context = root.context();
    drop(SessionTrace::begin(&tracers, &context, &START));
    let before = BYTES.with(Cell::get);
    let sessions: Vec<_> = (0..64).map(|_| SessionTrace::begin(&tracers, &context, &START)).collect();
    let with_ring = BYTES.with(Cell::get).wrapping_sub(before) / 64;
    println!("{with_ring} bytes a traced session, its session_start in the ring included");
    assert!(with_ring < 4096, "{with_ring} bytes a session");
    drop(sessions);
}
