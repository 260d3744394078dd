//! The machine that a test runs on, as reports tell it.

use std::fs;

use crate::report::Machine;

impl Machine {
    /// This one, as far as it says: what it does not say is `unknown` or 0.
    #[must_use]
    pub fn here() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        Self {
            processor: processor(&read("/proc/cpuinfo")),
            cores: u32::try_from(cores).unwrap_or(u32::MAX),
            memory_bytes: memory_bytes(&read("/proc/meminfo")),
            system: system(&read("/etc/os-release"), &read("/proc/sys/kernel/osrelease")),
        }
    }
}

fn processor(cpuinfo: &str) -> String {
    // x86 has a name for each core; ARM has a number for its maker and one for the part, and some boards a name.
    let field = |name: &str| cpuinfo.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'));
    let name = field("model name").or_else(|| field("Model")).map(str::trim);
    name.filter(|name| !name.is_empty()).unwrap_or("unknown").to_owned()
}

fn memory_bytes(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().unwrap_or(0);
    kib * 1024
}

fn system(os_release: &str, kernel: &str) -> String {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).map(|name| name.trim_matches('"'));
    match (name.unwrap_or("Linux"), kernel.trim()) {
        (name, "") => name.to_owned(),
        (name, kernel) => format!("{name}, Linux {kernel}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_common_machine_are_read() {
        let cpuinfo =
            "processor\t: 0\nvendor_id\t: X\nmodel\t\t: 85\nmodel name\t: A CPU @ 2.00GHz\n\nprocessor\t: 1\n";
        assert_eq!(processor(cpuinfo), "A CPU @ 2.00GHz");
        assert_eq!(memory_bytes("MemTotal:        2048 kB\nMemFree: 1 kB\n"), 2 * 1024 * 1024);
        let os_release = "ID=x\nPRETTY_NAME=\"An OS 13\"\n";
        assert_eq!(system(os_release, "6.1.0-x\n"), "An OS 13, Linux 6.1.0-x");
    }

    #[test]
    fn what_a_machine_does_not_say_is_unknown() {
        assert_eq!(processor("processor : 0\nmodel name :\n"), "unknown");
        assert_eq!(memory_bytes(""), 0);
        assert_eq!(system("", ""), "Linux");
    }
}
