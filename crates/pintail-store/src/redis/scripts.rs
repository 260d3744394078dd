//! The Lua scripts, each a file of its own in `scripts/`, with the parts that several share in `scripts/lib/`.

use redis::Script;

/// A script of `scripts/` after the parts of `scripts/lib/` that it needs.
macro_rules! script {
    ($name:literal $(, $part:literal)*) => {
        Script::new(concat!(
            include_str!("scripts/lib/base.lua"),
            $(include_str!(concat!("scripts/lib/", $part, ".lua")),)*
            include_str!(concat!("scripts/", $name, ".lua"))
        ))
    };
}

/// Every script. They are sent to Redis when it says that it does not know one, so they survive its restart.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) register: Script,
    pub(super) heartbeat: Script,
    pub(super) deregister: Script,
    pub(super) reap: Script,
    pub(super) place: Script,
    pub(super) restore_game: Script,
    pub(super) end_game: Script,
    pub(super) sweep_orphans: Script,
    pub(super) older_than: Script,
    pub(super) login: Script,
    pub(super) session_away: Script,
    pub(super) logout: Script,
    pub(super) hold_sessions: Script,
    pub(super) commit_room: Script,
    pub(super) linked_room: Script,
    pub(super) rooms_labelled: Script,
    pub(super) touch_room: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            register: script!("register", "servers"),
            heartbeat: script!("heartbeat", "servers"),
            deregister: script!("deregister", "servers"),
            reap: script!("reap", "servers"),
            place: script!("place", "servers", "games"),
            restore_game: script!("restore_game", "servers", "games"),
            end_game: script!("end_game", "servers", "games"),
            sweep_orphans: script!("sweep_orphans", "servers", "games", "sessions"),
            older_than: script!("older_than"),
            login: script!("login", "sessions"),
            session_away: script!("session_away", "sessions"),
            logout: script!("logout", "sessions"),
            hold_sessions: script!("hold_sessions", "sessions"),
            commit_room: script!("commit_room", "rooms"),
            linked_room: script!("linked_room"),
            rooms_labelled: script!("rooms_labelled"),
            touch_room: script!("touch_room"),
        }
    }
}
