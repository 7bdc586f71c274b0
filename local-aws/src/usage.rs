//! What a process has used, from `/proc`.

use std::fs;
use std::time::Duration;

/// `/proc` counts CPU time in hundredths of a second on every Linux of today (`getconf CLK_TCK`).
const TICK: Duration = Duration::from_millis(10);

/// What a process has used since its start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// The most memory that was resident at a time, in MB as Lambda counts them: of 1,048,576 bytes.
    pub peak_memory: f64,
    /// In its own code and in the kernel, over all threads.
    pub cpu: Duration,
}

impl Usage {
    /// `None` where there is no `/proc`, or no such process any more.
    #[must_use]
    pub fn of(process: u32) -> Option<Self> {
        let read = |name| fs::read_to_string(format!("/proc/{process}/{name}")).ok();
        Some(Self {
            peak_memory: peak_memory(&read("status")?)?,
            cpu: cpu(&read("stat")?)?.max(cpu_of_threads(process)),
        })
    }
}

fn peak_memory(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u32 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(f64::from(kilobytes) / 1024.0)
}

/// To the nanosecond, but without the threads that have ended: those are in `stat` alone, and the larger one is nearer to
/// the truth. Nothing where the kernel does not count it.
fn cpu_of_threads(process: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{process}/task"));
    let counted = threads.into_iter().flatten().filter_map(|thread| {
        let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        on_cpu(&text)
    });
    counted.sum()
}

/// The first field of `schedstat`: the time on a processor.
fn on_cpu(schedstat: &str) -> Option<Duration> {
    let nanoseconds = schedstat.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

/// The 14th and 15th field. The second one is the program's name, which may have anything in it.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<u32>);
    let (own, kernel) = (ticks.next()?.ok()?, ticks.next()?.ok()?);
    Some(TICK * own.checked_add(kernel)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peak_memory_is_the_high_water_mark() {
        let status = "Name:\tx\nVmPeak:\t  400000 kB\nVmHWM:\t   12800 kB\nVmRSS:\t   9000 kB\n";
        assert_eq!(peak_memory(status), Some(12.5));
        assert_eq!(peak_memory("Name:\tx\n"), None);
    }

    #[test]
    fn cpu_is_found_behind_any_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 2000 0 0 0 150 25 9 9 20 0 2 0 100 1 1";
        assert_eq!(cpu(stat), Some(Duration::from_millis(1_750)));
        assert_eq!(cpu("42 (a) S 1"), None);
    }

    #[test]
    fn the_time_on_a_processor_is_to_the_nanosecond() {
        assert_eq!(on_cpu("1446001 51617 2\n"), Some(Duration::from_nanos(1_446_001)));
        assert_eq!(on_cpu(""), None);
    }

    #[test]
    fn a_process_that_has_ended_has_no_usage() {
        assert_eq!(Usage::of(u32::MAX), None);
    }
}
