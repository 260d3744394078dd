//! What a lobby server says that it does, for operators: `/debug/tasks` and the depth of its links' queues.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use pintail_net::admin::Tasks;
use pintail_net::metrics::LinkQueues;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use crate::lobby::Lobby;

/// Whoever asks does not keep the lobby alive.
pub(crate) struct LobbyTasks(Weak<Lobby>);

impl LobbyTasks {
    pub(crate) fn new(lobby: &Arc<Lobby>) -> Self {
        Self(Arc::downgrade(lobby))
    }
}

#[async_trait]
impl Tasks for LobbyTasks {
    async fn tasks(&self, limit: usize) -> Option<Value> {
        let lobby = self.0.upgrade()?;
        let mut queues: Vec<_> =
            lobby.router.all().into_iter().map(|route| (route.gateway, route.outbox.queued_bytes())).collect();
        let link_count = queues.len();
        // What waits longest is what is looked for.
        queues.sort_by_key(|(gateway, bytes)| (std::cmp::Reverse(*bytes), *gateway));
        queues.truncate(limit);
        let links =
            queues.iter().map(|(gateway, bytes)| json!({ "gateway": gateway.to_string(), "queue_bytes": bytes }));
        Some(json!({
            "server": lobby.identity.borrow().as_ref().map(|identity| identity.slot.to_string()),
            "jobs": { "running": lobby.metrics.jobs_running.get(), "waiting": lobby.metrics.jobs_waiting.get() },
            "link_count": link_count,
            "links": links.collect::<Vec<_>>(),
        }))
    }
}

/// Shows the depth of the links' queues.
pub(crate) fn register_queues(lobby: &Arc<Lobby>, registry: &mut Registry) {
    let lobby = Arc::downgrade(lobby);
    let open = move || {
        let routes = lobby.upgrade().map(|lobby| lobby.router.all()).unwrap_or_default();
        routes.into_iter().map(|route| route.outbox).collect()
    };
    registry.register_collector(Box::new(LinkQueues::new(open)));
}
