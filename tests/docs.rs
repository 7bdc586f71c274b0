//! The docs name everything that a person can meet.

use guardduty_enroller::outcome::{Outcome, Reason};

const OPERATIONS: &str = include_str!("../docs/operations.md");
const ARCHITECTURE: &str = include_str!("../docs/architecture.md");

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

/// Every outcome; the match makes a new one fail to compile here.
fn outcomes() -> Vec<&'static str> {
    let reason = Reason::Unknown;
    let all = [
        Outcome::Enrolled,
        Outcome::AlreadyEnabled,
        Outcome::Pending(reason),
        Outcome::Deferred(reason),
        Outcome::Refused(reason),
        Outcome::Skipped(reason),
    ];
    for outcome in all {
        match outcome {
            Outcome::Enrolled
            | Outcome::AlreadyEnabled
            | Outcome::Pending(_)
            | Outcome::Deferred(_)
            | Outcome::Refused(_)
            | Outcome::Skipped(_) => {}
        }
    }
    all.map(Outcome::name).to_vec()
}

#[test]
fn the_picture_of_a_pairs_life_has_every_outcome_and_a_way_to_and_from_each() {
    let picture = ARCHITECTURE.split("stateDiagram-v2").nth(1);
    let picture = picture.and_then(|rest| rest.split("```").next());
    let lines: Vec<&str> = picture.unwrap_or_default().lines().map(str::trim).collect();
    let mut states = Vec::new();
    for line in &lines {
        let Some((name, id)) = line
            .strip_prefix("state \"")
            .and_then(|rest| rest.split_once("\" as "))
        else {
            continue;
        };
        let reached = lines.iter().any(|line| {
            let target = line.split("--> ").nth(1).unwrap_or_default();
            target.split(':').next() == Some(id)
        });
        let left = lines
            .iter()
            .any(|line| line.starts_with(&format!("{id} --> ")));
        assert!(reached && left, "{name}");
        if !name.contains(' ') {
            states.push(name);
        }
    }
    assert_eq!(states, outcomes());
}

#[test]
fn the_architecture_names_every_source_file_and_no_other() {
    let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files: Vec<String> = std::fs::read_dir(sources)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name != "lib.rs")
        .collect();
    let table = ARCHITECTURE.split("## Through the code").nth(1);
    let rows = table
        .unwrap_or_default()
        .lines()
        .filter(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.split('|').nth(2));
    let mut named: Vec<String> = cells
        .flat_map(|cell| cell.split('`'))
        .filter(|word| word.contains(".rs"))
        .map(str::to_owned)
        .collect();
    files.sort();
    named.sort();
    assert_eq!(named, files);
}

#[test]
fn no_document_has_a_place_that_was_never_filled() {
    let documents = [
        include_str!("../README.md"),
        include_str!("../docs/performance.md"),
        OPERATIONS,
        ARCHITECTURE,
        include_str!("../docs/deploy.md"),
        include_str!("../docs/testing.md"),
    ];
    for document in documents {
        let word = document
            .lines()
            .find(|line| line.len() > 3 && line.chars().all(|c| c.is_ascii_uppercase()));
        assert_eq!(word, None);
    }
}
