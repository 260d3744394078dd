//! When players have something to do: one timer for all of them.
//!
//! A timer of the runtime's own is good to a millisecond, which would be most of what a message takes here, and it would be
//! one for each player. So there is one timer of the operating system, set to the earliest of all alarms.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use rustix::time::{timerfd_create, timerfd_settime};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Whose alarm it is.
type Slot = usize;

/// Everybody's alarms, without IO.
#[derive(Debug, Default)]
struct Schedule {
    /// At least one entry for each slot that has an alarm, not later than that. Entries that no longer hold are passed over
    /// when their time comes, so setting an alarm to later costs nothing.
    queue: BinaryHeap<Reverse<(Instant, Slot)>>,
    slots: Vec<SlotState>,
    free: Vec<Slot>,
}

#[derive(Debug, Default)]
struct SlotState {
    due: Option<Instant>,
    /// The entry of `queue` that stands for `due`.
    queued: Option<Instant>,
    rang: bool,
    waker: Option<Waker>,
}

impl Schedule {
    fn add(&mut self) -> Slot {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(SlotState::default());
            self.slots.len() - 1
        })
    }

    fn remove(&mut self, slot: Slot) {
        self.slots[slot] = SlotState::default();
        self.free.push(slot);
    }

    fn set(&mut self, slot: Slot, due: Instant) {
        let state = &mut self.slots[slot];
        state.due = Some(due);
        if state.queued.is_none_or(|queued| due < queued) {
            state.queued = Some(due);
            self.queue.push(Reverse((due, slot)));
        }
    }

    /// Rings what is due, and says when to come again.
    fn ring(&mut self, now: Instant) -> Option<Instant> {
        while let Some(&Reverse((at, slot))) = self.queue.peek() {
            if at > now {
                return Some(at);
            }
            self.queue.pop();
            let state = &mut self.slots[slot];
            if state.queued != Some(at) {
                continue;
            }
            state.queued = None;
            match state.due {
                Some(due) if due > now => self.set(slot, due),
                Some(_) => state.ring(),
                None => {}
            }
        }
        None
    }
}

impl SlotState {
    fn ring(&mut self) {
        self.due = None;
        self.rang = true;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Everybody's alarms.
#[derive(Debug)]
pub(crate) struct Alarms {
    schedule: RefCell<Schedule>,
    timer: AsyncFd<OwnedFd>,
    /// What the timer is set to.
    armed: Cell<Option<Instant>>,
}

impl Alarms {
    /// # Errors
    /// If the operating system has no timer to give.
    pub(crate) fn new() -> io::Result<Rc<Self>> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        #[expect(deprecated, reason = "what takes its place is unsafe, for types that lie about the file they own")]
        let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
        Ok(Rc::new(Self { schedule: RefCell::default(), timer, armed: Cell::new(None) }))
    }

    /// An alarm that is not set.
    pub(crate) fn alarm(self: &Rc<Self>) -> Alarm {
        Alarm { slot: self.schedule.borrow_mut().add(), alarms: self.clone() }
    }

    /// Rings each alarm now: something has changed that everybody should look at.
    pub(crate) fn ring_all(&self) {
        self.schedule.borrow_mut().slots.iter_mut().for_each(SlotState::ring);
    }

    /// Rings alarms for as long as it is polled.
    pub(crate) async fn run(&self) -> io::Result<()> {
        loop {
            let mut ready = self.timer.readable().await?;
            // An expired timer stays readable until it is read, or set anew.
            ready.clear_ready();
            self.armed.set(None);
            let next = self.schedule.borrow_mut().ring(Instant::now());
            match next {
                Some(next) => self.arm(next)?,
                None => self.disarm()?,
            }
        }
    }

    /// Sees to it that [`run`](Self::run) looks at this moment.
    fn arm(&self, at: Instant) -> io::Result<()> {
        if self.armed.get().is_some_and(|armed| armed <= at) {
            return Ok(());
        }
        self.armed.set(Some(at));
        // A time of zero would stop the timer.
        self.settime(at.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1)))
    }

    fn disarm(&self) -> io::Result<()> {
        self.settime(Duration::ZERO)
    }

    fn settime(&self, after: Duration) -> io::Result<()> {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let after = Timespec {
            tv_sec: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(after.subsec_nanos()),
        };
        let value = Itimerspec { it_interval: zero, it_value: after };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &value)?;
        Ok(())
    }
}

