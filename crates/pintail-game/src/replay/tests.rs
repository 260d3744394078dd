//! A replay gives what the game gave, and says why when it can't.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pintail_store::EndOutcome;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::*;
use crate::api::{Context, Game, Json, LeaveReason, Refusal, Rules};
use crate::testing::TestGame;

const ANN: Player = Player::new(0);
const BOB: Player = Player::new(1);
const NAMES: [&str; 2] = ["Ann", "Bob"];

/// Adds up what it is sent, and a dice for each step.
#[derive(Debug, Serialize, Deserialize)]
struct Sum {
    sum: u32,
    dice: u32,
}

impl Game for Sum {
    const NAME: &'static str = "sum";
    const RULES: Rules = Rules::journaled().fixed_steps(20);
    type Settings = u32;
    type Input = Json<u32>;
    type Output = Json<u32>;

    fn new(sum: u32, _: &mut Context<'_, Self>) -> Result<Self, Refusal> {
        if sum == 99 { Err(Refusal::new("not 99")) } else { Ok(Self { sum, dice: 0 }) }
    }

    fn input(&mut self, ctx: &mut Context<'_, Self>, player: Player, Json(number): Json<u32>) {
        assert!(number != 13, "thirteen from {player}");
        self.sum += number;
        ctx.broadcast(self.sum);
        if self.sum >= 100 {
            ctx.end(self.sum);
        }
    }

    fn step(&mut self, ctx: &mut Context<'_, Self>) {
        self.dice += ctx.rng().below(6);
        ctx.broadcast_state(self.dice);
        assert!(self.sum != 66 || ctx.step() < Step(50), "66 at step 50");
    }
}

/// The same by turns.
#[derive(Debug, Serialize, Deserialize)]
struct Turns(u32);

impl Game for Turns {
    const NAME: &'static str = "turns";
    const RULES: Rules = Rules::journaled();
    type Settings = ();
    type Input = Json<u32>;
    type Output = Json<u32>;

    fn new((): (), ctx: &mut Context<'_, Self>) -> Result<Self, Refusal> {
        ctx.wake_in(Duration::from_secs(5));
        Ok(Self(0))
    }

    fn input(&mut self, _: &mut Context<'_, Self>, _: Player, Json(number): Json<u32>) {
        self.0 += number;
    }

    fn step(&mut self, ctx: &mut Context<'_, Self>) {
        ctx.broadcast(self.0);
    }
}

fn types() -> GameTypes {
    GameTypes::new().with::<Sum>().with::<Turns>()
}

/// Steps 2 (attaches), 10 and 20 (inputs), and 31 (nothing).
fn sum_game() -> TestGame<Sum> {
    let mut game = TestGame::<Sum>::new("7", &NAMES).unwrap();
    game.attach_all();
    game.advance(Duration::from_millis(400));
    game.input(ANN, 1);
    game.advance(Duration::from_millis(500));
    game.input(BOB, 2);
    game.input_bytes(BOB, "seven");
    game.advance(Duration::from_millis(600));
    game
}

fn steps(recording: &Recording) -> (Vec<ReplayedStep>, End) {
    let mut replay = Replay::new(&types(), recording).unwrap();
    let steps = replay.by_ref().collect();
    (steps, replay.end().unwrap().clone())
}

#[test]
fn a_replay_goes_through_every_step_quiet_ones_too() {
    let mut game = sum_game();
    let recording = Recording::from_json(&game.recording().to_json()).unwrap();
    let mut replay = Replay::new(&types(), &recording).unwrap();
    assert_eq!(replay.start(), &Start::Creation);
    let steps: Vec<_> = replay.by_ref().collect();
    assert_eq!(replay.end(), Some(&End::Open));
    assert_eq!(replay.value().unwrap().unwrap(), serde_json::to_value(game.game()).unwrap());
    assert_eq!(steps.len(), 31);
    let entries: Vec<_> = steps.iter().filter_map(|step| Some((step.step.0, step.entry?.0))).collect();
    assert_eq!(entries, [(2, 1), (10, 2), (20, 3), (31, 4)]);
    assert_eq!(steps[19].time, Duration::from_millis(950));
    assert_eq!(steps[19].events[0], Event::Input(BOB, Bytes::from("2")));
    assert_eq!(steps[19].unreadable.len(), 1);
    let states = steps.iter().flat_map(|step| &step.messages).filter(|message| message.urgency == Urgency::State);
    let states: Vec<_> = states.map(|message| serde_json::from_slice(&message.payload).unwrap()).map(Json).collect();
    // Nobody was attached before step 2.
    assert_eq!(states, game.take_states(ANN));
}

