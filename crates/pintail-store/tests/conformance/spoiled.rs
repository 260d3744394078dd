//! Journals that Redis or somebody else has damaged, and a Redis that is full. Redis only.

use pintail_core::Epoch;
use pintail_store::{
    Claimed, EndReason, Games, HandOverOutcome, JournalWrite, Journals, Owner, RedisStore, RestoreOutcome, StoreError,
    WithoutServer, WriteOutcome,
};
use pintail_testkit::RedisServer;

use crate::fixture::{LONG, Server, error_of, finished, gateway, placed, redis_store};
use crate::foreign::raw;
use crate::journaling::{entries, game, journaled, kept, owned, saved, snapshot, whole, wrote};
use WriteOutcome::{Committed, Fenced, Gap, Unknown};

const KEY: &str = "Game:0000000000000001-1";

/// What may have happened to game 1, which has entry 2 in its snapshot and one more, and what is said of it.
const DAMAGES: [(&str, &str); 12] = [
    ("DEL KEY:snapshot", "its snapshot of entry 2 is gone"),
    ("DEL KEY:journal", "its journal ends with entry 2, and entry 3 was committed"),
    ("RPUSH KEY:journal x", "its journal ends with entry 4, and entry 3 was committed"),
    ("HDEL KEY committed", "its journal ends with entry 3, and entry 0 was committed"),
    ("HSET KEY committed 7", "its journal ends with entry 3, and entry 7 was committed"),
    ("HSET KEY committed x", "its number `committed` can't be read"),
    ("HSET KEY snapshot -1", "its number `snapshot` can't be read"),
    ("HSET KEY format new", "its snapshot's format can't be read"),
    ("HDEL KEY snapshot", "it has a snapshot, and its record knows of none"),
    ("DEL KEY:journal\nSET KEY:journal text", "WRONGTYPE"),
    ("DEL KEY:snapshot\nRPUSH KEY:snapshot text", "WRONGTYPE"),
    ("HSET KEY attempts many", "attempts"),
];

async fn damage(redis: &RedisServer, commands: &str) {
    raw(redis, &commands.replace("KEY", KEY)).await;
}

/// A game that has something in each of its keys.
async fn game_with_journal(store: &RedisStore) -> (Server, Owner) {
    let (server, owner) = owned(store, 1, 1).await;
    for write in [whole(game(1), owner, 2, "ab"), entries(game(1), owner, 3, "c")] {
        assert_eq!(wrote(store, write).await, Committed);
    }
    (server, owner)
}

#[tokio::test]
async fn a_damaged_journal_is_told_of_and_never_taken_for_a_whole_one() {
    for (commands, problem) in DAMAGES {
        let redis = RedisServer::start();
        let store = redis_store(&redis, LONG);
        game_with_journal(&store).await;
        damage(&redis, commands).await;
        let error = error_of(store.saved_game(game(1)).await);
        let StoreError::Corrupt { key, problem: told } = error else { panic!("{commands}: {error:?}") };
        assert_eq!(key, KEY);
        assert!(told.contains(problem), "{commands}: {told}");
    }
}

#[tokio::test]
async fn the_owner_of_a_damaged_journal_mends_it_by_a_snapshot() {
    for (commands, _) in &DAMAGES[..11] {
        let redis = RedisServer::start();
        let store = redis_store(&redis, LONG);
        let (_, owner) = game_with_journal(&store).await;
        let other = placed(&store, &journaled(2)).await;
        damage(&redis, commands).await;
        // What only whoever reads the journal needs is found out then.
        let is_noticed = !["HSET KEY format", "RPUSH KEY:snapshot"].iter().any(|what| commands.contains(what));
        if is_noticed {
            for late in
                [entries(game(1), owner, 3, "c"), entries(game(1), owner, 4, "d"), entries(game(1), owner, 9, "x")]
            {
                assert_eq!(wrote(&store, late).await, Gap, "{commands}");
            }
        }
        // Nor is anything newer given up for a snapshot that comes late.
        let late = wrote(&store, whole(game(1), owner, 0, "late")).await;
        assert!(late == Gap || !is_noticed || commands.contains("committed"), "{commands}: {late:?}");
        // One that contains all that may have been committed.
        let batch = [whole(game(1), owner, 7, "abcdefg"), entries(game(2), other, 1, "fine")];
        assert_eq!(store.write_journals(&batch).await.unwrap(), [Committed, Committed], "{commands}");
        assert_eq!(wrote(&store, entries(game(1), owner, 8, "h")).await, Committed);
        assert_eq!([kept(&store, game(1)).await, kept(&store, game(2)).await], ["7:abcdefg h", "fine"], "{commands}");
    }
}

