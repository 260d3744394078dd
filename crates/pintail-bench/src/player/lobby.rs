//! What a player asks of the lobby.

use std::time::{Duration, Instant};

use pintail_core::{GameId, RoomId, Round, SessionId};
use pintail_wire::client::lobby_event::Event;
use pintail_wire::client::lobby_reply::Reply;
use pintail_wire::client::lobby_request::Request;
use pintail_wire::client::{ErrorCode, LobbyEvent, LobbyReply, LobbyRequest, Room, RoomState, StartGame};
use pintail_wire::kind::client as kind;
use pintail_wire::{Message, encode_frame_parts};
use tokio::time::timeout;

use super::Player;
use super::trouble::{Retry, Trouble};

/// How long an answer may take: longer than the gateway waits for a lobby server.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a player asks again what can succeed later.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The pause between two such attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// The bytes of a request's number, before its body.
const ID_BYTES: usize = 8;

impl Player {
    /// Asks, and waits for the answer, as often as the connection is lost or no lobby server is there. How long it took until
    /// there was an answer is measured under the request's name, once; a request that is refused has no such time.
    pub(crate) async fn ask(&mut self, request: Request) -> Result<Reply, Trouble> {
        self.wait_for_allowance(1).await;
        let name = name(&request);
        let id = self.next_request;
        self.next_request += 1;
        let request = LobbyRequest { request: Some(request) }.encode_to_vec();
        let since = Instant::now();
        let asked = self.ticket.begin(name, since);
        let reply = self.ask_until_answered(name, (id, &request), since + PATIENCE).await?;
        asked.done();
        Ok(reply)
    }

    /// Asks until there is an answer that is not `Unavailable`, or it is so late that this one is the answer.
    async fn ask_until_answered(
        &mut self,
        name: &'static str,
        (id, request): (u64, &[u8]),
        late: Instant,
    ) -> Result<Reply, Trouble> {
        let stage = self.ticket.stage().clone();
        loop {
            stage.recorder.borrow_mut().sent(1);
            let answer = timeout(ANSWER_TIMEOUT, self.ask_once(id, request)).await;
            match answer.unwrap_or(Err(Trouble::Silent(name))) {
                Ok(reply) => {
                    let mut recorder = stage.recorder.borrow_mut();
                    recorder.received(1);
                    let Reply::Error(error) = reply else { return Ok(reply) };
                    let (code, retry) = (error.code(), error.retry.into());
                    let is_late = Instant::now() >= late || self.ticket.is_over();
                    let refused = Trouble::Refused { request: name, code, retry };
                    if code != ErrorCode::Unavailable || retry == Retry::Never || is_late {
                        return Err(refused);
                    }
                    recorder.error(&refused);
                }
                Err(trouble) => self.resume(trouble).await?,
            }
            self.ticket.sleep(PAUSE).await;
        }
    }

    async fn ask_once(&mut self, id: u64, request: &[u8]) -> Result<Reply, Trouble> {
        encode_frame_parts(self.wire.out(), kind::LOBBY_REQUEST, &[&id.to_be_bytes(), request]);
        self.allowance.take(Instant::now(), 1);
        let mut reply = None;
        while reply.is_none() {
            self.turn(&mut |kind, body, _| {
                if kind == kind::LOBBY_REPLY
                    && let Some((number, body)) = body.split_first_chunk::<ID_BYTES>()
                    && u64::from_be_bytes(*number) == id
                {
                    reply = LobbyReply::decode(body).map_err(|_| Trouble::Malformed)?.reply;
                }
                Ok(())
            })
            .await?;
        }
        let reply = reply.ok_or(Trouble::Malformed)?;
        if let Reply::Room(answer) = &reply {
            match &answer.room {
                Some(room) => note(&mut self.room, room),
                None => self.room = None,
            }
        }
        Ok(reply)
    }

    /// Asks for something whose answer is a room; `None` after leaving.
    pub(crate) async fn ask_room(&mut self, request: Request) -> Result<Option<Room>, Trouble> {
        match self.ask(request).await? {
            Reply::Room(reply) => Ok(reply.room),
            _ => Err(Trouble::Malformed),
        }
    }

