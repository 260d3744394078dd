//! How a game server keeps its games, and when it gives up.

use std::time::Duration;

use clap::{Args, value_parser};
use pintail_game::SelfCheck;
use pintail_game::runtime::JournalPolicy;

use super::health::{Health, TooShort};
use super::period::{self, Period};
use super::server::Impossible;
use super::values::Switch;

/// How a game server keeps its games, and when it gives up.
#[derive(Debug, Args)]
#[command(next_help_heading = "Games that outlive their server")]
pub(crate) struct JournalArgs {
    /// How long players see nothing new while Redis can't be reached; then their games go on unprotected
    ///
    /// What a journaled game does is shown once Redis has it, so that nobody sees what would not be true after a crash.
    /// Beyond this time playing on is better than waiting, and a server that dies then costs its games what they did since.
    /// It is for a Redis that is away from all servers: one that is cut off alone waits, as others take its games over.
    #[arg(long, value_name = "PERIOD", env = "PINTAIL_STORE_HOLD", hide_short_help = true,
          default_value_t = Period(STORE_HOLD), value_parser = period::wait)]
    pub(crate) store_hold: Period,

    /// After how many journal entries a game's state is written anew, in their place
    ///
    /// More make a takeover replay more, fewer write whole states more often.
    #[arg(long, value_name = "N", env = "PINTAIL_SNAPSHOT_ENTRIES", hide_short_help = true,
          default_value_t = SNAPSHOT_ENTRIES, value_parser = value_parser!(u64).range(1..=100_000))]
    pub(crate) snapshot_entries: u64,

    /// After how many bytes of journal entries a game's state is written anew, in their place
    #[arg(long, value_name = "BYTES", env = "PINTAIL_SNAPSHOT_BYTES", hide_short_help = true,
          default_value_t = SNAPSHOT_BYTES, value_parser = value_parser!(u32).range(1_024..=16 * 1024 * 1024))]
    pub(crate) snapshot_bytes: u32,

    /// How long the loop that runs the games may hang before the process ends itself, with exit code 70; 0 is never
    ///
    /// A game whose code never returns takes its server with it: others have the games by then, but only a new process
    /// gets the place back. At least --lease-ttl. The log says which game it was.
    #[arg(long, value_name = "PERIOD", env = "PINTAIL_STUCK_EXIT", hide_short_help = true,
          default_value_t = STUCK_EXIT, value_parser = period::wait)]
    pub(crate) stuck_exit: Period,

    /// Play each journaled game twice and compare, to find game code that is not deterministic
    ///
    /// Such a game does not survive its server. What differs is logged as an error, once for each game type. It costs as much
    /// as the games themselves, so it is for development; `dev` does it by default.
    #[arg(long, value_name = "SWITCH", env = "PINTAIL_SELF_CHECK", hide_short_help = true, default_value = "off")]
    pub(crate) self_check: Switch,
}

impl From<Switch> for SelfCheck {
    fn from(switch: Switch) -> Self {
        match switch {
            Switch::On => Self::On,
            Switch::Off => Self::Off,
        }
    }
}

/// What [`JournalPolicy`] has by default.
const STORE_HOLD: Duration = Duration::from_secs(2);
const SNAPSHOT_ENTRIES: u64 = 256;
const SNAPSHOT_BYTES: u32 = 64 * 1024;

/// Five times what it takes until others have the games.
const STUCK_EXIT: Period = Period(Duration::from_secs(10));

/// How a game server keeps its games, and when it gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct GameSettings {
    /// How journaled games are kept.
    pub(crate) journal: JournalPolicy,
    /// How long the loop may hang before the process ends itself; `None` is never.
    pub(crate) stuck_exit: Option<Duration>,
}

impl JournalArgs {
    /// What they mean, beside these settings of health.
    ///
    /// # Errors
    /// If a limit is too short for what it limits.
    pub(crate) fn settings(&self, health: &Health) -> Result<GameSettings, Impossible> {
        let journal = JournalPolicy {
            hold_max: self.store_hold.0,
            snapshot_entries: self.snapshot_entries,
            snapshot_bytes: self.snapshot_bytes as usize,
            self_check: self.self_check.into(),
            ..JournalPolicy::default()
        };
        let stuck_exit = (!self.stuck_exit.0.is_zero()).then_some(self.stuck_exit.0);
        let least = health.periods.lease_ttl;
        if stuck_exit.is_some_and(|stuck_exit| stuck_exit < least) {
            return Err(Impossible::TooShort(TooShort {
                setting: "--stuck-exit",
                given: self.stuck_exit,
                least: Period(least),
                measure: "--lease-ttl",
                otherwise: "a server ends that others still wait for",
            }));
        }
        Ok(GameSettings { journal, stuck_exit })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::args::{Cli, Command};

    fn settings(arguments: &str) -> Result<GameSettings, String> {
        let arguments = ["pintail", "game"].into_iter().chain(arguments.split_whitespace());
        let cli = Cli::try_parse_from(arguments).map_err(|error| error.to_string())?;
        let Command::Game(args) = cli.command else { panic!("a game server") };
        let health = args.health.health(args.store.store_timeout).map_err(|error| error.to_string())?;
        args.journal.settings(&health).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_those_of_the_library_and_a_server_that_hangs_ends() {
        let stuck_exit = Some(Duration::from_secs(10));
        assert_eq!(settings(""), Ok(GameSettings { journal: JournalPolicy::default(), stuck_exit }));
        assert_eq!(GameSettings::default().stuck_exit, None, "other servers of a process are not ended with it");
    }

    #[test]
    fn every_setting_arrives_where_it_belongs() {
        let all = "--store-hold 5s --snapshot-entries 9 --snapshot-bytes 2048 --stuck-exit 3s --self-check on";
        let GameSettings { journal, stuck_exit } = settings(all).unwrap();
        let expected = JournalPolicy {
            hold_max: Duration::from_secs(5),
            snapshot_entries: 9,
            snapshot_bytes: 2048,
            self_check: SelfCheck::On,
            ..JournalPolicy::default()
        };
        assert_eq!((journal, stuck_exit), (expected, Some(Duration::from_secs(3))));
        assert_eq!(settings("--stuck-exit 0").unwrap().stuck_exit, None);
        assert_eq!(settings("--store-hold 0").unwrap().journal.hold_max, Duration::ZERO);
    }

    #[test]
    fn what_can_not_be_is_refused() {
        for (arguments, said) in [
            ("--stuck-exit 1.9s", "--stuck-exit 1.9s is too short: it must be at least 2s (--lease-ttl), or "),
            ("--snapshot-entries 0", "1..=100000"),
            ("--snapshot-bytes 1023", "1024..=16777216"),
            ("--store-hold soon", "such as 250ms"),
            ("--self-check yes", "[possible values: on, off]"),
        ] {
            let refusal = settings(arguments).unwrap_err();
            assert!(refusal.contains(said), "{arguments}: {refusal}");
        }
        assert!(settings("--stuck-exit 2s").is_ok());
    }
}
