//! AWS Organizations: the accounts of one organization, and the two operations that read them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use serde_json::{Value, json};

use crate::account_id::is_account_id;
use crate::epoch::Epoch;
use crate::input::Input;
use crate::page;
use crate::refusal::Refusal;

/// `ListAccounts` gives at most this many accounts per page (service model: `MaxResults` 1..20).
const PAGE: usize = 20;

/// One organization.
#[derive(Clone, Debug)]
pub struct Organization {
    /// `o-…`.
    pub id: String,
    /// The account that owns the organization.
    pub management_account: String,
    /// Every account by its id.
    pub accounts: BTreeMap<String, Account>,
    /// The content of the GuardDuty policy in force for the caller's account.
    pub policy: Option<String>,
    /// Whether the caller's account is not a delegated administrator of any service: every call is refused.
    pub denies: bool,
}

/// One account of the organization. What is `None` is left out of the answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The root user's address.
    pub email: Option<String>,
    /// The account's name.
    pub name: Option<String>,
    /// `PENDING_ACTIVATION`, `ACTIVE`, `SUSPENDED`, `PENDING_CLOSURE` or `CLOSED`.
    pub state: Option<String>,
    /// The retiring predecessor of `state`; its enum knows only `ACTIVE`, `SUSPENDED` and `PENDING_CLOSURE`.
    pub status: Option<String>,
    /// The paths of its organizational units.
    pub paths: Vec<String>,
    /// `CREATED` or `INVITED`.
    pub joined_method: String,
    /// When the account joined, as seconds since 1970.
    pub joined_timestamp: u64,
    /// When the account joined in virtual time; `None` for one that was there before the start.
    pub joined_at: Option<Duration>,
}

impl Account {
    /// An ACTIVE account that the organization has created.
    #[must_use]
    pub fn active(email: &str) -> Self {
        Self {
            email: Some(email.to_owned()),
            name: Some("An account".to_owned()),
            state: Some("ACTIVE".to_owned()),
            status: Some("ACTIVE".to_owned()),
            paths: Vec::new(),
            joined_method: "CREATED".to_owned(),
            joined_timestamp: Epoch::default().0.as_secs(),
            joined_at: None,
        }
    }

    /// One that joined at this time.
    #[must_use]
    pub fn joined(email: &str, at: Duration) -> Self {
        let mut account = Self::active(email);
        account.joined_timestamp += at.as_secs();
        Self { joined_at: Some(at), ..account }
    }

    /// Sets `state`, and `status` as far as its shorter enum has a word for it.
    pub fn set_state(&mut self, state: &str) {
        self.state = Some(state.to_owned());
        self.status =
            ["ACTIVE", "SUSPENDED", "PENDING_CLOSURE"].contains(&state).then(|| state.to_owned());
    }

    pub(crate) fn is_active(&self) -> bool {
        self.state.as_deref().or(self.status.as_deref()) == Some("ACTIVE")
    }
}

impl Organization {
    fn show(&self, id: &str, account: &Account) -> Value {
        let owner = &self.management_account;
        json!({
            "Id": id,
            "Arn": format!("arn:aws:organizations::{owner}:account/{}/{id}", self.id),
            "Email": account.email,
            "Name": account.name,
            "Status": account.status,
            "State": account.state,
            "Paths": (!account.paths.is_empty()).then_some(&account.paths),
            "JoinedMethod": account.joined_method,
            "JoinedTimestamp": account.joined_timestamp,
        })
    }

    pub(crate) fn handle(&self, operation: &str, input: &Input) -> Result<Value, Refusal> {
        if self.denies {
            // The text of DescribeAccount for an account that is not a delegated administrator (API reference).
            let message = "You don't have permissions to access this resource.";
            return Err(Refusal::new(400, "AccessDeniedException", message));
        }
        match operation {
            "DescribeAccount" => self.describe_account(input),
            "DescribeEffectivePolicy" => self.describe_effective_policy(input),
            _ => self.list_accounts(input),
        }
    }

