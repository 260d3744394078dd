use std::time::Duration;

use pintail_game::testing::{TestGame, assert_deterministic};

use super::*;

const ANN: Player = Player::new(0);
const BOB: Player = Player::new(1);
const EVE: Player = Player::new(2);
const NAMES: [&str; 3] = ["Ann", "Bob", "Eve"];
const STEP: Duration = Duration::from_millis(50);

/// A game that everyone joined.
fn started(settings: &str) -> TestGame<Arena> {
    let mut game = TestGame::new(settings, &NAMES).unwrap();
    game.attach_all();
    game.step();
    game.clear();
    game
}

/// An arena without walls, with Ann and Bob in a line, 100 apart, and Eve far away. Runs handlers on its own value.
fn duel(score_to_win: u16) -> Arena {
    let at = |player, x, y| Fighter { at: Some(Vector { x, y }), health: HEALTH, ..Fighter::new(player) };
    Arena {
        world: World { size: 1000, walls: Vec::new() },
        fighters: vec![at(ANN, 100, 100), at(BOB, 200, 100), at(EVE, 900, 900)],
        shots: Vec::new(),
        steps_left: 10_000,
        score_to_win,
    }
}

fn playing(arena: &Arena) -> TestGame<Arena> {
    let mut game = TestGame::of(arena, &NAMES);
    game.step();
    game.clear();
    game
}

fn last_frame(game: &mut TestGame<Arena>, player: Player) -> Frame {
    match game.take_states(player).pop() {
        Some(Postcard(Output::Frame(frame))) => frame,
        other => panic!("{other:?}"),
    }
}

fn place(game: &TestGame<Arena>, player: Player) -> Option<Vector> {
    game.game().fighters[player.index()].at
}

fn outcome(game: &TestGame<Arena>) -> Outcome {
    serde_json::from_value(game.result().expect("the round is over")).unwrap()
}

#[test]
fn everyone_is_told_the_arena_once_and_every_step_a_frame() {
    let mut game = TestGame::<Arena>::new("", &NAMES).unwrap();
    game.attach(ANN);
    game.advance(STEP * 3);
    let [Postcard(Output::Arena { you, size: 1000, names, .. })] = &game.take(ANN)[..] else { panic!() };
    assert_eq!((*you, names.len()), (ANN, 3));
    let frames = game.take_states(ANN);
    assert_eq!(frames.len(), 3);
    assert!(game.take_states(BOB).is_empty(), "no states for one who is not there");
    assert!(matches!(&frames[2], Postcard(Output::Frame(frame)) if frame.fighters.len() == 1));
}

#[test]
fn fighters_keep_moving_until_told_otherwise() {
    let mut game = playing(&duel(10));
    game.input(ANN, Input::Move { x: 0, y: 500 });
    game.advance(STEP * 5);
    assert_eq!(place(&game, ANN), Some(Vector { x: 100, y: 100 + 5 * SPEED }));
    game.input(ANN, Input::Move { x: 0, y: 0 });
    game.advance(STEP * 5);
    assert_eq!(place(&game, ANN), Some(Vector { x: 100, y: 100 + 5 * SPEED }));
    game.input(ANN, Input::Move { x: -1, y: 0 });
    game.advance(STEP * 50);
    assert!(place(&game, ANN).unwrap().x < FIGHTER_RADIUS + SPEED, "the border holds");
    game.input(BOB, Input::Move { x: 0, y: 1 });
    game.step();
    game.detach(BOB);
    game.advance(STEP * 2);
    let rest = place(&game, BOB);
    game.advance(STEP * 5);
    assert_eq!(place(&game, BOB), rest, "who is away stands still");
}

#[test]
fn shots_have_a_cooldown_hit_kill_and_score() {
    let mut game = playing(&duel(10));
    for _ in 0..3 {
        game.input(ANN, Input::Shoot { x: 7, y: 0 });
        game.input(ANN, Input::Shoot { x: 7, y: 0 });
        game.advance(STEP * u32::from(COOLDOWN_STEPS));
    }
    let hit = |health| Postcard(Output::Hit { shooter: ANN, victim: BOB, health });
    let kill = Postcard(Output::Kill { shooter: ANN, victim: BOB, score: 1 });
    assert_eq!(game.take(EVE), [hit(2), hit(1), kill], "the second shot of each pair came too early");
    assert_eq!(place(&game, BOB), None);
    assert_eq!(last_frame(&mut game, EVE).fighters.len(), 2);
    game.input(BOB, Input::Shoot { x: 1, y: 0 });
    game.advance(STEP * u32::from(RESPAWN_STEPS));
    assert!(game.game().shots.is_empty(), "who is out can't shoot");
    assert!(place(&game, BOB).is_some());
    assert_eq!(game.game().fighters[BOB.index()].health, HEALTH);
}

