//! The log lines about pairs: what a person reads, and what the dashboard's tables are made of.

use std::collections::BTreeMap;
use std::fmt::Display;

use decisions::account::AccountId;
use decisions::call_error::CallError;
use decisions::cause::Cause;
use decisions::enrollment::Answer;
use decisions::event::Ignored;
use decisions::ledger::{self, Entry};
use decisions::pair::PairOutcomes;
use decisions::queued_pair::QueuedPair;
use decisions::reason::Reason;
use decisions::redacted::Redacted;
use decisions::region::Region;
use decisions::report::{Blocked, RegionReport, Report};
use decisions::status::Status;
use decisions::timestamp::Timestamp;
use serde_json::json;
use tracing::{error, info, warn};

/// One line for an event that names no account to enroll.
pub(crate) fn ignored(ignored: &Ignored) {
    let cause = &ignored.why;
    if ignored.layout_known {
        info!(cause, "event ignored: it names no account to enroll");
    } else {
        warn!(cause, "event ignored: an account may have joined, and the next reconcile finds it");
    }
}

/// One line for the whole attempt, one for all Regions that are uncovered, and one for each pair whose answer is unknown.
pub(crate) fn attempt_ended(outcomes: &PairOutcomes) {
    let mut counts: BTreeMap<Status, usize> = BTreeMap::new();
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    let mut uncovered: BTreeMap<&str, &str> = BTreeMap::new();
    for (pair, outcome) in outcomes {
        *counts.entry(outcome.status).or_default() += 1;
        let Some(reason) = outcome.reason else {
            continue;
        };
        *reasons.entry(reason.code()).or_default() += 1;
        if outcome.is_uncovered() {
            uncovered.insert(pair.region.as_str(), reason.code());
        } else if reason == Reason::Unknown {
            warn!(
                accountId = %pair.account,
                region = %pair.region,
                reason = reason.code(),
                result = outcome.result.as_ref().map(display),
                "an answer that this version does not know"
            );
        }
    }
    if !uncovered.is_empty() {
        info!(
            regions = %json!(uncovered),
            "Regions are uncovered: GuardDuty is off, not delegated or denied there"
        );
    }
    let count = |status| counts.get(&status).copied().unwrap_or_default();
    info!(
        pairs = outcomes.len(),
        enrolled = count(Status::Enrolled),
        alreadyEnabled = count(Status::AlreadyEnabled),
        pending = count(Status::Pending),
        deferred = count(Status::Deferred),
        refused = count(Status::Refused),
        skipped = count(Status::Skipped),
        reasons = %json!(reasons),
        "enrollment attempt ended"
    );
}

/// The ledger's lines: one for each account.
pub(crate) fn ledger<'a>(
    entries: impl IntoIterator<Item = (&'a AccountId, &'a Entry)>,
    now: Timestamp,
) {
    for (id, entry) in entries {
        info!(
            accountId = %id,
            way = entry.way.name(),
            eventId = entry.event_id,
            since = entry.since.map(display),
            seconds = entry.seconds(now),
            attempts = entry.attempts,
            enrolled = ledger::names(&entry.enrolled),
            alreadyEnabled = ledger::names(&entry.already_enabled),
            deadLetters = ledger::words(&entry.dead_letters, Reason::code),
            skipped = ledger::words(&entry.skipped, Reason::code),
            causes = ledger::words(&entry.causes, Cause::name),
            lost = ledger::names(&entry.lost),
            missedJoin = entry.missed_join.then_some(true),
            "ledger: what became of an account"
        );
    }
}

/// One line for each call that failed, after the SDK's own retries. What follows for its pairs is said elsewhere.
pub(crate) fn call_failed(error: &CallError) {
    info!(
        operation = %error.operation,
        region = error.region.as_ref().map(Region::as_str),
        cause = %error.failure,
        "a call of AWS failed"
    );
}

/// One line for each text of `GetMembers` that this version does not know.
pub(crate) fn unknown_members(region: &Region, answer: &Answer) {
    for (id, text) in answer.unknown() {
        warn!(
            accountId = %id,
            region = %region,
            result = %text,
            "GetMembers gave a text that this version does not know; it is read as: not a member"
        );
    }
}

