//! Games without servers: for the tests of a game's author.
//!
//! A [`TestGame`] runs handlers just as a server does, with the same steps, the same time and the same randomness, and
//! with every message encoded and decoded. [`assert_deterministic`] finds what would go wrong when a game is moved to
//! another server.

use std::time::Duration;

use bytes::Bytes;
use pintail_core::{Durability, EntryNumber, GameId, Kind, RoomId, Round, SessionId, Slot, Step};
use pintail_store::{GameOrder, OrderedPlayer, SavedJournal, SavedSnapshot};
use serde_json::Value;

use crate::api::{Context, Game, LeaveReason, Pace, Payload, Player, Refusal};
use crate::journal::{BUILD, Entry, FORMAT, SavedSeat, Snapshot};
use crate::replay::Recording;
use crate::runtime::ending::finished;
use crate::runtime::schedule::fixed_time;
use crate::runtime::turn::{Progress, SeatProgress};
use crate::runtime::{Batch, Emission, Event, Turn, Urgency};
use crate::self_check::Shadow;
use crate::types::{any_type, parse_settings, restore, snapshot};

/// One game, its players, and what they were sent.
///
/// In event-driven games each call is a step of its own. In games of fixed steps, what happens waits for the next
/// [`step`](Self::step) or [`advance`](Self::advance).
#[derive(Debug)]
pub struct TestGame<G> {
    game: G,
    turn: Turn,
    pending: Vec<Event>,
    inboxes: Vec<Inbox>,
    /// The game's time as the test counts it: where the next event happens.
    clock: Duration,
    transcript: Vec<(Step, Emission)>,
    /// The game as its server would have kept it.
    record: Record,
    /// The same game beside this one, if it is to be found out whether they stay the same.
    shadow: Option<Shadow>,
    restart_each_step: bool,
}

/// What a recording of the game begins with, and the steps that consumed something.
#[derive(Debug)]
struct Record {
    seed: u64,
    settings: String,
    snapshot: Option<SavedSnapshot>,
    entries: Vec<Entry>,
}

#[derive(Debug, Default)]
struct Inbox {
    reliable: Vec<Bytes>,
    states: Vec<Bytes>,
}

impl<G: Game> TestGame<G> {
    /// Starts a game with these settings (JSON as in a room; empty for the defaults) for players of these names.
    ///
    /// # Errors
    /// If the game refuses.
    pub fn new(settings: &str, names: &[&str]) -> Result<Self, Refusal> {
        Self::with_seed(1, settings, names)
    }

    /// Starts a game whose randomness begins here.
    ///
    /// # Errors
    /// If the game refuses.
    pub fn with_seed(seed: u64, settings: &str, names: &[&str]) -> Result<Self, Refusal> {
        let mut this = Self::create(seed, settings, names)?;
        this.collect();
        Ok(this)
    }

    /// A game whose first messages were not handed out yet.
    fn create(seed: u64, settings: &str, names: &[&str]) -> Result<Self, Refusal> {
        if !G::RULES.takes(names.len()) {
            return Err(Refusal::new(format!("{} players can't play {}", names.len(), G::NAME)));
        }
        let mut turn = Turn::first(seed, names.iter().map(ToString::to_string));
        let game = G::new(parse_settings::<G>(settings)?, &mut Context::new(&mut turn))?;
        let record = Record { seed, settings: settings.to_owned(), snapshot: None, entries: Vec::new() };
        Ok(Self::around(game, turn, record))
    }

    /// A game that already stands as `value` says, at the beginning of its time: with
    /// everyone attached. For situations that would take long to play up to. The value goes through a snapshot.
    ///
    /// # Panics
    /// If the value can't be written or read.
    #[must_use]
    pub fn of(value: &G, names: &[&str]) -> Self {
        let game = snapshot(value).and_then(|snapshot| restore(&snapshot)).unwrap_or_else(|error| panic!("{error}"));
        let mut turn = Turn::first(1, names.iter().map(ToString::to_string));
        for seat in &mut turn.progress.seats {
            (seat.joined, seat.connected) = (true, true);
        }
        let mut this = Self::around(game, turn, Record::default());
        this.record.snapshot = Some(this.saved());
        this
    }

    fn around(game: G, turn: Turn, record: Record) -> Self {
        let inboxes = turn.progress.seats.iter().map(|_| Inbox::default()).collect();
        let (pending, transcript) = (Vec::new(), Vec::new());
        let (clock, shadow) = (Duration::ZERO, None);
        Self { game, turn, pending, inboxes, clock, transcript, record, shadow, restart_each_step: false }
    }

    /// The player attaches: joins, or comes back.
    pub fn attach(&mut self, player: Player) {
        self.happen(Event::Attached(player));
    }

    /// Everyone attaches, in the order of their seats.
    pub fn attach_all(&mut self) {
        for player in Player::seats(self.inboxes.len()) {
            self.attach(player);
        }
    }

    /// The player's connection is lost.
    pub fn detach(&mut self, player: Player) {
        self.happen(Event::Detached(player));
    }

    /// The player is gone for good.
    pub fn leave(&mut self, player: Player, reason: LeaveReason) {
        self.happen(Event::Left(player, reason));
    }

