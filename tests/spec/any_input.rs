//! Events and messages that nobody thought of: the samples of `events/`, changed at random. Whatever comes in, the
//! function answers, and it enrolls no account that the input does not name.

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use crate::world::{TIMEOUT, World, event};

/// One change of a JSON document, at a place that an index picks.
#[derive(Debug, Clone)]
enum Change {
    Remove(Index),
    Replace(Index, Value),
    /// A part is put into the place of another.
    Move(Index, Index),
    /// A part becomes a text of itself.
    Quote(Index),
}

fn changes() -> impl Strategy<Value = Change> {
    let index = any::<Index>();
    let leaves = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        select(vec![
            json!("someone@example.com"),
            json!("Not Available"),
            json!("555566667777"),
            json!("222222222222"),
            json!("999999999999"),
            json!("1.0"),
            json!(1),
            json!([]),
            json!({}),
        ]),
    ];
    prop_oneof![
        index.prop_map(Change::Remove),
        (any::<Index>(), leaves).prop_map(|(at, value)| Change::Replace(at, value)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Move(from, to)),
        any::<Index>().prop_map(Change::Quote),
    ]
}

/// The JSON pointers of all parts but the document itself.
fn parts(value: &Value, path: &str, parts: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(items) => {
            items.iter().enumerate().map(|(n, value)| (n.to_string(), value)).collect()
        }
        _ => Vec::new(),
    };
    for (name, child) in children {
        let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
        parts.push(path.clone());
        self::parts(child, &path, parts);
    }
}

fn change(document: &mut Value, change: &Change) {
    let mut all = Vec::new();
    parts(document, "", &mut all);
    if all.is_empty() {
        return;
    }
    let pick = |index: &Index| all[index.index(all.len())].as_str();
    match change {
        Change::Remove(at) => {
            let (parent, name) = pick(at).rsplit_once('/').unwrap();
            match document.pointer_mut(parent) {
                Some(Value::Object(members)) => {
                    members.remove(&name.replace("~1", "/").replace("~0", "~"));
                }
                Some(Value::Array(items)) => {
                    items.remove(name.parse().unwrap());
                }
                _ => {}
            }
        }
        Change::Replace(at, value) => *document.pointer_mut(pick(at)).unwrap() = value.clone(),
        Change::Move(from, to) => {
            let part = document.pointer(pick(from)).unwrap().clone();
            *document.pointer_mut(pick(to)).unwrap() = part;
        }
        Change::Quote(at) => {
            let part = document.pointer_mut(pick(at)).unwrap();
            *part = Value::from(part.to_string());
        }
    }
}

/// The names of the samples.
fn samples() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("events");
    let files = std::fs::read_dir(folder).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name != "README.md").collect();
    names.sort();
    names
}

/// A sample with up to four changes.
fn documents() -> impl Strategy<Value = Value> {
    let changes = prop::collection::vec(changes(), 0..5);
    (select(samples()), changes).prop_map(|(name, changes)| {
        let mut document = event(&name);
        for each in &changes {
            change(&mut document, each);
        }
        document
    })
}

/// Runs a check for inputs of a kind, always the same ones.
fn check<T: std::fmt::Debug>(inputs: impl Strategy<Value = T>, check: impl Fn(T)) {
    let config = Config { cases: 256, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[1; 32]);
    let checked = TestRunner::new_with_rng(config, rng).run(&inputs, |input| {
        check(input);
        Ok(())
    });
    if let Err(failure) = checked {
        panic!("{failure}");
    }
}

/// What the function answers to a payload in a fresh world.
fn answer(payload: &str) -> Result<Value, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let world = World::new_for_any_input();
        let reply = world.invoke_raw(payload, TIMEOUT).await;
        for call in world.calls("CreateMembers") {
            for account in &call.accounts {
                assert!(is_named(account, payload), "nobody named {account}: {payload}");
            }
        }
        if reply.is_err() {
            assert_eq!(world.all_calls(), 0, "an error, but a call: {payload}");
        }
        reply.map_err(|error| error.to_string())
    })
}

/// A reconcile is for all accounts.
fn is_named(account: &str, payload: &str) -> bool {
    payload.contains(account) || payload.contains("reconcile")
}

#[test]
fn any_changed_sample_is_answered_and_only_named_accounts_are_enrolled() {
    check(documents(), |document| {
        let text = document.to_string();
        if let Err(error) = answer(&text) {
            assert!(error.len() < 2_000 && !error.contains('@'), "{error}");
        }
    });
}

#[test]
fn any_changed_text_of_a_sample_is_answered() {
    let edits = prop::collection::vec((any::<Index>(), any::<char>(), 0..3_u8), 1..4);
    check((select(samples()), edits), |(name, edits)| {
        let mut text: Vec<char> = event(&name).to_string().chars().collect();
        for (at, character, edit) in edits {
            let at = at.index(text.len());
            match edit {
                0 => text[at] = character,
                1 => text.insert(at, character),
                _ => text.truncate(at.max(1)),
            }
        }
        let text: String = text.into_iter().collect();
        let _: Result<Value, String> = answer(&text);
    });
}

#[test]
fn any_changed_sample_as_a_message_is_done_or_stays_and_never_fails_its_batch() {
    check(documents(), |document| {
        let batch = json!({"Records": [{
            "messageId": "m-1",
            "receiptHandle": "r-1",
            "body": document.to_string(),
            "attributes": {"ApproximateReceiveCount": "1"},
            "messageAttributes": {},
            "eventSource": "aws:sqs",
        }]});
        let reply = answer(&batch.to_string());
        let stays = json!({"batchItemFailures": [{"itemIdentifier": "m-1"}]});
        let done = json!({"batchItemFailures": []});
        assert!([Ok(stays), Ok(done)].contains(&reply), "{document}: {reply:?}");
    });
}
