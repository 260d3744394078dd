//! Spans to their collector, in batches. A collector that is away costs spans, and nothing else.

use std::io;
use std::time::Duration;

use pintail_core::Kind;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::{info, warn};

use super::otlp::ExportTraceServiceRequest;
use super::{Counts, OtlpEndpoint, SpanData};
use crate::greeting::Identity;

/// How many spans are sent at once.
const BATCH_MAX: usize = 512;

/// How long a batch grows before it is sent; one that is full is sent at once.
const BATCH_PERIOD: Duration = Duration::from_secs(1);

/// How long a collector may take.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// How much of its answer is read: the first line says all.
const ANSWER_BYTES_MAX: u64 = 1024;

pub(super) struct Exporter {
    endpoint: OtlpEndpoint,
    kind: Kind,
    version: String,
    identity: watch::Receiver<Option<Identity>>,
    counts: Counts,
    /// Whether the operator knows that the collector is away.
    is_away: bool,
}

impl Exporter {
    pub(super) fn new(
        endpoint: OtlpEndpoint,
        kind: Kind,
        version: &str,
        identity: watch::Receiver<Option<Identity>>,
        counts: Counts,
    ) -> Self {
        Self { endpoint, kind, version: version.to_owned(), identity, counts, is_away: false }
    }

    /// Sends what comes until nobody makes spans any more.
    pub(super) async fn run(mut self, mut spans: mpsc::Receiver<SpanData>) {
        loop {
            let batch = next_batch(&mut spans).await;
            if batch.is_empty() {
                return;
            }
            self.export(batch).await;
            self.counts.waiting(spans.len()).tell();
        }
    }

    async fn export(&mut self, batch: Vec<SpanData>) {
        let count = batch.len() as u64;
        let body = ExportTraceServiceRequest::new(&self.resource(), batch).encode_to_vec();
        let posted = timeout(EXPORT_TIMEOUT, post(&self.endpoint, &body)).await;
        match posted.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(()) => {
                self.counts.exported.inc_by(count);
                if std::mem::take(&mut self.is_away) {
                    info!(collector = %self.endpoint, "the collector takes traces again");
                }
            }
            Err(error) => {
                self.counts.dropped.inc_by(count);
                if !std::mem::replace(&mut self.is_away, true) {
                    warn!(
                        collector = %self.endpoint, %error,
                        "the collector takes no traces, and they are lost meanwhile: check --otlp, and that it runs"
                    );
                }
            }
        }
    }

    /// What the server says of itself, in the words of OpenTelemetry's semantic conventions.
    fn resource(&self) -> Vec<(&'static str, String)> {
        let name = format!("pintail-{}", self.kind.to_string().to_lowercase());
        let mut resource = vec![("service.name", name), ("service.version", self.version.clone())];
        if let Some(identity) = &*self.identity.borrow() {
            resource.push(("service.namespace", identity.cluster.clone()));
            resource.push(("service.instance.id", identity.slot.to_string()));
        }
        resource
    }
}

/// The spans of some time, or as many as are sent at once; none when nobody makes spans any more.
async fn next_batch(spans: &mut mpsc::Receiver<SpanData>) -> Vec<SpanData> {
    let mut batch = Vec::new();
    if spans.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let fill = async {
            let mut room = BATCH_MAX - batch.len();
            while room > 0 && spans.recv_many(&mut batch, room).await > 0 {
                room = BATCH_MAX - batch.len();
            }
        };
        // Whatever has come by then is the batch.
        let _ = timeout(BATCH_PERIOD, fill).await;
    }
    batch
}

/// One request over a connection of its own.
async fn post(endpoint: &OtlpEndpoint, body: &[u8]) -> io::Result<()> {
    let OtlpEndpoint { host, port, path } = endpoint;
    let mut stream = TcpStream::connect((host.as_str(), *port)).await?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-protobuf\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        endpoint.authority(),
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    let line = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
    // HTTP/1.1 200 OK
    if line.starts_with("HTTP/1.") && line.split(' ').nth(1).is_some_and(|status| status.starts_with('2')) {
        return Ok(());
    }
    Err(io::Error::other(format!("it answered `{}`", line.escape_debug())))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use pintail_core::TraceParent;
    use tokio::net::TcpListener;
    use tokio::time::{Instant, sleep};

    use super::super::{TraceExport, TraceShare, Tracer};
    use super::*;

    fn span() -> SpanData {
        let (attributes, now) = (Vec::new(), SystemTime::now());
        let context = TraceParent::root();
        SpanData { context, parent: None, name: "work", began: now, ended: now, attributes, failure: None }
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_is_full_waits_for_nothing_and_one_that_is_not_for_its_time() {
        let (queue, mut spans) = mpsc::channel(4 * BATCH_MAX);
        (0..3 * BATCH_MAX + 1).for_each(|_| queue.try_send(span()).unwrap());
        let began = Instant::now();
        for _ in 0..3 {
            assert_eq!(next_batch(&mut spans).await.len(), BATCH_MAX);
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
        let late = async {
            sleep(BATCH_PERIOD / 2).await;
            queue.try_send(span()).unwrap();
        };
        let (batch, ()) = tokio::join!(next_batch(&mut spans), late);
        assert_eq!((batch.len(), began.elapsed()), (2, BATCH_PERIOD));
        queue.try_send(span()).unwrap();
        drop(queue);
        assert_eq!(next_batch(&mut spans).await.len(), 1, "nothing comes any more that it could wait for");
        assert!(next_batch(&mut spans).await.is_empty());
        assert!(began.elapsed() < 2 * BATCH_PERIOD);
    }

    #[tokio::test]
    async fn a_collector_at_an_ipv6_address_is_called_by_it_in_brackets() {
        let Ok(listener) = TcpListener::bind("[::1]:0").await else {
            eprintln!("this machine has no IPv6");
            return;
        };
        let address = listener.local_addr().unwrap();
        let endpoint: OtlpEndpoint = format!("http://{address}").parse().unwrap();
        let collect = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = String::new();
            while !head.contains("\r\n\r\n") {
                head.push(char::from(stream.read_u8().await.unwrap()));
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            head
        };
        let (posted, head) =
            timeout(Duration::from_secs(20), async { tokio::join!(post(&endpoint, b""), collect) }).await.unwrap();
        posted.unwrap();
        let port = address.port();
        assert!(head.contains(&format!("\r\nhost: [::1]:{port}\r\n")), "{head}");
    }

    #[tokio::test]
    async fn a_collector_that_refuses_or_is_away_costs_spans_only_and_one_that_is_back_gets_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint: OtlpEndpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let export = TraceExport { endpoint, share: TraceShare::ALL };
        let (tracer, _task) = Tracer::start(Some(&export), Kind::Lobby, "7", watch::channel(None).1);
        for (status, expected) in [("503 Service Unavailable", (0, 1)), ("200 OK", (1, 1))] {
            drop(tracer.root("work"));
            let (mut stream, _) = timeout(Duration::from_secs(20), listener.accept()).await.unwrap().unwrap();
            let mut head = [0; 4];
            stream.read_exact(&mut head).await.unwrap();
            assert_eq!(&head, b"POST");
            stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            let deadline = Instant::now() + Duration::from_secs(20);
            let counts = || (tracer.counts.exported.get(), tracer.counts.dropped.get());
            while counts() != expected {
                assert!(Instant::now() < deadline, "{:?}", counts());
                sleep(Duration::from_millis(10)).await;
            }
        }
    }
}
