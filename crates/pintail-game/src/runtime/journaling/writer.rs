//! What is written to a game's journal, and how far what is committed lets the game be shown.

mod pending;
mod since;
mod state;

use std::time::Duration;

use bytes::Bytes;
use pintail_core::{EntryNumber, Step};
use pintail_engine::backoff::{Backoff, BackoffPolicy};
use pintail_store::{SavedSnapshot, WriteContent, WriteOutcome};
use rand::Rng;

use super::{Reach, Stance};
use crate::journal::FORMAT;
use crate::runtime::Now;
use crate::runtime::host::{Answer, JournalPolicy, StoreFailed};
use pending::PendingEntries;
pub(crate) use pending::Purpose;
use since::Since;
use state::{Asks, Call, Claim, Protection, Wanted};
pub(crate) use state::{Outgo, Reaction};

/// How long to wait before a write is repeated. Short: until then the game's players see nothing.
const RETRY: BackoffPolicy = BackoffPolicy { first: Duration::from_millis(50), max: Duration::from_millis(500) };

/// Writes a game's journal.
///
/// Entries and snapshots share one sequence of numbers, and a number never stands for two things: so whatever the store
/// has under a number is what was meant by it, however often it was sent and in whatever order that arrived.
#[derive(Debug)]
pub(crate) struct Writer {
    policy: JournalPolicy,
    reach: Reach,
    /// The last number given out.
    last: EntryNumber,
    /// How far the game may be shown once everything that was written is committed.
    horizon: Step,
    /// How far it may be shown as far as committed entries go.
    committed_horizon: Step,
    pending: PendingEntries,
    /// What the store is asked, until it has answered, and repeated if it does not.
    call: Option<Call>,
    /// Nothing is asked before this.
    not_before: Option<Now>,
    /// Since when something is not committed that the store was asked to keep.
    lagging_since: Option<Now>,
    wanted: Wanted,
    /// Whether the store may have lost what it acknowledged, so that the game is written anew when its turn comes.
    is_doubtful: bool,
    protection: Protection,
    since: Since,
    /// Whether the game is over, so that there is nothing to take a snapshot of.
    is_over: bool,
    backoff: Backoff,
}

impl Writer {
    /// For a game that stands at `step`, whose journal ends with `last`, and of which `horizon` may be shown.
    pub(crate) fn new(policy: JournalPolicy, reach: Reach, step: Step, last: EntryNumber, horizon: Step) -> Self {
        Self {
            policy,
            reach,
            last,
            horizon,
            committed_horizon: horizon,
            pending: PendingEntries::default(),
            call: None,
            not_before: None,
            lagging_since: None,
            wanted: Wanted::Nothing,
            is_doubtful: false,
            protection: Protection::On,
            since: Since::new(step),
            is_over: false,
            backoff: Backoff::new(RETRY),
        }
    }

    /// Whether a step needs an entry, even if it consumes nothing.
    pub(crate) fn wants_entry(&self, step: Step) -> bool {
        self.reach.wants_entry(step, self.horizon)
    }

    /// Gives the next number to an entry of this step, and keeps the entry until it is committed. `encode` is given number
    /// and horizon. While there is no protection, no number is given out. Returns the entry's size.
    pub(crate) fn add(
        &mut self,
        step: Step,
        purpose: Purpose,
        encode: impl FnOnce(EntryNumber, Step) -> Bytes,
    ) -> Option<usize> {
        if matches!(self.protection, Protection::Off(_) | Protection::LastWords(_) | Protection::Never) {
            return None;
        }
        self.last = self.last.next();
        self.horizon = self.reach.horizon(step);
        let bytes = encode(self.last, self.horizon);
        let size = bytes.len();
        self.pending.push(self.last, step, purpose, self.horizon, bytes);
        self.since.count_entry(size);
        Some(size)
    }

    /// Whether there is room for the entries of another step.
    pub(crate) const fn has_room(&self) -> bool {
        self.pending.has_room()
    }

    /// A stream was given so much since the last snapshot that a replay of it would fill half of it: time for the next.
    pub(crate) fn tidy(&mut self) {
        self.wanted = self.wanted.max(Wanted::Tidying);
    }

    /// The store may lack something: the game is written anew.
    pub(crate) fn mend(&mut self) {
        match &mut self.protection {
            _ if self.is_over => {}
            Protection::Off(retry_at) => *retry_at = Now::default(),
            _ => self.wanted = self.wanted.max(Wanted::Mending),
        }
    }

