//! The host of games: from the frame of an input to the frames of what comes of it.
//!
//! ```text
//! cargo bench -p pintail-game --bench hot_paths                    time
//! cargo bench -p pintail-game --bench hot_paths -- instructions    instructions
//! ```

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pintail_core::{
    Durability, EntryNumber, Epoch, GameId, Generation, Incarnation, Kind, RoomId, Round, Seq, SessionId, Slot,
};
use pintail_echo::{Echo, JournaledEcho};
use pintail_game::GameTypes;
use pintail_game::runtime::{Budget, Command, Effects, GameHost, HostEvent, JournalPolicy, Now};
use pintail_measure::{Path, Run};
use pintail_net::LinkId;
use pintail_store::{
    GameOrder, GameRecord, JournalWrite, OrderedPlayer, Owner, SavedGame, SavedJournal, WriteContent, WriteOutcome,
};
use pintail_wire::link::Attach;
use pintail_wire::{Frame, Message as _, game, kind};

/// What is sent: as large as an input or a small answer.
const PAYLOAD: [u8; 64] = [42; 64];

/// The game that all messages are of.
const GAME: GameId = GameId { room: RoomId(7), round: Round(1) };

fn main() -> ExitCode {
    pintail_measure::main(PATHS)
}

const PATHS: &[Path] = &[
    Path::new("game/echo-input", || echo("echo", 1, r#"{"mode":"echo"}"#)),
    Path::new("game/relay-input-to-9", || echo("echo", 10, r#"{"mode":"relay"}"#)),
    Path::new("game/journaled-echo-input", || echo("echo-journaled", 1, r#"{"mode":"echo"}"#)),
];

const SLOT: Slot = Slot::new(Kind::Game, 0);
const INCARNATION: Incarnation = Incarnation(99);
const OWNER: Owner = Owner { slot: SLOT, incarnation: INCARNATION, epoch: Epoch(1) };
const LINK: LinkId = LinkId(1);

/// A turn that is never cut short.
const ENDLESS: Budget<'static> = Budget::new(&Now::default, Now(Duration::MAX));

/// A host with one game, whose players are attached and send in turn.
struct Table {
    host: GameHost,
    now: Now,
    fx: Effects,
    players: u64,
    /// The last input of every player.
    sent: Seq,
    /// The player who sends next.
    next: u64,
    /// The last reliable message that each player was sent.
    received: Vec<Seq>,
    wire: BytesMut,
}

impl Table {
    fn new(game_type: &str, players: u64, settings: &str) -> Self {
        let types = GameTypes::new().with::<Echo>().with::<JournaledEcho>();
        let host = GameHost::new(Arc::new(types), INCARNATION, JournalPolicy::default(), 5);
        let received = vec![Seq(0); usize::try_from(players).expect("a handful of players")];
        let mut table = Self {
            host,
            now: Now::default(),
            fx: Effects::default(),
            players,
            sent: Seq(0),
            next: 0,
            received,
            wire: BytesMut::new(),
        };
        table.handle(HostEvent::Joined(SLOT));
        table.handle(HostEvent::Lease(Now(Duration::MAX)));
        table.handle(HostEvent::Placed(GAME));
        table.handle(HostEvent::Loaded(GAME, Ok(Some(saved(game_type, players, settings)))));
        table.settle();
        (0..players).for_each(|player| table.attach(player));
        table
    }

    fn handle(&mut self, event: HostEvent) {
        self.host.handle(self.now, event, &mut self.fx);
    }

    fn frame(&mut self, kind: u8, body: impl Into<Bytes>) {
        self.handle(HostEvent::Frame(LINK, Frame { kind, body: body.into() }));
    }

    fn attach(&mut self, player: u64) {
        let attach = Attach {
            session: player,
            generation: Generation(1).0,
            room: GAME.room.0,
            round: GAME.round.0,
            ..Attach::default()
        };
        self.frame(kind::link::ATTACH, attach.encode_to_vec());
        self.settle();
    }

    /// The next player sends an input, which acknowledges all that the player was sent.
    fn send(&mut self) {
        let player = self.next;
        self.next = (player + 1) % self.players;
        if player == 0 {
            self.sent = self.sent.next();
        }
        let received = self.received[usize::try_from(player).expect("a handful of players")];
        let header = game::Input::header(GAME, self.sent, received);
        let mut body = BytesMut::with_capacity(8 + header.len() + PAYLOAD.len());
        body.extend_from_slice(&player.to_be_bytes());
        body.extend_from_slice(&header);
        body.extend_from_slice(&PAYLOAD);
        self.now = self.now + Duration::from_micros(100);
        self.frame(kind::link::INPUT, body.freeze());
        self.settle();
    }

    /// Does what is due, and everything that comes of it.
    fn settle(&mut self) {
        loop {
            self.host.advance(self.now, &ENDLESS, &mut self.fx);
            if self.fx.commands.is_empty() {
                return;
            }
            for command in std::mem::take(&mut self.fx.commands) {
                self.carry_out(command);
            }
        }
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Deliver(_, delivery) => {
                self.wire.clear();
                delivery.encode(&mut self.wire);
                black_box(&self.wire);
                if delivery.client_kind == kind::client::GAME_MESSAGE {
                    for (session, _) in &delivery.recipients {
                        let place = usize::try_from(session.0).expect("a handful of players");
                        self.received[place] = self.received[place].next();
                    }
                }
            }
            Command::Write(JournalWrite { game, owner, content }) => {
                let last = match &content {
                    WriteContent::Entries { first, entries } => EntryNumber(first.0 + entries.len() as u64 - 1),
                    WriteContent::Snapshot(snapshot) => snapshot.number,
                };
                black_box(&content);
                self.handle(HostEvent::Written(game, owner.epoch, last, Ok(WriteOutcome::Committed)));
            }
            other => drop(black_box(other)),
        }
    }
}

fn saved(game_type: &str, players: u64, settings: &str) -> SavedGame {
    let player = |session| OrderedPlayer {
        session: SessionId(session),
        name: format!("Player {session}").parse().expect("it is a fine name"),
    };
    let order = GameOrder {
        id: GAME,
        game_type: game_type.parse().expect("it is the name of a game"),
        durability: if game_type == "echo" { Durability::Ephemeral } else { Durability::Journaled },
        settings: settings.to_owned(),
        players: (0..players).map(player).collect(),
        seed: 1,
        lobby: Slot::new(Kind::Lobby, 0),
        trace: None,
    };
    let record = GameRecord { order, owner: OWNER, outcome: None };
    SavedGame { record, attempts: 0, journal: SavedJournal::default() }
}

fn echo(game_type: &str, players: u64, settings: &str) -> Run {
    let mut table = Table::new(game_type, players, settings);
    table.send();
    let delivered: u64 = table.received.iter().map(|seq| seq.0).sum();
    assert_eq!(delivered, players.saturating_sub(1).max(1), "the game answers, or the workload measures nothing");
    // Every player has sent the same number of inputs from here on.
    (1..players).for_each(|_| table.send());
    Box::new(move || table.send())
}
