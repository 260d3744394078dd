//! As many players as there should be.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::{Id, JoinSet};
use tokio::time::timeout;

use super::stage::{Stage, Ticket};
use super::{Order, Phase};
use crate::player::trouble::Trouble;
use crate::scenario::Groups;

/// How long everybody may take to leave. Whoever takes longer is cut off.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// How far ahead groups are let in that know when they are due.
pub(super) const LOOK_AHEAD: Duration = Duration::from_millis(50);

/// How long it takes until others take the place of a group whose code failed. They will fail as well, most likely.
const PAUSE_AFTER_PANIC: Duration = Duration::from_millis(500);

/// The groups of players that are there.
pub(super) struct Crew<'a> {
    order: &'a Order,
    stage: Rc<Stage>,
    groups: Groups,
    tickets: Vec<Ticket>,
    tasks: JoinSet<()>,
    /// The number of each task's group, and its ticket.
    members: HashMap<Id, (usize, Ticket)>,
    /// Groups whose task failed, and when another takes the place of each.
    failed: Vec<(Instant, usize)>,
}

impl<'a> Crew<'a> {
    pub(super) fn new(order: &'a Order, stage: &Rc<Stage>) -> Self {
        Self {
            order,
            stage: stage.clone(),
            groups: Groups::new(&order.scenario),
            tickets: Vec::new(),
            tasks: JoinSet::new(),
            members: HashMap::new(),
            failed: Vec::new(),
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
            let index = self.tickets.len();
            let ticket = self.let_in(index, window);
            self.tickets.push(ticket);
        }
        for ticket in self.tickets.drain(wanted.min(self.tickets.len())..) {
            ticket.dismiss_group();
        }
        self.failed.retain(|(_, index)| *index < wanted);
        self.replace_those_who_failed(Instant::now());
    }

    fn let_in(&mut self, index: usize, window: Option<(Instant, u64)>) -> Ticket {
        let ticket = Ticket::new(&self.stage);
        if let Some(task) = self.groups.spawn(&mut self.tasks, ticket.clone(), index as u64, window) {
            self.members.insert(task.id(), (index, ticket.clone()));
        }
        ticket
    }

    /// A group leaves when its ticket is over. One whose code fails would make the load smaller, and nobody would know.
    pub(super) fn join_those_who_left(&mut self) {
        while let Some(joined) = self.tasks.try_join_next_with_id() {
            let (id, has_failed) = match &joined {
                Ok((id, ())) => (*id, false),
                Err(error) => (error.id(), error.is_panic()),
            };
            let member = self.members.remove(&id);
            if has_failed {
                self.stage.recorder.borrow_mut().error(&Trouble::BotPanicked);
                let missing = member.filter(|(_, ticket)| !ticket.is_group_over());
                self.failed.extend(missing.map(|(index, _)| (Instant::now() + PAUSE_AFTER_PANIC, index)));
            }
        }
    }

    /// Lets others in for those who failed.
    fn replace_those_who_failed(&mut self, now: Instant) {
        let due: Vec<usize> = self.failed.extract_if(.., |(at, _)| *at <= now).map(|(_, index)| index).collect();
        for index in due {
            self.tickets[index].dismiss_group();
            self.tickets[index] = self.let_in(index, None);
        }
    }

    /// Sends everybody home and waits until they are gone.
    pub(super) async fn disband(mut self) {
        self.stage.dismiss_all();
        let all_gone = async { while self.tasks.join_next().await.is_some() {} };
        // What is left is aborted when the tasks are dropped.
        let _ = timeout(LEAVE_TIMEOUT, all_gone).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::LocalSet;

    use super::*;
    use crate::Gateways;
    use crate::drive::LoadShape;
    use crate::drive::alarm::Alarms;
    use crate::drive::recorder::Recorder;
    use crate::scenario::{Echo, Scenario};

    #[tokio::test]
    async fn a_group_whose_code_fails_is_counted_and_another_takes_its_place() {
        // Without a gateway, whoever connects panics.
        let order = Order {
            gateways: Gateways::default(),
            scenario: Scenario::Echo(Echo::default()),
            load: LoadShape::Constant(3),
            warm_up: Duration::ZERO,
            measure: Duration::ZERO,
            seed: 7,
        };
        let stage = Stage::new(Gateways::default(), 7, Alarms::new().unwrap(), Recorder::new("x"));
        let local = LocalSet::new();
        let failing = local.run_until(async {
            let mut crew = Crew::new(&order, &stage);
            let mut errors = 0;
            while errors < 6 {
                crew.adjust(Phase::Measure, Instant::now());
                crew.join_those_who_left();
                errors += stage.recorder.borrow_mut().second().tally.errors;
                assert_eq!(crew.tickets.len(), 3);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            crew
        });
        let crew = timeout(Duration::from_secs(20), failing).await.unwrap();
        assert_eq!(stage.recorder.borrow().worst_error(), Some("a bot panicked"));
        assert!(crew.members.len() <= 3 && crew.failed.len() <= 3, "nobody is kept who is gone");
    }
}
