//! GuardDuty in one Region, as seen from the delegated administrator: the only place that calls its SDK.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_guardduty::Client;
use aws_sdk_guardduty::config::interceptors::{
    AfterDeserializationInterceptorContextRef, InterceptorContext,
};
use aws_sdk_guardduty::config::retry::{ClassifyRetry, RetryAction, RetryPartition};
use aws_sdk_guardduty::config::timeout::TimeoutConfig;
use aws_sdk_guardduty::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_guardduty::error::BoxError;
use aws_sdk_guardduty::types::{
    AccountDetail, FeatureStatus, ManagedBy, Member, MemberDataSourceConfiguration, OrgFeature,
    OrgFeatureAdditionalConfiguration, OrgFeatureStatus, OrganizationDetails, UnprocessedAccount,
};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::retries::classifiers::RetryClassifierPriority;
use decisions::account::{AccountId, Email};
use decisions::call_error::{CallError, Failure};
use decisions::classify;
use decisions::enrollment::Answer;
use decisions::operation::Operation;
use decisions::plans::{MemberPlans, PlanName, Plans, Statistics};
use decisions::reason::Reason;
use decisions::redacted::Redacted;
use decisions::region::Region;

use crate::aws::error;

/// How long a call may take that changes something. Ours: 50 accounts were reported to take seconds, and an event has 50 s.
const WRITE_TIMEOUT: Duration = Duration::from_secs(25);

/// How long a detector's id can be (GuardDuty API reference). It becomes a part of the address of each call.
const DETECTOR_ID_LENGTH: RangeInclusive<usize> = 1..=300;

/// The most members on a page of `ListMembers` (GuardDuty API reference).
const MEMBERS_PER_PAGE: i32 = 50;

/// GuardDuty in every Region that was asked for so far; kept while the environment lives.
#[derive(Debug)]
pub(crate) struct GuardDuty {
    aws: SdkConfig,
    regions: Mutex<BTreeMap<Region, Arc<RegionalGuardDuty>>>,
}

impl GuardDuty {
    /// No client is built before its Region is asked for.
    pub(crate) fn new(aws: &SdkConfig) -> Self {
        Self { aws: aws.clone(), regions: Mutex::default() }
    }

    /// GuardDuty in `region`.
    pub(crate) fn in_region(&self, region: &Region) -> Arc<RegionalGuardDuty> {
        let mut regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        let regional = regions
            .entry(region.clone())
            .or_insert_with(|| Arc::new(RegionalGuardDuty::new(&self.aws, region)));
        Arc::clone(regional)
    }
}

/// GuardDuty in one Region, with the detector once it was looked up.
#[derive(Debug)]
pub(crate) struct RegionalGuardDuty {
    region: Region,
    client: Client,
    detector_id: Mutex<Option<String>>,
}

/// A page of `ListMembers`.
#[derive(Debug)]
pub(crate) struct MemberPage {
    /// `relationshipStatus` by account.
    pub(crate) status: Vec<(AccountId, String)>,
    /// The token of the next page, if there is one.
    pub(crate) next: Option<String>,
}

/// The organization's settings in a Region.
#[derive(Debug)]
pub(crate) struct OrganizationSettings {
    /// `autoEnableOrganizationMembers`: `NEW`, `ALL` or `NONE`.
    pub(crate) auto_enable: Option<String>,
    /// `memberAccountLimitReached`.
    pub(crate) member_limit_reached: Option<bool>,
    /// `features`: the setting of each protection plan.
    pub(crate) plans: Plans,
}

impl RegionalGuardDuty {
    fn new(aws: &SdkConfig, region: &Region) -> Self {
        let config = aws_sdk_guardduty::config::Builder::from(aws)
            .region(aws_sdk_guardduty::config::Region::new(region.as_str().to_owned()))
            // A retry budget of this client's own. The SDK's default is one for each Region too, but static: the
            // environments of one process, as tests have them, would share it.
            .retry_partition(RetryPartition::custom(format!("guardduty-{region}")).build())
            .interceptor(WholeAnswer)
            .build();
        Self {
            region: region.clone(),
            client: Client::from_conf(config),
            detector_id: Mutex::default(),
        }
    }

    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    /// `GetMembers` for up to 50 accounts.
    ///
    /// # Errors
    /// If there was no answer; nothing is known of the accounts then.
    pub(crate) async fn get_members(&self, accounts: &[AccountId]) -> Result<Answer, CallError> {
        self.at_detector(Operation::GetMembers, async |detector_id| {
            let call = self.client.get_members().detector_id(detector_id);
            let reply = call.set_account_ids(Some(ids(accounts))).send().await;
            let reply = reply.map_err(|error| error::failure(&error))?;
            let members = statuses(reply.members()).collect();
            Ok(answer(detector_id, members, reply.unprocessed_accounts()))
        })
        .await
    }

