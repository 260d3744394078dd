//! The periods and limits by which the servers of a cluster watch each other.

use std::time::Duration;

use clap::Args;
use pintail_core::limits;
use pintail_net::Timing;
use pintail_store::Periods;

use super::period::{self, Period};
use super::server::Impossible;

/// How quickly a server notices what happens to others, and others what happens to it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Health (give every server of a cluster the same)")]
pub(crate) struct HealthArgs {
    /// How often each end of a link says that it is alive
    #[arg(long, value_name = "PERIOD", env = "PINTAIL_HEARTBEAT", hide_short_help = true,
          default_value_t = Period(limits::LINK_HEARTBEAT), value_parser = period::repeated)]
    pub(crate) heartbeat: Period,

    /// After which silence a gateway suspects a server, which then gets no new games
    ///
    /// At least twice --heartbeat, so that one late heartbeat raises no suspicion.
    #[arg(long, value_name = "PERIOD", env = "PINTAIL_SUSPECT_AFTER", hide_short_help = true,
          default_value_t = Period(limits::SUSPECT_AFTER), value_parser = period::repeated)]
    pub(crate) suspect_after: Period,

    /// After which silence a server is down, if another gateway agrees or its lease has run out
    ///
    /// At least --suspect-after. Shorter finds hung servers sooner; longer forgives machines that stall.
    #[arg(long, value_name = "PERIOD", env = "PINTAIL_DOWN_AFTER", hide_short_help = true,
          default_value_t = Period(limits::DOWN_AFTER), value_parser = period::repeated)]
    pub(crate) down_after: Period,

    /// After which silence a link is closed and dialled again
    ///
    /// At least --down-after: while the link is there, the server may answer yet.
    #[arg(long, value_name = "PERIOD", env = "PINTAIL_LINK_TIMEOUT", hide_short_help = true,
          default_value_t = Period(limits::LINK_SILENCE_MAX), value_parser = period::repeated)]
    pub(crate) link_timeout: Period,

    /// How long a server's lease in the registry lives without renewal
    ///
    /// At least three times --lease-renewal, so that a renewal may be lost, and --store-timeout, so that Redis may be
    /// slow to answer one.
    #[arg(long, value_name = "PERIOD", env = "PINTAIL_LEASE_TTL", hide_short_help = true,
          default_value_t = Period(limits::LEASE_TTL), value_parser = period::repeated)]
    pub(crate) lease_ttl: Period,

    /// How often a server renews its lease, and says how it is
    #[arg(long, value_name = "PERIOD", env = "PINTAIL_LEASE_RENEWAL", hide_short_help = true,
          default_value_t = Period(limits::LEASE_RENEWAL), value_parser = period::repeated)]
    pub(crate) lease_renewal: Period,

    /// How often a gateway reads the whole registry, whether anything was announced or not
    #[arg(long, value_name = "PERIOD", env = "PINTAIL_SCAN_PERIOD", hide_short_help = true,
          default_value_t = Period(limits::SCAN_PERIOD), value_parser = period::repeated)]
    pub(crate) scan_period: Period,

    /// How long nobody must have held a slot before another server may take it
    ///
    /// At least --lease-ttl, so that a server that was held up finds its slot free when it is back.
    #[arg(long, value_name = "PERIOD", env = "PINTAIL_RECYCLE_AFTER", hide_short_help = true,
          default_value_t = Period(limits::SLOT_RECYCLE), value_parser = period::repeated)]
    pub(crate) recycle_after: Period,

    /// How long a game waits for a server that can run it, when its own is gone; then it is over
    ///
    /// At least --recycle-after, so that the only server of a game can be restarted.
    #[arg(long, value_name = "PERIOD", env = "PINTAIL_ORPHAN_TTL", hide_short_help = true,
          default_value_t = Period(limits::ORPHAN_TTL), value_parser = period::wait)]
    pub(crate) orphan_ttl: Period,
}

/// What the settings of health mean to servers and store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Health {
    /// For the servers.
    pub(crate) timing: Timing,
    /// For the store.
    pub(crate) periods: Periods,
}

impl HealthArgs {
    /// What they mean. `store_timeout` is how long a call of the store may take.
    ///
    /// # Errors
    /// If a limit is too short for what it limits.
    pub(crate) fn health(&self, store_timeout: Period) -> Result<Health, Impossible> {
        self.check(store_timeout)?;
        Ok(Health {
            timing: Timing {
                heartbeat: self.heartbeat.0,
                suspect_after: self.suspect_after.0,
                down_after: self.down_after.0,
                link_silence_max: self.link_timeout.0,
                lease_renewal: self.lease_renewal.0,
                lease_ttl: self.lease_ttl.0,
                scan_period: self.scan_period.0,
            },
            periods: Periods {
                lease_ttl: self.lease_ttl.0,
                recycle_after: self.recycle_after.0,
                orphan_ttl: self.orphan_ttl.0,
                ..Periods::default()
            },
        })
    }

