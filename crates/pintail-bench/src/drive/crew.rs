//! As many players as there should be.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::stage::{Stage, Ticket};
use super::{Order, Phase};
use crate::scenario::Groups;

/// How long everybody may take to leave. Whoever takes longer is cut off.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// How far ahead groups are let in that know when they are due.
pub(super) const LOOK_AHEAD: Duration = Duration::from_millis(50);

/// The groups of players that are there.
pub(super) struct Crew<'a> {
    order: &'a Order,
    stage: Rc<Stage>,
    groups: Groups,
    tickets: Vec<Ticket>,
    tasks: JoinSet<()>,
}

impl<'a> Crew<'a> {
    pub(super) fn new(order: &'a Order, stage: &Rc<Stage>) -> Self {
        Self {
            order,
            stage: stage.clone(),
            groups: Groups::new(&order.scenario),
            tickets: Vec::new(),
            tasks: JoinSet::new(),
        }
    }

    /// How many players there should be.
    pub(super) fn wanted(&self, phase: Phase, elapsed: Duration) -> u64 {
        let scenario = &self.order.scenario;
        scenario.whole_rooms(scenario.players_at(self.order.load, phase, elapsed))
    }

    /// Lets groups in or sends them home, the last ones first, until there are as many players as there should be.
    pub(super) fn adjust(&mut self, phase: Phase, begun: Instant) {
        let size = u64::from(self.order.scenario.room_players()).max(1);
        let wanted = (self.wanted(phase, begun.elapsed() + LOOK_AHEAD) / size) as usize;
        let window = (phase == Phase::Measure).then_some((begun, self.order.load.largest()));
        while self.tickets.len() < wanted {
            let ticket = Ticket::new(&self.stage);
            self.groups.spawn(&mut self.tasks, ticket.clone(), self.tickets.len() as u64, window);
            self.tickets.push(ticket);
        }
        for ticket in self.tickets.drain(wanted.min(self.tickets.len())..) {
            ticket.dismiss_group();
        }
        // Groups that have left.
        while self.tasks.try_join_next().is_some() {}
    }

    /// Sends everybody home and waits until they are gone.
    pub(super) async fn disband(mut self) {
        self.stage.dismiss_all();
        let all_gone = async { while self.tasks.join_next().await.is_some() {} };
        // What is left is aborted when the tasks are dropped.
        let _ = timeout(LEAVE_TIMEOUT, all_gone).await;
    }
}
