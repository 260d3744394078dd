//! Arena: the field as a grid of characters, drawn once a second.

use std::time::{Duration, Instant};

use bytes::Bytes;
use pintail_arena::{Frame, Input, Outcome, Output, STEPS_PER_SECOND, Vector, Wall};
use pintail_game::{Payload, Player, Postcard};

use super::view::{GameView, Typed};
use crate::output::printable;

/// How often the field is drawn. A terminal that scrolls is hard to read faster.
const REDRAW: Duration = Duration::from_secs(1);

/// How many characters the field has. Characters are about twice as high as wide.
const COLUMNS: i32 = 50;
const ROWS: i32 = 25;

/// The view of a round of arena.
#[derive(Default)]
pub(crate) struct ArenaView {
    field: Option<Field>,
    frame: Option<Frame>,
    drawn: Option<Instant>,
    over: bool,
}

struct Field {
    you: Player,
    size: i32,
    walls: Vec<Wall>,
    names: Vec<String>,
    scores: Vec<u16>,
    score_to_win: u16,
}

impl Field {
    fn name(&self, player: Player) -> String {
        if player == self.you {
            return "you".to_owned();
        }
        self.names.get(player.index()).map_or_else(|| format!("player {player}"), |name| printable(name))
    }
}

impl GameView for ArenaView {
    fn message(&mut self, payload: &Bytes, _: Instant) -> Vec<String> {
        let Ok(Postcard(output)) = Postcard::<Output>::decode(payload) else {
            return vec![
                "the game said something that this program does not know: is it of the same version?".to_owned(),
            ];
        };
        match (output, &mut self.field) {
            (Output::Arena { you, size, walls, names, scores, score_to_win }, field) => {
                let size = size.max(1);
                *field = Some(Field { you, size, walls, names, scores, score_to_win });
                vec![format!("who has {score_to_win} kills first wins; {}", self.help())]
            }
            (Output::Hit { shooter, victim, health }, Some(field)) => {
                vec![format!("{} hit {} ({health} left)", field.name(shooter), field.name(victim))]
            }
            (Output::Kill { shooter, victim, score }, Some(field)) => {
                if let Some(kept) = field.scores.get_mut(shooter.index()) {
                    *kept = score;
                }
                vec![format!(
                    "{} killed {}: {score} of {}",
                    field.name(shooter),
                    field.name(victim),
                    field.score_to_win
                )]
            }
            (Output::Over(outcome), field) => {
                self.over = true;
                end(&outcome, field.as_ref().map(|field| field.you))
            }
            (Output::Frame(frame), _) => {
                self.frame = Some(frame);
                Vec::new()
            }
            // The game sends the arena first.
            (Output::Hit { .. } | Output::Kill { .. }, None) => Vec::new(),
        }
    }

    fn state(&mut self, payload: &Bytes) {
        if let Ok(Postcard(Output::Frame(frame))) = Postcard::<Output>::decode(payload) {
            self.frame = Some(frame);
        }
    }

    fn typed(&mut self, line: &str, _: Instant) -> Typed {
        let mut words = line.split_whitespace();
        let input = match (words.next(), words.next(), words.next()) {
            (Some("stop" | "x"), None, _) => Some(Input::Move { x: 0, y: 0 }),
            (Some("fire" | "f"), None, _) => match self.towards_nearest() {
                Some((x, y)) => Some(Input::Shoot { x, y }),
                None => return Typed::say("there is nobody to fire at now"),
            },
            (Some("fire" | "f"), Some(way), None) => direction(way).map(|(x, y)| Input::Shoot { x, y }),
            (Some(way), None, _) => direction(way).map(|(x, y)| Input::Move { x, y }),
            _ => None,
        };
        match input {
            Some(input) => Typed::Send(Postcard(input).encode()),
            None => Typed::say(self.help()),
        }
    }

    fn refresh(&mut self, now: Instant) -> Vec<String> {
        let (Some(field), Some(frame)) = (&self.field, &self.frame) else { return Vec::new() };
        if self.over || self.drawn.is_some_and(|drawn| now.duration_since(drawn) < REDRAW) {
            return Vec::new();
        }
        self.drawn = Some(now);
        draw(field, frame)
    }

    fn help(&self) -> &'static str {
        "move with w a s d (also wa, sd, …), `stop`; `fire` at the nearest, or `fire d` that way"
    }

    fn has_told_end(&self) -> bool {
        self.over
    }
}

