//! The player's place between terminal and cluster: what to show for each event, what to do for each line typed.
//!
//! No IO: events and lines go in, text and actions come out.

use std::time::{Duration, Instant};

use bytes::Bytes;
use pintail_client::{
    Event, GameDetachReason, GameEndReason, GameId, Member, PauseReason, Room, RoomLeftReason, RoomState, SessionId,
};

use super::command::{self, Command};
use super::trouble::{Gateways, lost, seconds};
use super::view::{self, GameView, Typed};
use crate::output::printable;

/// How often a player without a connection is told that there will be one again.
const STILL_TRYING: Duration = Duration::from_secs(4);

/// What to do for a line that was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Show this.
    Say(Vec<String>),
    /// Ask the lobby.
    Ask(Command),
    /// Send the game an input.
    Send(Bytes),
    /// Stop.
    Quit,
}

/// One player at a terminal.
pub(crate) struct Desk {
    me: SessionId,
    /// What friends type to play here too, but for the room.
    invitation: String,
    /// Where it connects to.
    gateways: Gateways,
    /// The connection that is lost.
    lost: Option<Lost>,
    room: Option<Room>,
    /// The game that runs.
    view: Option<Box<dyn GameView>>,
    /// The game that was begun and whose end was not told yet: the room tells it as well as the game.
    untold: Option<GameId>,
    /// Whether the game that the room plays goes on without the player.
    is_out: bool,
    /// The last hint, so that none is given twice in a row.
    hint: String,
    /// Whether the player has been in a room yet.
    has_entered: bool,
}

/// A connection that is lost.
#[derive(Debug, Clone, Copy)]
struct Lost {
    since: Instant,
    /// When the player was last told.
    told: Instant,
}

impl Desk {
    pub(crate) fn new(me: SessionId, invitation: String, gateways: Gateways) -> Self {
        Self {
            me,
            invitation,
            gateways,
            lost: None,
            room: None,
            view: None,
            untold: None,
            is_out: false,
            hint: String::new(),
            has_entered: false,
        }
    }

    /// What to show for an event.
    pub(crate) fn event(&mut self, event: Event, now: Instant) -> Vec<String> {
        let mut lines = match event {
            Event::Connected { resumed, gateway } => {
                self.lost = None;
                resumed.then(|| format!("connected again, through {}", printable(&gateway))).into_iter().collect()
            }
            Event::Disconnected { why } => {
                self.lost = Some(Lost { since: now, told: now });
                vec![format!("{}; connecting again", lost(&why))]
            }
            Event::Room(room) => self.room_changed(room),
            Event::Chat(message) if message.session == self.me.0 => Vec::new(),
            Event::Chat(message) => vec![format!("{}: {}", printable(&message.name), printable(&message.text))],
            Event::RoomLeft { reason, .. } => self.left(reason),
            Event::GameAttached { game, game_type, .. } => self.attached(game, &game_type),
            Event::GameMessage { payload, .. } => {
                self.view.as_mut().map(|view| view.message(&payload, now)).unwrap_or_default()
            }
            Event::GameState { payload, .. } => {
                if let Some(view) = &mut self.view {
                    view.state(&payload);
                }
                Vec::new()
            }
            Event::GameEnded { reason, result, message, .. } => self.ended(reason, &result, &message),
            Event::GamePaused { why, .. } => paused(&why),
            Event::GameResumed { resynchronised: false, .. } => vec!["the game goes on".to_owned()],
            Event::GameResumed { resynchronised: true, .. } => {
                vec!["the game goes on; some of its messages were missed".to_owned()]
            }
            Event::GameDetached { message, .. } => {
                (self.view, self.is_out) = (None, true);
                let is_told = self.untold.is_none();
                (!is_told).then(|| format!("out of the game: {}", printable(&message))).into_iter().collect()
            }
            // Its reason is the command's failure.
            Event::Ended(_) => Vec::new(),
        };
        lines.extend(self.new_hint());
        lines
    }

