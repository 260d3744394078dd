//! What can be done to a cluster.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use pintail_core::Kind;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Something that is done to a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// A server is killed, and started again at its address.
    Kill {
        /// Which kind.
        kind: Kind,
        /// How long it is down.
        down: Duration,
    },
    /// A server is stopped (SIGSTOP) and goes on.
    Pause {
        /// Which kind.
        kind: Kind,
        /// How long it stands still.
        lasts: Duration,
    },
    /// A server's connections are disturbed.
    Cut {
        /// Which kind.
        kind: Kind,
        /// Which connections.
        way: Way,
        /// How.
        how: Disturbance,
        /// How long.
        lasts: Duration,
    },
    /// Redis is killed, and started again with what it has on disk.
    KillRedis {
        /// How long it is down.
        down: Duration,
    },
    /// Redis is stopped (SIGSTOP) and goes on.
    PauseRedis {
        /// How long it stands still.
        lasts: Duration,
    },
    /// Every answer of Redis comes late.
    SlowRedis {
        /// How late.
        delay: Duration,
        /// How long.
        lasts: Duration,
    },
    /// A replacement of a server is started, then the server is told to stop (SIGTERM).
    Drain {
        /// Which kind.
        kind: Kind,
    },
    /// Each server in turn is replaced like that.
    RollingRestart,
}

/// Which connections of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Those that come to it: a gateway's players, another server's gateways.
    In,
    /// Those to Redis.
    Store,
}

/// What is done to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disturbance {
    /// They are reset, once.
    Reset,
    /// They are reset and refused.
    Refuse,
    /// Nothing gets through either way until it is over, as while a cable is out.
    Freeze,
    /// What is sent either way is lost and nobody is told; when it is over, connections are reset.
    Swallow,
    /// The same for what is sent to the server, or to Redis; what comes from there arrives.
    HalfSwallow,
    /// What is sent arrives late.
    Delay,
}

/// What counts as the same kind of failure in a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A process was killed.
    Kill(Kind),
    /// A process stood still.
    Pause(Kind),
    /// Connections were disturbed.
    Cut(Kind),
    /// Redis was killed.
    RedisKilled,
    /// Redis stood still or was slow.
    RedisSlow,
    /// A server was replaced.
    Drain(Kind),
    /// All were.
    Rolling,
}

impl Act {
    /// Any act of this class.
    pub(super) fn any(random: &mut ChaCha8Rng, class: Class) -> Self {
        let mut between = |from: u64, to: u64| Duration::from_millis(random.random_range(from..=to));
        match class {
            Class::Kill(kind) => Self::Kill { kind, down: between(0, 4000) },
            Class::Pause(kind) => Self::Pause { kind, lasts: between(400, 6000) },
            Class::Cut(kind) => {
                let lasts = between(300, 5000);
                let way = if random.random_range(0..3) == 0 { Way::Store } else { Way::In };
                Self::Cut { kind, way, how: any_disturbance(random), lasts }
            }
            Class::RedisKilled => Self::KillRedis { down: between(0, 3000) },
            Class::RedisSlow => {
                let (lasts, delay) = (between(400, 4000), between(5, 100));
                if random.random_range(0..2) == 0 {
                    Self::PauseRedis { lasts }
                } else {
                    Self::SlowRedis { delay, lasts }
                }
            }
            Class::Drain(kind) => Self::Drain { kind },
            Class::Rolling => Self::RollingRestart,
        }
    }

    /// What it counts as.
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::Kill { kind, .. } => Class::Kill(kind),
            Self::Pause { kind, .. } => Class::Pause(kind),
            Self::Cut { kind, .. } => Class::Cut(kind),
            Self::KillRedis { .. } => Class::RedisKilled,
            Self::PauseRedis { .. } | Self::SlowRedis { .. } => Class::RedisSlow,
            Self::Drain { kind } => Class::Drain(kind),
            Self::RollingRestart => Class::Rolling,
        }
    }

    /// How long it is thought to take.
    pub(super) fn duration(self) -> Duration {
        match self {
            Self::Kill { down: lasts, .. } | Self::KillRedis { down: lasts } => lasts,
            Self::Pause { lasts, .. } | Self::Cut { lasts, .. } => lasts,
            Self::PauseRedis { lasts } | Self::SlowRedis { lasts, .. } => lasts,
            Self::Drain { .. } => Duration::from_millis(300),
            Self::RollingRestart => Duration::from_secs(2),
        }
    }
}

