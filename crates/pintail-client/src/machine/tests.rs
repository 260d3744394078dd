//! Logging in, staying connected, lobby calls.

use std::time::Duration;

use pintail_core::{RequestId, RoomId};
use pintail_wire::client::{
    Error, ErrorCode, Goodbye, GoodbyeReason, LobbyEvent, Login, RoomLeft, RoomLeftReason, RoomState, lobby_event,
    lobby_reply, lobby_request,
};
use pintail_wire::{Message, kind};
use proptest::prelude::*;

use super::rig::{FIRST_REQUEST, ROOM, Rig, events, frames, kinds, reply_body, room, room_with, start_game};
use super::{Command, Happening, Reply};
use crate::{CallError, ClientConfig, Disconnect, Ended, Event};

const SECOND: Duration = Duration::from_secs(1);

fn login_of(commands: &[Command]) -> Login {
    let frames = frames(commands);
    assert_eq!(frames[0].0, kind::client::LOGIN);
    Login::decode(frames[0].1.clone()).unwrap()
}

fn goodbye(reason: GoodbyeReason, reconnect: bool) -> Goodbye {
    Goodbye { reason: reason.into(), message: "bye".to_owned(), reconnect }
}

fn refusal(code: ErrorCode) -> Error {
    Error { code: code.into(), message: "no".to_owned(), retry: false }
}

#[test]
fn a_new_client_dials_logs_in_and_says_so() {
    let mut rig = Rig::new();
    assert_eq!(rig.tell(Happening::Timer), [Command::Dial(0)]);
    let login = login_of(&rig.tell(Happening::Connected));
    assert_eq!((login.version, login.name.as_str(), login.resume_token.as_str()), (1, "Ada", ""));
    let commands = rig.message(kind::client::WELCOME, &rig.welcome(false));
    assert!(matches!(&commands[0], Command::Identify(identity) if identity.session == rig.token.session()));
    assert!(matches!(&commands[1], Command::Emit(Event::Connected { resumed: false, .. })));
    assert_eq!(commands.len(), 2, "a new session is in no room, so nothing is asked: {commands:?}");
}

#[test]
fn a_lost_connection_is_followed_by_one_to_the_next_address_which_resumes() {
    let mut rig = Rig::online();
    let call = rig.call(start_game());
    let commands = rig.cut();
    assert_eq!(commands[0], Command::Hangup);
    assert_eq!(events(&commands), [&Event::Disconnected { why: Disconnect::Closed }]);
    assert!(rig.wait(Duration::from_millis(100)).contains(&Command::Dial(1)));
    assert_eq!(login_of(&rig.tell(Happening::Connected)).resume_token, rig.token.to_string());
    let commands = rig.message(kind::client::WELCOME, &rig.welcome(true));
    assert!(matches!(events(&commands)[..], [Event::Connected { resumed: true, .. }]));
    let frames = frames(&commands);
    assert_eq!(frames[0], super::rig::frames(&call)[0], "the unanswered call is sent again as it was");
    assert_eq!(frames[1].0, kind::client::LOBBY_REQUEST, "and the room is asked for");
    assert_eq!(frames.len(), 2);
}

#[test]
fn waits_grow_while_connections_fail_or_break_at_once_and_shrink_after_a_good_one() {
    let mut rig = Rig::online();
    rig.wait(10 * SECOND);
    rig.cut();
    assert_eq!(rig.machine.backoff.failures(), 0, "a connection that held is a fresh start");
    for failures in 1..10 {
        rig.log_in();
        rig.cut();
        assert_eq!(rig.machine.backoff.failures(), failures, "one that broke at once is not");
    }
}

#[test]
fn a_refused_login_ends_the_client_unless_it_passes() {
    for code in [ErrorCode::Unavailable, ErrorCode::TooManyRequests, ErrorCode::LoginTimeout] {
        let mut rig = Rig::new();
        rig.tell(Happening::Timer);
        rig.tell(Happening::Connected);
        assert_eq!(rig.message(kind::client::ERROR, &refusal(code)), [Command::Hangup], "{code:?}");
        assert!(rig.wait(SECOND).contains(&Command::Dial(1)));
    }
    for code in [ErrorCode::BadName, ErrorCode::BadResumeToken, ErrorCode::UnsupportedVersion] {
        let mut rig = Rig::new();
        rig.tell(Happening::Timer);
        rig.tell(Happening::Connected);
        let why = Ended::LoginRefused { code, message: "no".to_owned() };
        let commands = rig.message(kind::client::ERROR, &refusal(code));
        assert_eq!(commands, [Command::Hangup, Command::Emit(Event::Ended(why.clone())), Command::End(why)]);
        assert_eq!(rig.machine.deadline(), None);
    }
}

