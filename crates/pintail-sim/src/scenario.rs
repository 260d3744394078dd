//! What a run is like: how many processes there are, how bad the network is, and what goes wrong how often.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use pintail_game::runtime::{JournalPolicy, Now};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::env::ms;
use crate::faults::Kind;
use crate::ledger::variant;

/// Declares the scenarios with their names and what goes wrong in each, with weights.
macro_rules! scenarios {
    ($($(#[$doc:meta])* $variant:ident $name:literal [$($fault:ident $weight:literal),* $(,)?],)*) => {
        /// A kind of run.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Scenario {
            $($(#[$doc])* $variant,)*
        }

        impl Scenario {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            const fn faults(self) -> &'static [(Kind, u32)] {
                match self { $(Self::$variant => &[$((Kind::$fault, $weight),)*],)* }
            }
        }
    };
}

scenarios! {
    /// Everything that costs players nothing but time, together.
    Mixed "mixed" [
        KillServer 6, KillAtCall 4, StopServer 4, KillGateway 2, CutConnection 6, SilenceConnection 3, BlockPath 4,
        CutOffStore 3, StoreAway 1, WrongVerdict 3, Drain 2, RestartClient 3, MoveClient 4,
    ],
    /// Nothing goes wrong.
    Calm "calm" [],
    /// Connections are cut and silenced, paths blocked.
    Network "network" [CutConnection 6, SilenceConnection 4, BlockPath 6, CutOffStore 3, MoveClient 4, RestartClient 2],
    /// Processes die.
    Crashes "crashes" [KillServer 6, KillAtCall 8, KillGateway 3, RestartClient 2, CutConnection 2],
    /// Players seldom move, so games go on far beyond their last entries; their servers die, or are taken for dead.
    Quiet "quiet" [KillServer 6, KillAtCall 2, StopServer 2, WrongVerdict 4, CutConnection 2, MoveClient 2, RestartClient 1],
    /// Processes are held up, and wrongly taken for dead.
    Stops "stops" [StopServer 8, WrongVerdict 6, BlockPath 2, MoveClient 2],
    /// The store can't be reached, by one or by all.
    Outages "outages" [StoreAway 6, CutOffStore 6, CutConnection 2, MoveClient 2],
    /// The store is away for everyone, and nothing else goes wrong with it.
    Away "away" [StoreAway 6, CutConnection 3, MoveClient 3],
    /// Servers drain.
    Drains "drains" [Drain 8, KillServer 1, CutConnection 3, MoveClient 3, WrongVerdict 1],
    /// The store goes back to an earlier state while every owner lives.
    Rollback "rollback" [Rollback 6, CutConnection 3, MoveClient 3],
    /// The store comes back empty while every owner lives.
    Wipe "wipe" [Wipe 4, CutConnection 3, MoveClient 3],
    /// The store goes back to an earlier state, and servers die: what was acknowledged since may be lost, and no more.
    Double "double" [Rollback 4, KillServer 4, KillAtCall 4, CutConnection 2],
    /// Games that end with their server.
    Ephemeral "ephemeral" [
        KillServer 2, StopServer 3, KillGateway 2, CutConnection 6, SilenceConnection 3, BlockPath 4, CutOffStore 2,
        RestartClient 3, MoveClient 4,
    ],
}

impl Scenario {
    /// Whether things go wrong together that may cost more than a pause.
    #[must_use]
    pub const fn is_double_failure(self) -> bool {
        matches!(self, Self::Double)
    }

    /// Whether nothing goes wrong with the store and with the servers' way to it at the same time.
    #[must_use]
    pub const fn is_single_failure(self) -> bool {
        matches!(self, Self::Away | Self::Calm)
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No scenario has this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownScenario;

impl fmt::Display for UnknownScenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no scenario has this name; there are {:?}", Scenario::ALL)
    }
}

impl std::error::Error for UnknownScenario {}

impl FromStr for Scenario {
    type Err = UnknownScenario;

    fn from_str(text: &str) -> Result<Self, UnknownScenario> {
        Self::ALL.iter().copied().find(|scenario| scenario.name() == text).ok_or(UnknownScenario)
    }
}

/// Players who play one game after the other together.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// Which type of ledger they play.
    pub variant: u8,
    /// How many they are.
    pub players: usize,
}

/// What one run is like: all of it follows from the seed.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// The kind of run.
    pub scenario: Scenario,
    /// How many game servers there are.
    pub servers: usize,
    /// How many gateways.
    pub gateways: usize,
    /// Who plays.
    pub groups: Vec<Group>,
    /// How long a packet takes between servers, about; to a client it is more.
    pub latency: Duration,
    /// How often a packet takes much longer.
    pub spikes: f64,
    /// How often a call to the store is refused, lost, unanswered or slow.
    pub store_trouble: f64,
    /// How often the store's news are lost.
    pub lost_news: f64,
    /// The mean time between two faults.
    pub fault_period: Duration,
    /// The mean time between two moves of a player.
    pub move_period: Duration,
    /// How often a move ends the game, and how often it crashes it.
    pub endings: f64,
    /// How far games of fixed steps may be shown beyond their last committed entry.
    pub horizon: Duration,
    /// When nothing goes wrong any more.
    pub mend: Now,
    /// By when everything must be well again.
    pub well: Now,
    /// When players stop moving.
    pub hush: Now,
    /// The end, when everything must have been acknowledged.
    pub end: Now,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn new(seed: u64, scenario: Scenario) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let is_brief = scenario == Scenario::Ephemeral;
        let groups = (0..rng.random_range(1..=3))
            .map(|_| Group {
                variant: rng.random_range(0..2) + if is_brief { variant::STEPS_EPHEMERAL } else { 0 },
                players: rng.random_range(1..=3),
            })
            .collect();
        let faulty = Duration::from_secs(rng.random_range(6..16));
        let mend = Now(faulty);
        let is_quiet = scenario == Scenario::Quiet;
        Self {
            seed,
            scenario,
            servers: rng.random_range(2..=3),
            gateways: rng.random_range(1..=3),
            groups,
            latency: Duration::from_micros(rng.random_range(100..3000)),
            spikes: [0.0, 0.002, 0.02][rng.random_range(0..3)],
            store_trouble: if scenario.is_single_failure() { 0.0 } else { [0.0, 0.01, 0.05][rng.random_range(0..3)] },
            lost_news: [0.0, 0.1, 0.5][rng.random_range(0..3)],
            fault_period: ms(rng.random_range(300..2500)),
            move_period: ms(rng.random_range(80..500)) * if is_quiet { 5 } else { 1 },
            endings: [0.0, 0.0, 0.002, 0.01][rng.random_range(0..4)],
            horizon: if is_quiet { ms(rng.random_range(500..4000)) } else { JournalPolicy::default().horizon },
            mend,
            well: mend + Duration::from_secs(20),
            hush: mend + Duration::from_secs(24),
            end: mend + Duration::from_secs(28),
        }
    }

    /// How many clients there are.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.groups.iter().map(|group| group.players).sum()
    }

    /// What can go wrong, with its weight.
    #[must_use]
    pub const fn faults(&self) -> &'static [(Kind, u32)] {
        self.scenario.faults()
    }

    /// Whether a rollback and the death of an owner never come together.
    #[must_use]
    pub fn is_guarded(&self) -> bool {
        matches!(self.scenario, Scenario::Rollback | Scenario::Wipe)
    }
}
