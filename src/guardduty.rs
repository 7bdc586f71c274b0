//! GuardDuty in one Region, as seen from the delegated administrator: the only place that calls its SDK.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_config::SdkConfig;
use aws_sdk_guardduty::Client;
use aws_sdk_guardduty::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_guardduty::config::retry::RetryPartition;
use aws_sdk_guardduty::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_guardduty::error::BoxError;
use aws_sdk_guardduty::operation::get_members::GetMembersOutput;
use aws_sdk_guardduty::types::{AccountDetail, Member, UnprocessedAccount};

use crate::account::{AccountId, Email};
use crate::failure::{self, Failure};
use crate::region::Region;
use crate::text::SafeText;
use crate::verdict;

/// The most accounts that `CreateMembers`, `GetMembers` and `StartMonitoringMembers` take in one call
/// (GuardDuty API reference). The SDK sends 51 without complaint.
pub const ACCOUNTS_A_CALL: usize = 50;

/// The most members on a page of `ListMembers` (GuardDuty API reference).
const MEMBERS_A_PAGE: i32 = 50;

/// GuardDuty in every Region that was asked for so far; kept while the environment lives.
#[derive(Debug)]
pub struct GuardDuty {
    aws: SdkConfig,
    regions: Mutex<BTreeMap<Region, Arc<RegionalGuardDuty>>>,
}

impl GuardDuty {
    /// No client is built before its Region is asked for.
    #[must_use]
    pub fn new(aws: &SdkConfig) -> Self {
        Self {
            aws: aws.clone(),
            regions: Mutex::default(),
        }
    }

    /// GuardDuty in `region`.
    pub fn in_region(&self, region: &Region) -> Arc<RegionalGuardDuty> {
        let mut regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        let regional = regions
            .entry(region.clone())
            .or_insert_with(|| Arc::new(RegionalGuardDuty::new(&self.aws, region)));
        Arc::clone(regional)
    }
}

/// GuardDuty in one Region, with the detector once it was looked up.
#[derive(Debug)]
pub struct RegionalGuardDuty {
    client: Client,
    detector_id: Mutex<Option<String>>,
}

/// Why a call did not come to an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallFailed {
    /// GuardDuty has no detector in this Region: it is not enabled here.
    NoDetector,
    /// The call failed, at this detector where it came to that.
    At(Option<String>, Failure),
}

/// What `GetMembers` says of the accounts it was asked for; an account that it does not know is in neither map.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Members {
    /// `relationshipStatus` by account. A free string: compare without case.
    pub status: BTreeMap<AccountId, String>,
    /// GuardDuty's text by account that it did not process.
    pub unprocessed: Unprocessed,
}

/// GuardDuty's text by account that it did not process (`unprocessedAccounts`).
pub type Unprocessed = BTreeMap<AccountId, SafeText>;

/// A page of `ListMembers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberPage {
    /// `relationshipStatus` by account.
    pub status: Vec<(AccountId, String)>,
    /// The token of the next page, if there is one.
    pub next: Option<String>,
}

/// What the organization's settings in a Region say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganizationSettings {
    /// `autoEnableOrganizationMembers`: `NEW`, `ALL` or `NONE`.
    pub auto_enable: Option<String>,
    /// `memberAccountLimitReached`.
    pub member_limit_reached: Option<bool>,
}

/// An answer and the detector that gave it.
pub type At<T> = (T, String);

impl RegionalGuardDuty {
    fn new(aws: &SdkConfig, region: &Region) -> Self {
        let config = aws_sdk_guardduty::config::Builder::from(aws)
            .region(aws_sdk_guardduty::config::Region::new(
                region.as_str().to_owned(),
            ))
            // A retry budget of this client's own. The SDK's default is one for each Region too, but static: the
            // environments of one process, as tests have them, would share it.
            .retry_partition(RetryPartition::custom(format!("guardduty-{region}")).build())
            .interceptor(NoEmptyAnswer)
            .build();
        Self {
            client: Client::from_conf(config),
            detector_id: Mutex::default(),
        }
    }

    /// `GetMembers` for up to 50 accounts.
    ///
    /// # Errors
    /// Where the call came to no answer; nothing is known of the accounts then.
    pub async fn get_members(&self, accounts: &[AccountId]) -> Result<At<Members>, CallFailed> {
        let ids: Vec<String> = accounts.iter().map(ToString::to_string).collect();
        self.at_detector(async |detector_id| {
            let reply = self
                .client
                .get_members()
                .detector_id(detector_id)
                .set_account_ids(Some(ids.clone()))
                .send()
                .await?;
            Ok(members(&reply))
        })
        .await
    }

