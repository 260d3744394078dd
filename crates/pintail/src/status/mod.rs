//! `pintail status`: the servers of a cluster.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`report`] | what the registry says, for people and for programs |
//! | [`table`] | cells as lines, as wide as they are or as a screen |
//! | [`view`] | the picture on a screen |
//! | [`watch`] | looks again and again |

mod report;
mod table;
mod view;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use pintail_store::{Periods, RedisStore};

use crate::config::args::StatusArgs;
use crate::failure::Failure;
use crate::output::{print, warn};
use crate::serve::{patient_store, redis_store};
use crate::terminal::Paint;
use report::{Report, Shown};

/// How long Redis may take to answer at all.
const PATIENCE: Duration = Duration::from_secs(5);

/// Prints the servers, once or until a signal comes.
///
/// # Errors
/// If the store can't be read, and is not watched; or the output can't be written.
pub(crate) async fn run(args: &StatusArgs) -> Result<(), Failure> {
    let url = args.store.redis()?.to_string();
    let shown = if args.all { Shown::All } else { Shown::Current };
    if let Some(period) = args.watch {
        let form = if args.json { watch::Form::Json } else { watch::Form::Table };
        let store = Arc::new(redis_store(&args.store, Periods::default())?);
        return watch::run(store, url, shown, period.0, form).await;
    }
    let report = read(&patient_store(&args.store)?, shown).await.map_err(|problem| unreachable(&url, &problem))?;
    if args.json {
        print(serde_json::to_string_pretty(&report).expect("a report has string keys"))?;
    } else {
        let paint = Paint::of(&std::io::stdout());
        view::table(&report, shown, None).iter().try_for_each(|line| print(line.painted(paint)))?;
        warn_of_all(&report);
    }
    Ok(())
}

/// Reads the registry, and says in words why not.
async fn read(store: &RedisStore, shown: Shown) -> Result<Report, String> {
    match tokio::time::timeout(PATIENCE, Report::read(store, shown)).await {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

/// What ends a command that needs the registry.
pub(crate) fn unreachable(url: &str, problem: &str) -> Failure {
    Failure::new(format!("can't read the registry in Redis at {url} ({problem}): check --redis, and that it runs"))
}

/// Says what is not as it should be.
fn warn_of_all(report: &Report) {
    report.broken().iter().for_each(|entry| warn(format_args!("warning: {}: {}", entry.slot, entry.problem)));
    report.hazards().iter().for_each(|hazard| warn(format_args!("DANGER: {}", hazard.advice)));
}
