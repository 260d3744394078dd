//! How games and players go.

use super::*;

#[test]
fn a_game_that_ends_tells_its_players_and_the_store_once() {
    let mut world = World::playing("probe");
    world.take(ANN);
    world.input(ANN, &Order::End(42));
    let ended = Seen::Ended(GameEndReason::Finished, "42".to_owned());
    assert_eq!(world.take(ANN), [ended]);
    assert_eq!(world.end_reason(GAME), Some(EndReason::Finished));
    assert_eq!(world.ends[0].1.result, "42");
    assert_eq!(world.host.live_games(), 0);
    world.ack(ANN);
    assert!(!world.host.is_flushed());
    world.ack(BOB);
    assert!(world.host.is_flushed());
    assert_eq!(world.host.next_due(), None, "the game is forgotten once everyone has heard");
}

#[test]
fn an_ended_game_waits_for_those_who_are_away() {
    let mut world = World::playing("probe");
    world.detach(BOB);
    world.take(BOB);
    world.input(ANN, &Order::End(1));
    world.ack(ANN);
    world.pass(ms(9_000));
    world.reconnect(BOB, OTHER_LINK);
    assert_eq!(world.take(BOB).last(), Some(&Seen::Ended(GameEndReason::Finished, "1".to_owned())));
    world.say(BOB, "too late");
    assert_eq!(world.stats.panics, 0);
    world.ack(BOB);
    assert_eq!(world.host.next_due(), None);
    world.attach(BOB);
    assert_eq!(world.take(BOB), [Seen::Detached(GameDetachReason::NoSuchGame, false)]);
}

#[test]
fn an_ended_game_does_not_wait_for_ever() {
    let mut world = World::playing("probe");
    world.detach(BOB);
    world.input(ANN, &Order::End(1));
    world.pass(ms(10_000));
    assert_eq!(world.host.next_due(), None);
}

#[test]
fn a_panic_ends_its_own_game_and_no_other() {
    for order in [Order::Panic, Order::TooLarge] {
        let mut world = World::playing("probe");
        world.place(OTHER_GAME, "probe", "");
        world.take(BOB);
        world.input(ANN, &order);
        assert_eq!(world.take(BOB), [Seen::Ended(GameEndReason::Crashed, String::new())]);
        assert_eq!(world.end_reason(GAME), Some(EndReason::Crashed));
        assert_eq!(world.end_reason(OTHER_GAME), None);
        assert_eq!((world.host.live_games(), world.stats.panics), (1, 1));
    }
}

#[test]
fn what_a_panicking_step_said_before_is_not_sent() {
    let mut world = World::playing("probe");
    world.take(BOB);
    for order in [Order::Say("half done".to_owned()), Order::Panic] {
        let payload = Bytes::from(serde_json::to_vec(&order).unwrap());
        let seq = world.number_input(ANN, &payload);
        let (link, body) = world.input_frame(ANN, seq, &payload);
        world.hold(HostEvent::Frame(link, Frame { kind: kind::link::INPUT, body: body.into() }));
    }
    world.settle();
    assert_eq!(world.take(BOB), [Seen::Ended(GameEndReason::Crashed, String::new())]);
}

#[test]
fn a_game_that_panics_or_refuses_at_its_start_tells_those_who_attach() {
    for (settings, reason) in [
        (r#"{"panic_in_new": true}"#, GameEndReason::Crashed),
        (r#"{"refuse": true}"#, GameEndReason::Refused),
        (r#"{"unknown": true}"#, GameEndReason::Refused),
    ] {
        let mut world = World::new();
        world.place(GAME, "probe", settings);
        world.attach_new(ANN);
        assert_eq!(world.take(ANN).last(), Some(&Seen::Ended(reason, String::new())), "{settings}");
        assert_eq!(world.host.live_games(), 0);
    }
}

#[test]
fn a_type_that_is_not_hosted_and_a_wrong_number_of_players_are_refused() {
    let mut world = World::new();
    world.place(GAME, "chess", "");
    assert_eq!(world.end_reason(GAME), Some(EndReason::Refused));
    world.order(OTHER_GAME, "probe", "");
    world.records.get_mut(&OTHER_GAME).unwrap().order.players.clear();
    world.event(HostEvent::Placed(OTHER_GAME));
    assert_eq!(world.end_reason(OTHER_GAME), Some(EndReason::Refused));
}

#[test]
fn a_panic_in_drop_is_contained() {
    let mut world = World::new();
    world.place(GAME, "probe", r#"{"panic_in_drop": true}"#);
    world.attach_new(ANN);
    world.input(ANN, &Order::End(1));
    assert_eq!(world.take(ANN).last(), Some(&Seen::Ended(GameEndReason::Finished, "1".to_owned())));
}

#[test]
fn a_player_who_stays_away_leaves_after_the_grace() {
    let mut world = World::playing("probe");
    world.detach(ANN);
    world.pass(ms(15_000));
    world.reconnect(ANN, LINK);
    world.detach(ANN);
    world.take(BOB);
    world.pass(ms(19_999));
    assert!(world.take_messages(BOB).is_empty(), "coming back starts the grace anew");
    world.pass(ms(1));
    assert_eq!(world.take_messages(BOB), ["0 left: TimedOut"]);
    world.reconnect(ANN, LINK);
    assert_eq!(world.take(ANN).last(), Some(&Seen::Detached(GameDetachReason::NotAPlayer, false)));
}

#[test]
fn players_who_never_come_leave_too_and_an_empty_game_ends() {
    let mut world = World::new();
    world.place(GAME, "probe", "");
    world.attach_new(ANN);
    world.pass(ms(20_000));
    assert_eq!(world.take_messages(ANN).last().unwrap(), "1 left: TimedOut");
    assert_eq!(world.end_reason(GAME), None);
    world.event(HostEvent::PlayerLeft(GAME, ANN));
    assert_eq!(world.take(ANN), [Seen::Detached(GameDetachReason::NotAPlayer, false)]);
    assert_eq!(world.end_reason(GAME), Some(EndReason::Abandoned));
    assert_eq!(world.host.next_due(), None, "nobody is left to wait for");
}

#[test]
fn leaving_the_room_leaves_the_game() {
    let mut world = World::playing("probe");
    world.take(BOB);
    world.event(HostEvent::PlayerLeft(GAME, ANN));
    world.event(HostEvent::PlayerLeft(GAME, ANN));
    assert_eq!(world.take_messages(BOB), ["0 left: LeftRoom"]);
    world.event(HostEvent::PlayerLeft(GAME, SessionId(555)));
    world.event(HostEvent::PlayerLeft(OTHER_GAME, BOB));
    assert!(world.take(BOB).is_empty());
}

#[test]
fn a_stopping_server_ends_its_games_and_those_that_still_come() {
    let mut world = World::playing("probe");
    world.take(ANN);
    world.event(HostEvent::Stop);
    assert_eq!(world.take(ANN), [Seen::Ended(GameEndReason::ServerStopped, String::new())]);
    world.place(OTHER_GAME, "probe", "");
    assert_eq!(world.end_reason(GAME), Some(EndReason::ServerStopped));
    assert_eq!(world.end_reason(OTHER_GAME), Some(EndReason::ServerStopped));
}
