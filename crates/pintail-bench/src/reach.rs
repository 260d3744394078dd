//! How many players this process can be: what the operating system allows.

use std::fs;

use pintail_net::descriptors;
use thiserror::Error;

/// Files that are no player's: logs, reports, what the runtime needs, the servers' output.
const FILES_RESERVED: u64 = 128;

/// The ports of outgoing connections on a system that does not say: Linux's own default.
const PORTS_DEFAULT: u64 = 28_232;

/// What limits the players.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// How many files this process may have open. The servers that it starts may have as many.
    pub files: u64,
    /// How many connections can go from this machine to one port of another, or of itself.
    pub ports: u64,
}

/// Who holds the other end of the players' connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherEnd {
    /// So many gateways, each on a machine or port of its own, with limits that are not known.
    Elsewhere(u64),
    /// So many gateways, each a process with the same limits as this one.
    Processes(u64),
    /// So many gateways in one process with the same limits as this one.
    OneProcess(u64),
}

/// A load needs more than the operating system allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TooMany {
    /// Of open files.
    #[error(
        "{wanted} players need more open files than the {files} that a process may have here, which are enough for {most}: \
         raise the hard limit (ulimit -Hn, LimitNOFILE of systemd, --ulimit nofile of containers), or start more \
         gateways with --gateways"
    )]
    Files {
        /// How many players are wanted.
        wanted: u64,
        /// The limit.
        files: u64,
        /// How many players it is enough for.
        most: u64,
    },
    /// Of ports.
    #[error(
        "{wanted} players need more ports than this machine has for its connections to {gateways} gateway(s), which are \
         enough for {most}: widen net.ipv4.ip_local_port_range, or use more gateways"
    )]
    Ports {
        /// How many players are wanted.
        wanted: u64,
        /// How many gateways there are.
        gateways: u64,
        /// How many players the ports are enough for.
        most: u64,
    },
}

impl Reach {
    /// This process's, after it has raised its limit of open files as far as it may.
    #[must_use]
    pub fn here() -> Self {
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
        Self { files: descriptors::raise_limit(), ports: ports(&range).unwrap_or(PORTS_DEFAULT) }
    }

    /// How many players can be connected.
    #[must_use]
    pub fn players_max(self, end: OtherEnd) -> u64 {
        self.files_for(end).min(self.ports_for(end))
    }

    /// Whether so many players can be connected.
    ///
    /// # Errors
    /// If not.
    pub fn check(self, wanted: u64, end: OtherEnd) -> Result<(), TooMany> {
        let (files, ports) = (self.files_for(end), self.ports_for(end));
        if wanted > files {
            return Err(TooMany::Files { wanted, files: self.files, most: files });
        }
        if wanted > ports {
            return Err(TooMany::Ports { wanted, gateways: end.gateways(), most: ports });
        }
        Ok(())
    }

    fn files_for(self, end: OtherEnd) -> u64 {
        let own = self.files.saturating_sub(FILES_RESERVED);
        let of_process = u64::try_from(descriptors::clients_max(self.files)).unwrap_or(u64::MAX);
        match end {
            OtherEnd::Elsewhere(_) => own,
            OtherEnd::OneProcess(_) => own.min(of_process),
            OtherEnd::Processes(gateways) => own.min(of_process.saturating_mul(gateways)),
        }
    }

    fn ports_for(self, end: OtherEnd) -> u64 {
        self.ports.saturating_mul(end.gateways())
    }
}

impl OtherEnd {
    const fn gateways(self) -> u64 {
        let (Self::Elsewhere(gateways) | Self::Processes(gateways) | Self::OneProcess(gateways)) = self;
        gateways
    }
}

/// How many ports there are in a range as Linux writes it: the first and the last.
fn ports(range: &str) -> Option<u64> {
    let mut ends = range.split_whitespace().map(|end| end.parse::<u64>().ok());
    let (first, last) = (ends.next()??, ends.next()??);
    (last + 1).checked_sub(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Reach = Reach { files: 20_000, ports: 28_232 };

    #[test]
    fn the_range_of_ports_is_read() {
        assert_eq!(ports("32768\t60999\n"), Some(28_232));
        assert_eq!(ports("1 1"), Some(1));
        for none in ["", "1", "a b", "9 1"] {
            assert_eq!(ports(none), None, "{none}");
        }
    }

    #[test]
    fn the_smaller_of_both_ends_limits() {
        for (end, most) in [
            (OtherEnd::Elsewhere(1), 19_872),
            (OtherEnd::OneProcess(4), 17_936),
            (OtherEnd::Processes(1), 17_936),
            (OtherEnd::Processes(2), 19_872),
        ] {
            assert_eq!(HERE.players_max(end), most, "{end:?}");
            assert_eq!(HERE.check(most, end), Ok(()));
            assert_eq!(HERE.check(most + 1, end), Err(TooMany::Files { wanted: most + 1, files: 20_000, most }));
        }
    }

    #[test]
    fn ports_count_for_each_gateway() {
        let endless = Reach { files: u64::MAX, ..HERE };
        assert_eq!(endless.players_max(OtherEnd::Elsewhere(2)), 56_464);
        let refusal = endless.check(30_000, OtherEnd::Processes(1)).unwrap_err().to_string();
        assert!(refusal.contains("28232") && refusal.contains("ip_local_port_range"), "{refusal}");
    }

    #[test]
    fn this_process_can_be_some_players() {
        assert!(Reach::here().players_max(OtherEnd::Processes(1)) > 10);
    }
}
