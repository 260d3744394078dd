//! What the writer asks, told as stories: what is added, what the store answers, what may be shown.

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;

/// Ten steps may be shown after an entry.
const REACH: Reach = Reach::Steps(10);

struct Rig {
    writer: Writer,
    now: Now,
    stance: Stance,
    step: Step,
    /// Whether the game's value can be written.
    can_be_written: bool,
    rng: SmallRng,
}

impl Rig {
    fn new() -> Self {
        let policy = JournalPolicy { snapshot_entries: 4, ..JournalPolicy::default() };
        let writer = Writer::new(policy, REACH, Step(1), EntryNumber(0), Step(11));
        let (now, rng) = (Now(Duration::from_secs(60)), SmallRng::seed_from_u64(1));
        Self { writer, now, stance: Stance::Speaks, step: Step(1), can_be_written: true, rng }
    }

    /// An entry of this step.
    fn add(&mut self, step: u64) -> &mut Self {
        self.step = Step(step);
        let text = |number: EntryNumber, horizon| Bytes::from(format!("{number}: to {horizon}"));
        self.writer.add(Step(step), Purpose::Record, text);
        self
    }

    /// What the store is asked: `entries 1-2`, `snapshot 3`, `restore 3`, or nothing.
    fn next(&mut self) -> String {
        let can = self.can_be_written;
        let take = |number, _| can.then(|| Bytes::from(format!("all up to {number}")));
        match self.writer.next(self.now, self.stance, self.step, take) {
            None => String::new(),
            Some(Outgo::Restore(snapshot)) => format!("restore {}", snapshot.number),
            Some(Outgo::Write(WriteContent::Snapshot(snapshot))) => format!("snapshot {}", snapshot.number),
            Some(Outgo::Write(WriteContent::Entries { first, entries })) => {
                format!("entries {first}-{}", first.0 + entries.len() as u64 - 1)
            }
        }
    }

    fn answer(&mut self, number: u64, answer: &Answer<WriteOutcome>) -> Reaction {
        self.writer.answered(self.now, EntryNumber(number), answer, &mut self.rng)
    }

    fn commit(&mut self, number: u64) -> &mut Self {
        assert_eq!(self.answer(number, &Ok(WriteOutcome::Committed)), Reaction::Committed);
        self
    }

    fn fail(&mut self, number: u64) -> &mut Self {
        assert_eq!(self.answer(number, &Err(StoreFailed::Away)), Reaction::GoOn);
        assert_eq!(self.next(), "", "not at once");
        self.wait()
    }

    /// Until any pause is over.
    fn wait(&mut self) -> &mut Self {
        self.now = self.now + RETRY.max;
        self
    }

    fn shown(&self) -> u64 {
        self.writer.shown(self.stance).0
    }
}

#[test]
fn one_write_is_under_way_and_the_next_takes_all_that_came_meanwhile() {
    let mut rig = Rig::new();
    assert_eq!((rig.next(), rig.shown()), (String::new(), 11));
    assert_eq!(rig.add(2).next(), "entries 1-1");
    assert_eq!(rig.add(3).add(7).next(), "");
    assert_eq!((rig.shown(), rig.writer.is_idle()), (1, false));
    assert_eq!(rig.commit(1).shown(), 2, "the next entry is of step 3");
    assert_eq!(rig.next(), "entries 2-3");
    assert_eq!(rig.commit(3).shown(), 17);
    assert_eq!((rig.next(), rig.writer.is_idle()), (String::new(), true));
}

#[test]
fn quiet_steps_are_shown_as_far_as_the_last_committed_entry_reaches() {
    let mut rig = Rig::new();
    assert!(!rig.writer.wants_entry(Step(6)));
    assert!(rig.writer.wants_entry(Step(7)), "less than half of the reach is left");
    rig.writer.add(Step(7), Purpose::Clock, |_, _| Bytes::from("7 o'clock"));
    assert_eq!((rig.next().as_str(), rig.shown()), ("entries 1-1", 11), "nothing is held while the store answers");
    rig.add(9);
    assert_eq!(rig.shown(), 8, "what an event did is");
    assert_eq!(rig.commit(1).shown(), 8);
    rig.next();
    assert_eq!(rig.commit(2).shown(), 19);
    rig.stance = Stance::CutOff;
    assert_eq!(rig.shown(), 0, "who may not speak shows nothing more");
}

