//! One server, as an observer sees it.

use std::time::Duration;

use pintail_core::{Charge, Health, Incarnation, Slot, Status, Verdict};

use super::{Command, HealthPolicy, LinkChange, LinkEnd, Listing, Note, Standing};
use crate::directory::Peer;

/// What an observer knows of one server.
#[derive(Debug)]
pub(super) struct Server {
    peer: Peer,
    /// What the last scan showed; `None` if it showed nothing.
    standing: Option<Standing>,
    /// What it takes, as last heard.
    status: Status,
    link: Link,
    /// When it last gave a sign of life; before the first, when it was first seen.
    heard_at: Duration,
    /// Whether it was heard over a link since it was last switched off. Only then can it be condemned: one that could
    /// never be reached may be reached by others, and one that was switched off by mistake would be again and again.
    proven: bool,
    /// Whether the store would take an accusation.
    accusable: bool,
    accused: Option<Accusation>,
    health: Health,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Closed,
    Open,
    /// The server ended it in good order.
    Left,
    /// It broke.
    Broken {
        at: Duration,
    },
    /// It broke, and a redial was refused.
    Refused {
        settled_at: Duration,
    },
}

/// An accusation that stands.
#[derive(Debug, Clone, Copy)]
struct Accusation {
    charge: Charge,
    at: Duration,
}

/// What a server's link says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Impression {
    /// Nothing is held against it.
    Fine(Presence),
    /// It is to be accused of this.
    Bad(Charge),
}

/// Whether a server against which nothing is held is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// It answers.
    Answers,
    /// It has still time to.
    Awaited,
}

impl Server {
    /// A slot that a scan shows for the first time. One whose server is gone is remembered, so that the next one there
    /// is known for what it is, but not told.
    pub(super) fn first_seen(now: Duration, listing: Listing, out: &mut Vec<Command>) -> Option<Self> {
        let health = match listing.standing {
            Standing::Live { .. } => {
                out.push(noted(listing.slot, Note::On, listing.endpoint.to_string()));
                Health::Up
            }
            Standing::Left | Standing::Dead { .. } => Health::Down,
            Standing::Lapsed => return None,
        };
        let mut server = Self::new(now, &listing, health);
        server.stand(now, listing.standing, out);
        Some(server)
    }

    fn new(now: Duration, listing: &Listing, health: Health) -> Self {
        Self {
            peer: Peer { slot: listing.slot, endpoint: listing.endpoint, incarnation: listing.incarnation },
            standing: None,
            status: Status::Smooth,
            link: Link::Closed,
            heard_at: now,
            proven: false,
            accusable: false,
            accused: None,
            health,
        }
    }

    pub(super) const fn slot(&self) -> Slot {
        self.peer.slot
    }

    pub(super) const fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(super) const fn health(&self) -> Health {
        self.health
    }

    pub(super) fn is(&self, incarnation: Incarnation) -> bool {
        self.peer.incarnation == Some(incarnation)
    }

    const fn is_foreign(&self) -> bool {
        self.peer.incarnation.is_none()
    }

    const fn is_live(&self) -> bool {
        matches!(self.standing, Some(Standing::Live { .. }))
    }

    /// The last scan did not show it.
    pub(super) fn vanished(&mut self) {
        self.standing = None;
        self.accusable = false;
    }

    pub(super) fn is_forgettable(&self) -> bool {
        self.standing.is_none() && self.link != Link::Open
    }

    /// What a scan shows of its slot.
    pub(super) fn list(&mut self, now: Duration, listing: Listing, out: &mut Vec<Command>) {
        let is_same = (listing.endpoint, listing.incarnation) == (self.peer.endpoint, self.peer.incarnation);
        if matches!(listing.standing, Standing::Live { .. }) && !is_same {
            let note = if listing.endpoint == self.peer.endpoint { Note::On } else { Note::Recycled };
            out.push(noted(listing.slot, note, listing.endpoint.to_string()));
            *self = Self::new(now, &listing, Health::Up);
        }
        self.stand(now, listing.standing, out);
    }

