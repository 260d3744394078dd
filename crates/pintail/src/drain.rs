//! `pintail drain`: asks a server to finish what it has and stop, and waits until it has left.

use std::time::Duration;

use pintail_core::{Incarnation, Kind, Slot, Status};
use pintail_store::{DrainRequest, RedisStore, Registry, ScanEntry, ServerRecord};
use tokio::time::{Instant, sleep};

use crate::config::args::DrainArgs;
use crate::config::period::Period;
use crate::failure::Failure;
use crate::output::{printable, say, warn};
use crate::serve::patient_store;
use crate::signals::Signals;
use crate::status::unreachable;
use crate::terminal::{LiveLine, can_draw};

/// How often the registry is asked whether the server has left.
const POLL: Duration = Duration::from_millis(250);

/// How often progress is told at most, where it is not drawn in place.
const TOLD_MIN: Duration = Duration::from_secs(1);

/// How often it is told at least, so that a log shows that someone waits.
const TOLD_MAX: Duration = Duration::from_secs(10);

/// The most slots that are listed for whoever named one that is not there.
const LISTED_MAX: usize = 20;

/// The exit codes that `--help` lists.
mod code {
    pub(super) const NO_SERVER: u8 = 3;
    pub(super) const FOREIGN: u8 = 4;
    pub(super) const NOT_YET: u8 = 5;
}

/// Asks a server to drain and waits until it has left.
///
/// # Errors
/// If there is none to ask, Redis can't be reached, or it has not left in time.
pub(crate) async fn run(args: &DrainArgs) -> Result<(), Failure> {
    let store = patient_store(&args.store)?;
    let url = args.store.redis()?.to_string();
    let slot = args.slot;
    let asked = store.ask_to_drain(slot).await.map_err(|error| unreachable(&url, &error.to_string()))?;
    let incarnation = match asked {
        DrainRequest::Asked(incarnation) => incarnation,
        DrainRequest::Unused => return Err(no_server(slot, &live_slots(&store).await)),
        DrainRequest::Foreign => {
            let sentence = format!("{slot} is a foreign server, which can't be asked: stop it by its own means");
            return Err(Failure::with_code(code::FOREIGN, sentence));
        }
    };
    if args.no_wait {
        say(format_args!("{slot} was asked to drain"));
        return Ok(());
    }
    let mut signals = Signals::listen()?;
    tokio::select! {
        left = until_it_has_left(&store, Subject { slot, incarnation }, args.timeout, &url) => left,
        told = signals.next() => {
            let sentence = format!("no longer waiting: {slot} goes on draining by itself");
            Err(Failure::with_code(told.exit_code(), sentence))
        }
    }
}

/// Every slot whose server is there; none if nobody knows.
async fn live_slots(store: &RedisStore) -> Vec<Slot> {
    let mut slots = Vec::new();
    for kind in Kind::ALL {
        let entries = store.scan(kind).await.unwrap_or_default();
        slots.extend(entries.into_iter().flatten().filter(ServerRecord::is_live).map(|record| record.slot));
    }
    slots
}

fn no_server(slot: Slot, live: &[Slot]) -> Failure {
    let mut names: Vec<_> = live.iter().take(LISTED_MAX).map(ToString::to_string).collect();
    if live.len() > LISTED_MAX {
        names.push(format!("{} more, which `pintail status` shows", live.len() - LISTED_MAX));
    }
    let there =
        if names.is_empty() { "nor in any other".to_owned() } else { format!("there are: {}", names.join(", ")) };
    Failure::with_code(code::NO_SERVER, format!("there is no server in {slot}; {there}"))
}

/// The server that is waited for.
#[derive(Debug, Clone, Copy)]
struct Subject {
    slot: Slot,
    incarnation: Incarnation,
}

/// What the registry says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// It has not said yet that it drains.
    Asked(String),
    /// It drains.
    Draining(String),
    /// It has left, or a newer server has its slot.
    Left,
    /// It was gone before it had left.
    Died(String),
    /// The registry can't be read.
    Unknown(String),
}

impl Stage {
    fn of(subject: Subject, entries: &[ScanEntry]) -> Self {
        let broken = entries.iter().filter_map(|entry| entry.as_ref().err());
        if let Some(broken) = broken.into_iter().find(|broken| broken.slot == subject.slot) {
            return Self::Unknown(broken.to_string());
        }
        let record = entries.iter().flatten().find(|record| record.slot == subject.slot);
        let Some(record) = record.filter(|record| record.incarnation == Some(subject.incarnation)) else {
            return Self::Left;
        };
        match record.status {
            _ if !record.is_live() => Self::Died(printable(&record.cause)),
            Status::Unused => Self::Draining(what_is_left(record)),
            Status::Smooth | Status::Congested => Self::Asked(what_is_left(record)),
        }
    }

