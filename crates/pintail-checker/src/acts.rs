//! Does to a cluster what the plan says.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pintail_core::Kind;
use pintail_testkit::{Direction, Fault, FaultProxy};

use crate::cluster::{Cluster, Node, Place};
use crate::plan::{Act, Disturbance, Pick, Planned, Way};

/// How late bytes arrive each way on a connection that is delayed.
const DELAY: Duration = Duration::from_millis(150);

/// How long a server that was told to stop may take: its drain, and some.
const STOPPED_WITHIN: Duration = Duration::from_secs(40);

/// How often whoever waits looks.
const POLL: Duration = Duration::from_millis(10);

/// Whether the run is to end before its time.
#[derive(Debug, Default)]
pub struct Halt(AtomicBool);

impl Halt {
    /// The run is to end.
    pub fn call(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the run is to end.
    #[must_use]
    pub fn is_called(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Waits so long, or until the run is to end.
    pub fn sleep(&self, duration: Duration) {
        self.wait(duration, || false);
    }

    /// Waits until something is so, or so long, or until the run is to end. Returns whether it is so.
    pub fn wait(&self, at_most: Duration, mut is_so: impl FnMut() -> bool) -> bool {
        let deadline = Instant::now() + at_most;
        loop {
            if is_so() {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.is_called() {
                return false;
            }
            std::thread::sleep(left.min(POLL));
        }
    }
}

/// Does it, from its beginning to the moment at which everything is healed. Returns what processes did wrong.
#[must_use]
pub fn perform(cluster: &Cluster, planned: Planned, halt: &Halt) -> Vec<String> {
    let pick = planned.pick;
    match planned.act {
        Act::Kill { kind, down } => with(cluster, kind, pick, |node| {
            let place = node.kill();
            // Nobody listens at the address of a process that is gone.
            place.way_in.set(Fault::Cut);
            halt.sleep(down);
            place.way_in.set(Fault::Pass);
            cluster.launch(place)
        }),
        Act::Pause { kind, lasts } => with(cluster, kind, pick, |node| {
            node.program.signal("STOP");
            halt.sleep(lasts);
            node.program.signal("CONT");
            node
        }),
        Act::Cut { kind, way, how, lasts } => with(cluster, kind, pick, |node| {
            disturb(way_of(&node.place, way), how, || halt.sleep(lasts));
            node
        }),
        Act::KillRedis { down } => {
            cluster.redis().kill();
            halt.sleep(down);
            cluster.redis().restart();
        }
        Act::PauseRedis { lasts } => {
            cluster.redis().pause();
            halt.sleep(lasts);
            cluster.redis().resume();
        }
        Act::SlowRedis { delay, lasts } => {
            let half = delay / 2;
            for node in cluster.nodes().iter() {
                node.place.way_to_store.set(Fault::Delay { to_target: half, to_client: half });
            }
            halt.sleep(lasts);
            cluster.nodes().iter().for_each(|node| node.place.way_to_store.set(Fault::Pass));
        }
        Act::Drain { kind } => return replace(cluster, kind, pick).into_iter().collect(),
        Act::RollingRestart => return replace_all(cluster, halt),
    }
    Vec::new()
}

/// Takes a server, unless others have all of them, and gives back what becomes of it.
fn with(cluster: &Cluster, kind: Kind, pick: Pick, act: impl FnOnce(Node) -> Node) {
    if let Some(node) = cluster.take(kind, pick) {
        cluster.put(act(node));
    }
}

fn way_of(place: &Place, way: Way) -> &FaultProxy {
    match way {
        Way::In => &place.way_in,
        Way::Store => &place.way_to_store,
    }
}

fn disturb(proxy: &FaultProxy, how: Disturbance, wait: impl FnOnce()) {
    let fault = match how {
        Disturbance::Reset => return proxy.reset_connections(),
        Disturbance::Refuse => Fault::Cut,
        Disturbance::Freeze => Fault::Freeze,
        Disturbance::Swallow => Fault::SwallowAll,
        Disturbance::HalfSwallow => Fault::Swallow(Direction::ToTarget),
        Disturbance::Delay => Fault::Delay { to_target: DELAY, to_client: DELAY },
    };
    proxy.set(fault);
    wait();
    proxy.set(Fault::Pass);
    if matches!(how, Disturbance::Swallow | Disturbance::HalfSwallow) {
        // TCP never goes on with a hole in it.
        proxy.reset_connections();
    }
}

/// Starts a server, then stops another of its kind in good order.
fn replace(cluster: &Cluster, kind: Kind, pick: Pick) -> Option<String> {
    let mut older = cluster.take(kind, pick)?;
    let Some(place) = cluster.place(kind) else {
        cluster.put(older);
        return None;
    };
    cluster.put(cluster.launch(place));
    older.program.signal("TERM");
    let problem = stopped(&mut older);
    cluster.leave(older.kill());
    problem
}

/// Waits for the end of a server that was told to stop. Returns what it did wrong.
fn stopped(node: &mut Node) -> Option<String> {
    let deadline = Instant::now() + STOPPED_WITHIN;
    loop {
        match node.program.ended() {
            Some(status) if status.success() => return None,
            Some(status) => return Some(format!("{} was told to stop, and ended with {status}", node.place.name())),
            None if Instant::now() > deadline => {
                let seconds = STOPPED_WITHIN.as_secs();
                return Some(format!("{} was told to stop, and has not ended after {seconds} s", node.place.name()));
            }
            None => std::thread::sleep(POLL),
        }
    }
}

fn replace_all(cluster: &Cluster, halt: &Halt) -> Vec<String> {
    let mut problems = Vec::new();
    for kind in [Kind::Game, Kind::Lobby, Kind::Gateway] {
        for name in of_kind(cluster, kind) {
            let index = of_kind(cluster, kind).iter().position(|other| *other == name);
            if let Some(index) = index.filter(|_| !halt.is_called()) {
                problems.extend(replace(cluster, kind, Pick::Number(index)));
            }
        }
    }
    problems
}

fn of_kind(cluster: &Cluster, kind: Kind) -> Vec<String> {
    let nodes = cluster.nodes();
    let of_kind = nodes.iter().filter(|node| node.place.kind() == kind);
    of_kind.map(|node| node.place.name().to_owned()).collect()
}
