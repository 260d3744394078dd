//! What each key is called.

use pintail_core::{GameId, Kind, RoomId, SessionId, Slot};

/// Key names with the cluster's prefix. The scripts build the same names; the table in the module above them lists all.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub(super) prefix: String,
}

impl Keys {
    pub(super) fn list(&self, kind: Kind) -> String {
        format!("{}Server:{kind}", self.prefix)
    }

    pub(super) fn slot(&self, slot: Slot) -> String {
        format!("{}{slot}", self.prefix)
    }

    pub(super) fn lease(&self, slot: Slot) -> String {
        format!("{}{slot}:lease", self.prefix)
    }

    pub(super) fn accusers(&self, slot: Slot) -> String {
        format!("{}{slot}:accusers", self.prefix)
    }

    pub(super) fn mailbox(&self, slot: Slot) -> String {
        format!("{}{slot}:mail", self.prefix)
    }

    pub(super) fn hosted_games(&self, slot: Slot, incarnation: pintail_core::Incarnation) -> String {
        format!("{}{slot}:games:{incarnation}", self.prefix)
    }

    pub(super) fn game(&self, id: GameId) -> String {
        format!("{}Game:{id}", self.prefix)
    }

    pub(super) fn room(&self, id: RoomId) -> String {
        format!("{}Room:{id}", self.prefix)
    }

    pub(super) fn invite(&self, code: &str) -> String {
        format!("{}Invite:{code}", self.prefix)
    }

    pub(super) fn label(&self, label: &str) -> String {
        format!("{}Rooms:{label}", self.prefix)
    }

    pub(super) fn session(&self, id: SessionId) -> String {
        format!("{}Session:{id}", self.prefix)
    }

    pub(super) fn place(&self, session: SessionId) -> String {
        format!("{}Session:{session}:room", self.prefix)
    }

    /// A key or channel of the whole cluster.
    pub(super) fn shared(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}
