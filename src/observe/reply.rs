//! What the function answers a person.

use std::collections::BTreeMap;

use decisions::account::AccountId;
use decisions::pair::PairOutcomes;
use serde_json::{Map, Value, json};

/// An event that names no account to enroll, and why.
pub(crate) fn ignored(why: &str) -> Value {
    json!({ "ignored": why })
}

/// `{"accounts": [{"accountId": …, "regions": {"eu-west-1": {"outcome": …, "reason": …, "result": …}}}]}`
pub(crate) fn pairs(outcomes: &PairOutcomes) -> Value {
    let mut accounts: BTreeMap<AccountId, Map<String, Value>> = BTreeMap::new();
    for (pair, outcome) in outcomes {
        let mut shown = json!({ "outcome": outcome.status.name() });
        if let Some(reason) = outcome.reason {
            shown["reason"] = json!(reason.code());
        }
        if let Some(result) = &outcome.result {
            shown["result"] = json!(result);
        }
        let regions = accounts.entry(pair.account).or_default();
        regions.insert(pair.region.to_string(), shown);
    }
    let accounts = accounts
        .into_iter()
        .map(|(account, regions)| json!({ "accountId": account, "regions": regions }));
    json!({ "accounts": accounts.collect::<Vec<_>>() })
}
