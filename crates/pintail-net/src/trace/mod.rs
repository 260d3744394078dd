//! Distributed traces, on request: what a server did for a request, told to a collector by OTLP.
//!
//! One trace follows a room's start from server to server: the gateway's span of the lobby request, the lobby's of what
//! it did about it, the game server's from the news that a game is placed to its first step. The gateway begins a trace;
//! the others go on with what they are handed ([`TraceParent`]) and begin none. Without a collector a tracer is off: no
//! span is made and nothing is queued, and what a server was handed it hands on as it came ([`handed_on`]). Of a request whose
//! trace is not among the share that is wanted, nobody is handed anything, so nobody goes on with it.
//!
//! | module | what it does |
//! | --- | --- |
//! | the root | spans, from their beginning to the queue |
//! | `sample` | which traces there are |
//! | `export` | from the queue to the collector |
//! | `otlp` | the messages, as of opentelemetry-proto 1 |

mod endpoint;
mod export;
mod otlp;
mod sample;

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use pintail_core::{Kind, TraceParent};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::greeting::Identity;
pub use endpoint::{BadEndpoint, OtlpEndpoint};
use export::Exporter;
pub use sample::{BadShare, TraceShare};

/// How many spans wait for the collector; more are dropped. A second's worth of a busy lobby.
const QUEUE_MAX: usize = 4096;

/// How few wait when a queue that was full has room again.
const QUEUE_RELIEVED: usize = QUEUE_MAX / 2;

/// Who is told of traces, and of how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceExport {
    /// The collector.
    pub endpoint: OtlpEndpoint,
    /// Which share of traces is begun. Whoever goes on with one that another server began goes on with each.
    pub share: TraceShare,
}

/// Makes spans. Clones are the same tracer.
#[derive(Debug, Clone, Default)]
pub struct Tracer {
    /// None while nobody wants traces.
    queue: Option<mpsc::Sender<SpanData>>,
    share: TraceShare,
    counts: Counts,
}

/// What became of spans.
#[derive(Debug, Clone, Default)]
struct Counts {
    exported: Counter,
    dropped: Counter,
    /// Whether the operator knows that there are more spans than the collector takes.
    is_overflowing: Arc<AtomicBool>,
}

/// What an operator is told of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum QueueNews {
    Overflows,
    Relieved,
    Nothing,
}

impl Counts {
    /// A span found no room. The first one is news.
    fn overflowed(&self) -> QueueNews {
        self.dropped.inc();
        if self.is_overflowing.swap(true, Ordering::Relaxed) { QueueNews::Nothing } else { QueueNews::Overflows }
    }

    /// So many wait after a batch was sent. A queue that is only just not full overflows again in no time.
    fn waiting(&self, waiting: usize) -> QueueNews {
        let is_relieved = waiting <= QUEUE_RELIEVED && self.is_overflowing.swap(false, Ordering::Relaxed);
        if is_relieved { QueueNews::Relieved } else { QueueNews::Nothing }
    }
}

impl QueueNews {
    fn tell(self) {
        match self {
            Self::Overflows => warn!(
                waiting = QUEUE_MAX,
                "there are more spans than the collector takes, and those that find no room are lost: trace fewer requests \
                 (--otlp-sample of the gateways), or look at the collector"
            ),
            Self::Relieved => info!("spans find room again on their way to the collector"),
            Self::Nothing => {}
        }
    }
}

impl Tracer {
    /// A tracer for a server that tells this collector, and the task that does; one that is off without a collector.
    /// When the task is dropped, what is still queued is lost.
    #[must_use]
    pub fn start(
        export: Option<&TraceExport>,
        kind: Kind,
        version: &str,
        identity: watch::Receiver<Option<Identity>>,
    ) -> (Self, Option<AbortOnDropHandle<()>>) {
        let Some(TraceExport { endpoint, share }) = export else { return (Self::default(), None) };
        let (queue, spans) = mpsc::channel(QUEUE_MAX);
        let counts = Counts::default();
        let exporter = Exporter::new(endpoint.clone(), kind, version, identity, counts.clone());
        let task = AbortOnDropHandle::new(tokio::spawn(exporter.run(spans)));
        (Self { queue: Some(queue), share: *share, counts }, Some(task))
    }

    /// Shows what became of spans.
    pub fn register_metrics(&self, registry: &mut Registry) {
        registry.register("trace_spans_exported", "Spans that a collector took", self.counts.exported.clone());
        let help = "Spans that no collector took: it is away, or there were too many";
        registry.register("trace_spans_dropped", help, self.counts.dropped.clone());
    }