    /// Asks as long as it is refused for now: others are not ready, or the last game is not yet settled.
    pub(crate) async fn ask_patiently(&mut self, request: Request) -> Result<Option<Room>, Trouble> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.ask_room(request.clone()).await {
                Err(Trouble::Refused { retry: Retry::Later, .. })
                    if Instant::now() < deadline && !self.ticket.is_over() => {}
                answer => return answer,
            }
            self.ticket.sleep(PAUSE).await;
        }
    }

    /// Starts the game of the player's room.
    pub(crate) async fn start(&mut self) -> Result<GameId, Trouble> {
        let room = self.ask_patiently(Request::StartGame(StartGame {})).await?;
        if let Some(game) = room.as_ref().and_then(game_of) {
            return Ok(game);
        }
        let room = self.room_that(|room| game_of(room).is_some(), PATIENCE).await?;
        game_of(&room).ok_or(Trouble::Malformed)
    }

    /// Waits until the player's room is as wanted.
    pub(crate) async fn room_that(
        &mut self,
        wanted: impl Fn(&Room) -> bool,
        within: Duration,
    ) -> Result<Room, Trouble> {
        let waiting = async {
            loop {
                match &self.room {
                    Some(room) if wanted(room) => return Ok(room.clone()),
                    Some(_) => {}
                    None => return Err(Trouble::RoomLost),
                }
                self.turn(&mut |_, _, _| Ok(())).await?;
            }
        };
        timeout(within, waiting).await.unwrap_or(Err(Trouble::Silent("room")))
    }

    /// Waits until this much may be asked for. What may be asked for at once at most can be waited for.
    async fn wait_for_allowance(&mut self, requests: u32) {
        let wait = self.allowance.wait(Instant::now(), requests);
        if !wait.is_zero() {
            self.ticket.sleep(wait).await;
        }
    }

    /// Whether this much may be asked for now.
    pub(crate) fn may_ask(&self, requests: u32) -> bool {
        self.allowance.has(Instant::now(), requests)
    }

    /// Counts an attach, once it may be asked for.
    pub(crate) async fn wait_to_attach(&mut self) {
        self.wait_for_allowance(super::ATTACH).await;
    }

    /// Takes no notice of how much a player may ask for.
    pub(crate) fn ignore_limits(&mut self) {
        self.allowance = super::Allowance::unlimited();
    }

    /// The player's room as it was seen last.
    pub(crate) fn room(&self) -> Option<&Room> {
        self.room.as_ref()
    }

    /// Who the player is in rooms.
    pub(crate) fn session(&self) -> SessionId {
        self.session
    }
}

/// The game that a room plays.
pub(crate) fn game_of(room: &Room) -> Option<GameId> {
    let game = GameId { room: RoomId(room.id), round: Round(room.round) };
    (room.state() == RoomState::Playing).then_some(game)
}

/// What an event makes of what is known of the room.
pub(super) fn see(known: &mut Option<Room>, event: &LobbyEvent) {
    match &event.event {
        Some(Event::RoomChanged(room)) => note(known, room),
        Some(Event::RoomLeft(left)) if known.as_ref().is_some_and(|known| known.id == left.room) => *known = None,
        _ => {}
    }
}

/// What a room is now, if nothing newer is known of it: events and answers overtake each other.
fn note(known: &mut Option<Room>, room: &Room) {
    if known.as_ref().is_none_or(|known| known.id != room.id || known.version < room.version) {
        *known = Some(room.clone());
    }
}

