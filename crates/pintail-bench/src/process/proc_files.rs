//! Linux's `/proc`: what a process has used. See proc(5).

use std::fs;
use std::time::Duration;

/// The CPU time that a process has used since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct CpuTime {
    /// In its own code.
    pub(super) user: Duration,
    /// In the kernel, on its behalf.
    pub(super) system: Duration,
}

/// A process at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Vitals {
    /// What it has used until now.
    pub(super) cpu: CpuTime,
    /// The memory that it holds, in bytes.
    pub(super) resident_bytes: u64,
}

/// Linux tells CPU time in hundredths of a second (`USER_HZ`), whatever its own clock's pace is.
const TICK: Duration = Duration::from_millis(10);

/// Where `utime` and `stime` stand in `/proc/PID/stat`, counted from the field after the command's name.
const USER_FIELD: usize = 11;

impl CpuTime {
    /// User and system time together.
    pub(super) fn total(self) -> Duration {
        self.user + self.system
    }

    /// What was used since `earlier`.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self { user: self.user.saturating_sub(earlier.user), system: self.system.saturating_sub(earlier.system) }
    }
}

impl Vitals {
    /// Those of a process that runs; `None` of one that is gone.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        Some(Self { cpu: cpu_time(&stat)?, resident_bytes: resident_bytes(&status)? })
    }
}

fn cpu_time(stat: &str) -> Option<CpuTime> {
    // The command's name stands in parentheses and may hold anything, parentheses and blanks included.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(USER_FIELD);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    Some(CpuTime { user: TICK * ticks()?, system: TICK * ticks()? })
}

/// A process that has ended and was not reaped yet has no such line, and no memory.
fn resident_bytes(status: &str) -> Option<u64> {
    let Some(line) = status.lines().find_map(|line| line.strip_prefix("VmRSS:")) else { return Some(0) };
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of proc(5) for a program with a difficult name.
    const STAT: &str = "4711 (pin ) tail (x) S 1 4711 4711 0 -1 4194560 2310 0 3 0 1234 567 8 9 20 0 3 0 8652 1 2";

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let cpu = cpu_time(STAT).unwrap();
        assert_eq!(cpu, CpuTime { user: Duration::from_millis(12_340), system: Duration::from_millis(5_670) });
        assert_eq!(cpu.total(), Duration::from_millis(18_010));
        let earlier = CpuTime { user: Duration::from_secs(12), system: Duration::from_secs(6) };
        assert_eq!(cpu.since(earlier), CpuTime { user: Duration::from_millis(340), system: Duration::ZERO });
    }

    #[test]
    fn what_is_no_such_line_is_none() {
        for stat in ["", "1 (x", "1 (x) S 1 2 3", "1 (x) S 1 1 1 0 -1 4 2 0 3 0 a 5"] {
            assert_eq!(cpu_time(stat), None, "{stat}");
        }
    }

    #[test]
    fn memory_is_what_is_resident() {
        let status = "Name:\tpintail\nVmPeak:\t  99 kB\nVmRSS:\t    5120 kB\nRssAnon:\t 7 kB\n";
        assert_eq!(resident_bytes(status), Some(5 * 1024 * 1024));
        assert_eq!(resident_bytes("Name:\tgone\nState:\tZ (zombie)\n"), Some(0));
        assert_eq!(resident_bytes("VmRSS:\t  much\n"), None);
    }

    #[test]
    fn this_process_runs_and_none_has_the_largest_number() {
        assert!(Vitals::of(std::process::id()).unwrap().resident_bytes > 100_000);
        assert_eq!(Vitals::of(u32::MAX), None);
    }
}
