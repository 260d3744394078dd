//! What the author of a game writes against.

mod context;
mod game;
mod payload;
mod player;
mod random;
mod rules;

pub use context::Context;
pub use game::{Game, LeaveReason, Refusal};
pub use payload::{BadPayload, Json, Payload, Postcard};
pub use player::{Player, PlayerInfo};
pub use random::Random;
pub use rules::{Pace, Rules};
