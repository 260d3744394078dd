//! The limits of a game server, with their reasons. Those that clients or gateways share stand in
//! [`pintail_core::limits`].

use std::time::Duration;

use pintail_core::limits::CLIENT_FRAME_BYTES_MAX;

/// The bytes that stand before a game's payload in a client's frame: seq, ack, game, step.
const MESSAGE_HEADER_BYTES: usize = 36;

/// The most bytes of one message of a game: it has to fit a client's frame.
pub const PAYLOAD_BYTES_MAX: usize = CLIENT_FRAME_BYTES_MAX - MESSAGE_HEADER_BYTES;

/// How long an acknowledgement waits for a message to go along with.
pub(crate) const ACK_DELAY: Duration = Duration::from_millis(100);

/// How many inputs wait for an acknowledgement before it is sent alone: far below what a client may have unacknowledged.
pub(crate) const ACK_INPUTS_MAX: u64 = 64;

/// How many missed steps are made up at once after a stall. More would stall the other games in turn; the game's time
/// falls behind instead.
pub(crate) const CATCH_UP_STEPS_MAX: u32 = 5;

/// How long a player has at least to attach after the start, whatever the grace: the news has to reach the client.
pub(crate) const FIRST_ATTACH_GRACE_MIN: Duration = Duration::from_secs(10);

/// How long an ended game waits for players to fetch its last messages.
pub(crate) const LINGER: Duration = Duration::from_secs(10);

/// How many games may be on their way from the store at once. Those beyond are found again by the next scan.
pub(crate) const LOADS_MAX: usize = 1024;
