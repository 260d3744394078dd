//! Attaching, detaching, and what arrives whatever happens in between.

use super::*;
use crate::limits::PAYLOAD_BYTES_MAX;

#[test]
fn players_attach_play_and_hear_everything_in_order() {
    let mut world = World::playing("probe");
    let joined = [message("welcome"), message("0 joined"), message("1 joined")];
    assert_eq!(world.take(ANN)[..2], [Seen::Attached { received: 0, next: 1 }, joined[0].clone()]);
    assert_eq!(world.take(BOB)[1..], joined);
    world.say(BOB, "hi");
    assert_eq!(world.take_messages(ANN), ["1: hi in step 4"]);
    world.input(BOB, &Order::State("here".to_owned()));
    assert_eq!(world.take(ANN), [Seen::State("here".to_owned())]);
}

#[test]
fn what_arrives_together_is_one_step() {
    let mut world = World::playing("probe");
    world.take(ANN);
    for (session, text) in [(ANN, "a"), (BOB, "b"), (ANN, "c")] {
        let payload = Bytes::from(serde_json::to_vec(&Order::Say(text.to_owned())).unwrap());
        let seq = world.number_input(session, &payload);
        let (link, body) = world.input_frame(session, seq, &payload);
        world.hold(HostEvent::Frame(link, Frame { kind: kind::link::INPUT, body: body.into() }));
    }
    world.settle();
    assert_eq!(world.take_messages(ANN), ["0: a in step 4", "1: b in step 4", "0: c in step 4"]);
}

#[test]
fn a_broadcast_crosses_each_link_once() {
    let mut world = World::playing("probe");
    world.input(ANN, &Order::Say("x".to_owned()));
    let payload = Bytes::from(serde_json::to_vec(&Order::Say("y".to_owned())).unwrap());
    let seq = world.number_input(ANN, &payload);
    let (link, body) = world.input_frame(ANN, seq, &payload);
    world.hold(HostEvent::Frame(link, Frame { kind: kind::link::INPUT, body: body.into() }));
    world.host.advance(world.now, &ENDLESS, &mut world.fx);
    let [Command::Deliver(_, delivery)] = &world.fx.commands[..] else { panic!("{:?}", world.fx.commands) };
    assert_eq!(delivery.recipients.len(), 2);
    assert_eq!(world.fx.stats.reliable_messages, 2);
}

#[test]
fn a_lost_connection_loses_nothing_in_either_direction() {
    let mut world = World::playing("probe");
    world.say(ANN, "one");
    world.take(ANN);
    world.take(BOB);
    world.detach(ANN);
    let lost = Bytes::from(serde_json::to_vec(&Order::Say("two".to_owned())).unwrap());
    world.number_input(ANN, &lost);
    world.say(BOB, "meanwhile");
    assert_eq!(world.take_messages(BOB), ["0 away", "1: meanwhile in step 6"]);
    assert!(world.take(ANN).is_empty());
    world.reconnect(ANN, OTHER_LINK);
    let seen = world.take(ANN);
    assert!(matches!(seen[0], Seen::Attached { received: 1, .. }), "{seen:?}");
    let messages: Vec<_> = seen[1..].to_vec();
    let expected = ["0 away", "1: meanwhile in step 6", "0 back", "0: two in step 8"];
    assert_eq!(messages, expected.map(message));
}

#[test]
fn an_input_that_arrives_twice_counts_once() {
    let mut world = World::playing("probe");
    world.say(ANN, "once");
    world.take(BOB);
    let payload = Bytes::from(serde_json::to_vec(&Order::Say("once".to_owned())).unwrap());
    world.send_input(ANN, Seq(1), &payload);
    assert!(world.take(BOB).is_empty());
}

#[test]
fn a_lost_link_takes_all_its_connections_and_no_other() {
    let mut world = World::playing("probe");
    world.reconnect(BOB, OTHER_LINK);
    world.take(BOB);
    world.event(HostEvent::LinkClosed(LINK));
    assert_eq!(world.take_messages(BOB), ["0 away"]);
    world.event(HostEvent::LinkClosed(LINK));
    assert!(world.take(BOB).is_empty(), "a link closes once");
}

