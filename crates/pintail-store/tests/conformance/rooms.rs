//! Rooms: compare-and-set, lists, invite codes, expiry.

use pintail_core::{RoomId, SessionId};
use pintail_store::{CommitOutcome, Periods, RoomChange, SharedStore, Version};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::fixture::{Fixture, LONG, change, creation, eventually, ms};
use crate::on_both_stores;

on_both_stores!(
    a_room_changes_version_by_version,
    of_many_who_change_a_version_one_wins,
    a_room_is_found_by_its_invite_code_and_its_members,
    a_session_is_in_one_room_at_a_time,
    an_invite_code_is_taken_while_its_room_lives,
    a_deleted_room_leaves_nothing_behind,
    a_list_has_the_rooms_with_its_label_newest_first,
    a_list_is_read_page_by_page_while_rooms_come_and_go,
    an_idle_room_expires_with_all_that_led_to_it,
    a_touched_room_lives_on,
);

fn committed(version: u64) -> CommitOutcome {
    CommitOutcome::Committed(Version(version))
}

async fn commit(store: &SharedStore, change: &RoomChange) -> CommitOutcome {
    store.commit_room(change).await.unwrap()
}

async fn a_room_changes_version_by_version(fixture: &Fixture) {
    let store = fixture.store(LONG);
    assert_eq!(store.room(RoomId(1)).await.unwrap(), None);
    assert_eq!(commit(&store, &change(1, 1, &[])).await, CommitOutcome::Conflict, "there is no version 1");
    assert_eq!(commit(&store, &creation(1, &[])).await, committed(1));
    assert_eq!(commit(&store, &creation(1, &[])).await, CommitOutcome::Conflict, "it is there");
    let mut second = change(1, 1, &[]);
    second.to.as_mut().unwrap().body = "second ✓".to_owned();
    assert_eq!(commit(&store, &second).await, committed(2));
    let room = store.room(RoomId(1)).await.unwrap().unwrap();
    assert_eq!((room.id, room.version, room.body.as_str()), (RoomId(1), Version(2), "second ✓"));
}

async fn of_many_who_change_a_version_one_wins(fixture: &Fixture) {
    let store = fixture.store(LONG);
    for version in 0..3 {
        let mut racers = JoinSet::new();
        for _ in 0..100 {
            let store = store.clone();
            racers.spawn(async move { commit(&store, &change(1, version, &["public"])).await });
        }
        let outcomes = racers.join_all().await;
        let winners = outcomes.iter().filter(|&outcome| *outcome == committed(version + 1)).count();
        let losers = outcomes.iter().filter(|&outcome| *outcome == CommitOutcome::Conflict).count();
        assert_eq!((winners, losers), (1, 99));
    }
}

async fn a_room_is_found_by_its_invite_code_and_its_members(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let mut creation = creation(1, &[]);
    creation.enter = vec![SessionId(1), SessionId(2)];
    commit(&store, &creation).await;
    let room = store.room(RoomId(1)).await.unwrap();
    assert!(room.is_some());
    assert_eq!(store.room_by_invite("CODE1").await.unwrap(), room);
    assert_eq!(store.room_of(SessionId(1)).await.unwrap(), room);
    assert_eq!(store.room_by_invite("CODE2").await.unwrap(), None);

    let mut leaving = change(1, 1, &[]);
    leaving.leave = vec![SessionId(1), SessionId(3)];
    leaving.to.as_mut().unwrap().invite = "OTHER".to_owned();
    commit(&store, &leaving).await;
    assert_eq!(store.room_of(SessionId(1)).await.unwrap(), None);
    assert!(store.room_of(SessionId(2)).await.unwrap().is_some());
    assert!(store.room_by_invite("CODE1").await.unwrap().is_some(), "the code of the creation counts");
    assert_eq!(store.room_by_invite("OTHER").await.unwrap(), None);
}

async fn a_session_is_in_one_room_at_a_time(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let mut first = creation(1, &[]);
    first.enter = vec![SessionId(1)];
    commit(&store, &first).await;
    let mut second = creation(2, &["public"]);
    second.enter = vec![SessionId(2), SessionId(1)];
    let elsewhere = CommitOutcome::Elsewhere { session: SessionId(1), room: RoomId(1) };
    assert_eq!(commit(&store, &second).await, elsewhere);
    assert_eq!(store.room(RoomId(2)).await.unwrap(), None, "nothing of it happened");
    assert_eq!(store.room_of(SessionId(2)).await.unwrap(), None);

    let again = RoomChange { enter: vec![SessionId(1)], ..change(1, 1, &[]) };
    assert_eq!(commit(&store, &again).await, committed(2), "entering one's own room is no harm");
    let stranger = RoomChange { leave: vec![SessionId(1)], ..creation(3, &[]) };
    commit(&store, &stranger).await;
    assert!(store.room_of(SessionId(1)).await.unwrap().is_some(), "another room can't make it leave");
    commit(&store, &RoomChange { to: None, ..change(1, 2, &[]) }).await;
    assert_eq!(commit(&store, &second).await, committed(1), "its room is gone");
}

async fn an_invite_code_is_taken_while_its_room_lives(fixture: &Fixture) {
    let store = fixture.store(LONG);
    commit(&store, &creation(1, &[])).await;
    let mut second = creation(2, &[]);
    second.to.as_mut().unwrap().invite = "CODE1".to_owned();
    assert_eq!(commit(&store, &second).await, CommitOutcome::InviteTaken);
    commit(&store, &RoomChange { to: None, ..change(1, 1, &[]) }).await;
    assert_eq!(commit(&store, &second).await, committed(1));
    assert_eq!(store.room_by_invite("CODE1").await.unwrap().unwrap().id, RoomId(2));
}

