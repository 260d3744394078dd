//! Clusters, players and Redis servers for tests.
//!
//! | type | what it is |
//! | --- | --- |
//! | [`Program`] | a program under test: its lines come out, lines and signals go in |
//! | [`hand_on!`] | stores that work, but for the calls that a test disturbs |
//! | [`RedisServer`] | a real `redis-server` of the test's own, to be stopped, killed, paused and restarted |

#[doc(hidden)]
pub mod hand_on;
mod program;
mod redis_server;

pub use program::{Program, ProgramBuilder};
pub use redis_server::{Persistence, RedisServer};