/// One line for each pair that goes to the dead-letter queue.
pub(crate) fn dead_letters(letters: &[QueuedPair]) {
    for letter in letters {
        error!(
            accountId = letter.account_id,
            region = letter.region,
            outcome = letter.outcome,
            reason = letter.reason.code(),
            result = letter.result,
            attempts = letter.attempts,
            "dead letter: a person must act, then redrive it"
        );
    }
}

/// Dead letters of a batch did not reach their queue.
pub(crate) fn dead_letters_not_sent(not_sent: &impl Display) {
    error!(
        cause = %not_sent,
        "dead letters could not be sent; their messages stay in the retry queue"
    );
}

/// An account that may be below an excluded organizational unit.
pub(crate) fn without_path(id: AccountId) {
    warn!(
        accountId = %id,
        "EXCLUDED_PATHS cannot be checked: Organizations gives no path of the account, so it is not excluded"
    );
}

/// A message whose body cannot be read.
pub(crate) fn unreadable(message_id: &str, why: &str) {
    error!(
        messageId = message_id,
        cause = why,
        "a message of the retry queue cannot be read; SQS will move it to the dead-letter queue"
    );
}

/// One line for each postponement that failed.
pub(crate) fn not_postponed(failures: &[String]) {
    for failure in failures {
        warn!(
            cause = failure,
            "a message could not be postponed; it comes back after the queue's visibility timeout"
        );
    }
}

/// The list of Regions is not known, so the pairs of redriven events cannot be named.
pub(crate) fn regions_unknown(error: &CallError) {
    warn!(cause = %error, "account:ListRegions named no Regions; redriven events wait, and so do pairs in Regions that this version does not know");
}

/// The list of Regions could not be read again.
pub(crate) fn regions_from_before(error: &CallError) {
    warn!(cause = %error, "account:ListRegions failed; the Regions that were known before serve on");
}

/// One line for each Region of a reconcile; and, because nobody reads the reply of a scheduled run, one for each account
/// that its report names.
pub(crate) fn region_reconciled(region: &Region, report: &RegionReport) {
    for account in &report.accounts {
        warn!(
            accountId = %account.account_id,
            region = %region,
            cause = account.cause,
            outcome = account.outcome,
            reason = account.reason,
            result = account.result.as_ref().map(display),
            "not enabled after a reconcile"
        );
    }
    let (reason, result, remedy) = of(report.blocked.as_ref().or(report.uncovered.as_ref()));
    info!(
        region = %region,
        uncovered = report.uncovered.is_some(),
        expected = report.expected,
        enabled = report.enabled,
        enrolled = report.enrolled,
        missing = report.missing,
        causes = %json!(report.causes),
        notEnabled = %json!(report.not_enabled),
        skipped = %json!(report.skipped),
        notAttempted = report.not_attempted,
        gap = report.gap(),
        throttled = report.throttled,
        stale = report.stale,
        staleAccounts = %json!(report.stale_accounts),
        autoEnable = report.auto_enable,
        memberAccountLimitReached = report.member_account_limit_reached,
        reason,
        result,
        remedy,
        "Region reconciled"
    );
}

/// One line for a whole reconcile.
pub(crate) fn reconcile_ended(report: &Report) {
    let (reason, result, remedy) = of(report.blocked.as_ref());
    info!(
        dryRun = report.dry_run,
        complete = report.complete,
        gap = report.gap,
        uncoveredRegions = report.uncovered_regions,
        lostProtection = report.lost_protection,
        missedJoins = report.missed_joins,
        accountsListed = report.accounts_listed,
        accountsExpected = report.accounts_expected,
        accountsOfUnknownState = report.accounts_of_unknown_state,
        accountsLeftOut = %json!(report.accounts_left_out),
        excludedAccounts = %json!(report.excluded_accounts),
        accountsWithoutPaths = report.accounts_without_paths,
        throttled = report.throttled,
        regions = report.regions.len(),
        reason,
        result,
        remedy,
        "reconcile ended"
    );
}

/// What blocked something, as the fields of a line.
fn of(blocked: Option<&Blocked>) -> (Option<&str>, Option<&str>, Option<&str>) {
    let result = blocked.and_then(|blocked| blocked.result.as_ref());
    (
        blocked.map(|blocked| blocked.reason),
        result.map(Redacted::as_str),
        blocked.map(|blocked| blocked.remedy),
    )
}