    fn stand(&mut self, now: Duration, standing: Standing, out: &mut Vec<Command>) {
        match &standing {
            Standing::Live { status, cause } => {
                if self.standing == Some(Standing::Left) {
                    out.push(noted(self.peer.slot, Note::On, self.peer.endpoint.to_string()));
                    self.health = Health::Up;
                }
                if matches!(self.standing, Some(Standing::Left | Standing::Dead { .. })) && self.link != Link::Open {
                    // It is alive again, and has the time of a new server to be linked.
                    self.heard_at = now;
                }
                if *status != self.status {
                    out.push(noted(self.peer.slot, note_of(*status), cause.clone()));
                    self.status = *status;
                }
                self.accusable = !self.is_foreign();
            }
            Standing::Lapsed => self.accusable = !self.is_foreign(),
            Standing::Left => {
                if matches!(self.standing, Some(Standing::Live { .. } | Standing::Lapsed | Standing::Dead { .. })) {
                    out.push(noted(self.peer.slot, Note::Off, String::new()));
                }
                self.dismiss();
            }
            Standing::Dead { .. } => self.dismiss(),
        }
        self.standing = Some(standing);
    }

    /// There is nothing more to accuse it of.
    fn dismiss(&mut self) {
        self.accusable = false;
        self.accused = None;
        self.proven = false;
    }

    pub(super) fn link_changed(&mut self, now: Duration, change: LinkChange, policy: &HealthPolicy) {
        match change {
            LinkChange::Opened => {
                self.link = Link::Open;
                self.heard_at = now;
                self.proven = true;
            }
            LinkChange::Heard { at } => {
                let at = at.min(now);
                if at > self.heard_at {
                    // Only an open link is heard. The opening of this one came to nobody's ears, if the registry did not
                    // show the server then.
                    self.link = Link::Open;
                    self.heard_at = at;
                }
                self.proven = true;
            }
            LinkChange::Ended(LinkEnd::Broken) => self.link = Link::Broken { at: now },
            LinkChange::Ended(LinkEnd::ClosedHere) => self.link = Link::Closed,
            LinkChange::Ended(LinkEnd::Goodbye) => {
                self.link = Link::Left;
                self.heard_at = now;
                self.proven = false;
            }
            LinkChange::DialRefused => {
                if let Link::Broken { at } = self.link {
                    self.link = Link::Refused { settled_at: now.max(at + policy.settle) };
                }
            }
            LinkChange::DialFailed => {}
        }
    }