    /// What is told while it is waited for.
    fn progress(&self, slot: Slot) -> String {
        match self {
            Self::Asked(left) => format!("{slot} was asked to drain: {left}"),
            Self::Draining(left) => format!("{slot} is draining: {left}"),
            Self::Unknown(problem) => format!("{slot} was asked to drain; nobody knows how far it is ({problem})"),
            Self::Left | Self::Died(_) => format!("{slot} has left"),
        }
    }
}

/// What a server still has.
fn what_is_left(record: &ServerRecord) -> String {
    let count = |count: u32, thing: &str| format!("{count} {thing}{}", if count == 1 { "" } else { "s" });
    let (games, players) = (count(record.games, "game"), count(record.players, "player"));
    match record.slot.kind {
        Kind::Game => format!("{games}, {players} left"),
        Kind::Gateway => format!("{players} left"),
        Kind::Lobby => "some requests left at most".to_owned(),
    }
}

async fn until_it_has_left(store: &RedisStore, subject: Subject, timeout: Period, url: &str) -> Result<(), Failure> {
    let started = Instant::now();
    let mut teller = Teller::new(started);
    loop {
        let stage = match store.scan(subject.slot.kind).await {
            Ok(entries) => Stage::of(subject, &entries),
            Err(error) => Stage::Unknown(error.to_string()),
        };
        let waited = started.elapsed();
        if let Some(ended) = outcome(&stage, subject.slot, waited, timeout, url) {
            drop(teller);
            return ended.map(say);
        }
        teller.tell(&stage.progress(subject.slot), Instant::now());
        sleep(POLL.min(timeout.0.saturating_sub(waited))).await;
    }
}

/// How waiting ends; `None` if it goes on.
fn outcome(stage: &Stage, slot: Slot, waited: Duration, timeout: Period, url: &str) -> Option<Result<String, Failure>> {
    let seconds = waited.as_secs_f32();
    match stage {
        Stage::Left => Some(Ok(format!("{slot} has left after {seconds:.1} s"))),
        Stage::Died(cause) if cause.is_empty() => Some(Ok(format!("{slot} is gone: it died while it drained"))),
        Stage::Died(cause) => Some(Ok(format!("{slot} is gone: it died while it drained ({cause})"))),
        _ if waited < timeout.0 => None,
        Stage::Unknown(problem) => Some(Err(Failure::new(format!(
            "{slot} was asked to drain, but whether it has left can't be read in Redis at {url} ({problem})"
        )))),
        Stage::Asked(left) | Stage::Draining(left) => {
            let sentence = format!(
                "{slot} has not left within {timeout} ({left}): it goes on draining by itself, and `pintail status` \
                 shows it; --timeout waits longer"
            );
            Some(Err(Failure::with_code(code::NOT_YET, sentence)))
        }
    }
}

/// Tells the progress: in one line that is drawn again and again, or in a few lines.
struct Teller {
    live: Option<LiveLine>,
    started: Instant,
    told: Option<(String, Instant)>,
}

impl Teller {
    fn new(started: Instant) -> Self {
        Self { live: can_draw(&std::io::stderr()).then(|| LiveLine), started, told: None }
    }

    fn tell(&mut self, progress: &str, now: Instant) {
        let seconds = (now - self.started).as_secs();
        if let Some(live) = &self.live {
            live.show(&format!("{progress}, {seconds} s"));
        } else if self.is_due(progress, now) {
            warn(format_args!("{progress}, {seconds} s"));
            self.told = Some((progress.to_owned(), now));
        }
    }

    fn is_due(&self, progress: &str, now: Instant) -> bool {
        self.told.as_ref().is_none_or(|(told, at)| {
            let since = now - *at;
            since >= TOLD_MAX || (told != progress && since >= TOLD_MIN)
        })
    }
}

#[cfg(test)]
mod tests {
    use pintail_core::Endpoint;
    use pintail_store::BrokenEntry;

    use super::*;

    const SLOT: Slot = Slot::new(Kind::Game, 0);
    const SUBJECT: Subject = Subject { slot: SLOT, incarnation: Incarnation(7) };
    const MINUTE: Period = Period(Duration::from_secs(60));

    fn record(status: Status) -> ServerRecord {
        ServerRecord {
            slot: SLOT,
            endpoint: Endpoint::new([127, 0, 0, 1].into(), 5557),
            status,
            cause: String::new(),
            accusers: Vec::new(),
            falls: 0,
            probation_ms: 0,
            drain: true,
            unused_ms: None,
            games: 1,
            players: 37,
            capacity: 100,
            incarnation: Some(Incarnation(7)),
            lease: true,
            game_types: Vec::new(),
            version: String::new(),
            age_ms: 1,
            admin_port: None,
            http_port: None,
        }
    }

