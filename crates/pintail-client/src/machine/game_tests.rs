//! The session stream to a game.

use std::time::Duration;

use bytes::Bytes;
use pintail_core::limits::{ACK_DELAY, ATTACH_WAIT, PENDING_INPUTS_MAX, STREAM_UNACKED_BYTES_MAX};
use pintail_core::{GameId, Round, Seq, Step};
use pintail_wire::client::{
    GameAttach, GameDetachReason, GameDetached, GameEndReason, GameEnded, LobbyEvent, RoomState, lobby_event,
};
use pintail_wire::game::{Ack, Input, Reliable, State, shared_header};
use pintail_wire::{Message, kind};

use super::rig::{FIRST_REQUEST, GAME, ROOM, Rig, events, frames, kinds, room, start_game};
use super::{Command, Sendable};
use crate::{ClientConfig, Disconnect, Event, InputCount, PauseReason};

fn reliable(game: GameId, seq: u64, ack: u64, payload: &[u8]) -> Bytes {
    [&Reliable::head(Seq(seq), Seq(ack))[..], &shared_header(game, Step(seq)), payload].concat().into()
}

fn state(ack: u64, step: u64) -> Bytes {
    [&State::head(Seq(ack))[..], &shared_header(GAME, Step(step)), b"s"].concat().into()
}

fn detached(reason: GameDetachReason, retry: bool) -> GameDetached {
    GameDetached { room: ROOM, round: 1, reason: reason.into(), message: "gone".to_owned(), retry }
}

fn inputs(commands: &[Command]) -> Vec<Input> {
    let frames = frames(commands).into_iter().filter(|(kind, _)| *kind == kind::client::GAME_INPUT);
    frames.map(|(_, body)| Input::decode(body).unwrap()).collect()
}

fn attach_of(commands: &[Command]) -> GameAttach {
    let attach = frames(commands).into_iter().find(|(kind, _)| *kind == kind::client::GAME_ATTACH);
    GameAttach::decode(attach.expect("it attaches").1).unwrap()
}

fn acks(commands: &[Command]) -> Vec<u64> {
    let frames = frames(commands).into_iter().filter(|(kind, _)| *kind == kind::client::GAME_ACK);
    frames.map(|(_, body)| Ack::decode(body).unwrap().ack.0).collect()
}

#[test]
fn a_room_that_plays_is_attached_to_before_the_call_is_answered() {
    let mut rig = Rig::online();
    rig.call(start_game());
    assert_eq!(rig.machine.can_send(GAME, 1), Sendable::NoGame);
    let commands = rig.reply(FIRST_REQUEST, room(1, RoomState::Playing));
    let attach = attach_of(&commands);
    assert_eq!((attach.room, attach.round, attach.received, attach.step_seen), (ROOM, 1, 0, 0));
    assert!(matches!(commands.last(), Some(Command::Answer(..))));
    assert_eq!(
        rig.machine.can_send(GAME, 1),
        Sendable::Later,
        "nothing is numbered before the game has said what it has"
    );
    let commands = rig.attached(0, 1);
    assert!(matches!(events(&commands)[..], [Event::GameAttached { resynchronised: false, .. }]));
    assert_eq!(rig.machine.can_send(GAME, 1), Sendable::Now);
}

#[test]
fn without_auto_attach_the_application_decides() {
    let mut config = ClientConfig::new(["one:1".parse().unwrap()], "Ada");
    config.auto_attach = false;
    let mut rig = Rig::with_config(config);
    rig.log_in();
    rig.call(start_game());
    assert!(kinds(&rig.reply(FIRST_REQUEST, room(1, RoomState::Playing))).is_empty());
    assert_eq!(kinds(&rig.tell(super::Happening::Attach(GAME))), [kind::client::GAME_ATTACH]);
    assert_eq!(rig.tell(super::Happening::Attach(GAME)), [], "it is on its way");
}

#[test]
fn an_attach_that_is_not_answered_is_sent_again() {
    let mut rig = Rig::online();
    rig.call(start_game());
    rig.reply(FIRST_REQUEST, room(1, RoomState::Playing));
    let mut attached_after = |silence| {
        let mut commands = Vec::new();
        for _ in 0..silence {
            commands.extend(rig.wait(Duration::from_secs(1)));
            rig.frame(kind::client::PONG, "");
        }
        kinds(&commands).contains(&kind::client::GAME_ATTACH)
    };
    assert!(!attached_after(ATTACH_WAIT.as_secs()), "it may wait at the gateway as long");
    assert!(attached_after(3));
}