#[test]
fn a_replay_begins_with_the_snapshot_if_there_is_one() {
    let value = Sum { sum: 40, dice: 3 };
    let mut game = TestGame::of(&value, &NAMES);
    game.input(BOB, 60);
    game.step();
    let recording = game.recording();
    let mut replay = Replay::new(&types(), &recording).unwrap();
    let Start::Snapshot { number: EntryNumber(0), step: Step(1), build } = replay.start() else { panic!("{replay:?}") };
    assert_eq!(build, env!("CARGO_PKG_VERSION"));
    assert_eq!(replay.value().unwrap().unwrap(), json!({"sum": 40, "dice": 3}));
    let step = replay.next().unwrap();
    assert_eq!((step.step, step.end), (Step(2), Some(End::Finished("100".to_owned()))));
    assert_eq!(replay.next(), None);
    assert_eq!(recording.outcome.unwrap().result, "100");
}

#[test]
fn games_of_turns_have_the_times_of_their_entries() {
    let mut game = TestGame::<Turns>::new("", &NAMES).unwrap();
    game.advance(Duration::from_secs(2));
    game.input(ANN, 3);
    game.advance(Duration::from_secs(4));
    let (steps, end) = steps(&game.recording());
    let times: Vec<_> = steps.iter().map(|step| (step.step.0, step.time.as_secs(), step.messages.len())).collect();
    assert_eq!((times, end), (vec![(1, 0, 0), (2, 2, 0), (3, 5, 1)], End::Open));
}

#[test]
fn how_a_game_ended_is_how_its_replay_ends() {
    let mut finished = sum_game();
    finished.input(ANN, 90);
    finished.step();
    assert_eq!(steps(&finished.recording()).1, End::Finished("100".to_owned()));

    let mut abandoned = sum_game();
    abandoned.leave(ANN, LeaveReason::LeftRoom);
    abandoned.leave(BOB, LeaveReason::TimedOut);
    abandoned.step();
    assert_eq!(steps(&abandoned.recording()).1, End::Abandoned);

    let mut refused = sum_game().recording();
    "99".clone_into(&mut refused.order.settings);
    let (played, end) = steps(&refused);
    assert_eq!((played.len(), end), (1, End::Refused("not 99".to_owned())));
}

#[test]
fn a_panic_ends_the_replay_at_its_step_with_what_it_consumed() {
    for (input, step) in [(13, 32), (56, 50)] {
        let mut game = sum_game();
        game.input(BOB, input);
        let crash = catch_unwind(AssertUnwindSafe(|| game.advance(Duration::from_secs(3))));
        assert!(crash.is_err());
        let recording = game.recording();
        let mut replay = Replay::new(&types(), &recording).unwrap();
        let last = replay.by_ref().last().unwrap();
        let Some(End::Panicked(sentence)) = &last.end else { panic!("{last:?}") };
        let said = if input == 13 { "thirteen from 1, at " } else { "66 at step 50, at " };
        assert!(sentence.starts_with(said) && sentence.contains("tests.rs"), "{sentence}");
        assert_eq!((last.step, last.events.len()), (Step(step), usize::from(input == 13)));
        assert!(last.messages.is_empty(), "what a step that panicked would have sent never left");
        assert!(replay.value().is_none());
        assert_eq!(replay.end(), last.end.as_ref());
    }
}

#[test]
fn a_panic_in_a_step_after_the_last_entry_is_found_up_to_its_horizon() {
    let mut game = sum_game();
    game.input(BOB, 56);
    assert!(catch_unwind(AssertUnwindSafe(|| game.advance(Duration::from_secs(3)))).is_err());
    let mut recording = game.recording();
    recording.journal.entries.pop();
    assert_eq!(steps(&recording).1, End::Open, "as far as anyone knows, it did not fail");

    let outcome = EndOutcome { reason: EndReason::Crashed, result: String::new(), message: String::new() };
    recording.outcome = Some(outcome);
    assert_eq!(steps(&recording).1, End::Open, "the last entry says that nothing was shown beyond it");
    let last = recording.journal.entries.last_mut().unwrap();
    let entry = Entry::decode(last).unwrap();
    *last = Entry { horizon: Step(u64::MAX), ..entry }.encode();
    let (taken, end) = steps(&recording);
    assert!(matches!(end, End::Panicked(_)), "{end:?}");
    assert_eq!(taken.last().unwrap().step, Step(50));
}

