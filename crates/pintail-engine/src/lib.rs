//! The state machines that decide without IO: no `async`, no clock, no socket. Shells elsewhere do what they decide.
//!
//! | module | decides |
//! | --- | --- |
//! | [`stream`] | what of a session stream is new, what is to be sent again |
//! | [`room`] | what a lobby request does to a room |
//! | [`directory`] | which servers a gateway should be linked to |
//! | [`health`] | how the other servers look to a gateway, and whom it accuses |
//! | [`load`] | whether a server takes new work, and why not |
//! | [`backoff`] | how long to wait before the next attempt |
//! | [`redial`] | when a gateway tries again to reach a server |

pub mod backoff;
pub mod directory;
pub mod health;
pub mod load;
pub mod redial;
pub mod room;
pub mod stream;
