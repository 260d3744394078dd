use pintail_game::testing::{TestGame, assert_deterministic};
use serde_json::json;

use super::*;

const NAMES: [&str; 2] = ["Ann", "Bob"];

/// A game that both joined, who moves first, and who second.
fn started(settings: &str) -> (TestGame<Gomoku>, Player, Player) {
    let mut game = TestGame::<Gomoku>::new(settings, &NAMES).unwrap();
    game.attach_all();
    game.clear();
    let black = game.game().black;
    (game, black, other(black))
}

fn place(x: u8, y: u8) -> Input {
    Input::Place(Point { x, y })
}

fn refused(reason: RefusedReason) -> [Json<Output>; 1] {
    [Json(Output::Refused { reason })]
}

fn outcome(game: &TestGame<Gomoku>) -> Outcome {
    serde_json::from_value(game.result().expect("the game is over")).unwrap()
}

#[test]
fn messages_are_plain_json() {
    assert_eq!(serde_json::to_value(place(3, 4)).unwrap(), json!({ "do": "place", "x": 3, "y": 4 }));
    assert_eq!(serde_json::to_value(Input::Resign).unwrap(), json!({ "do": "resign" }));
    let refused = Output::Refused { reason: RefusedReason::NotYourTurn };
    assert_eq!(serde_json::to_value(refused).unwrap(), json!({ "event": "refused", "reason": "not_your_turn" }));
}

#[test]
fn each_player_is_told_the_position_and_both_the_start() {
    let mut game = TestGame::<Gomoku>::new("", &NAMES).unwrap();
    let [ann, bob] = [Player::new(0), Player::new(1)];
    game.attach(ann);
    assert!(
        matches!(&game.take(ann)[..], [Json(Output::Position(Position { you, left_ms: None, .. }))] if *you == ann)
    );
    game.input(ann, place(0, 0));
    assert_eq!(game.take(ann), refused(RefusedReason::NotStarted));
    game.attach(bob);
    let turn = game.game().turn;
    assert_eq!(game.take(ann), [Json(Output::Started { turn })]);
    assert_eq!(game.take(bob).len(), 2);
}

#[test]
fn who_begins_is_a_matter_of_chance() {
    let blacks: Vec<_> =
        (0..50).map(|seed| TestGame::<Gomoku>::with_seed(seed, "", &NAMES).unwrap().game().black.index()).collect();
    assert!((10..40).contains(&blacks.iter().sum::<usize>()), "{blacks:?}");
}

#[test]
fn turns_alternate_and_wrong_moves_are_refused_to_the_mover_alone() {
    let (mut game, black, white) = started("");
    game.input(white, place(7, 7));
    assert_eq!(game.take(white), refused(RefusedReason::NotYourTurn));
    game.input(black, place(7, 7));
    let placed = Json(Output::Placed { player: black, point: Point { x: 7, y: 7 }, turn: white });
    assert_eq!([game.take(black), game.take(white)], [[placed.clone()], [placed]]);
    game.input(black, place(8, 8));
    assert_eq!(game.take(black), refused(RefusedReason::NotYourTurn));
    game.input(white, place(7, 7));
    assert_eq!(game.take(white), refused(RefusedReason::Occupied));
    game.input(white, place(15, 0));
    assert_eq!(game.take(white), refused(RefusedReason::OffBoard));
    assert!(game.take(black).is_empty());
    assert_eq!(game.game().turn, white, "a refused move costs no turn");
}

#[test]
fn five_in_a_row_win() {
    let (mut game, black, white) = started("");
    for x in 0..5 {
        assert_eq!(game.result(), None);
        game.input(black, place(x, 0));
        game.input(white, place(x, 1));
    }
    let outcome = outcome(&game);
    assert_eq!((outcome.winner, outcome.by, outcome.moves), (Some(black), Decision::Row, 9));
    assert_eq!(outcome.row.len(), 5);
    assert_eq!(outcome.winner_name, NAMES[black.index()]);
    assert_eq!(game.take(white).last(), Some(&Json(Output::Over(outcome))));
}

