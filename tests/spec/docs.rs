//! The docs name everything that a person can meet, as the code has it.

use std::cell::RefCell;
use std::collections::BTreeSet;

use decisions::configuration::Configuration;
use decisions::reason::Reason;
use decisions::status::Status;

const OPERATIONS: &str = include_str!("../../docs/operations.md");
const ARCHITECTURE: &str = include_str!("../../docs/architecture.md");

#[test]
fn the_runbooks_table_of_reasons_is_the_codes() {
    let table = OPERATIONS.split("\n## Reasons\n").nth(1).unwrap_or_default();
    let rows = table.lines().skip_while(|line| !line.starts_with("| `"));
    let rows: Vec<&str> = rows.take_while(|line| line.starts_with('|')).collect();
    let cell = |text: &str| text.replace('|', "\\|");
    let expected = Reason::ALL.iter().map(|reason| {
        let (code, status) = (reason.code(), reason.status().name());
        let (meaning, remedy) = (cell(reason.meaning()), cell(reason.remedy()));
        format!("| `{code}` | {status} | {meaning} | {remedy} |")
    });
    let expected: Vec<String> = expected.collect();
    assert_eq!(rows, expected, "the table:\n{}\n", expected.join("\n"));
}

#[test]
fn the_readme_names_every_environment_variable() {
    let readme = include_str!("../../README.md");
    let names = RefCell::new(BTreeSet::new());
    let _ = Configuration::read(|name| {
        names.borrow_mut().insert(name.to_owned());
        None
    });
    let names = names.into_inner();
    assert!(!names.is_empty());
    for name in names {
        assert!(readme.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn the_picture_of_a_pairs_life_has_every_outcome_and_a_way_to_and_from_each() {
    let picture = ARCHITECTURE.split("stateDiagram-v2").nth(1);
    let picture = picture.and_then(|rest| rest.split("```").next());
    let lines: Vec<&str> = picture.unwrap_or_default().lines().map(str::trim).collect();
    let mut states = Vec::new();
    for line in &lines {
        let Some((name, id)) =
            line.strip_prefix("state \"").and_then(|rest| rest.split_once("\" as "))
        else {
            continue;
        };
        let reached = lines.iter().any(|line| {
            let target = line.split("--> ").nth(1).unwrap_or_default();
            target.split(':').next() == Some(id)
        });
        let left = lines.iter().any(|line| line.starts_with(&format!("{id} --> ")));
        assert!(reached && left, "{name}");
        if !name.contains(' ') {
            states.push(name);
        }
    }
    assert_eq!(states, Status::ALL.map(Status::name));
}

#[test]
fn no_document_has_a_place_that_was_never_filled() {
    let documents = [
        include_str!("../../README.md"),
        include_str!("../../docs/performance.md"),
        OPERATIONS,
        ARCHITECTURE,
        include_str!("../../docs/deploy.md"),
        include_str!("../../docs/testing.md"),
    ];
    for document in documents {
        let word = document
            .lines()
            .find(|line| line.len() > 3 && line.chars().all(|c| c.is_ascii_uppercase()));
        assert_eq!(word, None);
    }
}
