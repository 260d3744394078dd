//! Every limit that a peer could otherwise push against, with its reason.
//!
//! These are the defaults and the hard bounds. What an operator may change is a setting whose default stands here.

use std::time::Duration;

use crate::Seq;

/// The largest frame body a client may send or be sent, in bytes. Game inputs are tens of bytes and a room's
/// settings a few hundred; this leaves room for a resynchronisation with a large state.
pub const CLIENT_FRAME_BYTES_MAX: usize = 64 * 1024;

/// The largest frame body on a link, in bytes: a client's frame plus the addresses of everyone it is for.
pub const LINK_FRAME_BYTES_MAX: usize = 512 * 1024;

/// The most sessions that one link frame addresses (16 bytes each at most, so well inside a link frame).
pub const DELIVER_SESSIONS_MAX: usize = 4096;

/// How long a connection may take from its first byte to a finished login or greeting; a TLS handshake before that has as
/// long again. Longer is a slowloris.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// How many bytes may wait for a client that does not read, before its connection is closed. It resumes where it was.
/// A whole stream sent again (its payloads, and 41 bytes of each of its messages) arrives at once and must fit.
pub const CLIENT_OUTBOX_BYTES_MAX: usize = 512 * 1024;

/// How many bytes may wait on a link. At 100 MB/s this is what a stall of 80 ms leaves behind.
pub const LINK_OUTBOX_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How long a client may be silent; clients ping each third of it. Below most NATs' idle limits.
pub const CLIENT_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How many lobby requests of one client may be unanswered; more are refused.
pub const LOBBY_REQUESTS_IN_FLIGHT_MAX: usize = 16;

/// The largest body of a lobby request, in bytes: a room's settings, its name, and as much again.
pub const LOBBY_REQUEST_BYTES_MAX: usize = 8 * 1024;

/// How many lobby requests a client may send each second in the long run. A player's program needs one now and then.
pub const LOBBY_REQUESTS_PER_SECOND_MAX: u32 = 20;

/// How many lobby requests a client may send at once after a while of rest: what was unanswered when its last connection
/// broke, its game, and as much again.
pub const LOBBY_REQUESTS_AT_ONCE_MAX: u32 = 40;

/// As how many lobby requests an attach to a game counts, for each may cost a look into the store: so 5 a second in the
/// long run, and 10 at once. A client attaches anew when its game moves, and tries again ever more slowly.
pub const LOBBY_REQUESTS_PER_ATTACH: u32 = 4;

/// How long a gateway waits for a lobby server's answer before it tells the client to try again.
pub const LOBBY_REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// The most characters of a chat message.
pub const CHAT_CHARACTERS_MAX: usize = 500;

/// The most bytes of a room's settings (JSON text).
pub const SETTINGS_BYTES_MAX: usize = 4096;

/// The most bytes of a game's result (JSON text).
pub const RESULT_BYTES_MAX: usize = 8192;

/// The most rooms on one page of a list.
pub const ROOM_PAGE_MAX: u32 = 100;

/// The most players of a room, whatever its game would take.
pub const ROOM_PLAYERS_MAX: u32 = 256;

/// How many messages a stream keeps that its other side has not acknowledged. Past it, a game resynchronises the
/// player, and a client waits.
pub const STREAM_UNACKED_MESSAGES_MAX: usize = 4096;

/// No honest stream gets to this number: a message each nanosecond would take a century.
pub const SEQ_MAX: Seq = Seq(u64::MAX / 4);

/// How many bytes a stream keeps that its other side has not acknowledged.
pub const STREAM_UNACKED_BYTES_MAX: usize = 256 * 1024;

/// After how many reliable messages that a client has not acknowledged it does so at once.
pub const ACK_AFTER_MESSAGES: u64 = 32;

/// After how many bytes of them. The game gives up on who leaves [`STREAM_UNACKED_BYTES_MAX`] unacknowledged, so this leaves
/// room for what is on its way for as long as the client takes to send seven times as much.
pub const ACK_AFTER_BYTES: usize = STREAM_UNACKED_BYTES_MAX / 8;

/// How long an acknowledgement waits for an input to travel with. The game keeps a few messages for longer meanwhile; a
/// player who acts once in a while needs no frames of their own for it, which would be most of what such players send.
pub const ACK_DELAY: Duration = Duration::from_secs(1);

/// How many inputs of one player a game holds for its next step; more are a flood and detach the player.
pub const PENDING_INPUTS_MAX: usize = 1024;

