//! Where and with what a run took place.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fs, thread};

use local_aws::Epoch;
use tokio::process::Command;

use crate::bench::contender::HERE;

/// Where and when.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) date: String,
    /// Processors and kernel.
    pub(crate) processor: String,
}

impl Machine {
    pub(crate) fn this() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let processors = read("/proc/cpuinfo");
        let model = processors
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split(':').nth(1))
            .unwrap_or("of an unknown model");
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            date: Epoch(Duration::from_secs(since_1970.as_secs())).iso(Duration::ZERO),
            processor: format!(
                "{} processors ({}, {}), Linux {}",
                thread::available_parallelism().map_or(0, usize::from),
                model.trim(),
                env::consts::ARCH,
                read("/proc/sys/kernel/osrelease").trim()
            ),
        }
    }
}

/// How many crates are in the function: its dependencies on this platform, without macros and build scripts, whose code
/// stays behind. `None` where cargo does not tell.
pub(crate) async fn crates() -> Option<usize> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args([
            "tree",
            "--package",
            "guardduty-enroller",
            "--edges",
            "normal,no-proc-macro",
        ])
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(HERE);
    let output = cargo
        .output()
        .await
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    let names = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?, words.next()?))
    });
    names.collect::<BTreeSet<_>>().len().checked_sub(1)
}
