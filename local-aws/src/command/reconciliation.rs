//! What a reconcile has reported and used, for a person or as JSON.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use comfy_table::{Cell, CellAlignment, Row};
use local_aws::{Call, FunctionError, Usage};
use serde::Serialize;
use serde_json::Value;

use crate::layout::{clock, items, members, plain, table, texts};
use crate::report::{log, pairs};
use crate::session::{Finished, Session};

/// How many accounts that are not enabled a person sees. `--json` has all that the report names.
const ACCOUNTS: usize = 10;

/// The columns of numbers in a Region's report.
const NUMBERS: [(&str, &str); 7] = [
    ("expected", "expected"),
    ("enabled", "enabled"),
    ("enrolled", "enrolled"),
    ("missing", "missing"),
    ("not enabled", "notEnabled"),
    ("not attempted", "notAttempted"),
    ("stale", "stale"),
];

/// One reconcile.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reconciliation<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a FunctionError>,
    took_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<Used>,
    calls: usize,
    calls_by_operation: BTreeMap<String, Tally>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<Vec<String>>,
}

/// What the function's process used.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Used {
    peak_memory_mb: f64,
    cpu_seconds: f64,
    cpu_millis_per_call: Option<f64>,
}

/// The calls of one operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Tally {
    calls: usize,
    /// How many of them were answered with an error or not at all.
    failed: usize,
}

impl<'a> Reconciliation<'a> {
    pub(crate) fn new(session: &'a Session, finished: &'a Finished, with_log: bool) -> Self {
        let calls = &session.cloud.lock().calls;
        let used = |Usage { peak_memory, cpu }| Used {
            peak_memory_mb: peak_memory,
            cpu_seconds: cpu.as_secs_f64(),
            cpu_millis_per_call: u32::try_from(calls.len())
                .ok()
                .and_then(|calls| cpu.checked_div(calls))
                .map(|cpu| cpu.as_secs_f64() * 1e3),
        };
        Self {
            report: finished.outcome.as_ref().ok(),
            error: finished.outcome.as_ref().err(),
            took_seconds: finished.took.as_secs_f64(),
            function: finished.usage.map(used),
            calls: calls.len(),
            calls_by_operation: tallies(calls),
            log: session.log(with_log),
        }
    }

    /// Whether all is well: every pair was looked at, and no gap is left that was to be closed.
    pub(crate) fn is_good(&self) -> bool {
        self.report.is_some_and(is_good)
    }
}

impl fmt::Display for Reconciliation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(error) = self.error {
            writeln!(f, "Reconcile failed: {}: {}", error.error_type, error.message)?;
        }
        f.write_str(&self.report.map(headline).unwrap_or_default())?;
        let took = clock(Duration::from_secs_f64(self.took_seconds));
        let (calls, spoken) = (self.calls, spoken(&self.calls_by_operation));
        writeln!(f, "  took {took}, {calls} AWS calls: {spoken}")?;
        if let Some(used) = &self.function {
            let (memory, cpu) = (used.peak_memory_mb, used.cpu_seconds);
            write!(f, "  function: peak memory {memory:.1} MB, CPU {cpu:.2} s")?;
            if let Some(a_call) = used.cpu_millis_per_call {
                write!(f, ", {a_call:.2} ms per AWS call")?;
            }
            writeln!(f)?;
        }
        if let Some(report) = self.report {
            for part in [regions, reasons, blocks, accounts] {
                f.write_str(&part(report))?;
            }
        }
        f.write_str(&log(self.log.as_deref()))
    }
}

fn tallies(calls: &[Call]) -> BTreeMap<String, Tally> {
    let mut tallies: BTreeMap<_, Tally> = BTreeMap::new();
    for call in calls {
        let operation = Some(call.operation.as_str()).filter(|name| !name.is_empty());
        let name = operation.unwrap_or("unknown operation");
        let tally = tallies.entry(name.to_owned()).or_default();
        tally.calls += 1;
        tally.failed += usize::from(call.status.is_none_or(|status| status >= 400));
    }
    tallies
}

/// The most frequent operation first.
fn spoken(calls: &BTreeMap<String, Tally>) -> String {
    let mut calls: Vec<_> = calls.iter().collect();
    calls.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.calls));
    let calls = calls.iter().map(|(operation, tally)| match tally.failed {
        0 => format!("{operation} {}", tally.calls),
        failed => format!("{operation} {} ({failed} failed)", tally.calls),
    });
    calls.collect::<Vec<_>>().join(", ")
}

fn is_good(report: &Value) -> bool {
    holds(report, "complete") && (holds(report, "dryRun") || count(report.get("gap")) == 0)
}

