//! What clients and the game say to each other.

use pintail_game::Player;
use serde::{Deserialize, Serialize};

use crate::world::{Vector, Wall};

/// What a player does. A direction has any length; x is to the right, y is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// Moves this way until told otherwise; (0, 0) stands still.
    Move {
        /// To the right.
        x: i16,
        /// Down.
        y: i16,
    },
    /// Shoots this way, if the last shot is long enough ago.
    Shoot {
        /// To the right.
        x: i16,
        /// Down.
        y: i16,
    },
}

/// What players are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// The arena: at the start, and again if messages were missed.
    Arena {
        /// Who reads this.
        you: Player,
        /// How wide and high the arena is.
        size: i32,
        /// What is in the way.
        walls: Vec<Wall>,
        /// The players' names, by seat.
        names: Vec<String>,
        /// The players' scores, by seat.
        scores: Vec<u16>,
        /// How many kills win.
        score_to_win: u16,
    },
    /// Where everything is now: a state message, 20 a second.
    Frame(Frame),
    /// A shot hit someone, who still stands.
    Hit {
        /// Whose shot it was.
        shooter: Player,
        /// Who was hit.
        victim: Player,
        /// How many more hits the victim stands, the last one not.
        health: u8,
    },
    /// A shot killed someone, who is back in two seconds.
    Kill {
        /// Whose shot it was.
        shooter: Player,
        /// Who was hit.
        victim: Player,
        /// The shooter's score.
        score: u16,
    },
    /// The round is over.
    Over(Outcome),
}

/// Where everything is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// How many steps the round has left.
    pub steps_left: u32,
    /// Everyone in the arena.
    pub fighters: Vec<Fighter>,
    /// The shots in the air.
    pub shots: Vec<Vector>,
}

/// A player in the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fighter {
    /// Who.
    pub player: Player,
    /// Where.
    pub at: Vector,
    /// How many hits it stands, the last one not.
    pub health: u8,
}

/// How a round ended: for the players, and as its room is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Those with the best score among those who stayed.
    pub winners: Vec<Player>,
    /// Everyone's score, by seat.
    pub scores: Vec<Score>,
    /// What ended it.
    pub by: EndedBy,
}

/// A player's score.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// Who.
    pub player: Player,
    /// The player's name.
    pub name: String,
    /// The score.
    pub score: u16,
}

/// What ended a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// Someone has the score to win.
    Score,
    /// The time is over.
    Time,
    /// Fewer than two players are left.
    Departure,
}