#[test]
fn a_goodbye_says_whether_to_come_back() {
    let mut rig = Rig::online();
    let commands = rig.message(kind::client::GOODBYE, &goodbye(GoodbyeReason::Shutdown, true));
    assert!(matches!(events(&commands)[..], [Event::Disconnected { why: Disconnect::Goodbye { .. } }]));
    rig.log_in();
    rig.call(start_game());
    let commands = rig.message(kind::client::GOODBYE, &goodbye(GoodbyeReason::Replaced, false));
    let answer = Command::Answer(RequestId(FIRST_REQUEST), Err(CallError::Ended(Ended::Replaced)));
    assert!(commands.contains(&answer), "{commands:?}");
    assert_eq!(commands.last(), Some(&Command::End(Ended::Replaced)));
    assert!(rig.wait(60 * SECOND).is_empty(), "nothing comes after the end");
}

#[test]
fn a_resumed_session_that_is_another_one_ends_the_client() {
    let mut rig = Rig::online();
    rig.cut();
    rig.wait(SECOND);
    rig.tell(Happening::Connected);
    let mut welcome = rig.welcome(false);
    welcome.session += 1;
    let commands = rig.message(kind::client::WELCOME, &welcome);
    assert_eq!(commands.last(), Some(&Command::End(Ended::SessionLost)));
}

#[test]
fn a_silent_gateway_is_pinged_and_then_given_up() {
    let mut rig = Rig::online();
    let commands = rig.wait(19 * SECOND);
    assert_eq!(kinds(&commands), [kind::client::PING]);
    rig.frame(kind::client::PONG, "");
    let commands = rig.wait(19 * SECOND);
    assert!(events(&commands).is_empty(), "the PONG was heard: {commands:?}");
    let commands = rig.wait(2 * SECOND);
    assert!(
        matches!(events(&commands)[..], [Event::Disconnected { why: Disconnect::Silent(silence) }] if *silence == 20 * SECOND)
    );
}

#[test]
fn a_client_that_was_held_up_itself_blames_nobody() {
    let mut rig = Rig::online();
    assert!(events(&rig.leap(60 * SECOND)).is_empty());
    assert!(events(&rig.wait(9 * SECOND)).is_empty());
    assert!(!events(&rig.wait(2 * SECOND)).is_empty(), "but it waits for one more interval only");
}

#[test]
fn silence_is_excused_while_the_application_takes_no_events() {
    let mut rig = Rig::online();
    for _ in 0..10 {
        rig.machine.excuse_silence(rig.now);
        assert!(events(&rig.wait(15 * SECOND)).is_empty());
    }
}

#[test]
fn a_client_gives_up_in_the_end_and_says_what_it_met_last() {
    let mut rig = Rig::new();
    let mut commands = rig.tell(Happening::Timer);
    while !commands.iter().any(|command| matches!(command, Command::End(_))) {
        commands = if commands.iter().any(|command| matches!(command, Command::Dial(_))) {
            rig.tell(Happening::Lost(Disconnect::Broken("refused".to_owned())))
        } else {
            rig.wait(SECOND / 10)
        };
    }
    let why = Ended::GaveUp { after: 10 * SECOND, last: Disconnect::Broken("refused".to_owned()) };
    assert_eq!(commands.last(), Some(&Command::End(why)));
}

#[test]
fn a_dial_or_login_that_hangs_is_given_up() {
    let mut rig = Rig::new();
    assert_eq!(rig.tell(Happening::Timer), [Command::Dial(0)]);
    let commands = rig.wait(5 * SECOND);
    assert_eq!(commands[0], Command::Hangup);
    assert!(rig.wait(SECOND).contains(&Command::Dial(1)));
    rig.tell(Happening::Connected);
    assert_eq!(rig.machine.deadline(), Some(rig.machine.give_up_at()), "connecting may take 10 s in all");
    assert!(matches!(rig.wait(5 * SECOND).last(), Some(Command::End(Ended::GaveUp { .. }))));
}

