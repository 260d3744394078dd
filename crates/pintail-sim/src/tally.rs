//! What happened in runs, counted.

use std::fmt;
use std::ops::AddAssign;

/// Declares the counters with their names in the table.
macro_rules! tally {
    ($($(#[$doc:meta])* $field:ident: $name:literal),* $(,)?) => {
        /// What happened, counted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct Tally {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl AddAssign for Tally {
            fn add_assign(&mut self, other: Self) {
                $(self.$field += other.$field;)*
            }
        }

        impl fmt::Display for Tally {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(writeln!(f, "{:>22}  {}", $name, self.$field)?;)*
                Ok(())
            }
        }
    };
}

tally! {
    /// Runs.
    seeds: "seeds",
    /// Events of the simulation.
    events: "events",
    /// Game servers killed.
    server_kills: "game server kills",
    /// Gateways killed.
    gateway_kills: "gateway kills",
    /// Processes stopped and continued.
    stops: "stops (SIGSTOP)",
    /// Connections cut or silenced.
    cuts: "connections cut",
    /// Paths blocked.
    blocks: "paths blocked",
    /// Clients started anew.
    client_restarts: "client restarts",
    /// Wrong verdicts about servers.
    wrong_verdicts: "wrong verdicts",
    /// Outages of the store.
    outages: "store outages",
    /// Store calls without an answer.
    lost_calls: "store calls lost",
    /// Rollbacks of the store.
    rollbacks: "store rollbacks",
    /// Stores emptied.
    wipes: "stores emptied",
    /// Servers asked to drain.
    drains: "drains",
    /// Runs in which games that went on without protection were claimed by others.
    splits: "split runs",
    /// Games begun.
    games: "games",
    /// Games that changed their owner because it was gone.
    takeovers: "takeovers",
    /// Games handed over.
    migrations: "migrations",
    /// Games that ended.
    ended: "games ended",
    /// Inputs that players sent.
    inputs: "inputs",
    /// Inputs that games acknowledged.
    acknowledged: "inputs acknowledged",
    /// Reliable messages that players were shown.
    messages: "reliable messages",
    /// State messages that players were shown.
    states: "state messages",
    /// Runs that broke an invariant.
    violations: "violations",
}