#[test]
fn shots_end_at_walls_and_far_away() {
    let mut arena = duel(10);
    arena.world.walls.push(Wall { at: Vector { x: 130, y: 0 }, size: Vector { x: 40, y: 500 } });
    let mut game = playing(&arena);
    game.input(ANN, Input::Shoot { x: 1, y: 0 });
    game.step();
    game.step();
    assert!(game.game().shots.is_empty());
    assert!(game.take(BOB).is_empty());
    game.advance(STEP * u32::from(COOLDOWN_STEPS));
    game.input(ANN, Input::Shoot { x: 0, y: 1 });
    game.advance(STEP * (u32::from(SHOT_STEPS) - 1));
    assert_eq!(game.game().shots.len(), 1);
    game.step();
    assert!(game.game().shots.is_empty());
}

#[test]
fn the_score_to_win_ends_the_round() {
    let mut game = playing(&duel(1));
    for _ in 0..3 {
        game.input(ANN, Input::Shoot { x: 1, y: 0 });
        game.advance(STEP * u32::from(COOLDOWN_STEPS));
    }
    let outcome = outcome(&game);
    assert_eq!((outcome.by, &outcome.winners[..]), (EndedBy::Score, &[ANN][..]));
    assert_eq!(outcome.scores.iter().map(|score| score.score).collect::<Vec<_>>(), [1, 0, 0]);
    assert_eq!(game.take(BOB).last(), Some(&Postcard(Output::Over(outcome))));
}

#[test]
fn time_ends_the_round_and_equals_share_it() {
    let mut game = started(r#"{"round_seconds": 10}"#);
    game.advance(Duration::from_millis(9_900));
    assert_eq!(game.result(), None);
    game.advance(STEP);
    let outcome = outcome(&game);
    assert_eq!((outcome.by, &outcome.winners[..]), (EndedBy::Time, &[ANN, BOB, EVE][..]));
}

#[test]
fn the_last_one_standing_wins() {
    let mut game = started("");
    game.leave(ANN, LeaveReason::LeftRoom);
    game.step();
    assert_eq!(game.result(), None);
    game.leave(EVE, LeaveReason::TimedOut);
    game.step();
    let outcome = outcome(&game);
    assert_eq!((outcome.by, &outcome.winners[..]), (EndedBy::Departure, &[BOB][..]));
}

#[test]
fn settings_have_bounds() {
    for settings in [
        r#"{"round_seconds": 9}"#,
        r#"{"round_seconds": 601}"#,
        r#"{"score_to_win": 0}"#,
        r#"{"score_to_win": 101}"#,
        r#"{"size": 499}"#,
        r#"{"size": 4001}"#,
        r#"{"speed": 9}"#,
    ] {
        assert!(TestGame::<Arena>::new(settings, &NAMES).is_err(), "{settings}");
    }
    for size in [500, 4000] {
        assert!(TestGame::<Arena>::new(&format!("{{\"size\": {size}}}"), &["x"; 16]).is_ok());
    }
    assert!(TestGame::<Arena>::new("", &["x"; 17]).is_err());
}

#[test]
fn extreme_and_unreadable_inputs_do_no_harm() {
    let mut game = playing(&duel(10));
    for (x, y) in [(i16::MIN, i16::MIN), (i16::MAX, 0), (0, i16::MIN)] {
        game.input(ANN, Input::Move { x, y });
        game.input(BOB, Input::Shoot { x, y });
        game.advance(STEP * 20);
    }
    game.input_bytes(EVE, vec![9, 9, 9]);
    game.input_bytes(EVE, "");
    game.step();
    assert_eq!(game.unreadable(), [EVE, EVE]);
}

#[test]
fn it_is_deterministic() {
    assert_deterministic::<Arena>(r#"{"round_seconds": 20, "size": 500}"#, &NAMES, |game| {
        game.attach_all();
        for number in 0..200_i16 {
            let player = Player::new(number.unsigned_abs() % 3);
            game.input(player, Input::Move { x: number % 7 - 3, y: number % 5 - 2 });
            game.input(player, Input::Shoot { x: number % 11 - 5, y: number % 3 - 1 });
            game.advance(STEP);
        }
        game.detach(ANN);
        game.resync(BOB);
        game.advance(Duration::from_secs(30));
    });
}