#[test]
fn a_client_without_addresses_says_what_is_missing() {
    let mut rig = Rig::with_config(ClientConfig::new([], "Ada"));
    assert_eq!(rig.tell(Happening::Timer).last(), Some(&Command::End(Ended::NoAddress)));
}

#[test]
fn an_error_on_an_open_connection_leads_to_another_one() {
    let mut rig = Rig::online();
    let commands = rig.message(kind::client::ERROR, &refusal(ErrorCode::TooSlow));
    let why = Disconnect::Refused { code: ErrorCode::TooSlow, message: "no".to_owned() };
    assert_eq!(events(&commands), [&Event::Disconnected { why }]);
    rig.log_in();
}

#[test]
fn a_logout_ends_the_client_even_if_the_gateway_only_closes() {
    let mut rig = Rig::online();
    assert_eq!(kinds(&rig.tell(Happening::Logout)), [kind::client::LOGOUT]);
    assert_eq!(rig.cut().last(), Some(&Command::End(Ended::LoggedOut)));
    let mut rig = Rig::online();
    rig.cut();
    assert_eq!(rig.tell(Happening::Logout).last(), Some(&Command::End(Ended::Closed)));
}

#[test]
fn an_answer_finds_its_call_and_a_late_one_nobody() {
    let mut rig = Rig::online();
    rig.call(start_game());
    rig.call(start_game());
    let error = Error { code: ErrorCode::NotOwner.into(), message: "no".to_owned(), retry: false };
    let commands =
        rig.frame(kind::client::LOBBY_REPLY, reply_body(FIRST_REQUEST + 1, lobby_reply::Reply::Error(error)));
    let refused = CallError::Refused { code: ErrorCode::NotOwner, message: "no".to_owned(), retry: false };
    assert_eq!(commands, [Command::Answer(RequestId(FIRST_REQUEST + 1), Err(refused))]);
    let commands = rig.wait(10 * SECOND);
    assert!(commands.contains(&Command::Answer(RequestId(FIRST_REQUEST), Err(CallError::Timeout))), "{commands:?}");
    assert_eq!(rig.reply(FIRST_REQUEST, room(1, RoomState::Wait)), [], "too late");
}

#[test]
fn calls_are_bounded_and_kept_while_there_is_no_connection() {
    let mut rig = Rig::online();
    rig.cut();
    let mut count = 0;
    while rig.machine.can_call() {
        assert_eq!(rig.call(start_game()), []);
        count += 1;
    }
    assert_eq!(count, 15, "the gateway allows 16, of which one is left for the client's own question");
    assert_eq!(frames(&rig.log_in()).len(), 16);
}

#[test]
fn the_room_is_told_once_for_each_version_whoever_changed_it() {
    let mut rig = Rig::online();
    rig.call(start_game());
    let wait = room(1, RoomState::Wait);
    let commands = rig.reply(FIRST_REQUEST, wait.clone());
    let answer = Command::Answer(RequestId(FIRST_REQUEST), Ok(Reply::Room(Some(wait.clone()))));
    assert_eq!(commands, [Command::Emit(Event::Room(wait.clone())), answer]);
    let changed = LobbyEvent { event: Some(lobby_event::Event::RoomChanged(wait)) };
    assert_eq!(rig.message(kind::client::LOBBY_EVENT, &changed), []);
}

#[test]
fn a_client_finds_out_that_it_lost_its_room() {
    let mut rig = Rig::online();
    rig.call(start_game());
    rig.reply(FIRST_REQUEST, room(1, RoomState::Wait));
    rig.cut();
    rig.log_in();
    let commands = rig.reply(FIRST_REQUEST + 1, None);
    assert_eq!(events(&commands), [&Event::RoomLeft { room: RoomId(ROOM), reason: RoomLeftReason::Unspecified }]);
}

#[test]
fn an_old_answer_that_there_is_no_room_is_not_believed() {
    let mut rig = Rig::online();
    rig.cut();
    rig.log_in();
    rig.call(start_game());
    rig.reply(FIRST_REQUEST + 1, room(1, RoomState::Wait));
    assert_eq!(rig.reply(FIRST_REQUEST, None), [], "it was asked before the room was entered");
}