    fn check(&self, store_timeout: Period) -> Result<(), Impossible> {
        let times = |count: u32, period: Period| Period(Duration::saturating_mul(period.0, count));
        let rules = [
            TooShort {
                setting: "--suspect-after",
                given: self.suspect_after,
                least: times(2, self.heartbeat),
                measure: "twice --heartbeat",
                otherwise: "one late heartbeat makes a server suspect",
            },
            TooShort {
                setting: "--down-after",
                given: self.down_after,
                least: self.suspect_after,
                measure: "--suspect-after",
                otherwise: "a server is down before anyone suspects it",
            },
            TooShort {
                setting: "--link-timeout",
                given: self.link_timeout,
                least: self.down_after,
                measure: "--down-after",
                otherwise: "links are closed before their server counts as down",
            },
            TooShort {
                setting: "--lease-ttl",
                given: self.lease_ttl,
                least: times(3, self.lease_renewal),
                measure: "three times --lease-renewal",
                otherwise: "a renewal that is lost costs a server its place",
            },
            TooShort {
                setting: "--lease-ttl",
                given: self.lease_ttl,
                least: store_timeout,
                measure: "--store-timeout",
                otherwise: "a renewal that Redis is slow to answer costs a server its place",
            },
            TooShort {
                setting: "--recycle-after",
                given: self.recycle_after,
                least: self.lease_ttl,
                measure: "--lease-ttl",
                otherwise: "a server that was held up finds another one in its slot",
            },
            TooShort {
                setting: "--orphan-ttl",
                given: self.orphan_ttl,
                least: self.recycle_after,
                measure: "--recycle-after",
                otherwise: "games are over before a server that restarts can go on with them",
            },
        ];
        let broken = rules.into_iter().find(|rule| rule.given < rule.least);
        broken.map_or(Ok(()), |rule| Err(Impossible::TooShort(rule)))
    }
}

/// A limit that is too short for what it limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{setting} {given} is too short: it must be at least {least} ({measure}), or {otherwise}")]
pub(crate) struct TooShort {
    pub(super) setting: &'static str,
    pub(super) given: Period,
    pub(super) least: Period,
    pub(super) measure: &'static str,
    pub(super) otherwise: &'static str,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::args::{Cli, Command};

    fn health(arguments: &str) -> Result<Health, String> {
        let arguments = ["pintail", "game"].into_iter().chain(arguments.split_whitespace());
        let Command::Game(args) = Cli::try_parse_from(arguments).unwrap().command else { panic!("a game server") };
        args.health.health(args.store.store_timeout).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_those_of_the_libraries() {
        assert_eq!(health(""), Ok(Health::default()));
    }

    #[test]
    fn every_setting_arrives_where_it_belongs() {
        let all = "--heartbeat 20ms --suspect-after 60ms --down-after 120ms --link-timeout 240ms --lease-ttl 2.5s \
                   --lease-renewal 150ms --scan-period 70ms --recycle-after 3m --orphan-ttl 4m";
        let health = health(all).unwrap();
        let milliseconds = Duration::from_millis;
        assert_eq!(
            health.timing,
            Timing {
                heartbeat: milliseconds(20),
                suspect_after: milliseconds(60),
                down_after: milliseconds(120),
                link_silence_max: milliseconds(240),
                lease_renewal: milliseconds(150),
                lease_ttl: milliseconds(2_500),
                scan_period: milliseconds(70),
            }
        );
        let Periods { lease_ttl, recycle_after, orphan_ttl, .. } = health.periods;
        assert_eq!(
            [lease_ttl, recycle_after, orphan_ttl],
            [milliseconds(2_500), milliseconds(180_000), milliseconds(240_000)]
        );
    }

    #[test]
    fn what_does_not_go_together_is_refused_with_the_least_that_does() {
        for (arguments, said) in [
            ("--heartbeat 400ms", "--suspect-after 750ms is too short: it must be at least 800ms (twice --heartbeat)"),
            ("--suspect-after 2s", "--down-after 1.5s is too short: it must be at least 2s (--suspect-after)"),
            ("--down-after 4s", "--link-timeout 3s is too short: it must be at least 4s (--down-after)"),
            ("--lease-renewal 700ms", "--lease-ttl 2s is too short: it must be at least 2.1s (three times"),
            ("--store-timeout 3s", "--lease-ttl 2s is too short: it must be at least 3s (--store-timeout)"),
            ("--orphan-ttl 9s", "--orphan-ttl 9s is too short: it must be at least 10s (--recycle-after)"),
            ("--recycle-after 1s", "--recycle-after 1s is too short: it must be at least 2s (--lease-ttl)"),
        ] {
            let refusal = health(arguments).unwrap_err();
            assert!(refusal.starts_with(said) && refusal.contains("), or "), "{arguments}: {refusal}");
        }
        for just_enough in [
            "--heartbeat 375ms",
            "--suspect-after 1.5s",
            "--down-after 3s",
            "--lease-ttl 1.5s",
            "--store-timeout 2s",
            "--recycle-after 2s",
            "--orphan-ttl 10s",
        ] {
            assert!(health(just_enough).is_ok(), "{just_enough}");
        }
    }
}