    /// `CreateMembers` for up to 50 accounts; returns GuardDuty's text for each that it did not process.
    ///
    /// # Errors
    /// Where the call came to no answer; it may have taken effect all the same.
    pub async fn create_members(
        &self,
        accounts: &[(AccountId, Email)],
    ) -> Result<At<Unprocessed>, CallFailed> {
        self.at_detector(async |detector_id| {
            let details = accounts.iter().map(|(id, email)| {
                AccountDetail::builder()
                    .account_id(id.to_string())
                    .email(email.expose())
                    .build()
            });
            let reply = self
                .client
                .create_members()
                .detector_id(detector_id)
                .set_account_details(Some(details.collect()))
                .send()
                .await?;
            Ok(unprocessed(reply.unprocessed_accounts()))
        })
        .await
    }

    /// `StartMonitoringMembers` for up to 50 suspended members; returns GuardDuty's text for each that it did
    /// not process.
    ///
    /// # Errors
    /// Where the call came to no answer; it may have taken effect all the same.
    pub async fn start_monitoring_members(
        &self,
        accounts: &[AccountId],
    ) -> Result<At<Unprocessed>, CallFailed> {
        let ids: Vec<String> = accounts.iter().map(ToString::to_string).collect();
        self.at_detector(async |detector_id| {
            let reply = self
                .client
                .start_monitoring_members()
                .detector_id(detector_id)
                .set_account_ids(Some(ids.clone()))
                .send()
                .await?;
            Ok(unprocessed(reply.unprocessed_accounts()))
        })
        .await
    }

    /// `DescribeOrganizationConfiguration`: only the delegated administrator gets an answer.
    ///
    /// # Errors
    /// Where the call came to no answer.
    pub async fn describe_organization_configuration(
        &self,
    ) -> Result<OrganizationSettings, CallFailed> {
        let (settings, _) = self
            .at_detector(async |detector_id| {
                let reply = self
                    .client
                    .describe_organization_configuration()
                    .detector_id(detector_id)
                    .send()
                    .await?;
                let auto_enable = reply.auto_enable_organization_members();
                Ok(OrganizationSettings {
                    auto_enable: auto_enable.map(|setting| setting.as_str().to_owned()),
                    member_limit_reached: reply.member_account_limit_reached(),
                })
            })
            .await?;
        Ok(settings)
    }

    /// One page of `ListMembers`, members that are no longer associated included: each with its
    /// `relationshipStatus`, and the token of the next page.
    ///
    /// # Errors
    /// Where the call came to no answer; a token can expire.
    pub async fn list_members(&self, page: Option<&str>) -> Result<MemberPage, CallFailed> {
        let (page, _) = self
            .at_detector(async |detector_id| {
                let reply = self
                    .client
                    .list_members()
                    .detector_id(detector_id)
                    .only_associated("false")
                    .max_results(MEMBERS_A_PAGE)
                    .set_next_token(page.map(str::to_owned))
                    .send()
                    .await?;
                Ok(MemberPage {
                    status: statuses(reply.members()).collect(),
                    next: failure::next_page(page, reply.next_token())?,
                })
            })
            .await?;
        Ok(page)
    }

    /// Makes a call at the Region's detector; if GuardDuty says that the detector is not ours, looks it up anew
    /// and makes the call once more.
    async fn at_detector<T>(
        &self,
        call: impl AsyncFn(&str) -> Result<T, Failure>,
    ) -> Result<At<T>, CallFailed> {
        let detector_id = self.detector().await?;
        match call(&detector_id).await {
            Err(failure) if verdict::blames_the_detector(&failure) => {
                self.remember(None);
                let detector_id = self.detector().await?;
                let again = call(&detector_id).await;
                again
                    .map_err(|failure| {
                        self.remember(None);
                        CallFailed::At(Some(detector_id.clone()), failure)
                    })
                    .map(|answer| (answer, detector_id))
            }
            Err(failure) => Err(CallFailed::At(Some(detector_id), failure)),
            Ok(answer) => Ok((answer, detector_id)),
        }
    }

