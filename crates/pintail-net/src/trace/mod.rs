//! Distributed traces, on request: what a server did for a request, told to a collector by OTLP.
//!
//! One trace follows a room's start from server to server: the gateway's span of the lobby request, the lobby's of what
//! it did about it, the game server's from the news that a game is placed to its first step. The gateway begins a trace;
//! the others go on with what they are handed ([`TraceParent`]) and begin none. Without a collector a tracer is off: no
//! span is made and nothing is queued, and what a server was handed it hands on as it came ([`handed_on`]).
//!
//! | module | what it does |
//! | --- | --- |
//! | the root | spans, from their beginning to the queue |
//! | `export` | from the queue to the collector |
//! | `otlp` | the messages, as of opentelemetry-proto 1 |

mod endpoint;
mod export;
mod otlp;

use std::fmt::Display;
use std::time::SystemTime;

use pintail_core::{Kind, TraceParent};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::greeting::Identity;
pub use endpoint::{BadEndpoint, OtlpEndpoint};
use export::Exporter;

/// How many spans wait for the collector; more are dropped. A second's worth of a busy lobby.
const QUEUE_MAX: usize = 4096;

/// Makes spans. Clones are the same tracer.
#[derive(Debug, Clone, Default)]
pub struct Tracer {
    /// None while nobody wants traces.
    queue: Option<mpsc::Sender<SpanData>>,
    counts: Counts,
}

/// What became of spans.
#[derive(Debug, Clone, Default)]
struct Counts {
    exported: Counter,
    dropped: Counter,
}

impl Tracer {
    /// A tracer for a server that tells this collector, and the task that does; one that is off without a collector.
    /// When the task is dropped, what is still queued is lost.
    #[must_use]
    pub fn start(
        endpoint: Option<&OtlpEndpoint>,
        kind: Kind,
        version: &str,
        identity: watch::Receiver<Option<Identity>>,
    ) -> (Self, Option<AbortOnDropHandle<()>>) {
        let Some(endpoint) = endpoint else { return (Self::default(), None) };
        let (queue, spans) = mpsc::channel(QUEUE_MAX);
        let counts = Counts::default();
        let exporter = Exporter::new(endpoint.clone(), kind, version, identity, counts.clone());
        let task = AbortOnDropHandle::new(tokio::spawn(exporter.run(spans)));
        (Self { queue: Some(queue), counts }, Some(task))
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

    /// The first span of a new trace, if traces are wanted.
    #[must_use]
    pub fn root(&self, name: &'static str) -> Option<Span> {
        self.begin(name, TraceParent::root, None)
    }

    /// A span that another caused, if traces are wanted and there is another.
    #[must_use]
    pub fn child(&self, name: &'static str, parent: Option<TraceParent>) -> Option<Span> {
        let parent = parent?;
        self.begin(name, || parent.child(), Some(parent.span))
    }

    fn begin(&self, name: &'static str, context: impl FnOnce() -> TraceParent, parent: Option<u64>) -> Option<Span> {
        self.queue.as_ref()?;
        let began = SystemTime::now();
        let (attributes, failure) = (Vec::new(), None);
        let data = SpanData { context: context(), parent, name, began, ended: began, attributes, failure };
        Some(Span { data: Some(data), tracer: self.clone() })
    }

    fn send(&self, span: SpanData) {
        if self.queue.as_ref().is_some_and(|queue| queue.try_send(span).is_err()) {
            self.counts.dropped.inc();
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
        let tracer = Tracer { queue: Some(queue), counts: Counts::default() };
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
}
