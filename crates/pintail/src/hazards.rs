//! Tells the operator what is dangerous about the store's setup, each thing once for as long as it is so.

use std::time::Duration;

use pintail_store::{Hazard, Upkeep};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

/// How often a store that was looked at is looked at again. It is also done when the store may be another.
const LOOK_PERIOD: Duration = Duration::from_secs(60);

/// How often a store that can't be reached is tried.
const RETRY_PERIOD: Duration = Duration::from_secs(1);

/// Logs each hazard when it is seen first, and when it is over. Never returns.
pub(crate) async fn tell(store: &(impl Upkeep + ?Sized)) {
    let mut lineage = store.lineage();
    let mut known = Vec::new();
    loop {
        lineage.mark_unchanged();
        let Ok(now) = store.hazards().await else {
            sleep(RETRY_PERIOD).await;
            continue;
        };
        let news = news(&known, &now);
        news.begun.iter().for_each(|hazard| warn!(hazard = hazard.name(), "DANGER: {hazard}"));
        news.over.iter().for_each(|hazard| info!(hazard = hazard.name(), "this danger is over"));
        known = now;
        // A store that is dropped has no lineage any more; then nobody waits for this either.
        if matches!(timeout(LOOK_PERIOD, lineage.changed()).await, Ok(Err(_))) {
            sleep(LOOK_PERIOD).await;
        }
    }
}

/// What has changed between two looks.
#[derive(Debug, PartialEq, Eq)]
struct News {
    begun: Vec<Hazard>,
    over: Vec<Hazard>,
}

fn news(before: &[Hazard], now: &[Hazard]) -> News {
    let only = |these: &[Hazard], those: &[Hazard]| these.iter().filter(|one| !those.contains(one)).copied().collect();
    // One that has other figures is told anew, and is not over.
    let names: Vec<_> = now.iter().map(|hazard| hazard.name()).collect();
    let mut over: Vec<Hazard> = only(before, now);
    over.retain(|hazard| !names.contains(&hazard.name()));
    News { begun: only(now, before), over }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_told_once() {
        let too_few = |connected| Hazard::TooFewReplicas { waits_for: 2, connected };
        let cases = [
            (vec![], vec![], vec![], vec![]),
            (vec![], vec![Hazard::Evicts], vec![Hazard::Evicts], vec![]),
            (vec![Hazard::Evicts], vec![Hazard::Evicts], vec![], vec![]),
            (vec![Hazard::Evicts, too_few(1)], vec![too_few(1)], vec![], vec![Hazard::Evicts]),
            (vec![too_few(1)], vec![too_few(0)], vec![too_few(0)], vec![]),
        ];
        for (before, now, begun, over) in cases {
            assert_eq!(news(&before, &now), News { begun, over }, "{before:?} {now:?}");
        }
    }
}
