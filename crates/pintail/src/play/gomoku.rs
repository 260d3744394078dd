//! Gomoku: a board of letters, moves typed like `h8`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use pintail_game::{Json, Payload, Player};
use pintail_gomoku::{Decision, Input, Outcome, Output, Point, Position, RefusedReason};

use super::view::{GameView, Typed};
use crate::output::printable;

/// When the player is reminded of the clock.
const REMINDER: Duration = Duration::from_secs(10);

/// The view of a game of gomoku.
#[derive(Default)]
pub(crate) struct GomokuView {
    position: Option<Position>,
    /// When the move that is due must be made; not known before both players are there.
    deadline: Option<Instant>,
    reminded: bool,
    over: bool,
}

impl GameView for GomokuView {
    fn message(&mut self, payload: &Bytes, now: Instant) -> Vec<String> {
        let Ok(Json(output)) = Json::<Output>::decode(payload) else {
            return vec![
                "the game said something that this program does not know: is it of the same version?".to_owned(),
            ];
        };
        match (output, &mut self.position) {
            (Output::Position(position), _) => self.take_position(position, now),
            (Output::Refused { reason }, _) => vec![refusal(reason).to_owned()],
            (Output::Over(outcome), position) => {
                self.over = true;
                end(&outcome, position.as_ref())
            }
            (Output::Started { turn }, Some(position)) => {
                position.turn = turn;
                self.start_clock(now);
                self.draw(now)
            }
            (Output::Placed { point, turn, .. }, Some(position)) => {
                position.stones.push(point);
                position.turn = turn;
                self.start_clock(now);
                self.draw(now)
            }
            // The game sends the position first.
            (Output::Started { .. } | Output::Placed { .. }, None) => Vec::new(),
        }
    }

    fn typed(&mut self, line: &str, _: Instant) -> Typed {
        let Some(position) = &self.position else {
            return Typed::say("the game has not begun yet");
        };
        if line.eq_ignore_ascii_case("resign") {
            return Typed::Send(Json(Input::Resign).encode());
        }
        match parse_point(line, position.size) {
            Some(point) => Typed::Send(Json(Input::Place(point)).encode()),
            None => {
                let last = point_name(Point { x: position.size.saturating_sub(1), y: 0 }, position.size);
                Typed::say(format!("`{}` is no move: type one from a1 to {last}, or `resign`", printable(line)))
            }
        }
    }

    fn refresh(&mut self, now: Instant) -> Vec<String> {
        let (Some(position), Some(deadline)) = (&self.position, self.deadline) else { return Vec::new() };
        let left = deadline.saturating_duration_since(now);
        if self.over || self.reminded || position.turn != position.you || left > REMINDER {
            return Vec::new();
        }
        self.reminded = true;
        vec![format!("{} s left for your move", left.as_secs())]
    }

    fn help(&self) -> &'static str {
        "type a move like h8, or `resign`"
    }

    fn has_told_end(&self) -> bool {
        self.over
    }
}

impl GomokuView {
    fn take_position(&mut self, position: Position, now: Instant) -> Vec<String> {
        self.deadline = position.left_ms.and_then(|left| now.checked_add(Duration::from_millis(left)));
        let begun = self.deadline.is_some();
        self.position = Some(position);
        if begun { self.draw(now) } else { vec!["waiting for the other player to come".to_owned()] }
    }

    fn start_clock(&mut self, now: Instant) {
        self.reminded = false;
        let move_ms = self.position.as_ref().map(|position| position.move_ms);
        self.deadline = move_ms.and_then(|allowed| now.checked_add(Duration::from_millis(allowed)));
    }

    fn draw(&self, now: Instant) -> Vec<String> {
        let Some(position) = &self.position else { return Vec::new() };
        let mut lines = board(position.size, &position.stones);
        let left =
            self.deadline.map_or(0, |deadline| deadline.saturating_duration_since(now).as_secs_f64().round() as u64);
        let you = stone_of(position.you, position);
        lines.push(if position.turn == position.you {
            format!("you are {you}: your turn, {left} s; type a move like h8, or `resign`")
        } else {
            format!("you are {you}: the other player's turn, {left} s")
        });
        lines
    }
}

/// Black moves first.
const STONES: [char; 2] = ['X', 'O'];

fn stone_of(player: Player, position: &Position) -> char {
    STONES[usize::from(player != position.black)]
}

/// The board as lines. Columns are letters from the left, rows are numbers from the bottom; the last stone stands in
/// brackets.
fn board(size: u8, stones: &[Point]) -> Vec<String> {
    let letters: String = (0..size).map(|x| format!(" {}", column_name(x))).collect();
    let mut lines = vec![format!("   {letters}")];
    for y in 0..size {
        let number = size - y;
        let mut line = format!("{number:>3}");
        for x in 0..=size {
            let is_last = |x: u8| stones.last() == Some(&Point { x, y });
            line.push(match x {
                _ if is_last(x) => '(',
                1.. if is_last(x - 1) => ')',
                _ => ' ',
            });
            if x < size {
                let stone = stones.iter().position(|&stone| stone == Point { x, y });
                line.push(stone.map_or('.', |turn| STONES[turn % 2]));
            }
        }
        lines.push(format!("{line} {number}"));
    }
    lines.push(format!("   {letters}"));
    lines
}

fn column_name(x: u8) -> char {
    char::from(b'a' + x % 26)
}

fn point_name(point: Point, size: u8) -> String {
    format!("{}{}", column_name(point.x), size.saturating_sub(point.y))
}