impl ArenaView {
    /// The way to the nearest other fighter.
    fn towards_nearest(&self) -> Option<(i16, i16)> {
        let (field, frame) = (self.field.as_ref()?, self.frame.as_ref()?);
        let own = frame.fighters.iter().find(|fighter| fighter.player == field.you)?.at;
        let way = |at: Vector| (at.x.saturating_sub(own.x), at.y.saturating_sub(own.y));
        let others = frame.fighters.iter().filter(|fighter| fighter.player != field.you).map(|fighter| way(fighter.at));
        let (x, y) = others.min_by_key(|&(x, y)| i64::from(x).pow(2) + i64::from(y).pow(2))?;
        Some((i16::try_from(x).ok()?, i16::try_from(y).ok()?))
    }
}

/// A way such as `w` or `sd`.
fn direction(text: &str) -> Option<(i16, i16)> {
    if text.is_empty() || text.len() > 2 {
        return None;
    }
    text.chars().try_fold((0, 0), |(x, y), key| match key.to_ascii_lowercase() {
        'w' => Some((x, y - 1)),
        'a' => Some((x - 1, y)),
        's' => Some((x, y + 1)),
        'd' => Some((x + 1, y)),
        _ => None,
    })
}

fn draw(field: &Field, frame: &Frame) -> Vec<String> {
    let mut grid = Grid::new(field.size);
    for wall in &field.walls {
        grid.fill(wall);
    }
    frame.shots.iter().for_each(|&shot| grid.put(shot, '*'));
    for fighter in &frame.fighters {
        grid.put(fighter.at, if fighter.player == field.you { '@' } else { letter(fighter.player) });
    }
    let mut lines = grid.lines();
    let players = field.scores.iter().enumerate().map(|(seat, score)| {
        let player = Player::new(u16::try_from(seat).unwrap_or(u16::MAX));
        let mark = if player == field.you { '@' } else { letter(player) };
        format!("{mark} {} {score}", field.name(player))
    });
    let seconds = frame.steps_left / u32::from(STEPS_PER_SECOND);
    lines.push(format!("{seconds} s left   {}", players.collect::<Vec<_>>().join("   ")));
    lines
}

fn letter(player: Player) -> char {
    // The rest of a division by 26 fits.
    char::from(b'A' + (player.index() % 26) as u8)
}

/// The field as characters.
struct Grid {
    size: i32,
    cells: Vec<char>,
}

impl Grid {
    fn new(size: i32) -> Self {
        Self { size, cells: vec!['.'; (COLUMNS * ROWS) as usize] }
    }

    fn put(&mut self, at: Vector, mark: char) {
        let cell = |place: i32, count: i32| {
            let cell = (i64::from(place) * i64::from(count)).div_euclid(i64::from(self.size));
            i32::try_from(cell).ok().filter(|cell| (0..count).contains(cell))
        };
        if let (Some(x), Some(y)) = (cell(at.x, COLUMNS), cell(at.y, ROWS)) {
            self.cells[(y * COLUMNS + x) as usize] = mark;
        }
    }

    fn fill(&mut self, wall: &Wall) {
        for row in 0..ROWS {
            for column in 0..COLUMNS {
                let at = Vector { x: self.centre(column, COLUMNS), y: self.centre(row, ROWS) };
                let inside = |at: i32, from: i32, length: i32| {
                    (i64::from(from)..i64::from(from) + i64::from(length)).contains(&i64::from(at))
                };
                if inside(at.x, wall.at.x, wall.size.x) && inside(at.y, wall.at.y, wall.size.y) {
                    self.put(at, '#');
                }
            }
        }
    }

    /// Where the middle of a cell is in the arena.
    fn centre(&self, cell: i32, count: i32) -> i32 {
        let centre = (2 * i64::from(cell) + 1) * i64::from(self.size) / (2 * i64::from(count));
        i32::try_from(centre).unwrap_or(i32::MAX)
    }

    fn lines(&self) -> Vec<String> {
        self.cells.chunks(COLUMNS as usize).map(|row| row.iter().collect()).collect()
    }
}