#[test]
fn a_write_without_an_answer_is_repeated_with_the_same_first_number() {
    let mut rig = Rig::new();
    assert_eq!(rig.add(2).next(), "entries 1-1");
    assert_eq!(rig.writer.lag(rig.now), Some(Duration::ZERO));
    assert_eq!(rig.add(3).fail(1).next(), "entries 1-2");
    assert_eq!(rig.writer.lag(rig.now), Some(RETRY.max), "it is as late as its first attempt");
    assert_eq!(rig.answer(1, &Ok(WriteOutcome::Committed)), Reaction::GoOn, "that is not what was asked");
    assert_eq!((rig.next(), rig.shown()), (String::new(), 1));
    assert_eq!(rig.commit(2).shown(), 13);
    assert_eq!(rig.writer.lag(rig.now), None);
}

#[test]
fn a_snapshot_is_due_after_so_many_entries_and_takes_a_number_of_its_own() {
    let mut rig = Rig::new();
    for step in 2..=5 {
        rig.add(step);
    }
    assert_eq!(rig.next(), "snapshot 5");
    assert_eq!(rig.add(6).next(), "");
    assert_eq!(rig.shown(), 1);
    assert_eq!(rig.fail(5).next(), "snapshot 5", "the same again, and not a later one of that number");
    assert_eq!(rig.commit(5).shown(), 5, "all that it contains; the entry of step 6 is not committed");
    assert_eq!(rig.next(), "entries 6-6");
    assert_eq!(rig.commit(6).shown(), 16);
}

#[test]
fn one_snapshot_mends_whatever_the_store_lost() {
    for (lost, asked) in [
        (Ok(WriteOutcome::Gap), vec!["snapshot 3"]),
        (Err(StoreFailed::Damaged("a key".to_owned())), vec!["snapshot 3"]),
        (Ok(WriteOutcome::Unknown), vec!["restore 3", "snapshot 4"]),
    ] {
        let mut rig = Rig::new();
        rig.add(2).add(3).next();
        assert_eq!(rig.answer(2, &lost), Reaction::GoOn);
        assert_eq!(rig.next(), asked[0]);
        if asked.len() == 2 {
            rig.writer.restore_answered(rig.now, false, &mut rig.rng);
            assert_eq!(rig.wait().next(), asked[0], "it is repeated as it was");
            rig.writer.restore_answered(rig.now, true, &mut rig.rng);
            assert_eq!(rig.next(), asked[1], "what was there before is not known");
        }
        let last = asked.len() as u64 + 2;
        assert_eq!(rig.shown(), 1);
        assert_eq!(rig.commit(last).shown(), 13);
        assert_eq!((rig.next(), rig.writer.is_idle()), (String::new(), true));
    }
}

#[test]
fn a_fence_drops_the_game_whatever_it_answers() {
    for number in [1, 7] {
        let mut rig = Rig::new();
        rig.add(2).next();
        rig.writer.give_up_protection(rig.now);
        assert_eq!(rig.answer(number, &Ok(WriteOutcome::Fenced)), Reaction::Drop);
    }
}

#[test]
fn without_protection_everything_is_shown_and_nothing_written() {
    let mut rig = Rig::new();
    rig.add(2).next();
    rig.stance = Stance::StoreAway;
    assert_eq!(rig.shown(), 0);
    rig.writer.give_up_protection(rig.now);
    assert_eq!((rig.shown(), rig.writer.is_protected()), (u64::MAX, false));
    assert_eq!(rig.writer.add(Step(3), Purpose::Record, |_, _| unreachable!("no number is given out")), None);
    rig.stance = Stance::CutOff;
    assert_eq!(rig.shown(), 0, "others reach the store, and may have the game");
    rig.stance = Stance::Speaks;
    assert_eq!(rig.next(), "", "the former write is not answered");
    rig.answer(1, &Ok(WriteOutcome::Committed));
    rig.step = Step(90);
    assert_eq!(rig.next(), "snapshot 2", "a number that was never given out");
    assert_eq!(rig.add(91).shown(), u64::MAX);
    assert_eq!(rig.commit(2).shown(), 90);
    assert_eq!((rig.writer.is_protected(), rig.next().as_str()), (false, "entries 3-3"), "step 91 was shown already");
    rig.add(92);
    assert_eq!(rig.shown(), 90, "what comes from now on waits");
    assert_eq!(rig.commit(3).shown(), 91);
    assert!(rig.writer.is_protected());
}

