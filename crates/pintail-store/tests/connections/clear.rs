//! A store removes what it keeps, and nothing of others.

use std::time::Duration;

use pintail_store::{RedisOptions, RedisStore, StoreError};
use pintail_testkit::RedisServer;
use redis::AsyncCommands;

#[tokio::test]
async fn a_store_removes_its_own_keys_alone() {
    let server = RedisServer::start();
    let store = |prefix: &str| {
        let mut options = RedisOptions::new(&server.url()).unwrap();
        (options.key_prefix, options.timeout) = (prefix.to_owned(), Duration::from_secs(20));
        RedisStore::connect(options).unwrap()
    };
    let mut peek = redis::Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    // More than one step has, a prefix that is a pattern, and one that it would match.
    for number in 0..2_500 {
        peek.set::<_, _, ()>(format!("be?*:{number}"), number).await.unwrap();
    }
    let others = ["beach:1", "be?", "x-be?*:1"];
    for key in others {
        peek.set::<_, _, ()>(key, 1).await.unwrap();
    }
    // Each store marks its data: that is one more.
    assert_eq!(store("be?*:").clear().await, Ok(2_501));
    let mut left: Vec<String> = peek.keys("*").await.unwrap();
    left.sort();
    assert_eq!(left, ["be?", "beach:1", "x-be?*:1"]);
    let refusal = store("").clear().await;
    assert!(matches!(refusal, Err(StoreError::Refused(_))), "{refusal:?}");
}
