//! Which servers a gateway should be linked to.
//!
//! Those whose lease is there, whatever they take: players come back to their games on a server that is congested or
//! drains, and so it stays dialled until it has left.
//!
//! The registry's scan is the truth about who is there, but not about who is dead: an entry that vanished (a store that
//! came back empty, a lease that ran out while the store was away) does not end a link that works. It only ends the
//! dialling. Announcements are hints to scan at once. Who is dead, [`health`](crate::health) decides.

use std::collections::BTreeMap;

use pintail_core::{Endpoint, Incarnation, Kind, Slot};

/// A server to link to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Its slot.
    pub slot: Slot,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// This start of it; `None` for a foreign server, which does not say.
    pub incarnation: Option<Incarnation>,
}

/// What a gateway has to do about one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkCommand {
    /// Dial it, and dial again whenever the link breaks.
    Dial(Peer),
    /// Another server has the slot: drop the link, or the attempts to open one.
    Drop(Slot),
    /// It is no longer in the registry: keep the link as long as it works, but don't dial again.
    Release(Slot),
    /// It is in the registry again, as it was: dial again whenever the link breaks.
    Retain(Slot),
}

/// The servers that a gateway knows.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    known: BTreeMap<Slot, Known>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    peer: Peer,
    listed: bool,
}

impl Directory {
    /// A directory that knows nobody.
    #[must_use]
    pub const fn new() -> Self {
        Self { known: BTreeMap::new() }
    }

    /// Takes a complete scan of one kind of server: all that are live, and no others.
    pub fn scanned(&mut self, kind: Kind, live: impl IntoIterator<Item = Peer>) -> Vec<LinkCommand> {
        let mut commands = Vec::new();
        let live: BTreeMap<Slot, Peer> =
            live.into_iter().filter(|peer| peer.slot.kind == kind).map(|peer| (peer.slot, peer)).collect();
        for known in self.known.values_mut().filter(|known| known.peer.slot.kind == kind && known.listed) {
            if !live.contains_key(&known.peer.slot) {
                known.listed = false;
                commands.push(LinkCommand::Release(known.peer.slot));
            }
        }
        for (slot, peer) in live {
            self.seen(slot, peer, &mut commands);
        }
        commands
    }

    fn seen(&mut self, slot: Slot, peer: Peer, commands: &mut Vec<LinkCommand>) {
        match self.known.get_mut(&slot) {
            Some(known) if known.peer == peer => {
                if !known.listed {
                    known.listed = true;
                    commands.push(LinkCommand::Retain(slot));
                }
            }
            Some(known) => {
                *known = Known { peer, listed: true };
                commands.extend([LinkCommand::Drop(slot), LinkCommand::Dial(peer)]);
            }
            None => {
                self.known.insert(slot, Known { peer, listed: true });
                commands.push(LinkCommand::Dial(peer));
            }
        }
    }

    /// A released server's link has ended: forget the server, or dial it anew if it was listed again meanwhile.
    pub fn ended(&mut self, peer: &Peer) -> Option<LinkCommand> {
        let known = self.known.get(&peer.slot).filter(|known| known.peer == *peer)?;
        if known.listed {
            return Some(LinkCommand::Dial(*peer));
        }
        self.known.remove(&peer.slot);
        None
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::LinkCommand::{Dial, Drop, Release, Retain};
    use super::*;

    fn peer(index: u32, port: u16, incarnation: u128) -> Peer {
        Peer {
            slot: Slot::new(Kind::Game, index),
            endpoint: Endpoint::new(Ipv4Addr::LOCALHOST, port),
            incarnation: Some(Incarnation(incarnation)),
        }
    }

    #[test]
    fn scans_become_commands() {
        let (a, b) = (peer(0, 1, 1), peer(1, 2, 2));
        let restarted = peer(0, 1, 9);
        let mut directory = Directory::new();
        let story: [(&[Peer], &[LinkCommand]); 8] = [
            (&[a], &[Dial(a)]),
            (&[a], &[]),
            (&[b, a], &[Dial(b)]),
            (&[], &[Release(a.slot), Release(b.slot)]),
            (&[], &[]),
            (&[a], &[Retain(a.slot)]),
            (&[restarted], &[Drop(a.slot), Dial(restarted)]),
            (&[restarted, b], &[Retain(b.slot)]),
        ];
        for (step, (scan, commands)) in story.into_iter().enumerate() {
            assert_eq!(directory.scanned(Kind::Game, scan.iter().copied()), commands, "step {step}");
        }
    }

    #[test]
    fn a_scan_of_one_kind_says_nothing_about_another() {
        let mut directory = Directory::new();
        directory.scanned(Kind::Game, [peer(0, 1, 1)]);
        assert_eq!(directory.scanned(Kind::Lobby, [peer(5, 5, 5)]), []);
    }

    #[test]
    fn a_released_server_is_forgotten_when_its_link_ends_and_dialled_anew_when_it_comes_back() {
        let a = peer(0, 1, 1);
        let mut directory = Directory::new();
        directory.scanned(Kind::Game, [a]);
        directory.scanned(Kind::Game, []);
        directory.scanned(Kind::Game, [a]);
        assert_eq!(directory.ended(&a), Some(Dial(a)), "it was listed again while its link was ending");
        directory.scanned(Kind::Game, []);
        assert_eq!(directory.ended(&a), None);
        assert_eq!(directory.scanned(Kind::Game, [a]), [Dial(a)]);
    }
}
