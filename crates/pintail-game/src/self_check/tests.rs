//! Each way in which a game can fail to be deterministic is found, with its step and what differs.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use pintail_core::{Epoch, GameId, Incarnation, Kind as ServerKind, RoomId, Round, Slot, Step};
use pintail_store::{GameRecord, Owner, SavedGame, SavedJournal};
use serde::{Deserialize, Serialize};

use super::difference::Found;
use super::*;
use crate::api::{Context, Game, Json, Player, Refusal, Rules};
use crate::runtime::{Batch, Budget, Effects, Event, GameHost, HostEvent, JournalPolicy, Now, Turn};
use crate::testing::TestGame;
use crate::types::{AnyType, GameTypes, GameValue, any_type};

const ANN: Player = Player::new(0);

/// Plays a game beside its shadow, an input a step, until they differ: after creation, or from a snapshot at this step.
fn play<G: Game>(steps: u64, from: Option<u64>) -> Option<Difference> {
    let game_type: Arc<dyn AnyType> = any_type::<G>();
    let mut turn = Turn::first(7, ["Ann".to_owned(), "Bob".to_owned()]);
    let mut live = GameValue::new(game_type.create("", &mut turn).unwrap());
    let mut shadow = from.is_none().then(|| Shadow::of_new(game_type.clone(), "", &turn, live.get()));
    for step in 2..=steps {
        (turn.emissions, turn.unreadable) = (Vec::new(), Vec::new());
        let number = Event::Input(ANN, Bytes::from(step.to_string()));
        let batch = Batch { time: Duration::from_secs(step), events: vec![Event::Attached(ANN), number] };
        live.get_mut().apply(&mut turn, batch.clone());
        let followed = match &mut shadow {
            Some(Ok(shadow)) => shadow.follow(batch, &turn, live.get()),
            Some(Err(difference)) => return Some(difference.clone()),
            None => Ok(()),
        };
        if let Err(difference) = followed {
            return Some(difference);
        }
        if from == Some(step) {
            shadow = Some(Shadow::of(game_type.clone(), &turn, live.get()));
        }
        if turn.result.is_some() {
            break;
        }
    }
    None
}

