//! The course of a load: its phases, one after the other, and a sample each second.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::alarm::Alarms;
use super::beat::beat;
use super::crew::Crew;
use super::recorder::{Recorder, Second};
use super::stage::{Stage, WIND_DOWN_MAX};
use super::{DriveError, Order, Phase};
use crate::attendance::NEVER_READY;
use crate::meter::Meter;
use crate::report::{ProcessSample, ProcessUse, Run, Sample};

/// How often the number of players is brought to what it should be.
const ADJUST_PERIOD: Duration = Duration::from_millis(20);

/// How often it is seen how it goes.
const SECOND: Duration = Duration::from_secs(1);

/// How long setting up may go on without a single player. Longer than a connection takes to be given up.
const NOBODY_MAX: Duration = Duration::from_secs(12);

/// How long setting up may make no progress. Then the load goes on with the players that there are.
const SET_UP_STALL_MAX: Duration = Duration::from_secs(30);

/// The same when the load was stopped, and someone waits.
const WIND_DOWN_STOPPED_MAX: Duration = Duration::from_millis(500);

/// The rest of a second that is too short for a sample of its own.
const SAMPLE_MIN: Duration = Duration::from_millis(20);

/// A load under way.
pub(super) struct Course<'a> {
    order: &'a Order,
    meter: &'a mut dyn Meter,
    watch: &'a mut dyn FnMut(Phase, &Sample),
    stop: &'a CancellationToken,
    stage: Rc<Stage>,
    crew: Crew<'a>,
    /// What the load does for itself: it rings the alarms, and beats.
    chores: JoinSet<()>,
    series: Vec<Sample>,
}

/// How a phase ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Done,
    Stopped,
}

impl<'a> Course<'a> {
    /// Everything in its place, and nobody there yet.
    pub(super) fn new(
        order: &'a Order,
        meter: &'a mut dyn Meter,
        watch: &'a mut dyn FnMut(Phase, &Sample),
        stop: &'a CancellationToken,
    ) -> Result<Self, DriveError> {
        let alarms = Alarms::new()?;
        let recorder = Recorder::new(order.scenario.primary());
        let stage = Stage::new(order.gateways.clone(), order.seed, alarms.clone(), recorder);
        let crew = Crew::new(order, &stage);
        let mut chores = JoinSet::new();
        chores.spawn_local(beat(stage.clone()));
        chores.spawn_local(async move {
            alarms.run().await.expect("a timer of our own can be waited for");
        });
        Ok(Self { order, meter, watch, stop, stage, crew, chores, series: Vec::new() })
    }

    pub(super) async fn run(mut self) -> Result<Run, DriveError> {
        let mut ended = self.set_up().await;
        if self.stage.came() == 0 && ended == Ended::Done && self.crew.wanted(Phase::SetUp, Duration::ZERO) > 0 {
            let because = self.stage.recorder.borrow().worst_error().unwrap_or("it takes too long").to_owned();
            self.crew.disband().await;
            self.chores.shutdown().await;
            return Err(DriveError::NobodyPlays(because));
        }
        self.stage.enter(Phase::WarmUp);
        if ended == Ended::Done {
            let warm_up = self.order.warm_up;
            ended = self.during(self.stop, |_, elapsed| elapsed >= warm_up).await;
        }
        Ok(self.measure(ended).await)
    }

    /// Has the first players come. If they don't, it goes on with those that did.
    async fn set_up(&mut self) -> Ended {
        let wanted = self.crew.wanted(Phase::SetUp, Duration::ZERO);
        let (mut most, mut since) = (0, Instant::now());
        let ended = self
            .during(self.stop, |stage, _| {
                if stage.came() > most {
                    (most, since) = (stage.came(), Instant::now());
                }
                let patience = if most == 0 { NOBODY_MAX } else { SET_UP_STALL_MAX };
                most >= wanted || since.elapsed() >= patience
            })
            .await;
        if ended == Ended::Done && most < wanted && most > 0 {
            self.stage.recorder.borrow_mut().errors(NEVER_READY, wanted - most);
        }
        ended
    }

