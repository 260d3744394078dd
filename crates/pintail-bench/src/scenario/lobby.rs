//! Workers that make rooms and games as fast as they can.

use std::sync::Arc;
use std::time::Instant;

use pintail_wire::client::lobby_request::Request;
use pintail_wire::client::{CreateRoom, JoinRoom, LeaveRoom, RoomState, join_room};
use tokio::task::JoinSet;

use super::{Cycle, Lobby, RequestLimit};
use crate::bot::{Bot, BotContext, BotKind, Inputs};
use crate::drive::stage::Ticket;
use crate::player::Player;
use crate::player::allowance::ATTACH;
use crate::player::lobby::PATIENCE;
use crate::player::seat::{Chair, Over, Presence, Seat};
use crate::player::trouble::Trouble;

/// What a room's life is called in a report.
pub(super) const ROOM: &str = "room";

/// What a game's life is called, from its start to its end.
pub(super) const GAME: &str = "game";

/// The most that one player asks for in one cycle.
const fn requests(cycle: Cycle) -> u32 {
    match cycle {
        Cycle::Rooms => 2,
        Cycle::WholeGames => 1 + ATTACH,
    }
}

/// The players of a worker: two who make rooms, or one who makes games.
type Team = Vec<Player>;

/// Repeats its cycle until nothing new is begun. While one team works, the next one logs in.
pub(super) async fn work(ticket: Ticket, lobby: Lobby) {
    let mut next = JoinSet::new();
    next.spawn_local(team(ticket.clone(), lobby));
    let mut leaving = JoinSet::new();
    let mut present = None;
    while !ticket.is_group_over() {
        let Some(ready) = next.join_next().await else { break };
        let ready = ready.expect("nobody aborts a team, and one that panics takes its worker along");
        next.spawn_local(team(ticket.clone(), lobby));
        let mut players = match ready {
            Ok(players) => players,
            Err(trouble) => {
                count(&ticket, trouble);
                ticket.sleep(super::PAUSE_AFTER_TROUBLE).await;
                continue;
            }
        };
        present.get_or_insert_with(|| ticket.present(0));
        if let Err(trouble) = cycles(&ticket, lobby, &mut players).await {
            count(&ticket, trouble);
        }
        for player in players {
            leaving.spawn_local(player.leave());
        }
        // Those who are gone.
        while leaving.try_join_next().is_some() {}
    }
    drop(present);
    // The team that waits for work goes home, too.
    while let Some(waiting) = next.join_next().await {
        if let Ok(Ok(players)) = waiting {
            players.into_iter().for_each(|player| _ = leaving.spawn_local(player.leave()));
        }
    }
    // Each of them waits for its goodbye no longer than a moment.
    while leaving.join_next().await.is_some() {}
}

fn count(ticket: &Ticket, trouble: Trouble) {
    if !ticket.is_group_over() {
        ticket.stage().recorder.borrow_mut().error(&trouble);
    }
}

async fn team(ticket: Ticket, lobby: Lobby) -> Result<Team, Trouble> {
    let _permit = ticket.stage().gathering.acquire().await;
    let size = match lobby.cycle {
        Cycle::Rooms => 2,
        Cycle::WholeGames => 1,
    };
    let mut players = futures_util::future::try_join_all((0..size).map(|_| Player::arrive(&ticket))).await?;
    if lobby.requests == RequestLimit::Ignored {
        players.iter_mut().for_each(Player::ignore_limits);
    }
    if let (Cycle::WholeGames, [player]) = (lobby.cycle, &mut players[..]) {
        player.ask_room(create("echo", true)).await?;
    }
    Ok(players)
}

/// Repeats the cycle for as long as the players may ask for it.
async fn cycles(ticket: &Ticket, lobby: Lobby, players: &mut Team) -> Result<(), Trouble> {
    while !ticket.stage().is_playing() && !ticket.is_over() {
        ticket.alarm().rung().await;
    }
    let (needed, enders) = (requests(lobby.cycle), enders());
    while !ticket.is_over() && players.iter().all(|player| player.may_ask(needed)) {
        let since = Instant::now();
        if !ticket.stage().is_in_time(since) {
            // Nothing new is begun; the ticket is over soon.
            ticket.alarm().rung().await;
            continue;
        }
        let name = if lobby.cycle == Cycle::Rooms { ROOM } else { GAME };
        let cycle = ticket.begin(name, since);
        let over = match &mut players[..] {
            [owner, guest] => room(owner, guest).await?,
            [player, ..] => game(ticket, &enders, player).await?,
            [] => return Ok(()),
        };
        if over == Over::Dismissed {
            return Ok(());
        }
        cycle.done();
    }
    Ok(())
}

/// One player creates a room, another joins it, both leave.
async fn room(owner: &mut Player, guest: &mut Player) -> Result<Over, Trouble> {
    let room = owner.ask_room(create("echo", false)).await?.ok_or(Trouble::Malformed)?;
    let by = Some(join_room::By::Room(room.id));
    guest.ask_room(Request::JoinRoom(JoinRoom { by })).await?;
    let leave = || Request::LeaveRoom(LeaveRoom {});
    let (left, right) = tokio::join!(owner.ask_room(leave()), guest.ask_room(leave()));
    left.and(right).map(|_| Over::Ended)
}

/// A player starts the room's game, attaches to it, ends it, and sees the room wait for the next.
async fn game(ticket: &Ticket, enders: &BotKind, player: &mut Player) -> Result<Over, Trouble> {
    let game = player.start().await?;
    let chair = Chair { number: player.number(), place: 0, presence: Presence::CountedElsewhere };
    let over = player.play(&mut Seat::new(ticket, enders, game, chair)).await?;
    if over == Over::Ended {
        player.room_that(|room| room.state() == RoomState::Wait && room.round >= game.round.0, PATIENCE).await?;
    }
    Ok(over)
}

fn create(game: &str, private: bool) -> Request {
    Request::CreateRoom(CreateRoom { game: game.to_owned(), private, ..CreateRoom::default() })
}

/// Bots that end their game of echo as soon as they are in it.
fn enders() -> BotKind {
    BotKind {
        name: "end".to_owned(),
        game: "echo".to_owned(),
        settings: String::new(),
        room_players: 1,
        every: None,
        inputs: Inputs::Unmeasured,
        primary: GAME,
        make: Arc::new(|_| Box::new(Ender)),
    }
}

struct Ender;

impl Bot for Ender {
    fn begin(&mut self, ctx: &mut BotContext<'_>) {
        ctx.send_late(pintail_echo::END);
    }
}
