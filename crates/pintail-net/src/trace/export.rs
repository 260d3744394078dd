//! Spans to their collector, in batches. A collector that is away costs spans, and nothing else.

use std::io;
use std::time::Duration;

use pintail_core::Kind;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::otlp::ExportTraceServiceRequest;
use super::{Counts, OtlpEndpoint, SpanData};
use crate::greeting::Identity;

/// How many spans are sent at once.
const BATCH_MAX: usize = 512;

/// How long a batch grows before it is sent.
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
        let mut batch = Vec::new();
        while spans.recv_many(&mut batch, BATCH_MAX).await > 0 {
            sleep(BATCH_PERIOD).await;
            while batch.len() < BATCH_MAX
                && let Ok(span) = spans.try_recv()
            {
                batch.push(span);
            }
            self.export(std::mem::take(&mut batch)).await;
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

/// One request over a connection of its own.
async fn post(endpoint: &OtlpEndpoint, body: &[u8]) -> io::Result<()> {
    let OtlpEndpoint { host, port, path } = endpoint;
    let mut stream = TcpStream::connect((host.as_str(), *port)).await?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-type: application/x-protobuf\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
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
    use tokio::net::TcpListener;

    use super::super::Tracer;
    use super::*;

    #[tokio::test]
    async fn a_collector_that_refuses_or_is_away_costs_spans_only_and_one_that_is_back_gets_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint: OtlpEndpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let (tracer, _task) = Tracer::start(Some(&endpoint), Kind::Lobby, "7", watch::channel(None).1);
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
            let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
            let counts = || (tracer.counts.exported.get(), tracer.counts.dropped.get());
            while counts() != expected {
                assert!(tokio::time::Instant::now() < deadline, "{:?}", counts());
                sleep(Duration::from_millis(10)).await;
            }
        }
    }
}