#[test]
fn what_comes_next_is_known_before_it_happens() {
    let recording = sum_game().recording();
    let mut replay = Replay::new(&types(), &recording).unwrap();
    assert_eq!(replay.upcoming(), None, "its creation is played already");
    replay.next();
    while let Some(upcoming) = replay.upcoming() {
        assert_eq!(replay.upcoming().as_ref(), Some(&upcoming));
        assert_eq!(Upcoming::from(&replay.next().unwrap()), upcoming);
    }
    assert_eq!(replay.end(), Some(&End::Open));
}

#[test]
fn what_can_not_be_used_ends_the_replay_where_it_stands() {
    let game = sum_game().recording();
    let broken = |change: fn(&mut Vec<Bytes>)| {
        let mut recording = game.clone();
        change(&mut recording.journal.entries);
        let (steps, end) = steps(&recording);
        let End::Unreadable(sentence) = end else { panic!("{end:?}") };
        (steps.len(), sentence)
    };
    let (steps, sentence) = broken(|entries| entries[1] = entries[1].slice(1..));
    assert_eq!(steps, 2, "{sentence}");
    assert!(sentence.starts_with("entry 2: the journal entry"), "{sentence}");
    let (steps, sentence) = broken(|entries| drop(entries.remove(2)));
    assert_eq!((steps, &*sentence), (10, "entry 3: it says that it is entry 4"));

    let far = |step: u64| {
        let entry = Entry {
            number: EntryNumber(1),
            step: Step(step),
            time: Duration::ZERO,
            horizon: Step(step),
            events: vec![],
        };
        entry.encode()
    };
    for step in [0, 1, u64::MAX] {
        let mut recording = game.clone();
        recording.journal.entries = vec![far(step)];
        let sentence = steps_end(&recording);
        assert_eq!(sentence, format!("entry 1: it is of step {step}, and step 2 comes next"));
    }
}

fn steps_end(recording: &Recording) -> String {
    match steps(recording).1 {
        End::Unreadable(sentence) => sentence,
        end => panic!("{end:?}"),
    }
}

#[test]
fn what_can_not_begin_says_why() {
    let mut unknown = sum_game().recording();
    unknown.order.game_type = "chess".parse().unwrap();
    let sentence = Replay::new(&types(), &unknown).unwrap_err().to_string();
    assert!(sentence.contains("no game type `chess`; it knows sum, turns:"), "{sentence}");

    let with_snapshot = TestGame::of(&Sum { sum: 1, dice: 1 }, &NAMES).recording();
    let mut other_type = with_snapshot.clone();
    other_type.order.game_type = "turns".parse().unwrap();
    let mut fewer_players = with_snapshot.clone();
    fewer_players.order.players.pop();
    for other in [other_type, fewer_players] {
        let sentence = Replay::new(&types(), &other).unwrap_err().to_string();
        assert!(sentence.contains("the snapshot is another game's"), "{sentence}");
    }

    let mut damaged = with_snapshot;
    let snapshot = damaged.journal.snapshot.as_mut().unwrap();
    snapshot.bytes = snapshot.bytes.slice(..snapshot.bytes.len() - 1);
    let sentence = Replay::new(&types(), &damaged).unwrap_err().to_string();
    assert_eq!(sentence, "the snapshot is damaged: its checksum does not fit it");
}

#[test]
fn a_file_that_is_no_recording_says_so() {
    let good = sum_game().recording().to_json();
    for (text, problem) in [
        (String::new(), "EOF"),
        ("{}".to_owned(), "missing field `pintail_recording`"),
        (good.replacen(r#""pintail_recording": 1"#, r#""pintail_recording": 2"#, 1), "its version is 2"),
        (good.replacen(r#""entries": ["#, r#""entries": ["?","#, 1), "Invalid"),
    ] {
        let sentence = Recording::from_json(&text).unwrap_err().to_string();
        assert!(sentence.contains(problem) && sentence.contains("--export"), "{sentence}");
    }
}
