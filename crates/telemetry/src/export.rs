//! Delivering spans to a collector, and counting what was not delivered.
//!
//! ```text
//! span ends ─▶ queue (bounded; full: the newest is dropped and counted) ─▶ one thread with its own runtime ─▶ OTLP gRPC
//! ```
//!
//! The thread serves all components: it sorts a batch by component and sends each part under that component's service
//! name over one shared connection. It has a runtime of its own because the gRPC client needs one to exist, and because on the
//! server's runtime a flush would wait for the very thread that it blocks.

use std::sync::{Arc, mpsc as std_mpsc};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_otlp::{SpanExporter as OtlpExporter, WithTonicConfig};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{Notify, mpsc, watch};

use crate::component::{Component, ServiceNames};
use crate::options::Options;
use crate::outage::Outage;
use crate::{TelemetryError, tracers};

/// Spans per request. 512 spans of ours are about 200 KiB, far from the 4 MiB at which gRPC servers refuse.
const BATCH: usize = 512;
/// An ended span waits at most this long for company; a queue that is half full does not wait at all.
const LINGER: Duration = Duration::from_millis(500);
/// A collector that has not answered by then gets no longer wait.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(3);
/// As above, for one that does not even accept the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// What became of ended spans. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct SpanCounters {
    /// The collector took them.
    pub exported: Counter,
    /// The queue was full.
    pub dropped_queue_full: Counter,
    /// The collector was away, too slow, or refused them.
    pub dropped_export_failed: Counter,
    /// They were still waiting when the process had to end.
    pub dropped_at_shutdown: Counter,
}

impl SpanCounters {
    /// Everything that was lost.
    pub fn dropped(&self) -> u64 {
        self.dropped_queue_full.get() + self.dropped_export_failed.get() + self.dropped_at_shutdown.get()
    }
}

#[derive(Debug)]
struct Ended {
    component: Component,
    span: SpanData,
}

/// The sending end: never waits.
#[derive(Clone, Debug)]
pub(crate) struct SpanQueue {
    sender: mpsc::Sender<Ended>,
    half_full: Arc<Notify>,
    counters: SpanCounters,
}

impl SpanQueue {
    pub(crate) fn push(&self, component: Component, span: SpanData) {
        match self.sender.try_send(Ended { component, span }) {
            Ok(()) => {
                if self.sender.capacity() <= self.sender.max_capacity() / 2 {
                    self.half_full.notify_one();
                }
            }
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.counters.dropped_queue_full.inc();
            }
            Err(mpsc::error::TrySendError::Closed(_)) => {
                self.counters.dropped_at_shutdown.inc();
            }
        }
    }
}

/// The thread that exports, owned by the guard.
#[derive(Debug)]
pub(crate) struct ExporterThread {
    /// Set once: deliver what is queued until then, and end.
    stop: watch::Sender<Option<Instant>>,
    /// Capacity 1: a second flush at the same time is refused, and says that it did not deliver.
    flush: mpsc::Sender<std_mpsc::SyncSender<bool>>,
    ended: std_mpsc::Receiver<()>,
}

impl ExporterThread {
    pub(crate) fn spawn(
        options: &Options,
        names: &ServiceNames,
        counters: SpanCounters,
    ) -> Result<(SpanQueue, Self), TelemetryError> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(TelemetryError::Thread)?;
        let exporters = {
            let _inside = runtime.enter();
            build_exporters(&options.endpoint, names)?
        };
        let (sender, queue) = mpsc::channel(options.queue_spans);
        let (stop, stopping) = watch::channel(None);
        let (flush, flushes) = mpsc::channel(1);
        let (ending, ended) = std_mpsc::sync_channel(1);
        let half_full = Arc::new(Notify::new());
        let worker = Worker {
            exporters,
            queue,
            half_full: Arc::clone(&half_full),
            stopping,
            flushes,
            counters: counters.clone(),
            outage: Outage::new(options.endpoint.clone()),
        };
        thread::Builder::new()
            .name("dalston-otlp".to_owned())
            .spawn(move || {
                runtime.block_on(worker.run());
                // The guard may have stopped waiting; then nobody is told.
                let _ = ending.send(());
            })
            .map_err(TelemetryError::Thread)?;
        Ok((SpanQueue { sender, half_full, counters }, Self { stop, flush, ended }))
    }

    /// Whether everything that was queued before the call was delivered within `timeout`.
    pub(crate) fn flush(&self, timeout: Duration) -> bool {
        let (done, answer) = std_mpsc::sync_channel(1);
        self.flush.try_send(done).is_ok() && answer.recv_timeout(timeout).unwrap_or(false)
    }

    /// Delivers what it can within `timeout` and ends the thread. What is left is counted as dropped.
    pub(crate) fn shutdown(self, timeout: Duration) {
        self.stop.send_replace(Some(Instant::now() + timeout));
        // The thread keeps the deadline itself; the grace is for its last instructions.
        let _ = self.ended.recv_timeout(timeout + Duration::from_millis(100));
    }
}