#[test]
fn the_newest_connection_wins() {
    let mut world = World::playing("probe");
    world.take(ANN);
    world.take(BOB);
    // The same session attaches through another gateway; the old connection is told, the game is not.
    let client = world.client(ANN);
    (client.link, client.generation) = (OTHER_LINK, Generation(2));
    let attach =
        Attach { session: ANN.0, generation: 2, room: 7, round: 1, received: 3, step_seen: 0, acknowledged: 0 };
    world.hold(HostEvent::Frame(OTHER_LINK, Frame { kind: kind::link::ATTACH, body: attach.encode_to_vec().into() }));
    let told: Vec<_> = world.fx.commands.iter().filter(|command| is_detached(command, LINK)).collect();
    assert_eq!(told.len(), 1);
    world.settle();
    assert!(world.take(BOB).is_empty());
    // What the old connection still sends, or its gateway says of it, is too late.
    let late = [&ANN.0.to_be_bytes()[..], &game::Input::header(GAME, Seq(1), Seq(0)), b"\"Panic\""].concat();
    world.frame(LINK, kind::link::INPUT, late);
    let detach = Detach { session: ANN.0, generation: 1, room: 7, round: 1 };
    world.frame(LINK, kind::link::DETACH, detach.encode_to_vec());
    let old = Attach { generation: 1, ..attach };
    world.frame(OTHER_LINK, kind::link::ATTACH, old.encode_to_vec());
    assert_eq!(world.take(ANN).last(), Some(&Seen::Detached(GameDetachReason::AttachedElsewhere, true)));
    world.say(ANN, "still here");
    assert_eq!(world.take_messages(BOB), ["0: still here in step 4"]);
}

fn is_detached(command: &Command, on: LinkId) -> bool {
    matches!(command, Command::Deliver(link, delivery) if *link == on && delivery.client_kind == kind::client::GAME_DETACHED)
}

#[test]
fn strangers_have_no_seat() {
    let mut world = World::playing("probe");
    world.attach_new(SessionId(555));
    assert_eq!(world.take(SessionId(555)), [Seen::Detached(GameDetachReason::NotAPlayer, false)]);
}

#[test]
fn a_session_is_attached_to_one_game_at_a_time() {
    let mut world = World::playing("probe");
    world.place(OTHER_GAME, "probe", "");
    world.take(BOB);
    let client = world.client(ANN);
    (client.game, client.incoming, client.outgoing) = (OTHER_GAME, Incoming::new(), Outgoing::new());
    world.attach(ANN);
    assert_eq!(world.take_messages(BOB), ["0 away"]);
}

#[test]
fn a_late_attach_of_an_older_connection_does_not_take_the_session_away() {
    let mut world = World::playing("probe");
    world.place(OTHER_GAME, "probe", "");
    let late = Attach { session: ANN.0, generation: 1, room: 8, round: 1, received: 0, step_seen: 0, acknowledged: 0 };
    world.reconnect(ANN, OTHER_LINK);
    world.take(BOB);
    world.frame(LINK, kind::link::ATTACH, late.encode_to_vec());
    assert!(world.take_messages(BOB).is_empty(), "Ann is still there");
    world.say(ANN, "here");
    assert_eq!(world.take_messages(BOB).len(), 1);
}

#[test]
fn an_attach_that_is_refused_changes_nothing_elsewhere() {
    let mut world = World::playing("probe");
    world.place(OTHER_GAME, "probe", "");
    world.take(BOB);
    world.event(HostEvent::PlayerLeft(OTHER_GAME, ANN));
    let refused =
        Attach { session: ANN.0, generation: 1, room: 8, round: 1, received: 0, step_seen: 0, acknowledged: 0 };
    world.frame(LINK, kind::link::ATTACH, refused.encode_to_vec());
    assert_eq!(world.take(ANN).last(), Some(&Seen::Detached(GameDetachReason::NotAPlayer, false)));
    assert!(world.take_messages(BOB).is_empty(), "Ann is still there");
    let known = world.host.known_sessions();
    world.attach_new(SessionId(555));
    assert_eq!(world.host.known_sessions(), known, "a stranger leaves nothing behind");
}

