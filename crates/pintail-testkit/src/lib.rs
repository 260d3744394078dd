//! Clusters, players and Redis servers for tests.
//!
//! | type | what it is |
//! | --- | --- |
//! | [`Program`] | a program under test: its lines come out, lines and signals go in |
//! | [`RedisServer`] | a real `redis-server` of the test's own, to be stopped, killed, paused and restarted |

mod program;
mod redis_server;

pub use program::{Program, ProgramBuilder};
pub use redis_server::{Persistence, RedisServer};
