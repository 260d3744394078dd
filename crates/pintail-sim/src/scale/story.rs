//! What happens to a cluster, and what must come of it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use pintail_core::limits::{DOWN_AFTER, LEASE_TTL, REAP_INTERVAL, SCAN_PERIOD};

/// When games begin to be placed: every server is there by then, and leases have been renewed for long enough to count.
pub const PLACES_FROM: Duration = Duration::from_secs(3);

/// When something happens.
pub const STRIKES_AT: Duration = Duration::from_secs(4);

/// When games are no longer placed.
pub const PLACES_UNTIL: Duration = Duration::from_secs(9);

/// When it is over. What is counted from the strike on is counted for six whole scan periods, so that each gateway scans as often
/// as any other in it, whenever it began.
pub const ENDS_AT: Duration = Duration::from_secs(13);
const _: () = assert!((ENDS_AT.as_millis() - STRIKES_AT.as_millis()).is_multiple_of(SCAN_PERIOD.as_millis()));

/// How long a look for leases that ran out may be away: the longest pause between two looks of one server.
const LOOK_PAUSE_MAX: Duration = Duration::from_millis(500);

/// What may come on top of the periods: two ticks of an observer (its own, and that of the one who agrees), and the ways there and
/// back.
const SLACK: Duration = Duration::from_millis(220);

/// What operations.md calls some tens of milliseconds.
const REFUSAL_MAX: Duration = Duration::from_millis(100);

/// What happens to a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Story {
    /// Nothing, but for a hundred games for each server.
    Calm,
    /// More games than there is room for.
    Full,
    /// The process of one game server is killed.
    OneDies,
    /// Those of one in twenty are, at once.
    TwentiethDies,
    /// The machines of one in ten vanish, at once.
    RackLost,
    /// Every game server is killed at once.
    AllDie,
    /// One in twenty is killed and comes back three seconds later.
    Restarted,
    /// One in twenty is held up for a second.
    HeldUp,
    /// One in twenty is stopped for four seconds.
    Stopped,
    /// One in twenty drains.
    Drained,
    /// One gateway is cut off from every server.
    BlindGateway,
    /// One gateway is cut off from two in five servers.
    HalfBlindGateway,
    /// One gateway is held up for a second.
    HeldUpGateway,
    /// Two gateways are cut off from the same tenth of the servers.
    TwoBlindGateways,
}

/// What is done to servers or to gateways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// Nothing.
    None,
    /// Processes are killed.
    Kill,
    /// Machines vanish.
    Lose,
    /// Processes are stopped for so long.
    Stop(Duration),
    /// Servers drain.
    Drain,
    /// Gateways don't reach servers, for so long.
    Blind {
        /// How many gateways.
        gateways: usize,
        /// For how long.
        lasting: Duration,
    },
    /// One gateway is stopped for so long.
    StopGateway(Duration),
}

impl Story {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Calm,
        Self::Full,
        Self::OneDies,
        Self::TwentiethDies,
        Self::RackLost,
        Self::AllDie,
        Self::Restarted,
        Self::HeldUp,
        Self::Stopped,
        Self::Drained,
        Self::BlindGateway,
        Self::HalfBlindGateway,
        Self::HeldUpGateway,
        Self::TwoBlindGateways,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Full => "full",
            Self::OneDies => "one-dies",
            Self::TwentiethDies => "twentieth-dies",
            Self::RackLost => "rack-lost",
            Self::AllDie => "all-die",
            Self::Restarted => "restarted",
            Self::HeldUp => "held-up",
            Self::Stopped => "stopped",
            Self::Drained => "drained",
            Self::BlindGateway => "blind-gateway",
            Self::HalfBlindGateway => "half-blind-gateway",
            Self::HeldUpGateway => "held-up-gateway",
            Self::TwoBlindGateways => "two-blind-gateways",
        }
    }

    /// What is done.
    #[must_use]
    pub const fn blow(self) -> Blow {
        match self {
            Self::Calm | Self::Full => Blow::None,
            Self::OneDies | Self::TwentiethDies | Self::AllDie | Self::Restarted => Blow::Kill,
            Self::RackLost => Blow::Lose,
            Self::HeldUp => Blow::Stop(Duration::from_millis(1000)),
            Self::Stopped => Blow::Stop(Duration::from_secs(4)),
            Self::Drained => Blow::Drain,
            Self::BlindGateway | Self::HalfBlindGateway => {
                Blow::Blind { gateways: 1, lasting: Duration::from_millis(2500) }
            }
            Self::TwoBlindGateways => Blow::Blind { gateways: 2, lasting: Duration::from_millis(2500) },
            Self::HeldUpGateway => Blow::StopGateway(Duration::from_millis(1000)),
        }
    }

    /// How many of so many game servers it strikes: those that it is done to, or that gateways don't reach.
    #[must_use]
    pub fn struck(self, games: usize) -> usize {
        match self {
            Self::Calm | Self::Full | Self::HeldUpGateway => 0,
            Self::OneDies => 1,
            Self::TwentiethDies | Self::Restarted | Self::HeldUp | Self::Stopped | Self::Drained => games.div_ceil(20),
            Self::RackLost | Self::TwoBlindGateways => games.div_ceil(10),
            Self::HalfBlindGateway => games * 2 / 5,
            Self::AllDie | Self::BlindGateway => games,
        }
    }

    /// When those that died come back, if they do.
    #[must_use]
    pub const fn comes_back_after(self) -> Option<Duration> {
        match self {
            Self::Restarted => Some(Duration::from_secs(3)),
            _ => None,
        }
    }

    /// Within which time a server that died is out of use, as `docs/operations.md` promises.
    #[must_use]
    pub fn found_within(self) -> Duration {
        match self {
            // More than half look dead, so every gateway doubts itself, and leases decide.
            Self::AllDie => LEASE_TTL + LOOK_PAUSE_MAX + REAP_INTERVAL,
            Self::RackLost => DOWN_AFTER + SLACK,
            _ => REFUSAL_MAX,
        }
    }

    /// Whether servers that are well may be switched off.
    #[must_use]
    pub const fn may_condemn_the_healthy(self) -> bool {
        matches!(self, Self::TwoBlindGateways)
    }

    /// Whether games are spread evenly over the servers that nothing happened to. Those that a gateway suspects get none
    /// meanwhile.
    #[must_use]
    pub const fn is_spread_even(self) -> bool {
        !matches!(self, Self::BlindGateway | Self::HalfBlindGateway | Self::TwoBlindGateways)
    }

    /// How many games a server takes.
    #[must_use]
    pub const fn capacity(self) -> u32 {
        match self {
            Self::Full => 10,
            _ => 1000,
        }
    }

    /// How many games are placed for each server.
    #[must_use]
    pub const fn games_per_server(self) -> usize {
        match self {
            Self::Calm => 100,
            Self::Full => 12,
            _ => 10,
        }
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Story {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::name).join(", ");
        let story = Self::ALL.into_iter().find(|story| story.name() == text);
        story.ok_or_else(|| format!("there is no story {text}; there are {}", names()))
    }
}