    /// The Region's detector: there is at most one.
    async fn detector(&self) -> Result<String, CallFailed> {
        let known = self
            .detector_id
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(detector_id) = known {
            return Ok(detector_id);
        }
        let reply = self.client.list_detectors().send().await;
        let reply = reply.map_err(|error| CallFailed::At(None, error.into()))?;
        let first = reply.detector_ids().first().cloned();
        // That there is none is not remembered: someone may be about to enable GuardDuty here.
        self.remember(first.clone());
        first.ok_or(CallFailed::NoDetector)
    }

    fn remember(&self, detector_id: Option<String>) {
        *self
            .detector_id
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = detector_id;
    }
}

/// Takes a success without a body for no answer. The SDK reads it as `{}`: no detector, no member, nobody
/// unprocessed, and each of these would be believed.
#[derive(Debug)]
struct NoEmptyAnswer;

impl Intercept for NoEmptyAnswer {
    fn name(&self) -> &'static str {
        "NoEmptyAnswer"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        if response.status().is_success() && response.body().content_length() == Some(0) {
            return Err("the answer was empty".into());
        }
        Ok(())
    }
}

fn members(reply: &GetMembersOutput) -> Members {
    Members {
        status: statuses(reply.members()).collect(),
        unprocessed: unprocessed(reply.unprocessed_accounts()),
    }
}

fn statuses(members: &[Member]) -> impl Iterator<Item = (AccountId, String)> {
    members.iter().filter_map(|member| {
        let id = member.account_id()?.parse().ok()?;
        Some((id, member.relationship_status()?.to_owned()))
    })
}

/// GuardDuty's text by account. HTTP 200 says nothing: an account in this list was not processed.
fn unprocessed(accounts: &[UnprocessedAccount]) -> Unprocessed {
    let texts = accounts.iter().filter_map(|account| {
        let id = account.account_id()?.parse().ok()?;
        Some((id, SafeText::new(account.result().unwrap_or_default())))
    });
    texts.collect()
}

#[cfg(test)]
mod tests {
    use aws_sdk_guardduty::operation::create_members::CreateMembersOutput;

    use super::*;

    fn id(text: &str) -> AccountId {
        text.parse().unwrap()
    }

    fn refused(account: &str, text: &str) -> UnprocessedAccount {
        UnprocessedAccount::builder()
            .account_id(account)
            .result(text)
            .build()
    }

    #[test]
    fn no_unprocessed_account_means_that_all_were_accepted() {
        let reply = CreateMembersOutput::builder().build();
        assert!(unprocessed(reply.unprocessed_accounts()).is_empty());
    }

    #[test]
    fn each_unprocessed_account_keeps_its_own_text() {
        let reply = CreateMembersOutput::builder()
            .unprocessed_accounts(refused("444455556666", "Internal error"))
            .unprocessed_accounts(refused("555566667777", "Something else"))
            .build();
        let texts = unprocessed(reply.unprocessed_accounts());
        assert_eq!(texts.len(), 2);
        assert_eq!(
            texts.get(&id("444455556666")).unwrap().as_str(),
            "Internal error"
        );
        assert_eq!(
            texts.get(&id("555566667777")).unwrap().as_str(),
            "Something else"
        );
    }

    #[test]
    fn an_unprocessed_account_without_a_text_is_still_unprocessed() {
        let bare = UnprocessedAccount::builder()
            .account_id("444455556666")
            .build();
        assert_eq!(
            unprocessed(&[bare])
                .get(&id("444455556666"))
                .unwrap()
                .as_str(),
            ""
        );
    }

    #[test]
    fn members_and_unprocessed_accounts_are_told_apart() {
        let enabled = Member::builder()
            .account_id("444455556666")
            .relationship_status("Enabled")
            .build();
        let reply = GetMembersOutput::builder()
            .members(enabled)
            .unprocessed_accounts(refused("555566667777", "not an associated member"))
            .build();
        let members = members(&reply);
        assert_eq!(members.status.get(&id("444455556666")).unwrap(), "Enabled");
        assert_eq!(members.status.len(), 1);
        assert_eq!(members.unprocessed.len(), 1);
    }

    #[test]
    fn a_member_without_a_status_is_not_counted_as_one() {
        let odd = Member::builder().account_id("444455556666").build();
        let reply = GetMembersOutput::builder().members(odd).build();
        assert!(members(&reply).status.is_empty());
    }
}