#[test]
fn an_input_that_no_message_could_carry_is_refused() {
    let mut world = World::playing("metronome");
    world.take(ANN);
    world.raw_input(ANN, &vec![0; PAYLOAD_BYTES_MAX]);
    world.raw_input(BOB, &vec![0; PAYLOAD_BYTES_MAX + 1]);
    world.pass(ms(100));
    assert_eq!(world.take(ANN), [Seen::State("1 at 100 ms".to_owned())]);
    assert_eq!(world.take(BOB).last(), Some(&Seen::Detached(GameDetachReason::StreamBroken, false)));
}

#[test]
fn unreadable_and_impossible_frames_detach_their_client_alone() {
    type Deed = fn(&mut World);
    let deeds: [(Deed, bool); 5] = [
        (|world| world.raw_input(ANN, b"rubbish"), false),
        (|world| world.send_input(ANN, Seq(5), &Bytes::from("{}")), true),
        (
            |world| {
                let made_up = game::Input::header(GAME, Seq(1), Seq(999));
                world.frame(LINK, kind::link::INPUT, [&ANN.0.to_be_bytes()[..], &made_up].concat());
            },
            false,
        ),
        (|world| world.frame(LINK, kind::link::INPUT, [&ANN.0.to_be_bytes()[..], b"short"].concat()), false),
        (|world| world.frame(LINK, kind::link::ACK, [&ANN.0.to_be_bytes()[..], b"short"].concat()), false),
    ];
    for (index, (deed, retry)) in deeds.into_iter().enumerate() {
        let mut world = World::playing("probe");
        world.take(ANN);
        deed(&mut world);
        let seen = world.take(ANN);
        assert_eq!(seen.last(), Some(&Seen::Detached(GameDetachReason::StreamBroken, retry)), "deed {index}");
        world.take(BOB);
        world.say(BOB, "fine");
        assert_eq!(world.take_messages(BOB).len(), 1);
        assert!(world.take(ANN).is_empty());
        assert!(world.others.is_empty(), "the link is not to blame");
    }
}

#[test]
fn malformed_frames_of_a_gateway_close_its_link() {
    for (kind, body) in
        [(kind::link::INPUT, &b"1234567"[..]), (kind::link::ATTACH, b"\xff"), (kind::link::DETACH, b"\xff")]
    {
        let mut world = World::playing("probe");
        world.frame(LINK, kind, body.to_vec());
        assert_eq!(world.others, [Command::CloseLink(LINK)], "kind {kind}");
    }
    let mut world = World::playing("probe");
    world.frame(LINK, 99, b"from the future".to_vec());
    assert!(world.others.is_empty());
}

#[test]
fn heartbeats_are_answered() {
    let mut world = World::new();
    world.frame(LINK, kind::link::HEARTBEAT, b"12345678".to_vec());
    assert_eq!(world.others, [Command::AnswerHeartbeat(LINK, Bytes::from("12345678"))]);
}

#[test]
fn a_client_that_never_acknowledges_is_detached_and_brought_up_to_date() {
    let mut world = World::playing("probe");
    world.reconnect(ANN, OTHER_LINK);
    // Ann's connection hangs: nothing more arrives there.
    world.client(ANN).link = LinkId(77);
    for _ in 0..6 {
        world.input(BOB, &Order::Flood(1, 60_000));
        world.ack(BOB);
    }
    world.client(ANN).link = OTHER_LINK;
    world.take(ANN);
    let has = world.client(ANN).incoming.received();
    world.reconnect(ANN, OTHER_LINK);
    let seen = world.take(ANN);
    let Seen::Attached { next, .. } = seen[0] else { panic!("{seen:?}") };
    assert!(next > has.0 + 1, "what was given up is not sent");
    assert_eq!(seen[1..], [message("0 back"), message("everything")]);
    world.say(ANN, "well");
    assert_eq!(world.take_messages(ANN).len(), 1);
}