/// A move like `h8`.
fn parse_point(text: &str, size: u8) -> Option<Point> {
    let mut characters = text.chars();
    let letter = characters.next()?.to_ascii_lowercase();
    let x = u8::try_from(letter).ok()?.checked_sub(b'a').filter(|&x| x < size)?;
    let digits = characters.as_str();
    let row: u8 = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
    (1..=size).contains(&row).then(|| Point { x, y: size - row })
}

fn refusal(reason: RefusedReason) -> &'static str {
    match reason {
        RefusedReason::NotStarted => "the other player has not come yet: wait a moment",
        RefusedReason::NotYourTurn => "it is the other player's turn",
        RefusedReason::Occupied => "there is a stone already: type another move",
        RefusedReason::OffBoard => "the board has no such crossing: type another move",
    }
}

fn end(outcome: &Outcome, position: Option<&Position>) -> Vec<String> {
    let size = position.map_or(0, |position| position.size);
    let row: Vec<_> = outcome.row.iter().map(|&point| point_name(point, size)).collect();
    let how = match outcome.by {
        Decision::Row => format!("with {} in a row: {}", row.len(), row.join(" ")),
        Decision::FullBoard => "the board is full".to_owned(),
        Decision::Resignation => "by resignation".to_owned(),
        Decision::Time => "on time".to_owned(),
        Decision::Departure => "because the other player left".to_owned(),
    };
    let winner = printable(&outcome.winner_name);
    vec![match outcome.winner {
        None => format!("the game is a draw: {how}"),
        Some(player) if position.is_some_and(|position| position.you == player) => format!("you win {how}"),
        Some(_) => format!("you lose: {winner} wins {how}"),
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(you: u16, left_ms: Option<u64>) -> Output {
        Output::Position(Position {
            you: Player::new(you),
            black: Player::new(0),
            size: 9,
            stones: Vec::new(),
            turn: Player::new(0),
            move_ms: 60_000,
            left_ms,
        })
    }

    fn tell(view: &mut GomokuView, output: Output, now: Instant) -> Vec<String> {
        view.message(&Json(output).encode(), now)
    }

    #[test]
    fn moves_are_read_from_the_bottom_left() {
        assert_eq!(parse_point("a1", 15), Some(Point { x: 0, y: 14 }));
        assert_eq!(parse_point("H8", 15), Some(Point { x: 7, y: 7 }));
        assert_eq!(parse_point("o15", 15), Some(Point { x: 14, y: 0 }));
        for wrong in ["", "a", "a0", "a16", "p1", "8h", "a+1", "a1 ", "aa", "é1", "a999"] {
            assert_eq!(parse_point(wrong, 15), None, "{wrong}");
        }
        for name in ["a1", "i9", "e5"] {
            assert_eq!(point_name(parse_point(name, 9).unwrap(), 9), name);
        }
    }

    #[test]
    fn the_board_shows_stones_and_the_last_of_them_in_brackets() {
        let lines = board(9, &[parse_point("e5", 9).unwrap(), parse_point("i1", 9).unwrap()]);
        assert_eq!(lines[0], "    a b c d e f g h i");
        assert_eq!(lines[5], "  5 . . . . X . . . .  5");
        assert_eq!(lines[9], "  1 . . . . . . . .(O) 1");
        assert_eq!(lines.len(), 11);
        assert_eq!(board(9, &[parse_point("a9", 9).unwrap()])[1], "  9(X). . . . . . . .  9");
    }

    #[test]
    fn a_game_is_told_from_its_start_to_its_end() {
        let (mut view, now) = (GomokuView::default(), Instant::now());
        assert!(matches!(view.typed("e5", now), Typed::Say(_)), "there is no game yet");
        assert_eq!(tell(&mut view, position(0, None), now), ["waiting for the other player to come"]);
        let lines = tell(&mut view, Output::Started { turn: Player::new(0) }, now);
        assert_eq!(lines.last().unwrap(), "you are X: your turn, 60 s; type a move like h8, or `resign`");
        let point = Point { x: 4, y: 4 };
        assert_eq!(view.typed("e5", now), Typed::Send(Json(Input::Place(point)).encode()));
        let placed = Output::Placed { player: Player::new(0), point, turn: Player::new(1) };
        let lines = tell(&mut view, placed, now);
        assert_eq!(lines[5], "  5 . . . .(X). . . .  5");
        assert_eq!(lines.last().unwrap(), "you are X: the other player's turn, 60 s");
        let outcome = Outcome {
            winner: Some(Player::new(1)),
            winner_name: "Bob".to_owned(),
            by: Decision::Row,
            row: vec![point; 5],
            moves: 10,
        };
        assert!(!view.has_told_end());
        assert_eq!(tell(&mut view, Output::Over(outcome), now), ["you lose: Bob wins with 5 in a row: e5 e5 e5 e5 e5"]);
        assert!(view.has_told_end());
    }

    #[test]
    fn the_clock_is_told_once_and_only_to_the_player_whose_turn_it_is() {
        let now = Instant::now();
        for (you, reminded) in [(0, true), (1, false)] {
            let mut view = GomokuView::default();
            tell(&mut view, position(you, Some(30_000)), now);
            assert!(view.refresh(now).is_empty());
            let late = now + Duration::from_secs(21);
            assert_eq!(view.refresh(late), if reminded { vec!["9 s left for your move"] } else { vec![] });
            assert!(view.refresh(late).is_empty());
        }
    }

    #[test]
    fn rubbish_is_told_and_does_no_harm() {
        let mut view = GomokuView::default();
        assert_eq!(view.message(&"rubbish".into(), Instant::now()).len(), 1);
        assert!(tell(&mut view, Output::Started { turn: Player::new(9) }, Instant::now()).is_empty());
    }
}
