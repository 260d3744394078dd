//! What was measured, as tables.

use std::fmt;
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

use super::Size;
use super::ledger::Calls;
use super::story::{self, Story};

/// What a run has shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// What happened.
    pub story: Story,
    /// How many servers there were.
    pub size: Size,
    /// Where chance began.
    pub seed: u64,
    /// How long it took until the store had switched each of the dead off.
    pub found: Vec<Duration>,
    /// How long it took until a gateway held each of the dead for down, for each gateway.
    pub seen: Vec<Duration>,
    /// Servers that were switched off while they ran.
    pub wrong_verdicts: u64,
    /// How often a gateway suspected a server that ran.
    pub wrong_suspicions: u64,
    /// How often a gateway doubted itself because most servers looked dead.
    pub doubts: u64,
    /// How often one did because its own timers were late.
    pub stalls: u64,
    /// Games that were to be placed.
    pub asked: u64,
    /// Games that were placed.
    pub placed: u64,
    /// Games for which there was no server.
    pub refused: u64,
    /// Games that were placed on a server that was dead, before anybody knew.
    pub placed_on_dead: u64,
    /// The most games of a server that nothing happened to, less the fewest.
    pub spread: u32,
    /// Links that were open at the end.
    pub links: u64,
    /// The calls to the store since something happened.
    pub calls: Calls,
    /// How many events the simulation went through.
    pub events: u64,
    /// What deciding cost.
    pub cost: GatewayCost,
}

impl Figures {
    pub(super) fn new(story: Story, size: Size, seed: u64) -> Self {
        Self {
            story,
            size,
            seed,
            found: Vec::new(),
            seen: Vec::new(),
            wrong_verdicts: 0,
            wrong_suspicions: 0,
            doubts: 0,
            stalls: 0,
            asked: 0,
            placed: 0,
            refused: 0,
            placed_on_dead: 0,
            spread: 0,
            links: 0,
            calls: Calls::default(),
            events: 0,
            cost: GatewayCost::default(),
        }
    }

    /// The same without what depends on the machine: equal for two runs of one seed.
    #[must_use]
    pub fn without_cost(self) -> Self {
        Self { cost: GatewayCost::default(), ..self }
    }

    fn per_second(count: u64) -> f64 {
        count as f64 / (story::ENDS_AT - story::STRIKES_AT).as_secs_f64()
    }
}

/// The CPU time of one gateway's observer and directory, for each second of the cluster's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GatewayCost(pub Duration);

/// Measures the CPU time that gateways take to decide.
#[derive(Debug, Default)]
pub(super) struct Cost {
    used: Duration,
}

impl Cost {
    pub(super) fn start(&self) -> Duration {
        thread_cpu()
    }

    pub(super) fn observed(&mut self, started: Duration) {
        self.used += thread_cpu().saturating_sub(started);
    }

    pub(super) fn of(&self, time: Duration, gateways: usize) -> GatewayCost {
        GatewayCost(self.used.div_f64(time.as_secs_f64() * gateways as f64))
    }
}

fn thread_cpu() -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(tv_sec).unwrap_or(0), u32::try_from(tv_nsec).unwrap_or(0))
}

/// What a cluster asks of its store each second, one line a run.
pub struct CallsTable<'a>(pub &'a [Figures]);

impl fmt::Display for CallsTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "story               gateways   games    links  renewals/s  looks/s  scans/s  slots read/s  accusations  \
             absolutions   notices  decides"
        )?;
        for figures in self.0 {
            let Figures { story, size, links, calls, cost, .. } = figures;
            let rate = Figures::per_second;
            writeln!(
                f,
                "{story:<20}{:>8}{:>8}{links:>9}{:>12.0}{:>9.0}{:>9.1}{:>14.0}{:>13}{:>13}{:>10}{:>6.2} ms",
                size.gateways,
                size.games,
                rate(calls.renewals),
                rate(calls.looks),
                rate(calls.scans),
                rate(calls.slots_read),
                calls.accusations,
                calls.absolutions,
                calls.notices,
                cost.0.as_secs_f64() * 1e3,
            )?;
        }
        Ok(())
    }
}

/// What became of the servers and the games, one line a run.
pub struct FateTable<'a>(pub &'a [Figures]);

impl fmt::Display for FateTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "story               gateways   games  dead  found median / last   seen last  wrongly off  wrongly suspected  \
             doubts  placed  refused  on dead  spread"
        )?;
        for figures in self.0 {
            let Figures { story, size, found, seen, .. } = figures;
            writeln!(
                f,
                "{story:<20}{:>8}{:>8}{:>6}{:>14} / {:<8}{:>8}{:>13}{:>19}{:>8}{:>8}{:>9}{:>9}{:>8}",
                size.gateways,
                size.games,
                found.len(),
                Milliseconds(median(found)),
                Milliseconds(found.iter().max().copied()),
                Milliseconds(seen.iter().max().copied()),
                figures.wrong_verdicts,
                figures.wrong_suspicions,
                figures.doubts,
                figures.placed,
                figures.refused,
                figures.placed_on_dead,
                figures.spread,
            )?;
        }
        Ok(())
    }
}

fn median(times: &[Duration]) -> Option<Duration> {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

struct Milliseconds(Option<Duration>);

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(time) => f.pad(&format!("{} ms", time.as_millis())),
            None => f.pad("-"),
        }
    }
}
