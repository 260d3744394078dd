//! How a gateway goes: it says so first, and takes its leave later.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use pintail_core::{Kind, Status};
use pintail_gateway::GatewayConfig;
use pintail_store::{DrainRequest, EmbeddedStore};
use pintail_wire::Message;
use pintail_wire::client::{Goodbye, GoodbyeReason};
use pintail_wire::kind::client as kind;
use support::{FakeServer, RawClient, TestGateway, gateway_config, http_get, until};

const LAME_DUCK: Duration = Duration::from_millis(1500);

async fn start() -> TestGateway {
    let config = GatewayConfig { lame_duck: LAME_DUCK, ..gateway_config() };
    TestGateway::start_with(config, Arc::new(EmbeddedStore::new())).await
}

async fn is_ready(gateway: &TestGateway) -> bool {
    http_get(gateway.http, "/readyz").await.starts_with("HTTP/1.1 200")
}

/// Stops a gateway one way or another, and looks at all that follows.
async fn goes_in_good_order(ask: impl AsyncFnOnce(&TestGateway)) {
    let gateway = start().await;
    let _lobby = FakeServer::start(Kind::Lobby, gateway.store.clone()).await;
    until("readiness", async || is_ready(&gateway).await).await;
    assert_eq!(gateway.metric("pintail_gateway_lease_held").await, 1.0);
    let (mut early, _) = RawClient::log_in(gateway.tcp, "early").await;
    let began = Instant::now();
    ask(&gateway).await;
    until("the registry to be told", async || {
        let record = gateway.record().await;
        record.status == Status::Unused && record.cause == "draining" && record.is_live()
    })
    .await;
    assert!(began.elapsed() < LAME_DUCK, "it is told at once");
    assert!(!is_ready(&gateway).await);
    // Whoever comes all the same is served.
    let (mut late, _) = RawClient::log_in(gateway.tcp, "late").await;
    for client in [&mut early, &mut late] {
        client.send(kind::PING, b"still there?").await;
        assert_eq!(client.recv_kind(kind::PONG).await, "still there?");
    }
    for client in [&mut early, &mut late] {
        let goodbye = Goodbye::decode(client.recv_kind(kind::GOODBYE).await).unwrap();
        assert_eq!(goodbye.reason(), GoodbyeReason::Shutdown);
        assert!(goodbye.reconnect);
    }
    assert!(began.elapsed() >= LAME_DUCK, "{:?}", began.elapsed());
    let (store, slot) = (gateway.store.clone(), gateway.slot);
    gateway.ended().await;
    assert!(!support::record_of(&store, slot).await.is_live());
}

#[tokio::test]
async fn a_gateway_that_is_told_to_stop_waits_until_nobody_new_is_sent_to_it() {
    goes_in_good_order(async |gateway| gateway.stop.cancel()).await;
}

#[tokio::test]
async fn a_gateway_that_an_operator_asks_to_drain_does_the_same_and_ends() {
    goes_in_good_order(async |gateway| {
        let asked = gateway.store.ask_to_drain(gateway.slot).await.unwrap();
        assert!(matches!(asked, DrainRequest::Asked(_)), "{asked:?}");
    })
    .await;
}