/// What a request is called in a report.
fn name(request: &Request) -> &'static str {
    match request {
        Request::ListRooms(_) => "list rooms",
        Request::CreateRoom(_) => "create room",
        Request::JoinRoom(_) => "join room",
        Request::LeaveRoom(_) => "leave room",
        Request::SetReady(_) => "ready",
        Request::Kick(_) => "kick",
        Request::Chat(_) => "chat",
        Request::StartGame(_) => "start game",
        Request::QuickMatch(_) => "quick match",
        Request::GetRoom(_) => "get room",
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use bytes::BytesMut;
    use pintail_wire::client::{Error, LeaveRoom, RoomLeft, RoomReply, Welcome};
    use pintail_wire::{Decoder, encode_frame};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::LocalSet;

    use super::*;
    use crate::Gateways;
    use crate::drive::alarm::Alarms;
    use crate::drive::recorder::Recorder;
    use crate::drive::stage::{Stage, Ticket};

    /// A gateway that lets one player in and then answers requests with these, one after the other.
    async fn answer(listener: TcpListener, replies: Vec<Reply>) {
        let (mut client, _) = listener.accept().await.unwrap();
        let (mut input, mut replies) = (BytesMut::new(), replies.into_iter());
        let decoder = Decoder::new(1 << 16);
        while client.read_buf(&mut input).await.unwrap() > 0 {
            let mut output = BytesMut::new();
            while let Some(frame) = decoder.decode(&mut input).unwrap() {
                if frame.kind == kind::LOGIN {
                    encode_frame(&mut output, kind::WELCOME, &Welcome::default().encode_to_vec());
                } else if frame.kind == kind::LOBBY_REQUEST {
                    let reply = LobbyReply { reply: replies.next() }.encode_to_vec();
                    encode_frame_parts(&mut output, kind::LOBBY_REPLY, &[&frame.body[..ID_BYTES], &reply]);
                }
            }
            client.write_all(&output).await.unwrap();
        }
    }

    fn refusal(code: ErrorCode, retry: Retry) -> Reply {
        Reply::Error(Error { code: code.into(), retry: retry == Retry::Later, ..Error::default() })
    }

    /// Has a player leave a room, so many times, at a gateway that answers this, and gives what came of it.
    async fn ask(replies: Vec<Reply>, times: usize) -> (Vec<Result<(), Trouble>>, Rc<Stage>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = listener.local_addr().unwrap().to_string().parse().unwrap();
        let alarms = Alarms::new().unwrap();
        let stage =
            Stage::new(Gateways { addresses: vec![gateway], trust: None }, 7, alarms.clone(), Recorder::new("room"));
        stage.recorder.borrow_mut().open(Instant::now());
        let (local, ticket) = (LocalSet::new(), Ticket::new(&stage));
        local.spawn_local(async move { alarms.run().await });
        local.spawn_local(answer(listener, replies));
        let asking = local.run_until(async {
            let mut player = Player::arrive(&ticket).await.unwrap();
            let mut answers = Vec::new();
            for _ in 0..times {
                answers.push(player.ask(Request::LeaveRoom(LeaveRoom {})).await.map(|_| ()));
            }
            answers
        });
        (timeout(PATIENCE, asking).await.unwrap(), stage)
    }

    #[tokio::test]
    async fn a_request_is_measured_once_however_often_it_is_asked_and_not_if_it_is_refused() {
        let unavailable = || refusal(ErrorCode::Unavailable, Retry::Later);
        let replies = vec![
            unavailable(),
            unavailable(),
            Reply::Room(RoomReply::default()),
            refusal(ErrorCode::NotInRoom, Retry::Never),
        ];
        let (answers, stage) = ask(replies, 2).await;
        let refused = Trouble::Refused { request: "leave room", code: ErrorCode::NotInRoom, retry: Retry::Never };
        assert_eq!(answers, [Ok(()), Err(refused)]);
        let mut recorder = stage.recorder.borrow_mut();
        assert_eq!(recorder.outstanding(), 0, "what is refused is waited for no longer");
        let recording = std::mem::replace(&mut *recorder, Recorder::new("room")).finish(Instant::now());
        let measure = &recording.measures["leave room"];
        assert_eq!((measure.count, measure.lost), (1, 0), "{measure:?}");
        assert!(measure.min >= 2 * 50_000, "from the first time that it was asked: {measure:?}");
        // The refusal itself is counted by whoever gives up because of it.
        assert_eq!(recording.errors, [("leave room refused: UNAVAILABLE".to_owned(), 2)].into());
    }

    fn changed(id: u64, version: u64) -> LobbyEvent {
        LobbyEvent { event: Some(Event::RoomChanged(Room { id, version, ..Room::default() })) }
    }

    #[test]
    fn the_newest_that_was_heard_of_a_room_counts() {
        let mut known = None;
        let left = |room| LobbyEvent { event: Some(Event::RoomLeft(RoomLeft { room, reason: 0 })) };
        for (event, expected) in [
            (changed(1, 5), Some((1, 5))),
            (changed(1, 4), Some((1, 5))),
            (changed(1, 6), Some((1, 6))),
            (left(2), Some((1, 6))),
            (left(1), None),
            (changed(3, 1), Some((3, 1))),
            (LobbyEvent { event: None }, Some((3, 1))),
        ] {
            see(&mut known, &event);
            assert_eq!(known.as_ref().map(|room| (room.id, room.version)), expected);
        }
    }

    #[test]
    fn a_room_has_a_game_while_it_plays() {
        let mut room = Room { id: 7, round: 2, ..Room::default() };
        for (state, game) in [
            (RoomState::Wait, None),
            (RoomState::Starting, None),
            (RoomState::Playing, Some(GameId { room: RoomId(7), round: Round(2) })),
        ] {
            room.set_state(state);
            assert_eq!(game_of(&room), game);
        }
    }
}