fn headline(report: &Value) -> String {
    let dry_run = if holds(report, "dryRun") { ", dry run" } else { "" };
    let not = if holds(report, "complete") { "" } else { "NOT " };
    let what = format!("Reconcile{dry_run}: {not}complete");
    let [started, ended] = texts(report, ["startedAt", "endedAt"]);
    if report.get("blocked").is_some_and(Value::is_object) {
        return format!("{what}, gap unknown\n  {started} to {ended}\n");
    }
    let numbers = ["gap", "accountsListed", "accountsExpected"];
    let [gap, listed, expected] = texts(report, numbers);
    let count = members(report, "regions").count();
    format!(
        "{what}, gap {gap}\n  {listed} accounts listed, {expected} expected in each of {count} Regions, {started} to {ended}\n"
    )
}

/// A row for each Region.
fn regions(report: &Value) -> String {
    let row = |region: &str, numbers: [String; NUMBERS.len()], ends: [String; 2]| {
        let right = |number| Cell::new(number).set_alignment(CellAlignment::Right);
        let cells = [Cell::new(region)].into_iter().chain(numbers.map(right));
        Row::from(cells.chain(ends.map(Cell::new)))
    };
    let titles = NUMBERS.map(|(title, _)| title.to_owned());
    let mut rows = vec![row("Region", titles, ["auto-enable", "remark"].map(str::to_owned))];
    for (region, part) in members(report, "regions") {
        let numbers = NUMBERS.map(|(_, name)| count(part.get(name)).to_string());
        let [auto_enable] = texts(part, ["autoEnable"]);
        rows.push(row(region, numbers, [auto_enable, blocked(part)]));
    }
    match rows.len() {
        1 => String::new(),
        _ => format!("\n{}", table(rows)),
    }
}

/// In a word, why a Region could not be compared to the end.
fn blocked(part: &Value) -> String {
    match (part.pointer("/blocked/reason"), part.pointer("/uncovered/reason")) {
        (Some(reason), _) => plain(reason),
        (None, Some(reason)) => format!("uncovered: {}", plain(reason)),
        (None, None) if holds(part, "memberAccountLimitReached") => {
            "takes no more members".to_owned()
        }
        (None, None) => String::new(),
    }
}

/// How many accounts are not enabled, by reason over all Regions.
fn reasons(report: &Value) -> String {
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, part) in members(report, "regions") {
        for (reason, number) in members(part, "notEnabled") {
            *reasons.entry(reason).or_default() += count(Some(number));
        }
    }
    let spoken = reasons.iter().map(|(reason, number)| format!("{reason} {number}"));
    match spoken.collect::<Vec<_>>().join(", ").as_str() {
        "" => String::new(),
        spoken => format!("\nNot enabled by reason: {spoken}\n"),
    }
}

/// Each thing that was in the way once, with where it was and what to do.
fn blocks(report: &Value) -> String {
    let mut found: BTreeMap<(&str, [String; 3]), Vec<&str>> = BTreeMap::new();
    let regions = members(report, "regions").map(|(region, part)| (region.as_str(), part));
    for (place, part) in [("the organization", report)].into_iter().chain(regions) {
        for (name, title) in [("blocked", "Blocked"), ("uncovered", "Uncovered")] {
            if let Some(block @ Value::Object(_)) = part.get(name) {
                let texts = texts(block, ["reason", "result", "remedy"]);
                found.entry((title, texts)).or_default().push(place);
            }
        }
    }
    let mut text = String::new();
    for ((title, [reason, result, remedy]), places) in found {
        let _ = writeln!(text, "\n{title}: {reason} in {}", places.join(", "));
        if !result.is_empty() {
            let _ = writeln!(text, "  AWS says: {result}");
        }
        let _ = writeln!(text, "  remedy: {remedy}");
    }
    text
}

/// The first accounts that are not enabled. A dry run has no outcome of them.
fn accounts(report: &Value) -> String {
    let all = members(report, "regions").flat_map(|(region, part)| {
        items(part, "accounts").map(move |account| {
            let id = account.get("accountId").and_then(Value::as_str).unwrap_or_default();
            (id, region.as_str(), account)
        })
    });
    let shown: Vec<_> = all.take(ACCOUNTS).collect();
    if shown.is_empty() {
        return String::new();
    }
    let (count, gap) = (shown.len(), count(report.get("gap")));
    format!("\nNot enabled, {count} of {gap}\n{}", pairs(shown.into_iter()))
}

fn holds(part: &Value, name: &str) -> bool {
    part.get(name) == Some(&Value::Bool(true))
}

