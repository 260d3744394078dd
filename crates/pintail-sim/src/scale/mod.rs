//! How a cluster of up to 100 gateways and 1,000 game servers finds its dead and places its games, in simulated time.
//!
//! ```text
//!            heap of (time, number, event)  ◀── one random number generator
//!                       │ the next event
//!                       ▼
//!   gateways ──links (model)── lobby and game servers
//!   (real Observer, Directory,  (model of membership,
//!    Backoff)                    real LoadMonitor)
//!       └───────── calls, counted ─────────┘
//!                       ▼
//!        the store (real EmbeddedStore, paused clock)
//! ```
//!
//! What decides is the real code: [`pintail_engine::health::Observer`] and [`pintail_engine::directory::Directory`] of each
//! gateway, [`pintail_engine::load::LoadMonitor`] of each game server, and the store's registry, verdicts and placement. What
//! stands between them is a model with the rules of `pintail-gateway` and `pintail-net`: a link answers four heartbeats a
//! second as long as nothing stands in its way, a server renews its lease each half second. So what is found about numbers of
//! calls and about times holds for those rules; what a call costs Redis is measured elsewhere.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`story`] | what happens to a cluster, and what must come of it |
//! | [`cluster`] | a run: the servers, the events |
//! | [`events`] | the clock and what is to come |
//! | [`member`] | a server in the registry |
//! | [`gateway`] | what a gateway sees and does |
//! | [`link`] | when a server was heard over a link |
//! | [`ledger`] | the store, with each call counted |
//! | [`figures`] | what was measured, as tables |
//! | [`checks`] | what must hold |

pub mod checks;
pub mod cluster;
pub mod events;
pub mod figures;
pub mod gateway;
pub mod ledger;
pub mod link;
pub mod member;
pub mod story;

use checks::Violation;
use cluster::Cluster;
use figures::Figures;
use story::Story;

/// How many servers a cluster has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Gateways.
    pub gateways: usize,
    /// Lobby servers.
    pub lobbies: usize,
    /// Game servers.
    pub games: usize,
}

impl Size {
    /// A cluster with so many game servers: a gateway for each ten, a lobby server for each fifty, and two of each at least.
    #[must_use]
    pub fn of_games(games: usize) -> Self {
        Self { gateways: (games / 10).max(2), lobbies: (games / 50).max(2), games }
    }
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What was measured.
    pub figures: Figures,
    /// What does not hold; empty if all is well.
    pub violations: Vec<Violation>,
}

/// Runs a story with a cluster of this size. The same seed gives the same run.
#[must_use]
pub fn run(story: Story, size: Size, seed: u64) -> Outcome {
    let mut cluster = Cluster::new(story, size, seed);
    cluster.run();
    let violations = checks::check(&mut cluster);
    Outcome { figures: cluster.into_figures(), violations }
}
