//! What all players of a load share.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::Phase;
use super::alarm::{Alarm, Alarms};
use super::outstanding::Begun;
use super::recorder::Recorder;
use crate::gateways::Gateways;
use crate::player::wire::SCRATCH_BYTES;

/// How many rooms, or players without one, get ready at the same time. More would make a cluster that starts up refuse some.
const GATHERING_MAX: usize = 64;

/// How long what was begun in the window is waited for after its end.
pub(crate) const WIND_DOWN_MAX: Duration = Duration::from_secs(3);

/// What all players of a load share. They run in one thread, so nothing of it is locked, and nothing borrowed from it is
/// held across an await.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) gateways: Gateways,
    pub(crate) seed: u64,
    /// When the load began: what pacing and bots count from.
    pub(crate) epoch: Instant,
    pub(crate) recorder: RefCell<Recorder>,
    pub(crate) alarms: Rc<Alarms>,
    /// Where players read into, one after the other: a player that waits keeps no buffer.
    pub(crate) scratch: RefCell<Box<[u8]>>,
    pub(crate) gathering: Semaphore,
    phase: Cell<Phase>,
    end: Cell<Option<Instant>>,
    course: Cell<Course>,
    present: Cell<u64>,
    /// How many places of the groups were taken, and how many there were at most.
    came: Cell<u64>,
    came_max: Cell<u64>,
    numbers: Cell<u32>,
}

/// Whether the players go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    GoOn,
    Leave,
}

impl Stage {
    pub(crate) fn new(gateways: Gateways, seed: u64, alarms: Rc<Alarms>, recorder: Recorder) -> Rc<Self> {
        Rc::new(Self {
            gateways,
            seed,
            epoch: Instant::now(),
            recorder: RefCell::new(recorder),
            alarms,
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice()),
            gathering: Semaphore::new(GATHERING_MAX),
            phase: Cell::new(Phase::SetUp),
            end: Cell::new(None),
            course: Cell::new(Course::GoOn),
            present: Cell::new(0),
            came: Cell::new(0),
            came_max: Cell::new(0),
            numbers: Cell::new(0),
        })
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Goes on to a phase, and has every player look at it.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.alarms.ring_all();
    }

    /// Sends everybody home.
    pub(crate) fn dismiss_all(&self) {
        self.course.set(Course::Leave);
        self.alarms.ring_all();
    }

    /// Whether those who are ready play: not before all of the first ones are.
    pub(crate) fn is_playing(&self) -> bool {
        self.phase.get() != Phase::SetUp
    }

    /// The window ends: nothing is begun that was due later.
    pub(crate) fn end_at(&self, end: Instant) {
        self.end.set(Some(end));
        self.enter(Phase::WindDown);
    }

    /// Whether what is due then is still begun.
    pub(crate) fn is_in_time(&self, due: Instant) -> bool {
        self.end.get().is_none_or(|end| due < end)
    }

    /// The number of the next player.
    pub(crate) fn number(&self) -> u32 {
        self.numbers.replace(self.numbers.get().wrapping_add(1))
    }

    /// How many players are ready, or play.
    pub(crate) fn present(&self) -> u64 {
        self.present.get()
    }

    /// How many players take part: those of the groups that are there who were ever ready. Where games are short, few of them
    /// are in one at any moment.
    pub(crate) fn came(&self) -> u64 {
        self.came.get()
    }

    /// How many there were at most since [`forget_most`](Self::forget_most).
    pub(crate) fn came_max(&self) -> u64 {
        self.came_max.get()
    }

    pub(crate) fn forget_most(&self) {
        self.came_max.set(self.came.get());
    }

    /// So long after the load began.
    pub(crate) fn since_epoch(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.epoch)
    }
}

/// What lets a player in: it can be taken back, from the player's group or from everybody.
#[derive(Debug, Clone)]
pub(crate) struct Ticket {
    stage: Rc<Stage>,
    /// What the players of a group have in common.
    group: Rc<Group>,
    /// What the players of a table have in common.
    table: Rc<Table>,
}

/// What the players of a group have in common: those who are there, and those who take their places when they leave.
#[derive(Debug)]
struct Group {
    /// Which the load's shape takes back.
    course: Cell<Course>,
    /// Which of their places were ever taken by someone who was ready.
    came: RefCell<BTreeSet<u32>>,
}

/// What the players of a table have in common.
#[derive(Debug)]
struct Table {
    /// Which its own players take back when they can't go on together.
    course: Cell<Course>,
    /// What they have under way.
    begun: RefCell<Begun>,
}