    /// The player missed messages for good.
    pub fn resync(&mut self, player: Player) {
        self.happen(Event::Behind(player));
    }

    /// The player sends this.
    pub fn input(&mut self, player: Player, input: impl Into<G::Input>) {
        self.input_bytes(player, input.into().encode());
    }

    /// The player sends these bytes, which may be no input at all.
    pub fn input_bytes(&mut self, player: Player, bytes: impl Into<Bytes>) {
        self.happen(Event::Input(player, bytes.into()));
    }

    /// Lets time go by: runs the fixed steps, or the wake-ups, that come due in it.
    ///
    /// # Panics
    /// If the game asks to be woken a million times in it, which no game means to do.
    pub fn advance(&mut self, duration: Duration) {
        const WAKE_UPS_MAX: u32 = 1_000_000;
        let until = self.clock + duration;
        for _ in 0..WAKE_UPS_MAX {
            let progress = &self.turn.progress;
            let next = match G::RULES.pace {
                Pace::FixedSteps(per_second) => Some(fixed_time(progress.step.next(), per_second)),
                Pace::EventDriven => progress.wake.map(|wake| wake.max(self.clock)),
            };
            let Some(next) = next.filter(|next| *next <= until && self.turn.result.is_none()) else {
                self.clock = until;
                return;
            };
            self.clock = next;
            self.step();
        }
        panic!("the game asks to be woken without end");
    }

    /// Runs one step now, with everything that waits for it.
    pub fn step(&mut self) {
        if self.turn.result.is_some() {
            return;
        }
        if self.restart_each_step {
            self.restart();
        }
        let time = match G::RULES.pace {
            Pace::FixedSteps(per_second) => fixed_time(self.turn.progress.step.next(), per_second),
            Pace::EventDriven => self.clock,
        };
        self.clock = self.clock.max(time);
        let events = std::mem::take(&mut self.pending);
        // Before the game sees them: a step that panics is on record too.
        if G::RULES.pace == Pace::EventDriven || !events.is_empty() {
            self.record.note(self.turn.progress.step.next(), time, &events);
        }
        let batch = Batch { time, events };
        let for_shadow = self.shadow.is_some().then(|| batch.clone());
        self.turn.apply(&mut self.game, batch);
        if let (Some(shadow), Some(batch)) = (&mut self.shadow, for_shadow) {
            let same = shadow.follow(batch, &self.turn, &self.game);
            same.unwrap_or_else(|difference| panic!("{} is not deterministic: {difference}", G::NAME));
        }
        self.collect();
    }

    /// Moves the game as if to another server: through a snapshot, with nothing else kept.
    ///
    /// # Panics
    /// If the game can't be written or read.
    pub fn restart(&mut self) {
        let moved = snapshot(&self.game).and_then(|snapshot| restore(&snapshot));
        self.game = moved.unwrap_or_else(|error| panic!("{error}"));
        let progress = serde_json::to_vec(&self.turn.progress).and_then(|json| serde_json::from_slice(&json));
        let unreadable = std::mem::take(&mut self.turn.unreadable);
        let result = self.turn.result.take();
        self.turn = Turn::resume(progress.expect("progress is written as it is read"));
        (self.turn.unreadable, self.turn.result) = (unreadable, result);
    }

    /// The reliable messages that the player was sent since the last call.
    ///
    /// # Panics
    /// If the game can't read its own message.
    pub fn take(&mut self, player: Player) -> Vec<G::Output> {
        decode::<G>(self.inboxes.get_mut(player.index()).map(|inbox| std::mem::take(&mut inbox.reliable)))
    }

    /// The state messages that the player was sent since the last call. (A slow client would see only the last.)
    ///
    /// # Panics
    /// If the game can't read its own message.
    pub fn take_states(&mut self, player: Player) -> Vec<G::Output> {
        decode::<G>(self.inboxes.get_mut(player.index()).map(|inbox| std::mem::take(&mut inbox.states)))
    }

    /// Forgets what was sent so far.
    pub fn clear(&mut self) {
        self.inboxes.fill_with(Inbox::default);
    }

    /// What the game said about its end; `None` while it goes on.
    #[must_use]
    pub fn result(&self) -> Option<Value> {
        self.turn.result.as_ref().map(|json| serde_json::from_str(json).expect("the result was written as JSON"))
    }

    /// Who sent something that is no input. A server detaches them.
    #[must_use]
    pub fn unreadable(&self) -> Vec<Player> {
        self.turn.unreadable.iter().map(|(player, _)| *player).collect()
    }

    /// The game's own value.
    #[must_use]
    pub fn game(&self) -> &G {
        &self.game
    }

    /// The step that ran last.
    #[must_use]
    pub fn last_step(&self) -> Step {
        self.turn.progress.step
    }

