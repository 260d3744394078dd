//! The simulated network: connections that keep their order, delay, break, or go silent.
//!
//! A connection is two one-way pipes, as TCP is. What is sent arrives in order after a random delay, or never: a path
//! between two processes can be blocked in one direction (what is sent waits, as for TCP's retransmission), a connection
//! can be dead (what is sent is gone, and nobody is told), and it can be reset (both ends are told).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use pintail_core::Incarnation;
use pintail_core::limits::LINK_OUTBOX_BYTES_MAX;
use pintail_game::runtime::Now;
use pintail_wire::Frame;

use crate::env::{Env, Event};

/// A place where a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    /// The store.
    Store,
    /// A gateway, by number.
    Gateway(usize),
    /// A game server.
    Server(usize),
    /// A client.
    Client(usize),
}

/// One start of a process at a node. What is meant for an earlier one reaches nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process {
    /// Where it runs.
    pub node: Node,
    /// Which start it is.
    pub life: u32,
}

/// A connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The one that dialled.
    Dialler,
    /// The one that was dialled.
    Listener,
}

impl End {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Dialler => Self::Listener,
            Self::Listener => Self::Dialler,
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Dialler => 0,
            Self::Listener => 1,
        }
    }
}

/// Who sent a frame, for the invariants alone: no process looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The game server's incarnation.
    pub incarnation: Incarnation,
    /// When it was sent.
    pub sent: Now,
}

/// What crosses a connection.
#[derive(Debug, Clone)]
pub enum Packet {
    /// Someone dials.
    Dial,
    /// The dial was taken.
    Accept(Incarnation),
    /// Nobody listens.
    Refuse,
    /// A frame.
    Frame(Frame, Option<Origin>),
    /// The other end is gone.
    Reset,
}

#[derive(Debug)]
struct Pipe {
    /// The end that sends into it; None once that one is gone.
    from: Option<Process>,
    /// When the last packet arrives that was sent.
    last: Now,
    /// What waits for a blocked path.
    waiting: VecDeque<Packet>,
    waiting_bytes: usize,
}

#[derive(Debug)]
struct Conn {
    /// By sending end.
    pipes: [Pipe; 2],
    dialler: Node,
    listener: Node,
    is_dead: bool,
}

/// All connections and what is wrong with the paths between nodes.
#[derive(Debug, Default)]
pub struct Network {
    conns: BTreeMap<ConnId, Conn>,
    next: u64,
    blocked: BTreeSet<(Node, Node)>,
    /// The most bytes that ever waited in a pipe.
    pub waiting_bytes_max: usize,
}

impl Network {
    /// Whether nothing gets from one node to the other.
    #[must_use]
    pub fn is_blocked(&self, from: Node, to: Node) -> bool {
        self.blocked.contains(&(from, to))
    }

    /// Nothing gets from one node to the other any more.
    pub fn block(&mut self, from: Node, to: Node) {
        self.blocked.insert((from, to));
    }

    /// The open connections between nodes that pass a test.
    #[must_use]
    pub fn between(&self, test: impl Fn(Node, Node) -> bool) -> Vec<ConnId> {
        let ends = |conn: &Conn| Some((conn.pipes[0].from?.node, conn.pipes[1].from?.node));
        self.conns.iter().filter(|(_, conn)| ends(conn).is_some_and(|(a, b)| test(a, b))).map(|(id, _)| *id).collect()
    }

    /// From now on, what is sent over this connection is gone, and nobody is told.
    pub fn kill_silently(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.is_dead = true;
        }
    }
}

impl Env {
    /// Opens a connection; the answer is a [`Packet::Accept`] or a [`Packet::Refuse`], or nothing.
    pub fn dial(&mut self, from: Process, to: Node) -> ConnId {
        self.net.next += 1;
        let id = ConnId(self.net.next);
        let pipe = |from| Pipe { from, last: Now::default(), waiting: VecDeque::new(), waiting_bytes: 0 };
        let conn = Conn { pipes: [pipe(Some(from)), pipe(None)], dialler: from.node, listener: to, is_dead: false };
        self.net.conns.insert(id, conn);
        self.transmit(id, End::Dialler, Packet::Dial);
        id
    }

    /// Takes a dial at the listener's end.
    pub fn accept(&mut self, id: ConnId, by: Process, incarnation: Incarnation) {
        if let Some(conn) = self.net.conns.get_mut(&id) {
            conn.pipes[1].from = Some(by);
            self.transmit(id, End::Listener, Packet::Accept(incarnation));
        }
    }

    /// Answers a dial that nobody takes.
    pub fn refuse(&mut self, id: ConnId) {
        self.transmit(id, End::Listener, Packet::Refuse);
    }