#[test]
fn who_plays_notices_a_gateway_that_hangs_within_seconds() {
    let mut rig = Rig::playing();
    let commands = rig.wait(Duration::from_secs(3));
    assert_eq!(kinds(&commands), [kind::client::PING]);
    rig.frame(kind::client::PONG, "");
    assert!(events(&rig.wait(Duration::from_secs(3))).is_empty(), "it was heard");
    let commands = rig.wait(Duration::from_secs(2));
    assert!(matches!(events(&commands)[..], [Event::Disconnected { .. }, Event::GamePaused { .. }]), "{commands:?}");
}

#[test]
fn unacknowledged_inputs_are_sent_again_after_a_reconnect() {
    let mut rig = Rig::playing();
    for payload in ["a", "b", "c"] {
        assert_eq!(inputs(&rig.send(payload)).len(), 1);
    }
    rig.frame(kind::client::GAME_MESSAGE, reliable(GAME, 1, 1, b"x"));
    rig.cut();
    assert_eq!(frames(&rig.send("d")), [], "kept for later");
    assert_eq!(rig.machine.inputs(), InputCount { sent: 4, acknowledged: 1 });
    let attach = attach_of(&rig.log_in());
    assert_eq!((attach.received, attach.step_seen), (1, 1));
    let again = inputs(&rig.attached(2, 2));
    let again: Vec<_> = again.iter().map(|input| (input.seq.0, &input.payload[..])).collect();
    assert_eq!(again, [(3, &b"c"[..]), (4, b"d")]);
    assert_eq!(rig.machine.inputs(), InputCount { sent: 4, acknowledged: 2 });
    let end = GameEnded { reason: GameEndReason::Finished.into(), ..GameEnded::default() };
    rig.frame(kind::client::GAME_ENDED, reliable(GAME, 2, 4, &end.encode_to_vec()));
    assert_eq!(rig.machine.game(), None);
    assert_eq!(rig.machine.inputs(), InputCount { sent: 4, acknowledged: 4 }, "it can be read when the game is over");
}

#[test]
fn messages_arrive_once_and_a_gap_is_filled_by_attaching_again() {
    let mut rig = Rig::playing();
    assert_eq!(events(&rig.frame(kind::client::GAME_MESSAGE, reliable(GAME, 1, 0, b"x"))).len(), 1);
    assert_eq!(rig.frame(kind::client::GAME_MESSAGE, reliable(GAME, 1, 0, b"x")), []);
    let commands = rig.frame(kind::client::GAME_MESSAGE, reliable(GAME, 3, 0, b"z"));
    assert!(matches!(events(&commands)[..], [Event::GamePaused { .. }]));
    let attach = attach_of(&rig.wait(Duration::from_secs(1)));
    assert_eq!(attach.received, 1);
    assert!(matches!(events(&rig.attached(0, 2))[..], [Event::GameResumed { resynchronised: false, .. }]));
    assert_eq!(events(&rig.frame(kind::client::GAME_MESSAGE, reliable(GAME, 2, 0, b"y"))).len(), 1);
}

#[test]
fn a_player_too_far_behind_leaps_and_is_told() {
    let mut rig = Rig::playing();
    rig.cut();
    rig.log_in();
    let commands = rig.attached(0, 30);
    assert!(matches!(events(&commands)[..], [Event::GameResumed { resynchronised: true, .. }]));
    assert_eq!(events(&rig.frame(kind::client::GAME_MESSAGE, reliable(GAME, 30, 0, b"x"))).len(), 1);
    assert_eq!(acks(&rig.wait(ACK_DELAY)), [30]);
}

#[test]
fn a_game_may_go_on_from_an_earlier_state_and_says_so() {
    let mut rig = Rig::playing();
    rig.send("kept");
    rig.frame(kind::client::GAME_STATE, state(1, 90));
    rig.cut();
    let attach = attach_of(&rig.log_in());
    assert_eq!((attach.acknowledged, attach.step_seen), (1, 90));
    assert!(matches!(events(&rig.attached(1, 2))[..], [Event::GameResumed { resynchronised: true, .. }]));
    assert_eq!(
        events(&rig.frame(kind::client::GAME_STATE, state(1, 40))).len(),
        1,
        "earlier, and the latest that there is"
    );
    rig.cut();
    assert_eq!(attach_of(&rig.log_in()).step_seen, 40);
}

#[test]
fn a_restarted_client_goes_on_with_the_numbers_of_its_earlier_life() {
    let mut rig = Rig::online();
    rig.call(start_game());
    rig.reply(FIRST_REQUEST, room(1, RoomState::Playing));
    rig.attached(57, 1);
    assert_eq!(inputs(&rig.send("x"))[0].seq, Seq(58));
}

