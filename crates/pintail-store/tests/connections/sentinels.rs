//! A master that moves, and sentinels that know where to.

use std::time::{Duration, Instant};

use pintail_store::{RedisOptions, RedisStore};
use pintail_testkit::{Certificates, ClientCertificates, RedisServer, Sentinels};

use crate::support::{
    ANNOUNCEMENT, Log, MARGIN, eventually, ms, store, subscribe, until_heard, until_it_works, until_refused, write,
};

/// A master with a replica, both with a password.
fn pair() -> [RedisServer; 2] {
    let master = RedisServer::builder().password("sesame").start();
    let replica = RedisServer::builder().password("sesame").replica_of(&master).start();
    [master, replica]
}

/// How many subscriptions and connections of stores a server has. Sentinels and replicas ask other things.
fn guests(server: &RedisServer) -> usize {
    let clients = server.command("CLIENT LIST");
    let own = ["cmd=hello", "cmd=evalsha", "cmd=script", "cmd=get", "cmd=set"];
    let calls = clients.lines().filter(|line| own.iter().any(|command| line.contains(command))).count();
    let subscriptions = server.command("PUBSUB NUMSUB ServerOn");
    calls + usize::from(!subscriptions.ends_with(":0\r\n"))
}

#[tokio::test]
async fn a_master_that_is_killed_is_replaced() {
    let log = Log::start();
    let [mut master, replica] = pair();
    let sentinels = Sentinels::watching(&master).start();
    sentinels.wait_until_ready(1);
    let store = store(&sentinels.url());
    until_it_works(&store).await;
    assert_eq!(log.count("WARN"), 0, "a start is no outage: {:#?}", log.lines());
    let mut mail = subscribe(&store).await;
    master.kill();
    let took = until_it_works(&store).await;
    println!("calls work {took:?} after the master was killed");
    // Three more than it takes to find the master gone: the sentinels vote, and on a busy machine they vote again.
    assert!(took < Duration::from_secs(1 + 3) + MARGIN, "{took:?}");
    until_heard(&mut mail, || drop(replica.command(ANNOUNCEMENT))).await;
    assert_eq!(log.count("the sentinels name another master"), 1, "{:#?}", log.lines());
    assert_eq!((log.count("is lost"), log.count("Redis is back")), (1, 1), "{:#?}", log.lines());
    assert_eq!(log.count("sesame"), 0, "a password is never logged");
}

#[tokio::test]
async fn a_master_that_is_replaced_while_it_lives_is_left_at_once() {
    let [master, replica] = pair();
    let mut sentinels = Sentinels::watching(&master).start();
    sentinels.wait_until_ready(1);
    let store = store(&sentinels.url());
    until_it_works(&store).await;
    let mut mail = subscribe(&store).await;
    assert_eq!(guests(&master), 2);
    assert_eq!(sentinels.sentinel(0).command("SENTINEL FAILOVER mymaster"), "+OK\r\n");
    eventually("the replica is the master", async || replica.command("ROLE").contains("master").then_some(())).await;
    let promoted = Instant::now();
    eventually("the old master is left", async || (guests(&master) == 0).then_some(())).await;
    println!("the old master was left {:?} after the other was promoted", promoted.elapsed());
    assert!(promoted.elapsed() < Duration::from_secs(2) + MARGIN, "{:?}", promoted.elapsed());
    until_it_works(&store).await;
    until_heard(&mut mail, || drop(replica.command(ANNOUNCEMENT))).await;
}

#[tokio::test]
async fn a_master_that_wakes_up_after_it_was_replaced_gets_no_writes() {
    let [master, replica] = pair();
    let sentinels = Sentinels::watching(&master).start();
    sentinels.wait_until_ready(1);
    let store = store(&sentinels.url());
    until_it_works(&store).await;
    master.pause();
    until_it_works(&store).await;
    let size = |server: &RedisServer| server.command("DBSIZE");
    let before = size(&replica);
    master.resume();
    // It takes itself for the master until the sentinels tell it otherwise, and its sockets are open.
    write(&store).await.unwrap();
    assert_ne!(size(&replica), before, "the write is where the master is");
    assert_eq!(guests(&master), 0);
}

#[tokio::test]
async fn a_replaced_master_that_still_takes_itself_for_one_is_left() {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let mut sentinels = Sentinels::watching(&old).count(1).start();
    let store = store(&sentinels.url());
    until_it_works(&store).await;
    let mut mail = subscribe(&store).await;
    // As after failovers that it missed: it answers, and says that it is a master.
    let sentinel = sentinels.sentinel(0);
    assert_eq!(sentinel.command("SENTINEL REMOVE mymaster"), "+OK\r\n");
    let port = new.address().port();
    assert_eq!(sentinel.command(&format!("SENTINEL MONITOR mymaster 127.0.0.1 {port} 1")), "+OK\r\n");
    let replaced = Instant::now();
    eventually("the old master is left", async || (guests(&old) == 0).then_some(())).await;
    assert!(replaced.elapsed() < Duration::from_secs(1) + MARGIN, "{:?}", replaced.elapsed());
    assert!(old.command("ROLE").contains("master"));
    until_it_works(&store).await;
    assert_ne!(new.command("DBSIZE"), ":0\r\n", "the write is where the master is");
    until_heard(&mut mail, || drop(new.command(ANNOUNCEMENT))).await;
}

#[tokio::test]
async fn a_sentinel_is_enough_to_be_asked() {
    let [master, _replica] = pair();
    let mut sentinels = Sentinels::watching(&master).count(2).password("open").start();
    sentinels.sentinel(0).kill();
    let store = store(&sentinels.url());
    until_it_works(&store).await;
    // With none left, the master that is known stays.
    sentinels.sentinel(1).kill();
    tokio::time::sleep(ms(1500)).await;
    write(&store).await.unwrap();
    sentinels.sentinel(1).restart();
    write(&store).await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_with_sentinels_is_told() {
    let master = RedisServer::start();
    let mut sentinels = Sentinels::watching(&master).count(1).password("open").start();
    let address = sentinels.sentinel(0).address();
    let url = |rest: &str| format!("redis+sentinel://{address}/{rest}");
    let why = until_refused(&store(&url("other?sentinel_password=open")), "know no master named `other`").await;
    assert!(!why.contains("open"), "{why}");
    until_refused(&store(&url("mymaster?sentinel_password=hidden")), "WRONGPASS").await;
    until_refused(&store(&url("mymaster")), "NOAUTH").await;
    let store = store(&url("mymaster?sentinel_password=open"));
    until_it_works(&store).await;
    sentinels.sentinel(0).kill();
    let late = crate::support::store(&url("mymaster?sentinel_password=open"));
    let why = until_refused(&late, "no sentinel can be asked where `mymaster` is").await;
    assert!(why.contains(&address.to_string()), "{why}");
    sentinels.sentinel(0).restart();
    let took = until_it_works(&late).await;
    assert!(took < ms(1000) + MARGIN, "{took:?}");
}

#[tokio::test]
async fn sentinels_and_their_master_can_speak_tls() {
    let certificates = Certificates::new();
    let master = RedisServer::builder().tls(&certificates, ClientCertificates::NotWanted).start();
    let sentinels = Sentinels::watching(&master).count(1).tls(&certificates).start();
    let options = RedisOptions::new(&sentinels.url()).unwrap().with_ca_file(certificates.ca_file()).unwrap();
    let store = RedisStore::connect(options).unwrap();
    until_it_works(&store).await;
    let mut mail = subscribe(&store).await;
    until_heard(&mut mail, || drop(master.command(ANNOUNCEMENT))).await;
}
