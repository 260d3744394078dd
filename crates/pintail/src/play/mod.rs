//! `pintail play`: a game in the terminal, line by line.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`desk`] | what to show for each event, what to do for each line; without IO |
//! | [`command`] | what can be typed in the lobby |
//! | [`trouble`] | what is told when connection or session are in trouble |
//! | [`view`] | what a game looks like: [`gomoku`], [`arena`], [`echo`], and [`json`] for any other |

mod arena;
mod command;
mod desk;
mod echo;
mod gomoku;
mod json;
mod trouble;
mod view;

use std::io::BufRead;
use std::time::{Duration, Instant};

use pintail_client::{
    CallError, Client, ClientConfig, CreateRoom, Event, ListRooms, Room, RoomId, RoomState, RoomSummary, Trust,
};
use pintail_core::PlayerName;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::play::PlayArgs;
use crate::failure::Failure;
use crate::output::{printable, say, table};
use crate::program;
use crate::signals::stop_on_signal;
use command::{Command, Target};
use desk::{Action, Desk};
use trouble::{Gateways, not_let_in, session_ended};

/// How long to look for a gateway that may be about to start.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How often a game may draw by itself.
const REFRESH: Duration = Duration::from_millis(500);

/// How many typed lines may wait. A script that writes faster waits.
const LINES_MAX: usize = 64;

/// The most characters of a typed line; the rest is a line of its own.
const LINE_BYTES_MAX: u64 = 16 * 1024;

/// Plays until the player quits, the input ends, or a signal comes.
///
/// # Errors
/// If no gateway lets the player in, the room can't be entered, or the session ends.
pub(crate) async fn run(args: &PlayArgs) -> Result<(), Failure> {
    let stop = stop_on_signal(args.common.log_format, "leaving".to_owned())?;
    let name = player_name(args.name.as_deref())?;
    let trust = args.ca.as_deref().map(Trust::in_file).transpose();
    let trust = trust.map_err(|error| Failure::usage(format!("--ca: {error}")))?;
    let config =
        ClientConfig { connect_timeout: CONNECT_TIMEOUT, trust, ..ClientConfig::new(args.gateway.clone(), name) };
    let (client, mut events) = tokio::select! {
        connected = Client::connect(config) => connected.map_err(|why| not_let_in(&why))?,
        () = stop.cancelled() => return Ok(()),
    };
    let gateways = Gateways::new(&args.gateway);
    say(format_args!("connected to {gateways} as {}", printable(&client.name())));
    let mut desk = Desk::new(client.session(), program::to_play(&args.game, &args.gateway), gateways);
    if let Err(error) = enter(&client, args).await {
        client.logout().await;
        return Err(Failure::new(format!("can't enter a room: {error}")));
    }
    let mut lines = typed_lines();
    let mut refresh = interval(REFRESH);
    refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            event = events.next() => match event {
                None => break,
                Some(Event::Ended(why)) => return Err(session_ended(&why)),
                Some(event) => desk.event(event, Instant::now()).iter().for_each(say),
            },
            line = lines.recv() => {
                let Some(line) = line else { break };
                match desk.typed(&line, Instant::now()) {
                    Action::Quit => break,
                    action => act(&client, args, action).await.iter().for_each(say),
                }
            }
            _ = refresh.tick() => desk.refresh(Instant::now()).iter().for_each(say),
        }
    }
    client.logout().await;
    Ok(())
}

async fn enter(client: &Client, args: &PlayArgs) -> Result<Room, CallError> {
    match (&args.room, &args.invite) {
        (Some(room), _) => client.join_room(*room).await,
        (None, Some(code)) => client.join_by_invite(code).await,
        (None, None) if args.private => {
            let (game, settings) = (args.game.clone(), args.settings.clone());
            client.create_room(CreateRoom { game, settings, private: true, ..CreateRoom::default() }).await
        }
        (None, None) => client.quick_match(&args.game, &args.settings).await,
    }
}

