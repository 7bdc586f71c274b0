//! CloudWatch metrics, in the embedded metric format: lines of the log that CloudWatch counts. The only place that
//! names a metric.
//!
//! Each combination of dimensions is a metric that is paid for, so reason and Region are never crossed. The library
//! is `metrics_cloudwatch_embedded`: `metrique` does the same and more, for some 80 more crates.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use ::metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use decisions::event::Ignored;
use decisions::pair::PairOutcomes;
use decisions::reason::Reason;
use decisions::report::Report;
use decisions::status::Status;
use metrics_cloudwatch_embedded::{Builder, Collector};

/// The namespace of all metrics.
const NAMESPACE: &str = "GuardDutyEnroller";

/// Pairs that were made members and seen `Enabled`.
const ENROLLED: &str = "Enrolled";
/// Pairs that ended `pending`, `deferred` or `refused`, by `Reason` and, apart from that, by `Region`; in a reconcile, by
/// `Reason` alone.
const NOT_ENABLED: &str = "NotEnabled";
/// Seconds from the event's `eventTime` to `Enabled` in the last of the pairs that one message or event was for. A message
/// whose event has no time counts from its first failure.
const SECONDS_TO_PROTECTED: &str = "SecondsToProtected";
/// Pairs that were sent to the dead-letter queue.
const DEAD_LETTERS: &str = "DeadLetters";
/// Pairs whose answer this version does not know, and events whose layout it does not.
const UNKNOWN_ANSWERS: &str = "UnknownAnswers";
/// Pairs that were throttled; in a reconcile, pages too.
const THROTTLED: &str = "Throttled";
/// Pairs that should be `Enabled` and are not, at the end of a reconcile: in all, and by `Region`.
const GAP: &str = "Gap";
/// Pairs that a reconcile enrolled; they are among the enrolled too.
const ENROLLED_BY_RECONCILE: &str = "EnrolledByReconcile";
/// Pairs that a reconcile found without the protection that they had.
const LOST_PROTECTION: &str = "LostProtection";
/// Accounts that a reconcile found to be members in no Region more than an hour after they joined.
const MISSED_JOINS: &str = "MissedJoins";
/// Regions that a reconcile found to be uncovered.
const UNCOVERED_REGIONS: &str = "UncoveredRegions";
/// Regions that a reconcile could not compare, or whose gap it could not work through; 1 if nothing could be listed.
const BLOCKED: &str = "Blocked";
/// Reconciles whose report is `complete`.
const RECONCILE_COMPLETED: &str = "ReconcileCompleted";

/// The most values of a metric in one line (CloudWatch, embedded metric format specification). The library drops what is
/// more.
const MAX_VALUES_PER_LINE: usize = 100;

static COLLECTOR: OnceLock<&Collector> = OnceLock::new();

/// Starts collecting. Without it, as in most tests, metrics go nowhere.
///
/// # Errors
/// If there is a collector already.
pub fn start() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let collector = Builder::new().cloudwatch_namespace(NAMESPACE).init()?;
    let _ = COLLECTOR.set(collector);
    let counters = [
        ENROLLED,
        NOT_ENABLED,
        DEAD_LETTERS,
        UNKNOWN_ANSWERS,
        THROTTLED,
        BLOCKED,
        ENROLLED_BY_RECONCILE,
        LOST_PROTECTION,
        MISSED_JOINS,
        RECONCILE_COMPLETED,
    ];
    for name in counters {
        describe_counter!(name, Unit::Count, "");
    }
    // Not gauges: the library would write their last value again with every later line of the environment.
    describe_histogram!(GAP, Unit::Count, "");
    describe_histogram!(UNCOVERED_REGIONS, Unit::Count, "");
    describe_histogram!(SECONDS_TO_PROTECTED, Unit::Seconds, "");
    Ok(())
}

/// Writes what was counted since the last time to standard output.
pub(crate) fn flush() {
    if let Some(collector) = COLLECTOR.get() {
        // An error could only be said in the log, which is what failed.
        let _ = collector.flush(std::io::stdout().lock());
    }
}

/// Counts the outcomes of an attempt.
pub(crate) fn pairs(outcomes: &PairOutcomes) {
    let mut reasons: BTreeMap<Reason, u64> = BTreeMap::new();
    let mut regions: BTreeMap<&str, u64> = BTreeMap::new();
    let mut enrolled = 0;
    for (pair, outcome) in outcomes {
        match (outcome.status, outcome.reason) {
            (Status::Enrolled, _) => enrolled += 1,
            (Status::Pending | Status::Deferred | Status::Refused, Some(reason)) => {
                *reasons.entry(reason).or_default() += 1;
                *regions.entry(pair.region.as_str()).or_default() += 1;
            }
            _ => {}
        }
    }
    counter!(ENROLLED).increment(enrolled);
    for (reason, count) in reasons {
        by_reason(reason.code(), count);
    }
    for (region, count) in regions {
        counter!(NOT_ENABLED, "Region" => region.to_owned()).increment(count);
    }
}

fn by_reason(reason: &'static str, count: u64) {
    counter!(NOT_ENABLED, "Reason" => reason).increment(count);
    if reason == Reason::Unknown.code() {
        counter!(UNKNOWN_ANSWERS).increment(count);
    }
    if reason == Reason::Throttled.code() {
        counter!(THROTTLED).increment(count);
    }
}

/// Counts an event whose layout this version does not know.
pub(crate) fn ignored(ignored: &Ignored) {
    counter!(UNKNOWN_ANSWERS).increment(u64::from(!ignored.layout_known));
}

/// Reports the seconds that accounts took.
pub(crate) fn protected(seconds: &[f64]) {
    for (line, seconds) in seconds.chunks(MAX_VALUES_PER_LINE).enumerate() {
        if line > 0 {
            flush();
        }
        for seconds in seconds {
            histogram!(SECONDS_TO_PROTECTED).record(*seconds);
        }
    }
}

/// Counts pairs that were sent to the dead-letter queue.
pub(crate) fn dead_letters(count: usize) {
    counter!(DEAD_LETTERS).increment(u64_of(count));
}

/// Reports a reconcile. A dry run reports what it found too: with `ReconcileMode` = `report` there is no other.
pub(crate) fn reconcile(report: &Report) {
    let mut blocked = usize::from(report.blocked.is_some());
    counter!(THROTTLED).increment(u64_of(report.throttled));
    for (region, part) in &report.regions {
        counter!(ENROLLED).increment(u64_of(part.enrolled));
        counter!(ENROLLED_BY_RECONCILE).increment(u64_of(part.enrolled));
        counter!(THROTTLED).increment(u64_of(part.throttled));
        for (reason, count) in &part.not_enabled {
            by_reason(reason, u64_of(*count));
        }
        histogram!(GAP, "Region" => region.to_string()).record(f64_of(part.gap()));
        blocked += usize::from(part.blocked.is_some());
    }
    // If nothing could be compared, the gap is not known: no data, not zero.
    if let Some(gap) = report.gap {
        histogram!(GAP).record(f64_of(gap));
        histogram!(UNCOVERED_REGIONS).record(f64_of(report.uncovered_regions));
    }
    for (name, count) in
        [(LOST_PROTECTION, report.lost_protection), (MISSED_JOINS, report.missed_joins)]
    {
        counter!(name).increment(count.map_or(0, u64_of));
    }
    counter!(BLOCKED).increment(u64_of(blocked));
    counter!(RECONCILE_COMPLETED).increment(u64::from(report.complete));
}

fn u64_of(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Exact up to 4 billion pairs, which is more than 34 Regions of the largest organization.
fn f64_of(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