fn end(outcome: &Outcome, you: Option<Player>) -> Vec<String> {
    let scores: Vec<_> =
        outcome.scores.iter().map(|score| format!("{} {}", printable(&score.name), score.score)).collect();
    let verdict = match &outcome.winners[..] {
        [winner] if Some(*winner) == you => "you win",
        winners if winners.iter().any(|&winner| Some(winner) == you) => "you share the win",
        _ => "you lose",
    };
    vec![format!("the round is over: {verdict}   ({})", scores.join(", "))]
}

#[cfg(test)]
mod tests {
    use pintail_arena::{EndedBy, FighterView, Score};

    use super::*;

    fn tell(view: &mut ArenaView, output: Output) -> Vec<String> {
        view.message(&Postcard(output).encode(), Instant::now())
    }

    fn in_arena() -> ArenaView {
        let mut view = ArenaView::default();
        let (you, names) = (Player::new(0), vec!["Ann".to_owned(), "Bob".to_owned()]);
        let wall = Wall { at: Vector { x: 0, y: 0 }, size: Vector { x: 100, y: 40 } };
        tell(
            &mut view,
            Output::Arena { you, size: 1000, walls: vec![wall], names, scores: vec![0, 0], score_to_win: 10 },
        );
        let fighter = |seat, x, y| FighterView { player: Player::new(seat), at: Vector { x, y }, health: 3 };
        let frame = Frame {
            steps_left: 400,
            fighters: vec![fighter(0, 500, 500), fighter(1, 999, 999)],
            shots: vec![Vector { x: 20, y: 500 }, Vector { x: -5, y: 2000 }],
        };
        view.state(&Postcard(Output::Frame(frame)).encode());
        view
    }

    #[test]
    fn the_field_shows_walls_shots_and_fighters() {
        let lines = in_arena().refresh(Instant::now());
        assert_eq!(lines.len(), 26);
        assert_eq!(lines[0], format!("{}{}", "#".repeat(5), ".".repeat(45)));
        assert_eq!(lines[12], format!(".*{}@{}", ".".repeat(23), ".".repeat(24)));
        assert!(lines[24].ends_with('B'));
        assert_eq!(lines[25], "20 s left   @ you 0   B Bob 0");
    }

    #[test]
    fn it_is_drawn_once_a_second() {
        let (mut view, now) = (in_arena(), Instant::now());
        assert!(!view.refresh(now).is_empty());
        assert!(view.refresh(now + Duration::from_millis(500)).is_empty());
        assert!(!view.refresh(now + REDRAW).is_empty());
    }

    #[test]
    fn keys_are_ways_and_fire_finds_the_nearest() {
        let (mut view, now) = (in_arena(), Instant::now());
        for (line, input) in [
            ("w", Input::Move { x: 0, y: -1 }),
            ("sd", Input::Move { x: 1, y: 1 }),
            ("stop", Input::Move { x: 0, y: 0 }),
            ("fire a", Input::Shoot { x: -1, y: 0 }),
            ("f", Input::Shoot { x: 499, y: 499 }),
        ] {
            assert_eq!(view.typed(line, now), Typed::Send(Postcard(input).encode()), "{line}");
        }
        for wrong in ["q", "wasd", "fire q", "w w w", "fire a b"] {
            assert!(matches!(view.typed(wrong, now), Typed::Say(_)), "{wrong}");
        }
        assert!(matches!(ArenaView::default().typed("fire", now), Typed::Say(_)));
    }

    #[test]
    fn hits_kills_and_the_end_are_told() {
        let mut view = in_arena();
        let (you, bob) = (Player::new(0), Player::new(1));
        assert_eq!(tell(&mut view, Output::Hit { shooter: bob, victim: you, health: 2 }), ["Bob hit you (2 left)"]);
        assert_eq!(tell(&mut view, Output::Kill { shooter: you, victim: bob, score: 1 }), ["you killed Bob: 1 of 10"]);
        assert!(view.refresh(Instant::now())[25].contains("@ you 1"));
        let score = |player, name: &str, score| Score { player, name: name.to_owned(), score };
        let scores = vec![score(you, "Ann", 1), score(bob, "Bob", 0)];
        let over = Output::Over(Outcome { winners: vec![you], scores, by: EndedBy::Time });
        assert_eq!(tell(&mut view, over), ["the round is over: you win   (Ann 1, Bob 0)"]);
        assert!(view.refresh(Instant::now() + REDRAW).is_empty(), "nothing moves any more");
    }
}
