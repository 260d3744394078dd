//! Gomoku: two players put stones on a board in turn, and who has five in a row wins (freestyle: more than five too).
//!
//! A player who lets the move clock run out, resigns or leaves loses. All messages are JSON.

mod board;

use std::time::Duration;

use pintail_game::{Context, Game, Json, LeaveReason, Player, Refusal, Rules};
use serde::{Deserialize, Serialize};

pub use board::Point;
use board::{Board, Effect, Unfit};

/// A game of gomoku.
#[derive(Debug, Serialize, Deserialize)]
pub struct Gomoku {
    board: Board,
    /// Who has black and moved first.
    black: Player,
    turn: Player,
    move_time: Duration,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    /// Not both players have come yet; the flags say who has.
    Gathering([bool; 2]),
    /// The player whose turn it is loses at this time of the game.
    Playing { deadline: Duration },
}

/// What a room can choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How many crossings the board has each way: 9 to 19.
    pub size: u8,
    /// How many seconds a move may take: 5 to 3600.
    pub move_seconds: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self { size: 15, move_seconds: 60 }
    }
}

/// What a player does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Input {
    /// Puts a stone here.
    Place(Point),
    /// Gives up.
    Resign,
}

/// What players are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Output {
    /// The whole game as it stands: at the start, and again if messages were missed.
    Position(Position),
    /// Both players are there, and the first clock runs.
    Started {
        /// Whose turn it is.
        turn: Player,
    },
    /// A stone was put down.
    Placed {
        /// By whom.
        player: Player,
        /// Where.
        point: Point,
        /// Whose turn it is.
        turn: Player,
    },
    /// What you did is not allowed. Nothing has changed.
    Refused {
        /// Why not.
        reason: RefusedReason,
    },
    /// The game is over.
    Over(Outcome),
}

/// The whole game as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Who reads this.
    pub you: Player,
    /// Who has black.
    pub black: Player,
    /// The board's size.
    pub size: u8,
    /// All stones, in the order of the moves: black, white, black, ….
    pub stones: Vec<Point>,
    /// Whose turn it is.
    pub turn: Player,
    /// How long a move may take, in milliseconds.
    pub move_ms: u64,
    /// How long this move may still take; absent until both players are there.
    pub left_ms: Option<u64>,
}

/// Why a move is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusedReason {
    /// The other player has not come yet.
    NotStarted,
    /// It is the other player's turn.
    NotYourTurn,
    /// There is a stone already.
    Occupied,
    /// The board has no such crossing.
    OffBoard,
}

/// How the game ended: for the players, and as its room is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Who won; nobody in a draw.
    pub winner: Option<Player>,
    /// The winner's name; empty in a draw.
    pub winner_name: String,
    /// What decided it.
    pub by: Decision,
    /// The stones in the winning row.
    pub row: Vec<Point>,
    /// How many stones were put down.
    pub moves: usize,
}

/// What decided a game.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Five or more in a row.
    Row,
    /// The board is full.
    FullBoard,
    /// The loser resigned.
    Resignation,
    /// The loser's clock ran out.
    Time,
    /// The loser left or did not come back.
    Departure,
}

impl Game for Gomoku {
    const NAME: &'static str = "gomoku";
    const RULES: Rules = Rules::journaled().players(2, 2).grace(Duration::from_secs(60));
    type Settings = Settings;
    type Input = Json<Input>;
    type Output = Json<Output>;

    fn check(settings: &Settings) -> Result<(), Refusal> {
        if !(9..=19).contains(&settings.size) {
            return Err(Refusal::new("the board's size must be 9 to 19"));
        }
        if !(5..=3600).contains(&settings.move_seconds) {
            return Err(Refusal::new("a move must have 5 to 3600 seconds"));
        }
        Ok(())
    }

    fn new(settings: Settings, ctx: &mut Context<'_, Self>) -> Result<Self, Refusal> {
        let black = Player::new(ctx.rng().below(2) as u16);
        Ok(Self {
            board: Board::new(settings.size),
            black,
            turn: black,
            move_time: Duration::from_secs(settings.move_seconds.into()),
            phase: Phase::Gathering([false; 2]),
        })
    }

