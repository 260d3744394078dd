//! Clusters, players, Redis servers and broken networks for tests.
//!
//! | type | what it is |
//! | --- | --- |
//! | [`Program`] | a program under test: its lines come out, lines and signals go in |
//! | [`hand_on!`] | stores that work, but for the calls that a test disturbs |
//! | [`RedisServer`] | a real `redis-server` of the test's own: with a password, TLS, a master; to be stopped, killed, paused and restarted |
//! | [`Sentinels`] | real sentinels that watch one, and fail over to its replica |
//! | [`Certificates`] | an authority with the certificates of a server and a client |
//! | [`FaultProxy`] | a way to a server: late, half-open, frozen or cut, as the test says |
//! | [`Namespaces`] | hosts with addresses of their own that can be cut off without anyone being told |
//!
//! Each of them ends what it started when it is dropped.
//!
//! ```
//! use std::time::Duration;
//!
//! use pintail_testkit::{Fault, FaultProxy, RedisServer};
//!
//! let redis = RedisServer::start();
//! let way = FaultProxy::start(redis.address());
//! let url = redis.url_by_way_of(way.address()); // for the store under test
//! way.set(Fault::Delay { to_target: Duration::from_millis(250), to_client: Duration::from_millis(250) });
//! // … each command takes half a second …
//! way.set(Fault::Cut);
//! // … connections are reset and refused …
//! way.set(Fault::Pass);
//! # assert!(url.starts_with("redis://127.0.0.1:"));
//! ```

#[doc(hidden)]
pub mod hand_on;
mod namespaces;
mod ports;
mod program;
mod proxy;
mod redis;

pub use namespaces::{Host, Namespaces, Unsupported};
pub use ports::free_port;
pub use program::{Program, ProgramBuilder};
pub use proxy::{Direction, Fault, FaultProxy, Traffic};
pub use redis::{
    Certificates, ClientCertificates, Persistence, RedisServer, RedisServerBuilder, Sentinels, SentinelsBuilder,
};