#[test]
fn an_acknowledgement_rides_on_an_input_or_goes_alone_after_a_while_or_many() {
    let mut rig = Rig::playing();
    rig.frame(kind::client::GAME_MESSAGE, reliable(GAME, 1, 0, b"x"));
    assert_eq!(inputs(&rig.send("a"))[0].ack, Seq(1));
    assert!(acks(&rig.wait(2 * ACK_DELAY)).is_empty(), "the input said it");
    rig.frame(kind::client::GAME_MESSAGE, reliable(GAME, 2, 0, b"x"));
    assert_eq!(acks(&rig.wait(ACK_DELAY)), [2]);
    let many = (3..=34).map(|seq| rig.frame(kind::client::GAME_MESSAGE, reliable(GAME, seq, 0, b"x")));
    let many: Vec<_> = many.flat_map(|commands| acks(&commands)).collect();
    assert_eq!(many, [34]);
    assert!(acks(&rig.wait(2 * ACK_DELAY)).is_empty());
    rig.frame(kind::client::GAME_MESSAGE, reliable(GAME, 34, 0, b"x"));
    assert_eq!(acks(&rig.wait(ACK_DELAY)), [34], "the game seems not to know");
}

#[test]
fn large_messages_are_acknowledged_before_the_game_gives_up_on_who_is_silent() {
    let mut rig = Rig::playing();
    let payload = vec![0; 40_000];
    let mut unacknowledged = 0;
    for seq in 1..=20 {
        unacknowledged += payload.len();
        assert!(unacknowledged <= STREAM_UNACKED_BYTES_MAX, "the game would give up before message {seq}");
        if acks(&rig.frame(kind::client::GAME_MESSAGE, reliable(GAME, seq, 0, &payload))) == [seq] {
            unacknowledged = 0;
        }
    }
}

#[test]
fn a_client_holds_back_what_the_game_could_not_take_at_once() {
    let mut rig = Rig::playing();
    for _ in 0..PENDING_INPUTS_MAX {
        rig.send("x");
    }
    assert_eq!(rig.machine.can_send(GAME, 1), Sendable::Later);
    let acked = [&Seq(1).0.to_be_bytes()[..], &GAME.to_bytes()].concat();
    rig.frame(kind::client::GAME_ACKED, acked);
    assert_eq!(rig.machine.can_send(GAME, 1), Sendable::Now);
}

#[test]
fn frames_of_another_game_mean_nothing() {
    let mut rig = Rig::playing();
    let other = GameId { round: Round(9), ..GAME };
    assert_eq!(rig.frame(kind::client::GAME_MESSAGE, reliable(other, 7, 99, b"x")), []);
    let gone = GameDetached { round: 9, ..detached(GameDetachReason::NoSuchGame, false) };
    assert_eq!(rig.message(kind::client::GAME_DETACHED, &gone), []);
    assert!(!rig.frame(kind::client::GAME_STATE, state(0, 4)).is_empty());
}

#[test]
fn a_detached_stream_comes_back_if_the_game_wants_it() {
    let mut rig = Rig::playing();
    rig.frame(kind::client::GAME_STATE, state(0, 44));
    let gone = detached(GameDetachReason::ServerUnreachable, true);
    let commands = rig.message(kind::client::GAME_DETACHED, &gone);
    assert!(matches!(events(&commands)[..], [Event::GamePaused { .. }]));
    assert_eq!(frames(&rig.send("kept")), []);
    for _ in 0..3 {
        let attach = attach_of(&rig.wait(Duration::from_secs(2)));
        assert_eq!(attach.step_seen, 44);
        assert!(events(&rig.message(kind::client::GAME_DETACHED, &gone)).is_empty(), "it was told once");
    }
    attach_of(&rig.wait(Duration::from_secs(2)));
    assert_eq!(inputs(&rig.attached(0, 1)).len(), 1);
}

#[test]
fn a_game_that_is_over_stays_over() {
    let mut rig = Rig::playing();
    let end = GameEnded { reason: GameEndReason::Finished.into(), result: "1".to_owned(), message: String::new() };
    let commands = rig.frame(kind::client::GAME_ENDED, reliable(GAME, 1, 0, &end.encode_to_vec()));
    assert_eq!(acks(&commands), [1]);
    assert!(matches!(events(&commands)[..], [Event::GameEnded { reason: GameEndReason::Finished, .. }]));
    assert_eq!(rig.machine.can_send(GAME, 1), Sendable::NoGame);
    let changed = |round, version| {
        let room = pintail_wire::client::Room { round, ..room(version, RoomState::Playing) };
        LobbyEvent { event: Some(lobby_event::Event::RoomChanged(room)) }
    };
    assert!(kinds(&rig.message(kind::client::LOBBY_EVENT, &changed(1, 2))).is_empty(), "the room lags behind");
    let commands = rig.message(kind::client::LOBBY_EVENT, &changed(2, 3));
    assert_eq!(attach_of(&commands).round, 2);
}