impl Table {
    fn new() -> Rc<Self> {
        Rc::new(Self { course: Cell::new(Course::GoOn), begun: RefCell::default() })
    }
}

impl Ticket {
    /// A ticket for a group.
    pub(crate) fn new(stage: &Rc<Stage>) -> Self {
        let group = Group { course: Cell::new(Course::GoOn), came: RefCell::default() };
        Self { stage: stage.clone(), group: Rc::new(group), table: Table::new() }
    }

    /// A ticket for one table of the same group.
    pub(crate) fn for_table(&self) -> Self {
        Self { table: Table::new(), ..self.clone() }
    }

    pub(crate) fn stage(&self) -> &Rc<Stage> {
        &self.stage
    }

    /// Whether its holder should leave.
    pub(crate) fn is_over(&self) -> bool {
        self.is_group_over() || self.table.course.get() == Course::Leave
    }

    /// Whether no other player takes the holder's place.
    pub(crate) fn is_group_over(&self) -> bool {
        self.stage.course.get() == Course::Leave || self.group.course.get() == Course::Leave
    }

    /// Sends the whole group home.
    pub(crate) fn dismiss_group(&self) {
        if self.group.course.replace(Course::Leave) == Course::GoOn {
            let came = self.group.came.borrow().len() as u64;
            self.stage.came.set(self.stage.came.get() - came);
        }
        self.stage.alarms.ring_all();
    }

    /// Sends the table's players home.
    pub(crate) fn dismiss_table(&self) {
        if self.table.course.replace(Course::Leave) == Course::GoOn {
            self.stage.alarms.ring_all();
        }
    }

    /// Counts the player at this place of the group as present until the answer is dropped.
    pub(crate) fn present(&self, place: u32) -> Present {
        self.stage.present.set(self.stage.present.get() + 1);
        self.come(place);
        Present { stage: self.stage.clone() }
    }

    /// The player at this place is ready, perhaps for the first time.
    fn come(&self, place: u32) {
        let Group { course, came } = &*self.group;
        if course.get() == Course::GoOn && came.borrow_mut().insert(place) {
            self.stage.came.set(self.stage.came.get() + 1);
            self.stage.came_max.set(self.stage.came_max.get().max(self.stage.came.get()));
        }
    }

    /// Something began that [`took`](Self::took) will tell of, this many times, when it is done by whom of the table ever.
    pub(crate) fn expect(&self, name: &'static str, since: Instant, times: u64) {
        if let Some(slot) = self.stage.recorder.borrow_mut().expect(name, since, times) {
            self.table.begun.borrow_mut().add(name, slot, times);
        }
    }

    /// Something is done that should have begun at `since`.
    pub(crate) fn took(&self, name: &'static str, since: Instant, now: Instant) {
        if let Some(slot) = self.stage.recorder.borrow_mut().took(name, since, now) {
            self.table.begun.borrow_mut().take(name, slot);
        }
    }

    /// What was expected of `since` comes to nothing, and nobody is to blame.
    pub(crate) fn forget(&self, name: &'static str, since: Instant) {
        if let Some(slot) = self.stage.recorder.borrow_mut().forget(name, since) {
            self.table.begun.borrow_mut().take(name, slot);
        }
    }

    /// The table's players leave because they want to or are told to: what they have under way comes to nothing, and nobody
    /// is to blame. What has been waited for as long as after the window's end is lost all the same.
    pub(crate) fn forget_begun(&self, now: Instant) {
        let mut recorder = self.stage.recorder.borrow_mut();
        for (name, slot, times) in self.table.begun.take().drain() {
            if recorder.waited(slot, now) < WIND_DOWN_MAX {
                recorder.forget_slot(name, slot, times);
            }
        }
    }

    /// Something begins that one task sees through to its end.
    pub(crate) fn begin(&self, name: &'static str, since: Instant) -> Errand {
        self.stage.recorder.borrow_mut().expect(name, since, 1);
        Errand { stage: self.stage.clone(), name, since, state: ErrandState::UnderWay }
    }

    pub(crate) fn alarm(&self) -> Alarm {
        self.stage.alarms.alarm()
    }

    /// Waits, but not once the ticket is over.
    pub(crate) async fn sleep(&self, time: Duration) {
        self.sleep_until(Instant::now() + time).await;
    }