/// One player's alarm.
#[derive(Debug)]
pub(crate) struct Alarm {
    alarms: Rc<Alarms>,
    slot: Slot,
}

impl Alarm {
    /// Rings at this time instead of any other that was set before.
    pub(crate) fn set(&self, due: Instant) {
        self.alarms.schedule.borrow_mut().set(self.slot, due);
        self.alarms.arm(due).expect("a timer of our own takes any time");
    }

    /// Ready if it has rung since it was last asked.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let state = &mut self.alarms.schedule.borrow_mut().slots[self.slot];
        if std::mem::take(&mut state.rang) {
            return Poll::Ready(());
        }
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Waits until it rings: at the time that it was set to, or because everybody's did.
    pub(crate) async fn rung(&self) {
        poll_fn(|cx| self.poll(cx)).await;
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.alarms.schedule.borrow_mut().remove(self.slot);
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::LocalSet;
    use tokio::time::timeout;

    use super::*;

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn rang(schedule: &mut Schedule) -> Vec<Slot> {
        let slots = schedule.slots.iter_mut().enumerate();
        slots.filter_map(|(slot, state)| std::mem::take(&mut state.rang).then_some(slot)).collect()
    }

    #[test]
    fn alarms_ring_when_they_are_due_and_the_last_time_that_was_set_counts() {
        let (mut schedule, start) = (Schedule::default(), Instant::now());
        let [first, second, third] = [schedule.add(), schedule.add(), schedule.add()];
        schedule.set(first, start + millis(10));
        schedule.set(second, start + millis(20));
        schedule.set(second, start + millis(5));
        schedule.set(third, start + millis(5));
        schedule.set(third, start + millis(30));
        for (at, ringing, next) in [
            (0, vec![], Some(5)),
            (5, vec![second], Some(10)),
            (10, vec![first], Some(20)),
            (29, vec![], Some(30)),
            (31, vec![third], None),
        ] {
            assert_eq!(schedule.ring(start + millis(at)), next.map(|next| start + millis(next)), "at {at} ms");
            assert_eq!(rang(&mut schedule), ringing, "at {at} ms");
        }
        assert!(schedule.queue.is_empty());
    }

    #[test]
    fn the_alarm_of_one_who_is_gone_rings_nobody() {
        let (mut schedule, start) = (Schedule::default(), Instant::now());
        let slot = schedule.add();
        schedule.set(slot, start);
        schedule.remove(slot);
        assert_eq!(schedule.add(), slot, "places are used again");
        schedule.ring(start + millis(1));
        assert_eq!(rang(&mut schedule), Vec::<Slot>::new());
    }

    #[test]
    fn setting_an_alarm_ever_later_queues_nothing_more() {
        let (mut schedule, start) = (Schedule::default(), Instant::now());
        let slot = schedule.add();
        for later in 0..1000 {
            schedule.set(slot, start + millis(later));
        }
        assert_eq!(schedule.queue.len(), 1);
    }

    #[tokio::test]
    async fn the_timer_wakes_those_who_wait_in_the_order_of_their_times() {
        let alarms = Alarms::new().unwrap();
        let local = LocalSet::new();
        let runner = alarms.clone();
        local.spawn_local(async move { runner.run().await });
        let order = Rc::new(RefCell::new(Vec::new()));
        let start = Instant::now();
        for after in [30, 10, 20] {
            let (alarm, order) = (alarms.alarm(), order.clone());
            local.spawn_local(async move {
                alarm.set(start + millis(after));
                alarm.rung().await;
                assert!(Instant::now() >= start + millis(after), "it never rings early");
                order.borrow_mut().push(after);
            });
        }
        let never = alarms.alarm();
        let all = local.run_until(async {
            while order.borrow().len() < 3 {
                tokio::task::yield_now().await;
            }
            alarms.ring_all();
            never.rung().await;
        });
        timeout(Duration::from_secs(20), all).await.unwrap();
        assert_eq!(*order.borrow(), [10, 20, 30]);
    }
}
