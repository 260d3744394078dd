//! The part of opentelemetry-proto 1 (`opentelemetry/proto/collector/trace/v1`) that is written.

use std::time::{SystemTime, UNIX_EPOCH};

use super::SpanData;

/// A batch of spans of one server.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ExportTraceServiceRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AnyValue {
    #[prost(string, optional, tag = "1")]
    string_value: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(int32, tag = "3")]
    code: i32,
}

/// `SPAN_KIND_SERVER`: every span here is what a server does for another.
const KIND_SERVER: i32 = 2;
/// `STATUS_CODE_ERROR`.
const CODE_ERROR: i32 = 2;

impl ExportTraceServiceRequest {
    /// These spans of a server that says this of itself.
    pub(super) fn new(resource: &[(&'static str, String)], spans: Vec<SpanData>) -> Self {
        let scope = Some(Scope { name: "pintail".to_owned() });
        let scope_spans = vec![ScopeSpans { scope, spans: spans.into_iter().map(Span::from).collect() }];
        let resource = Some(Resource { attributes: attributes(resource) });
        Self { resource_spans: vec![ResourceSpans { resource, scope_spans }] }
    }
}

impl From<SpanData> for Span {
    fn from(data: SpanData) -> Self {
        Self {
            trace_id: data.context.trace.to_be_bytes().to_vec(),
            span_id: data.context.span.to_be_bytes().to_vec(),
            parent_span_id: data.parent.map(|parent| parent.to_be_bytes().to_vec()).unwrap_or_default(),
            name: data.name.to_owned(),
            kind: KIND_SERVER,
            start_time_unix_nano: nanoseconds(data.began),
            end_time_unix_nano: nanoseconds(data.ended),
            attributes: attributes(&data.attributes),
            status: data.failure.map(|message| Status { message, code: CODE_ERROR }),
        }
    }
}

fn attributes(pairs: &[(&'static str, String)]) -> Vec<KeyValue> {
    let attribute = |(key, value): &(&'static str, String)| KeyValue {
        key: (*key).to_owned(),
        value: Some(AnyValue { string_value: Some(value.clone()) }),
    };
    pairs.iter().map(attribute).collect()
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}
