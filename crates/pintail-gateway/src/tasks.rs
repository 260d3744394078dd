//! What a gateway says that it does, for operators: `/debug/tasks` and the depth of its links' queues.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use pintail_net::admin::Tasks;
use pintail_net::metrics::LinkQueues;
use prometheus_client::registry::Registry;
use serde::Serialize;
use serde_json::Value;

use crate::links::LinkNow;
use crate::server::Gateway;

/// What a gateway does now.
#[derive(Debug, Serialize)]
struct GatewayNow {
    server: Option<String>,
    connections: i64,
    sessions: SessionsNow,
    lobby_requests_unanswered: usize,
    link_count: usize,
    /// As many as were asked for.
    links: Vec<LinkNow>,
}

#[derive(Debug, Serialize)]
struct SessionsNow {
    logged_in: usize,
    /// Those that play a game.
    attached: usize,
    /// Those that wait for the server of their game.
    waiting_for_game: usize,
}

/// Whoever asks does not keep the gateway alive.
pub(crate) struct GatewayTasks(Weak<Gateway>);

impl GatewayTasks {
    pub(crate) fn new(gateway: &Arc<Gateway>) -> Self {
        Self(Arc::downgrade(gateway))
    }
}

#[async_trait]
impl Tasks for GatewayTasks {
    async fn tasks(&self, limit: usize) -> Option<Value> {
        let gateway = self.0.upgrade()?;
        let sessions = gateway.sessions.all();
        let now = gateway.now();
        let mut links: Vec<_> = gateway.links.all().iter().map(|link| link.seen(now)).collect();
        let link_count = links.len();
        // What waits longest is what is looked for.
        links.sort_by(|one, other| (other.queue_bytes, &one.server).cmp(&(one.queue_bytes, &other.server)));
        links.truncate(limit);
        let doing = GatewayNow {
            server: gateway.identity().map(|identity| identity.slot.to_string()),
            connections: gateway.metrics.connections.get(),
            sessions: SessionsNow {
                logged_in: sessions.len(),
                attached: sessions.iter().filter(|session| session.attachment().is_some()).count(),
                waiting_for_game: gateway.with_waiting(|waiting| waiting.len()),
            },
            lobby_requests_unanswered: gateway.requests().len(),
            link_count,
            links,
        };
        serde_json::to_value(doing).ok()
    }
}

/// Shows the depth of the links' queues.
pub(crate) fn register_queues(gateway: &Arc<Gateway>, registry: &mut Registry) {
    let gateway = Arc::downgrade(gateway);
    let open = move || {
        let links = gateway.upgrade().map(|gateway| gateway.links.all()).unwrap_or_default();
        links.iter().map(|link| link.outbox.clone()).collect()
    };
    registry.register_collector(Box::new(LinkQueues::new(open)));
}