#[test]
fn too_far_behind_is_told_as_it_happens() {
    let mut world = World::playing("probe");
    world.take(ANN);
    for _ in 0..5 {
        world.input(BOB, &Order::Flood(1, 60_000));
        world.ack(BOB);
    }
    let seen = world.take(ANN);
    assert_eq!(seen.len(), 5);
    assert_eq!(seen[4], Seen::Detached(GameDetachReason::TooFarBehind, true));
    // What was given up had arrived, so there is nothing to be brought up to date with.
    world.reconnect(ANN, LINK);
    let messages = world.take_messages(ANN);
    assert_eq!(messages[0].len(), 60_000);
    assert_eq!(messages[1..], ["0 away", "0 back"]);
}

#[test]
fn more_in_one_step_than_a_stream_keeps_leaves_no_gap() {
    let mut world = World::playing("probe");
    world.take(ANN);
    world.input(BOB, &Order::Flood(9, 60_000));
    assert_eq!(world.take(ANN), [Seen::Detached(GameDetachReason::TooFarBehind, true)]);
    world.reconnect(ANN, LINK);
    assert_eq!(world.take_messages(ANN), ["0 back", "everything"]);
}

/// The player's program is started anew and remembers nothing but the session.
fn restart(world: &mut World, session: SessionId) {
    let client = world.client(session);
    (client.incoming, client.outgoing) = (Incoming::new(), Outgoing::new());
    client.take();
    world.reconnect(session, LINK);
}

#[test]
fn a_restarted_client_is_brought_up_to_date_and_its_inputs_count() {
    let mut world = World::playing("metronome");
    world.pass(ms(100));
    world.raw_input(ANN, b"x");
    restart(&mut world, ANN);
    world.raw_input(ANN, b"y");
    world.take(BOB);
    world.pass(ms(100));
    assert_eq!(world.take(BOB), [Seen::State("2 at 200 ms".to_owned())], "the one from before and the one after");

    let mut world = World::playing("probe");
    world.say(ANN, "hi");
    world.ack(ANN);
    restart(&mut world, ANN);
    assert_eq!(world.take_messages(ANN), ["everything"]);
    world.input(BOB, &Order::End(7));
    world.ack(ANN);
    restart(&mut world, ANN);
    assert_eq!(world.take(ANN).last(), Some(&Seen::Ended(GameEndReason::Finished, "7".to_owned())));
}

#[test]
fn inputs_are_acknowledged_alone_when_nothing_goes_along() {
    let mut world = World::playing("probe");
    world.take(ANN);
    world.input(ANN, &Order::Wake(100_000));
    world.pass(ms(99));
    assert!(world.take(ANN).is_empty());
    world.pass(ms(1));
    assert_eq!(world.take(ANN), [Seen::Acked(1)]);
    world.pass(ms(1000));
    assert!(world.take(ANN).is_empty(), "once is enough");
    for _ in 0..63 {
        world.input(ANN, &Order::Wake(100_000));
    }
    assert!(world.take(ANN).is_empty());
    world.input(ANN, &Order::Wake(100_000));
    assert_eq!(world.take(ANN), [Seen::Acked(65)], "many don't wait");
    assert!(world.client(ANN).outgoing.is_settled());
}

#[test]
fn a_message_carries_the_acknowledgement_along() {
    let mut world = World::playing("probe");
    world.say(ANN, "x");
    world.take(ANN);
    world.pass(ms(1000));
    assert!(world.take(ANN).is_empty());
    assert!(world.client(ANN).outgoing.is_settled());
}
