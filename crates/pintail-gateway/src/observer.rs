//! Watches the lobby and game servers: the shell around [`pintail_engine::health`].
//!
//! It is a task of its own, and waits for nothing but its next tick or the next thing to hear: whatever is slow (the
//! store, a full link) is slow beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pintail_core::{Health, Kind, Slot};
use pintail_engine::health::{Command, Event, HealthPolicy, LinkChange, Note, Observer, Sight};
use pintail_net::{EventKind, Timing};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::debug;

use crate::accuser::{Accuser, Word};
use crate::server::Gateway;

/// How many things to hear may wait: scans and changes of links are rare, and whoever has one waits a little.
pub(crate) const HEARD_MAX: usize = 1024;

/// Watches the servers until the gateway stops.
pub(crate) struct Watch {
    gateway: Arc<Gateway>,
    observer: Observer,
    heard: mpsc::Receiver<Event>,
    accuser: Accuser,
    /// Whether this gateway is cut off from most servers, for its membership.
    cut_off: Arc<AtomicBool>,
}

impl Watch {
    pub(crate) fn new(gateway: Arc<Gateway>, heard: mpsc::Receiver<Event>, cut_off: Arc<AtomicBool>) -> Self {
        let observer = Observer::new(policy(&gateway.config.server.timing));
        let accuser = Accuser::new(gateway.store.clone());
        Self { gateway, observer, heard, accuser, cut_off }
    }

    pub(crate) async fn run(mut self) {
        let mut ticks = interval(HealthPolicy::default().tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let gateway = self.gateway.clone();
        loop {
            let deadline = self.observer.deadline().map(|at| gateway.at(at));
            tokio::select! {
                () = gateway.stop.cancelled() => return,
                Some(event) = self.heard.recv() => self.tell(event),
                (slot, incarnation, verdict) = self.accuser.verdict() => {
                    self.tell(Event::Verdict(slot, incarnation, verdict));
                }
                _ = ticks.tick() => self.tick(),
                () = until(deadline) => self.tick(),
            }
        }
    }

    /// First what the links have heard, then the judgement.
    fn tick(&mut self) {
        for (peer, at) in self.gateway.links.heard() {
            self.tell(Event::Link(peer, LinkChange::Heard { at }));
        }
        self.tell(Event::Tick);
    }

    fn tell(&mut self, event: Event) {
        for command in self.observer.handle(self.gateway.now(), event) {
            self.execute(command);
        }
    }

    fn execute(&mut self, command: Command) {
        let gateway = &self.gateway;
        match command {
            Command::Changed { slot, health, cause } => self.changed(slot, health, cause),
            Command::Noted { slot, note, cause } => {
                match note {
                    Note::On | Note::Recycled => gateway.set_health(slot, Health::Up),
                    Note::Off => gateway.forget_health(slot),
                    Note::Smooth | Note::Congested | Note::Draining => {}
                }
                gateway.events.publish(kind_of(note), slot, cause);
            }
            Command::Accuse(slot, incarnation, charge) => self.say(slot, Word::Accuse(incarnation, charge)),
            Command::Absolve(slot, incarnation) => self.say(slot, Word::Absolve(incarnation)),
            Command::Sight(sight, cause) => self.sight_changed(sight, cause),
            Command::Stalled(late) => {
                gateway.metrics.late_ticks.inc();
                debug!(late_ms = late.as_millis(), "this gateway was held up: it accuses nobody for a while");
            }
            Command::RollCall => gateway.links.call_the_roll(),
            Command::CloseLink(peer) => gateway.links.give_up(&peer),
            Command::Forgotten(slot) => gateway.forget_health(slot),
        }
    }

    fn changed(&self, slot: Slot, health: Health, cause: String) {
        let gateway = &self.gateway;
        gateway.set_health(slot, health);
        let event = match health {
            Health::Up => EventKind::Up,
            Health::Suspect => EventKind::Suspect,
            Health::Down => EventKind::Down,
        };
        gateway.events.publish(event, slot, cause);
        match health {
            Health::Up => {}
            Health::Suspect => drop(gateway.metrics.suspicions.inc()),
            Health::Down => drop(gateway.metrics.downs.inc()),
        }
        // Requests may be sent twice: whoever answers first is heard.
        if health != Health::Up && slot.kind == Kind::Lobby && gateway.links.has_well_lobby() {
            gateway.lobby_lost(slot);
        }
    }

    /// Before it is registered a gateway links to nobody and so accuses nobody.
    fn say(&mut self, slot: Slot, word: Word) {
        if let Some(me) = self.gateway.identity() {
            self.accuser.say(me.slot, slot, word, &self.gateway.metrics);
        }
    }

    fn sight_changed(&self, sight: Sight, cause: String) {
        let is_cut_off = sight == Sight::CutOff;
        self.cut_off.store(is_cut_off, Ordering::Relaxed);
        self.gateway.metrics.cut_off.set(i64::from(is_cut_off));
        if let Some(me) = self.gateway.identity() {
            let event = if is_cut_off { EventKind::CutOff } else { EventKind::Reunited };
            self.gateway.events.publish(event, me.slot, cause);
        }
    }
}

fn policy(timing: &Timing) -> HealthPolicy {
    let defaults = HealthPolicy::default();
    HealthPolicy {
        suspect_after: timing.suspect_after,
        down_after: timing.down_after,
        steady_after: timing.suspect_after,
        ..defaults
    }
}

const fn kind_of(note: Note) -> EventKind {
    match note {
        Note::On => EventKind::On,
        Note::Recycled => EventKind::Recycled,
        Note::Off => EventKind::Off,
        Note::Smooth => EventKind::Smooth,
        Note::Congested => EventKind::Congested,
        Note::Draining => EventKind::Draining,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