    /// What to do for a line.
    pub(crate) fn typed(&mut self, line: &str, now: Instant) -> Action {
        let line = line.trim();
        let slashed = line.strip_prefix('/');
        let is_text = slashed.is_none() && self.view.as_ref().is_some_and(|view| view.takes_any_text());
        match (command::parse(slashed.unwrap_or(line)), &mut self.view) {
            _ if line.is_empty() => Action::Say(Vec::new()),
            (Some(Ok(command)), _) if !is_text => self.command(command),
            (Some(Err(problem)), _) if !is_text => Action::Say(vec![problem]),
            (_, Some(view)) if slashed.is_none() => match view.typed(line, now) {
                Typed::Send(input) => Action::Send(input),
                Typed::Say(sentence) => Action::Say(vec![sentence]),
            },
            _ => Action::Say(vec![format!("`{}` is no command; `help` lists them", printable(line))]),
        }
    }

    /// What to show now and then.
    pub(crate) fn refresh(&mut self, now: Instant) -> Vec<String> {
        let mut lines: Vec<_> = self.still_trying(now).into_iter().collect();
        lines.extend(self.view.as_mut().map(|view| view.refresh(now)).unwrap_or_default());
        lines
    }

    fn still_trying(&mut self, now: Instant) -> Option<String> {
        let lost = self.lost.as_mut().filter(|lost| now.duration_since(lost.told) >= STILL_TRYING)?;
        lost.told = now;
        let whole = Duration::from_secs(now.duration_since(lost.since).as_secs());
        Some(format!("still trying to connect to {}, for {}; `quit` ends", self.gateways, seconds(whole)))
    }

    fn command(&self, command: Command) -> Action {
        match command {
            Command::Help => Action::Say(self.help()),
            Command::Quit => Action::Quit,
            command => Action::Ask(command),
        }
    }

    fn help(&self) -> Vec<String> {
        let mut lines: Vec<_> = self.view.iter().map(|view| format!("in the game: {}", view.help())).collect();
        lines.extend(command::HELP.iter().map(|line| (*line).to_owned()));
        lines
    }

    fn room_changed(&mut self, room: Room) -> Vec<String> {
        let lines = match &self.room {
            Some(before) if before.id == room.id => {
                let mut lines = changes(before, &room, self.me);
                lines.extend(self.broken_off(&room));
                lines
            }
            _ => self.entered(&room),
        };
        (self.room, self.has_entered) = (Some(room), true);
        lines
    }

    /// What the room says of a game that was broken off: the game itself had no time to say it if its server was lost.
    fn broken_off(&mut self, room: &Room) -> Option<String> {
        let game = self.untold.filter(|game| game.room.0 == room.id)?;
        let outcome = room.last_outcome.as_ref().filter(|outcome| outcome.round == game.round.0)?;
        if outcome.reason() == GameEndReason::Finished {
            return None;
        }
        (self.untold, self.view) = (None, None);
        Some(format!("the game is over: {}", printable(&outcome.message)))
    }

    fn entered(&self, room: &Room) -> Vec<String> {
        let members: Vec<_> = room.members.iter().map(|member| self.name(member)).collect();
        vec![
            format!(
                "you are in the room \"{}\" ({}): {}",
                printable(&room.name),
                printable(&room.game),
                members.join(", ")
            ),
            format!("friends join with: {} --invite {}", self.invitation, printable(&room.invite)),
        ]
    }

    fn name(&self, member: &Member) -> String {
        if member.session == self.me.0 { "you".to_owned() } else { printable(&member.name) }
    }

    fn left(&mut self, reason: RoomLeftReason) -> Vec<String> {
        (self.room, self.view, self.untold, self.is_out) = (None, None, None, false);
        vec![
            match reason {
                RoomLeftReason::Kicked => "you were removed from the room",
                RoomLeftReason::AwayTooLong => "you were away for too long and are no longer in the room",
                RoomLeftReason::Left => "you left the room",
                RoomLeftReason::Unspecified => "you are no longer in the room",
            }
            .to_owned(),
        ]
    }