    /// `CreateMembers` for up to 50 accounts.
    ///
    /// # Errors
    /// If there was no answer; the call may have taken effect.
    pub(crate) async fn create_members(
        &self,
        accounts: &[(AccountId, Email)],
    ) -> Result<Answer, CallError> {
        self.at_detector(Operation::CreateMembers, async |detector_id| {
            let details = accounts.iter().map(|(id, email)| {
                AccountDetail::builder().account_id(id.to_string()).email(email.expose()).build()
            });
            let call = self.client.create_members().detector_id(detector_id);
            let call = call.set_account_details(Some(details.collect()));
            let reply = call.customize().config_override(of_a_write()).send().await;
            let reply = reply.map_err(|error| error::failure(&error))?;
            Ok(answer(detector_id, BTreeMap::new(), reply.unprocessed_accounts()))
        })
        .await
    }

    /// `StartMonitoringMembers` for up to 50 suspended members.
    ///
    /// # Errors
    /// If there was no answer; the call may have taken effect.
    pub(crate) async fn start_monitoring_members(
        &self,
        accounts: &[AccountId],
    ) -> Result<Answer, CallError> {
        self.at_detector(Operation::StartMonitoringMembers, async |detector_id| {
            let call = self.client.start_monitoring_members().detector_id(detector_id);
            let call = call.set_account_ids(Some(ids(accounts)));
            let reply = call.customize().config_override(of_a_write()).send().await;
            let reply = reply.map_err(|error| error::failure(&error))?;
            Ok(answer(detector_id, BTreeMap::new(), reply.unprocessed_accounts()))
        })
        .await
    }

    /// `DescribeOrganizationConfiguration`: only the delegated administrator gets an answer.
    ///
    /// # Errors
    /// If there was no answer.
    pub(crate) async fn describe_organization_configuration(
        &self,
    ) -> Result<OrganizationSettings, CallError> {
        let operation = Operation::DescribeOrganizationConfiguration;
        self.at_detector(operation, async |detector_id| {
            let call = self.client.describe_organization_configuration();
            let reply = call.detector_id(detector_id).send().await;
            let reply = reply.map_err(|error| error::failure(&error))?;
            let auto_enable = reply.auto_enable_organization_members();
            let mut plans = Plans::default();
            for plan in reply.features() {
                let setting = plan.auto_enable().map(OrgFeatureStatus::as_str);
                plans.set(plan_name(plan.name()), setting);
                for part in plan.additional_configuration() {
                    let setting = part.auto_enable().map(OrgFeatureStatus::as_str);
                    plans.set(part_name(plan.name(), part.name()), setting);
                }
            }
            Ok(OrganizationSettings {
                plans,
                auto_enable: auto_enable.map(|name| Redacted::new(name.as_str()).to_string()),
                member_limit_reached: reply.member_account_limit_reached(),
            })
        })
        .await
    }

    /// `GetOrganizationStatistics`: how many accounts GuardDuty counts, and how many have each plan on, which is added to
    /// `plans`.
    ///
    /// # Errors
    /// If there was no answer.
    pub(crate) async fn get_organization_statistics(
        &self,
        plans: &mut Plans,
    ) -> Result<Statistics, CallError> {
        let reply = self.client.get_organization_statistics().send().await;
        let failed = |failure| self.failed(Operation::GetOrganizationStatistics, None, failure);
        let reply = reply.map_err(|error| failed(error::failure(&error)))?;
        let details = reply.organization_details();
        let Some(counts) = details.and_then(OrganizationDetails::organization_statistics) else {
            return Err(failed(Failure::no_answer("the answer has no organizationStatistics")));
        };
        for plan in counts.count_by_feature() {
            plans.count(plan_name(plan.name()), number(plan.enabled_accounts_count()));
            for part in plan.additional_configuration() {
                let name = part_name(plan.name(), part.name());
                plans.count(name, number(part.enabled_accounts_count()));
            }
        }
        Ok(Statistics {
            total_accounts: number(counts.total_accounts_count()),
            member_accounts: number(counts.member_accounts_count()),
            active_accounts: number(counts.active_accounts_count()),
            enabled_accounts: number(counts.enabled_accounts_count()),
        })
    }

