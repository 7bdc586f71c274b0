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
fn a_reconcile_with_a_fault_names_the_remedy_and_ends_badly_if_the_region_must_be_covered() {
    let fault = "ListDetectors@eu-west-1:error=403/AccessDeniedException/not authorized";
    let listed = "REGIONS=ap-southeast-2,eu-west-1";
    for (regions, code, parts) in [
        (listed, 1, ["Reconcile: NOT complete", "Blocked: access-denied in eu-west-1"]),
        ("REGIONS=all", 0, ["Reconcile: complete", "Uncovered: access-denied in eu-west-1"]),
    ] {
        let arguments = ["reconcile", "--accounts", "60", "--env", regions, "--fault", fault];
        let output = local(&arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(code), "{text}");
        let same = [
            "AWS says: AccessDeniedException: not authorized",
            "  remedy: ",
            "the function's role",
        ];
        for part in parts.into_iter().chain(same) {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
