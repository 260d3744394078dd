//! Players who gather in a room and play its games, round after round.

use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::{join_all, try_join_all};
use pintail_core::GameId;
use pintail_wire::client::lobby_request::Request;
use pintail_wire::client::{CreateRoom, JoinRoom, SetReady, join_room};
use tokio::task::JoinSet;

use crate::bot::BotKind;
use crate::drive::stage::Ticket;
use crate::player::Player;
use crate::player::seat::{Chair, Over, Presence, Seat, meanwhile};
use crate::player::trouble::Trouble;

/// How long a table that fell apart waits before others sit down.
const PAUSE: Duration = Duration::from_millis(500);

/// Has a room of these bots play until the group's ticket is over. When they can't go on together, others take their places.
pub(super) async fn host(ticket: Ticket, kind: Rc<BotKind>) {
    let mut lost = Vec::new();
    while !ticket.is_group_over() {
        let mut table = Table { ticket: ticket.for_table(), kind: kind.clone(), players: Vec::new(), lost: Vec::new() };
        let played = table.play(&mut lost).await;
        if played.is_ok() || ticket.is_group_over() {
            table.ticket.forget_begun(Instant::now());
        }
        if let Err(trouble) = played
            && !ticket.is_group_over()
        {
            ticket.stage().recorder.borrow_mut().error(&trouble);
            lost.append(&mut table.lost);
            meanwhile(&ticket, &mut lost, ticket.sleep(PAUSE)).await;
        }
        let leave = join_all(table.players.into_iter().map(Player::leave));
        meanwhile(&ticket, &mut lost, leave).await;
    }
}

/// A room and its players, in the order of their places. The first owns the room.
struct Table {
    ticket: Ticket,
    kind: Rc<BotKind>,
    players: Vec<Player>,
    /// The seats of a game that fell apart.
    lost: Vec<Seat>,
}

impl Table {
    /// Plays, in the place of those who are lost: until it is their turn, the moves of these are due.
    async fn play(&mut self, lost: &mut Vec<Seat>) -> Result<(), Trouble> {
        let ticket = self.ticket.clone();
        let mut game = meanwhile(&ticket, lost, self.gather()).await?;
        loop {
            self.round(game, std::mem::take(lost)).await?;
            if self.ticket.is_over() {
                return Ok(());
            }
            let guests = self.players.iter_mut().skip(1);
            try_join_all(guests.map(|guest| guest.ask_patiently(ready()))).await?;
            game = self.start().await?;
        }
    }

    /// Logs everybody in, fills a room, and starts its game.
    async fn gather(&mut self) -> Result<GameId, Trouble> {
        let stage = self.ticket.stage().clone();
        let _permit = stage.gathering.acquire().await;
        let mut owner = Player::arrive(&self.ticket).await?;
        let room = owner.ask_room(create(&self.kind)).await?.ok_or(Trouble::Malformed)?;
        self.players.push(owner);
        let guests = (1..self.kind.room_players).map(|_| join(&self.ticket, &room.invite));
        self.players.extend(try_join_all(guests).await?);
        self.start().await
    }

    async fn start(&mut self) -> Result<GameId, Trouble> {
        let owner = self.players.first_mut().ok_or(Trouble::RoomLost)?;
        owner.start().await
    }

    /// Plays one game to its end, or until someone can't go on. Until a player's own moves begin, those of whoever was lost at
    /// the same place are due.
    async fn round(&mut self, game: GameId, mut lost: Vec<Seat>) -> Result<(), Trouble> {
        let mut playing = JoinSet::new();
        for (place, player) in (0..).zip(self.players.drain(..)) {
            let chair = Chair { number: player.number(), place, presence: Presence::Counted };
            let before = lost.extract_if(.., |seat| seat.place() == place).next();
            let seat = Seat::new(&self.ticket, &self.kind, game, chair).after(before);
            playing.spawn_local(sit(self.ticket.clone(), player, seat));
        }
        let (mut sat, mut ended) = (Vec::new(), Ok(()));
        while let Some(joined) = playing.join_next().await {
            // A bot whose code fails takes its player along, and the others leave.
            let over = match joined {
                Ok((place, player, seat, over)) => {
                    sat.push((place, player));
                    self.lost.push(seat);
                    over
                }
                Err(_) => {
                    self.ticket.dismiss_table();
                    Err(Trouble::BotPanicked)
                }
            };
            ended = ended.and(over.map(|_| ()));
        }
        sat.sort_by_key(|(place, _)| *place);
        self.players.extend(sat.into_iter().map(|(_, player)| player));
        match ended {
            Ok(()) => self.lost.clear(),
            Err(_) => self.lost = std::mem::take(&mut self.lost).into_iter().map(Seat::lost).collect(),
        }
        ended
    }
}

/// Plays one game as one player. Whoever leaves it before its end takes the others along.
async fn sit(ticket: Ticket, mut player: Player, mut seat: Seat) -> (u32, Player, Seat, Result<Over, Trouble>) {
    player.wait_to_attach().await;
    let over = player.play(&mut seat).await;
    if over != Ok(Over::Ended) {
        ticket.dismiss_table();
    }
    (seat.place(), player, seat, over)
}

async fn join(ticket: &Ticket, invite: &str) -> Result<Player, Trouble> {
    let mut guest = Player::arrive(ticket).await?;
    let by = join_room::By::Invite(invite.to_owned());
    guest.ask_room(Request::JoinRoom(JoinRoom { by: Some(by) })).await?;
    guest.ask_room(ready()).await?;
    Ok(guest)
}

fn ready() -> Request {
    Request::SetReady(SetReady { ready: true })
}

fn create(kind: &BotKind) -> Request {
    Request::CreateRoom(CreateRoom {
        game: kind.game.clone(),
        settings: kind.settings.clone(),
        players_max: kind.room_players,
        private: true,
        ..CreateRoom::default()
    })
}