    /// `GetMemberDetectors` for up to 50 members: the plans of each. A member that is not in the answer is not known.
    ///
    /// # Errors
    /// If there was no answer.
    pub(crate) async fn get_member_detectors(
        &self,
        accounts: &[AccountId],
    ) -> Result<BTreeMap<AccountId, MemberPlans>, CallError> {
        self.at_detector(Operation::GetMemberDetectors, async |detector_id| {
            let call = self.client.get_member_detectors().detector_id(detector_id);
            let reply = call.set_account_ids(Some(ids(accounts))).send().await;
            let reply = reply.map_err(|error| error::failure(&error))?;
            let members = reply.member_data_source_configurations().iter();
            Ok(members.filter_map(member_plans).collect())
        })
        .await
    }

    /// One page of `ListMembers`, with members that are no longer associated.
    ///
    /// # Errors
    /// If there was no answer; a token can expire.
    pub(crate) async fn list_members(&self, page: Option<&str>) -> Result<MemberPage, CallError> {
        self.at_detector(Operation::ListMembers, async |detector_id| {
            let call = self
                .client
                .list_members()
                .detector_id(detector_id)
                .only_associated("false")
                .max_results(MEMBERS_PER_PAGE)
                .set_next_token(page.map(str::to_owned));
            let reply = call.send().await.map_err(|error| error::failure(&error))?;
            Ok(MemberPage {
                status: statuses(reply.members()).collect(),
                next: error::next_page(page, reply.next_token())?,
            })
        })
        .await
    }

    /// Makes a call at the Region's detector. If the detector may not be ours any more, looks it up again and repeats the
    /// call once.
    async fn at_detector<T>(
        &self,
        operation: Operation,
        call: impl AsyncFn(&str) -> Result<T, Failure>,
    ) -> Result<T, CallError> {
        let try_once = async || {
            let detector_id = self.detector().await?;
            let answer = call(&detector_id).await;
            answer.map_err(|failure| self.failed(operation, Some(detector_id), failure))
        };
        let first = try_once().await;
        if !first.as_ref().is_err_and(|error| self.forget_detector(error)) {
            return first;
        }
        try_once().await.inspect_err(|_| self.remember(None))
    }

    fn failed(
        &self,
        operation: Operation,
        detector_id: Option<String>,
        failure: Failure,
    ) -> CallError {
        CallError { operation, region: Some(self.region.clone()), detector_id, failure }
    }

    /// Forgets the detector if the call failed because it is not ours (any more), or because a policy may deny the whole
    /// Region: the answer to `ListDetectors` tells.
    fn forget_detector(&self, error: &CallError) -> bool {
        let is_doubtful = error.detector_id.is_some()
            && match classify::error(error) {
                Reason::NoDetector => true,
                Reason::AccessDenied => error.operation == Operation::GetMembers,
                _ => false,
            };
        if is_doubtful {
            self.remember(None);
        }
        is_doubtful
    }

    /// The Region's detector: there is at most one.
    async fn detector(&self) -> Result<String, CallError> {
        let known = self.detector_id.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(detector_id) = known {
            return Ok(detector_id);
        }
        let failed = |failure| self.failed(Operation::ListDetectors, None, failure);
        let reply = self.client.list_detectors().send().await;
        let reply = reply.map_err(|error| failed(error::failure(&error)))?;
        let first = reply.detector_ids().first().cloned();
        if first.as_deref().is_some_and(|id| !is_detector_id(id)) {
            return Err(failed(Failure::no_answer("the detector's id is not one")));
        }
        // That there is none is not remembered: someone may be about to enable GuardDuty here.
        self.remember(first.clone());
        first.ok_or_else(|| failed(Failure::NoDetector))
    }