    /// Waits, but not once the ticket is over.
    pub(crate) async fn sleep_until(&self, until: Instant) {
        let alarm = self.alarm();
        while !self.is_over() && Instant::now() < until {
            alarm.set(until);
            alarm.rung().await;
        }
    }
}

/// A player who counts as present.
#[derive(Debug)]
pub(crate) struct Present {
    stage: Rc<Stage>,
}

impl Drop for Present {
    fn drop(&mut self) {
        self.stage.present.set(self.stage.present.get() - 1);
    }
}

/// Something that began and will be done. If it is dropped before, it failed or was given up: it is no longer expected, and
/// why it failed is counted by whoever knows.
#[derive(Debug)]
pub(crate) struct Errand {
    stage: Rc<Stage>,
    name: &'static str,
    since: Instant,
    state: ErrandState,
}

#[derive(Debug, PartialEq, Eq)]
enum ErrandState {
    UnderWay,
    Over,
}

impl Errand {
    /// It is done now.
    pub(crate) fn done(mut self) {
        self.stage.recorder.borrow_mut().took(self.name, self.since, Instant::now());
        self.state = ErrandState::Over;
    }

    /// Someone else tells when it is done, or has told.
    pub(crate) fn hand_over(mut self) {
        self.state = ErrandState::Over;
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        if self.state == ErrandState::UnderWay {
            self.stage.recorder.borrow_mut().forget(self.name, self.since);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A stage whose window is open, and when it began.
    fn stage() -> (Rc<Stage>, Instant) {
        let stage = Stage::new(Gateways::default(), 7, Alarms::new().unwrap(), Recorder::new("delivery"));
        let begin = Instant::now();
        stage.recorder.borrow_mut().open(begin);
        (stage, begin)
    }

    #[tokio::test]
    async fn what_a_table_has_under_way_is_forgotten_when_it_leaves_unless_it_was_waited_for_too_long() {
        let (stage, begin) = stage();
        let (leaves, stays) = (Ticket::new(&stage), Ticket::new(&stage));
        for ticket in [&leaves, &stays] {
            ticket.expect("delivery", begin, 2);
            ticket.expect("delivery", begin + SECOND * 4, 9);
            ticket.took("delivery", begin + SECOND * 4, begin + SECOND * 5);
        }
        assert_eq!(stage.recorder.borrow().outstanding(), 2 * (2 + 8));
        leaves.forget_begun(begin + SECOND * 5);
        assert_eq!(stage.recorder.borrow().outstanding(), 2 + (2 + 8), "of the others' nothing is forgotten");
        leaves.forget_begun(begin + SECOND * 5);
        assert_eq!(stage.recorder.borrow().outstanding(), 2 + (2 + 8), "nor anything twice");
    }

    #[tokio::test]
    async fn whoever_was_ready_takes_part_while_the_group_is_there() {
        let (stage, _) = stage();
        let (pair, other) = (Ticket::new(&stage), Ticket::new(&stage));
        for _ in 0..5 {
            drop(pair.for_table().present(0));
        }
        assert_eq!((stage.present(), stage.came()), (0, 1), "one came again and again");
        // Their games are so short that the two never meet in one.
        drop(pair.for_table().present(1));
        assert_eq!((stage.present(), stage.came()), (0, 2));
        let _one = other.present(0);
        assert_eq!((stage.present(), stage.came(), stage.came_max()), (1, 3, 3));
        pair.dismiss_group();
        pair.dismiss_group();
        drop(pair.present(1));
        assert_eq!((stage.came(), stage.came_max()), (1, 3));
        stage.forget_most();
        assert_eq!(stage.came_max(), 1);
    }

    #[tokio::test]
    async fn an_errand_is_expected_until_it_is_done_or_given_up() {
        let (stage, begin) = stage();
        let ticket = Ticket::new(&stage);
        let [done, given_up, told] = [(); 3].map(|()| ticket.begin("room", begin));
        assert_eq!(stage.recorder.borrow().outstanding(), 3);
        done.done();
        drop(given_up);
        assert_eq!(stage.recorder.borrow().outstanding(), 1);
        told.hand_over();
        assert_eq!(stage.recorder.borrow().outstanding(), 1, "whoever tells has not told yet");
        ticket.took("room", begin, begin + SECOND);
        let recorder = std::mem::replace(&mut *stage.recorder.borrow_mut(), Recorder::new("x"));
        let measures = recorder.finish(begin + SECOND).measures;
        assert_eq!((measures["room"].count, measures["room"].lost), (2, 0));
    }
}
