//! One server and what it says of itself.

use std::sync::Arc;
use std::time::Duration;

use pintail_core::limits::{LEASE_RENEWAL, LEASE_TTL};
use pintail_core::{Incarnation, Status};
use pintail_net::{EventKind, Lease, MemberEvent, Pulse};
use pintail_store::{Announcement, EmbeddedStore, Registry};
use prometheus_client::encoding::text::encode;
use tokio::time::{Instant, sleep};

use crate::rig::{Fault, FaultyStore, Server, eventually};

const MOMENT: Duration = Duration::from_millis(20);

#[tokio::test(start_paused = true)]
async fn a_change_of_the_status_is_known_at_once_and_told_once() {
    let store = Arc::new(EmbeddedStore::new());
    let faulty = FaultyStore::new(store.clone());
    let server = Server::start(faulty.clone()).await;
    let renewer = server.membership.renewer();
    sleep(LEASE_RENEWAL).await;
    let before = faulty.heartbeats().len();
    for (status, cause) in [(Status::Congested, "cpu 97 %"), (Status::Smooth, ""), (Status::Unused, "draining")] {
        server.said.status(status, cause);
        // Many asks are one renewal.
        (0..100).for_each(|_| renewer.renew_now());
        sleep(MOMENT).await;
        let record = server.record(&*store).await;
        assert_eq!((record.status, &*record.cause), (status, cause));
    }
    assert!(faulty.heartbeats().len() - before <= 4, "one each, and one that was due");
    sleep(LEASE_RENEWAL * 5).await;
    let told: Vec<_> = server.published().into_iter().map(|(event, _, cause)| (event, cause)).collect();
    let expected = [(EventKind::Congested, "cpu 97 %"), (EventKind::Smooth, ""), (EventKind::Draining, "draining")];
    assert_eq!(told[0].0, EventKind::On);
    assert_eq!(told[1..], expected.map(|(event, cause)| (event, cause.to_owned())));
    assert!(server.record(&*store).await.is_live(), "a server that drains is there");
}

#[tokio::test(start_paused = true)]
async fn a_stuck_server_accuses_itself_loses_its_lease_and_heals() {
    let store = Arc::new(EmbeddedStore::new());
    let server = Server::start(store.clone()).await;
    let slot = server.identity.slot;
    server.said.pulse(Pulse::Stuck);
    server.membership.renewer().renew_now();
    sleep(MOMENT).await;
    assert_eq!(server.record(&*store).await.accusers, [slot], "it is its own observer, at once");
    let until = Instant::now() + LEASE_TTL;
    while Instant::now() < until {
        assert_eq!(server.record(&*store).await.accusers, [slot], "for as long as it is stuck");
        sleep(MOMENT).await;
    }
    let record = server.record(&*store).await;
    assert!(!record.lease && matches!(server.lease(), Lease::Unsure { .. }), "{record:?}");

    server.said.pulse(Pulse::Steady);
    server.membership.renewer().renew_now();
    sleep(MOMENT).await;
    let record = server.record(&*store).await;
    assert!(record.lease && record.accusers.is_empty() && record.status == Status::Smooth, "{record:?}");
    assert!(server.lease().covers(Instant::now()));
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_heard_once_by_letter_or_without() {
    for loses_letters in [false, true] {
        let store = Arc::new(EmbeddedStore::new());
        let faulty = FaultyStore::new(store.clone());
        if loses_letters {
            faulty.lose_letters();
        }
        let mut server = Server::start(faulty).await;
        let asked = Instant::now();
        store.ask_to_drain(server.identity.slot).await.unwrap();
        assert_eq!(server.hears().await, MemberEvent::DrainAsked);
        assert!(asked.elapsed() <= LEASE_RENEWAL + LEASE_RENEWAL / 5, "{:?}", asked.elapsed());
        sleep(LEASE_RENEWAL * 5).await;
        while let Ok(event) = server.heard.try_recv() {
            assert!(matches!(event, MemberEvent::Notice(_)), "{event:?} again");
        }
        server.membership.leave().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_newer_incarnation_is_noticed_within_a_renewal_and_its_slot_left_alone() {
    let store = Arc::new(EmbeddedStore::new());
    let mut server = Server::start(store.clone()).await;
    let newer = Announcement { incarnation: Incarnation::random(), ..server.announcement.clone() };
    let registered = Instant::now();
    assert_eq!(store.register(&newer).await.unwrap().slot, server.identity.slot);
    assert_eq!(server.hears().await, MemberEvent::Superseded);
    assert!(registered.elapsed() <= LEASE_RENEWAL + LEASE_RENEWAL / 5, "{:?}", registered.elapsed());
    let slot = server.identity.slot;
    server.membership.leave().await;
    let record = crate::rig::record(&*store, slot).await;
    assert_eq!((record.incarnation, record.status), (Some(newer.incarnation), Status::Smooth));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_could_not_be_renewed_is_unsure_before_others_may_act_on_it() {
    let store = Arc::new(EmbeddedStore::new());
    let faulty = FaultyStore::new(store.clone());
    let server = Server::start(faulty.clone()).await;
    let mut metrics = prometheus_client::registry::Registry::default();
    server.membership.register_metrics(&mut metrics);
    let shown = |line: &str| {
        let mut text = String::new();
        encode(&mut text, &metrics).unwrap();
        assert!(text.contains(line), "{line} in {text}");
    };
    sleep(LEASE_RENEWAL * 2).await;
    shown("lease_held 1");
    faulty.set(Fault::Silent);
    let mut lease = server.membership.lease();
    let Lease::Held { renewed, .. } = *lease.borrow_and_update() else { panic!("{lease:?}") };
    eventually("the lease is unsure", async || matches!(server.lease(), Lease::Unsure { .. }).then_some(())).await;
    let age = renewed.elapsed();
    assert!(age >= LEASE_TTL * 3 / 4 && age < LEASE_TTL * 4 / 5, "{age:?}");
    shown("lease_held 0");
    shown("lease_age_seconds 1.5");
    faulty.set(Fault::None);
    eventually("it is held again", async || server.lease().covers(Instant::now()).then_some(())).await;
    shown("lease_held 1");
}