    fn attached(&mut self, game: GameId, game_type: &str) -> Vec<String> {
        (self.untold, self.is_out) = (Some(game), false);
        let view = self.view.insert(view::of_type(game_type));
        vec![format!("the game begins: {}", view.help())]
    }

    fn ended(&mut self, reason: GameEndReason, result: &str, message: &str) -> Vec<String> {
        let is_told = self.untold.take().is_none() || self.view.as_ref().is_some_and(|view| view.has_told_end());
        self.view = None;
        match reason {
            _ if is_told => Vec::new(),
            GameEndReason::Finished => vec![format!("the game is over: {}", printable(result))],
            _ => vec![format!("the game is over: {}", printable(message))],
        }
    }

    /// What to type next, if that is something else than before.
    fn new_hint(&mut self) -> Option<String> {
        let hint = self.next_hint();
        if hint == self.hint {
            return None;
        }
        self.hint.clone_from(&hint);
        (!hint.is_empty()).then(|| format!("-> {hint}"))
    }

    fn next_hint(&self) -> String {
        match &self.room {
            None if !self.has_entered => String::new(),
            None => "`play` finds a game, `rooms` lists the rooms, `join` enters one, `quit` ends".to_owned(),
            Some(_) if self.view.is_some() => String::new(),
            Some(room) => match room.state() {
                RoomState::Wait => before_the_game(room, self.me),
                RoomState::Playing if self.is_out => {
                    "the game goes on without you: `leave` its room, and `play` finds \
                                                      another; or wait for its end"
                        .to_owned()
                }
                _ => String::new(),
            },
        }
    }
}

/// What to do in a room that waits for its game.
fn before_the_game(room: &Room, me: SessionId) -> String {
    let (own, others): (Vec<_>, Vec<_>) = room.members.iter().partition(|member| member.session == me.0);
    let unready: Vec<_> = others.iter().filter(|member| !member.ready).map(|member| printable(&member.name)).collect();
    let present = u32::try_from(room.members.len()).unwrap_or(u32::MAX);
    match (room.owner == me.0, own.iter().any(|member| member.ready)) {
        (true, _) if present < room.players_min => {
            let are = if present == 1 { "is" } else { "are" };
            let needed = room.players_min;
            format!("wait for others to come: the game needs {needed} players, and {present} {are} here")
        }
        (true, _) if others.is_empty() && room.players_max > 1 => {
            "wait for others to come, or `start` alone".to_owned()
        }
        (true, _) if unready.is_empty() => "everyone is ready: type `start`".to_owned(),
        (true, _) => format!("`start` when everyone is ready; not yet: {}", unready.join(", ")),
        (false, false) => "type `ready` when you are".to_owned(),
        (false, true) => "you are ready; the room's owner starts the game".to_owned(),
    }
}

/// What is different in a room.
fn changes(before: &Room, now: &Room, me: SessionId) -> Vec<String> {
    let mut lines = Vec::new();
    let find = |room: &'_ Room, session: u64| room.members.iter().find(|member| member.session == session).cloned();
    for member in now.members.iter().filter(|member| member.session != me.0) {
        let name = printable(&member.name);
        let Some(was) = find(before, member.session) else {
            lines.push(format!("{name} has come"));
            continue;
        };
        match (was.away, member.away) {
            (false, true) => lines.push(format!("{name} lost the connection")),
            (true, false) => lines.push(format!("{name} is back")),
            _ => {}
        }
        if member.ready && !was.ready {
            lines.push(format!("{name} is ready"));
        }
    }
    let gone = before.members.iter().filter(|member| find(now, member.session).is_none());
    lines.extend(gone.map(|member| format!("{} has left", printable(&member.name))));
    if now.owner == me.0 && before.owner != me.0 {
        lines.push("you own the room now".to_owned());
    }
    if now.state() == RoomState::Starting && before.state() == RoomState::Wait {
        lines.push("the game is about to begin".to_owned());
    }
    if now.state() == RoomState::Wait && before.state() == RoomState::Starting {
        lines.push("the game could not be started: no game server is free; try again soon".to_owned());
    }
    lines
}

