//! What every server counts, beside what its role does: its build, its process, and its calls to the store.
//!
//! Names and units follow the conventions of Prometheus: base units, `_total` for counters, `_seconds` and `_bytes`.

mod process;
mod queues;
mod store;

use std::fmt;
use std::sync::Arc;

use pintail_core::Kind;
use pintail_store::{ObservedStore, SharedStore};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use process::ProcessCollector;
pub use queues::LinkQueues;
use store::StoreMetrics;

/// The metrics of one server. Several servers of one process each show the process's own figures.
#[derive(Debug)]
pub struct ServerMetrics {
    /// What the role counts, as `pintail_<role>_…`.
    role: Registry,
    /// What all servers count.
    common: Registry,
}

impl ServerMetrics {
    /// What a server of this kind and version counts beside its role's own metrics.
    #[must_use]
    pub fn new(role: Registry, common: CommonMetrics, kind: Kind, version: &str) -> Self {
        let mut registry = common.registry;
        let labels = vec![("kind", kind.to_string().to_lowercase()), ("version", version.to_owned())];
        registry.register("pintail_build", "What this server is and its version", Info::new(labels));
        registry.register_collector(Box::new(ProcessCollector));
        Self { role, common: registry }
    }

    /// The text that `/metrics` answers with, in the OpenMetrics format.
    ///
    /// # Errors
    /// If a metric can't be written: a bug.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode_registry(&mut text, &self.role)?;
        encode_registry(&mut text, &self.common)?;
        encode_eof(&mut text)?;
        Ok(text)
    }
}

/// What is counted before a server has metrics of its own: what it asks of the store.
#[derive(Debug, Default)]
pub struct CommonMetrics {
    registry: Registry,
}

impl CommonMetrics {
    /// The store, with every call counted.
    #[must_use]
    pub fn observe(store: SharedStore) -> (SharedStore, Self) {
        let mut registry = Registry::default();
        let calls = Arc::new(StoreMetrics::new());
        calls.register(&mut registry);
        (Arc::new(ObservedStore::new(store, calls)), Self { registry })
    }
}

#[cfg(test)]
mod tests {
    use pintail_core::RoomId;
    use pintail_store::EmbeddedStore;

    use super::*;

    #[tokio::test]
    async fn a_server_tells_its_build_its_process_and_its_calls() {
        let (store, common) = CommonMetrics::observe(Arc::new(EmbeddedStore::new()));
        store.room(RoomId(1)).await.unwrap();
        let text = ServerMetrics::new(Registry::default(), common, Kind::Lobby, "1.2.3").encode().unwrap();
        let has = |line: &str| assert!(text.contains(line), "no {line} in {text}");
        has("pintail_build_info{kind=\"lobby\",version=\"1.2.3\"} 1");
        has("pintail_store_calls_total{call=\"room\",outcome=\"ok\"} 1");
        for outcome in ["unavailable", "timeout", "refused", "corrupt", "abandoned"] {
            // Else the first failure of a call that has succeeded for days would be no growth.
            has(&format!("pintail_store_calls_total{{call=\"room\",outcome=\"{outcome}\"}} 0"));
        }
        assert!(!text.contains("call=\"place\""), "a call that nobody makes has no series: {text}");
        has("pintail_store_call_duration_seconds_count{call=\"room\"} 1");
        has("# TYPE process_cpu_seconds counter");
        has("process_resident_memory_bytes ");
        assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1);
    }
}
