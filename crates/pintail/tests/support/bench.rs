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

/// The processes that a process has started and that run, as the operating system lists them: id and command line.
pub fn children(pid: u32) -> Vec<(u32, String)> {
    let processes =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_child = |child: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
        status.lines().any(|line| line.strip_prefix("PPid:").is_some_and(|parent| parent.trim() == pid.to_string()))
    };
    let command_line = |pid: u32| {
        let words = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        (pid, words.replace('\0', " "))
    };
    processes.filter(is_child).map(command_line).collect()
}

/// Sends a process a signal by its name.
pub fn signal(pid: u32, name: &str) {
    let sent = std::process::Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}