fn build_exporters(endpoint: &str, names: &ServiceNames) -> Result<Vec<OtlpExporter>, TelemetryError> {
    let refused = |reason: String| TelemetryError::Exporter { endpoint: endpoint.to_owned(), reason };
    let channel = tonic::transport::Endpoint::from_shared(endpoint.to_owned())
        .map_err(|error| refused(error.to_string()))?
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(EXPORT_TIMEOUT)
        .connect_lazy();
    let build = |component| {
        let mut exporter = OtlpExporter::builder().with_tonic().with_channel(channel.clone()).build()?;
        exporter.set_resource(&tracers::resource(names.of(component)));
        Ok(exporter)
    };
    let exporters: Result<_, opentelemetry_otlp::ExporterBuildError> = Component::ALL.into_iter().map(build).collect();
    exporters.map_err(|error| refused(error.to_string()))
}

struct Worker {
    /// One per component, in their order.
    exporters: Vec<OtlpExporter>,
    queue: mpsc::Receiver<Ended>,
    half_full: Arc<Notify>,
    stopping: watch::Receiver<Option<Instant>>,
    flushes: mpsc::Receiver<std_mpsc::SyncSender<bool>>,
    counters: SpanCounters,
    outage: Outage,
}

enum Wake {
    Deliver,
    Flush(std_mpsc::SyncSender<bool>),
    Stop,
}

impl Worker {
    async fn run(mut self) {
        loop {
            match self.wait().await {
                Wake::Deliver => {
                    self.deliver_queued().await;
                }
                Wake::Flush(done) => {
                    let delivered = self.deliver_queued().await;
                    // Whoever asked may have stopped waiting.
                    let _ = done.send(delivered);
                }
                Wake::Stop => return self.deliver_the_rest().await,
            }
        }
    }

    async fn wait(&mut self) -> Wake {
        tokio::select! {
            biased;
            _ = self.stopping.changed() => Wake::Stop,
            Some(done) = self.flushes.recv() => Wake::Flush(done),
            () = self.half_full.notified() => Wake::Deliver,
            () = tokio::time::sleep(LINGER) => Wake::Deliver,
        }
    }

    /// Sends what is in the queue now; spans that end meanwhile wait for the next turn, as do all when a batch fails.
    async fn deliver_queued(&mut self) -> bool {
        let mut delivered = true;
        let mut waiting = self.queue.len();
        while waiting > 0 && delivered && !self.is_stopping() {
            let batch = self.take_batch(waiting.min(BATCH));
            waiting -= batch.len();
            delivered = self.export(batch).await;
        }
        delivered
    }

    async fn deliver_the_rest(mut self) {
        self.queue.close();
        let mut reachable = true;
        while reachable && !self.queue.is_empty() {
            let batch = self.take_batch(BATCH);
            // A collector that failed once is not asked again: the process has somewhere to go.
            reachable = self.export(batch).await;
        }
        self.counters.dropped_at_shutdown.inc_by(self.queue.len() as u64);
    }

    fn is_stopping(&self) -> bool {
        self.stopping.borrow().is_some() || self.stopping.has_changed().is_err()
    }

    fn take_batch(&mut self, limit: usize) -> Vec<Ended> {
        let mut batch = Vec::with_capacity(limit);
        while batch.len() < limit
            && let Ok(ended) = self.queue.try_recv()
        {
            batch.push(ended);
        }
        batch
    }

    /// Whether the whole batch was taken. After the first failure the collector is not asked for the other components.
    async fn export(&mut self, batch: Vec<Ended>) -> bool {
        let mut parts: [Vec<SpanData>; Component::COUNT] = Default::default();
        for ended in batch {
            parts[ended.component.index()].push(ended.span);
        }
        let mut failure = None;
        let mut lost = 0;
        for (exporter, part) in self.exporters.iter().zip(parts).filter(|(_, part)| !part.is_empty()) {
            let spans = part.len() as u64;
            if failure.is_none() {
                failure = send(exporter, part, self.stopping.clone()).await.err();
            }
            match &failure {
                None => {
                    self.counters.exported.inc_by(spans);
                }
                Some(_) => lost += spans,
            }
        }
        match &failure {
            None => self.outage.delivered(),
            Some(reason) => {
                self.counters.dropped_export_failed.inc_by(lost);
                self.outage.failed(reason, lost);
            }
        }
        failure.is_none()
    }
}

async fn send(
    exporter: &OtlpExporter,
    spans: Vec<SpanData>,
    stopping: watch::Receiver<Option<Instant>>,
) -> Result<(), String> {
    tokio::select! {
        biased;
        result = exporter.export(spans) => result.map_err(|error| error.to_string()),
        () = deadline(stopping) => Err("the process ends".to_owned()),
    }
}

/// Resolves at the deadline that the guard set, if it ever does.
async fn deadline(mut stopping: watch::Receiver<Option<Instant>>) {
    // An error means that the guard is gone without a deadline, which is a deadline of now.
    let deadline =
        stopping.wait_for(Option::is_some).await.map_or_else(|_| Instant::now(), |at| at.unwrap_or_else(Instant::now));
    tokio::time::sleep_until(deadline.into()).await;
}