#[test]
fn a_failed_question_for_the_room_is_asked_again() {
    let mut rig = Rig::online();
    rig.cut();
    rig.log_in();
    let error = Error { code: ErrorCode::Unavailable.into(), message: "no".to_owned(), retry: true };
    let commands = rig.frame(kind::client::LOBBY_REPLY, reply_body(FIRST_REQUEST, lobby_reply::Reply::Error(error)));
    assert_eq!(commands, [], "it is the client's own affair");
    assert_eq!(kinds(&rig.wait(SECOND)), [kind::client::LOBBY_REQUEST]);
}

#[test]
fn a_member_that_hears_nothing_of_its_room_asks() {
    let mut rig = Rig::online();
    rig.call(start_game());
    rig.reply(FIRST_REQUEST, room(1, RoomState::Wait));
    let lobby_requests =
        kinds(&rig.wait(16 * SECOND)).iter().filter(|&&kind| kind == kind::client::LOBBY_REQUEST).count();
    assert_eq!(lobby_requests, 1);
    let playing = room_with(rig.token.session(), 2, RoomState::Playing);
    let commands = rig.reply(FIRST_REQUEST + 1, playing);
    assert_eq!(kinds(&commands), [kind::client::GAME_ATTACH], "so a start whose event was lost is found");
}

#[test]
fn leaving_is_told_once() {
    let mut rig = Rig::playing();
    rig.call(lobby_request::Request::LeaveRoom(pintail_wire::client::LeaveRoom {}));
    let commands = rig.reply(FIRST_REQUEST + 1, None);
    assert!(matches!(
        events(&commands)[..],
        [Event::GameDetached { .. }, Event::RoomLeft { reason: RoomLeftReason::Left, .. }]
    ));
    let left = RoomLeft { room: ROOM, reason: RoomLeftReason::Left.into() };
    let event = LobbyEvent { event: Some(lobby_event::Event::RoomLeft(left)) };
    assert_eq!(rig.message(kind::client::LOBBY_EVENT, &event), []);
}

#[test]
fn a_frame_that_cannot_be_costs_the_connection_only() {
    for (frame_kind, body) in [
        (kind::client::WELCOME, &b""[..]),
        (kind::client::LOBBY_REPLY, b"short"),
        (kind::client::LOBBY_EVENT, b"\xff"),
        (kind::client::GAME_ATTACHED, b"\xff"),
        (kind::client::GAME_MESSAGE, b"short"),
        (kind::client::LOGIN, b""),
    ] {
        let mut rig = Rig::playing();
        let commands = rig.frame(frame_kind, body);
        assert!(
            matches!(events(&commands)[0], Event::Disconnected { why: Disconnect::Malformed(_) }),
            "{frame_kind}: {commands:?}"
        );
        rig.log_in();
    }
}

#[test]
fn what_only_a_newer_gateway_says_is_passed_over() {
    let mut rig = Rig::new();
    rig.tell(Happening::Timer);
    rig.tell(Happening::Connected);
    assert_eq!(rig.frame(133, b"before the welcome".as_slice()), []);
    let mut rig = Rig::playing();
    for unknown in [128, 133, 143, 146, 159, 166, 255] {
        assert_eq!(rig.frame(unknown, b"\xff".as_slice()), [], "{unknown}");
    }
    assert_eq!(rig.message(kind::client::LOBBY_EVENT, &LobbyEvent { event: None }), []);
    rig.call(start_game());
    let id = RequestId(FIRST_REQUEST + 1);
    let commands = rig.frame(kind::client::LOBBY_REPLY, id.0.to_be_bytes().to_vec());
    assert_eq!(commands, [Command::Answer(id, Err(CallError::Unexpected))]);
}

proptest! {
    /// Whatever bytes arrive, in whatever order: no panic, and the client is still one that can connect.
    #[test]
    fn no_bytes_of_a_gateway_are_too_strange(
        bodies in prop::collection::vec((128_u8..170, prop::collection::vec(any::<u8>(), 0..64)), 1..40),
    ) {
        let mut rig = Rig::playing();
        for (frame_kind, body) in bodies {
            let commands = rig.frame(frame_kind, body);
            if commands.contains(&Command::Hangup) && rig.machine.deadline().is_some() {
                rig.log_in();
            }
        }
    }
}

