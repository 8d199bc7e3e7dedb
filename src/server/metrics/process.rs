//! What the process takes of the machine, as Linux has it in `/proc`; nothing on other systems. The names are those that
//! Prometheus' client libraries agree on.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::collector::Out;

#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Out(&mut encoder);
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        if let Some(stat) = read("self/stat").as_deref().and_then(Stat::of) {
            out.counter("process_cpu_seconds", "Time of processors that was used", stat.cpu as f64 / ticks)?;
            out.gauge("process_virtual_memory_bytes", "Virtual memory", stat.virtual_bytes)?;
            out.gauge("process_threads", "Threads", stat.threads)?;
            let resident = stat.resident_pages * rustix::param::page_size() as u64;
            out.gauge("process_resident_memory_bytes", "Resident memory", resident)?;
            if let Some(boot) = read("stat").as_deref().and_then(boot_time) {
                let start = boot as f64 + stat.start as f64 / ticks;
                out.gauge("process_start_time_seconds", "When the process began, since 1970", start)?;
            }
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            // That of the listing itself does not count.
            out.gauge("process_open_fds", "Files and connections that are open", files.count().saturating_sub(1))?;
        }
        match read("self/limits").as_deref().and_then(most_files) {
            Some(most) => out.gauge("process_max_fds", "Files and connections that may be open", most),
            None => Ok(()),
        }
    }
}

fn read(name: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/{name}")).ok()
}

/// What `/proc/self/stat` says, in ticks, bytes and pages.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu: u64,
    threads: u64,
    start: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    /// Source: proc_pid_stat(5). The second field is the program's name in parentheses, which may hold anything.
    fn of(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let field = |number: usize| fields.get(number - 3)?.trim().parse().ok();
        Some(Self {
            cpu: field(14).zip(field(15)).map(|(user, system): (u64, u64)| user + system)?,
            threads: field(20)?,
            start: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// When the machine was started, in seconds since 1970.
fn boot_time(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// The soft limit; none where there is no limit.
fn most_files(limits: &str) -> Option<u64> {
    limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_programs_do_not_mislead() {
        let text =
            "7 (a) b (c) S 1 7 7 0 -1 4194304 90 0 0 0 250 50 0 0 20 0 12 0 4242 1000000 300 18446744073709551615\n";
        let expected = Stat { cpu: 300, threads: 12, start: 4242, virtual_bytes: 1_000_000, resident_pages: 300 };
        assert_eq!(Stat::of(text), Some(expected));
        assert_eq!(Stat::of("7 (a"), None);
    }

    #[test]
    fn limits_and_boot_times_are_found() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max open files            1024                 524288               files     \n";
        assert_eq!(most_files(limits), Some(1024));
        assert_eq!(most_files(&limits.replace("1024", "unlimited")), None);
        assert_eq!(boot_time("cpu 1 2\nbtime 1700000000\nprocesses 3\n"), Some(1_700_000_000));
    }
}
