//! A seat, fed by hand.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use pintail_core::{RoomId, Round, Seq};
use pintail_wire::client::GameDetachReason;
use pintail_wire::game::{Ack, Input, Reliable};
use pintail_wire::{Decoder, Frame};

use super::*;
use crate::drive::Phase;
use crate::drive::alarm::Alarms;
use crate::drive::recorder::Recorder;
use crate::drive::stage::Stage;

const GAME: GameId = GameId { room: RoomId(7), round: Round(2) };
const SECOND: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_millis(50);

/// Sends a byte with each move, and tells what it was called for.
struct Diary(Rc<RefCell<Vec<&'static str>>>);

impl Bot for Diary {
    fn attached(&mut self, _: &mut BotContext<'_>) {
        self.0.borrow_mut().push("attached");
    }

    fn begin(&mut self, _: &mut BotContext<'_>) {
        self.0.borrow_mut().push("begin");
    }

    fn tick(&mut self, ctx: &mut BotContext<'_>) {
        self.0.borrow_mut().push("tick");
        ctx.send(b"x");
    }

    fn message(&mut self, ctx: &mut BotContext<'_>, payload: &[u8]) {
        self.0.borrow_mut().push("message");
        if payload == b"go home" {
            ctx.leave();
        }
    }
}

/// A seat on a stage of its own, and what its bot was called for.
struct Rig {
    stage: Rc<Stage>,
    seat: Seat,
    out: BytesMut,
    calls: Rc<RefCell<Vec<&'static str>>>,
    start: Instant,
}

impl Rig {
    fn new(every: Option<Duration>) -> Self {
        let stage = Stage::new(crate::Gateways::default(), 7, Alarms::new().unwrap(), Recorder::new(INPUT));
        let calls = Rc::new(RefCell::new(Vec::new()));
        let seat = Self::seat(&stage, every, &calls);
        Self { start: stage.epoch, stage, seat, out: BytesMut::new(), calls }
    }

    fn seat(stage: &Rc<Stage>, every: Option<Duration>, calls: &Rc<RefCell<Vec<&'static str>>>) -> Seat {
        let kind = BotKind {
            name: String::new(),
            game: String::new(),
            settings: String::new(),
            room_players: 1,
            every,
            inputs: Inputs::Measured,
            primary: INPUT,
            make: Arc::new(|_| Box::new(Diary(Rc::default()))),
        };
        let chair = Chair { number: 0, place: 0, presence: Presence::Counted };
        let mut seat = Seat::new(&Ticket::new(stage), &kind, GAME, chair);
        seat.bot = Box::new(Diary(calls.clone()));
        seat
    }

    fn take(&mut self, kind: u8, body: &[u8], after: Duration) -> Result<(), Trouble> {
        self.seat.take(kind, body, self.start + after, &mut self.out)
    }

    fn attach(&mut self, received: u64, after: Duration) {
        let attached = GameAttached { room: 7, round: 2, received, next: 1, ..GameAttached::default() };
        self.take(kind::GAME_ATTACHED, &attached.encode_to_vec(), after).unwrap();
    }

    fn detach(&mut self, retry: bool, after: Duration) {
        let mut detached = GameDetached { room: 7, round: 2, retry, ..GameDetached::default() };
        detached.set_reason(GameDetachReason::ServerUnreachable);
        self.take(kind::GAME_DETACHED, &detached.encode_to_vec(), after).unwrap();
    }

    fn message(&mut self, kind: u8, (seq, ack): (u64, u64), payload: &[u8], after: Duration) {
        let body = [&Reliable::head(Seq(seq), Seq(ack))[..], &GAME.to_bytes(), &[0; 8], payload].concat();
        self.take(kind, &body, after).unwrap();
    }

    /// When to come again, from the start.
    fn on_time(&mut self, after: Duration) -> Option<Duration> {
        self.seat.on_time(self.start + after, &mut self.out).map(|next| next - self.start)
    }

    /// What was sent since the last time.
    fn sent(&mut self) -> Vec<Frame> {
        let (decoder, mut out) = (Decoder::new(1 << 16), self.out.split());
        std::iter::from_fn(|| decoder.decode(&mut out).unwrap()).collect()
    }

    fn kinds_sent(&mut self) -> Vec<u8> {
        self.sent().into_iter().map(|frame| frame.kind).collect()
    }

    fn calls(&self) -> Vec<&'static str> {
        self.calls.take()
    }
}

