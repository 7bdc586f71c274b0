//! The share of a processor that Lambda gives to a memory size: the only place that makes control groups.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io, process, thread};

/// In MB: a function with this memory has one whole processor (Lambda documentation, "Configure Lambda function memory").
pub(crate) const ONE_PROCESSOR: u32 = 1_769;

/// In microseconds. ASSUMED: AWS publishes none. Those who measured found pauses in steps of 20 ms (for example
/// pwrdrvr/lambda-throttling on GitHub).
const PERIOD: u32 = 20_000;

pub(crate) const GROUPS: &str = "/sys/fs/cgroup";

/// A control group with a share of the CPU. It is removed when this is dropped, if its processes have ended.
#[derive(Debug)]
pub(crate) struct Share(PathBuf);

impl Share {
    /// A group of the processors' own hierarchy under `groups` (version 1), or else of the only one (version 2).
    pub(crate) fn new(groups: &str, memory: u32) -> io::Result<Self> {
        let own = Path::new(groups).join("cpu");
        let is_first_version = own.is_dir();
        let parent = if is_first_version { own } else { groups.into() };
        if !is_first_version {
            fs::write(parent.join("cgroup.subtree_control"), "+cpu")?;
        }
        let share = Self(parent.join(format!("bench-{}", process::id())));
        fs::create_dir(&share.0)?;
        for (name, value) in settings(is_first_version, memory) {
            fs::write(share.0.join(name), value)?;
        }
        Ok(share)
    }

    /// Takes a process in.
    pub(crate) fn add(&self, process: u32) -> io::Result<()> {
        fs::write(self.0.join("cgroup.procs"), process.to_string())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // A process that was just killed leaves its group a moment later.
        for _ in 0..20 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn settings(is_first_version: bool, memory: u32) -> Vec<(&'static str, String)> {
    let quota = PERIOD * memory / ONE_PROCESSOR;
    if is_first_version {
        let period = ("cpu.cfs_period_us", PERIOD.to_string());
        vec![period, ("cpu.cfs_quota_us", quota.to_string())]
    } else {
        vec![("cpu.max", format!("{quota} {PERIOD}"))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_function_has_7_percent_of_a_processor() {
        assert_eq!(settings(false, 128), [("cpu.max", "1447 20000".to_owned())]);
        let one = settings(true, 512);
        assert_eq!(one.last(), Some(&("cpu.cfs_quota_us", "5788".to_owned())));
    }

    #[test]
    fn where_there_are_no_control_groups_there_is_no_share() {
        assert!(Share::new("/nowhere", 128).is_err());
    }
}
