//! What a reconcile has reported and used, for a person or as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use local_aws::Call;
use serde_json::{Map, Value, json};

use crate::layout::{clock, indented, member, table, to_the_right};
use crate::session::{Finished, Session};

/// So many accounts that are not enabled are shown to a person. `--json` has all that the report names.
const ACCOUNTS: usize = 10;

/// The columns of numbers in a Region's report.
const NUMBERS: [(&str, &str); 7] = [
    ("expected", "expected"),
    ("enabled", "enabled"),
    ("enrolled", "enrolled"),
    ("missing", "missing"),
    ("not enabled", "notEnabled"),
    ("undone", "undone"),
    ("stale", "stale"),
];

/// Everything there is to tell about one reconcile.
#[derive(Debug)]
pub(crate) struct Reconciliation<'a> {
    finished: Option<&'a Finished>,
    calls: BTreeMap<String, Tally>,
    log: Option<Vec<String>>,
}

/// The calls of one operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    calls: usize,
    /// How many of them were answered with an error or not at all.
    failed: usize,
}

impl<'a> Reconciliation<'a> {
    pub(crate) fn new(session: &'a Session, with_log: bool) -> Self {
        Self {
            finished: session.invocations.last(),
            calls: tallies(&session.cloud.lock().calls),
            // Without an answer the log is all there is.
            log: (with_log || session.has_failed()).then(|| session.log.lines()),
        }
    }

    fn report(&self) -> Option<&'a Value> {
        self.finished?.outcome.as_ref().ok()
    }

    /// Whether all is well: every pair was looked at, and no gap is left that was to be closed.
    pub(crate) fn is_good(&self) -> bool {
        self.report().is_some_and(is_good)
    }

    fn call_count(&self) -> usize {
        self.calls.values().map(|tally| tally.calls).sum()
    }

    /// What the function used for a call.
    fn cpu_a_call(&self, cpu: Duration) -> Option<Duration> {
        cpu.checked_div(u32::try_from(self.call_count()).ok()?)
    }

    pub(crate) fn json(&self) -> String {
        let calls: Map<_, _> = self
            .calls
            .iter()
            .map(|(operation, tally)| {
                let shown = json!({ "calls": tally.calls, "failed": tally.failed });
                (operation.clone(), shown)
            })
            .collect();
        let mut document = Map::new();
        let mut add = |name: &str, value| document.insert(name.to_owned(), value);
        if let Some(finished) = self.finished {
            match &finished.outcome {
                Ok(report) => add("report", report.clone()),
                Err(error) => add("error", json!(error)),
            };
            add("tookSeconds", json!(finished.took.as_secs_f64()));
            if let Some(usage) = finished.usage {
                let a_call = self.cpu_a_call(usage.cpu);
                let shown = json!({
                    "peakMemoryMb": usage.peak_memory,
                    "cpuSeconds": usage.cpu.as_secs_f64(),
                    "cpuMillisPerCall": a_call.map(|cpu| cpu.as_secs_f64() * 1e3),
                });
                add("function", shown);
            }
        }
        add("calls", json!(self.call_count()));
        add("callsByOperation", Value::Object(calls));
        if let Some(log) = &self.log {
            add("log", json!(log));
        }
        format!("{:#}\n", Value::Object(document))
    }

    pub(crate) fn text(&self) -> String {
        let mut parts = Vec::new();
        if let Some(finished) = self.finished {
            parts.push(match &finished.outcome {
                Ok(report) => headline(report),
                Err(error) => {
                    format!(
                        "Reconcile failed: {}: {}\n",
                        error.error_type, error.message
                    )
                }
            });
            parts.push(self.used(finished));
        }
        if let Some(report) = self.report() {
            parts.extend([
                regions(report),
                reasons(report),
                blocks(report),
                accounts(report),
            ]);
        }
        if let Some(log) = &self.log {
            parts.push(format!("\nLog of the function\n{}", indented(log)));
        }
        parts.concat()
    }

    fn used(&self, finished: &Finished) -> String {
        let mut text = format!(
            "  took {}, {} AWS calls: {}\n",
            clock(finished.took),
            self.call_count(),
            spoken(&self.calls)
        );
        if let Some(usage) = finished.usage {
            let _ = write!(
                text,
                "  function: peak memory {:.1} MB, CPU {:.2} s",
                usage.peak_memory,
                usage.cpu.as_secs_f64()
            );
            if let Some(a_call) = self.cpu_a_call(usage.cpu) {
                let _ = write!(text, ", {:.2} ms per AWS call", a_call.as_secs_f64() * 1e3);
            }
            text.push('\n');
        }
        text
    }
}

