//! What must hold, whatever happens.
//!
//! | | |
//! | --- | --- |
//! | found | a server that died is out of use within the time that `docs/operations.md` promises |
//! | seen | every gateway knows it at the end |
//! | spared | no server that is well is switched off, unless two gateways say that they don't hear it |
//! | healed | at the end every server that is well is up for every gateway, and nobody accuses it |
//! | even | placement keeps servers that take games within one game of each other |
//! | heeded | no game is placed on a server of which the store knows that it is dead, or drains |

use std::fmt;
use std::time::Duration;

use pintail_core::{Health, Kind, Slot};

use super::cluster::Cluster;
use super::events::MemberId;
use super::story::{self, Story};

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// When.
    pub at: Duration,
    /// The server that it is about.
    pub slot: Slot,
    /// What.
    pub what: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {:.3} s, {}: {}", self.at.as_secs_f64(), self.slot, self.what)
    }
}

/// What does not hold at the end of a run.
pub fn check(cluster: &mut Cluster) -> Vec<Violation> {
    let mut violations = std::mem::take(&mut cluster.violations);
    for place in 0..cluster.watched() {
        let member = &cluster.members[place];
        let Some(slot) = member.slot else { continue };
        let problems = if member.died_at().is_some() { of_dead(cluster, place) } else { of_living(cluster, place) };
        violations.extend(problems.into_iter().map(|what| Violation { at: story::ENDS_AT, slot, what }));
    }
    if cluster.figures.found.iter().any(|&found| found > cluster.story.found_within()) {
        let slot = Slot::new(Kind::Game, 0);
        violations.push(Violation { at: story::ENDS_AT, slot, what: "one of the dead was found too late" });
    }
    violations.extend(of_placement(cluster));
    violations
}

fn of_dead(cluster: &Cluster, place: usize) -> Vec<&'static str> {
    let member = &cluster.members[place];
    let mut problems = Vec::new();
    if member.switched_off_at.is_none() {
        problems.push("it is dead, and was never switched off");
    }
    if healths(cluster, place).any(|health| health.is_some_and(|health| health != Health::Down)) {
        problems.push("it is dead, and a gateway does not know it");
    }
    problems
}

fn of_living(cluster: &Cluster, place: usize) -> Vec<&'static str> {
    let member = &cluster.members[place];
    let was_struck = cluster.struck.contains(&MemberId(place));
    let may_fall = match cluster.story {
        Story::Stopped | Story::Restarted => was_struck,
        story => was_struck && story.may_condemn_the_healthy(),
    };
    let mut problems = Vec::new();
    if member.falls > 0 && !may_fall {
        problems.push("it is well, and was switched off");
    }
    if member.switched_off_at.is_some() {
        problems.push("it is well, and is still switched off at the end");
    }
    if healths(cluster, place).any(|health| health != Some(Health::Up)) {
        problems.push("it is well, and is not up for every gateway at the end");
    }
    problems
}

fn healths(cluster: &Cluster, place: usize) -> impl Iterator<Item = Option<Health>> {
    let slot = cluster.members[place].slot;
    cluster.gateways.iter().map(move |gateway| slot.and_then(|slot| gateway.observer.health(slot)))
}

/// The games are counted as the registry shows them.
fn of_placement(cluster: &mut Cluster) -> Option<Violation> {
    let records = cluster.ledger.look_at(story::ENDS_AT, Kind::Game);
    let accused = records.iter().find(|record| record.lease && !record.accusers.is_empty());
    if let Some(record) = accused {
        let what = "it is well, and is accused at the end";
        return Some(Violation { at: story::ENDS_AT, slot: record.slot, what });
    }
    let was_struck = |slot: Slot| cluster.struck.iter().any(|id| cluster.members[id.0].slot == Some(slot));
    let spared = records.iter().filter(|record| !was_struck(record.slot));
    let least = spared.clone().min_by_key(|record| record.games)?;
    let most = spared.max_by_key(|record| record.games)?;
    cluster.figures.spread = most.games - least.games;
    let what = "it has over one game more than another server that takes games";
    (cluster.story.is_spread_even() && cluster.figures.spread > 1).then_some(Violation {
        at: story::ENDS_AT,
        slot: most.slot,
        what,
    })
}