/// Does it, and returns what to show.
async fn act(client: &Client, args: &PlayArgs, action: Action) -> Vec<String> {
    match action {
        Action::Say(lines) => lines,
        Action::Quit => Vec::new(),
        Action::Send(input) => client.send(input).await.err().map(|error| error.to_string()).into_iter().collect(),
        Action::Ask(command) => ask(client, args, command).await.unwrap_or_else(|error| vec![refused(&error)]),
    }
}

async fn ask(client: &Client, args: &PlayArgs, command: Command) -> Result<Vec<String>, CallError> {
    match command {
        Command::Ready(ready) => client.set_ready(ready).await.map(drop)?,
        Command::Start => client.start_game().await.map(drop)?,
        Command::Chat(text) => client.chat(&text).await?,
        Command::Leave => client.leave_room().await?,
        Command::Play => client.quick_match(&args.game, &args.settings).await.map(drop)?,
        Command::Join(Target::Room(room)) => client.join_room(room).await.map(drop)?,
        Command::Join(Target::Invite(code)) => client.join_by_invite(&code).await.map(drop)?,
        Command::Rooms => {
            let page = client.list_rooms(ListRooms { game: args.game.clone(), ..ListRooms::default() }).await?;
            return Ok(room_lines(&page.rooms));
        }
        // The desk answers these itself.
        Command::Help | Command::Quit => {}
    }
    Ok(Vec::new())
}

fn refused(error: &CallError) -> String {
    match error {
        CallError::Refused { message, .. } => printable(message),
        other => other.to_string(),
    }
}

fn room_lines(rooms: &[RoomSummary]) -> Vec<String> {
    if rooms.is_empty() {
        return vec!["there are no public rooms of this game; `play` makes one".to_owned()];
    }
    let row = |room: &RoomSummary| {
        let state = match room.state() {
            RoomState::Wait => "waits",
            _ => "plays",
        };
        let players = format!("{}/{}", room.players, room.players_max);
        [RoomId(room.id).to_string(), printable(&room.name), players, state.to_owned(), printable(&room.owner)]
    };
    let header = ["ID", "NAME", "PLAYERS", "STATE", "OWNER"].map(str::to_owned);
    table(&std::iter::once(header).chain(rooms.iter().map(row)).collect::<Vec<_>>())
}

/// The name that was asked for, or the account's, or one for everybody.
fn player_name(given: Option<&str>) -> Result<String, Failure> {
    if let Some(name) = given {
        let name: PlayerName = name.parse().map_err(|error| Failure::new(format!("--name: {error}")))?;
        return Ok(name.to_string());
    }
    let account = std::env::var("USER").ok().and_then(|user| user.parse::<PlayerName>().ok());
    Ok(account.map_or_else(|| "player".to_owned(), |name| name.to_string()))
}

/// The lines of the standard input, until it ends. They are read by a thread of their own, which ends with the process:
/// a read from a terminal can't be cancelled.
fn typed_lines() -> mpsc::Receiver<String> {
    let (lines, receiver) = mpsc::channel(LINES_MAX);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = std::io::Read::take(&mut stdin, LINE_BYTES_MAX).read_until(b'\n', &mut line);
            if !read.is_ok_and(|bytes| bytes > 0) {
                return;
            }
            if lines.blocking_send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_a_table() {
        let room = RoomSummary {
            id: 7,
            name: "den".to_owned(),
            game: "echo".to_owned(),
            state: RoomState::Wait.into(),
            players: 1,
            players_max: 2,
            owner: "Ann".to_owned(),
        };
        let lines = room_lines(&[room]);
        assert_eq!(lines[1], "0000000000000007  den   1/2      waits  Ann");
        assert!(room_lines(&[])[0].contains("no public rooms"));
    }

    #[test]
    fn a_name_that_was_asked_for_must_be_one() {
        assert_eq!(player_name(Some(" Ann ")).unwrap(), "Ann");
        assert!(player_name(Some("")).unwrap_err().to_string().contains("--name"));
        assert!(!player_name(None).unwrap().is_empty());
    }
}
