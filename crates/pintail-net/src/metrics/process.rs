//! What Linux says of this process, read when the metrics are. Names as of Prometheus's own client libraries.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Shows the process. Where `/proc` is not there, it shows what can be had without.
#[derive(Debug)]
pub(super) struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let seconds = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
        let counter = ConstCounter::new(seconds);
        let help = "User and system CPU time of the process";
        counter.encode(encoder.encode_descriptor(
            "process_cpu",
            help,
            Some(&Unit::Seconds),
            counter.metric_type(),
        )?)?;

        let stat = fs::read_to_string("/proc/self/stat").ok().and_then(|text| Stat::parse(&text));
        if let Some(stat) = stat {
            let bytes = Some(&Unit::Bytes);
            gauge(&mut encoder, "process_resident_memory", bytes, "Memory in use", stat.resident_bytes() as f64)?;
            let help = "Address space that is mapped";
            gauge(&mut encoder, "process_virtual_memory", bytes, help, stat.virtual_bytes as f64)?;
            gauge(&mut encoder, "process_threads", None, "Threads of the process", stat.threads as f64)?;
            if let Some(started) = start_time(&stat) {
                let help = "When the process started, since the epoch";
                gauge(&mut encoder, "process_start_time", Some(&Unit::Seconds), help, started)?;
            }
        }
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            // One of them is the directory itself, while it is read.
            let open = entries.count().saturating_sub(1);
            gauge(&mut encoder, "process_open_fds", None, "Open file descriptors", open as f64)?;
        }
        let limit = getrlimit(Resource::Nofile).current.map_or(f64::INFINITY, |limit| limit as f64);
        gauge(&mut encoder, "process_max_fds", None, "How many file descriptors may be open", limit)
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    unit: Option<&Unit>,
    help: &str,
    value: f64,
) -> Result<(), fmt::Error> {
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
}

/// The part of `/proc/self/stat` that is shown (proc_pid_stat(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    threads: u64,
    /// Since the machine started, in ticks of the clock.
    started_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    /// The process's name stands in parentheses and may hold any character, so fields count from the last one that closes.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        // The first here is field 3 of the manual page.
        let field = |number: usize| fields.get(number - 3)?.parse().ok();
        Some(Self {
            threads: field(20)?,
            started_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }

    fn resident_bytes(&self) -> u64 {
        self.resident_pages.saturating_mul(page_size() as u64)
    }
}

/// Seconds since the epoch.
fn start_time(stat: &Stat) -> Option<f64> {
    let machine = fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = machine.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + stat.started_ticks as f64 / clock_ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_name_with_parentheses_and_blanks_moves_no_field() {
        let text = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 5 6 0 0 20 0 9 0 1234 4096000 77 18446744073709551615";
        let stat = Stat { threads: 9, started_ticks: 1234, virtual_bytes: 4_096_000, resident_pages: 77 };
        assert_eq!(Stat::parse(text), Some(stat));
        assert_eq!(Stat::parse("7 (a) S 1"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn this_process_started_before_now_and_has_memory() {
        let stat = Stat::parse(&fs::read_to_string("/proc/self/stat").unwrap()).unwrap();
        assert!(stat.resident_bytes() > 100_000 && stat.resident_bytes() < stat.virtual_bytes, "{stat:?}");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let started = start_time(&stat).unwrap();
        // The machine tells when it started in whole seconds.
        assert!(started < now + 2.0 && started > now - 100_000.0, "{started} {now}");
    }
}