/// What is said of a pause. Nothing is lost in it, so a line is enough.
fn paused(why: &PauseReason) -> Vec<String> {
    match why {
        // The lost connection has been told, and what is done about it.
        PauseReason::Disconnected => Vec::new(),
        PauseReason::Detached { reason: GameDetachReason::ServerUnreachable, .. } => {
            vec!["the game pauses: another server takes it over, and what you do is kept".to_owned()]
        }
        PauseReason::Detached { message, .. } => vec![format!("the game pauses: {}", printable(message))],
    }
}

#[cfg(test)]
mod tests {
    use pintail_client::{ChatMessage, Disconnect, GameOutcome, RoomId, Round, Step};

    use super::*;

    const ME: u64 = 1;
    const BOB: u64 = 2;
    const GAME: GameId = GameId { room: RoomId(7), round: Round(1) };

    fn desk() -> Desk {
        let gateways = ["127.0.0.1:5555", "127.0.0.1:5565"].map(|address| address.parse().unwrap());
        Desk::new(SessionId(ME), "pintail play echo".to_owned(), Gateways::new(&gateways))
    }

    fn room(owner: u64, members: &[(u64, bool)]) -> Room {
        let member = |&(session, ready): &(u64, bool)| Member {
            session,
            name: if session == ME { "Ann".to_owned() } else { "Bob".to_owned() },
            ready,
            away: false,
        };
        Room {
            id: 7,
            name: "den".to_owned(),
            game: "echo".to_owned(),
            invite: "ABC".to_owned(),
            players_max: 2,
            owner,
            state: RoomState::Wait.into(),
            members: members.iter().map(member).collect(),
            ..Room::default()
        }
    }

    fn tell(desk: &mut Desk, event: Event) -> Vec<String> {
        desk.event(event, Instant::now())
    }

    fn attached() -> Event {
        Event::GameAttached { game: GAME, game_type: "echo".to_owned(), resynchronised: false }
    }

    #[test]
    fn an_owner_is_led_to_the_start() {
        let mut desk = desk();
        let connected = Event::Connected { resumed: false, gateway: "Server:Gateway:0".to_owned() };
        assert_eq!(tell(&mut desk, connected), [""; 0], "the room comes first");
        assert_eq!(
            tell(&mut desk, Event::Room(room(ME, &[(ME, false)]))),
            [
                "you are in the room \"den\" (echo): you",
                "friends join with: pintail play echo --invite ABC",
                "-> wait for others to come, or `start` alone",
            ]
        );
        let both = |bob_ready| Event::Room(room(ME, &[(ME, false), (BOB, bob_ready)]));
        assert_eq!(tell(&mut desk, both(false)), ["Bob has come", "-> `start` when everyone is ready; not yet: Bob"]);
        assert_eq!(tell(&mut desk, both(true)), ["Bob is ready", "-> everyone is ready: type `start`"]);
        assert_eq!(tell(&mut desk, both(true)), [""; 0], "nothing is said twice");
        assert_eq!(desk.typed("start", Instant::now()), Action::Ask(Command::Start));
    }

    #[test]
    fn an_owner_is_told_how_many_players_are_missing() {
        let mut desk = desk();
        let room = |members: &[(u64, bool)]| Event::Room(Room { players_min: 3, ..room(ME, members) });
        let hint = tell(&mut desk, room(&[(ME, false)])).pop().unwrap();
        assert_eq!(hint, "-> wait for others to come: the game needs 3 players, and 1 is here");
        let hint = tell(&mut desk, room(&[(ME, false), (BOB, true)])).pop().unwrap();
        assert_eq!(hint, "-> wait for others to come: the game needs 3 players, and 2 are here");
        let hint = tell(&mut desk, room(&[(ME, false), (BOB, true), (3, true)])).pop().unwrap();
        assert_eq!(hint, "-> everyone is ready: type `start`");
    }