    fn remember(&self, detector_id: Option<String>) {
        *self.detector_id.lock().unwrap_or_else(PoisonError::into_inner) = detector_id;
    }
}

/// What is different for a call that changes something: it gets more time, because GuardDuty takes longer the more accounts
/// it has, and the SDK does not repeat it by itself after an answer that is missing.
fn of_a_write() -> aws_sdk_guardduty::config::Builder {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(WRITE_TIMEOUT)
        .operation_timeout(WRITE_TIMEOUT);
    aws_sdk_guardduty::config::Builder::default()
        .timeout_config(timeouts.build())
        .retry_classifier(NoBlindWrite)
}

/// Forbids the SDK to repeat a call that may have taken effect.
#[derive(Debug)]
struct NoBlindWrite;

impl ClassifyRetry for NoBlindWrite {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        // A refusal says that nothing happened.
        let refused = context
            .response()
            .is_some_and(|response| (400..500).contains(&response.status().as_u16()));
        if refused { RetryAction::NoActionIndicated } else { RetryAction::RetryForbidden }
    }

    fn name(&self) -> &'static str {
        "NoBlindWrite"
    }

    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RetryClassifierPriority::transient_error_classifier())
    }
}

/// Treats a 200 without a member that the operation's model requires as a failed call. The SDK would fill in an empty list:
/// no detector, no member, no unprocessed account, and each of these would be believed.
#[derive(Debug)]
struct WholeAnswer;

impl Intercept for WholeAnswer {
    fn name(&self) -> &'static str {
        "WholeAnswer"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        let operation = config.load::<Metadata>().map_or("", Metadata::name);
        let body = response.body().bytes().unwrap_or_default();
        match required(operation).iter().find(|name| !has_member(body, name)) {
            Some(name) if response.status().is_success() => {
                Err(format!("the answer has no {name}").into())
            }
            _ => Ok(()),
        }
    }
}

/// The members that an answer must have: required in the service model or, for `ListMembers`, assumed.
fn required(operation: &str) -> &'static [&'static str] {
    match operation {
        "CreateMembers" | "GetMemberDetectors" | "StartMonitoringMembers" => {
            &["unprocessedAccounts"]
        }
        "DescribeOrganizationConfiguration" => &["memberAccountLimitReached"],
        "GetMembers" => &["members", "unprocessedAccounts"],
        "ListDetectors" => &["detectorIds"],
        "ListMembers" => &["members"],
        _ => &[],
    }
}

/// Whether a JSON object has a member with a value. The SDK has parsed the object already; a second time would be as much
/// work again.
fn has_member(json: &[u8], name: &str) -> bool {
    let key = format!("\"{name}\"");
    let at = json.windows(key.len()).position(|window| window == key.as_bytes());
    let value = at.and_then(|at| json.get(at + key.len()..)).unwrap_or_default();
    let value = value.trim_ascii_start();
    let value = value.strip_prefix(b":").map(<[u8]>::trim_ascii_start);
    value.is_some_and(|value| !value.starts_with(b"null"))
}

