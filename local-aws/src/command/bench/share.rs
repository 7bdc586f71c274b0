//! The share of a processor that Lambda gives to a memory size: the only place that makes control groups.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// A function with so many MB has one whole processor (Lambda documentation, "Configure Lambda function memory").
const ONE_PROCESSOR: u32 = 1_769;

/// In microseconds. ASSUMED: AWS publishes none. Those who measured found pauses in steps of 20 ms (for example
/// pwrdrvr/lambda-throttling on GitHub).
const PERIOD: u32 = 20_000;

const ROOT: &str = "/sys/fs/cgroup";

/// Where this machine has its control groups, and of which kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ControlGroups {
    folder: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl ControlGroups {
    /// Finds them, and tries whether they let themselves be used.
    pub(crate) fn find() -> io::Result<Self> {
        let found = Self::under(Path::new(ROOT))
            .ok_or_else(|| io::Error::other(format!("no CPU control groups under {ROOT}")))?;
        Share::new(&found, ONE_PROCESSOR)?;
        Ok(found)
    }

    fn under(root: &Path) -> Option<Self> {
        let one = root.join("cpu");
        if one.join("cgroup.procs").exists() {
            return Some(Self {
                folder: one,
                version: Version::One,
            });
        }
        let controllers = fs::read_to_string(root.join("cgroup.controllers")).ok()?;
        let has_cpu = controllers.split_whitespace().any(|name| name == "cpu");
        has_cpu.then(|| Self {
            folder: root.to_owned(),
            version: Version::Two,
        })
    }

    pub(crate) fn describe(&self) -> String {
        let version = match self.version {
            Version::One => 1,
            Version::Two => 2,
        };
        format!(
            "a control group (version {version}) with a period of {} ms",
            PERIOD / 1_000
        )
    }
}

/// A control group with a share of the CPU. It is removed when this is dropped, if its processes have ended.
#[derive(Debug)]
pub(crate) struct Share {
    folder: PathBuf,
}

impl Share {
    pub(crate) fn new(groups: &ControlGroups, memory: u32) -> io::Result<Self> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("local-aws-bench-{}-{number}", process::id());
        let folder = groups.folder.join(name);
        if groups.version == Version::Two {
            fs::write(groups.folder.join("cgroup.subtree_control"), "+cpu")?;
        }
        fs::create_dir(&folder)?;
        let share = Self { folder };
        for (name, value) in settings(groups.version, memory) {
            fs::write(share.folder.join(name), value)?;
        }
        Ok(share)
    }

    /// The file that takes the processes of the group.
    pub(crate) fn processes(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // A process that was just killed leaves its group a moment later.
        for _ in 0..20 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn settings(version: Version, memory: u32) -> Vec<(&'static str, String)> {
    let quota = PERIOD * memory / ONE_PROCESSOR;
    match version {
        Version::One => vec![
            ("cpu.cfs_period_us", PERIOD.to_string()),
            ("cpu.cfs_quota_us", quota.to_string()),
        ],
        Version::Two => vec![("cpu.max", format!("{quota} {PERIOD}"))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_function_has_7_percent_of_a_processor() {
        assert_eq!(
            settings(Version::Two, 128),
            [("cpu.max", "1447 20000".to_owned())]
        );
        let one = settings(Version::One, 512);
        assert_eq!(one.last(), Some(&("cpu.cfs_quota_us", "5788".to_owned())));
    }

    #[test]
    fn where_there_are_no_control_groups_none_are_found() {
        assert_eq!(ControlGroups::under(Path::new("/nowhere")), None);
    }
}
