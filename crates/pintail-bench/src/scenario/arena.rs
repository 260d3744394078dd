//! Bots that play arena: they run about and shoot at whoever is near.

use std::sync::Arc;
use std::time::Duration;

use pintail_arena::{Frame, Input, Output, Vector};
use rand::{RngExt, SeedableRng};

use super::Arena;
use crate::bot::{Bot, BotContext, BotKind, BotRng, Inputs};
use crate::player::seat::INPUT;

/// How often a bot moves or shoots: as often as a person presses keys in a fight.
const EVERY: Duration = Duration::from_millis(100);

/// A bot shoots with each of so many moves: a fighter can't shoot more often.
const SHOT_EACH: u32 = 4;

/// How far a direction points that a bot runs in. Only the direction counts.
const FAR: i16 = 100;

/// Rounds as long as the game allows.
const SETTINGS: &str = r#"{"round_seconds":600,"score_to_win":100,"size":1000}"#;

impl Arena {
    pub(super) fn bots(self) -> BotKind {
        BotKind {
            name: "arena".to_owned(),
            game: "arena".to_owned(),
            settings: SETTINGS.to_owned(),
            room_players: self.room_players,
            every: Some(EVERY),
            inputs: Inputs::Measured,
            primary: INPUT,
            make: Arc::new(|seed| Box::new(Fighter::new(seed))),
        }
    }
}

/// A bot in the arena.
struct Fighter {
    rng: BotRng,
    /// Its seat in the game, once the game has said so.
    seat: Option<usize>,
    /// The last frame, as it arrived: most are never looked at.
    frame: Vec<u8>,
    moves: u32,
}

impl Fighter {
    fn new(seed: u64) -> Self {
        let mut rng = BotRng::seed_from_u64(seed);
        let moves = rng.random_range(0..SHOT_EACH);
        Self { rng, seat: None, frame: Vec::new(), moves }
    }

    fn next_move(&mut self) -> Input {
        self.moves = self.moves.wrapping_add(1);
        if self.moves.is_multiple_of(SHOT_EACH)
            && let Some(Output::Frame(frame)) = decode(&self.frame)
            && let Some(Vector { x, y }) = self.seat.and_then(|seat| aim(&frame, seat))
        {
            return Input::Shoot { x: clamp(x), y: clamp(y) };
        }
        Input::Move { x: self.rng.random_range(-FAR..=FAR), y: self.rng.random_range(-FAR..=FAR) }
    }
}

impl Bot for Fighter {
    fn tick(&mut self, ctx: &mut BotContext<'_>) {
        match postcard::to_allocvec(&self.next_move()) {
            Ok(payload) => _ = ctx.send(&payload),
            Err(_) => ctx.error("a move that can't be encoded"),
        }
    }

    fn message(&mut self, ctx: &mut BotContext<'_>, payload: &[u8]) {
        match decode(payload) {
            Some(Output::Arena { you, .. }) => self.seat = Some(you.index()),
            Some(Output::Hit { shooter, .. }) if self.seat == Some(shooter.index()) => ctx.count("hits", 1),
            Some(Output::Kill { shooter, .. }) if self.seat == Some(shooter.index()) => ctx.count("kills", 1),
            Some(_) => {}
            None => ctx.error("a message of the arena that can't be read"),
        }
    }

    fn state(&mut self, _: &mut BotContext<'_>, payload: &[u8]) {
        self.frame.clear();
        self.frame.extend_from_slice(payload);
    }
}

fn decode(payload: &[u8]) -> Option<Output> {
    postcard::from_bytes(payload).ok()
}

/// The direction from this seat's fighter to the nearest other one.
fn aim(frame: &Frame, seat: usize) -> Option<Vector> {
    let me = frame.fighters.iter().find(|fighter| fighter.player.index() == seat)?.at;
    let others = frame.fighters.iter().filter(|fighter| fighter.player.index() != seat);
    let ways = others.map(|other| Vector { x: other.at.x - me.x, y: other.at.y - me.y });
    ways.min_by_key(|way| way.x.pow(2) + way.y.pow(2))
}

fn clamp(coordinate: i32) -> i16 {
    i16::try_from(coordinate).unwrap_or(if coordinate < 0 { i16::MIN } else { i16::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fighter(seat: u16, x: i32, y: i32) -> pintail_arena::FighterView {
        // A seat is written as its number.
        let player = postcard::from_bytes(&postcard::to_allocvec(&seat).unwrap()).unwrap();
        pintail_arena::FighterView { player, at: Vector { x, y }, health: 3 }
    }

    #[test]
    fn a_bot_aims_at_the_nearest_other_fighter() {
        let fighters = vec![fighter(0, 100, 100), fighter(1, 400, 100), fighter(2, 100, 80)];
        let frame = Frame { steps_left: 9, fighters, shots: Vec::new() };
        for (seat, way) in [(0, Some((0, -20))), (1, Some((-300, 0))), (2, Some((0, 20))), (3, None)] {
            assert_eq!(aim(&frame, seat).map(|way| (way.x, way.y)), way);
        }
        let alone = Frame { steps_left: 9, fighters: vec![fighter(0, 1, 1)], shots: Vec::new() };
        assert!(aim(&alone, 0).is_none());
    }

    #[test]
    fn bots_shoot_now_and_then_and_move_otherwise() {
        let mut bot = Fighter::new(7);
        let fighters = vec![fighter(0, 0, 0), fighter(1, 50, 0)];
        let frame = Output::Frame(Frame { steps_left: 9, fighters, shots: Vec::new() });
        assert!((0..40).all(|_| matches!(bot.next_move(), Input::Move { .. })), "it sees nobody yet");
        bot.seat = Some(0);
        bot.frame = postcard::to_allocvec(&frame).unwrap();
        let shots = (0..40).filter(|_| matches!(bot.next_move(), Input::Shoot { x: 50, y: 0 })).count();
        assert_eq!(shots, 10);
    }
}