#[test]
fn nothing_that_was_asked_before_brings_protection_back() {
    let mut rig = Rig::new();
    for step in 2..=5 {
        rig.add(step);
    }
    assert_eq!(rig.next(), "snapshot 5");
    rig.answer(5, &Err(StoreFailed::Away));
    rig.stance = Stance::StoreAway;
    rig.writer.give_up_protection(rig.now);
    rig.writer.tidy();
    assert_eq!(rig.wait().next(), "", "nothing is written while the store is away");
    rig.stance = Stance::Speaks;
    rig.step = Step(90);
    assert_eq!(rig.next(), "snapshot 6", "the former one lacks what was shown since");
    assert!(rig.commit(6).writer.is_protected());
}

#[test]
fn what_went_on_without_protection_proves_that_it_is_ours_before_it_speaks_again() {
    for returning in [false, true] {
        let mut rig = Rig::new();
        rig.writer.give_up_protection(rig.now);
        if returning {
            assert_eq!(rig.next(), "snapshot 1");
        }
        rig.writer.doubt_ownership();
        assert_eq!(rig.add(2).shown(), 0);
        if returning {
            assert_eq!(rig.commit(1).shown(), 0, "that was asked before");
        }
        let next = rig.next();
        assert!(next.starts_with("snapshot"), "an entry would follow what the store never had: {next}");
        let number = next.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(rig.commit(number).shown() > 0);
    }
}

/// What a game that is over does when the store lacks something of it.
#[test]
fn the_end_of_a_game_that_cant_be_mended_is_kept_before_it_is_shown() {
    type Story = fn(&mut Rig);
    let stories: [(&str, Story); 6] = [
        ("it was being put back as it was before", |rig| {
            rig.writer.restore();
            assert_eq!(rig.next(), "restore 2");
            rig.add(3).writer.close();
            rig.writer.restore_answered(rig.now, true, &mut rig.rng);
        }),
        ("its last entry does not follow", |rig| {
            rig.add(3).next();
            rig.writer.close();
            rig.answer(2, &Ok(WriteOutcome::Gap));
        }),
        ("the store does not know it", |rig| {
            rig.add(3).next();
            rig.writer.close();
            rig.answer(2, &Ok(WriteOutcome::Unknown));
        }),
        ("it was to be mended behind another write", |rig| {
            rig.next();
            rig.writer.mend();
            rig.add(3).writer.close();
            rig.answer(1, &Ok(WriteOutcome::Committed));
        }),
        ("it was to be put back", |rig| {
            rig.writer.restore();
            rig.add(3).writer.close();
        }),
        ("a hand-over was refused, whose number is missing", |rig| {
            rig.writer.mend();
            rig.add(3).writer.close();
        }),
    ];
    for (what, story) in stories {
        let mut rig = Rig::new();
        rig.add(2);
        story(&mut rig);
        assert!(rig.writer.has_last_words(), "{what}");
        assert_eq!((rig.shown(), rig.next().as_str(), rig.writer.lag(rig.now)), (0, "", None), "{what}");
        assert_eq!(rig.answer(2, &Ok(WriteOutcome::Fenced)), Reaction::GoOn, "{what}: it is over by then");
        assert_eq!(rig.writer.end_answered(false), Reaction::GoOn, "{what}: nobody else can have it");
        assert_eq!((rig.shown(), rig.writer.has_last_words()), (u64::MAX, false), "{what}");
        rig.writer.doubt_ownership();
        assert_eq!((rig.shown(), rig.writer.end_answered(false)), (0, Reaction::Drop), "{what}: now another can");
    }
}

