//! What the operating system says about a process.

use std::fs;
use std::time::Duration;

/// CPU time that a process has used, user and system.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    // The command's name may contain anything, so count from its closing parenthesis.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().filter_map(|&field| fields.get(field)?.parse::<u64>().ok()).sum();
    // The kernel reports in hundredths of a second, whatever its own tick is.
    Duration::from_millis(ticks * 10)
}