async fn a_deleted_room_leaves_nothing_behind(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let deletion = |from| RoomChange { to: None, ..change(1, from, &[]) };
    assert_eq!(commit(&store, &deletion(0)).await, committed(0), "what is not there can be deleted");
    let mut creation = creation(1, &["public"]);
    creation.enter = vec![SessionId(1)];
    commit(&store, &creation).await;
    assert_eq!(commit(&store, &deletion(7)).await, CommitOutcome::Conflict);
    assert_eq!(commit(&store, &deletion(1)).await, committed(0));
    assert_eq!(store.room(RoomId(1)).await.unwrap(), None);
    assert_eq!(store.room_of(SessionId(1)).await.unwrap(), None);
    assert_eq!(store.room_by_invite("CODE1").await.unwrap(), None);
    assert!(store.rooms_labelled("public", None, 10).await.unwrap().rooms.is_empty());
}

/// The rooms with a label, read in pages of this size.
async fn listed(store: &SharedStore, label: &str, limit: u32) -> Vec<u64> {
    let (mut rooms, mut page) = (Vec::new(), None);
    loop {
        let read = store.rooms_labelled(label, page.as_deref(), limit).await.unwrap();
        assert!(read.rooms.len() <= limit as usize);
        rooms.extend(read.rooms.iter().map(|room| room.id.0));
        match read.next {
            Some(next) => page = Some(next),
            None => return rooms,
        }
    }
}

async fn a_list_has_the_rooms_with_its_label_newest_first(fixture: &Fixture) {
    let store = fixture.store(LONG);
    for number in [5, 3, 9] {
        commit(&store, &creation(number, &["public", "open:gomoku"])).await;
    }
    commit(&store, &creation(4, &["open:gomoku"])).await;
    assert_eq!(listed(&store, "public", 10).await, [9, 3, 5]);
    assert_eq!(listed(&store, "open:gomoku", 2).await, [4, 9, 3, 5]);
    commit(&store, &change(3, 1, &["public"])).await;
    assert_eq!(listed(&store, "open:gomoku", 10).await, [4, 9, 5]);
    commit(&store, &change(3, 2, &["open:gomoku"])).await;
    assert_eq!(listed(&store, "public", 10).await, [9, 5]);
    assert_eq!(listed(&store, "open:gomoku", 10).await, [4, 9, 3, 5], "it keeps its place by age");
    assert!(listed(&store, "private", 10).await.is_empty());
    for rubbish in ["", "x", "1:2", "9999999999999999999:0000000000000001", "(\u{0}"] {
        let page = store.rooms_labelled("public", Some(rubbish), 10).await.unwrap();
        assert_eq!(page.rooms.len(), 2, "{rubbish:?} is the start");
    }
}

async fn a_list_is_read_page_by_page_while_rooms_come_and_go(fixture: &Fixture) {
    let store = fixture.store(LONG);
    for number in 0..20 {
        commit(&store, &creation(number, &["public"])).await;
    }
    let (mut seen, mut page) = (Vec::new(), None);
    for round in 0_u64.. {
        let read = store.rooms_labelled("public", page.as_deref(), 5).await.unwrap();
        seen.extend(read.rooms.iter().map(|room| room.id.0));
        let Some(next) = read.next else { break };
        page = Some(next);
        commit(&store, &creation(100 + round, &["public"])).await;
        let last = *seen.last().unwrap();
        commit(&store, &RoomChange { to: None, ..change(last, 1, &[]) }).await;
    }
    assert_eq!(seen, (0..20).rev().collect::<Vec<_>>(), "each of the first rooms once, and no newer ones");
}

async fn an_idle_room_expires_with_all_that_led_to_it(fixture: &Fixture) {
    let store = fixture.store(Periods { room_idle_ttl: ms(300), ..LONG });
    let mut creation = creation(1, &["public"]);
    creation.enter = vec![SessionId(1)];
    let created_at = Instant::now();
    commit(&store, &creation).await;
    eventually("the room expires", async || store.room(RoomId(1)).await.unwrap().is_none().then_some(())).await;
    assert!(created_at.elapsed() >= ms(300));
    assert_eq!(store.room_of(SessionId(1)).await.unwrap(), None);
    assert_eq!(store.room_by_invite("CODE1").await.unwrap(), None);
    assert!(store.rooms_labelled("public", None, 10).await.unwrap().rooms.is_empty());

    let mut second = change(2, 0, &["public"]);
    second.enter = vec![SessionId(1)];
    second.to.as_mut().unwrap().invite = "CODE1".to_owned();
    assert_eq!(commit(&store, &second).await, committed(1), "its code and its member are free");
}

async fn a_touched_room_lives_on(fixture: &Fixture) {
    let store = fixture.store(Periods { room_idle_ttl: ms(1500), ..LONG });
    commit(&store, &creation(1, &[])).await;
    let created_at = Instant::now();
    while created_at.elapsed() < ms(2500) {
        store.touch_room(RoomId(1)).await.unwrap();
        tokio::time::sleep(ms(50)).await;
    }
    assert!(store.room_by_invite("CODE1").await.unwrap().is_some());
    store.touch_room(RoomId(2)).await.unwrap();
    assert_eq!(store.room(RoomId(2)).await.unwrap(), None, "touching makes no room");
}
