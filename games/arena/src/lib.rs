//! Arena: 2 to 16 players move, shoot and score, at 20 steps a second.
//!
//! Positions go out as state messages each step, where only the latest counts; hits and kills as reliable ones. All
//! messages are in postcard's format.

mod messages;
mod world;

use pintail_game::{Context, Game, LeaveReason, Player, Postcard, Refusal, Rules};
use serde::{Deserialize, Serialize};

pub use messages::{EndedBy, Fighter as FighterView, Frame, Input, Outcome, Output, Score};
use world::{FIGHTER_RADIUS, World};
pub use world::{Vector, Wall};

/// How many steps a second has.
pub const STEPS_PER_SECOND: u16 = 20;

/// How far a fighter moves in a step.
const SPEED: i32 = 8;

/// How far a shot flies in a step: less than a fighter is wide, so that none flies through one.
const SHOT_SPEED: i32 = 30;

/// How many steps a shot flies.
const SHOT_STEPS: u16 = 30;

/// How many steps a fighter has to wait between shots.
const COOLDOWN_STEPS: u16 = 8;

/// How many steps a fighter who was killed is out.
const RESPAWN_STEPS: u16 = 40;

/// How many hits a fighter stands, the last one not.
const HEALTH: u8 = 3;

/// A round of arena.
#[derive(Debug, Serialize, Deserialize)]
pub struct Arena {
    world: World,
    /// One a seat.
    fighters: Vec<Fighter>,
    shots: Vec<Shot>,
    steps_left: u32,
    score_to_win: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Fighter {
    player: Player,
    /// Where the fighter is in the arena; None while out of it.
    at: Option<Vector>,
    /// How far it moves in the next step.
    motion: Vector,
    health: u8,
    score: u16,
    cooldown: u16,
    /// How many steps until it is back. None for one who is in the arena, not yet there, or gone for good.
    respawn: Option<u16>,
    gone: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Shot {
    owner: Player,
    at: Vector,
    motion: Vector,
    steps_left: u16,
}

/// What a room can choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How long the round is: 10 to 600 seconds.
    pub round_seconds: u16,
    /// How many kills win at once: 1 to 100.
    pub score_to_win: u16,
    /// How wide and high the arena is: 500 to 4000.
    pub size: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self { round_seconds: 120, score_to_win: 10, size: 1000 }
    }
}

impl Game for Arena {
    const NAME: &'static str = "arena";
    const RULES: Rules = Rules::journaled().players(2, 16).fixed_steps(STEPS_PER_SECOND);
    type Settings = Settings;
    type Input = Postcard<Input>;
    type Output = Postcard<Output>;

    fn check(settings: &Settings) -> Result<(), Refusal> {
        if !(10..=600).contains(&settings.round_seconds) {
            return Err(Refusal::new("a round must have 10 to 600 seconds"));
        }
        if !(1..=100).contains(&settings.score_to_win) {
            return Err(Refusal::new("the score to win must be 1 to 100"));
        }
        if !(500..=4000).contains(&settings.size) {
            return Err(Refusal::new("the arena's size must be 500 to 4000"));
        }
        Ok(())
    }

    fn new(settings: Settings, ctx: &mut Context<'_, Self>) -> Result<Self, Refusal> {
        let fighters = ctx.players().map(|info| Fighter::new(info.player)).collect();
        Ok(Self {
            world: World::random(settings.size.into(), ctx.rng()),
            fighters,
            shots: Vec::new(),
            steps_left: u32::from(settings.round_seconds) * u32::from(STEPS_PER_SECOND),
            score_to_win: settings.score_to_win,
        })
    }

    fn join(&mut self, ctx: &mut Context<'_, Self>, player: Player) {
        self.send_arena(ctx, player);
        let place = self.world.free_place(ctx.rng());
        self.fighters[player.index()].spawn(place);
    }

    fn away(&mut self, _: &mut Context<'_, Self>, player: Player) {
        self.fighters[player.index()].motion = Vector::ZERO;
    }

    fn leave(&mut self, ctx: &mut Context<'_, Self>, player: Player, _: LeaveReason) {
        let fighter = &mut self.fighters[player.index()];
        *fighter = Fighter { gone: true, score: fighter.score, ..Fighter::new(player) };
        self.shots.retain(|shot| shot.owner != player);
        if self.fighters.iter().filter(|fighter| !fighter.gone).count() < 2 {
            self.finish(ctx, EndedBy::Departure);
        }
    }

    fn input(&mut self, _: &mut Context<'_, Self>, player: Player, Postcard(input): Postcard<Input>) {
        let fighter = &mut self.fighters[player.index()];
        match input {
            Input::Move { x, y } => fighter.motion = direction(x, y).with_length(SPEED).unwrap_or(Vector::ZERO),
            Input::Shoot { x, y } => {
                if let (Some(at), Some(motion), 0) =
                    (fighter.at, direction(x, y).with_length(SHOT_SPEED), fighter.cooldown)
                {
                    fighter.cooldown = COOLDOWN_STEPS;
                    self.shots.push(Shot { owner: player, at, motion, steps_left: SHOT_STEPS });
                }
            }
        }
    }

