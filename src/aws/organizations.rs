//! The organization's accounts: the only place that calls the Organizations SDK.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_organizations::Client;
use aws_sdk_organizations::config::retry::RetryPartition;
use aws_sdk_organizations::primitives::DateTime;
use aws_sdk_organizations::types;
use decisions::account::{Account, AccountId, Email, State};
use decisions::call_error::{CallError, Failure};
use decisions::operation::Operation;
use decisions::policy::EffectivePolicy;
use decisions::timestamp::Timestamp;

use crate::aws::error;

/// The most accounts on a page of `ListAccounts` (Organizations API reference).
const ACCOUNTS_PER_PAGE: i32 = 20;

/// Organizations, as the administrator account sees it.
#[derive(Debug)]
pub(crate) struct Organizations {
    client: Client,
}

impl Organizations {
    pub(crate) fn new(aws: &SdkConfig) -> Self {
        let config = aws_sdk_organizations::config::Builder::from(aws)
            .retry_partition(RetryPartition::custom("organizations").build())
            .build();
        Self { client: Client::from_conf(config) }
    }

    /// `DescribeAccount`: allowed in the management account and for a delegated administrator of any service.
    ///
    /// # Errors
    /// If Organizations did not describe the account.
    pub(crate) async fn describe_account(&self, id: AccountId) -> Result<Account, CallError> {
        let failed = error::of(Operation::DescribeAccount);
        let call = self.client.describe_account().account_id(id.to_string());
        let reply = call.send().await.map_err(|e| failed(error::failure(&e)))?;
        let described = reply.account().map(account);
        described.ok_or_else(|| failed(Failure::no_answer("the answer has no account")))
    }

    /// `DescribeEffectivePolicy` for GuardDuty and the caller's own account.
    pub(crate) async fn describe_effective_policy(&self) -> EffectivePolicy {
        let failed = error::of(Operation::DescribeEffectivePolicy);
        let kind = types::EffectivePolicyType::GuarddutyPolicy;
        let reply = self.client.describe_effective_policy().policy_type(kind).send().await;
        let reply = match reply {
            Ok(reply) => reply,
            Err(error) => return EffectivePolicy::failed(&failed(error::failure(&error))),
        };
        let policy = reply.effective_policy();
        match policy.and_then(|policy| Some((policy, policy.policy_content()?))) {
            Some((policy, content)) => {
                EffectivePolicy::saying(content, policy.last_updated_timestamp().and_then(moment))
            }
            None => {
                EffectivePolicy::failed(&failed(Failure::no_answer("the answer has no policy")))
            }
        }
    }

    /// One page of `ListAccounts`, and the token of the next.
    ///
    /// # Errors
    /// If Organizations did not answer.
    pub(crate) async fn list_accounts(&self, page: Option<&str>) -> Result<AccountPage, CallError> {
        let failed = error::of(Operation::ListAccounts);
        let call = self
            .client
            .list_accounts()
            .max_results(ACCOUNTS_PER_PAGE)
            .set_next_token(page.map(str::to_owned));
        let reply = call.send().await.map_err(|e| failed(error::failure(&e)))?;
        // The SDK reads a success without a body as a list without accounts, and that would be believed.
        let listed = reply.accounts.as_ref();
        let listed = listed
            .ok_or_else(|| failed(Failure::no_answer("the answer has no list of accounts")))?;
        let accounts = listed.iter().filter_map(|listed| {
            let id = listed.id()?.parse().ok()?;
            Some((id, account(listed)))
        });
        let next = error::next_page(page, reply.next_token()).map_err(failed)?;
        Ok((accounts.collect(), next))
    }
}

/// An account on a page of `ListAccounts`, and the token of the next page.
pub(crate) type AccountPage = (Vec<(AccountId, Account)>, Option<String>);

/// `State` counts; `Status` is being retired (2026-09-09) and serves if `State` is missing.
fn account(described: &types::Account) -> Account {
    let (state, status) = (described.state(), described.status());
    let name =
        state.map(types::AccountState::as_str).or_else(|| status.map(types::AccountStatus::as_str));
    let state = match name {
        Some("ACTIVE") => State::Active,
        Some("PENDING_ACTIVATION") => State::PendingActivation,
        Some("SUSPENDED") => State::Suspended,
        Some("PENDING_CLOSURE") => State::PendingClosure,
        Some("CLOSED") => State::Closed,
        other => State::Unknown(other.unwrap_or("none").to_owned()),
    };
    Account {
        state,
        email: described.email().and_then(Email::unmasked),
        paths: described.paths().to_vec(),
        joined: described.joined_timestamp().and_then(moment),
    }
}

/// A time of AWS; one before 1970 is none.
fn moment(time: &DateTime) -> Option<Timestamp> {
    let seconds = u64::try_from(time.secs()).ok()?;
    Some(Timestamp::since_1970(Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use aws_sdk_organizations::types::{AccountState, AccountStatus};

    use super::*;

    #[test]
    fn the_state_counts_before_the_retired_status() {
        let described = types::Account::builder()
            .state(AccountState::Closed)
            .status(AccountStatus::Suspended)
            .build();
        assert_eq!(account(&described).state, State::Closed);
    }

    #[test]
    fn the_status_serves_if_there_is_no_state() {
        for (status, state) in [
            (AccountStatus::Active, State::Active),
            (AccountStatus::Suspended, State::Suspended),
            (AccountStatus::PendingClosure, State::PendingClosure),
        ] {
            let described = types::Account::builder().status(status).build();
            assert_eq!(account(&described).state, state);
        }
    }

    #[test]
    fn every_documented_state_is_known_and_another_is_kept_by_name() {
        for (name, state) in [
            ("ACTIVE", State::Active),
            ("PENDING_ACTIVATION", State::PendingActivation),
            ("SUSPENDED", State::Suspended),
            ("PENDING_CLOSURE", State::PendingClosure),
            ("CLOSED", State::Closed),
            ("HIBERNATING", State::Unknown("HIBERNATING".to_owned())),
        ] {
            let described = types::Account::builder().state(AccountState::from(name)).build();
            assert_eq!(account(&described).state, state);
        }
        let bare = types::Account::builder().build();
        assert_eq!(account(&bare).state, State::Unknown("none".to_owned()));
    }
}
