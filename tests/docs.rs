//! The docs name everything that a person can meet.

use guardduty_enroller::outcome::Reason;

const OPERATIONS: &str = include_str!("../docs/operations.md");

#[test]
fn the_runbook_has_a_row_for_every_reason_and_for_no_other() {
    let table = OPERATIONS
        .split("\n## Reasons\n")
        .nth(1)
        .unwrap_or_default();
    let table = table.split("\n## ").next().unwrap_or_default();
    let rows = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let mut documented: Vec<&str> = rows.collect();
    let mut reasons: Vec<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    documented.sort_unstable();
    reasons.sort_unstable();
    assert_eq!(documented, reasons);
}

#[test]
fn the_readme_names_every_environment_variable() {
    let readme = include_str!("../README.md");
    let configuration = include_str!("../src/configuration.rs");
    let read = configuration.split("reader.").filter_map(|call| {
        let arguments = call
            .strip_prefix("required(\"")
            .or_else(|| call.strip_prefix("optional(\""))?;
        arguments.split('"').next()
    });
    let names: Vec<&str> = read.collect();
    assert_eq!(names.len(), 9);
    for name in names {
        assert!(readme.contains(&format!("`{name}`")), "{name}");
    }
}