    fn describe_account(&self, input: &Input) -> Result<Value, Refusal> {
        let id = input.string("AccountId")?.unwrap_or_default();
        if !is_account_id(id) {
            return Err(invalid("You provided a value that does not match the required pattern."));
        }
        let account = self.accounts.get(id).ok_or_else(|| {
            let message = "You specified an account that doesn't exist.";
            Refusal::new(400, "AccountNotFoundException", message)
        })?;
        Ok(json!({ "Account": self.show(id, account) }))
    }

    /// Only of the caller's own account. ASSUMED: the answer is the same for each type, because only one is ever asked for.
    fn describe_effective_policy(&self, input: &Input) -> Result<Value, Refusal> {
        let kind = input.string("PolicyType")?.unwrap_or_default();
        if !POLICY_TYPES.contains(&kind) {
            return Err(invalid("You specified an invalid value."));
        }
        if let Some(target) = input.string("TargetId")? {
            if !is_account_id(target) {
                return Err(invalid("You specified an invalid value."));
            }
            let message = "We can't find the root, OU, or account that you specified.";
            return Err(Refusal::new(400, "TargetNotFoundException", message));
        }
        let policy = self.policy.as_ref().ok_or_else(|| {
            // ASSUMED: the text.
            let message = "There is no effective policy of this type for the account.";
            Refusal::new(400, "EffectivePolicyNotFoundException", message)
        })?;
        Ok(json!({ "EffectivePolicy": {
            "PolicyContent": policy, "PolicyType": kind, "LastUpdatedTimestamp": 1_767_225_600,
        } }))
    }

    fn list_accounts(&self, input: &Input) -> Result<Value, Refusal> {
        let (size, token) = (input.integer("MaxResults")?, input.string("NextToken")?);
        let (size, after) = page::asked(size, token, PAGE, is_account_id)
            .ok_or_else(|| invalid("MaxResults or NextToken is not valid."))?;
        let accounts = &self.accounts;
        let rest = accounts.range::<str, _>((Bound::Excluded(after), Bound::Unbounded));
        let (shown, token) = page::cut(rest, size);
        let shown: Vec<_> = shown.iter().map(|(id, account)| self.show(id, account)).collect();
        Ok(json!({ "Accounts": shown, "NextToken": token }))
    }
}

/// The types of a policy that can be in force (service model, `EffectivePolicyType`).
const POLICY_TYPES: [&str; 13] = [
    "AISERVICES_OPT_OUT_POLICY",
    "BACKUP_POLICY",
    "BEDROCK_POLICY",
    "CHATBOT_POLICY",
    "DECLARATIVE_POLICY_EC2",
    "GUARDDUTY_POLICY",
    "INSPECTOR_POLICY",
    "NETWORK_SECURITY_DIRECTOR_POLICY",
    "S3_POLICY",
    "SECURITYHUB_CSPM_POLICY",
    "SECURITYHUB_POLICY",
    "TAG_POLICY",
    "UPGRADE_ROLLOUT_POLICY",
];

fn invalid(message: &str) -> Refusal {
    Refusal::new(400, "InvalidInputException", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::{NEW_ACCOUNT, Setup};
    use crate::state::State;

    #[test]
    fn an_account_that_is_not_a_delegated_administrator_is_refused() {
        let mut organization = State::new(&Setup::default()).organization;
        let input = Input::of(&json!({ "AccountId": NEW_ACCOUNT })).unwrap();
        for operation in ["DescribeAccount", "ListAccounts"] {
            organization.denies = false;
            assert!(organization.handle(operation, &input).is_ok());
            organization.denies = true;
            let refusal = organization.handle(operation, &input).unwrap_err();
            assert_eq!((refusal.status, refusal.code.as_str()), (400, "AccessDeniedException"));
            assert_eq!(refusal.message, "You don't have permissions to access this resource.");
        }
    }
}
