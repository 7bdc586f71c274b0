//! The docs name everything that a person can meet, and the code keeps the shape that the architecture shows.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

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

/// The messages of the log lines in a piece of code: the last text of each macro that writes one.
fn messages(code: &str) -> Vec<&str> {
    let macros = ["info!(", "warn!(", "error!("];
    let calls = macros.iter().flat_map(|name| code.split(name).skip(1));
    let texts = calls.filter_map(|call| {
        let arguments = call.split(");").next()?;
        arguments.rsplit('"').nth(1)
    });
    // The configuration's error is a message of its own.
    texts.filter(|text| *text != "{error}").collect()
}

#[test]
fn the_runbook_has_a_row_for_every_log_line() {
    let table = OPERATIONS.split("\n## Logs\n").nth(1).unwrap_or_default();
    let mut lines = 0;
    for (name, code) in sources() {
        for message in messages(&code) {
            let end = message.find([';', ':']).unwrap_or(message.len());
            let row = format!("| `{}", message.split_at(end).0);
            assert!(table.contains(&row), "{name}: {message}");
            lines += 1;
        }
    }
    assert!(lines > 12, "{lines}");
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

/// The code of each source file, without its tests and comments.
fn sources() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = std::fs::read_dir(folder).expect("src is there");
    let code = files.map(|file| {
        let path = file.expect("src can be read").path();
        let text = std::fs::read_to_string(&path).expect("a source file can be read");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = code.lines().filter(|line| !line.trim().starts_with("//"));
        let name = path.file_name().expect("a file has a name");
        let lines: Vec<&str> = lines.collect();
        (name.to_string_lossy().into_owned(), lines.join("\n"))
    });
    code.filter(|(name, _)| name != "lib.rs").collect()
}

/// The files in the order of the architecture's table.
fn table() -> Vec<String> {
    let table = ARCHITECTURE.split("## Through the code").nth(1);
    let rows = table.unwrap_or_default().lines();
    let cells = rows.filter_map(|row| row.strip_prefix('|')?.split('|').nth(1));
    let words = cells.flat_map(|cell| cell.split('`'));
    let files = words.filter(|word| word.contains(".rs"));
    files.map(str::to_owned).collect()
}

#[test]
fn the_architecture_names_every_source_file_once_and_no_other() {
    let mut named = table();
    named.sort();
    assert_eq!(named, sources().into_keys().collect::<Vec<_>>());
}

#[test]
fn a_file_imports_only_from_files_further_down_the_architectures_table() {
    let table = table();
    let mut imports = 0;
    for (name, code) in sources() {
        let above = table.iter().take_while(|file| **file != name);
        let own: Vec<&String> = above.chain([&name]).collect();
        for module in code.split("crate::").skip(1) {
            let end = module.find(|c: char| !(c.is_ascii_lowercase() || c == '_'));
            let file = format!("{}.rs", module.split_at(end.unwrap_or(module.len())).0);
            assert!(table.contains(&file), "{name}: {file}");
            assert!(!own.contains(&&file), "{name} imports {file} from above");
            imports += 1;
        }
    }
    assert!(imports > 100, "{imports}");
}

#[test]
fn each_sdk_crate_is_named_in_one_file_alone() {
    let manifest = include_str!("../Cargo.toml");
    let lines = manifest.lines().filter(|line| line.starts_with("aws-sdk-"));
    let crates: Vec<String> = lines
        .filter_map(|line| Some(line.split(' ').next()?.replace('-', "_")))
        .collect();
    assert_eq!(crates.len(), 4);
    for name in crates {
        let all = sources();
        let files = all.iter().filter(|(_, code)| code.contains(&name));
        assert_eq!(files.count(), 1, "{name}");
    }
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