/// A gateway with thousands of clients dies: they neither wait nor come in the same moment.
#[test]
fn the_first_try_after_a_connection_that_held_comes_within_a_moment_of_its_own() {
    let waits = (0..1000).map(|seed| {
        let mut rig = Rig::seeded(seed);
        rig.log_in();
        rig.wait(6 * SECOND);
        rig.cut();
        rig.machine.deadline().unwrap() - rig.now
    });
    let mut tenths = [0; 10];
    for wait in waits {
        tenths[usize::try_from(wait.as_micros() / 5001).unwrap()] += 1;
    }
    assert!(tenths.iter().all(|&count| count > 50), "{tenths:?}");
}

/// A client whose gateway hung in the middle of the login, and which has logged in at another one since.
fn given_up_a_login() -> Rig {
    let mut rig = Rig::online();
    rig.cut();
    rig.wait(SECOND);
    assert_eq!(kinds(&rig.tell(Happening::Connected)), [kind::client::LOGIN]);
    assert_eq!(rig.wait(5 * SECOND)[0], Command::Hangup);
    rig.log_in();
    rig
}

/// The gateway that hung goes on, and carries the login out: a newer connection than the one that plays.
#[test]
fn a_client_that_is_replaced_by_its_own_login_comes_back_at_once_and_once() {
    let replaced = goodbye(GoodbyeReason::Replaced, false);
    let mut rig = given_up_a_login();
    rig.wait(10 * SECOND);
    let commands = rig.message(kind::client::GOODBYE, &replaced);
    let reason = GoodbyeReason::Replaced;
    let why = Disconnect::Goodbye { reason, message: "bye".to_owned() };
    assert_eq!(events(&commands), [&Event::Disconnected { why }]);
    assert!(rig.machine.deadline().unwrap() - rig.now <= crate::config::RECONNECT_JITTER);
    rig.log_in();
    let commands = rig.message(kind::client::GOODBYE, &replaced);
    assert_eq!(commands.last(), Some(&Command::End(Ended::Replaced)), "someone else has the session");
}

#[test]
fn a_login_that_was_answered_or_is_long_past_replaces_nobody() {
    let replaced = goodbye(GoodbyeReason::Replaced, false);
    let mut late = given_up_a_login();
    for _ in 0..12 {
        late.wait(5 * SECOND);
        late.frame(kind::client::PONG, "");
    }
    assert_eq!(late.message(kind::client::GOODBYE, &replaced).last(), Some(&Command::End(Ended::Replaced)));

    let mut refused = Rig::online();
    refused.cut();
    refused.wait(SECOND);
    refused.tell(Happening::Connected);
    refused.message(kind::client::ERROR, &refusal(ErrorCode::Unavailable));
    refused.log_in();
    assert_eq!(refused.message(kind::client::GOODBYE, &replaced).last(), Some(&Command::End(Ended::Replaced)));
}

/// The gateways that a client of this seed dials, one failure after the other.
fn dialled(seed: u64, first_address: Option<usize>, count: usize) -> Vec<usize> {
    let addresses = ["a:1", "b:1", "c:1", "d:1"].map(|text| text.parse().unwrap());
    let config = ClientConfig { first_address, ..ClientConfig::new(addresses, "Ada") };
    let mut rig = Rig::with_seed(ClientConfig { connect_timeout: 1000 * SECOND, ..config }, seed);
    let mut dialled = Vec::new();
    let mut commands = rig.tell(Happening::Timer);
    while dialled.len() < count {
        dialled.extend(commands.iter().filter_map(|command| match command {
            Command::Dial(index) => Some(*index),
            _ => None,
        }));
        rig.cut();
        commands = rig.wait(rig.machine.deadline().unwrap() - rig.now);
    }
    dialled
}

/// A gateway with thousands of clients dies: the others share them.
#[test]
fn each_client_tries_the_gateways_in_an_order_of_its_own() {
    let (mut first, mut next) = ([0; 4], [0; 4]);
    for seed in 0..1000 {
        let tried = dialled(seed, None, 8);
        let mut sorted = tried[..4].to_vec();
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2, 3], "all of them, before one is tried again");
        assert_eq!(tried[..4], tried[4..]);
        assert_eq!(tried, dialled(seed, None, 8), "the same dice, the same order");
        first[tried[0]] += 1;
        let told = dialled(seed, Some(2), 2);
        assert_eq!(told[0], 2);
        next[told[1]] += 1;
    }
    assert!(first.iter().all(|&count| count > 200), "{first:?}");
    assert_eq!(next[2], 0);
    assert!([0, 1, 3].iter().all(|&index| next[index] > 270), "{next:?}");
}