/// A number, or the sum of the numbers by reason.
fn count(value: Option<&Value>) -> u64 {
    match value {
        Some(Value::Object(reasons)) => reasons.values().filter_map(Value::as_u64).sum(),
        other => other.and_then(Value::as_u64).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report() -> Value {
        json!({
            "dryRun": false, "startedAt": "A", "endedAt": "B", "complete": false, "gap": 5,
            "accountsListed": 12, "accountsExpected": 10, "blocked": null,
            "regions": {
                "eu-west-1": {
                    "blocked": null, "expected": 10, "enabled": 5, "enrolled": 3, "missing": 0,
                    "notEnabled": { "email-rejected": 1, "unknown": 1 }, "notAttempted": 0, "stale": 0,
                    "autoEnable": "NEW", "memberAccountLimitReached": false, "staleAccounts": [],
                    "accounts": [
                        { "accountId": "700000000001", "outcome": "refused", "reason": "unknown", "result": "Some text" },
                        { "accountId": "700000000002", "outcome": "refused", "reason": "email-rejected", "result": null },
                    ],
                },
                "us-east-1": {
                    "blocked": { "reason": "no-detector", "result": "Words", "remedy": "enable it" },
                    "expected": 10, "enabled": 7, "enrolled": 0, "missing": 0, "notEnabled": {}, "notAttempted": 3,
                    "stale": 0, "autoEnable": null, "memberAccountLimitReached": null, "accounts": [], "staleAccounts": [],
                },
            },
        })
    }

    #[test]
    fn a_region_is_a_row() {
        assert_eq!(
            regions(&report()),
            "
  Region     expected  enabled  enrolled  missing  not enabled  not attempted  stale  auto-enable  remark
  eu-west-1        10        5         3        0            2              0      0  NEW
  us-east-1        10        7         0        0            0              3      0               no-detector
"
        );
    }

    #[test]
    fn what_was_in_the_way_comes_with_its_remedy_and_every_region() {
        let mut report = report();
        let same = report["regions"]["us-east-1"]["blocked"].clone();
        report["regions"]["eu-west-1"]["blocked"] = same;
        assert_eq!(
            blocks(&report),
            "\nBlocked: no-detector in eu-west-1, us-east-1\n  AWS says: Words\n  remedy: enable it\n"
        );
    }

    #[test]
    fn a_gap_is_unknown_where_no_region_was_compared() {
        let mut report = report();
        assert!(headline(&report).starts_with("Reconcile: NOT complete, gap 5\n"));
        report["blocked"] = json!({ "reason": "deadline", "result": null, "remedy": "nothing" });
        assert!(headline(&report).starts_with("Reconcile: NOT complete, gap unknown\n"));
    }

    #[test]
    fn accounts_are_counted_by_reason_and_the_first_are_named() {
        let report = report();
        assert_eq!(reasons(&report), "\nNot enabled by reason: email-rejected 1, unknown 1\n");
        let text = accounts(&report);
        assert!(text.starts_with("\nNot enabled, 2 of 5\n"), "{text}");
        assert!(text.contains("700000000001  eu-west-1  refused  unknown"), "{text}");
    }

    #[test]
    fn an_account_of_a_dry_run_has_no_outcome() {
        let mut report = report();
        let account = json!({ "accountId": "700000000001", "outcome": null, "reason": null, "result": "Some text" });
        report["regions"]["eu-west-1"]["accounts"] = json!([account]);
        assert_eq!(
            accounts(&report),
            "
Not enabled, 1 of 5
  account       Region     outcome  reason  result
  700000000001  eu-west-1                   Some text
"
        );
    }

    #[test]
    fn a_gap_is_bad_except_in_a_dry_run_and_an_incomplete_run_is_always() {
        let with = |dry_run: bool, complete: bool, gap: u32| {
            is_good(&json!({ "dryRun": dry_run, "complete": complete, "gap": gap }))
        };
        assert!(with(false, true, 0) && with(true, true, 9));
        assert!(!with(false, true, 1) && !with(false, false, 0) && !with(true, false, 0));
        assert!(!is_good(&json!({})));
    }

    #[test]
    fn calls_are_listed_by_operation_the_most_frequent_first() {
        let call = |operation: &str, status| Call {
            at: Duration::ZERO,
            took: Duration::ZERO,
            service: "guardduty".to_owned(),
            operation: operation.to_owned(),
            region: "eu-west-1".to_owned(),
            accounts: Vec::new(),
            status,
            error: None,
            fault: false,
        };
        let calls = [
            call("CreateMembers", Some(200)),
            call("ListMembers", Some(200)),
            call("ListMembers", Some(429)),
            call("ListMembers", None),
            call("", Some(404)),
        ];
        assert_eq!(
            spoken(&tallies(&calls)),
            "ListMembers 3 (2 failed), CreateMembers 1, unknown operation 1 (1 failed)"
        );
    }
}