    /// Measures, if nobody stopped it before, and sends everybody home.
    async fn measure(mut self, ended: Ended) -> Run {
        // What is sampled before the window's end is what the window's players did in it.
        let begin = Instant::now();
        self.meter.begin();
        self.stage.recorder.borrow_mut().second();
        self.stage.recorder.borrow_mut().open(begin);
        self.stage.forget_most();
        let mut ended = ended;
        if ended == Ended::Done {
            self.stage.enter(Phase::Measure);
            let measure = self.order.measure;
            ended = self.during(self.stop, |_, elapsed| elapsed >= measure).await;
        }
        let end = Instant::now();
        let (servers, generator) = self.meter.end();
        let players = self.stage.came_max();
        self.stage.recorder.borrow_mut().close(end);
        self.stage.end_at(end);
        let patience = if ended == Ended::Done { WIND_DOWN_MAX } else { WIND_DOWN_STOPPED_MAX };
        let is_done = |stage: &Stage, elapsed| elapsed >= patience || stage.recorder.borrow().outstanding() == 0;
        self.during(&CancellationToken::new(), is_done).await;
        self.finish(players, end - begin, servers, generator).await
    }

    async fn finish(mut self, players: u64, window: Duration, servers: Vec<ProcessUse>, generator: ProcessUse) -> Run {
        let primary = self.order.scenario.primary();
        let recorder = std::mem::replace(&mut *self.stage.recorder.borrow_mut(), Recorder::new(primary));
        let recording = recorder.finish(Instant::now());
        self.crew.disband().await;
        self.chores.shutdown().await;
        Run {
            players,
            seconds: window.as_secs_f64(),
            primary: primary.to_owned(),
            measures: recording.measures,
            counts: recording.counts,
            errors: recording.errors,
            series: self.series,
            servers,
            generator,
            sent_late: recording.sent_late,
        }
    }

    /// Goes through the stage's phase until it is done, or stopped.
    async fn during(&mut self, stop: &CancellationToken, mut is_done: impl FnMut(&Stage, Duration) -> bool) -> Ended {
        let phase = self.stage.phase();
        let begun = Instant::now();
        let mut sampled = begun;
        loop {
            if phase != Phase::WindDown {
                self.crew.adjust(phase, begun);
            }
            self.crew.join_those_who_left();
            let now = Instant::now();
            let is_over = match (is_done(&self.stage, now - begun), stop.is_cancelled()) {
                (true, _) => Some(Ended::Done),
                (false, true) => Some(Ended::Stopped),
                (false, false) => None,
            };
            if now - sampled >= SECOND {
                self.sample(phase, now - begun);
                // A late sample does not put the others off.
                sampled += SECOND;
            } else if is_over.is_some() {
                self.sample_rest(phase, now - begun, now - sampled);
            }
            if let Some(ended) = is_over {
                return ended;
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = tokio::time::sleep(ADJUST_PERIOD) => {}
            }
        }
    }

    /// What is left of a phase after its last whole second.
    fn sample_rest(&mut self, phase: Phase, elapsed: Duration, rest: Duration) {
        match self.series.last_mut() {
            // Too short to say anything by itself.
            Some(last) if rest < SAMPLE_MIN && phase == Phase::Measure => {
                let tally = self.stage.recorder.borrow_mut().second().tally;
                last.sent += tally.sent;
                last.received += tally.received;
                last.errors += tally.errors;
                last.at = elapsed.as_secs_f64();
            }
            _ => self.sample(phase, elapsed),
        }
    }

    fn sample(&mut self, phase: Phase, elapsed: Duration) {
        let Second { tally, latency } = self.stage.recorder.borrow_mut().second();
        let idle = || (Vec::new(), ProcessSample { cpu: 0.0, memory: 0 });
        let (servers, generator) = if phase == Phase::Measure { self.meter.sample() } else { idle() };
        let sample = Sample {
            at: elapsed.as_secs_f64(),
            players: self.stage.present(),
            sent: tally.sent,
            received: tally.received,
            errors: tally.errors,
            p50: latency.map(|latency| latency.p50),
            p99: latency.map(|latency| latency.p99),
            max: latency.map(|latency| latency.max),
            servers,
            generator,
        };
        (self.watch)(phase, &sample);
        if phase == Phase::Measure {
            self.series.push(sample);
        }
    }
}
