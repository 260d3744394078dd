//! The load's own beat: how late the load is with what is due, in scenarios as well that wait for answers alone.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::stage::Stage;

/// How often it beats: so often that a percentile says something after a few seconds, and so seldom that it costs nothing.
const PERIOD: Duration = Duration::from_millis(10);

/// Beats for as long as it is polled, and tells the recorder how late each beat was. A beat that was missed counts as late as
/// it is made up for.
pub(super) async fn beat(stage: Rc<Stage>) {
    let alarm = stage.alarms.alarm();
    let mut due = Instant::now() + PERIOD;
    loop {
        alarm.set(due);
        alarm.rung().await;
        let now = Instant::now();
        while due <= now {
            stage.recorder.borrow_mut().acts(due, now);
            due += PERIOD;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::LocalSet;
    use tokio::time::timeout;

    use super::*;
    use crate::drive::alarm::Alarms;
    use crate::drive::recorder::Recorder;

    #[tokio::test]
    async fn a_load_that_was_busy_with_something_else_knows_how_late_it_was() {
        let alarms = Alarms::new().unwrap();
        let stage = Stage::new(Vec::new(), 7, alarms.clone(), Recorder::new("x"));
        stage.recorder.borrow_mut().open(Instant::now());
        let local = LocalSet::new();
        local.spawn_local(async move { alarms.run().await });
        local.spawn_local(beat(stage.clone()));
        let busy = PERIOD * 20;
        let lates = local.run_until(async {
            tokio::time::sleep(PERIOD * 3).await;
            std::thread::sleep(busy);
            loop {
                tokio::time::sleep(PERIOD).await;
                let late = stage.recorder.borrow().late();
                if late.as_ref().is_some_and(|late| late.count >= 20) {
                    return late.unwrap();
                }
            }
        });
        let late = timeout(Duration::from_secs(20), lates).await.unwrap();
        assert!(late.max >= 180_000, "the first beat that was missed is made up at the end: {late:?}");
    }
}
