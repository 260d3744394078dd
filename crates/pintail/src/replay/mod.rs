//! Games played again, step by step: for the tests of a game's author here, and on the command line as `pintail replay`.
//!
//! See [`Replay`] and [`Recording`], and `pintail_game::replay` for how to keep a game that failed as a test.

// | module | what it does |
// | --- | --- |
// | `source` | where the game comes from: the store, or a file |
// | `failed` | the games that failed |
// | `lines`, `objects` | the steps for people, and for programs |
mod failed;
mod lines;
mod objects;
mod source;

use pintail_core::Step;
use pintail_game::GameTypes;
pub use pintail_game::replay::{
    BadRecording, End, Event, Message, Readable, Recipients, Recording, Replay, ReplayError, ReplayedStep, Start,
    Upcoming, Urgency,
};
use serde_json::Value;

use crate::config::args::ReplayArgs;
use crate::failure::Failure;
use crate::output::print;

/// Lists the games that failed, writes one to a file, or plays it again.
///
/// # Errors
/// If the game can't be had or read, or panicked again; or there is no step as asked for; or the output can't be written.
pub(crate) async fn run(args: &ReplayArgs, types: &GameTypes) -> Result<(), Failure> {
    let Some(recording) = source::recording(args).await? else {
        return failed::list(args).await;
    };
    match &args.export {
        Some(path) => {
            source::write(path, &recording)?;
            print(format_args!("written: play it with `pintail replay --file {}`", path.display()))
        }
        None => play(&recording, args, types),
    }
}

/// How steps are shown.
trait View {
    /// The game, before its first step.
    fn opening(&self, recording: &Recording, replay: &Replay<'_>) -> Vec<String>;

    /// What a step consumes. Shown before it is taken, for it may never come back.
    fn before(&self, step: &Upcoming) -> Vec<String>;

    /// What came of it, with the game's value afterwards if that was asked for.
    fn after(&self, step: &ReplayedStep, value: Option<&Value>) -> Vec<String>;

    /// What it came to.
    fn summary(&self, summary: &Summary<'_>) -> Vec<String>;
}

/// What a replay came to.
#[derive(Debug)]
struct Summary<'a> {
    /// How many steps were taken.
    steps: u64,
    /// How many of them were entries.
    entries: u64,
    /// The first of them.
    first: Option<Step>,
    /// The last of them.
    last: Option<Step>,
    /// How it ended; `None` if it was stopped before.
    end: Option<&'a End>,
}

impl Summary<'_> {
    fn take(&mut self, step: &ReplayedStep) {
        self.steps += 1;
        self.entries += u64::from(step.entry.is_some());
        self.first = self.first.or(Some(step.step));
        self.last = Some(step.step);
    }

    fn has(&self, step: Step) -> bool {
        self.first.is_some_and(|first| first <= step) && self.last.is_some_and(|last| step <= last)
    }
}

fn play(recording: &Recording, args: &ReplayArgs, types: &GameTypes) -> Result<(), Failure> {
    let mut replay = Replay::new(types, recording).map_err(|error| Failure::new(error.to_string()))?;
    let names: Vec<_> = recording.order.players.iter().map(|player| player.name.to_string()).collect();
    let view: &dyn View = if args.json { &objects::Objects } else { &lines::Lines { names } };
    let mut counted = Summary { steps: 0, entries: 0, first: None, last: None, end: None };
    print_all(view.opening(recording, &replay))?;
    while args.until.is_none_or(|until| counted.last.is_none_or(|last| last < until)) {
        let upcoming = replay.upcoming().filter(|upcoming| is_certain(upcoming, args));
        if let Some(upcoming) = &upcoming {
            print_all(view.before(upcoming))?;
        }
        let Some(step) = replay.next() else { break };
        counted.take(&step);
        if is_wanted(&step, args) {
            if upcoming.is_none() {
                print_all(view.before(&Upcoming::from(&step)))?;
            }
            let value = args.values.then(|| replay.value()).flatten().transpose();
            let value = value.map_err(|error| Failure::new(error.to_string()))?;
            print_all(view.after(&step, value.as_ref()))?;
        }
    }
    counted.end = replay.end();
    print_all(view.summary(&counted))?;
    if let Some(wanted) = args.step.filter(|&wanted| !counted.has(wanted)) {
        return Err(no_step(wanted, &counted));
    }
    match replay.end() {
        Some(End::Panicked(_)) => Err(Failure::new("the game panicked again")),
        Some(End::Unreadable(problem)) => Err(Failure::new(format!("the journal can't be read on: {problem}"))),
        _ => Ok(()),
    }
}

/// A step that was asked for and did not come.
fn no_step(wanted: Step, counted: &Summary<'_>) -> Failure {
    let there = match (counted.first, counted.last) {
        (Some(first), Some(last)) => format!("this replay has steps {first} to {last}"),
        _ => "this replay has no steps".to_owned(),
    };
    Failure::new(format!("there is no step {wanted}: {there}"))
}

/// Whether a step will be shown, whatever comes of it.
fn is_certain(upcoming: &Upcoming, args: &ReplayArgs) -> bool {
    args.step.map_or(args.quiet_steps || !upcoming.events.is_empty(), |wanted| upcoming.step == wanted)
}

/// Whether a step is shown. One that consumed nothing and told nobody for certain rarely matters, and there are many.
fn is_wanted(step: &ReplayedStep, args: &ReplayArgs) -> bool {
    let is_quiet = step.step > Step(1)
        && step.events.is_empty()
        && step.end.is_none()
        && step.messages.iter().all(|message| message.urgency == Urgency::State);
    match args.step {
        Some(wanted) => step.step == wanted,
        None => args.quiet_steps || !is_quiet,
    }
}

fn print_all(lines: Vec<String>) -> Result<(), Failure> {
    lines.into_iter().try_for_each(print)
}
