//! The log lines about pairs: what a person reads, and what the dashboard's tables are made of.

use std::collections::BTreeMap;

use serde_json::json;
use tracing::{error, info, warn};

use crate::outcome::{Outcome, Reason};
use crate::pair::PairEndings;
use crate::record::Record;
use crate::region::Region;
use crate::report::{RegionReport, Report};

/// One line for the whole invocation, and one for each pair whose answer is new to this program or whose Region has
/// no detector.
pub fn summary(endings: &PairEndings) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for (pair, ending) in endings {
        let outcome = ending.outcome;
        *counts.entry(outcome.name()).or_default() += 1;
        let Some(reason) = outcome.reason() else {
            continue;
        };
        *reasons.entry(reason.code()).or_default() += 1;
        let result = ending.result.as_ref().map(tracing::field::display);
        match outcome {
            Outcome::Deferred(Reason::Unknown) => warn!(
                accountId = %pair.account,
                region = %pair.region,
                reason = reason.code(),
                result,
                "an answer that this version does not know"
            ),
            Outcome::Skipped(Reason::NoDetector) => warn!(
                accountId = %pair.account,
                region = %pair.region,
                reason = reason.code(),
                "skipped: GuardDuty has no detector in this Region"
            ),
            _ => {}
        }
    }
    let count = |name| counts.get(name).copied().unwrap_or_default();
    info!(
        pairs = endings.len(),
        enrolled = count("enrolled"),
        alreadyEnabled = count("already-enabled"),
        pending = count("pending"),
        deferred = count("deferred"),
        refused = count("refused"),
        skipped = count("skipped"),
        reasons = %json!(reasons),
        "summary"
    );
}

/// One line for each pair that goes to the dead-letter queue.
pub fn dead_letters(records: &[Record]) {
    for record in records {
        error!(
            accountId = record.account_id,
            region = record.region,
            outcome = record.outcome,
            reason = record.reason.code(),
            result = record.result,
            attempts = record.attempts,
            "dead letter: a person must act, then redrive it"
        );
    }
}

/// One line for each pair of the retry queue that ends without being enrolled. [`summary`] has said it of a Region without
/// a detector.
pub fn skipped(endings: &PairEndings) {
    for (pair, ending) in endings {
        if let Outcome::Skipped(reason) = ending.outcome
            && reason != Reason::NoDetector
        {
            info!(
                accountId = %pair.account,
                region = %pair.region,
                reason = reason.code(),
                "skipped: a pair of the retry queue is not to be enrolled any more"
            );
        }
    }
}

/// One line for each Region of a reconcile; and, because nobody reads the reply of a scheduled run, one for each
/// account that its report names.
pub fn region_reconciled(region: &Region, report: &RegionReport, dry_run: bool) {
    for account in report.accounts.iter().filter(|_| !dry_run) {
        warn!(
            accountId = %account.account_id,
            region = %region,
            outcome = account.outcome,
            reason = account.reason,
            result = account.result.as_ref().map(tracing::field::display),
            "not enabled after a reconcile"
        );
    }
    let blocked = report.blocked.as_ref();
    info!(
        region = %region,
        expected = report.expected,
        enabled = report.enabled,
        enrolled = report.enrolled,
        missing = report.missing,
        notEnabled = %json!(report.not_enabled),
        undone = report.undone,
        gap = report.gap(),
        throttled = report.throttled,
        stale = report.stale,
        staleAccounts = %json!(report.stale_accounts),
        autoEnable = report.auto_enable,
        memberAccountLimitReached = report.member_account_limit_reached,
        reason = blocked.map(|blocked| blocked.reason),
        result = blocked.and_then(|blocked| blocked.result.as_ref()).map(tracing::field::display),
        cure = blocked.map(|blocked| blocked.cure),
        "reconciled"
    );
}

/// One line for a whole reconcile.
pub fn reconcile_ended(report: &Report) {
    let blocked = report.blocked.as_ref();
    info!(
        dryRun = report.dry_run,
        complete = report.complete,
        gap = report.gap,
        accountsListed = report.accounts_listed,
        accountsExpected = report.accounts_expected,
        accountsOfUnknownState = report.accounts_of_unknown_state,
        throttled = report.throttled,
        regions = report.regions.len(),
        reason = blocked.map(|blocked| blocked.reason),
        result = blocked
            .and_then(|blocked| blocked.result.as_ref())
            .map(tracing::field::display),
        cure = blocked.map(|blocked| blocked.cure),
        "reconcile ended"
    );
}
