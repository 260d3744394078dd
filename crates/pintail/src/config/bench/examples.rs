//! The examples of the help texts can be typed as they stand.

use std::ffi::OsString;

use clap::CommandFactory;
use pintail_bench::Bots;
use pintail_bench::scenario::Scenario;

use super::options::TestArgs;
use super::{BenchArgs, BuiltIn, What};
use crate::config::args::{Cli, Command};
use crate::config::parse;

/// The commands in the help of `bench` and of each scenario, and those of the documents.
fn examples() -> Vec<Vec<OsString>> {
    const DOCUMENTS: [&str; 3] = [
        include_str!("../../../../../README.md"),
        include_str!("../../../../../docs/benchmarks.md"),
        include_str!("../../../../../docs/bench-reports.md"),
    ];
    let cli = Cli::command();
    let bench = cli.find_subcommand("bench").expect("it is one");
    let help = [bench].into_iter().chain(bench.get_subcommands()).filter_map(|command| command.get_after_help());
    let texts = help.map(ToString::to_string).chain(DOCUMENTS.map(str::to_owned));
    let lines = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
    lines.filter_map(|line| example(&line)).collect()
}

/// The words of a command in a line, up to its remark: that stands behind some blanks, a sign or the end of a quotation.
fn example(line: &str) -> Option<Vec<OsString>> {
    let (_, words) = line.split_once("pintail bench ")?;
    let end = ["  ", " #", "`"].iter().filter_map(|end| words.find(end)).min().unwrap_or(words.len());
    // What is in quotes is one word.
    let quoted = words[..end].split('\'').enumerate().flat_map(|(index, part)| match index % 2 {
        0 => part.split_whitespace().map(OsString::from).collect::<Vec<_>>(),
        _ => vec![part.into()],
    });
    let words: Vec<OsString> = quoted.collect();
    let is_whole = words.len() > 1 && !words.iter().any(|word| word == "…" || word == "SCENARIO" || word == "--help");
    is_whole.then_some(words)
}

fn scenario_of(command: &BuiltIn) -> Option<(Scenario, &TestArgs)> {
    Some(match command {
        BuiltIn::Echo(args) => (args.scenario().0, &args.test),
        BuiltIn::Broadcast(args) => (args.scenario().0, &args.test),
        BuiltIn::Arena(args) => (args.scenario().0, &args.test),
        BuiltIn::Lobby(args) => (args.scenario().0, &args.test),
        BuiltIn::Connect(args) => (args.scenario().0, &args.test),
        BuiltIn::Churn(args) => (args.scenario().0, &args.test),
        BuiltIn::Match(args) => (args.scenario().0, &args.test),
        BuiltIn::Compare(_) | BuiltIn::Report(_) | BuiltIn::Hold(_) | BuiltIn::Trivial => return None,
    })
}

#[test]
fn every_example_is_understood_and_its_condition_is_about_what_is_measured() {
    let (mut conditions, examples) = (0, examples());
    assert!(examples.len() > 20, "{examples:?}");
    for example in examples {
        let words = ["pintail", "bench"].map(OsString::from).into_iter().chain(example.clone());
        let cli = parse(&words.collect::<Vec<_>>(), &Bots::new());
        let command = cli.unwrap_or_else(|refusal| panic!("{example:?}: {refusal}")).command;
        let Command::Bench(BenchArgs { what: What::BuiltIn(command), .. }) = command else { panic!("{example:?}") };
        let Some((scenario, options)) = scenario_of(&command) else { continue };
        for condition in options.window.find_max.iter().chain(&options.result.fail_if) {
            conditions += 1;
            let Some(name) = condition.measure() else { continue };
            assert!(scenario.measures().contains(&name), "{example:?}: there is {:?}", scenario.measures());
        }
    }
    assert!(conditions > 5, "{conditions}");
}