    fn step(&mut self, ctx: &mut Context<'_, Self>) {
        self.move_fighters(ctx);
        self.move_shots(ctx);
        ctx.broadcast_state(Output::Frame(self.frame()));
        self.steps_left = self.steps_left.saturating_sub(1);
        if self.fighters.iter().any(|fighter| fighter.score >= self.score_to_win) {
            self.finish(ctx, EndedBy::Score);
        } else if self.steps_left == 0 {
            self.finish(ctx, EndedBy::Time);
        }
    }

    fn resync(&mut self, ctx: &mut Context<'_, Self>, player: Player) {
        self.send_arena(ctx, player);
    }
}

impl Fighter {
    const fn new(player: Player) -> Self {
        Self { player, at: None, motion: Vector::ZERO, health: 0, score: 0, cooldown: 0, respawn: None, gone: false }
    }

    const fn spawn(&mut self, place: Vector) {
        self.at = Some(place);
        self.health = HEALTH;
        self.respawn = None;
    }
}

impl Arena {
    fn move_fighters(&mut self, ctx: &mut Context<'_, Self>) {
        for fighter in &mut self.fighters {
            fighter.cooldown = fighter.cooldown.saturating_sub(1);
            match fighter.respawn {
                Some(0) => fighter.spawn(self.world.free_place(ctx.rng())),
                Some(steps) => fighter.respawn = Some(steps - 1),
                None => {}
            }
            fighter.at = fighter.at.map(|at| self.world.slide(at, fighter.motion));
        }
    }

    fn move_shots(&mut self, ctx: &mut Context<'_, Self>) {
        let mut flying = Vec::new();
        for mut shot in std::mem::take(&mut self.shots) {
            shot.at = shot.at.plus(shot.motion);
            shot.steps_left -= 1;
            if self.world.is_free(shot.at, 0) && !self.hit(ctx, shot) && shot.steps_left > 0 {
                flying.push(shot);
            }
        }
        self.shots = flying;
    }

    /// Whether the shot hits someone, with all that follows.
    fn hit(&mut self, ctx: &mut Context<'_, Self>, shot: Shot) -> bool {
        let is_victim = |fighter: &&mut Fighter| {
            fighter.player != shot.owner && fighter.at.is_some_and(|at| at.is_near(shot.at, FIGHTER_RADIUS))
        };
        let Some(victim) = self.fighters.iter_mut().find(is_victim) else { return false };
        let player = victim.player;
        victim.health -= 1;
        if victim.health > 0 {
            ctx.broadcast(Output::Hit { shooter: shot.owner, victim: player, health: victim.health });
            return true;
        }
        (victim.at, victim.respawn) = (None, Some(RESPAWN_STEPS));
        let shooter = &mut self.fighters[shot.owner.index()];
        shooter.score += 1;
        ctx.broadcast(Output::Kill { shooter: shot.owner, victim: player, score: shooter.score });
        true
    }

    fn send_arena(&self, ctx: &mut Context<'_, Self>, you: Player) {
        let names = Player::seats(ctx.seat_count()).map(|player| ctx.name(player).to_owned()).collect();
        let scores = self.fighters.iter().map(|fighter| fighter.score).collect();
        let (size, walls) = (self.world.size, self.world.walls.clone());
        ctx.send(you, Output::Arena { you, size, walls, names, scores, score_to_win: self.score_to_win });
    }

    fn frame(&self) -> Frame {
        let fighters = self.fighters.iter();
        let view =
            |fighter: &Fighter| fighter.at.map(|at| FighterView { player: fighter.player, at, health: fighter.health });
        Frame {
            steps_left: self.steps_left,
            fighters: fighters.filter_map(view).collect(),
            shots: self.shots.iter().map(|shot| shot.at).collect(),
        }
    }

    fn finish(&self, ctx: &mut Context<'_, Self>, by: EndedBy) {
        let score = |fighter: &Fighter| Score {
            player: fighter.player,
            name: ctx.name(fighter.player).to_owned(),
            score: fighter.score,
        };
        let scores: Vec<_> = self.fighters.iter().map(score).collect();
        let staying = self.fighters.iter().filter(|fighter| !fighter.gone);
        let best = staying.clone().map(|fighter| fighter.score).max();
        let winners = staying.filter(|fighter| Some(fighter.score) == best).map(|fighter| fighter.player).collect();
        let outcome = Outcome { winners, scores, by };
        ctx.broadcast(Output::Over(outcome.clone()));
        ctx.end(outcome);
    }
}

fn direction(x: i16, y: i16) -> Vector {
    Vector { x: x.into(), y: y.into() }
}

#[cfg(test)]
mod tests;
