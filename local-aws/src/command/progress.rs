//! How far a reconcile is, on stderr.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use local_aws::Cloud;

const STYLE: &str = "[{bar:30}] {pos} of {len} enabled, {msg} calls, {elapsed}";

const DRAWN_EVERY: Duration = Duration::from_millis(150);
/// Counting the members of a large organization takes time in which no call is answered: the share of the time that it gets is one in this many.
const COUNTING: u32 = 20;

/// Shows the progress until it is dropped, if there is a terminal. `expected` is how many accounts should be members in
/// each Region.
pub(crate) async fn show(cloud: &Cloud, expected: u64) -> Infallible {
    let bar = ProgressBar::no_length().with_finish(ProgressFinish::AndClear);
    let style = ProgressStyle::with_template(STYLE).unwrap_or(ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("#-"));
    if bar.is_hidden() {
        return std::future::pending().await;
    }
    let mut pause = DRAWN_EVERY;
    loop {
        tokio::time::sleep(pause).await;
        let before = Instant::now();
        update(&bar, cloud, expected);
        pause = DRAWN_EVERY.max(before.elapsed() * COUNTING);
    }
}

fn update(bar: &ProgressBar, cloud: &Cloud, expected: u64) {
    let now = cloud.elapsed();
    let state = cloud.lock();
    let members = state.guardduty.values().flat_map(|guardduty| guardduty.members.values());
    let enabled = members.filter(|member| member.status(now) == "Enabled");
    bar.set_message(state.calls.len().to_string());
    bar.set_length(state.guardduty.keys().map(|_| expected).sum());
    bar.set_position(enabled.map(|_| 1).sum());
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
        let bar = ProgressBar::hidden();
        update(&bar, &cloud, 3);
        assert_eq!((bar.position(), bar.length(), bar.message().as_str()), (1, Some(12), "0"));
        assert!(ProgressStyle::with_template(STYLE).is_ok());
    }
}
