//! The Lua scripts, each a file of its own in `scripts/`, with the parts that several share in `scripts/lib/`.

use redis::Script;

/// The text of a script of `scripts/` after the parts of `scripts/lib/` that it needs.
macro_rules! code {
    ($name:literal $(, $part:literal)*) => {
        concat!(
            include_str!("scripts/lib/base.lua"),
            $(include_str!(concat!("scripts/lib/", $part, ".lua")),)*
            include_str!(concat!("scripts/", $name, ".lua"))
        )
    };
}

/// A script that a full Redis refuses.
macro_rules! script {
    ($($name:literal),+) => { Script::new(code!($($name),+)) };
}

/// A script that a full Redis refuses before it has done anything: it does the work of many calls.
macro_rules! batch_script {
    ($($name:literal),+) => { Script::new(concat!("#!lua\n", code!($($name),+))) };
}

/// A script that goes on working in a full Redis: it makes next to nothing that stays, or frees what is there.
macro_rules! frugal_script {
    ($($name:literal),+) => { Script::new(concat!("#!lua flags=allow-oom\n", code!($($name),+))) };
}

/// A script that only reads, and does so in a full Redis, too.
macro_rules! reading_script {
    ($($name:literal),+) => { Script::new(concat!("#!lua flags=no-writes\n", code!($($name),+))) };
}

/// Every script. They are sent to Redis when it says that it does not know one, so they survive its restart.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) register: Script,
    pub(super) heartbeat: Script,
    pub(super) deregister: Script,
    pub(super) accuse: Script,
    pub(super) absolve: Script,
    pub(super) ask_to_drain: Script,
    pub(super) may_reap: Script,
    pub(super) reap: Script,
    pub(super) place: Script,
    pub(super) restore_game: Script,
    pub(super) end_game: Script,
    pub(super) sweep_orphans: Script,
    pub(super) saved_game: Script,
    pub(super) write_entries: Script,
    pub(super) write_snapshots: Script,
    pub(super) claim_games: Script,
    pub(super) hand_over: Script,
    pub(super) failed_games: Script,
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
            heartbeat: frugal_script!("heartbeat", "servers"),
            deregister: frugal_script!("deregister", "servers"),
            accuse: frugal_script!("accuse", "servers"),
            absolve: frugal_script!("absolve", "servers"),
            ask_to_drain: frugal_script!("ask_to_drain", "servers"),
            may_reap: frugal_script!("may_reap", "servers"),
            reap: frugal_script!("reap", "servers"),
            place: script!("place", "servers", "journals", "games"),
            restore_game: script!("restore_game", "servers", "journals", "games"),
            end_game: frugal_script!("end_game", "servers", "journals", "games"),
            sweep_orphans: frugal_script!("sweep_orphans", "servers", "journals", "games", "sessions"),
            // Entries only add. A snapshot takes the place of entries: refused, a full Redis would stay full. There is
            // one for each game, and in a full Redis no game is new.
            write_entries: batch_script!("write_journals", "servers", "journals"),
            write_snapshots: frugal_script!("write_journals", "servers", "journals"),
            claim_games: frugal_script!("claim_games", "servers", "journals", "games"),
            hand_over: frugal_script!("hand_over", "servers", "journals", "games"),
            saved_game: reading_script!("saved_game"),
            failed_games: reading_script!("failed_games", "servers", "journals"),
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
