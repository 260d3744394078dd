//! Servers that look after each other.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use pintail_core::Status;
use pintail_core::limits::LEASE_TTL;
use pintail_net::EventKind;
use pintail_store::EmbeddedStore;
use tokio::time::sleep;

use crate::rig::{Server, record};

#[tokio::test(start_paused = true)]
async fn one_that_is_gone_is_switched_off_and_told_once_by_whoever_saw_it() {
    let store = Arc::new(EmbeddedStore::new());
    let (one, other) = (Server::start(store.clone()).await, Server::start(store.clone()).await);
    let gone = Server::start(store.clone()).await;
    let slot = gone.identity.slot;
    sleep(LEASE_TTL).await;
    drop(gone);
    sleep(LEASE_TTL * 2).await;
    assert_eq!(record(&*store, slot).await.status, Status::Unused);
    let mut told = [one.published(), other.published()].concat();
    told.retain(|(event, ..)| *event != EventKind::On);
    assert_eq!(told, [(EventKind::Down, slot, "its lease ran out".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn one_that_sees_hardly_anyone_takes_nobody_out_of_use() {
    let store = Arc::new(EmbeddedStore::new());
    let (server, gone) = (Server::start(store.clone()).await, Server::start(store.clone()).await);
    let slot = gone.identity.slot;
    server.cut_off.store(true, Ordering::Relaxed);
    sleep(LEASE_TTL).await;
    drop(gone);
    sleep(LEASE_TTL * 5).await;
    let seen = record(&*store, slot).await;
    assert!(!seen.lease && seen.unused_ms.is_none(), "{seen:?}");
    server.cut_off.store(false, Ordering::Relaxed);
    sleep(LEASE_TTL).await;
    assert!(record(&*store, slot).await.unused_ms.is_some());
}

#[tokio::test(start_paused = true)]
async fn leaving_and_coming_again_are_told() {
    let store = Arc::new(EmbeddedStore::new());
    let server = Server::start(store.clone()).await;
    let (events, slot) = (server.events.clone(), server.identity.slot);
    server.membership.leave().await;
    let (kept, _) = events.follow();
    let told: Vec<_> = kept.iter().map(|event| (event.event, event.server)).collect();
    assert_eq!(told, [(EventKind::On, slot), (EventKind::Off, slot)]);
    sleep(LEASE_TTL * 10).await;
    let next = Server::start(store.clone()).await;
    assert_eq!(next.published()[0].0, EventKind::Recycled);
    assert_eq!(next.identity.slot, slot);
}