#[tokio::test]
async fn what_is_spoiled_costs_no_other_game_anything() {
    let redis = RedisServer::start();
    let store = redis_store(&redis, LONG);
    let (server, owner) = game_with_journal(&store).await;
    let other = placed(&store, &journaled(2)).await;
    damage(&redis, "DEL KEY\nRPUSH KEY text").await;
    let batch = |number| [entries(game(1), owner, 4, "d"), entries(game(2), other, number, "x")];
    assert_eq!(store.write_journals(&batch(1)).await.unwrap(), [Unknown, Committed]);
    let restored = store.restore_game(&journaled(1), owner, Some(&snapshot(4, "abcd"))).await.unwrap();
    assert_eq!(restored, RestoreOutcome::Restored);
    assert_eq!(kept(&store, game(1)).await, "4:abcd");
    // A record that can't be read is nobody's, until its owner writes all of it.
    damage(&redis, "HSET KEY epoch abc incarnation 7").await;
    assert_eq!(store.write_journals(&batch(2)).await.unwrap(), [Gap, Committed]);
    assert_eq!(wrote(&store, whole(game(1), owner, 5, "abcde")).await, Committed);
    assert_eq!(saved(&store, game(1)).await.record.owner, owner);

    damage(&redis, "DEL KEY\nSET KEY text").await;
    server.lost(&store).await;
    raw(&redis, "DEL Games:failed\nSET Games:failed text").await;
    let heir = Server::game(&store, 2, 10).await;
    let claimed = heir.claims(&store).await;
    assert_eq!(claimed.games.iter().map(|game| game.id).collect::<Vec<_>>(), [game(2)]);
    let crashed = pintail_store::EndOutcome { reason: EndReason::Crashed, ..finished() };
    assert!(store.end_game(game(2), claimed.games[0].owner, &crashed).await.unwrap());
    assert_eq!(store.failed_games(10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_others_put_among_the_games_that_wait_is_thrown_out() {
    let redis = RedisServer::start();
    let store = redis_store(&redis, pintail_store::Periods { orphan_ttl: std::time::Duration::ZERO, ..LONG });
    let (server, owner) = game_with_journal(&store).await;
    raw(&redis, "SET Games:orphaned text\nSET Orphaned:echo text\nSET Orphaned:echo:3:0 text").await;
    assert_eq!(server.accused(&store, gateway(0), pintail_store::Charge::Refused).await, pintail_store::Verdict::Down);
    assert_eq!(store.sweep_orphans(1).await.unwrap(), 1);
    raw(&redis, "SADD Orphaned:echo rubbish 3:1 9:0\nZADD Orphaned:echo:3:1 1 x 2 0000000000000009-1 3 Game").await;
    raw(&redis, "ZADD Orphaned:echo:3:0 1 y 2 0000000000000009-1 3 Game\nZADD Games:orphaned 1 x").await;
    let other = Server::game(&store, 2, 10).await;
    let claimed = other.claims(&store).await;
    assert_eq!((claimed.games.len(), claimed.waiting), (1, 0));
    assert_eq!(other.claims(&store).await, Claimed::default());
    for gone in ["Orphaned:echo", "Orphaned:echo:3:0", "Orphaned:echo:3:1"] {
        assert_eq!(raw(&redis, &format!("EXISTS {gone}")).await, redis::Value::Int(0), "{gone}");
    }
    assert_eq!(store.sweep_orphans(10).await.unwrap(), 1, "what has waited since 1970");
    assert_eq!(raw(&redis, "EXISTS Games:orphaned").await, redis::Value::Int(0));
    assert_eq!(wrote(&store, entries(game(1), owner, 4, "d")).await, Fenced);
}

#[tokio::test]
async fn a_game_that_stands_in_a_lane_that_is_not_its_own_changes_over() {
    let redis = RedisServer::start();
    let store = redis_store(&redis, LONG);
    let (server, _) = game_with_journal(&store).await;
    server.lost(&store).await;
    damage(&redis, "HSET KEY attempts 1").await;
    let other = Server::game(&store, 2, 10).await;
    assert_eq!(other.claims(&store).await, Claimed::default(), "where it stood, it is no longer");
    assert_eq!(other.claims(&store).await.games[0].id, game(1));
}

#[tokio::test]
async fn times_and_counts_that_can_not_be_are_put_right() {
    let redis = RedisServer::start();
    let store = redis_store(&redis, pintail_store::Periods { proven_after: std::time::Duration::ZERO, ..LONG });
    let (_, owner) = game_with_journal(&store).await;
    for time in ["abc", "-5", "99999999999999", "nan"] {
        damage(&redis, &format!("HSET KEY attempts 2 claimed_at {time}")).await;
        for attempts in [2, 0] {
            assert_eq!(wrote(&store, entries(game(1), owner, 3, "c")).await, Committed);
            assert_eq!(saved(&store, game(1)).await.attempts, attempts, "{time}");
        }
    }
}

#[tokio::test]
async fn a_full_redis_takes_no_entries_and_all_that_frees_memory_or_saves_games() {
    let redis = RedisServer::start();
    let store = redis_store(&redis, LONG);
    let (server, owner) = game_with_journal(&store).await;
    let second = placed(&store, &journaled(2)).await;
    placed(&store, &journaled(3)).await;
    raw(&redis, "SCRIPT FLUSH\nCONFIG SET maxmemory 1").await;
    let error = error_of(store.write_journals(&[entries(game(1), owner, 4, "d")]).await);
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    let error = error_of(store.restore_game(&journaled(9), owner, Some(&snapshot(1, "a"))).await);
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert_eq!(store.game(game(9)).await.unwrap(), None);

    assert_eq!(kept(&store, game(1)).await, "2:ab c");
    assert_eq!(wrote(&store, whole(game(1), owner, 4, "abcd")).await, Committed);
    raw(&redis, "CONFIG SET maxmemory 0").await;
    let heir = Server::game(&store, 2, 10).await;
    raw(&redis, "CONFIG SET maxmemory 1").await;
    let outcome = store.hand_over(game(2), second, &snapshot(1, "a"), WithoutServer::Keep).await.unwrap();
    assert!(matches!(outcome, HandOverOutcome::To(to) if to.slot == heir.slot), "{outcome:?}");
    server.lost(&store).await;
    assert_eq!(heir.claims(&store).await.games.len(), 2);
    let next = Owner { slot: heir.slot, incarnation: heir.incarnation(), epoch: Epoch(2) };
    assert!(store.end_game(game(1), next, &finished()).await.unwrap());
    assert_eq!(raw(&redis, &format!("EXISTS {KEY}:snapshot {KEY}:journal")).await, redis::Value::Int(0));

    raw(&redis, "CONFIG SET maxmemory 0").await;
    assert_eq!(wrote(&store, entries(game(2), next, 2, "b")).await, Committed);
}

#[tokio::test]
async fn a_large_batch_is_written_by_a_redis_that_knows_no_script() {
    let redis = RedisServer::start();
    let store = redis_store(&redis, LONG);
    let server = Server::game(&store, 1, 10_000).await;
    let owner = Owner { slot: server.slot, incarnation: server.incarnation(), epoch: Epoch(1) };
    for number in 0..1200 {
        placed(&store, &journaled(number)).await;
    }
    let write = |number| match number % 3 {
        0 => whole(game(number), owner, 1, "a"),
        _ => entries(game(number), owner, 1, "a"),
    };
    let writes: Vec<JournalWrite> = (0..1200).map(write).collect();
    raw(&redis, "SCRIPT FLUSH").await;
    assert_eq!(store.write_journals(&writes).await.unwrap(), vec![Committed; 1200]);
}