#[test]
fn the_end_of_a_game_is_an_entry_like_any_other() {
    let mut rig = Rig::new();
    rig.add(2).next();
    rig.writer.tidy();
    rig.add(3).writer.close();
    assert_eq!(rig.commit(1).next(), "entries 2-2", "of what is over there is no snapshot");
    assert_eq!(rig.commit(2).shown(), 13);
    assert_eq!(rig.writer.end_answered(true), Reaction::GoOn);
}

#[test]
fn a_return_to_protection_that_fails_is_tried_again_with_a_new_number() {
    let mut rig = Rig::new();
    rig.writer.give_up_protection(rig.now);
    assert_eq!(rig.next(), "snapshot 1");
    assert_eq!(rig.add(2).answer(1, &Err(StoreFailed::Away)), Reaction::GoOn);
    assert_eq!(rig.writer.add(Step(3), Purpose::Record, |_, _| unreachable!("no number is given out")), None);
    assert_eq!((rig.next(), rig.writer.due(Stance::StoreAway)), (String::new(), None));
    assert_eq!(rig.writer.due(Stance::Speaks), Some(rig.now + RETRY.max));
    assert_eq!(rig.wait().next(), "snapshot 3");
    assert_eq!(rig.answer(3, &Ok(WriteOutcome::Unknown)), Reaction::GoOn);
    assert_eq!(rig.wait().next(), "restore 4");
    rig.writer.restore_answered(rig.now, false, &mut rig.rng);
    assert_eq!(rig.wait().next(), "snapshot 5", "the store that was there is away again");
    assert!(rig.commit(5).writer.is_protected());
}

#[test]
fn a_restore_that_was_abandoned_stands_in_nobodys_way() {
    let mut rig = Rig::new();
    rig.writer.restore();
    assert_eq!(rig.next(), "restore 1");
    rig.writer.give_up_protection(rig.now);
    assert_eq!(rig.next(), "");
    rig.writer.restore_answered(rig.now, false, &mut rig.rng);
    assert_eq!(rig.next(), "snapshot 2");
}

#[test]
fn who_was_cut_off_shows_nothing_before_a_write_has_proved_that_the_game_is_ours() {
    let mut rig = Rig::new();
    rig.add(2).next();
    rig.writer.doubt_ownership();
    assert_eq!((rig.shown(), rig.commit(1).shown()), (0, 0), "that was asked before");
    assert_eq!(rig.next(), "", "each game in its turn");
    rig.writer.refresh();
    assert_eq!((rig.next().as_str(), rig.shown()), ("snapshot 2", 0));
    assert_eq!(rig.commit(2).shown(), 12);
    let mut rig = Rig::new();
    rig.writer.doubt_ownership();
    rig.add(2).next();
    assert_eq!(rig.commit(1).shown(), 12, "an entry proves it as well");
    rig.writer.refresh();
    assert_eq!(rig.next(), "", "so nothing else is needed");
    rig.writer.doubt_store();
    rig.writer.refresh();
    assert_eq!(
        (rig.next().as_str(), rig.shown()),
        ("snapshot 2", 12),
        "what the store lost is no doubt about the owner"
    );
}

#[test]
fn a_game_that_cant_be_written_goes_on_as_long_as_it_can() {
    let mut rig = Rig::new();
    rig.can_be_written = false;
    for step in 2..=5 {
        rig.add(step);
    }
    assert_eq!(rig.next(), "entries 1-4", "its journal grows");
    assert_eq!(rig.commit(4).add(6).next(), "entries 5-5");
    rig.answer(5, &Ok(WriteOutcome::Gap));
    assert_eq!((rig.next(), rig.shown()), (String::new(), u64::MAX), "nothing else can mend that");
    assert!(!rig.writer.is_protected());
    assert_eq!((rig.add(7).next(), rig.writer.due(Stance::Speaks)), (String::new(), None));
}

#[test]
fn what_waits_is_bounded() {
    let mut rig = Rig::new();
    let mut step = 1;
    while rig.writer.has_room() {
        step += 1;
        rig.writer.add(Step(step), Purpose::Record, |_, _| Bytes::from(vec![0; 1024 * 1024]));
        assert!(step < 9);
    }
    rig.next();
    rig.commit(step);
    assert!(rig.writer.has_room());
}