    /// Everything that has happened so far, as `pintail replay --export` would write it of a game on a server.
    ///
    /// # Panics
    /// If a player's name is none that a room would take.
    #[must_use]
    pub fn recording(&self) -> Recording {
        let seats = self.turn.progress.seats.iter().zip(1..);
        let player = |(seat, session): (&SeatProgress, u64)| OrderedPlayer {
            session: SessionId(session),
            name: seat.name.parse().unwrap_or_else(|error| panic!("{error}")),
        };
        let order = GameOrder {
            id: GameId { room: RoomId(0), round: Round(1) },
            game_type: G::NAME.parse().unwrap_or_else(|error| panic!("{error}")),
            durability: Durability::Journaled,
            settings: self.record.settings.clone(),
            players: seats.map(player).collect(),
            seed: self.record.seed,
            lobby: Slot::new(Kind::Lobby, 0),
            trace: None,
        };
        let entries = self.record.up_to(&self.turn.progress).iter().map(Entry::encode).collect();
        let outcome = self.turn.result.clone().map(finished);
        Recording { order, journal: SavedJournal { snapshot: self.record.snapshot.clone(), entries }, outcome }
    }

    /// A snapshot as a server keeps it, without what its players have not acknowledged.
    fn saved(&self) -> SavedSnapshot {
        let state = snapshot(&self.game).unwrap_or_else(|error| panic!("{error}"));
        let progress = self.turn.progress.clone();
        let number = EntryNumber(0);
        let content = Snapshot {
            game_type: G::NAME.parse().unwrap_or_else(|error| panic!("{error}")),
            build: BUILD.to_owned(),
            number,
            horizon: progress.step,
            seats: progress.seats.iter().map(|_| SavedSeat::default()).collect(),
            progress,
            state,
        };
        SavedSnapshot { number, format: FORMAT, bytes: content.encode() }
    }

    /// Plays a shadow beside the game from its creation on, and panics where they differ.
    fn watch(&mut self) {
        let shadow = Shadow::of_new(any_type::<G>(), &self.record.settings, &self.turn, &self.game);
        self.shadow = Some(shadow.unwrap_or_else(|difference| panic!("{}: {difference}", G::NAME)));
    }

    fn happen(&mut self, event: Event) {
        self.pending.push(event);
        if G::RULES.pace == Pace::EventDriven {
            self.step();
        }
    }

    /// Hands out the messages of the step that just ran.
    fn collect(&mut self) {
        let step = self.turn.progress.step;
        for emission in std::mem::take(&mut self.turn.emissions) {
            for ((player, inbox), seat) in
                Player::seats(self.inboxes.len()).zip(&mut self.inboxes).zip(&self.turn.progress.seats)
            {
                match emission.urgency {
                    _ if seat.left || !emission.to.include(player) => {}
                    Urgency::Reliable => inbox.reliable.push(emission.payload.clone()),
                    Urgency::State if seat.connected => inbox.states.push(emission.payload.clone()),
                    Urgency::State => {}
                }
            }
            self.transcript.push((step, emission));
        }
    }
}

impl Default for Record {
    fn default() -> Self {
        Self { seed: 1, settings: String::new(), snapshot: None, entries: Vec::new() }
    }
}

impl Record {
    fn note(&mut self, step: Step, time: Duration, events: &[Event]) {
        let number = EntryNumber(self.entries.len() as u64 + 1);
        self.entries.push(Entry { number, step, time, horizon: step, events: events.to_vec() });
    }

    /// The entries, and one more for the steps since the last that consumed nothing.
    fn up_to(&self, progress: &Progress) -> Vec<Entry> {
        let mut entries = self.entries.clone();
        if entries.last().map_or(Step(1), |entry| entry.step) < progress.step {
            let number = EntryNumber(entries.len() as u64 + 1);
            entries.push(Entry {
                number,
                step: progress.step,
                time: progress.time,
                horizon: progress.step,
                events: Vec::new(),
            });
        }
        entries
    }
}

fn decode<G: Game>(payloads: Option<Vec<Bytes>>) -> Vec<G::Output> {
    let payloads = payloads.unwrap_or_default();
    payloads.iter().map(|bytes| G::Output::decode(bytes).unwrap_or_else(|error| panic!("{error}"))).collect()
}

/// Plays a script beside a shadow, which is played a step later and made anew from snapshots, and once more with the game moved
/// through a snapshot before every step. Every message, the result and the value are compared.
///
/// # Panics
/// If anything differs, with the first thing that does: then something reached the game past its context (a clock, a
/// `HashMap`'s order, a static), or its value does not hold everything that it goes on.
pub fn assert_deterministic<G: Game>(settings: &str, names: &[&str], script: impl Fn(&mut TestGame<G>)) {
    let create = || TestGame::<G>::create(1, settings, names).unwrap_or_else(|refusal| panic!("{refusal}"));
    let (mut beside, mut moving) = (create(), create());
    beside.watch();
    moving.restart_each_step = true;
    for game in [&mut beside, &mut moving] {
        game.collect();
        script(game);
    }
    let played = |game: TestGame<G>| {
        let value = snapshot(&game.game).unwrap_or_else(|error| panic!("{error}"));
        let value: Value = serde_json::from_str(value.get()).expect("a snapshot is JSON");
        (game.transcript, game.turn.result, value)
    };
    assert!(
        played(moving) == played(beside),
        "{} goes on differently after a snapshot: its value does not hold all of it",
        G::NAME
    );
}
