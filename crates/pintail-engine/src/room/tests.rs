use std::collections::HashSet;

use pintail_core::{EndReason, Kind};
use proptest::prelude::*;

use super::*;

const GAME: GameId = GameId { room: RoomId(7), round: Round(1) };

fn gateway(index: u32) -> Slot {
    Slot::new(Kind::Gateway, index)
}

fn actor(session: u64) -> Actor {
    let name = PlayerName::new(&format!("p{session}")).unwrap();
    Actor { session: SessionId(session), name, gateway: gateway(0), generation: Generation(1) }
}

fn choice(players_min: u32, players_max: u32) -> GameChoice {
    GameChoice { game: GameType::new("gomoku").unwrap(), settings: String::new(), players_min, players_max }
}

fn new_room(visibility: Visibility) -> NewRoom {
    let invite = InviteCode::typed("ABCDEF").unwrap();
    NewRoom { id: GAME.room, name: None, choice: choice(2, 3), visibility, invite }
}

/// A room for two to three, with these members; the first is its owner.
fn room(sessions: &[u64]) -> Room {
    let mut room = Room::create(&actor(sessions[0]), RequestId(0), new_room(Visibility::Public));
    for &session in &sessions[1..] {
        room = does(&room, session, Request::Join(JoinBy::Id));
    }
    room
}

/// A number that no test uses by itself.
fn fresh() -> RequestId {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1000);
    RequestId(NEXT.fetch_add(1, Ordering::Relaxed))
}

fn asks(room: &Room, session: u64, request: Request) -> Result<Applied, RoomError> {
    room.apply(&actor(session), fresh(), request)
}

fn does(room: &Room, session: u64, request: Request) -> Room {
    asks(room, session, request).unwrap().room.unwrap()
}

fn chat(text: &str) -> Request {
    Request::Chat(ChatText::new(text).unwrap())
}

fn starting(sessions: &[u64]) -> Room {
    let ready =
        sessions[1..].iter().fold(room(sessions), |room, &session| does(&room, session, Request::SetReady(true)));
    does(&ready, sessions[0], Request::Start { seed: 9 })
}

fn playing(sessions: &[u64]) -> Room {
    starting(sessions).game_placed(GAME).room.unwrap()
}

fn private(sessions: &[u64]) -> Room {
    Room { visibility: Visibility::Private, ..room(sessions) }
}

