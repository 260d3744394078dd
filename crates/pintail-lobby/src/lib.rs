//! The lobby server: rooms, quick match, and starting games.
//!
//! A lobby server keeps no room of its own: it loads a room from the store, lets the state machine of
//! [`pintail_engine::room`] decide, commits by compare-and-set, and decides again if another lobby server was faster.
//! So any lobby server serves any player, and losing one loses nothing.
//!
//! | module | does |
//! | --- | --- |
//! | `server` | binds, registers, runs, stops in order |
//! | `dispatch` | the one loop: frames and letters in, jobs out |
//! | `backlog` | which job may run next: those of one session in their order, all of them within limits |
//! | `lobby` | one request from its bytes to its answer |
//! | `change` | load, decide, commit, tell; again after a conflict |
//! | `enter` | creating a room, joining one, quick match |
//! | `course` | starting a game, settling its end |
//! | `list` | lists of rooms |
//! | `sweep` | finds what was left half done, by this lobby server or another |
//! | `router` | which link leads to which gateway |
//! | `refusal` | why a request is not done, and its code on the wire |
//! | `convert` | rooms as messages |
//! | `metrics` | what `/metrics` tells |
//! | `tasks` | what the server says that it does |

mod backlog;
mod change;
mod convert;
mod course;
mod dispatch;
mod enter;
mod list;
mod lobby;
mod metrics;
mod refusal;
mod router;
mod server;
mod sweep;
mod tasks;

pub use server::{LobbyConfig, LobbyServer};