/// Whether a text can be a part of an address of AWS, of a record, and of a log line. Ours: each known id is hexadecimal.
fn is_detector_id(text: &str) -> bool {
    DETECTOR_ID_LENGTH.contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn ids(accounts: &[AccountId]) -> Vec<String> {
    accounts.iter().map(ToString::to_string).collect()
}

/// A count; what is below zero is none.
fn number(count: Option<i32>) -> Option<u32> {
    count.and_then(|count| u32::try_from(count).ok())
}

fn plan_name(plan: Option<&OrgFeature>) -> Option<PlanName> {
    PlanName::new(plan?.as_str())
}

fn part_name(
    plan: Option<&OrgFeature>,
    part: Option<&OrgFeatureAdditionalConfiguration>,
) -> Option<PlanName> {
    plan_name(plan)?.part(part?.as_str())
}

fn member_plans(member: &MemberDataSourceConfiguration) -> Option<(AccountId, MemberPlans)> {
    let mut plans = MemberPlans::default();
    for plan in member.features() {
        let managed_by = plan.managed_by().map(ManagedBy::as_str);
        let status = plan.status().map(FeatureStatus::as_str);
        plans.set(plan_name(plan.name()), status, managed_by);
        for part in plan.additional_configuration() {
            let status = part.status().map(FeatureStatus::as_str);
            plans.set(part_name(plan.name(), part.name()), status, managed_by);
        }
    }
    Some((member.account_id()?.parse().ok()?, plans))
}

fn statuses(members: &[Member]) -> impl Iterator<Item = (AccountId, String)> {
    members.iter().filter_map(|member| {
        let id = member.account_id()?.parse().ok()?;
        Some((id, member.relationship_status()?.to_owned()))
    })
}

fn answer(
    detector_id: &str,
    members: BTreeMap<AccountId, String>,
    unprocessed: &[UnprocessedAccount],
) -> Answer {
    let texts = unprocessed.iter().filter_map(|account| {
        let id = account.account_id()?.parse().ok()?;
        Some((id, Redacted::new(account.result().unwrap_or_default())))
    });
    let detector_id = detector_id.to_owned();
    Answer { detector_id, members, unprocessed: texts.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(account: &str, text: Option<&str>) -> UnprocessedAccount {
        let account = UnprocessedAccount::builder().account_id(account);
        account.set_result(text.map(str::to_owned)).build()
    }

    fn texts(unprocessed: &[UnprocessedAccount]) -> Vec<(String, String)> {
        let answer = answer("d1", BTreeMap::new(), unprocessed);
        let texts = answer.unprocessed.iter();
        texts.map(|(id, text)| (id.to_string(), text.to_string())).collect()
    }

    #[test]
    fn a_part_of_a_plan_without_a_name_is_not_taken_for_the_plan() {
        let plan = OrgFeature::RuntimeMonitoring;
        let part = OrgFeatureAdditionalConfiguration::EksAddonManagement;
        assert!(plan_name(Some(&plan)).is_some() && part_name(Some(&plan), Some(&part)).is_some());
        assert_eq!(part_name(Some(&plan), None), None);
        assert_eq!(part_name(None, Some(&part)), None);
        assert_eq!(plan_name(None), None);
    }

    #[test]
    fn no_unprocessed_account_means_that_all_were_accepted() {
        assert_eq!(texts(&[]), []);
    }

    #[test]
    fn each_unprocessed_account_keeps_its_own_text_even_an_empty_one() {
        let unprocessed = [
            refused("444455556666", Some("Internal error")),
            refused("555566667777", Some("Something else")),
            refused("666677778888", None),
        ];
        let expected = [
            ("444455556666", "Internal error"),
            ("555566667777", "Something else"),
            ("666677778888", ""),
        ];
        let expected = expected.map(|(id, text)| (id.to_owned(), text.to_owned()));
        assert_eq!(texts(&unprocessed), expected);
    }

    #[test]
    fn an_answer_without_a_required_member_is_not_one() {
        for (json, has) in [
            (r#"{"members": []}"#, true),
            (r#"{"members":[{"accountId":"1"}]}"#, true),
            ("{\"x\": 1,\n\"members\"  :  []}", true),
            (r#"{"members": null}"#, false),
            (r#"{"Members": []}"#, false),
            ("{}", false),
            ("", false),
        ] {
            assert_eq!(has_member(json.as_bytes(), "members"), has, "{json}");
        }
    }

    #[test]
    fn a_detectors_id_is_short_and_has_letters_and_digits_only() {
        assert!(is_detector_id("12abc34d567e8fa901bc2d34e56789f0"));
        for text in ["", "a@example.com", "a/b", "a b", &"x".repeat(301)] {
            assert!(!is_detector_id(text), "{text}");
        }
    }

    #[test]
    fn only_a_member_with_a_status_counts_as_one() {
        let enabled = Member::builder().account_id("444455556666");
        let enabled = enabled.relationship_status("Enabled").build();
        let odd = Member::builder().account_id("555566667777").build();
        let id = "444455556666".parse().unwrap();
        assert!(statuses(&[enabled, odd]).eq([(id, "Enabled".to_owned())]));
    }
}