    /// The game is over: from now on nothing but entries can be written.
    pub(crate) fn close(&mut self) {
        self.is_over = true;
        let wanted = std::mem::replace(&mut self.wanted, Wanted::Nothing);
        match self.protection {
            Protection::Off(_) | Protection::Returning => self.protection = Protection::Never,
            Protection::InDoubt if wanted > Wanted::Tidying => self.speak_last(Claim::Doubtful),
            Protection::On | Protection::CatchingUp(_) if wanted > Wanted::Tidying => self.speak_last(Claim::Sure),
            _ => {}
        }
    }

    /// The store lacks something of a game that is over.
    fn speak_last(&mut self, claim: Claim) {
        self.protection = Protection::LastWords(claim);
        self.pending.clear();
        (self.call, self.lagging_since) = (None, None);
    }

    /// Whether the store was told of the end by itself: a write that comes after that finds a game that is over.
    const fn has_said_its_last(&self) -> bool {
        self.is_over && matches!(self.protection, Protection::LastWords(_) | Protection::Never)
    }

    /// Whether the end has to be kept before it is shown.
    pub(crate) const fn has_last_words(&self) -> bool {
        matches!(self.protection, Protection::LastWords(_))
    }

    /// The store was told of the end. Whether it took it.
    pub(crate) fn end_answered(&mut self, is_ours: bool) -> Reaction {
        match self.protection {
            Protection::LastWords(Claim::Doubtful) if !is_ours => return Reaction::Drop,
            Protection::LastWords(_) => self.protection = Protection::Never,
            _ => {}
        }
        Reaction::GoOn
    }

    /// The store has something else than it should: it is mended by a snapshot.
    fn lost(&mut self, wanted: Wanted) {
        if self.is_over {
            self.speak_last(Claim::Sure);
        } else {
            self.wanted = self.wanted.max(wanted);
        }
    }

    /// The store may have lost what it acknowledged: the game is written anew at the next [`refresh`](Self::refresh).
    pub(crate) const fn doubt_store(&mut self) {
        self.is_doubtful = true;
    }

    /// It is the game's turn to be written anew, if there still is a reason.
    pub(crate) fn refresh(&mut self) {
        if std::mem::take(&mut self.is_doubtful) || matches!(self.protection, Protection::InDoubt | Protection::Off(_))
        {
            self.mend();
        }
    }

    /// The store knows nothing of the game.
    pub(crate) fn restore(&mut self) {
        self.lost(Wanted::Restoring);
    }

    /// The game may be another's: nothing is shown until a write that is asked from now on is committed.
    pub(crate) fn doubt_ownership(&mut self) {
        match self.protection {
            Protection::On => self.protection = Protection::InDoubt,
            Protection::Off(_) | Protection::Returning | Protection::CatchingUp(_) => {
                // The store lacks what was shown without it, so nothing but a snapshot will do.
                self.protection = Protection::InDoubt;
                self.mend();
            }
            Protection::LastWords(_) => self.speak_last(Claim::Doubtful),
            Protection::Never if self.is_over => self.speak_last(Claim::Doubtful),
            Protection::InDoubt | Protection::Never => {}
        }
        if let Some(call) = &mut self.call {
            call.is_old = true;
        }
    }

    /// The game goes on without protection: what is written is no longer waited for.
    pub(crate) fn give_up_protection(&mut self, now: Now) {
        self.protection = if self.is_over { Protection::Never } else { Protection::Off(now) };
        self.pending.clear();
        self.wanted = Wanted::Nothing;
        self.lagging_since = None;
        self.call = self.call.take().filter(|call| call.is_under_way);
        if let Some(call) = &mut self.call {
            call.asks = Asks::Abandoned;
        }
    }

    /// What the store is to be asked now. `take` writes a snapshot with this number and horizon; `None` if the game can't.
    pub(crate) fn next(
        &mut self,
        now: Now,
        stance: Stance,
        step: Step,
        take: impl FnOnce(EntryNumber, Step) -> Option<Bytes>,
    ) -> Option<Outgo> {
        if self.call.as_ref().is_some_and(|call| call.is_under_way) || self.not_before.is_some_and(|at| now < at) {
            return None;
        }
        if let Protection::Off(retry_at) = self.protection {
            if now < retry_at || stance != Stance::Speaks {
                return None;
            }
            (self.protection, self.wanted) = (Protection::Returning, Wanted::Mending);
            self.call = None;
        }
        self.not_before = None;
        let asks = match self.call.take().map(|call| call.asks) {
            Some(asks @ (Asks::Snapshot(..) | Asks::Restore(_))) => asks,
            _ => self.choose(step, take)?,
        };
        let outgo = self.outgo(&asks);
        self.call = Some(Call { asks, is_under_way: true, is_old: false });
        self.lagging_since.get_or_insert(now);
        Some(outgo)
    }