#[test]
fn resigning_and_leaving_lose_at_any_time() {
    let (mut game, black, white) = started("");
    game.input(white, Input::Resign);
    assert_eq!((outcome(&game).winner, outcome(&game).by), (Some(black), Decision::Resignation));

    let mut game = TestGame::<Gomoku>::new("", &NAMES).unwrap();
    game.leave(Player::new(0), LeaveReason::TimedOut);
    assert_eq!((outcome(&game).winner, outcome(&game).by), (Some(Player::new(1)), Decision::Departure));
}

#[test]
fn the_clock_starts_anew_with_each_move_and_decides_when_it_runs_out() {
    let (mut game, black, white) = started(r#"{"move_seconds": 10}"#);
    game.advance(Duration::from_millis(9_999));
    game.input(black, place(0, 0));
    game.advance(Duration::from_millis(9_999));
    assert_eq!(game.result(), None);
    game.input(black, place(0, 1));
    game.advance(Duration::from_millis(1));
    assert_eq!((outcome(&game).winner, outcome(&game).by), (Some(black), Decision::Time));
    assert!(matches!(game.take(white).last(), Some(Json(Output::Over(_)))));
}

#[test]
fn no_clock_runs_before_both_are_there() {
    let mut game = TestGame::<Gomoku>::new("", &NAMES).unwrap();
    game.attach(Player::new(0));
    game.advance(Duration::from_secs(100_000));
    assert_eq!(game.result(), None);
}

#[test]
fn a_player_who_missed_messages_gets_the_whole_position() {
    let (mut game, black, white) = started(r#"{"move_seconds": 30, "size": 9}"#);
    game.input(black, place(4, 4));
    game.advance(Duration::from_secs(12));
    game.clear();
    game.resync(black);
    let position = Position {
        you: black,
        black,
        size: 9,
        stones: vec![Point { x: 4, y: 4 }],
        turn: white,
        move_ms: 30_000,
        left_ms: Some(18_000),
    };
    assert_eq!(game.take(black), [Json(Output::Position(position))]);
    assert!(game.take(white).is_empty());
}

#[test]
fn settings_have_bounds() {
    for settings in [
        r#"{"size": 8}"#,
        r#"{"size": 20}"#,
        r#"{"size": -1}"#,
        r#"{"move_seconds": 4}"#,
        r#"{"move_seconds": 3601}"#,
        r#"{"sise": 15}"#,
    ] {
        assert!(TestGame::<Gomoku>::new(settings, &NAMES).is_err(), "{settings}");
    }
    assert!(TestGame::<Gomoku>::new(r#"{"size": 19, "move_seconds": 3600}"#, &NAMES).is_ok());
    assert!(TestGame::<Gomoku>::new("", &["Ann"]).is_err());
}

#[test]
fn rubbish_is_no_move() {
    let (mut game, black, _) = started("");
    for rubbish in ["", "{}", r#"{"do":"place","x":-1,"y":0}"#, r#"{"do":"place","x":1}"#, "\u{0}"] {
        game.input_bytes(black, rubbish);
    }
    assert_eq!(game.unreadable(), vec![black; 5]);
    assert!(game.game().board.stones().is_empty());
}

#[test]
fn it_is_deterministic() {
    assert_deterministic::<Gomoku>(r#"{"size": 9, "move_seconds": 20}"#, &NAMES, |game| {
        game.attach_all();
        for number in 0..40_u8 {
            game.input(Player::new(u16::from(number % 2)), place(number % 9, number / 5));
            game.advance(Duration::from_millis(777));
        }
        game.detach(Player::new(0));
        game.attach(Player::new(0));
        game.resync(Player::new(1));
        game.advance(Duration::from_secs(60));
    });
}