    /// The store's verdict on it.
    pub(super) fn judged(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Suspect => {}
            Verdict::Elsewhere => {
                self.accusable = false;
                self.accused = None;
            }
            Verdict::Down if self.standing == Some(Standing::Left) => {}
            Verdict::Down => {
                let cause = match self.accused.map(|accusation| accusation.charge) {
                    Some(Charge::Refused) => REFUSED,
                    Some(Charge::Dead) => "it is silent, and another observer or its lease says so too",
                    Some(Charge::Silent) | None => "it was switched off",
                };
                self.dismiss();
                self.standing = Some(Standing::Dead { cause: cause.to_owned() });
            }
        }
    }

    /// The observer itself was held up for this long, and could hear nobody.
    pub(super) fn excuse(&mut self, now: Duration, held_up: Duration) {
        self.heard_at = (self.heard_at + held_up).min(now);
    }

    /// From when on it can be judged, if it refuses connections.
    pub(super) fn settled_at(&self) -> Option<Duration> {
        match self.link {
            Link::Refused { settled_at } if self.proven => Some(settled_at),
            _ => None,
        }
    }

    /// What its link says of it.
    pub(super) fn impression(&self, now: Duration, policy: &HealthPolicy) -> Impression {
        if let Some(settled_at) = self.settled_at() {
            let is_settled = now >= settled_at;
            return if is_settled { Impression::Bad(Charge::Refused) } else { Impression::Fine(Presence::Awaited) };
        }
        // One that is about to stop has nothing more to say; what remains of it is its lease.
        let patience = if self.link == Link::Left { policy.down_after } else { policy.suspect_after };
        let silence = self.silence(now);
        if silence < patience {
            let answers = self.link == Link::Open;
            Impression::Fine(if answers { Presence::Answers } else { Presence::Awaited })
        } else if self.proven && silence >= policy.down_after {
            Impression::Bad(Charge::Dead)
        } else {
            Impression::Bad(Charge::Silent)
        }
    }

    fn silence(&self, now: Duration) -> Duration {
        now.saturating_sub(self.heard_at)
    }

    /// Whether it is one of those whose looks tell the observer about itself: their leases say that they live. A foreign
    /// server has none, so some that are gone for good would have the observer doubt itself for ever.
    pub(super) const fn counts(&self) -> bool {
        self.is_live() && !self.is_foreign()
    }

    pub(super) fn looks_dead(&self, now: Duration, policy: &HealthPolicy) -> bool {
        match self.link {
            Link::Broken { .. } | Link::Refused { .. } => true,
            Link::Left => self.silence(now) >= policy.down_after,
            Link::Open | Link::Closed => self.silence(now) >= policy.quiet_after(),
        }
    }

    /// Who was switched off is down for everyone, and what it still says counts for nothing: its games are given to
    /// others.
    pub(super) fn judge_by_registry(&mut self, out: &mut Vec<Command>) {
        if let Some(Standing::Dead { cause }) = &self.standing {
            let cause = cause.clone();
            self.look(Health::Down, cause, out);
            self.close_link(out);
        }
    }

    /// It answers: nothing is held against it any more, unless the registry does.
    pub(super) fn heal(&mut self, now: Duration, policy: &HealthPolicy, out: &mut Vec<Command>) {
        let is_off = matches!(self.standing, Some(Standing::Left | Standing::Dead { .. }));
        if !is_off && self.impression(now, policy) == Impression::Fine(Presence::Answers) {
            self.look(Health::Up, "it answers again".to_owned(), out);
            self.absolve(out);
        }
    }

    pub(super) fn judge_by_link(&mut self, now: Duration, policy: &HealthPolicy, out: &mut Vec<Command>) {
        let Impression::Bad(charge) = self.impression(now, policy) else { return };
        let cause = match charge {
            Charge::Refused => REFUSED.to_owned(),
            _ if !self.proven && self.link != Link::Open => "there is no link to it".to_owned(),
            Charge::Silent | Charge::Dead => format!("silent for {} ms", self.silence(now).as_millis()),
        };
        match (&self.standing, charge) {
            (Some(Standing::Left | Standing::Dead { .. }), _) => {}
            (_, Charge::Refused) => self.look(Health::Down, cause, out),
            // Nobody else speaks for it.
            (_, Charge::Dead) if self.is_foreign() => {
                self.look(Health::Down, cause, out);
                self.close_link(out);
            }
            // Without its entry nobody knows better than whoever said that it is down.
            (_, Charge::Silent | Charge::Dead) if self.health == Health::Down && !self.is_live() => {}
            (_, Charge::Silent | Charge::Dead) => self.look(Health::Suspect, cause, out),
        }
        self.accuse(now, charge, policy, out);
    }

    fn look(&mut self, health: Health, cause: String, out: &mut Vec<Command>) {
        if self.health != health {
            self.health = health;
            out.push(Command::Changed { slot: self.peer.slot, health, cause });
        }
    }

    fn close_link(&mut self, out: &mut Vec<Command>) {
        if self.link == Link::Open {
            self.link = Link::Closed;
            out.push(Command::CloseLink(self.peer));
        }
    }

    fn accuse(&mut self, now: Duration, charge: Charge, policy: &HealthPolicy, out: &mut Vec<Command>) {
        let Some(incarnation) = self.peer.incarnation.filter(|_| self.accusable) else { return };
        let is_said = |said: Accusation| said.charge == charge && now < said.at + policy.accusation_repeat;
        if !self.accused.is_some_and(is_said) {
            self.accused = Some(Accusation { charge, at: now });
            out.push(Command::Accuse(self.peer.slot, incarnation, charge));
        }
    }

    /// Takes an accusation back that stands.
    pub(super) fn absolve(&mut self, out: &mut Vec<Command>) {
        if let (Some(_), Some(incarnation)) = (self.accused.take(), self.peer.incarnation) {
            out.push(Command::Absolve(self.peer.slot, incarnation));
        }
    }
}

const REFUSED: &str = "it broke the link and refuses connections";

fn noted(slot: Slot, note: Note, cause: String) -> Command {
    Command::Noted { slot, note, cause }
}

const fn note_of(status: Status) -> Note {
    match status {
        Status::Smooth => Note::Smooth,
        Status::Congested => Note::Congested,
        Status::Unused => Note::Draining,
    }
}
