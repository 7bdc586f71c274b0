//! AWS Account Management: which Regions the account has switched on.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::account_id::is_account_id;
use crate::input::Input;
use crate::page;
use crate::refusal::Refusal;

/// `ListRegions` gives at most this many Regions per page (service model: `MaxResults` 1..50).
const PAGE: usize = 50;
const STATUSES: [&str; 5] = ["ENABLED", "ENABLING", "DISABLING", "DISABLED", "ENABLED_BY_DEFAULT"];

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
            let message = "You are not authorized to perform this operation on the account.";
            return Err(Refusal::new(403, "AccessDeniedException", message));
        }
        let (size, token) = (input.integer("MaxResults")?, input.string("NextToken")?);
        let is_region = |name: &str| self.statuses.contains_key(name);
        let (size, after) = page::asked(size, token, PAGE, is_region)
            .ok_or_else(|| invalid("maxResults or nextToken is not valid"))?;
        let wanted = input.strings("RegionOptStatusContains")?;
        if wanted.iter().any(|status| !STATUSES.contains(status)) {
            return Err(invalid("regionOptStatusContains has an unknown status"));
        }
        let rest = self.statuses.iter().filter(|(region, status)| {
            region.as_str() > after && (wanted.is_empty() || wanted.contains(&status.as_str()))
        });
        let (shown, token) = page::cut(rest, size);
        let shown = shown
            .iter()
            .map(|(region, status)| json!({ "RegionName": region, "RegionOptStatus": status }));
        Ok(json!({ "Regions": shown.collect::<Vec<_>>(), "NextToken": token }))
    }
}

fn invalid(message: &str) -> Refusal {
    Refusal::new(400, "ValidationException", message)
}
