//! How far a reconcile has come, on stderr.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use local_aws::Cloud;

use crate::layout::clock;

/// How often the bar is drawn anew.
const DRAWN_EVERY: Duration = Duration::from_millis(150);
/// How often there is a line where there can be no bar.
const SAID_EVERY: Duration = Duration::from_secs(5);
/// Counting the members of a large organization takes time in which no call is answered: it gets one part in so many.
const COUNTING: u32 = 20;
const WIDTH: usize = 30;

/// Goes back to the line's start and clears it.
const CLEAR: &str = "\r\x1b[K";

/// Shows the progress until it is dropped. `expected` is how many accounts should be members in each Region.
pub(crate) async fn show(cloud: &Cloud, expected: usize) -> Infallible {
    // Not `then_some`: one that is made and dropped clears what is no line of a terminal.
    let bar = io::stderr().is_terminal().then(|| Bar);
    let every = if bar.is_some() {
        DRAWN_EVERY
    } else {
        SAID_EVERY
    };
    let start = Instant::now();
    let mut pause = every;
    loop {
        tokio::time::sleep(pause).await;
        let before = Instant::now();
        let seen = Progress::of(cloud, expected);
        pause = every.max(before.elapsed() * COUNTING);
        let line = seen.line(start.elapsed());
        // A closed pipe is no reason to fail.
        let _ = match bar {
            Some(_) => write!(io::stderr(), "{CLEAR}{line}"),
            None => writeln!(io::stderr(), "{line}"),
        };
    }
}

/// The bar is gone when it is dropped, whatever the reason.
struct Bar;

impl Drop for Bar {
    fn drop(&mut self) {
        let _ = write!(io::stderr(), "{CLEAR}");
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Progress {
    enabled: usize,
    pairs: usize,
    calls: usize,
}

impl Progress {
    fn of(cloud: &Cloud, expected: usize) -> Self {
        let now = cloud.elapsed();
        let state = cloud.lock();
        let members = state.guardduty.values().flat_map(|g| g.members.values());
        Self {
            enabled: members.filter(|m| m.status(now) == "Enabled").count(),
            pairs: expected * state.guardduty.len(),
            calls: state.calls.len(),
        }
    }

    fn line(&self, time: Duration) -> String {
        let Self {
            enabled,
            pairs,
            calls,
        } = *self;
        let filled = (WIDTH * enabled / pairs.max(1)).min(WIDTH);
        let mut line = String::new();
        let _ = write!(
            line,
            "[{}{}] {enabled} of {pairs} enabled, {calls} calls, {}",
            "#".repeat(filled),
            "-".repeat(WIDTH - filled),
            clock(time)
        );
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use local_aws::{Member, NEW_ACCOUNT, Setup};

    #[test]
    fn only_enabled_members_count() {
        let cloud = Cloud::new(&Setup::default());
        for (region, status) in [("us-east-1", "Enabled"), ("eu-west-1", "Removed")] {
            let member = Member::new("a@example.com", status);
            let mut state = cloud.lock();
            let members = &mut state.guardduty_in(region).members;
            members.insert(NEW_ACCOUNT.to_owned(), member);
        }
        let progress = Progress::of(&cloud, 3);
        assert_eq!(
            (progress.enabled, progress.pairs, progress.calls),
            (1, 12, 0)
        );
    }

    #[test]
    fn the_bar_fills_from_left_to_right() {
        let line = |enabled| {
            let progress = Progress {
                enabled,
                pairs: 60,
                calls: 7,
            };
            progress.line(Duration::from_secs(2))
        };
        assert_eq!(
            line(20),
            "[##########--------------------] 20 of 60 enabled, 7 calls, 2.000 s"
        );
        // More than expected: somebody excluded accounts that are members.
        assert!(line(61).starts_with(&format!("[{}]", "#".repeat(WIDTH))));
    }
}