#[tokio::test]
async fn a_bot_begins_when_everybody_is_there_and_moves_when_it_should() {
    let mut rig = Rig::new(Some(EVERY));
    rig.attach(0, Duration::ZERO);
    assert_eq!((rig.on_time(SECOND), rig.stage.present()), (None, 1));
    assert_eq!(rig.calls(), ["attached"]);
    rig.stage.enter(Phase::Measure);
    assert_eq!(rig.on_time(SECOND), Some(SECOND + EVERY));
    assert_eq!(rig.calls(), ["begin", "tick"]);
    // Late: every move is made up.
    assert_eq!(rig.on_time(SECOND + EVERY * 3), Some(SECOND + EVERY * 4));
    assert_eq!(rig.calls(), ["tick"; 3]);
    assert_eq!(rig.kinds_sent(), [kind::GAME_INPUT; 4]);
    // After the window's end, those of before are made up and no others.
    rig.stage.end_at(rig.start + SECOND + EVERY * 5);
    assert_eq!(rig.on_time(SECOND * 2), None);
    assert_eq!(rig.calls(), ["tick"]);
}

#[tokio::test]
async fn how_late_each_move_was_made_is_the_loads_own_lateness_and_a_lost_connection_is_not() {
    let mut rig = Rig::new(Some(EVERY));
    rig.seat.connected(rig.start, &mut rig.out);
    rig.attach(0, Duration::ZERO);
    rig.stage.recorder.borrow_mut().open(rig.start);
    rig.stage.enter(Phase::Measure);
    rig.on_time(Duration::ZERO);
    rig.on_time(EVERY * 3);
    let late = rig.stage.recorder.borrow().late().unwrap();
    assert_eq!((late.count, late.min, late.max / 1000), (4, 0, 100), "moves at 0, 50, 100 and 150 ms");
    rig.seat.disconnected();
    rig.seat.connected(rig.start + SECOND, &mut rig.out);
    rig.on_time(SECOND);
    let late = rig.stage.recorder.borrow().late().unwrap();
    assert_eq!((late.count, late.max / 1000), (21, 100), "nobody could have moved before");
}

#[tokio::test]
async fn an_input_is_measured_from_when_it_was_due_until_the_game_has_it() {
    let mut rig = Rig::new(Some(EVERY));
    rig.attach(0, Duration::ZERO);
    rig.stage.recorder.borrow_mut().open(rig.start);
    rig.stage.enter(Phase::Measure);
    rig.on_time(Duration::ZERO);
    rig.on_time(EVERY * 2);
    assert_eq!(rig.stage.recorder.borrow().outstanding(), 3);
    rig.message(kind::GAME_MESSAGE, (1, 2), b"", EVERY * 2);
    assert_eq!(rig.stage.recorder.borrow().outstanding(), 1);
    let latency = rig.stage.recorder.borrow_mut().second().latency.unwrap();
    assert_eq!((latency.p50 / 1000, latency.max / 1000), (50, 100));
}