    fn join(&mut self, ctx: &mut Context<'_, Self>, player: Player) {
        self.send_position(ctx, player);
        if let Phase::Gathering(here) = &mut self.phase {
            here[player.index()] = true;
            if *here == [true, true] {
                self.start_clock(ctx);
                ctx.broadcast(Output::Started { turn: self.turn });
            }
        }
    }

    fn leave(&mut self, ctx: &mut Context<'_, Self>, player: Player, _: LeaveReason) {
        self.finish(ctx, Some(other(player)), Decision::Departure, Vec::new());
    }

    fn input(&mut self, ctx: &mut Context<'_, Self>, player: Player, Json(input): Json<Input>) {
        let refused = match input {
            Input::Resign => {
                self.finish(ctx, Some(other(player)), Decision::Resignation, Vec::new());
                None
            }
            Input::Place(_) if matches!(self.phase, Phase::Gathering(_)) => Some(RefusedReason::NotStarted),
            Input::Place(_) if player != self.turn => Some(RefusedReason::NotYourTurn),
            Input::Place(point) => self.place(ctx, player, point).err(),
        };
        if let Some(reason) = refused {
            ctx.send(player, Output::Refused { reason });
        }
    }

    fn step(&mut self, ctx: &mut Context<'_, Self>) {
        if let Phase::Playing { deadline } = self.phase
            && deadline <= ctx.time()
        {
            self.finish(ctx, Some(other(self.turn)), Decision::Time, Vec::new());
        }
    }

    fn resync(&mut self, ctx: &mut Context<'_, Self>, player: Player) {
        self.send_position(ctx, player);
    }
}

impl Gomoku {
    fn place(&mut self, ctx: &mut Context<'_, Self>, player: Player, point: Point) -> Result<(), RefusedReason> {
        let effect = self.board.put(point).map_err(|unfit| match unfit {
            Unfit::OffBoard => RefusedReason::OffBoard,
            Unfit::Occupied => RefusedReason::Occupied,
        })?;
        self.turn = other(player);
        self.start_clock(ctx);
        ctx.broadcast(Output::Placed { player, point, turn: self.turn });
        match effect {
            Effect::GoesOn => {}
            Effect::Row(row) => self.finish(ctx, Some(player), Decision::Row, row),
            Effect::Full => self.finish(ctx, None, Decision::FullBoard, Vec::new()),
        }
        Ok(())
    }

    fn start_clock(&mut self, ctx: &mut Context<'_, Self>) {
        self.phase = Phase::Playing { deadline: ctx.time() + self.move_time };
        ctx.wake_in(self.move_time);
    }

    fn finish(&self, ctx: &mut Context<'_, Self>, winner: Option<Player>, by: Decision, row: Vec<Point>) {
        let winner_name = winner.map_or(String::new(), |winner| ctx.name(winner).to_owned());
        let outcome = Outcome { winner, winner_name, by, row, moves: self.board.stones().len() };
        ctx.broadcast(Output::Over(outcome.clone()));
        ctx.end(outcome);
    }

    fn send_position(&self, ctx: &mut Context<'_, Self>, you: Player) {
        let left_ms = match self.phase {
            Phase::Gathering(_) => None,
            Phase::Playing { deadline } => Some(millis(deadline.saturating_sub(ctx.time()))),
        };
        let position = Position {
            you,
            black: self.black,
            size: self.board.size(),
            stones: self.board.stones().to_vec(),
            turn: self.turn,
            move_ms: millis(self.move_time),
            left_ms,
        };
        ctx.send(you, Output::Position(position));
    }
}

fn other(player: Player) -> Player {
    Player::new(if player.index() == 0 { 1 } else { 0 })
}

fn millis(duration: Duration) -> u64 {
    duration.as_secs() * 1000 + u64::from(duration.subsec_millis())
}

#[cfg(test)]
mod tests;