/// A game whose one handler is given here. Its value is JSON of any kind, its output too.
macro_rules! game {
    ($name:ident { $($(#[$attribute:meta])* $field:ident: $kind:ty),* }, |$game:ident, $ctx:ident, $number:ident| $body:expr) => {
        #[derive(Debug, Default, Serialize, Deserialize)]
        struct $name { $($(#[$attribute])* $field: $kind),* }

        impl Game for $name {
            const NAME: &'static str = "broken";
            const RULES: Rules = Rules::journaled();
            type Settings = ();
            type Input = Json<u64>;
            type Output = Json<serde_json::Value>;

            fn new((): (), _: &mut Context<'_, Self>) -> Result<Self, Refusal> {
                Ok(Self::default())
            }

            fn input(&mut self, $ctx: &mut Context<'_, Self>, _: Player, Json($number): Json<u64>) {
                let $game = self;
                $body;
            }
        }
    };
}

fn nanos() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64
}

game!(Sound { sum: u64, by_name: HashMap<String, u64> }, |game, ctx, number| {
    game.sum += number + u64::from(ctx.rng().below(6));
    // To keep a `HashMap` is no mistake, as long as nobody looks at its order.
    game.by_name.insert(number.to_string(), number);
    ctx.broadcast(serde_json::json!({"sum": game.sum}));
    ctx.wake_in(Duration::from_secs(1));
    if number == 400 {
        ctx.end(game.sum);
    }
});

#[test]
fn a_game_that_is_deterministic_is_never_accused() {
    assert_eq!(play::<Sound>(500, None), None);
    assert_eq!(play::<Sound>(500, Some(20)), None);
}

game!(Ordered { names: HashMap<u64, u64> }, |game, ctx, number| {
    for more in 0..20 {
        game.names.insert(number * 100 + more, number);
    }
    let keys: Vec<_> = game.names.keys().collect();
    ctx.broadcast(serde_json::json!({"keys": keys}));
});

#[test]
fn the_order_of_a_hash_map_is_found_in_the_message_that_shows_it() {
    let difference = play::<Ordered>(50, None).expect("it is found");
    assert_eq!((difference.step, difference.kind(), difference.restored), (Step(2), Kind::Message, None));
    let sentence = difference.to_string();
    assert!(sentence.starts_with("step 2 was played again, and message 1 at $.keys["), "{sentence}");
}

game!(Clocked { seen: Vec<u64>, at: HashMap<String, u64> }, |game, _ctx, number| {
    game.seen.push(number);
    game.at.insert("last seen".to_owned(), nanos());
});

#[test]
fn a_clock_is_found_in_the_value() {
    let difference = play::<Clocked>(50, None).expect("it is found");
    assert_eq!((difference.step, difference.kind()), (Step(2), Kind::Value));
    let sentence = difference.to_string();
    assert!(sentence.contains(r#"its value at $.at["last seen"] came out as 1"#), "{sentence}");
    assert!(sentence.contains("a clock"), "{sentence}");
}

game!(
    Forgetful {
        sum: u64,
        #[serde(skip)]
        combo: u64
    },
    |game, ctx, number| {
        game.combo += 1;
        game.sum += number;
        ctx.send(ANN, serde_json::json!({"sum": game.sum, "combo": game.combo}));
    }
);

#[test]
fn a_field_that_the_value_leaves_out_is_found_once_the_shadow_comes_from_a_snapshot() {
    let difference = play::<Forgetful>(50, None).expect("it is found");
    let Found::Message(pair) = &difference.found else { panic!("{difference}") };
    assert_eq!((&*pair.what, &*pair.live, &*pair.again), ("message 1 at $.combo", "4", "1"));
    assert_eq!((difference.step, difference.restored), (Step(5), Some(Step(4))));
    assert!(difference.to_string().contains("serde(skip)"), "{difference}");
    let taken_over = play::<Forgetful>(50, Some(9)).expect("it is found");
    assert_eq!((taken_over.step, taken_over.restored), (Step(10), Some(Step(9))));
}

// Shows what it forgot only when enough has come of it.
game!(
    LateForgetful {
        #[serde(skip)]
        combo: u64
    },
    |game, ctx, _number| {
        game.combo += 1;
        if game.combo.is_multiple_of(30) {
            ctx.broadcast(serde_json::json!("thirty in a row"));
        }
    }
);

#[test]
fn what_shows_late_is_found_late() {
    let difference = play::<LateForgetful>(500, None).expect("it is found");
    assert_eq!(difference.kind(), Kind::Message);
    assert!(difference.step >= Step(30), "{difference}");
    assert!(difference.to_string().contains("nothing instead of a reliable message to all"), "{difference}");
}

static COUNTED: AtomicU64 = AtomicU64::new(0);

game!(Counting { last: u64 }, |game, ctx, _number| {
    game.last = COUNTED.fetch_add(1, Ordering::Relaxed);
    ctx.broadcast(serde_json::json!(game.last));
});

#[test]
fn a_static_is_found() {
    let difference = play::<Counting>(50, None).expect("it is found");
    assert_eq!((difference.step, difference.kind()), (Step(2), Kind::Message));
    assert!(difference.to_string().contains("message 1 at $ came out as 2 instead of 0"), "{difference}");
}

game!(Whimsical { sum: u64 }, |game, ctx, number| {
    game.sum += number;
    ctx.wake_in(Duration::from_nanos(nanos()));
});

game!(Restless { sum: u64 }, |_game, ctx, _number| ctx.end(serde_json::json!({"at": nanos()})));

static PANICS: AtomicU64 = AtomicU64::new(0);

game!(Fragile { sum: u64 }, |_game, _ctx, _number| {
    // The game has had two inputs when its shadow gets the first.
    assert!(PANICS.fetch_add(1, Ordering::Relaxed) != 2, "the third time is too much");
});

game!(Infinite { share: f64 }, |game, _ctx, number| game.share = 1.0 / (number as f64 - 10.0));

#[test]
fn wake_up_times_results_panics_and_values_that_can_not_be_read_are_found() {
    let found = |difference: Option<Difference>, step: u64, kind: Kind, words: &str| {
        let difference = difference.expect("it is found");
        assert_eq!((difference.step, difference.kind()), (Step(step), kind), "{difference}");
        assert!(difference.to_string().contains(words), "{difference}");
    };
    found(play::<Whimsical>(50, None), 2, Kind::Wake, "its wake-up time came out as");
    // The last step has none after it, and is compared at once.
    found(play::<Restless>(50, None), 2, Kind::Result, "the game's result at $.at came out as");
    found(play::<Fragile>(50, None), 2, Kind::Panic, "panicked: the third time is too much, at ");
    // JSON has no infinity: it becomes `null`, which is no number.
    found(play::<Infinite>(11, Some(10)), 10, Kind::Snapshot, "invalid type: null");
}

game!(Large { rows: Vec<u64>, at: u64 }, |game, _ctx, number| {
    if game.rows.is_empty() {
        game.rows = vec![1_000_000; 10_000];
    }
    if number == 30 {
        game.at = nanos();
    }
});

#[test]
fn a_large_value_is_compared_now_and_then() {
    // 80 KB: each twentieth step, and what differs stays.
    let difference = play::<Large>(100, None).expect("it is found");
    assert_eq!(difference.kind(), Kind::Value);
    assert!((Step(31)..Step(60)).contains(&difference.step), "{difference}");
}

/// A round of a game whose steps look at the clock.
#[derive(Debug, Serialize, Deserialize)]
struct Ticking(u64);

impl Game for Ticking {
    const NAME: &'static str = "ticking";
    const RULES: Rules = Rules::journaled().fixed_steps(20);
    type Settings = ();
    type Input = Bytes;
    type Output = Bytes;

    fn new((): (), _: &mut Context<'_, Self>) -> Result<Self, Refusal> {
        Ok(Self(0))
    }

    fn input(&mut self, _: &mut Context<'_, Self>, _: Player, _: Bytes) {}

    fn step(&mut self, ctx: &mut Context<'_, Self>) {
        self.0 = nanos();
        ctx.broadcast_state(Bytes::copy_from_slice(&self.0.to_be_bytes()));
    }
}

/// How many differences a server tells that runs two such games for a second.
fn told_by_a_host(self_check: SelfCheck) -> u64 {
    let incarnation = Incarnation::random();
    let owner = Owner { slot: Slot::new(ServerKind::Game, 0), incarnation, epoch: Epoch(1) };
    let types = GameTypes::new().with::<Ticking>();
    let policy = JournalPolicy { self_check, ..JournalPolicy::default() };
    let mut host = GameHost::new(Arc::new(types), incarnation, policy, 1);
    let mut fx = Effects::default();
    host.handle(Now::default(), HostEvent::Joined(owner.slot), &mut fx);
    for room in 0..2 {
        let mut order = TestGame::<Ticking>::new("", &["Ann", "Bob"]).unwrap().recording().order;
        order.id.room = RoomId(room);
        let id = order.id;
        let record = GameRecord { order, owner, outcome: None };
        let saved = SavedGame { record, attempts: 0, journal: SavedJournal::default() };
        host.handle(Now::default(), HostEvent::Placed(id), &mut fx);
        host.handle(Now::default(), HostEvent::Loaded(id, Ok(Some(saved))), &mut fx);
    }
    let clock = || Now::default();
    for tick in 0..20 {
        let now = Now(Duration::from_millis(50 * tick));
        host.advance(now, &Budget::new(&clock, now + Duration::from_secs(1)), &mut fx);
    }
    assert!(fx.stats.steps > 10, "they are played");
    fx.stats.differences
}

#[test]
fn a_server_that_checks_tells_it_once_and_one_that_does_not_says_nothing() {
    assert_eq!(told_by_a_host(SelfCheck::On), 1);
    assert_eq!(told_by_a_host(SelfCheck::Off), 0);
}

#[test]
fn each_kind_of_difference_is_told_once_for_a_game_type() {
    let mut findings = Findings::default();
    let game = GameId { room: RoomId(1), round: Round(1) };
    let (one, other) = ("one".parse().unwrap(), "other".parse().unwrap());
    let clock = play::<Clocked>(50, None).unwrap();
    let skipped = play::<Forgetful>(50, None).unwrap();
    let told = [(&one, &clock), (&one, &clock), (&one, &skipped), (&other, &clock)];
    assert_eq!(
        told.map(|(game_type, difference)| findings.note(game, game_type, difference)),
        [true, false, true, true]
    );
}
