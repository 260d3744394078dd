//! `pintail bench`, and its reports.

use std::path::{Path, PathBuf};

use pintail_bench::report::{self, Report};
use pintail_testkit::Program;
use tempfile::TempDir;

/// Starts `pintail bench` with these words.
pub fn bench(line: &str) -> Program {
    super::pintail(["bench"].into_iter().chain(line.split_whitespace())).start()
}

/// Runs it to its end; its exit code and what it said.
pub fn run(line: &str) -> (Option<i32>, String) {
    let mut program = bench(line);
    let status = program.wait_for_end();
    (status.code(), program.transcript().join("\n"))
}

/// Reads a report.
pub fn read(path: &Path) -> Report {
    report::read(path).unwrap()
}

/// A directory for reports, and the path of one in it.
pub fn report_file() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("report.json");
    (directory, path)
}