fn any_disturbance(random: &mut ChaCha8Rng) -> Disturbance {
    use Disturbance::{Delay, Freeze, HalfSwallow, Refuse, Reset, Swallow};
    [Reset, Refuse, Freeze, Swallow, HalfSwallow, Delay][random.random_range(0..6)]
}

impl FromStr for Class {
    type Err = String;

    /// Reads `kill-game`, `pause-gateway`, `cut-lobby`, `drain-game`, `redis-killed`, `redis-slow` or `rolling`.
    fn from_str(text: &str) -> Result<Self, String> {
        let keys: Vec<(String, Self)> = Self::every().map(|class| (class.key(), class)).collect();
        let found = keys.iter().find(|(key, _)| key == text).map(|(_, class)| *class);
        found.ok_or_else(|| {
            let keys: Vec<&str> = keys.iter().map(|(key, _)| key.as_str()).collect();
            format!("the kinds of failures are {}", keys.join(", "))
        })
    }
}

impl Class {
    /// All of them.
    pub fn every() -> impl Iterator<Item = Self> {
        let of_kinds = [Self::Kill, Self::Pause, Self::Cut, Self::Drain].into_iter();
        let of_kinds = of_kinds.flat_map(|of_kind: fn(Kind) -> Self| Kind::ALL.map(of_kind));
        of_kinds.chain([Self::RedisKilled, Self::RedisSlow, Self::Rolling])
    }

    /// What it is called on the command line.
    #[must_use]
    pub fn key(self) -> String {
        match self {
            Self::Kill(kind) => format!("kill-{}", kind.as_str().to_lowercase()),
            Self::Pause(kind) => format!("pause-{}", kind.as_str().to_lowercase()),
            Self::Cut(kind) => format!("cut-{}", kind.as_str().to_lowercase()),
            Self::Drain(kind) => format!("drain-{}", kind.as_str().to_lowercase()),
            Self::RedisKilled => "redis-killed".to_owned(),
            Self::RedisSlow => "redis-slow".to_owned(),
            Self::Rolling => "rolling".to_owned(),
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Duration::as_secs_f64;
        match self {
            Self::Kill { kind, down } => write!(f, "kill a {}, start it {:.1} s later", name(*kind), seconds(down)),
            Self::Pause { kind, lasts } => write!(f, "stop a {} for {:.1} s", name(*kind), seconds(lasts)),
            Self::Cut { kind, way, how, lasts } => {
                let way = match (way, kind) {
                    (Way::Store, _) => "Redis",
                    (Way::In, Kind::Gateway) => "its players",
                    (Way::In, _) => "the gateways",
                };
                let how = match how {
                    Disturbance::Reset => "reset",
                    Disturbance::Refuse => "cut",
                    Disturbance::Freeze => "freeze",
                    Disturbance::Swallow => "swallow",
                    Disturbance::HalfSwallow => "half swallow",
                    Disturbance::Delay => "delay",
                };
                write!(f, "{how} the way between a {} and {way} for {:.1} s", name(*kind), seconds(lasts))
            }
            Self::KillRedis { down } => write!(f, "kill Redis, start it {:.1} s later", seconds(down)),
            Self::PauseRedis { lasts } => write!(f, "stop Redis for {:.1} s", seconds(lasts)),
            Self::SlowRedis { delay, lasts } => {
                write!(f, "delay Redis by {} ms for {:.1} s", delay.as_millis(), seconds(lasts))
            }
            Self::Drain { kind } => write!(f, "replace a {}", name(*kind)),
            Self::RollingRestart => write!(f, "replace all servers, one by one"),
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(kind) => write!(f, "{} killed", name(*kind)),
            Self::Pause(kind) => write!(f, "{} stopped for a while", name(*kind)),
            Self::Cut(kind) => write!(f, "{} cut off for a while", name(*kind)),
            Self::RedisKilled => f.write_str("Redis killed and restarted"),
            Self::RedisSlow => f.write_str("Redis stopped or slow for a while"),
            Self::Drain(kind) => write!(f, "{} replaced", name(*kind)),
            Self::Rolling => f.write_str("all replaced, one by one"),
        }
    }
}

/// What a kind of server is called.
#[must_use]
pub const fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Gateway => "gateway",
        Kind::Lobby => "lobby",
        Kind::Game => "game server",
    }
}
