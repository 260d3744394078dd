//! Real `redis-server` processes: servers and sentinels.

mod certificates;
mod daemon;
mod sentinel;
mod server;

pub use certificates::Certificates;
pub use sentinel::{Sentinels, SentinelsBuilder};
pub use server::{ClientCertificates, Persistence, RedisServer, RedisServerBuilder};