    /// Sends a frame. False if too much waits already: the sender should close the connection.
    pub fn send(&mut self, id: ConnId, end: End, frame: Frame, origin: Option<Origin>) -> bool {
        self.transmit(id, end, Packet::Frame(frame, origin))
    }

    /// Closes a connection at one end; the other is told if the path lets it through.
    pub fn hang_up(&mut self, id: ConnId, end: End) {
        let Some(conn) = self.net.conns.get_mut(&id) else { return };
        if conn.pipes[end.index()].from.is_some() {
            self.transmit(id, end, Packet::Reset);
        }
        if let Some(conn) = self.net.conns.get_mut(&id) {
            conn.pipes[end.index()].from = None;
            self.forget_if_over(id);
        }
    }

    /// Resets a connection in the middle: both ends are told.
    pub fn reset(&mut self, id: ConnId) {
        for end in [End::Dialler, End::Listener] {
            self.transmit(id, end, Packet::Reset);
        }
    }

    /// Every connection of a process that is gone. Its kernel resets them, or nobody hears anything.
    pub fn close_all(&mut self, of: Process, silently: bool) {
        let own: Vec<(ConnId, End)> = self
            .net
            .conns
            .iter()
            .flat_map(|(id, conn)| {
                [End::Dialler, End::Listener]
                    .into_iter()
                    .filter(|end| conn.pipes[end.index()].from == Some(of))
                    .map(|end| (*id, end))
            })
            .collect();
        for (id, end) in own {
            if silently {
                self.net.kill_silently(id);
            }
            self.hang_up(id, end);
        }
    }

    /// The path works again: what waited goes on.
    pub fn unblock(&mut self, from: Node, to: Node) {
        if !self.net.blocked.remove(&(from, to)) {
            return;
        }
        let ids: Vec<ConnId> = self.net.conns.keys().copied().collect();
        for id in ids {
            for end in [End::Dialler, End::Listener] {
                if self.path(id, end) == Some((from, to)) {
                    self.flush(id, end);
                }
            }
        }
    }

    /// Heals every path.
    pub fn unblock_all(&mut self) {
        for (from, to) in self.net.blocked.clone() {
            self.unblock(from, to);
        }
    }

    /// Who is at this end of the connection.
    #[must_use]
    pub fn at_end(&self, id: ConnId, end: End) -> Option<Process> {
        self.net.conns.get(&id).and_then(|conn| conn.pipes[end.index()].from)
    }

    /// The node that was dialled.
    #[must_use]
    pub fn listener(&self, id: ConnId) -> Option<Node> {
        self.net.conns.get(&id).map(|conn| conn.listener)
    }

    /// The nodes that a pipe leads from and to.
    fn path(&self, id: ConnId, end: End) -> Option<(Node, Node)> {
        let conn = self.net.conns.get(&id)?;
        match end {
            End::Dialler => Some((conn.dialler, conn.listener)),
            End::Listener => Some((conn.listener, conn.dialler)),
        }
    }

    fn transmit(&mut self, id: ConnId, end: End, packet: Packet) -> bool {
        let Some((from, to)) = self.path(id, end) else { return true };
        let is_blocked = self.net.is_blocked(from, to);
        let delay = self.latency(from, to);
        let Some(conn) = self.net.conns.get_mut(&id) else { return true };
        if conn.is_dead {
            return true;
        }
        let pipe = &mut conn.pipes[end.index()];
        if is_blocked || !pipe.waiting.is_empty() {
            let bytes = if let Packet::Frame(frame, _) = &packet { frame.body.len() + 5 } else { 0 };
            pipe.waiting_bytes += bytes;
            pipe.waiting.push_back(packet);
            self.net.waiting_bytes_max = self.net.waiting_bytes_max.max(pipe.waiting_bytes);
            return pipe.waiting_bytes <= LINK_OUTBOX_BYTES_MAX;
        }
        let at = pipe.last.max(self.now + delay);
        pipe.last = at;
        self.at(at, Event::Arrive(id, end.other(), packet));
        true
    }

    fn flush(&mut self, id: ConnId, end: End) {
        let Some(conn) = self.net.conns.get_mut(&id) else { return };
        let pipe = &mut conn.pipes[end.index()];
        pipe.waiting_bytes = 0;
        for packet in std::mem::take(&mut pipe.waiting) {
            self.transmit(id, end, packet);
        }
    }

    fn forget_if_over(&mut self, id: ConnId) {
        let is_over = self.net.conns.get(&id).is_some_and(|conn| conn.pipes.iter().all(|pipe| pipe.from.is_none()));
        if is_over {
            self.net.conns.remove(&id);
        }
    }
}
