//! The command `cargo local` as a whole, with the real function as its child.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::process::{Command, Output};

use serde_json::{Value, json};

fn local(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_local-aws"));
    command.args(arguments).output().unwrap()
}

fn reconcile(arguments: &[&str]) -> (Option<i32>, Value) {
    let some_missing = ["reconcile", "--json", "--accounts", "60", "--missing", "10%"];
    let output = local(&[&some_missing, arguments].concat());
    let document = serde_json::from_slice(&output.stdout);
    let document = document.unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    (output.status.code(), document)
}

#[test]
fn a_reconcile_reports_what_it_closed_and_ends_well() {
    let (code, document) = reconcile(&[]);
    let report = &document["report"];
    assert_eq!(code, Some(0), "{document}");
    assert_eq!((&report["complete"], &report["gap"]), (&json!(true), &json!(0)));
    let part = &report["regions"]["eu-west-1"];
    assert_eq!(
        part["enabled"].as_u64().unwrap() + part["enrolled"].as_u64().unwrap(),
        part["expected"].as_u64().unwrap()
    );
    assert!(part["enrolled"].as_u64().unwrap() > 0, "{part}");
    assert!(document["function"]["peakMemoryMb"].as_f64().unwrap() > 1.0);
}

#[test]
fn a_dry_run_changes_nothing_and_says_what_is_missing() {
    let (code, document) = reconcile(&["--dry-run"]);
    assert_eq!(code, Some(0), "{document}");
    assert!(document["report"]["gap"].as_u64().unwrap() > 0);
    assert_eq!(document["callsByOperation"].get("CreateMembers"), None);
}

#[test]
fn a_reconcile_with_a_fault_ends_badly_and_names_the_remedy_for_a_person() {
    let fault = "ListDetectors@eu-west-1:error=403/AccessDeniedException/not authorized";
    let output = local(&["reconcile", "--accounts", "60", "--fault", fault]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in [
        "Reconcile: NOT complete",
        "Blocked: access-denied in eu-west-1",
        "AWS says: AccessDeniedException: not authorized",
        "  remedy: ",
        "the function's role",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}