    #[test]
    fn an_entry_that_can_not_be_read_is_no_server_that_has_left() {
        let broken = BrokenEntry { slot: SLOT, problem: "its status is 9".to_owned() };
        assert!(
            matches!(Stage::of(SUBJECT, &[Err(broken)]), Stage::Unknown(problem) if problem.contains("status is 9"))
        );
        assert_eq!(Stage::of(SUBJECT, &[]), Stage::Left);
    }

    fn stage(record: ServerRecord) -> Stage {
        Stage::of(SUBJECT, &[Ok(record)])
    }

    #[test]
    fn the_registry_says_how_far_it_is() {
        let left = || "1 game, 37 players left".to_owned();
        let newer = ServerRecord { incarnation: Some(Incarnation(8)), ..record(Status::Smooth) };
        let off = ServerRecord { incarnation: None, lease: false, unused_ms: Some(3), ..record(Status::Unused) };
        let cause = "refuses connections".to_owned();
        let dead = ServerRecord { lease: false, unused_ms: Some(3), cause: cause.clone(), ..record(Status::Unused) };
        for (record, expected) in [
            (record(Status::Smooth), Stage::Asked(left())),
            (record(Status::Congested), Stage::Asked(left())),
            (record(Status::Unused), Stage::Draining(left())),
            (off, Stage::Left),
            (newer, Stage::Left),
            (dead, Stage::Died(cause)),
        ] {
            assert_eq!(stage(record.clone()), expected, "{record:?}");
        }
        assert_eq!(Stage::of(SUBJECT, &[]), Stage::Left);
    }

    #[test]
    fn progress_is_one_line() {
        let progress = |stage: &Stage| stage.progress(SLOT);
        assert_eq!(progress(&stage(record(Status::Unused))), "Server:Game:0 is draining: 1 game, 37 players left");
        assert!(progress(&stage(record(Status::Smooth))).starts_with("Server:Game:0 was asked to drain: 1 game"));
        assert!(progress(&Stage::Unknown("no answer".to_owned())).ends_with("(no answer)"));
        let gateway = ServerRecord { slot: Slot::new(Kind::Gateway, 1), ..record(Status::Unused) };
        assert_eq!(what_is_left(&gateway), "37 players left");
    }

    #[test]
    fn waiting_ends_with_the_server_or_with_the_timeout() {
        let outcome = |stage: Stage, seconds| outcome(&stage, SLOT, Duration::from_secs(seconds), MINUTE, "redis://r");
        let code = |ended: Option<Result<String, Failure>>| match ended {
            Some(Err(Failure::Failed { code, sentence })) => (code, sentence),
            other => panic!("{other:?}"),
        };
        let draining = || stage(record(Status::Unused));
        assert!(outcome(draining(), 59).is_none());
        let (late, sentence) = code(outcome(draining(), 60));
        assert_eq!(late, code::NOT_YET);
        assert!(sentence.contains("within 1m (1 game, 37 players left)"), "{sentence}");
        assert!(outcome(Stage::Unknown("no answer".to_owned()), 59).is_none());
        let (unknown, sentence) = code(outcome(Stage::Unknown("no answer".to_owned()), 60));
        assert_eq!(unknown, 1);
        assert!(sentence.contains("redis://r (no answer)"), "{sentence}");
        assert_eq!(outcome(Stage::Left, 4).unwrap().unwrap(), "Server:Game:0 has left after 4.0 s");
        let died = outcome(Stage::Died("refuses connections".to_owned()), 61).unwrap().unwrap();
        assert!(died.ends_with("it died while it drained (refuses connections)"), "{died}");
    }

    #[test]
    fn whoever_names_a_slot_without_server_is_told_those_with_one() {
        let sentence = |live: &[Slot]| no_server(SLOT, live).to_string();
        assert_eq!(sentence(&[]), "there is no server in Server:Game:0; nor in any other");
        let others = [Slot::new(Kind::Gateway, 0), Slot::new(Kind::Game, 1)];
        assert!(sentence(&others).ends_with("there are: Server:Gateway:0, Server:Game:1"));
        let many: Vec<_> = (1..30).map(|index| Slot::new(Kind::Game, index)).collect();
        assert!(sentence(&many).ends_with("Server:Game:20, 9 more, which `pintail status` shows"));
    }

    #[tokio::test]
    async fn progress_is_told_when_it_changes_and_now_and_then() {
        let start = Instant::now();
        let mut teller = Teller { live: None, started: start, told: None };
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        assert!(teller.is_due("a", at(0)));
        teller.tell("a", at(0));
        assert!(!teller.is_due("b", at(999)) && teller.is_due("b", at(1_000)));
        assert!(!teller.is_due("a", at(9_999)) && teller.is_due("a", at(10_000)));
    }
}