fn outcome() -> EndOutcome {
    EndOutcome { reason: EndReason::Finished, result: r#"{"winner":1}"#.to_owned(), message: String::new() }
}

fn sessions(room: &Room) -> Vec<u64> {
    room.members.iter().map(|member| member.session.0).collect()
}

#[test]
fn requests_are_refused_for_these_reasons() {
    let full = RoomError::Full { places: 3 };
    let start = || Request::Start { seed: 1 };
    let by_id = || Request::Join(JoinBy::Id);
    let not_ready = RoomError::NotReady(vec![actor(2).name]);
    for (what, room, session, request, expected) in [
        ("join a full room", room(&[1, 2, 3]), 4, by_id(), full),
        ("join a private room by id", private(&[1]), 2, by_id(), RoomError::NotFound),
        ("join a starting room", starting(&[1, 2]), 3, by_id(), RoomError::GameRunning),
        ("join a playing room", playing(&[1, 2]), 3, by_id(), RoomError::GameRunning),
        ("join by invite a playing room", playing(&[1, 2]), 3, Request::Join(JoinBy::Invite), RoomError::GameRunning),
        ("look from outside", room(&[1]), 2, Request::Look, RoomError::NotInRoom),
        ("leave from outside", room(&[1]), 2, Request::Leave, RoomError::NotInRoom),
        ("ready from outside", room(&[1]), 2, Request::SetReady(true), RoomError::NotInRoom),
        ("chat from outside", room(&[1]), 2, chat("hi"), RoomError::NotInRoom),
        ("kick from outside", room(&[1]), 2, Request::Kick(SessionId(1)), RoomError::NotInRoom),
        ("kick by another", room(&[1, 2]), 2, Request::Kick(SessionId(1)), RoomError::NotOwner),
        ("kick oneself", room(&[1, 2]), 1, Request::Kick(SessionId(1)), RoomError::KickedOneself),
        ("kick a stranger", room(&[1, 2]), 1, Request::Kick(SessionId(9)), RoomError::UnknownPlayer),
        ("ready while starting", starting(&[1, 2]), 2, Request::SetReady(false), RoomError::GameRunning),
        ("ready while playing", playing(&[1, 2]), 2, Request::SetReady(true), RoomError::GameRunning),
        ("start by another", room(&[1, 2]), 2, start(), RoomError::NotOwner),
        ("start alone", room(&[1]), 1, start(), RoomError::TooFewPlayers { least: 2, present: 1 }),
        ("start unready", room(&[1, 2]), 1, start(), not_ready),
        ("start while playing", playing(&[1, 2]), 1, start(), RoomError::GameRunning),
    ] {
        assert_eq!(asks(&room, session, request), Err(expected), "{what}");
    }
}

#[test]
fn an_invite_opens_a_private_room() {
    let room = does(&private(&[1]), 2, Request::Join(JoinBy::Invite));
    assert_eq!(sessions(&room), [1, 2]);
    assert_eq!(room.labels(), [] as [&str; 0], "it is in no list");
}

#[test]
fn labels_follow_the_phase_and_the_places() {
    for (room, labels) in [
        (room(&[1, 2]), vec!["public", "open:gomoku"]),
        (room(&[1, 2, 3]), vec!["public"]),
        (starting(&[1, 2]), vec!["public", "starting"]),
        (playing(&[1, 2]), vec!["public", "playing"]),
    ] {
        assert_eq!(room.labels(), labels);
    }
}

#[test]
fn the_others_hear_of_a_change_and_the_one_who_asked_is_answered() {
    let room = room(&[1, 2]);
    for request in [Request::SetReady(true), Request::Leave] {
        let applied = asks(&room, 2, request).unwrap();
        assert_eq!(applied.events, [Event::Changed { except: Some(SessionId(2)) }]);
        assert_eq!(applied.effects, []);
    }
    let applied = asks(&room, 2, chat(" gg ")).unwrap();
    let said = Event::Chat { session: SessionId(2), name: actor(2).name, text: ChatText::new("gg").unwrap() };
    assert_eq!(applied.events, [said], "a chat leaves the room as it looks");
    let applied = asks(&room, 2, Request::Look).unwrap();
    assert!(!applied.changed && applied.events.is_empty());
}

#[test]
fn a_kick_is_heard_by_the_one_kicked() {
    let room = room(&[1, 2, 3]);
    let applied = asks(&room, 1, Request::Kick(SessionId(2))).unwrap();
    let kicked = Event::Left { member: room.member(SessionId(2)).unwrap().clone(), reason: LeftReason::Kicked };
    assert_eq!(applied.events, [kicked, Event::Changed { except: Some(SessionId(1)) }]);
    assert_eq!(sessions(&applied.room.unwrap()), [1, 3]);
}

#[test]
fn ownership_passes_to_the_longest_standing_member_who_is_there() {
    let room = room(&[1, 2, 3]).presence(&actor(2), Presence::Away).room.unwrap();
    let room = does(&room, 1, Request::Leave);
    assert_eq!(room.owner, SessionId(3), "2 was there longer and is away");
    let room = does(&room, 3, Request::Leave);
    assert_eq!(room.owner, SessionId(2), "an absent owner is better than none");
    assert_eq!(asks(&room, 2, Request::Leave).unwrap().room, None, "the last one deletes the room");
}

#[test]
fn a_start_fixes_what_is_ordered() {
    let room = starting(&[1, 2]);
    let (game, start) = room.pending_start().unwrap();
    assert_eq!((game, start.seed), (GAME, 9));
    assert_eq!(start.seats.iter().map(|seat| seat.session.0).collect::<Vec<_>>(), [1, 2]);
    let again = asks(&room, 1, Request::Start { seed: 10 }).unwrap();
    assert!(!again.changed, "a second start continues the first");
    assert_eq!(again.effects, [Effect::Start(GAME)]);
    let left = does(&room, 2, Request::Leave);
    assert_eq!(left.pending_start(), room.pending_start(), "the order stays as it was");
}

#[test]
fn an_absent_member_holds_up_the_start() {
    let room = does(&room(&[1, 2]), 2, Request::SetReady(true));
    let room = room.presence(&actor(2), Presence::Away).room.unwrap();
    let refused = asks(&room, 1, Request::Start { seed: 1 });
    assert_eq!(refused, Err(RoomError::NotReady(vec![actor(2).name])));
    let room = room.presence(&actor(2), Presence::Back).room.unwrap();
    assert!(asks(&room, 1, Request::Start { seed: 1 }).is_ok());
}

#[test]
fn a_game_hears_who_left_before_and_after_it_was_placed() {
    let room = does(&starting(&[1, 2]), 2, Request::Leave);
    let placed = room.game_placed(GAME);
    assert_eq!(placed.effects, [Effect::PlayerLeft(GAME, SessionId(2))]);
    let applied = asks(&placed.room.unwrap(), 1, Request::Leave).unwrap();
    assert_eq!(applied.room, None);
    assert_eq!(applied.effects, [Effect::PlayerLeft(GAME, SessionId(1))]);
}

#[test]
fn a_game_is_placed_once_and_only_if_the_room_still_wants_it() {
    let room = playing(&[1, 2]);
    assert!(!room.game_placed(GAME).changed);
    let failed = starting(&[1, 2]).start_failed(GAME).room.unwrap();
    assert!(!failed.game_placed(GAME).changed);
    let next = does(&failed, 1, Request::Start { seed: 1 });
    assert_eq!(next.round, Round(2), "a round is used once");
    assert!(!next.game_placed(GAME).changed);
    assert!(!next.start_failed(GAME).changed, "the failure of an earlier round is old news");
}

#[test]
fn a_failed_start_can_be_sent_again_and_a_successful_one_is_done_once() {
    let ready = does(&room(&[1, 2]), 2, Request::SetReady(true));
    let start = |room: &Room| room.apply(&actor(1), RequestId(5), Request::Start { seed: 1 }).unwrap();
    let failed = start(&ready).room.unwrap().start_failed(GAME).room.unwrap();
    assert_eq!((&failed.phase, failed.member(SessionId(2)).unwrap().ready), (&Phase::Wait, true));
    let second = GameId { round: Round(2), ..GAME };
    let again = start(&failed);
    assert_eq!(again.effects, [Effect::Start(second)]);
    let over = again.room.unwrap().game_placed(second).room.unwrap().game_over(second, outcome());
    assert!(!start(&over.room.unwrap()).changed);
}

#[test]
fn the_end_of_a_game_returns_the_room_once() {
    let over = playing(&[1, 2]).game_over(GAME, outcome());
    assert_eq!(over.events, [Event::Changed { except: None }]);
    let room = over.room.unwrap();
    assert_eq!(room.phase, Phase::Wait);
    assert_eq!(room.last_end, Some(RoundEnd { round: Round(1), outcome: outcome() }));
    assert!(room.members.iter().all(|member| !member.ready));
    assert!(!room.game_over(GAME, outcome()).changed);
    let quick = starting(&[1, 2]).game_over(GAME, outcome()).room.unwrap();
    assert_eq!(quick.phase, Phase::Wait, "a game may end before its room knows that it was placed");
}

#[test]
fn news_of_a_former_connection_is_old() {
    let elsewhere = Actor { gateway: gateway(1), generation: Generation(2), ..actor(2) };
    let room = room(&[1, 2]).presence(&elsewhere, Presence::Back).room.unwrap();
    for old in [Presence::Back, Presence::Away, Presence::Gone] {
        assert!(!room.presence(&actor(2), old).changed, "{old:?}");
    }
    assert!(!room.apply(&actor(2), fresh(), Request::Look).unwrap().changed);
    let away = room.presence(&elsewhere, Presence::Away);
    assert_eq!(away.events, [Event::Changed { except: Some(SessionId(2)) }]);
    let returned = Actor { generation: Generation(3), ..actor(2) };
    let looked = away.room.unwrap().apply(&returned, fresh(), Request::Look).unwrap();
    let member = looked.room.unwrap().member(SessionId(2)).unwrap().clone();
    assert_eq!((member.away, member.gateway), (false, gateway(0)), "whoever asks is there");
}

#[test]
fn a_member_away_too_long_is_marked_then_removed() {
    let present = room(&[1, 2]);
    let marked = present.remove_away(SessionId(1)).room.unwrap();
    assert!(marked.member(SessionId(1)).unwrap().away);
    let back = marked.not_away(SessionId(1));
    assert_eq!((back.room, back.events), (Some(present), vec![Event::Changed { except: Some(SessionId(1)) }]));
    let removed = marked.remove_away(SessionId(1));
    assert!(matches!(
        &removed.events[..],
        [Event::Left { reason: LeftReason::AwayTooLong, .. }, Event::Changed { .. }]
    ));
    let room = removed.room.unwrap();
    assert_eq!((sessions(&room), room.owner), (vec![2], SessionId(2)));
    assert!(!room.remove_away(SessionId(1)).changed);
}

#[test]
fn as_many_requests_are_remembered_as_can_be_unanswered() {
    let said = |room: &Room, number| room.apply(&actor(1), RequestId(number), chat("hi")).unwrap();
    let numbers = 1..=REMEMBERED_REQUESTS as u64;
    let room = numbers.clone().fold(room(&[1]), |room, number| said(&room, number).room.unwrap());
    for number in numbers {
        assert!(!said(&room, number).changed, "{number}");
    }
    assert_eq!(room.members[0].requests.len(), REMEMBERED_REQUESTS);
}

#[test]
fn a_room_is_stored_as_this_text() {
    let room = starting(&[1, 2]);
    assert_eq!(Room::from_json(&room.to_json()), Ok(room));
    let stored = r#"{"id":"0000000000000007","name":"p1's room","choice":{"game":"gomoku","settings":"","players_min":2,"players_max":3},"visibility":"public","invite":"ABCDEF","owner":"0000000000000001","members":[{"session":"0000000000000001","name":"p1","ready":false,"away":false,"gateway":"Server:Gateway:0","generation":1,"requests":[0]}],"round":0,"phase":"wait"}"#;
    let created = Room::create(&actor(1), RequestId(0), new_room(Visibility::Public));
    assert_eq!(created.to_json(), stored, "servers of two versions share a store: a change of this text needs care");
    for broken in ["", "{}", &stored.replace("\"owner\":\"0000000000000001\"", "\"owner\":\"0000000000000002\"")] {
        assert!(Room::from_json(broken).is_err(), "{broken}");
    }
}

#[test]
fn a_chat_is_one_printable_line() {
    let long = "x".repeat(pintail_core::limits::CHAT_CHARACTERS_MAX + 1);
    for wrong in ["", "  ", "a\nb", "\u{1b}[2J", "a\u{202e}b", &long] {
        assert!(matches!(ChatText::new(wrong), Err(RoomError::BadChat(_))), "{wrong:?}");
    }
    for right in ["👩\u{200d}👧 hi", "سلام", &long[1..]] {
        assert!(ChatText::new(right).is_ok(), "{right:?}");
    }
}

/// What can happen to a room.
#[derive(Debug, Clone)]
enum Happening {
    Asked(u64, u64, Request),
    Presence(u64, u64, Presence),
    AwayTooLong(u64),
    Placed(u32),
    Failed(u32),
    Over(u32),
}

fn happening() -> impl Strategy<Value = Happening> {
    let request = prop_oneof![
        1 => Just(Request::Look),
        3 => prop_oneof![Just(JoinBy::Id), Just(JoinBy::Invite)].prop_map(Request::Join),
        1 => Just(Request::Leave),
        3 => any::<bool>().prop_map(Request::SetReady),
        1 => (0..5_u64).prop_map(|session| Request::Kick(SessionId(session))),
        1 => Just(chat("hi")),
        3 => any::<u64>().prop_map(|seed| Request::Start { seed }),
    ];
    let presence = prop_oneof![Just(Presence::Back), Just(Presence::Away), Just(Presence::Gone)];
    prop_oneof![
        12 => (0..5_u64, 0..40_u64, request).prop_map(|(session, id, request)| Happening::Asked(session, id, request)),
        2 => (0..5_u64, 0..3_u64, presence).prop_map(|(who, generation, news)| Happening::Presence(who, generation, news)),
        1 => (0..5_u64).prop_map(Happening::AwayTooLong),
        2 => (0..4_u32).prop_map(Happening::Placed),
        1 => (0..4_u32).prop_map(Happening::Failed),
        2 => (0..4_u32).prop_map(Happening::Over),
    ]
}

fn check(before: &Room, after: &Room) {
    let members: HashSet<_> = sessions(after).into_iter().collect();
    assert_eq!(members.len(), after.members.len(), "nobody is in a room twice");
    assert!(members.contains(&after.owner.0), "the owner is a member");
    assert!(after.members.len() <= after.choice.places(), "there are no more members than places");
    assert!(before.round <= after.round, "rounds only grow");
    let started = after.round > before.round;
    assert_eq!(started, before.phase == Phase::Wait && after.phase != Phase::Wait, "a round is one start");
    assert!(after.members.iter().all(|member| member.requests.len() <= REMEMBERED_REQUESTS));
    if before.phase != Phase::Wait && after.phase != Phase::Wait {
        let ready = |room: &Room, session| room.member(session).map(|member| member.ready);
        assert!(after.members.iter().all(|m| ready(before, m.session) == Some(m.ready)), "ready and joining wait");
    }
    assert_eq!(Room::from_json(&after.to_json()).as_ref(), Ok(after));
}

proptest! {
    #[test]
    fn a_room_keeps_its_invariants_whatever_happens(happenings in prop::collection::vec(happening(), 1..80)) {
        let mut room = Room::create(&actor(0), RequestId(1000), new_room(Visibility::Public));
        for happening in happenings {
            let game = |round: u32| GameId { round: Round(round), ..GAME };
            let repeated = matches!(&happening, Happening::Asked(session, id, _) if room.remembers(SessionId(*session), RequestId(*id)));
            let applied = match happening.clone() {
                Happening::Asked(session, id, request) => room.apply(&actor(session), RequestId(id), request).ok(),
                Happening::Presence(session, generation, presence) => {
                    let from = Actor { generation: Generation(generation), ..actor(session) };
                    Some(room.presence(&from, presence))
                }
                Happening::AwayTooLong(session) => Some(room.remove_away(SessionId(session))),
                Happening::Placed(round) => Some(room.game_placed(game(round))),
                Happening::Failed(round) => Some(room.start_failed(game(round))),
                Happening::Over(round) => Some(room.game_over(game(round), outcome())),
            };
            let Some(applied) = applied else { continue };
            prop_assert!(applied.changed || applied.room.as_ref() == Some(&room));
            let told = applied.events.iter().any(|event| matches!(event, Event::Changed { .. }));
            prop_assert!(applied.changed || !told || repeated, "nobody hears of a change that is none");
            prop_assert!(told || !repeated, "whoever did it may not have told the others");
            let Some(after) = applied.room else { break };
            check(&room, &after);
            if let Happening::Asked(session, id, request) = happening
                && after.member(SessionId(session)).is_some()
            {
                let again = after.apply(&actor(session), RequestId(id), request);
                let retold = |event: &Event| matches!(event, Event::Changed { .. });
                let once = again.is_ok_and(|again| !again.changed && again.events.iter().all(retold));
                prop_assert!(once, "the same request again changes nothing");
            }
            room = after;
        }
    }
}