#[test]
fn a_stream_whose_numbers_cannot_be_is_closed() {
    for frame in [reliable(GAME, 1, 5, b"x"), reliable(GAME, 1, u64::MAX, b"x")] {
        let mut rig = Rig::playing();
        let commands = rig.frame(kind::client::GAME_MESSAGE, frame);
        assert!(matches!(events(&commands)[..], [Event::GameDetached { .. }]));
        assert_eq!(rig.machine.can_send(GAME, 1), Sendable::NoGame);
    }
    for (received, next) in [(u64::MAX, 1), (0, u64::MAX), (7, 1)] {
        let mut rig = Rig::playing();
        let commands = rig.attached(received, next);
        assert!(matches!(events(&commands)[..], [Event::GameDetached { .. }]), "{commands:?}");
    }
}

#[test]
fn a_game_that_forgot_acknowledged_inputs_is_not_played_on_with_a_hole() {
    let mut rig = Rig::playing();
    for payload in ["a", "b", "c"] {
        rig.send(payload);
    }
    rig.frame(kind::client::GAME_STATE, state(3, 1));
    rig.cut();
    rig.log_in();
    let commands = rig.attached(1, 1);
    let [Event::GameDetached { reason: GameDetachReason::StreamBroken, .. }] = events(&commands)[..] else {
        panic!("{commands:?}")
    };
}

#[test]
fn a_late_answer_to_an_attach_changes_nothing() {
    let mut rig = Rig::playing();
    for payload in ["a", "b", "c"] {
        rig.send(payload);
    }
    rig.frame(kind::client::GAME_STATE, state(3, 1));
    assert_eq!(rig.attached(0, 1), []);
    assert_eq!(inputs(&rig.send("d"))[0].seq, Seq(4));
}

#[test]
fn an_input_for_a_game_that_was_followed_by_another_is_not_for_that() {
    let mut rig = Rig::playing();
    let next = GameId { round: Round(2), ..GAME };
    let commands = rig.tell(super::Happening::Attach(next));
    assert!(matches!(events(&commands)[..], [Event::GameDetached { game: GAME, .. }]));
    assert_eq!(rig.machine.can_send(GAME, 1), Sendable::NoGame);
    assert_eq!(rig.machine.can_send(next, 1), Sendable::Later);
}

/// A client whose stream has been open for a while.
fn playing_for_long() -> Rig {
    let mut rig = Rig::playing();
    rig.wait(HELD);
    rig
}

/// Longer than a stream must have been open to be opened again at once.
const HELD: Duration = Duration::from_millis(1500);

fn lost_server() -> GameDetached {
    detached(GameDetachReason::ServerUnreachable, true)
}

fn is_attaching(commands: &[Command]) -> bool {
    kinds(commands).contains(&kind::client::GAME_ATTACH)
}

#[test]
fn a_game_that_lost_its_server_is_attached_to_at_once_and_then_with_growing_waits() {
    let mut rig = playing_for_long();
    let commands = rig.message(kind::client::GAME_DETACHED, &lost_server());
    assert!(is_attaching(&commands), "{commands:?}");
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        assert!(!is_attaching(&rig.message(kind::client::GAME_DETACHED, &lost_server())), "but once only");
        let refused_at = rig.now;
        let until = rig.machine.play.deadline().unwrap();
        longest = longest.max(until - refused_at);
        assert!(until - refused_at <= Duration::from_secs(2));
        assert!(is_attaching(&rig.wait(until - refused_at)));
    }
    assert!(longest > Duration::from_millis(200), "{longest:?}");
    rig.attached(0, 1);
    assert!(!is_attaching(&rig.message(kind::client::GAME_DETACHED, &lost_server())), "it did not hold");
    rig.wait(Duration::from_secs(2));
    rig.attached(0, 1);
    rig.wait(HELD);
    assert!(is_attaching(&rig.message(kind::client::GAME_DETACHED, &lost_server())), "this one did");
}