    #[test]
    fn without_a_connection_it_says_now_and_then_that_it_tries_and_where() {
        let mut desk = desk();
        let lost = Instant::now();
        let after = |seconds| lost + Duration::from_secs(seconds);
        assert_eq!(desk.refresh(lost), [""; 0]);
        desk.event(Event::Disconnected { why: Disconnect::Closed }, lost);
        assert_eq!(desk.refresh(after(3)), [""; 0]);
        let told = "still trying to connect to tcp://127.0.0.1:5555 or tcp://127.0.0.1:5565, for 4 s; `quit` ends";
        assert_eq!(desk.refresh(after(4)), [told]);
        assert_eq!(desk.refresh(after(7)), [""; 0]);
        assert_eq!(desk.refresh(after(8)), [told.replace("4 s", "8 s")]);
        desk.event(Event::Connected { resumed: true, gateway: "Server:Gateway:1".to_owned() }, after(9));
        assert_eq!(desk.refresh(after(60)), [""; 0]);
    }

    #[test]
    fn a_player_who_is_out_of_a_game_that_goes_on_is_told_what_to_do() {
        let mut desk = desk();
        let playing = || Room { state: RoomState::Playing.into(), ..room(ME, &[(ME, false), (BOB, true)]) };
        tell(&mut desk, Event::Room(playing()));
        tell(&mut desk, attached());
        let (reason, message) = (GameDetachReason::StreamBroken, "the game can't read this input".to_owned());
        let lines = tell(&mut desk, Event::GameDetached { game: GAME, reason, message });
        assert_eq!(lines[0], "out of the game: the game can't read this input");
        assert!(lines[1].starts_with("-> the game goes on without you: `leave` its room"), "{lines:?}");
        assert_eq!(desk.typed("leave", Instant::now()), Action::Ask(Command::Leave));
    }

    #[test]
    fn a_guest_is_led_to_be_ready_and_may_become_the_owner() {
        let mut desk = desk();
        let lines = tell(&mut desk, Event::Room(room(BOB, &[(BOB, false), (ME, false)])));
        assert_eq!(lines.last().unwrap(), "-> type `ready` when you are");
        let lines = tell(&mut desk, Event::Room(room(BOB, &[(BOB, false), (ME, true)])));
        assert_eq!(lines, ["-> you are ready; the room's owner starts the game"]);
        let lines = tell(&mut desk, Event::Room(room(ME, &[(ME, true)])));
        assert_eq!(lines[..2], ["Bob has left", "you own the room now"]);
    }

    #[test]
    fn in_a_game_that_takes_any_text_commands_need_a_slash() {
        let (mut desk, now) = (desk(), Instant::now());
        tell(&mut desk, Event::Room(room(ME, &[(ME, false)])));
        assert!(tell(&mut desk, attached())[0].starts_with("the game begins: type anything"));
        assert_eq!(desk.typed("leave", now), Action::Send("leave".into()));
        assert_eq!(desk.typed("/leave", now), Action::Ask(Command::Leave));
        assert_eq!(
            desk.typed("/nonsense", now),
            Action::Say(vec!["`/nonsense` is no command; `help` lists them".to_owned()])
        );
        assert_eq!(desk.typed("  ", now), Action::Say(Vec::new()));
        let payload = Event::GameMessage { game: GAME, step: Step(1), payload: "hello".into() };
        assert_eq!(tell(&mut desk, payload), ["< hello"]);
    }

