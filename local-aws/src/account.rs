//! AWS Account Management: which Regions the account has switched on.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::account_id::is_account_id;
use crate::input::Input;
use crate::page;
use crate::refusal::Refusal;

/// `ListRegions` gives at most this many Regions a page (service model: `MaxResults` 1..50).
const PAGE: usize = 50;
const STATUSES: [&str; 5] = [
    "ENABLED",
    "ENABLING",
    "DISABLING",
    "DISABLED",
    "ENABLED_BY_DEFAULT",
];

/// The Regions of the administrator's account with their opt-in status.
#[derive(Clone, Debug, Default)]
pub struct OptRegions {
    /// Region → `ENABLED`, `ENABLING`, `DISABLING`, `DISABLED` or `ENABLED_BY_DEFAULT`.
    pub statuses: BTreeMap<String, String>,
}

impl OptRegions {
    /// `ListRegions`, the only operation.
    pub(crate) fn handle(&self, input: &Input) -> Result<Value, Refusal> {
        if let Some(id) = input.string("AccountId")? {
            if !is_account_id(id) {
                return Err(invalid("accountId must be 12 digits"));
            }
            // Only the management account and a delegated administrator for Account Management may name an account.
            return Err(Refusal::new(
                403,
                "AccessDeniedException",
                "You are not authorized to perform this operation on the account.",
            ));
        }
        let size = page::size(input.integer("MaxResults")?, PAGE)
            .ok_or_else(|| invalid("maxResults must be between 1 and 50"))?;
        let is_region = |name: &str| self.statuses.contains_key(name);
        let after = page::after(input.string("NextToken")?, is_region)
            .ok_or_else(|| invalid("nextToken is not valid"))?;
        let wanted = input
            .strings("RegionOptStatusContains")?
            .unwrap_or_default();
        if let Some(unknown) = wanted.iter().find(|status| !STATUSES.contains(status)) {
            return Err(invalid(&format!("{unknown} is no Region opt status")));
        }
        let rest = self
            .statuses
            .iter()
            .filter(|(region, _)| region.as_str() > after)
            .filter(|(_, status)| wanted.is_empty() || wanted.contains(&status.as_str()));
        let (shown, token) = page::cut(rest, size);
        let mut answer = Map::new();
        if let Some(token) = token {
            answer.insert("NextToken".to_owned(), Value::String(token));
        }
        let regions = shown
            .iter()
            .map(|(region, status)| json!({ "RegionName": region, "RegionOptStatus": status }))
            .collect();
        answer.insert("Regions".to_owned(), Value::Array(regions));
        Ok(Value::Object(answer))
    }
}

fn invalid(message: &str) -> Refusal {
    Refusal::new(400, "ValidationException", message)
}