fn tallies(calls: &[Call]) -> BTreeMap<String, Tally> {
    let mut tallies: BTreeMap<_, Tally> = BTreeMap::new();
    for call in calls {
        let name = match call.operation.as_str() {
            "" => "unknown operation",
            operation => operation,
        };
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
    let number = |name: &str| count(report.get(name));
    let what = if holds(report, "dryRun") {
        "Reconcile, dry run"
    } else {
        "Reconcile"
    };
    let complete = if holds(report, "complete") {
        "complete"
    } else {
        "NOT complete"
    };
    let (started, ended) = (member(report, "startedAt"), member(report, "endedAt"));
    if report.get("blocked").is_some_and(Value::is_object) {
        return format!("{what}: {complete}, gap unknown\n  {started} to {ended}\n");
    }
    format!(
        "{what}: {complete}, gap {}\n  {} accounts listed, {} expected in each of {} Regions, {started} to {ended}\n",
        number("gap"),
        number("accountsListed"),
        number("accountsExpected"),
        parts(report).count(),
    )
}

/// A row for each Region.
fn regions(report: &Value) -> String {
    let mut rows = vec![NUMBERS.map(|(title, _)| title.to_owned()).to_vec()];
    rows.extend(parts(report).map(|(_, part)| {
        NUMBERS
            .map(|(_, name)| count(part.get(name)).to_string())
            .to_vec()
    }));
    if rows.len() == 1 {
        return String::new();
    }
    to_the_right(&mut rows);
    let names = ["Region"]
        .into_iter()
        .chain(parts(report).map(|(region, _)| region.as_str()));
    let ends = [["auto-enable".to_owned(), "blocked".to_owned()]]
        .into_iter()
        .chain(parts(report).map(|(_, part)| [member(part, "autoEnable"), blocked(part)]));
    let rows: Vec<_> = names
        .zip(rows)
        .zip(ends)
        .map(|((name, numbers), end)| [vec![name.to_owned()], numbers, end.to_vec()].concat())
        .collect();
    format!("\n{}", table(&rows))
}

/// In a word, why a Region could not be compared to the end.
fn blocked(part: &Value) -> String {
    match part.get("blocked") {
        Some(block @ Value::Object(_)) => member(block, "reason"),
        _ if holds(part, "memberAccountLimitReached") => "takes no more members".to_owned(),
        _ => String::new(),
    }
}

/// How many accounts are not enabled, by reason over all Regions.
fn reasons(report: &Value) -> String {
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    let not_enabled = parts(report)
        .filter_map(|(_, part)| part.get("notEnabled")?.as_object())
        .flatten();
    for (reason, number) in not_enabled {
        *reasons.entry(reason).or_default() += count(Some(number));
    }
    if reasons.is_empty() {
        return String::new();
    }
    let reasons: Vec<_> = reasons
        .iter()
        .map(|(reason, number)| format!("{reason} {number}"))
        .collect();
    format!("\nNot enabled by reason: {}\n", reasons.join(", "))
}

/// Each thing that was in the way once, with where it was and what to do.
fn blocks(report: &Value) -> String {
    let mut found: BTreeMap<[String; 3], Vec<&str>> = BTreeMap::new();
    let all = [("the organization", report)]
        .into_iter()
        .chain(parts(report).map(|(region, part)| (region.as_str(), part)));
    for (place, part) in all {
        if let Some(block @ Value::Object(_)) = part.get("blocked") {
            let texts = ["reason", "result", "cure"].map(|name| member(block, name));
            found.entry(texts).or_default().push(place);
        }
    }
    let mut text = String::new();
    for ([reason, result, cure], places) in found {
        let _ = write!(text, "\nBlocked: {reason} in {}\n", places.join(", "));
        if !result.is_empty() {
            let _ = writeln!(text, "  AWS says: {result}");
        }
        let _ = writeln!(text, "  cure: {cure}");
    }
    text
}

/// The first accounts that are not enabled. A dry run has no outcome of them.
fn accounts(report: &Value) -> String {
    let rows = parts(report).flat_map(|(region, part)| {
        let accounts = part.get("accounts").and_then(Value::as_array);
        accounts.into_iter().flatten().map(move |account| {
            let id = member(account, "accountId");
            let ending = ["outcome", "reason", "result"].map(|name| member(account, name));
            [&[id, region.clone()], &ending[..]].concat()
        })
    });
    let mut rows: Vec<_> = rows.take(ACCOUNTS).collect();
    if rows.is_empty() {
        return String::new();
    }
    let shown = rows.len();
    let titles = ["account", "Region", "outcome", "reason", "result"];
    rows.insert(0, titles.map(str::to_owned).to_vec());
    let gap = count(report.get("gap"));
    format!("\nNot enabled, {shown} of {gap}\n{}", table(&rows))
}

/// Each Region's part of the report.
fn parts(report: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let regions = report.get("regions").and_then(Value::as_object);
    regions.into_iter().flatten()
}

fn holds(part: &Value, name: &str) -> bool {
    part.get(name) == Some(&Value::Bool(true))
}

/// A number, or the sum of the numbers by reason.
fn count(value: Option<&Value>) -> u64 {
    match value {
        Some(Value::Object(reasons)) => reasons.values().filter_map(Value::as_u64).sum(),
        Some(number) => number.as_u64().unwrap_or(0),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Value {
        json!({
            "dryRun": false, "startedAt": "A", "endedAt": "B", "complete": false, "gap": 5,
            "accountsListed": 12, "accountsExpected": 10, "blocked": null,
            "regions": {
                "eu-west-1": {
                    "blocked": null, "expected": 10, "enabled": 5, "enrolled": 3, "missing": 0,
                    "notEnabled": { "email-rejected": 1, "unknown": 1 }, "undone": 0, "stale": 0,
                    "autoEnable": "NEW", "memberAccountLimitReached": false, "staleAccounts": [],
                    "accounts": [
                        { "accountId": "700000000001", "outcome": "refused", "reason": "unknown", "result": "Some text" },
                        { "accountId": "700000000002", "outcome": "refused", "reason": "email-rejected", "result": null },
                    ],
                },
                "us-east-1": {
                    "blocked": { "reason": "no-detector", "result": "Words", "cure": "enable it" },
                    "expected": 10, "enabled": 7, "enrolled": 0, "missing": 0, "notEnabled": {}, "undone": 3,
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
  Region     expected  enabled  enrolled  missing  not enabled  undone  stale  auto-enable  blocked
  eu-west-1        10        5         3        0            2       0      0  NEW
  us-east-1        10        7         0        0            0       3      0               no-detector
"
        );
    }

    #[test]
    fn what_was_in_the_way_comes_with_its_cure_and_every_region() {
        let mut report = report();
        let same = report["regions"]["us-east-1"]["blocked"].clone();
        report["regions"]["eu-west-1"]["blocked"] = same;
        assert_eq!(
            blocks(&report),
            "\nBlocked: no-detector in eu-west-1, us-east-1\n  AWS says: Words\n  cure: enable it\n"
        );
    }

    #[test]
    fn a_gap_is_unknown_where_no_region_was_compared() {
        let mut report = report();
        assert!(headline(&report).starts_with("Reconcile: NOT complete, gap 5\n"));
        report["blocked"] = json!({ "reason": "deadline", "result": null, "cure": "nothing" });
        assert!(headline(&report).starts_with("Reconcile: NOT complete, gap unknown\n"));
    }

    #[test]
    fn accounts_are_counted_by_reason_and_the_first_are_named() {
        let report = report();
        assert_eq!(
            reasons(&report),
            "\nNot enabled by reason: email-rejected 1, unknown 1\n"
        );
        let text = accounts(&report);
        assert!(text.starts_with("\nNot enabled, 2 of 5\n"), "{text}");
        assert!(
            text.contains("700000000001  eu-west-1  refused  unknown"),
            "{text}"
        );
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
    fn calls_are_told_by_operation_the_most_frequent_first() {
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
