//! How a game ended.

use serde::{Deserialize, Serialize};

/// How a game ended. What it means is between game server and lobby; the store keeps it, and so does the room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndOutcome {
    /// Why it ended.
    pub reason: EndReason,
    /// What the game says about its end (JSON), empty unless it finished.
    pub result: String,
    /// A sentence for people, empty when it finished.
    pub message: String,
}

/// Why a game ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// It came to its end.
    Finished,
    /// Every player left.
    Abandoned,
    /// Its code failed.
    Crashed,
    /// Its server was lost and it was not journaled.
    ServerLost,
    /// It refused its settings or players.
    Refused,
    /// Its server stopped and could not wait for the end.
    ServerStopped,
}
