//! `pintail bench`: a load, and a report of what it found.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`place`] | the cluster that is tested: one that runs, or one of its own |
//! | [`keys`] | what its servers leave in a Redis that others use |
//! | [`window`] | one measurement |
//! | [`test`] | the measurements of a test: one, or several |
//! | [`search`] | those of a search for the largest load |
//! | [`outcome`] | the report, and the exit code |
//! | [`interrupt`] | Ctrl-C |

mod interrupt;
mod keys;
mod outcome;
mod place;
mod search;
mod test;
mod window;

use std::ffi::OsString;
use std::io::IsTerminal;

use pintail_bench::Bots;
use pintail_bench::cluster::Hold;
use pintail_bench::report::{self, Machine, Paint as ReportPaint, ReportError};
use pintail_bench::trivial;

use crate::config::bench::{BenchArgs, BuiltIn, CompareArgs, ReportArgs, What};
use crate::failure::Failure;
use crate::output::print;
use crate::terminal::Paint;
use test::Test;

/// The exit code of a condition that is true, or of figures that got worse.
const THRESHOLD: u8 = 3;

/// Does what the command line says. It runs on this thread: so a load costs one core.
///
/// # Errors
/// With what went wrong, or the exit code of a threshold.
pub(crate) fn run(args: BenchArgs, bots: &Bots) -> Result<(), Failure> {
    let test = match args.what {
        What::BuiltIn(BuiltIn::Hold(hold)) => return hold_on(&hold.words),
        What::BuiltIn(BuiltIn::Trivial) => return on_this_thread(trivial::serve())?.map_err(Failure::from),
        What::BuiltIn(BuiltIn::Compare(args)) => return compare(&args),
        What::BuiltIn(BuiltIn::Report(args)) => return show(&args),
        What::BuiltIn(built_in) => Test::of(&built_in),
        What::Bots { name, args } => bots.get(&name).map(|kind| Test::of_bots(kind, &args)),
    };
    let test = test.expect("every other command is a scenario");
    // As it was found, before this thread keeps to some of its cores.
    let machine = Machine::here();
    let pins = place::take_cores(&test.options.place)?;
    on_this_thread(test::run(&test, &pins, machine))?
}

/// Runs a future on a runtime of this thread alone.
fn on_this_thread<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(future))
}

/// Becomes a process of a test.
fn hold_on(words: &[OsString]) -> Result<(), Failure> {
    let hold = Hold::read(words).ok_or_else(|| {
        Failure::new("this is how `pintail bench` starts the processes of a test: there is no use for it by hand")
    })?;
    hold.become_program().map(|never| match never {}).map_err(|error| Failure::new(error.to_string()))
}

fn compare(args: &CompareArgs) -> Result<(), Failure> {
    let (before, after) = (report::read(&args.before)?, report::read(&args.after)?);
    let compare = if args.anyway { report::compare_anyway } else { report::compare };
    let comparison = compare(&before, &after).map_err(|error| Failure::new(error.to_string()))?;
    print(comparison.text(paint()).trim_end())?;
    if args.fail_if_worse && comparison.is_worse() {
        return Err(Failure::with_code(THRESHOLD, "the test after is worse than the one before"));
    }
    Ok(())
}

fn show(args: &ReportArgs) -> Result<(), Failure> {
    if args.html.as_ref() == Some(&args.report) {
        return Err(Failure::usage(
            "the page would replace the report that it is made of: name another file with --html",
        ));
    }
    let report = report::read(&args.report)?;
    match &args.html {
        None => print(report::table(&report, paint()).trim_end()),
        Some(path) => outcome::write_html(&report, path),
    }
}

/// Colours if the standard output is a terminal that wants them.
fn paint() -> ReportPaint {
    let stdout = std::io::stdout();
    let wants_colour = stdout.is_terminal() && Paint::of(&stdout) == Paint::Colour;
    if wants_colour { ReportPaint::Colour } else { ReportPaint::Plain }
}

impl From<ReportError> for Failure {
    fn from(error: ReportError) -> Self {
        Self::new(error.to_string())
    }
}