    /// Whether traces are wanted.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.queue.is_some()
    }

    /// The first span of a new trace, if traces are wanted and this one is.
    #[must_use]
    pub fn root(&self, name: &'static str) -> Option<Span> {
        self.queue.as_ref()?;
        let context = Some(TraceParent::root()).filter(|context| self.share.has(context.trace))?;
        self.begin(name, context, None)
    }

    /// A span that another caused, if traces are wanted and there is another.
    #[must_use]
    pub fn child(&self, name: &'static str, parent: Option<TraceParent>) -> Option<Span> {
        let parent = parent?;
        self.queue.as_ref()?;
        self.begin(name, parent.child(), Some(parent.span))
    }

    fn begin(&self, name: &'static str, context: TraceParent, parent: Option<u64>) -> Option<Span> {
        let began = SystemTime::now();
        let (attributes, failure) = (Vec::new(), None);
        let data = SpanData { context, parent, name, began, ended: began, attributes, failure };
        Some(Span { data: Some(data), tracer: self.clone() })
    }

    fn send(&self, span: SpanData) {
        let Some(queue) = &self.queue else { return };
        match queue.try_send(span) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.counts.overflowed().tell(),
            // The server ends.
            Err(TrySendError::Closed(_)) => drop(self.counts.dropped.inc()),
        }
    }
}

/// What is handed on to whoever does a part of what `span` does for `parent`: a server without a collector is left out of the
/// trace, and does not cut it.
#[must_use]
pub fn handed_on(span: Option<&Span>, parent: Option<TraceParent>) -> Option<TraceParent> {
    span.and_then(Span::context).or(parent)
}

/// What a server does for a request, from when it is made until it is dropped.
#[derive(Debug)]
pub struct Span {
    /// None once it has ended.
    data: Option<SpanData>,
    tracer: Tracer,
}

impl Span {
    /// What is handed on to whoever does a part of it.
    #[must_use]
    pub fn context(&self) -> Option<TraceParent> {
        self.data.as_ref().map(|data| data.context)
    }

    /// Says more about it.
    pub fn set(&mut self, name: &'static str, value: &dyn Display) {
        if let Some(data) = &mut self.data {
            data.attributes.push((name, value.to_string()));
        }
    }

    /// It has failed, and why.
    pub fn fail(&mut self, why: &dyn Display) {
        if let Some(data) = &mut self.data {
            data.failure = Some(why.to_string());
        }
    }

    /// It has begun at this time already.
    #[must_use]
    pub fn since(mut self, began: SystemTime) -> Self {
        if let Some(data) = &mut self.data {
            data.began = began;
        }
        self
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(data) = self.data.take() {
            self.tracer.send(SpanData { ended: SystemTime::now(), ..data });
        }
    }
}

/// A span that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SpanData {
    context: TraceParent,
    parent: Option<u64>,
    name: &'static str,
    began: SystemTime,
    ended: SystemTime,
    attributes: Vec<(&'static str, String)>,
    failure: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_collector_there_are_no_spans() {
        let tracer = Tracer::start(None, Kind::Gateway, "1", watch::channel(None).1).0;
        assert!(tracer.root("nothing").is_none());
        assert!(tracer.child("nothing", Some(TraceParent::root())).is_none());
    }

    #[test]
    fn a_span_is_queued_when_it_ends_and_one_without_room_is_counted() {
        let (queue, mut spans) = mpsc::channel(1);
        let tracer = Tracer { queue: Some(queue), ..Tracer::default() };
        let root = tracer.root("request").unwrap();
        let mut child = tracer.child("work", root.context()).unwrap();
        child.set("game", &7);
        child.fail(&"no");
        let (parent, context) = (root.context().unwrap(), child.context().unwrap());
        drop(child);
        drop(root);
        let told = spans.try_recv().unwrap();
        assert_eq!((told.context, told.parent, told.name), (context, Some(parent.span), "work"));
        assert_eq!(told.context.trace, parent.trace);
        assert_eq!((told.attributes, told.failure), (vec![("game", "7".to_owned())], Some("no".to_owned())));
        assert!(told.began <= told.ended);
        assert!(spans.try_recv().is_err(), "there was room for one");
        assert_eq!(tracer.counts.dropped.get(), 1);
        assert!(tracer.child("orphan", None).is_none());
    }

    #[test]
    fn a_queue_that_overflows_is_told_once_and_again_when_it_had_recovered() {
        let counts = Counts::default();
        for _ in 0..2 {
            assert_eq!(counts.waiting(0), QueueNews::Nothing);
            assert_eq!(counts.overflowed(), QueueNews::Overflows);
            assert_eq!(counts.overflowed(), QueueNews::Nothing, "each further span is counted only");
            assert_eq!(counts.waiting(QUEUE_RELIEVED + 1), QueueNews::Nothing);
            assert_eq!(counts.overflowed(), QueueNews::Nothing, "one batch is no recovery");
            assert_eq!(counts.waiting(QUEUE_RELIEVED), QueueNews::Relieved);
        }
        assert_eq!(counts.dropped.get(), 6);
    }

    #[test]
    fn a_share_of_the_traces_is_begun_and_each_that_another_began_goes_on() {
        let (queue, mut spans) = mpsc::channel(1000);
        let tracer = Tracer { queue: Some(queue), share: "0.5".parse().unwrap(), ..Tracer::default() };
        let begun = (0..1000).filter_map(|_| tracer.root("request")).count();
        assert!(begun > 0 && begun < 1000, "{begun} of 1000");
        while let Ok(span) = spans.try_recv() {
            assert!(tracer.share.has(span.context.trace));
        }
        let left_out = TraceParent { trace: 1, span: 1 };
        assert!(!tracer.share.has(left_out.trace) && tracer.child("work", Some(left_out)).is_some());
    }
}