#[test]
fn a_pause_and_its_end_are_told_once_each_whatever_fails_in_between() {
    let mut rig = playing_for_long();
    let commands = rig.message(kind::client::GAME_DETACHED, &lost_server());
    let why = PauseReason::Detached { reason: GameDetachReason::ServerUnreachable, message: "gone".to_owned() };
    assert_eq!(events(&commands), [&Event::GamePaused { game: GAME, why }]);
    assert!(events(&rig.message(kind::client::GAME_DETACHED, &lost_server())).is_empty());
    let lost = rig.cut();
    assert_eq!(events(&lost), [&Event::Disconnected { why: Disconnect::Closed }], "it pauses already");
    rig.log_in();
    assert!(events(&rig.message(kind::client::GAME_DETACHED, &lost_server())).is_empty());
    rig.wait(Duration::from_secs(2));
    let resumed = Event::GameResumed { game: GAME, resynchronised: false };
    assert_eq!(events(&rig.attached(0, 1)), [&resumed]);
    let lost = rig.cut();
    let paused = Event::GamePaused { game: GAME, why: PauseReason::Disconnected };
    assert_eq!(events(&lost), [&Event::Disconnected { why: Disconnect::Closed }, &paused]);
    rig.log_in();
    assert_eq!(events(&rig.attached(0, 1)), [&resumed]);
}

#[test]
fn what_was_seen_is_told_to_each_server_that_takes_the_game_over() {
    let mut rig = playing_for_long();
    rig.frame(kind::client::GAME_MESSAGE, reliable(GAME, 1, 0, b"x"));
    rig.frame(kind::client::GAME_STATE, state(0, 90));
    let commands = rig.message(kind::client::GAME_DETACHED, &lost_server());
    let attach = attach_of(&commands);
    assert_eq!((attach.received, attach.step_seen), (1, 90));
    // The next server dies before it has shown anything newer: nothing that comes between two streams counts.
    rig.frame(kind::client::GAME_STATE, state(0, 400));
    rig.attached(0, 2);
    rig.frame(kind::client::GAME_MESSAGE, reliable(GAME, 2, 0, b"y"));
    rig.wait(HELD);
    let attach = attach_of(&rig.message(kind::client::GAME_DETACHED, &lost_server()));
    assert_eq!((attach.received, attach.step_seen), (2, 90), "a message of an earlier step does not take it back");
    rig.attached(0, 3);
    rig.frame(kind::client::GAME_MESSAGE, reliable(GAME, 3, 0, b"z"));
    rig.frame(kind::client::GAME_STATE, state(0, 95));
    rig.cut();
    let attach = attach_of(&rig.log_in());
    assert_eq!((attach.received, attach.step_seen), (3, 95));
}

#[test]
fn a_state_never_goes_back() {
    let mut rig = playing_for_long();
    let mut shown = |step| {
        let commands = rig.frame(kind::client::GAME_STATE, state(0, step));
        !events(&commands).is_empty()
    };
    assert!(shown(40));
    assert!(!shown(39), "what a game sends again after an attach may be older");
    assert!(shown(40), "the newest state again is as good as new: whoever sends it does not know that it arrived");
    assert!(shown(41));
    rig.frame(kind::client::GAME_MESSAGE, reliable(GAME, 1, 0, b"x"));
    let mut later = Rig::playing();
    later.frame(kind::client::GAME_MESSAGE, reliable(GAME, 1, 0, b"x"));
    later.frame(kind::client::GAME_MESSAGE, reliable(GAME, 2, 0, b"x"));
    let overtaken = later.frame(kind::client::GAME_STATE, state(0, 1));
    assert_eq!(events(&overtaken).len(), 1, "a message of a later step says nothing about the state");
}

/// Each line is what has to cross the network and come back before the next can be sent.
#[test]
fn a_gateway_that_is_lost_costs_three_round_trips() {
    let mut rig = playing_for_long();
    // As long as a connection must hold to be worth another at once.
    for _ in 0..5 {
        rig.frame(kind::client::PONG, "");
        rig.wait(Duration::from_secs(1));
    }
    rig.send("unanswered");
    assert_eq!(events(&rig.cut()).len(), 2);
    let lost_at = rig.now;
    let until = rig.machine.deadline().unwrap();
    assert!(until - lost_at <= Duration::from_millis(50), "no backoff before the first try");
    assert_eq!(rig.wait(until - lost_at), [Command::Dial(1)], "1: the next gateway's address");
    assert_eq!(kinds(&rig.tell(super::Happening::Connected)), [kind::client::LOGIN], "2");
    let welcome = rig.welcome(true);
    let commands = rig.message(kind::client::WELCOME, &welcome);
    assert!(is_attaching(&commands), "3: the room's state is not waited for");
    assert_eq!(
        inputs(&rig.attached(0, 1)).len(),
        1,
        "what was not acknowledged is with the game half a round trip later"
    );
}