    fn choose(&mut self, step: Step, take: impl FnOnce(EntryNumber, Step) -> Option<Bytes>) -> Option<Asks> {
        if self.since.is_long(&self.policy, step) && !self.is_over {
            self.tidy();
        }
        let wanted = std::mem::replace(&mut self.wanted, Wanted::Nothing);
        if wanted != Wanted::Nothing && self.protection != Protection::Never {
            match self.take_snapshot(step, take) {
                Some((snapshot, _)) if wanted == Wanted::Restoring => return Some(Asks::Restore(snapshot)),
                Some((snapshot, horizon)) => return Some(Asks::Snapshot(snapshot, horizon)),
                None if wanted == Wanted::Tidying => {}
                None => {
                    self.protection = Protection::Never;
                    self.pending.clear();
                    self.lagging_since = None;
                }
            }
        }
        self.pending.last().map(Asks::Entries)
    }

    /// Takes a snapshot, which contains everything up to its own number. What comes after it takes the next.
    pub(crate) fn take_snapshot(
        &mut self,
        step: Step,
        take: impl FnOnce(EntryNumber, Step) -> Option<Bytes>,
    ) -> Option<(SavedSnapshot, Step)> {
        self.since = Since::new(step);
        let (number, horizon) = (self.last.next(), self.reach.horizon(step));
        let bytes = take(number, horizon)?;
        (self.last, self.horizon) = (number, horizon);
        Some((SavedSnapshot { number, format: FORMAT, bytes }, horizon))
    }

    fn outgo(&self, asks: &Asks) -> Outgo {
        match asks {
            Asks::Snapshot(snapshot, _) => Outgo::Write(WriteContent::Snapshot(snapshot.clone())),
            Asks::Restore(snapshot) => Outgo::Restore(snapshot.clone()),
            Asks::Entries(_) | Asks::Abandoned => Outgo::Write(WriteContent::Entries {
                first: self.pending.first().unwrap_or(self.last),
                entries: self.pending.payloads(),
            }),
        }
    }

    /// What became of the write whose last number is this.
    pub(crate) fn answered(
        &mut self,
        now: Now,
        number: EntryNumber,
        answer: &Answer<WriteOutcome>,
        rng: &mut impl Rng,
    ) -> Reaction {
        if *answer == Ok(WriteOutcome::Fenced) && !self.has_said_its_last() {
            return Reaction::Drop;
        }
        let Some(call) = self.call.take_if(|call| call.is_under_way && !matches!(call.asks, Asks::Restore(_))) else {
            return Reaction::GoOn;
        };
        match &call.asks {
            Asks::Entries(last) if *last == number => {}
            Asks::Snapshot(snapshot, horizon) if snapshot.number == number => {
                return self.snapshot_answered(now, *horizon, call, answer, rng);
            }
            Asks::Abandoned => return Reaction::GoOn,
            _ => {
                // The answer to something else, which was not asked: that to this one is still to come.
                self.call = Some(call);
                return Reaction::GoOn;
            }
        }
        match answer {
            Ok(WriteOutcome::Committed) => return self.committed(number, None, &call),
            Ok(WriteOutcome::Unknown) => self.lost(Wanted::Restoring),
            Err(StoreFailed::Away) => {
                self.call = Some(Call { is_under_way: false, ..call });
                self.not_before = Some(now + self.backoff.fail(rng));
            }
            Ok(WriteOutcome::Gap | WriteOutcome::Fenced) | Err(StoreFailed::Damaged(_)) => self.lost(Wanted::Mending),
        }
        Reaction::GoOn
    }

    fn snapshot_answered(
        &mut self,
        now: Now,
        horizon: Step,
        call: Call,
        answer: &Answer<WriteOutcome>,
        rng: &mut impl Rng,
    ) -> Reaction {
        if let (Ok(WriteOutcome::Committed), Asks::Snapshot(snapshot, _)) = (answer, &call.asks) {
            let number = snapshot.number;
            return self.committed(number, Some(horizon), &call);
        }
        self.not_before = Some(now + self.backoff.fail(rng));
        if self.protection == Protection::Returning && answer.is_err() {
            self.stay_unprotected(now);
        } else if *answer == Ok(WriteOutcome::Unknown) {
            self.lost(Wanted::Restoring);
        } else {
            self.call = Some(Call { is_under_way: false, ..call });
        }
        Reaction::GoOn
    }

