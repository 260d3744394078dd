//! A short run of the real thing: every kind of process is killed once, and Redis is.

use std::path::PathBuf;
use std::time::Duration;

use pintail_checker::acts::Halt;
use pintail_checker::cluster::Sizes;
use pintail_checker::plan::{Class, Plan};
use pintail_checker::report::Verdict;
use pintail_checker::run::{Settings, check};
use pintail_core::Kind;

/// How long failures may go on: the plan is over long before.
const AT_MOST: Duration = Duration::from_secs(120);

fn seed() -> u64 {
    std::env::var("PINTAIL_TEST_SEED").map_or_else(
        |_| rand::random_range(0..1_000_000),
        |text| text.parse().unwrap_or_else(|_| panic!("PINTAIL_TEST_SEED is a number")),
    )
}

#[test]
fn nothing_is_lost_when_each_kind_of_process_is_killed_once() {
    let seed = seed();
    println!("PINTAIL_TEST_SEED={seed}");
    let mut classes: Vec<Class> = Kind::ALL.map(Class::Kill).into();
    classes.push(Class::RedisKilled);
    let plan = Plan::one_of_each(seed, &classes);
    println!("{plan}");
    let logs = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("short-{}", std::process::id()));
    std::fs::create_dir_all(&logs).unwrap();
    let settings = Settings {
        program: env!("CARGO_BIN_EXE_pintail-checker").into(),
        logs: logs.clone(),
        sizes: Sizes { gateways: 2, lobbies: 1, servers: 2 },
        games: 4,
        players: 3,
        rate: 20,
        duration: AT_MOST,
        overlap: 1,
        plan,
    };
    let report = check(&settings, &Halt::default(), &|line| println!("{line}")).unwrap();
    println!("{report}");
    assert_eq!(report.done.len(), classes.len());
    assert_eq!(report.verdict(), Verdict::Kept, "PINTAIL_TEST_SEED={seed}, logs: {}", logs.display());
    std::fs::remove_dir_all(logs).unwrap();
}
