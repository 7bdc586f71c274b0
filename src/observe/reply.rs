//! What the function answers a person.

use std::collections::BTreeMap;

use decisions::account::AccountId;
use decisions::pair::PairOutcomes;
use decisions::reason::Reason;
use decisions::redacted::Redacted;
use decisions::region::Region;
use serde::Serialize;
use serde_json::{Value, json};

/// An account's part of the reply.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AccountReply<'a> {
    account_id: AccountId,
    regions: BTreeMap<&'a Region, PairReply<'a>>,
}

/// A pair's part. What is `None` is left out.
#[derive(Serialize)]
struct PairReply<'a> {
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Redacted>,
}

/// The longest text of a pair in a reply, in characters. Ours: 100 accounts in 34 Regions with texts of 300 characters of 4
/// bytes are 4.5 MB, and Lambda's reply takes 6 MB (Lambda quotas).
const MAX_RESULT_CHARACTERS: usize = 300;

/// An event that names no account to enroll, and why.
pub(crate) fn ignored(why: &str) -> Value {
    json!({ "ignored": why })
}

/// What became of each pair.
pub(crate) fn pairs(outcomes: &PairOutcomes) -> Value {
    let mut accounts: BTreeMap<AccountId, AccountReply<'_>> = BTreeMap::new();
    for (pair, outcome) in outcomes {
        let account = accounts
            .entry(pair.account)
            .or_insert(AccountReply { account_id: pair.account, regions: BTreeMap::new() });
        let reply = PairReply {
            outcome: outcome.status.name(),
            reason: outcome.reason,
            result: outcome.result.as_ref().map(|text| text.cut(MAX_RESULT_CHARACTERS)),
        };
        account.regions.insert(&pair.region, reply);
    }
    json!({ "accounts": accounts.into_values().collect::<Vec<_>>() })
}
