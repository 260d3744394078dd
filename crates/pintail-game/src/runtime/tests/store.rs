//! What the host asks of the store, and what it makes of the answers.

use pintail_store::RestoreOutcome;

use super::*;

#[test]
fn an_attach_that_comes_before_its_game_waits_for_it() {
    let mut world = World::new();
    world.order(GAME, "probe", "");
    world.attach_new(ANN);
    assert_eq!(world.take_messages(ANN), ["welcome", "0 joined"]);
}

#[test]
fn players_who_leave_before_their_game_is_loaded_have_left_it() {
    let mut world = World::new();
    world.order(GAME, "probe", "");
    world.hold(HostEvent::Placed(GAME));
    world.hold(HostEvent::PlayerLeft(GAME, ANN));
    world.hold(HostEvent::PlayerLeft(GAME, BOB));
    world.settle();
    assert_eq!(world.end_reason(GAME), Some(EndReason::Abandoned), "nobody is left to play it");
}

#[test]
fn an_attach_to_what_is_not_here_says_why() {
    type Change = fn(&mut World);
    let cases: [(Change, Seen); 4] = [
        (|world| drop(world.records.remove(&GAME)), Seen::Detached(GameDetachReason::NoSuchGame, false)),
        (|world| world.store_is_away = true, Seen::Detached(GameDetachReason::ServerUnreachable, true)),
        (
            |world| world.records.get_mut(&GAME).unwrap().owner.incarnation = Incarnation(1),
            Seen::Detached(GameDetachReason::ServerUnreachable, true),
        ),
        (
            |world| {
                let outcome = super::super::ending::finished(String::new());
                world.records.get_mut(&GAME).unwrap().outcome = Some(outcome);
            },
            Seen::Detached(GameDetachReason::NoSuchGame, false),
        ),
    ];
    for (change, expected) in cases {
        let mut world = World::new();
        world.order(GAME, "probe", "");
        change(&mut world);
        world.attach_new(ANN);
        assert_eq!(world.take(ANN), [expected]);
        assert_eq!(world.host.live_games(), 0);
    }
}

#[test]
fn the_store_is_told_of_an_end_until_it_knows() {
    let mut world = World::playing("probe");
    world.store_is_away = true;
    world.input(ANN, &Order::End(3));
    world.ack(ANN);
    world.ack(BOB);
    world.pass(Duration::from_secs(60));
    assert_eq!(world.end_reason(GAME), None);
    assert!(!world.host.is_flushed());
    world.store_is_away = false;
    world.pass(Duration::from_secs(6));
    assert_eq!(world.end_reason(GAME), Some(EndReason::Finished));
    assert_eq!(world.host.next_due(), None);
}

#[test]
fn a_scan_finds_games_whose_letter_was_lost() {
    let mut world = World::new();
    world.order(GAME, "probe", "");
    world.event(HostEvent::Hosted { games: vec![GAME], asked: world.now });
    assert_eq!(world.host.live_games(), 1);
    world.event(HostEvent::Hosted { games: vec![GAME], asked: world.now });
    world.event(HostEvent::Placed(GAME));
    assert_eq!(world.host.live_games(), 1, "the same game is one game");
}

#[test]
fn a_failed_load_is_made_up_for_by_the_next_scan() {
    let mut world = World::new();
    world.store_is_away = true;
    world.place(GAME, "probe", "");
    assert_eq!(world.host.live_games(), 0);
    world.store_is_away = false;
    world.event(HostEvent::Hosted { games: vec![GAME], asked: world.now });
    assert_eq!(world.host.live_games(), 1);
}

#[test]
fn games_that_the_store_lost_are_put_back() {
    let mut world = World::playing("probe");
    world.pass(ms(1000));
    let asked = world.now;
    world.event(HostEvent::Hosted { games: vec![], asked: Now::default() });
    assert!(world.others.is_empty(), "a game that began after the question is not missing");
    let new_slot = Slot::new(Kind::Game, 4);
    world.event(HostEvent::Joined(new_slot));
    world.event(HostEvent::Hosted { games: vec![], asked });
    let [Command::Restore { order, owner, .. }] = &world.others[..] else { panic!("{:?}", world.others) };
    assert_eq!((order.id, owner.slot, owner.incarnation), (GAME, new_slot, INCARNATION));
    let owner = *owner;
    world.event(HostEvent::Restored(GAME, owner, Err(StoreFailed::Away)));
    world.event(HostEvent::Restored(GAME, owner, Ok(RestoreOutcome::Unregistered)));
    world.event(HostEvent::Restored(GAME, owner, Ok(RestoreOutcome::Restored)));
    assert_eq!(world.host.live_games(), 1);
}

#[test]
fn a_game_that_is_another_servers_now_is_dropped() {
    let mut world = World::playing("probe");
    world.take(ANN);
    let owner = world.records[&GAME].owner;
    world.event(HostEvent::Restored(GAME, owner, Ok(RestoreOutcome::Taken)));
    assert_eq!(world.take(ANN), [Seen::Detached(GameDetachReason::ServerUnreachable, true)]);
    assert_eq!((world.host.live_games(), world.end_reason(GAME)), (0, None));
    assert_eq!(world.host.next_due(), None);
}

#[test]
fn attaches_that_wait_are_bounded_and_end_with_their_connection() {
    let mut world = World::new();
    world.order(GAME, "probe", "");
    let attach =
        |session| Attach { session, generation: 1, room: 7, round: 1, received: 0, step_seen: 0, acknowledged: 0 };
    let park = |world: &mut World, link, session| {
        let body = attach(session).encode_to_vec().into();
        world.hold(HostEvent::Frame(link, Frame { kind: kind::link::ATTACH, body }));
    };
    for session in 0..256 {
        park(&mut world, OTHER_LINK, session);
    }
    assert_eq!(world.fx.commands, [Command::Load(GAME)], "one load for all");
    park(&mut world, LINK, 999);
    assert_eq!(world.fx.commands.len(), 2, "the one too many is told at once");
    world.hold(HostEvent::LinkClosed(OTHER_LINK));
    park(&mut world, LINK, ANN.0);
    let detach = Detach { session: ANN.0, generation: 1, room: 7, round: 1 };
    world.hold(HostEvent::Frame(LINK, Frame { kind: kind::link::DETACH, body: detach.encode_to_vec().into() }));
    world.settle();
    assert_eq!((world.host.live_games(), world.host.attached_players()), (1, 0));
}