#[tokio::test]
async fn a_pause_is_waited_out_and_what_was_not_received_is_sent_again() {
    let mut rig = Rig::new(Some(EVERY));
    rig.attach(0, Duration::ZERO);
    rig.stage.enter(Phase::Measure);
    rig.on_time(Duration::ZERO);
    rig.detach(true, EVERY / 2);
    assert_eq!(rig.kinds_sent(), [kind::GAME_INPUT]);
    rig.on_time(EVERY);
    assert_eq!(rig.kinds_sent(), [kind::GAME_ATTACH], "at once; and the move is kept");
    rig.detach(true, EVERY);
    assert!(rig.seat.attaching.due.unwrap() <= rig.start + EVERY + ATTACH_PAUSE);
    rig.on_time(EVERY + ATTACH_PAUSE);
    assert!(rig.kinds_sent().contains(&kind::GAME_ATTACH));
    rig.attach(0, SECOND);
    let again = rig.sent().into_iter().map(|frame| Input::decode(frame.body).unwrap().seq.0);
    assert_eq!(again.collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(rig.seat.over(), None);
    assert_eq!(rig.stage.recorder.borrow().worst_error(), Some("game paused: SERVER_UNREACHABLE"));
}

#[tokio::test]
async fn the_moves_of_a_lost_player_are_due_until_those_of_the_next_begin() {
    let mut rig = Rig::new(Some(EVERY));
    rig.attach(0, Duration::ZERO);
    rig.stage.enter(Phase::Measure);
    assert_eq!(rig.on_time(SECOND), Some(SECOND + EVERY));
    rig.sent();
    // One after the other sits down there, and is lost before a game answers.
    for round in 0..2 {
        let next = Rig::seat(&rig.stage, Some(EVERY), &Rc::default());
        let lost = std::mem::replace(&mut rig.seat, next).lost();
        rig.seat.predecessor = Some(Box::new(lost));
        rig.calls();
        assert_eq!(rig.on_time(SECOND + EVERY * (round + 1)), Some(SECOND + EVERY * (round + 2)));
        assert_eq!(rig.calls(), ["tick"], "by the bot that was there first");
        assert_eq!(rig.kinds_sent(), [0; 0], "nobody hears it");
    }
    rig.attach(0, SECOND + EVERY * 3);
    assert_eq!(rig.on_time(SECOND + EVERY * 3), Some(SECOND + EVERY * 4));
    assert_eq!(rig.kinds_sent(), [kind::GAME_INPUT], "this one's own have begun");
    assert!(rig.seat.predecessor.is_none());
}

#[tokio::test]
async fn an_attach_that_nobody_answers_is_sent_again() {
    let mut rig = Rig::new(None);
    rig.seat.connected(rig.start, &mut rig.out);
    assert_eq!(rig.on_time(SECOND), Some(ATTACH_TIMEOUT));
    assert_eq!(rig.on_time(ATTACH_TIMEOUT), Some(ATTACH_TIMEOUT * 2));
    assert_eq!(rig.kinds_sent(), [kind::GAME_ATTACH; 2]);
}

#[tokio::test]
async fn a_message_is_acknowledged_soon_even_if_there_is_nothing_to_say() {
    let mut rig = Rig::new(None);
    rig.attach(0, Duration::ZERO);
    rig.message(kind::GAME_MESSAGE, (1, 0), b"", SECOND);
    assert_eq!(rig.on_time(SECOND), Some(SECOND + ACK_DELAY));
    assert_eq!(rig.on_time(SECOND + ACK_DELAY / 2), Some(SECOND + ACK_DELAY), "others do not put it off");
    assert_eq!(rig.on_time(SECOND + ACK_DELAY), None);
    let acks: Vec<_> = rig.sent().into_iter().map(|frame| Ack::decode(frame.body).unwrap().ack).collect();
    assert_eq!(acks, [Seq(1)]);
}

#[tokio::test]
async fn it_is_over_when_the_game_or_the_bot_says_so_or_the_player_is_out() {
    let end = |rig: &mut Rig, reason: GameEndReason| {
        let mut ended = GameEnded::default();
        ended.set_reason(reason);
        rig.message(kind::GAME_ENDED, (1, 0), &ended.encode_to_vec(), SECOND);
    };
    type Happen<'a> = &'a dyn Fn(&mut Rig);
    let cases: [(Happen<'_>, Result<Over, Trouble>); 4] = [
        (&|rig| end(rig, GameEndReason::Finished), Ok(Over::Ended)),
        (&|rig| end(rig, GameEndReason::ServerLost), Err(Trouble::GameEnded(GameEndReason::ServerLost))),
        (&|rig| rig.message(kind::GAME_MESSAGE, (1, 0), b"go home", SECOND), Ok(Over::Left)),
        (&|rig| rig.detach(false, SECOND), Err(Trouble::Detached(GameDetachReason::ServerUnreachable))),
    ];
    for (happen, over) in cases {
        let mut rig = Rig::new(None);
        rig.attach(0, Duration::ZERO);
        assert_eq!(rig.seat.over(), None);
        happen(&mut rig);
        assert_eq!(rig.seat.over(), Some(over));
    }
}
