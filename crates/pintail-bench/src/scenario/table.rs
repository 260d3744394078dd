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
use crate::player::seat::{Chair, Over, Presence, Seat};
use crate::player::trouble::Trouble;

/// How long a table that fell apart waits before others sit down.
const PAUSE: Duration = Duration::from_millis(500);

/// Has a room of these bots play until the group's ticket is over. When they can't go on together, others take their places.
pub(super) async fn host(ticket: Ticket, kind: Rc<BotKind>) {
    while !ticket.is_group_over() {
        let mut table = Table { ticket: ticket.for_table(), kind: kind.clone(), players: Vec::new() };
        let played = table.play().await;
        if played.is_ok() || ticket.is_group_over() {
            table.ticket.forget_begun(Instant::now());
        }
        if let Err(trouble) = played
            && !ticket.is_group_over()
        {
            ticket.stage().recorder.borrow_mut().error(&trouble);
            ticket.sleep(PAUSE).await;
        }
        join_all(table.players.into_iter().map(Player::leave)).await;
    }
}

/// A room and its players, in the order of their places. The first owns the room.
struct Table {
    ticket: Ticket,
    kind: Rc<BotKind>,
    players: Vec<Player>,
}

impl Table {
    async fn play(&mut self) -> Result<(), Trouble> {
        let mut game = self.gather().await?;
        loop {
            self.round(game).await?;
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

    /// Plays one game to its end, or until someone can't go on.
    async fn round(&mut self, game: GameId) -> Result<(), Trouble> {
        let mut playing = JoinSet::new();
        for (place, player) in (0..).zip(self.players.drain(..)) {
            playing.spawn_local(sit(self.ticket.clone(), self.kind.clone(), player, game, place));
        }
        let (mut sat, mut ended) = (Vec::new(), Ok(()));
        while let Some(joined) = playing.join_next().await {
            // A bot whose code fails takes its player along, and the others leave.
            let over = match joined {
                Ok((place, player, over)) => {
                    sat.push((place, player));
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
        ended
    }
}

/// Plays one game as one player. Whoever leaves it before its end takes the others along.
async fn sit(
    ticket: Ticket,
    kind: Rc<BotKind>,
    mut player: Player,
    game: GameId,
    place: u32,
) -> (u32, Player, Result<Over, Trouble>) {
    player.wait_to_attach().await;
    let chair = Chair { number: player.number(), place, presence: Presence::Counted };
    let over = player.play(&mut Seat::new(&ticket, &kind, game, chair)).await;
    if over != Ok(Over::Ended) {
        ticket.dismiss_table();
    }
    (place, player, over)
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
