//! The limits of a game server, with their reasons. Those that clients or gateways share stand in
//! [`pintail_core::limits`].

use std::time::Duration;

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
