//! Players that come, find a room, play a moment, chat, and go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pintail_core::GameId;
use pintail_wire::client::lobby_request::Request;
use pintail_wire::client::{Chat, LeaveRoom, ListRooms, QuickMatch, Room, SetReady};
use rand::{RngExt, SeedableRng};

use super::{Churn, PAUSE_AFTER_TROUBLE};
use crate::bot::{Bot, BotContext, BotKind, BotRng, Inputs, Sent};
use crate::drive::stage::Ticket;
use crate::player::Player;
use crate::player::lobby::{PATIENCE, game_of};
use crate::player::seat::{Chair, Presence, Seat};
use crate::player::trouble::Trouble;

/// What it takes a player to be in a game is called so in a report, from the first byte of the connection on.
pub(super) const ARRIVAL: &str = "arrival";

/// How often a player does something.
const EVERY: Duration = Duration::from_millis(100);

/// What a player sends.
const PAYLOAD: [u8; 32] = [7; 32];

/// The game that they play.
const GAME: &str = "echo";

/// How many rooms a player looks through.
const LISTED_ROOMS: u32 = 20;

/// One after the other comes and goes, until the group's ticket is over. `index` is the group's number.
pub(super) async fn come_and_go(ticket: Ticket, churn: Churn, index: u64) {
    let mut rng = BotRng::seed_from_u64(ticket.stage().seed ^ index);
    // The first ones have been there for a while, so that they do not all go at the same time.
    let mut share = 0.0..1.0;
    while !ticket.is_group_over() {
        let now = Instant::now();
        if !ticket.stage().is_in_time(now) {
            ticket.alarm().rung().await;
            continue;
        }
        let stay = churn.stay.mul_f64(rng.random_range(share));
        share = 0.5..1.5;
        if let Err(trouble) = visit(&ticket, now, stay).await
            && !ticket.is_group_over()
        {
            ticket.stage().recorder.borrow_mut().error(&trouble);
            ticket.sleep(PAUSE_AFTER_TROUBLE).await;
        }
    }
}

async fn visit(ticket: &Ticket, since: Instant, stay: Duration) -> Result<(), Trouble> {
    let stage = ticket.stage();
    // Who waits for the turn is expected already: a queue that is still there when the window ends counts, too.
    let arrival = ticket.begin(ARRIVAL, since);
    let turn = stage.gathering.acquire().await;
    if ticket.is_over() {
        return Ok(());
    }
    let mut player = Player::arrive(ticket).await?;
    let game = find_game(&mut player).await?;
    drop(turn);
    let visitors = visitors(stage.since_epoch(since), stay);
    let chair = Chair { number: player.number(), place: 0, presence: Presence::Counted };
    let mut seat = Seat::new(ticket, &visitors, game, chair);
    let played = player.play(&mut seat).await;
    if seat.was_attached() {
        // The visitor has told.
        arrival.hand_over();
    }
    drop(seat);
    if played.is_ok() {
        ticket.forget_begun(Instant::now());
    }
    if played.is_ok() && !ticket.is_over() {
        player.ask_room(Request::Chat(Chat { text: "that was fun, bye".to_owned() })).await?;
        player.ask_room(Request::LeaveRoom(LeaveRoom {})).await?;
    }
    player.leave().await;
    played.map(|_| ())
}

/// Looks at the rooms, goes into one, and waits until its game starts.
async fn find_game(player: &mut Player) -> Result<GameId, Trouble> {
    let list = ListRooms { game: GAME.to_owned(), open_only: true, limit: LISTED_ROOMS, ..ListRooms::default() };
    player.ask(Request::ListRooms(list)).await?;
    player.ask_room(Request::QuickMatch(QuickMatch { game: GAME.to_owned(), settings: String::new() })).await?;
    let me = player.session().0;
    if player.room().is_some_and(|room| room.owner != me && game_of(room).is_none()) {
        match player.ask_room(Request::SetReady(SetReady { ready: true })).await {
            // The game has begun meanwhile: the room says so.
            Ok(_) | Err(Trouble::Refused { .. }) => {}
            Err(trouble) => return Err(trouble),
        }
    }
    loop {
        let concerns_me = |room: &Room| room.owner == me || game_of(room).is_some();
        let room = player.room_that(concerns_me, PATIENCE).await?;
        if let Some(game) = game_of(&room) {
            return Ok(game);
        }
        match player.start().await {
            Err(Trouble::Refused { .. }) if player.room().is_some_and(|room| game_of(room).is_some()) => {}
            started => return started,
        }
    }
}

/// Bots that play for so long, and came at `since`.
fn visitors(since: Duration, stay: Duration) -> BotKind {
    BotKind {
        name: "churn".to_owned(),
        game: GAME.to_owned(),
        settings: String::new(),
        room_players: 1,
        every: Some(EVERY),
        inputs: Inputs::Measured,
        primary: ARRIVAL,
        make: Arc::new(move |_| Box::new(Visitor { since: Some(since), stay, until: None, unanswered: 0 })),
    }
}

struct Visitor {
    /// When it came, until that is measured.
    since: Option<Duration>,
    stay: Duration,
    until: Option<Duration>,
    unanswered: u32,
}

impl Visitor {
    fn leave_if_done(&self, ctx: &mut BotContext<'_>) {
        if self.unanswered == 0 && self.until.is_some_and(|until| until <= ctx.now()) {
            ctx.leave();
        }
    }
}

impl Bot for Visitor {
    fn attached(&mut self, ctx: &mut BotContext<'_>) {
        if let Some(since) = self.since.take() {
            ctx.took(ARRIVAL, since);
        }
    }

    fn begin(&mut self, ctx: &mut BotContext<'_>) {
        self.until = Some(ctx.now() + self.stay);
    }

    fn tick(&mut self, ctx: &mut BotContext<'_>) {
        if self.until.is_some_and(|until| ctx.due() < until) {
            self.unanswered += u32::from(ctx.send(&PAYLOAD) == Sent::Sent);
        } else {
            self.leave_if_done(ctx);
        }
    }

    fn message(&mut self, ctx: &mut BotContext<'_>, _: &[u8]) {
        self.unanswered = self.unanswered.saturating_sub(1);
        self.leave_if_done(ctx);
    }
}