    /// Everything up to this number is committed; a snapshot has a horizon of its own.
    fn committed(&mut self, number: EntryNumber, horizon: Option<Step>, call: &Call) -> Reaction {
        let reached = [self.pending.commit(number), horizon].into_iter().flatten();
        self.committed_horizon = reached.fold(self.committed_horizon, Step::max);
        self.lagging_since = None;
        self.backoff.succeed();
        match self.protection {
            Protection::Returning if !self.pending.is_empty() => self.protection = Protection::CatchingUp(self.last),
            Protection::Returning => self.protection = Protection::On,
            Protection::CatchingUp(shown) if shown <= number => self.protection = Protection::On,
            Protection::InDoubt if !call.is_old => self.protection = Protection::On,
            _ => {}
        }
        Reaction::Committed
    }

    /// Whether the game could be put back into the store.
    pub(crate) fn restore_answered(&mut self, now: Now, is_back: bool, rng: &mut impl Rng) {
        let asked = |call: &mut Call| call.is_under_way && matches!(call.asks, Asks::Restore(_) | Asks::Abandoned);
        let Some(call) = self.call.take_if(asked).filter(|call| !matches!(call.asks, Asks::Abandoned)) else { return };
        if is_back {
            // It may have been there already, with less: only a write says what the store has.
            return self.lost(Wanted::Mending);
        }
        self.not_before = Some(now + self.backoff.fail(rng));
        if self.protection == Protection::Returning {
            self.stay_unprotected(now);
        } else {
            self.call = Some(Call { is_under_way: false, ..call });
        }
    }

    /// The last step that may be shown.
    pub(crate) fn shown(&self, stance: Stance) -> Step {
        let everything = Step(u64::MAX);
        match (self.protection, stance) {
            (Protection::On | Protection::CatchingUp(_), Stance::Speaks) => {
                let before = self.pending.first_record().map_or(everything, |step| Step(step.0.saturating_sub(1)));
                self.committed_horizon.min(before)
            }
            (Protection::Off(_) | Protection::Returning | Protection::Never, Stance::Speaks | Stance::StoreAway) => {
                everything
            }
            _ => Step(0),
        }
    }

    /// Whether players are shown only what the store has, or will have before they are shown more.
    pub(crate) const fn is_protected(&self) -> bool {
        !self.is_unprotected() && !matches!(self.protection, Protection::Never)
    }

    /// Whether players have been shown what the store can't be told yet.
    pub(crate) const fn is_unprotected(&self) -> bool {
        matches!(self.protection, Protection::Off(_) | Protection::Returning | Protection::CatchingUp(_))
    }

    /// Whether something is held until the store has it.
    pub(crate) const fn holds(&self) -> bool {
        !matches!(self.protection, Protection::Off(_) | Protection::Returning | Protection::Never)
    }

    /// Whether the game may be another's.
    pub(crate) const fn is_in_doubt(&self) -> bool {
        matches!(self.protection, Protection::InDoubt)
    }

    /// Whether everything is committed, and nothing is to be written.
    pub(crate) fn is_idle(&self) -> bool {
        let nothing_left = self.call.is_none() && self.pending.is_empty() && self.wanted <= Wanted::Tidying;
        nothing_left && self.protection == Protection::On
    }

    /// How long something has been waiting for the store.
    pub(crate) fn lag(&self, now: Now) -> Option<Duration> {
        self.lagging_since.map(|since| now.since(since))
    }

    /// When something is due by itself.
    pub(crate) fn due(&self, stance: Stance) -> Option<Now> {
        if self.call.as_ref().is_some_and(|call| call.is_under_way) {
            return None;
        }
        match self.protection {
            Protection::Off(at) => {
                (stance == Stance::Speaks).then(|| self.not_before.map_or(at, |other| other.max(at)))
            }
            _ if self.call.is_some() || self.wanted > Wanted::Nothing || !self.pending.is_empty() => {
                Some(self.not_before.unwrap_or_default())
            }
            _ => None,
        }
    }

    /// The store could not be written to after all.
    fn stay_unprotected(&mut self, now: Now) {
        self.protection = Protection::Off(now + RETRY.max);
        self.lagging_since = None;
        self.pending.clear();
    }
}

#[cfg(test)]
mod tests;