    #[test]
    fn after_a_game_the_room_is_there_again() {
        let (mut desk, now) = (desk(), Instant::now());
        tell(&mut desk, Event::Room(room(ME, &[(ME, false), (BOB, true)])));
        tell(&mut desk, attached());
        let (reason, result) = (GameEndReason::Finished, "{\"inputs\":1}".to_owned());
        let ended = Event::GameEnded { game: GAME, step: Step(9), reason, result, message: String::new() };
        assert_eq!(tell(&mut desk, ended), ["the game is over: {\"inputs\":1}", "-> everyone is ready: type `start`"]);
        assert_eq!(desk.typed("leave", now), Action::Ask(Command::Leave));
        let left = Event::RoomLeft { room: RoomId(7), reason: RoomLeftReason::Left };
        assert_eq!(tell(&mut desk, left)[0], "you left the room");
        assert_eq!(desk.typed("quit", now), Action::Quit);
    }

    #[test]
    fn a_game_whose_server_was_lost_ends_with_what_the_room_says_of_it() {
        let (reason, message) = (GameDetachReason::NoSuchGame, "there is no such game".to_owned());
        let detached = || Event::GameDetached { game: GAME, reason, message: message.clone() };
        let over = |round| {
            let message = "the game's server was lost".to_owned();
            let outcome =
                GameOutcome { round, reason: GameEndReason::ServerLost.into(), message, ..GameOutcome::default() };
            Event::Room(Room { last_outcome: Some(outcome), ..room(ME, &[(ME, false), (BOB, true)]) })
        };
        let told = "the game is over: the game's server was lost";
        for room_first in [true, false] {
            let mut desk = desk();
            tell(&mut desk, Event::Room(room(ME, &[(ME, false), (BOB, true)])));
            tell(&mut desk, attached());
            assert_eq!(tell(&mut desk, over(0)), [""; 0], "that was the game before");
            if room_first {
                assert_eq!(tell(&mut desk, over(1))[0], told);
                assert_eq!(tell(&mut desk, detached()), [""; 0]);
            } else {
                assert_eq!(tell(&mut desk, detached())[0], "out of the game: there is no such game");
                assert_eq!(tell(&mut desk, over(1)), [told]);
            }
            assert_eq!(tell(&mut desk, over(1)), [""; 0], "it is told once");
        }
    }

    #[test]
    fn a_pause_is_a_line_and_so_is_its_end() {
        let mut desk = desk();
        tell(&mut desk, Event::Room(room(ME, &[(ME, false), (BOB, true)])));
        tell(&mut desk, attached());
        let detached = PauseReason::Detached {
            reason: GameDetachReason::ServerUnreachable,
            message: "the link to the game's server is lost".to_owned(),
        };
        let resumed = |resynchronised| Event::GameResumed { game: GAME, resynchronised };
        let lines = tell(&mut desk, Event::GamePaused { game: GAME, why: detached });
        assert_eq!(lines, ["the game pauses: another server takes it over, and what you do is kept"]);
        assert_eq!(desk.typed("while it pauses", Instant::now()), Action::Send("while it pauses".into()));
        assert_eq!(tell(&mut desk, resumed(false)), ["the game goes on"]);

        let lost = tell(&mut desk, Event::Disconnected { why: Disconnect::Closed });
        assert_eq!(lost.len(), 1);
        assert_eq!(tell(&mut desk, Event::GamePaused { game: GAME, why: PauseReason::Disconnected }), [""; 0]);
        let behind = PauseReason::Detached { reason: GameDetachReason::TooFarBehind, message: "too slow".to_owned() };
        assert_eq!(tell(&mut desk, Event::GamePaused { game: GAME, why: behind }), ["the game pauses: too slow"]);
        assert_eq!(tell(&mut desk, resumed(true)), ["the game goes on; some of its messages were missed"]);
    }

    #[test]
    fn what_others_say_is_shown_without_control_characters() {
        let chat = |session, text: &str| {
            Event::Chat(ChatMessage { room: 7, session, name: "Bob".to_owned(), text: text.to_owned() })
        };
        let mut desk = desk();
        assert_eq!(tell(&mut desk, chat(BOB, "hi\x1b[2J"))[0], "Bob: hi[2J");
        assert_eq!(tell(&mut desk, chat(ME, "hi")), [""; 0]);
    }
}