/// How many bytes one entry of a game's journal may have: everything that a step consumed.
pub const JOURNAL_ENTRY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long a server must have run a game since it claimed it to prove that the game can be run. A game that kills its
/// servers does so when it is replayed, or when its players send again what they had sent: within a fraction of it.
pub const PROVEN_AFTER: Duration = Duration::from_millis(500);

/// How many servers in a row may die soon after they claimed a game; it is given to no other. The first takes it for
/// innocent, the second may try it together with other suspects, and the last tries it alone: there is no other to blame.
pub const CLAIM_ATTEMPTS_MAX: u32 = 3;

/// How long a journaled game waits in the store for a server that can run it.
pub const ORPHAN_TTL: Duration = Duration::from_secs(10 * 60);

/// How long a game that failed is kept, with its journal.
pub const FAILED_GAME_TTL: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long a store call may take before it counts as failed.
pub const STORE_TIMEOUT: Duration = Duration::from_millis(1000);

/// A lease's life without renewal.
pub const LEASE_TTL: Duration = Duration::from_millis(2000);

/// How often a lease is renewed.
pub const LEASE_RENEWAL: Duration = Duration::from_millis(500);

/// How often a link says that it is alive.
pub const LINK_HEARTBEAT: Duration = Duration::from_millis(250);

/// How long a client's attach waits at the gateway for the game's server: longer than a takeover takes, and short enough
/// for a player to be told that it takes long.
pub const ATTACH_WAIT: Duration = Duration::from_secs(5);

/// How long a server's link may be silent before a gateway suspects the server: three heartbeats.
pub const SUSPECT_AFTER: Duration = Duration::from_millis(750);

/// How long a suspected server must have been silent before it counts as gone, if another observer agrees or its lease
/// has run out. Longer than the stalls of a busy small machine, shorter than a lease.
pub const DOWN_AFTER: Duration = Duration::from_millis(1500);

/// How late an observer's own timers may be before it accuses nobody.
pub const OBSERVER_LATENESS_MAX: Duration = Duration::from_millis(100);

/// How long an accusation stands that is not repeated.
pub const ACCUSATION_TTL: Duration = Duration::from_millis(1500);

/// How often an observer repeats an accusation.
pub const ACCUSATION_REPEAT: Duration = Duration::from_millis(500);

/// How long a server that died once waits for new games after it is back; it doubles with each time.
pub const PROBATION_FIRST: Duration = Duration::from_secs(1);

/// The longest wait of a server that keeps dying.
pub const PROBATION_MAX: Duration = Duration::from_secs(60);

/// How long a server must have lived for its earlier deaths to be forgotten.
pub const FALLS_FORGIVEN_AFTER: Duration = Duration::from_secs(120);

/// How long a link may be silent before it is closed and dialled again.
pub const LINK_SILENCE_MAX: Duration = Duration::from_secs(3);

/// The shortest time between two looks for servers whose leases ran out, whoever takes them: each reads every slot.
pub const REAP_INTERVAL: Duration = Duration::from_millis(250);

/// How long a gateway that is about to stop goes on as before, but for saying so: as long as a load balancer that asks
/// each second or two takes to send new clients elsewhere.
pub const LAME_DUCK: Duration = Duration::from_secs(5);

/// How long a slot's lease must be gone before another server may take the slot.
pub const SLOT_RECYCLE: Duration = Duration::from_secs(10);

/// The most characters of what a server says about its status.
pub const CAUSE_CHARACTERS_MAX: usize = 120;

/// How often the registry is scanned, whether anything was announced or not.
pub const SCAN_PERIOD: Duration = Duration::from_millis(1500);

/// How long a room lives that nobody touches.
pub const ROOM_IDLE_TTL: Duration = Duration::from_secs(30 * 60);

/// How long a session can be resumed after its last connection.
pub const SESSION_TTL: Duration = Duration::from_secs(60 * 60);

/// How long a member who lost the connection keeps the place in a room.
pub const ROOM_AWAY_GRACE: Duration = Duration::from_secs(30);

/// How long the outcome of a game can be read after its end.
pub const GAME_RECORD_TTL: Duration = Duration::from_secs(10 * 60);

/// How many notices wait for a subscriber of the store that does not read; past it, it is told to scan instead.
pub const SUBSCRIPTION_NOTICES_MAX: usize = 1024;
