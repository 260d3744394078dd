//! The limits of a game server, with their reasons. Those that clients or gateways share stand in
//! [`pintail_core::limits`].

use std::time::Duration;

use pintail_core::limits::LEASE_TTL;

/// The most bytes of one input or message of a game: it has to fit a client's frame.
pub const PAYLOAD_BYTES_MAX: usize = pintail_wire::game::PAYLOAD_BYTES_MAX;

/// How long an acknowledgement waits for a message to go along with.
pub(crate) const ACK_DELAY: Duration = Duration::from_millis(100);

/// How many inputs wait for an acknowledgement before it is sent alone: far below what a client may have unacknowledged.
pub(crate) const ACK_INPUTS_MAX: u64 = 64;

/// How many missed steps are made up at once after a stall. More would stall the other games in turn; the game's time
/// falls behind instead.
pub(crate) const CATCH_UP_STEPS_MAX: u32 = 5;

/// How long a player has at least to attach after the start, whatever the grace: the news has to reach the client.
pub(crate) const FIRST_ATTACH_GRACE_MIN: Duration = Duration::from_secs(10);

/// How often a player may attach between two steps. Each is an event for the game; beyond it, the client is told to
/// try again later.
pub(crate) const PENDING_ATTACHES_MAX: usize = 64;

/// How long a game has to be this server's before it follows a client that knows more of it. A store that went back to an
/// earlier state may have misled the server; an owner that still lives has said so by then, for its lease is shorter.
pub(crate) const FOLLOW_AFTER: Duration = LEASE_TTL.saturating_add(Duration::from_secs(1));

/// How long an ended game waits for players to fetch its last messages.
pub(crate) const LINGER: Duration = Duration::from_secs(10);

/// How many games may be on their way from the store at once. Those beyond are found again by the next scan.
pub(crate) const LOADS_MAX: usize = 1024;

/// How long the loop that runs the games may go on before it looks at its links again: a gateway's heartbeat waits for two
/// turns at most, which leaves most of the time after which a silent server is suspected to a single slow step.
pub(crate) const TURN_BUDGET: Duration = Duration::from_millis(50);

/// How soon a game can be woken again: one that always asks to be woken at once must not keep its server's core busy.
pub(crate) const WAKE_DELAY_MIN: Duration = Duration::from_millis(1);

/// How often a draining server says how far it is.
pub(crate) const DRAIN_REPORT_PERIOD: Duration = Duration::from_secs(2);

/// How many bytes of events may wait for a game's next step: half of what an entry of its journal may have, which leaves the
/// other half for what stands beside them. What comes beyond is a flood.
pub(crate) const PENDING_BYTES_MAX: usize = pintail_core::limits::JOURNAL_ENTRY_BYTES_MAX / 2;

/// What an event takes beside its payload, in an entry and in memory.
pub(crate) const EVENT_BYTES: usize = 32;

/// How many bytes of a journaled game's output may be held until they may leave. A game whose output reaches it stands still
/// until it may speak again.
pub(crate) const HELD_BYTES_MAX: usize = 1024 * 1024;

/// How many states for the same players wait to be shown: those of more steps than a quick store keeps waiting, each of
/// which is shown; and few enough that all games of a server can send theirs at once when the store was slow.
pub(crate) const HELD_STATES_MAX: usize = 4;

/// How many reliable messages of a game may be held: half of what a stream keeps, so that waiting for the store alone
/// never makes a player fall behind.
pub(crate) const HELD_MESSAGES_MAX: usize = pintail_core::limits::STREAM_UNACKED_MESSAGES_MAX / 2;

/// How many bytes of reliable messages of a game may be held, for the same reason.
pub(crate) const HELD_RELIABLE_BYTES_MAX: usize = pintail_core::limits::STREAM_UNACKED_BYTES_MAX / 2;

/// How many bytes the snapshot of a game may have. Games share their way to the store, and a larger one would keep the others
/// waiting.
pub(crate) const SNAPSHOT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How many games are written anew at once after the store may have lost something, or the server was cut off from it.
pub(crate) const REFRESH_BATCH: usize = 32;

/// How long the next ones wait: some 1600 games a second, which a single Redis takes beside its other work.
pub(crate) const REFRESH_PERIOD: Duration = Duration::from_millis(20);

/// How long a game waits that could not be handed over before it is tried again.
pub(crate) const MOVE_RETRY: Duration = Duration::from_secs(1);

/// How long a game waits whose hand-over was not answered, before the same is asked again. It stands still meanwhile.
pub(crate) const HAND_OVER_REPEAT: Duration = Duration::from_millis(250);
