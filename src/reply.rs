//! What the function answers: a person's reply, or Lambda's list of messages that are not done.

use std::collections::{BTreeMap, BTreeSet};

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse};
use serde_json::{Map, Value, json};

use crate::account::AccountId;
use crate::pair::PairEndings;

/// An event that is no join, and why.
#[must_use]
pub fn ignored(why: &str) -> Value {
    json!({ "ignored": why })
}

/// The messages that Lambda is not to delete (`batchItemFailures`).
#[must_use]
pub fn not_done(not_done: BTreeSet<String>) -> Value {
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures = not_done
        .into_iter()
        .map(|id| {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = id;
            failure
        })
        .collect();
    json!(response)
}

/// `{"accounts": [{"accountId": …, "regions": {"eu-west-1": {"outcome": …, "reason": …, "result": …}}}]}`
#[must_use]
pub fn pairs(endings: &PairEndings) -> Value {
    let mut accounts: BTreeMap<AccountId, Map<String, Value>> = BTreeMap::new();
    for (pair, ending) in endings {
        let mut said = Map::new();
        said.insert("outcome".to_owned(), json!(ending.outcome.name()));
        if let Some(reason) = ending.outcome.reason() {
            said.insert("reason".to_owned(), json!(reason.code()));
        }
        if let Some(result) = &ending.result {
            said.insert("result".to_owned(), json!(result));
        }
        let regions = accounts.entry(pair.account).or_default();
        regions.insert(pair.region.to_string(), Value::Object(said));
    }
    let accounts: Vec<Value> = accounts
        .into_iter()
        .map(|(account, regions)| json!({ "accountId": account, "regions": regions }))
        .collect();
    json!({ "accounts": accounts })
}
