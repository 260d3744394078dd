//! What the loop must know of the store besides its answers: how long it may speak, and whether the store may have
//! forgotten something.

use std::time::Duration;

use pintail_net::Lease;
use pintail_store::Lineage;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::runtime::{HostEvent, Now};

/// The lease and the store's history, as the host was told of them.
#[derive(Debug)]
pub(super) struct StoreWatch {
    lease: watch::Receiver<Lease>,
    lineage: watch::Receiver<Lineage>,
    /// When the loop began.
    began: Instant,
    /// By how much a turn may outlast the lease in which it began: half of what a lease keeps in reserve for what is on its
    /// way already. A turn that lasts as long as any must not count as one in which the process was held up.
    slack: Duration,
    told: Told,
}

#[derive(Debug, Clone, Copy)]
struct Told {
    lease: Lease,
    lineage: Lineage,
    /// Until when the lease is held for certain.
    until: Now,
}

/// What has changed since the last look.
#[derive(Debug, Default)]
pub(super) struct News {
    /// For the host.
    pub(super) events: Vec<HostEvent>,
    /// The lease was renewed.
    pub(super) renewed: Option<Instant>,
    /// It had run out before: meanwhile others may have taken this server for gone, and claimed its games.
    pub(super) was_lost: bool,
}

impl StoreWatch {
    /// Of a server whose lease lives for `ttl`, and a loop that began at this time.
    pub(super) fn new(
        lease: watch::Receiver<Lease>,
        lineage: watch::Receiver<Lineage>,
        ttl: Duration,
        began: Instant,
    ) -> Self {
        let lineage_now = *lineage.borrow();
        let told = Told { lease: Lease::Unsure { renewed: None }, lineage: lineage_now, until: Now::default() };
        Self { lease, lineage, began, slack: ttl / 8, told }
    }

    /// Resolves when there may be news. Cancel-safe.
    pub(super) async fn changed(&mut self) {
        tokio::select! {
            Ok(()) = self.lease.changed() => {}
            Ok(()) = self.lineage.changed() => {}
            // Nobody is left who could change either.
            else => std::future::pending().await,
        }
    }

    /// What has changed since the last look.
    pub(super) fn look(&mut self) -> News {
        let mut news = News::default();
        let lease = *self.lease.borrow_and_update();
        if lease != self.told.lease {
            let until = match lease {
                Lease::Held { renewed, until } => {
                    news.renewed = Some(renewed);
                    news.was_lost = self.told.until < self.at(renewed);
                    self.at(until)
                }
                Lease::Unsure { .. } => Now::default(),
            };
            (self.told.lease, self.told.until) = (lease, until);
            news.events.push(HostEvent::Lease(until));
        }
        let lineage = *self.lineage.borrow_and_update();
        if lineage != self.told.lineage {
            self.told.lineage = lineage;
            news.events.push(HostEvent::StoreDoubted);
        }
        news
    }

    /// Whether the lease, as the host was told of it, was held at the first of these times and has long run out at the
    /// second: the process was held up in between. A renewal meanwhile changes nothing: who was held up for so long may
    /// have been taken for gone before it.
    pub(super) fn ran_out(&self, between: Now, and: Now) -> bool {
        between < self.told.until && self.told.until + self.slack <= and
    }

    fn at(&self, instant: Instant) -> Now {
        Now(instant.saturating_duration_since(self.began))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Rig {
        began: Instant,
        lease: watch::Sender<Lease>,
        lineage: watch::Sender<Lineage>,
        watch: StoreWatch,
    }

    impl Rig {
        fn new() -> Self {
            let began = Instant::now();
            let (lease, lease_rx) = watch::channel(Lease::Unsure { renewed: None });
            let (lineage, lineage_rx) = watch::channel(Lineage(7));
            Self { began, lease, lineage, watch: StoreWatch::new(lease_rx, lineage_rx, Duration::from_secs(2), began) }
        }

        fn hold(&self, from: u64, to: u64) {
            let at = |millis| self.began + Duration::from_millis(millis);
            self.lease.send_replace(Lease::Held { renewed: at(from), until: at(to) });
        }
    }

    fn at(millis: u64) -> Now {
        Now(Duration::from_millis(millis))
    }

    #[test]
    fn each_change_is_told_once() {
        let mut rig = Rig::new();
        assert!(rig.watch.look().events.is_empty());
        rig.hold(100, 1600);
        assert_eq!(rig.watch.look().events, [HostEvent::Lease(at(1600))]);
        assert!(rig.watch.look().events.is_empty());
        rig.lineage.send_replace(Lineage(8));
        rig.hold(600, 2100);
        assert_eq!(rig.watch.look().events, [HostEvent::Lease(at(2100)), HostEvent::StoreDoubted]);
        rig.lease.send_replace(Lease::Unsure { renewed: None });
        assert_eq!(rig.watch.look().events, [HostEvent::Lease(Now::default())], "whatever was told before");
        assert!(rig.watch.look().events.is_empty());
    }

    #[test]
    fn a_renewal_that_came_too_late_is_told_from_one_in_time() {
        let mut rig = Rig::new();
        for (from, to, was_lost) in [(100, 1600, true), (600, 2100, false), (2100, 3600, false), (3601, 5100, true)] {
            rig.hold(from, to);
            let news = rig.watch.look();
            assert_eq!(news.renewed, Some(rig.began + Duration::from_millis(from)));
            assert_eq!(news.was_lost, was_lost, "{from}");
        }
    }

    #[test]
    fn a_lease_that_ran_out_during_a_turn_is_noticed_whatever_was_renewed_since() {
        let mut rig = Rig::new();
        assert!(!rig.watch.ran_out(at(0), at(9999)), "there was none");
        rig.hold(0, 1500);
        rig.watch.look();
        // The process stops here, and its membership is the first to go on.
        rig.hold(9000, 10_500);
        assert!(!rig.watch.ran_out(at(1000), at(1499)));
        assert!(!rig.watch.ran_out(at(1499), at(1749)), "a turn that took its time");
        assert!(rig.watch.ran_out(at(1499), at(1750)) && rig.watch.ran_out(at(1000), at(9000)));
        assert!(!rig.watch.ran_out(at(1500), at(9000)), "the turn knew it from the beginning");
    }

    #[tokio::test]
    async fn it_wakes_for_either_and_sleeps_when_nobody_is_left() {
        let mut rig = Rig::new();
        rig.hold(100, 1600);
        rig.watch.changed().await;
        rig.lineage.send_replace(Lineage(8));
        rig.watch.changed().await;
        assert_eq!(rig.watch.look().events.len(), 2);
        let (lease, lineage, mut watch) = (rig.lease, rig.lineage, rig.watch);
        drop((lease, lineage));
        tokio::select! {
            biased;
            () = watch.changed() => panic!("woken for nothing"),
            () = std::future::ready(()) => {}
        }
    }
}
