//! Amazon GuardDuty in one Region: its detector, its members, and the operations on them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use md5::{Digest, Md5};
use serde_json::{Value, json};

use crate::account_id::is_account_id;
use crate::epoch::Epoch;
use crate::fault::Unprocessed;
use crate::input::Input;
use crate::member::Member;
use crate::organization::{Account, Organization};
use crate::page;
use crate::refusal::Refusal;

/// `accountDetails` and `accountIds` hold 1..50 items; a page of `ListMembers` too (service model).
const MOST: usize = 50;
/// Members one administrator can have through Organizations (GuardDuty quotas).
const MEMBER_LIMIT: usize = 50_000;

/// Addresses, one a line behind a heading: whether GuardDuty accepts or refuses it, the address, and who says so.
pub const ADDRESSES: &str = include_str!("../facts/addresses.tsv");

/// The protection plans that an organization can have (service model, `OrgFeature`), without the older name of runtime
/// monitoring.
const PLANS: [&str; 7] = [
    "AI_PROTECTION",
    "EBS_MALWARE_PROTECTION",
    "EKS_AUDIT_LOGS",
    "LAMBDA_NETWORK_LOGS",
    "RDS_LOGIN_EVENTS",
    "RUNTIME_MONITORING",
    "S3_DATA_EVENTS",
];

const INVALID_VALUE: &str = "The request is rejected because an invalid or out-of-range value is specified as an input parameter.";
const NOT_OWNED: &str =
    "The request is rejected because the input detectorId is not owned by the current account.";
const ALREADY_MEMBER: &str = "The request is rejected because the given account ID is already a member or associated member of the current account.";
const NOT_A_MEMBER: &str = "The request is rejected because the given account ID is not an associated member of account the current account.";
const ITSELF: &str = "The request is rejected because an account cannot become a member of itself.";
const MANAGEMENT_NOT_ENABLED: &str = "Operation failed because your organization master must first enable GuardDuty to be added as a member";
const NOT_ADMINISTRATOR: &str = "The request is rejected because the current account cannot create members since it is already an associated member of another master account.";
const LIMIT_REACHED: &str = "The request is rejected because the current account cannot create anymore members since it cannot exceed the maximum number of allowed members.";
/// ASSUMED: no text is known for an account outside the organization or for one that is not ACTIVE.
const NOT_IN_ORGANIZATION: &str =
    "The request is rejected because the account is not part of the organization.";
/// ASSUMED: the text for a caller who is not the delegated administrator.
const NOT_DELEGATED: &str = "The request is rejected because the current account is not the GuardDuty delegated administrator account.";

/// GuardDuty in one Region, as the administrator sees it.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct GuardDuty {
    /// 32 hexadecimal digits, or `None` where GuardDuty is not enabled.
    pub detector_id: Option<String>,
    /// Whether the administrator's account has the Region switched on. If not, every call is answered with 403.
    pub enabled_for_admin: bool,
    /// Whether the account is the delegated administrator here.
    pub is_administrator: bool,
    /// Whether the management account has enabled GuardDuty itself here.
    pub management_enabled: bool,
    /// Every account that is or was a member.
    pub members: BTreeMap<String, Member>,
    /// How many members there can be.
    pub member_limit: usize,
    /// `NEW`, `ALL` or `NONE`: whether accounts that join, all accounts, or none become members by themselves.
    pub auto_enable: String,
    /// How long after an account has joined it is a member by auto-enable; with `ALL`, one that was there at the start
    /// is a member this long after it. ASSUMED: it is `Enabled` then, and not a member before. (GuardDuty User Guide:
    /// up to 24 hours.)
    pub auto_enable_after: Duration,
    /// How long after `CreateMembers` the member turns into what it ends as. Zero: at once.
    pub enables_after: Duration,
    /// The status of a new member until then. ASSUMED: through Organizations `Created`; the API reference of `Member`
    /// has `Invited` and `EmailVerificationInProgress` too.
    pub first_status: String,
    /// What a new member ends as. ASSUMED: GuardDuty has the other words of Inspector's and Macie's service models, such
    /// as `RegionDisabled`, `AccountSuspended`, `CannotCreateDetectorInOrgMaster` and `Deleted`.
    pub final_status: Cow<'static, str>,
    /// How long `ListMembers` shows a member as it was before it changed, or not at all if it is new; `GetMembers` shows
    /// the truth. ASSUMED: AWS's public reference solution waits up to 10 times 10 s for a member to be listed.
    pub list_lag: Duration,
    /// How much longer `CreateMembers` takes for each account that it names. ASSUMED.
    pub create_latency_per_account: Duration,
    /// The organization's setting of each protection plan: `NEW`, `ALL` or `NONE`. ASSUMED: a member has a plan on unless
    /// this is `NONE`.
    pub plans: BTreeMap<&'static str, &'static str>,
    /// Members whose status of a plan is another one.
    pub plans_of_members: BTreeMap<(String, &'static str), &'static str>,
    /// Whether an Organizations policy manages the plans of members.
    pub plans_managed_by_policy: bool,
    /// Whether a service control policy denies every call.
    pub denied: bool,
    /// Each member that `CreateMembers` named although it was Enabled, which might have changed its configuration: how long
    /// it had been.
    pub touched_enabled: Vec<Duration>,
}

/// What an operation needs to know beyond its own Region.
pub(crate) struct Surroundings<'a> {
    pub(crate) now: Duration,
    pub(crate) epoch: Epoch,
    pub(crate) admin_account: &'a str,
    pub(crate) organization: &'a Organization,
    /// Accounts that a fault leaves unprocessed.
    pub(crate) unprocessed: &'a Unprocessed,
}

impl GuardDuty {
    /// Enabled, administered by the account, without members.
    #[must_use]
    pub fn new(region: &str) -> Self {
        Self {
            detector_id: Some(format!("{:x}", Md5::digest(format!("detector in {region}")))),
            enabled_for_admin: true,
            is_administrator: true,
            management_enabled: true,
            members: BTreeMap::new(),
            member_limit: MEMBER_LIMIT,
            auto_enable: "NONE".to_owned(),
            auto_enable_after: Duration::from_secs(2),
            enables_after: Duration::from_secs(2),
            first_status: "Created".to_owned(),
            final_status: Cow::Borrowed("Enabled"),
            list_lag: Duration::from_secs(1),
            create_latency_per_account: Duration::from_millis(20),
            plans: PLANS.into_iter().map(|name| (name, "NEW")).collect(),
            plans_of_members: BTreeMap::new(),
            plans_managed_by_policy: false,
            denied: false,
            touched_enabled: Vec::new(),
        }
    }

    /// The same without any delay: a new member is `Enabled` and listed at once.
    #[must_use]
    pub fn instant(self) -> Self {
        Self {
            auto_enable_after: Duration::ZERO,
            enables_after: Duration::ZERO,
            list_lag: Duration::ZERO,
            create_latency_per_account: Duration::ZERO,
            ..self
        }
    }

    /// The same in this Region, with a detector of its own.
    pub(crate) fn in_region(self, region: &str) -> Self {
        Self { detector_id: Self::new(region).detector_id, ..self }
    }

    /// Adds the members that auto-enable has added by now. An account that is or was a member stays as it is.
    pub(crate) fn auto_enable(&mut self, now: Duration, admin: &str, organization: &Organization) {
        if self.auto_enable == "NONE" || self.detector_id.is_none() || !self.is_administrator {
            return;
        }
        for (id, account) in &organization.accounts {
            let at_start = (self.auto_enable == "ALL").then_some(Duration::ZERO);
            let joined = account.joined_at.or(at_start);
            let due = joined.map(|at| at + self.auto_enable_after).filter(|due| *due <= now);
            let stays_out = id == admin
                || (*id == organization.management_account && !self.management_enabled)
                || !account.is_active()
                || self.members.contains_key(id);
            if let (Some(due), false) = (due, stays_out) {
                let email = account.email.as_deref().unwrap_or_default();
                let member = Member::new(email, "Enabled").since(due, None);
                self.members.insert(id.clone(), member);
            }
        }
    }

    /// The answer for a Region that does not exist or is not switched on: the credentials are not known there.
    pub(crate) fn not_switched_on() -> Refusal {
        Refusal::new(
            403,
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        )
    }

    pub(crate) fn handle(
        &mut self,
        around: &Surroundings,
        operation: &str,
        input: &Input,
    ) -> Result<Value, Refusal> {
        if !self.enabled_for_admin {
            return Err(Self::not_switched_on());
        }
        if self.denied {
            // IAM User Guide, "Troubleshoot access denied error messages".
            let message = format!(
                "User: arn:aws:sts::{}:assumed-role/x/y is not authorized to perform: guardduty:{operation} with an explicit deny in a service control policy",
                around.admin_account
            );
            return Err(Refusal::new(403, "AccessDeniedException", message));
        }
        if operation == "ListDetectors" {
            one_page(input)?;
            return Ok(json!({ "detectorIds": self.detector_id.iter().collect::<Vec<_>>() }));
        }
        if operation == "GetOrganizationStatistics" {
            return self.get_organization_statistics(around);
        }
        let detector = input.string("detectorId")?;
        if detector.is_none() || detector != self.detector_id.as_deref() {
            return Err(bad_request(NOT_OWNED));
        }
        match operation {
            "CreateMembers" => self.create_members(around, input),
            "GetMemberDetectors" => self.get_member_detectors(around, input),
            "GetMembers" => self.get_members(around, input),
            "ListMembers" => self.list_members(around, input),
            "StartMonitoringMembers" => self.start_monitoring_members(around, input),
            _ => self.describe_organization_configuration(input),
        }
    }

    fn create_members(&mut self, around: &Surroundings, input: &Input) -> Result<Value, Refusal> {
        let mut details = Vec::new();
        for detail in bounded(input, "accountDetails")? {
            let detail = Input::of(detail)?;
            let id = detail.string("accountId")?.unwrap_or_default();
            let email = detail.string("email")?.unwrap_or_default();
            // One bad item fails the whole call, before anything is created.
            if !is_account_id(id) || !is_accepted_email(email) {
                return Err(bad_request(INVALID_VALUE));
            }
            details.push((id.to_owned(), email.to_owned()));
        }
        let mut associated = self.associated_if_near_the_limit(details.len());
        let mut unprocessed = Vec::new();
        for (id, email) in details {
            if let Err(text) = self.create_member(around, &mut associated, &id, &email) {
                unprocessed.push((id, text));
            }
        }
        Ok(json!({ "unprocessedAccounts": show_unprocessed(unprocessed) }))
    }

    /// How many members count towards the limit. Where all of them and `more` keep it, all of them will do: to count
    /// 50,000 members for each call is most of a large run's time.
    fn associated_if_near_the_limit(&self, more: usize) -> usize {
        if self.members.len() + more <= self.member_limit {
            return self.members.len();
        }
        let associated = |member: &&Member| member.is_associated();
        self.members.values().filter(associated).count()
    }

    fn create_member(
        &mut self,
        around: &Surroundings,
        associated: &mut usize,
        id: &str,
        email: &str,
    ) -> Result<(), String> {
        if let Some(text) = around.unprocessed.text(id) {
            return Err(text.to_owned());
        }
        let refuse = |text: &str| Err(text.to_owned());
        if !self.is_administrator {
            return refuse(NOT_ADMINISTRATOR);
        }
        if id == around.admin_account {
            return refuse(ITSELF);
        }
        if !around.organization.accounts.get(id).is_some_and(Account::is_active) {
            return refuse(NOT_IN_ORGANIZATION);
        }
        if id == around.organization.management_account && !self.management_enabled {
            return refuse(MANAGEMENT_NOT_ENABLED);
        }
        let now = around.now;
        let counted = match self.members.get(id) {
            Some(member) if let Some(since) = member.enabled_since(now) => {
                self.touched_enabled.push(now.saturating_sub(since));
                return refuse(ALREADY_MEMBER);
            }
            // ASSUMED: a suspended member stays suspended; only StartMonitoringMembers resumes it.
            Some(member) if member.status(now).eq_ignore_ascii_case("Disabled") => {
                return refuse(ALREADY_MEMBER);
            }
            // On its way already; a second request changes nothing. ASSUMED: at the end of a way that did not end as
            // Enabled it starts again.
            Some(member) if member.enabled_at.is_some_and(|at| at > now) => return Ok(()),
            Some(member) => member.is_associated(),
            None => false,
        };
        if !counted {
            if *associated >= self.member_limit {
                return refuse(LIMIT_REACHED);
            }
            *associated += 1;
        }
        let at_once = self.enables_after.is_zero();
        let status: &str = if at_once { &self.final_status } else { &self.first_status };
        let member = Member {
            enabled_at: (!at_once).then(|| now + self.enables_after),
            ends_as: self.final_status.clone(),
            ..Member::new(email, status)
        };
        let before = self.members.remove(id);
        self.members.insert(id.to_owned(), member.since(now, before));
        Ok(())
    }

    fn get_members(&self, around: &Surroundings, input: &Input) -> Result<Value, Refusal> {
        let show = |id: &str, member: &Member| show_member(around, id, member);
        let (members, unprocessed) = self.asked_for(around, input, show)?;
        Ok(json!({ "members": members, "unprocessedAccounts": unprocessed }))
    }

    /// The members among the accounts that are asked for, and the other accounts with why not.
    fn asked_for(
        &self,
        around: &Surroundings,
        input: &Input,
        show: impl Fn(&str, &Member) -> Value,
    ) -> Result<(Vec<Value>, Vec<Value>), Refusal> {
        let (mut members, mut unprocessed) = (Vec::new(), Vec::new());
        for id in account_ids(input)? {
            match (around.unprocessed.text(&id), self.members.get(&id)) {
                (Some(text), _) => unprocessed.push((id, text.to_owned())),
                (None, Some(member)) => members.push(show(&id, member)),
                (None, None) => unprocessed.push((id, NOT_A_MEMBER.to_owned())),
            }
        }
        Ok((members, show_unprocessed(unprocessed)))
    }

    fn start_monitoring_members(
        &mut self,
        around: &Surroundings,
        input: &Input,
    ) -> Result<Value, Refusal> {
        let mut unprocessed = Vec::new();
        for id in account_ids(input)? {
            match (around.unprocessed.text(&id), self.members.get_mut(&id)) {
                (Some(text), _) => unprocessed.push((id, text.to_owned())),
                (None, Some(member)) if member.is_associated() => {
                    if member.relationship_status.eq_ignore_ascii_case("Disabled") {
                        let resumed = Member::new(&member.email, "Enabled");
                        *member = resumed.since(around.now, Some(member.clone()));
                    }
                }
                (None, _) => unprocessed.push((id, NOT_A_MEMBER.to_owned())),
            }
        }
        Ok(json!({ "unprocessedAccounts": show_unprocessed(unprocessed) }))
    }

    fn list_members(&self, around: &Surroundings, input: &Input) -> Result<Value, Refusal> {
        let (size, after) = page(input)?;
        let only_associated = match input.string("onlyAssociated")?.unwrap_or("true") {
            text if text.eq_ignore_ascii_case("true") => true,
            text if text.eq_ignore_ascii_case("false") => false,
            _ => return Err(bad_request(INVALID_VALUE)),
        };
        let rest = self
            .members
            .range::<str, _>((Bound::Excluded(after), Bound::Unbounded))
            .filter_map(|(id, member)| Some((id, member.listed(around.now, self.list_lag)?)))
            .filter(|(_, member)| !only_associated || member.is_associated());
        let (shown, token) = page::cut(rest, size);
        let shown = shown.iter().map(|(id, member)| show_member(around, id, member));
        Ok(json!({ "members": shown.collect::<Vec<_>>(), "nextToken": token }))
    }

    fn describe_organization_configuration(&self, input: &Input) -> Result<Value, Refusal> {
        one_page(input)?;
        if !self.is_administrator {
            return Err(bad_request(NOT_DELEGATED));
        }
        let features = self.plans.iter();
        let features = features.map(|(name, it)| json!({ "name": name, "autoEnable": it }));
        // One more: at the limit itself they have to be counted.
        let associated = self.associated_if_near_the_limit(1);
        Ok(json!({
            "autoEnable": self.auto_enable != "NONE",
            "autoEnableOrganizationMembers": self.auto_enable,
            "memberAccountLimitReached": associated >= self.member_limit,
            "features": features.collect::<Vec<_>>(),
        }))
    }

    /// The status of a plan of a member.
    fn plan_of(&self, id: &str, plan: &'static str) -> &'static str {
        let by_setting = match self.plans.get(plan) {
            None | Some(&"NONE") => "DISABLED",
            Some(_) => "ENABLED",
        };
        self.plans_of_members.get(&(id.to_owned(), plan)).copied().unwrap_or(by_setting)
    }

    fn get_member_detectors(&self, around: &Surroundings, input: &Input) -> Result<Value, Refusal> {
        let managed_by = self.plans_managed_by_policy.then_some("GUARDDUTY_POLICY");
        // Out of date, but the service model requires it.
        let on = json!({ "status": "ENABLED" });
        let data_sources = json!({ "cloudTrail": on, "dnsLogs": on, "flowLogs": on, "s3Logs": on });
        let (members, unprocessed) = self.asked_for(around, input, |id, _| {
            let feature = |plan: &&'static str| {
                let status = self.plan_of(id, plan);
                json!({ "name": plan, "status": status, "managedBy": managed_by })
            };
            let features: Vec<_> = self.plans.keys().map(feature).collect();
            json!({ "accountId": id, "dataSources": data_sources, "features": features })
        })?;
        // ASSUMED: the model has 1 to 50 of them, so without one the list is left out.
        let members = Some(members).filter(|members| !members.is_empty());
        Ok(json!({ "members": members, "unprocessedAccounts": unprocessed }))
    }

    /// ASSUMED: what each count counts, after its name; that the administrator is not among the members.
    fn get_organization_statistics(&self, around: &Surroundings) -> Result<Value, Refusal> {
        if !self.is_administrator {
            return Err(bad_request(NOT_DELEGATED));
        }
        let accounts = &around.organization.accounts;
        let associated = self.members.iter().filter(|(_, member)| member.is_associated());
        let enabled: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| member.enabled_since(around.now).is_some())
            .map(|(id, _)| id)
            .collect();
        let count = |plan: &&'static str| {
            let on = enabled.iter().filter(|id| self.plan_of(id, plan) == "ENABLED").count();
            json!({ "name": plan, "enabledAccountsCount": on })
        };
        Ok(json!({ "organizationDetails": {
            "updatedAt": around.epoch.seconds(around.now),
            "organizationStatistics": {
                "totalAccountsCount": accounts.len(),
                "memberAccountsCount": associated.count(),
                "activeAccountsCount": accounts.values().filter(|account| account.is_active()).count(),
                "enabledAccountsCount": enabled.len(),
                "countByFeature": self.plans.keys().map(count).collect::<Vec<_>>(),
            },
        } }))
    }
}

fn bad_request(message: &str) -> Refusal {
    Refusal::new(400, "BadRequestException", message)
}

/// A required list of 1..50 items.
fn bounded<'a>(input: &'a Input, name: &str) -> Result<&'a [Value], Refusal> {
    let items = input.list(name)?;
    let limit = match items.len() {
        // ASSUMED: written after the text for too many.
        0 => "Min allowed length is 1.",
        1..=MOST => return Ok(items),
        _ => "Max allowed length is 50.",
    };
    let length = items.len();
    Err(bad_request(&format!(
        "The request is rejected because the length provided for the {name} array was {length}. {limit}"
    )))
}

fn account_ids(input: &Input) -> Result<BTreeSet<String>, Refusal> {
    bounded(input, "accountIds")?;
    let ids = input.strings("accountIds")?;
    if ids.iter().any(|id| !is_account_id(id)) {
        return Err(bad_request(INVALID_VALUE));
    }
    Ok(ids.into_iter().map(str::to_owned).collect())
}

/// How long a page is, and behind which account it begins.
fn page(input: &Input) -> Result<(usize, &str), Refusal> {
    let (size, token) = (input.integer("maxResults")?, input.string("nextToken")?);
    page::asked(size, token, MOST, is_account_id).ok_or_else(|| bad_request(INVALID_VALUE))
}

/// An operation that has only one page here: no token can be right.
fn one_page(input: &Input) -> Result<(), Refusal> {
    match page(input)? {
        (_, "") => Ok(()),
        _ => Err(bad_request(INVALID_VALUE)),
    }
}

/// What the local name of an address cannot contain: blanks, and the characters of GuardDuty's list.
const NEVER_LOCAL: &str = "\t\n\x0b\x0c\r \"'()<>[]:,\\|%&";

/// How far an address was read.
#[derive(Clone, Copy)]
enum Place {
    Start,
    Local,
    At,
    /// Behind a letter or digit of the domain. Whether there was a dot before it.
    Word(bool),
    /// Behind a dot or hyphen of the domain.
    Mark(bool),
}

/// GuardDuty's own rule for addresses, which is stricter than that of Organizations (documentation of `AccountDetail`).
/// It is read character by character, unlike in the function: one error cannot be in both.
fn is_accepted_email(email: &str) -> bool {
    let end = email.chars().try_fold(Place::Start, |place, character| {
        Some(match (place, character) {
            (Place::Start, '.' | '@') => return None,
            (Place::Local, '@') => Place::At,
            (Place::Start | Place::Local, '\0'..='\x7f') if !NEVER_LOCAL.contains(character) => {
                Place::Local
            }
            (Place::At, 'a'..='z' | 'A'..='Z' | '0'..='9') => Place::Word(false),
            (Place::Word(dot) | Place::Mark(dot), 'a'..='z' | 'A'..='Z' | '0'..='9') => {
                Place::Word(dot)
            }
            (Place::Word(dot) | Place::Mark(dot), '-') => Place::Mark(dot),
            (Place::Word(_) | Place::Mark(_), '.') => Place::Mark(true),
            _ => return None,
        })
    });
    matches!(end, Some(Place::Word(true))) && (6..=64).contains(&email.len())
}

fn show_unprocessed(unprocessed: Vec<(String, String)>) -> Vec<Value> {
    unprocessed.into_iter().map(|(id, text)| json!({ "accountId": id, "result": text })).collect()
}

fn show_member(around: &Surroundings, id: &str, member: &Member) -> Value {
    json!({
        "accountId": id,
        "detectorId": format!("{:x}", Md5::digest(format!("detector of {id}"))),
        "masterId": around.admin_account,
        "administratorId": around.admin_account,
        "email": member.email,
        "relationshipStatus": member.status(around.now),
        "updatedAt": around.epoch.iso(member.updated_at),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{OPERATIONS, Service};
    use crate::setup::{ADMIN_ACCOUNT, MANAGEMENT_ACCOUNT, NEW_ACCOUNT, OTHER_ACCOUNT, Setup};
    use crate::state::State;

    #[test]
    fn every_address_is_accepted_or_refused_as_its_source_says() {
        for row in ADDRESSES.lines().skip(1) {
            let columns: Vec<_> = row.split('\t').collect();
            let [verdict @ ("accepted" | "refused"), address, source] = columns[..] else {
                panic!("{row}");
            };
            let accepted = is_accepted_email(address);
            assert_eq!(accepted, verdict == "accepted", "{address}: {source}");
        }
        // What a line of a table cannot hold.
        for blank in ['\t', '\n', '\r'] {
            assert!(!is_accepted_email(&format!("a{blank}b@example.com")));
        }
    }

    #[test]
    fn members_are_counted_one_by_one_only_where_the_limit_is_near() {
        let mut guardduty = GuardDuty::new("eu-west-1");
        guardduty.member_limit = 10;
        for number in 0..8 {
            let status = if number < 3 { "Removed" } else { "Enabled" };
            let member = Member::new("a@example.com", status);
            guardduty.members.insert(format!("{number:012}"), member);
        }
        // 8 and 2 more keep the limit, removed ones or not; 8 and 3 more may not.
        assert_eq!(guardduty.associated_if_near_the_limit(2), 8);
        assert_eq!(guardduty.associated_if_near_the_limit(3), 5);
    }

    /// GuardDuty in a small organization.
    struct Asked {
        it: GuardDuty,
        organization: Organization,
    }

    impl Asked {
        fn new(change: impl FnOnce(&mut GuardDuty)) -> Self {
            let mut state = State::new(&Setup::default());
            change(state.guardduty_in("eu-west-1"));
            Self { it: state.guardduty_in("eu-west-1").clone(), organization: state.organization }
        }

        fn ask(&mut self, seconds: u64, operation: &str, body: &Value) -> Result<Value, Refusal> {
            let now = Duration::from_secs(seconds);
            self.it.auto_enable(now, ADMIN_ACCOUNT, &self.organization);
            let around = Surroundings {
                now,
                epoch: Epoch::default(),
                admin_account: ADMIN_ACCOUNT,
                organization: &self.organization,
                unprocessed: &Unprocessed::default(),
            };
            let mut input = Input::of(body).unwrap();
            input.set("detectorId", self.it.detector_id.as_deref().unwrap_or_default());
            self.it.handle(&around, operation, &input)
        }

        fn create(&mut self, seconds: u64, id: &str) {
            let detail = json!({ "accountId": id, "email": "a@example.com" });
            let body = json!({ "accountDetails": [detail] });
            assert!(self.ask(seconds, "CreateMembers", &body).is_ok());
        }

        /// The account's status as `GetMembers` and `ListMembers` have it; empty where they do not have it.
        fn see(&mut self, seconds: u64, id: &str) -> [String; 2] {
            let got = self.ask(seconds, "GetMembers", &json!({ "accountIds": [id] }));
            let listed = self.ask(seconds, "ListMembers", &json!({ "onlyAssociated": "false" }));
            [got, listed].map(|answer| {
                let answer = answer.unwrap();
                let mut members = answer["members"].as_array().unwrap().iter();
                let member = members.find(|member| member["accountId"] == id);
                let status = member.and_then(|member| member["relationshipStatus"].as_str());
                status.unwrap_or_default().to_owned()
            })
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_new_member_has_one_status_on_its_way_and_another_at_its_end() {
        for (first, last, after, seen) in [
            ("Created", "Enabled", 0, ["Enabled", "Enabled", "Enabled"]),
            ("Created", "Enabled", 10, ["Created", "Created", "Enabled"]),
            ("Invited", "Enabled", 10, ["Invited", "Invited", "Enabled"]),
            ("Created", "RegionDisabled", 10, ["Created", "Created", "RegionDisabled"]),
            ("Created", "AccountSuspended", 0, ["AccountSuspended"; 3]),
        ] {
            let mut asked = Asked::new(|it| {
                it.enables_after = SECOND * after;
                first.clone_into(&mut it.first_status);
                it.final_status = last.into();
            });
            asked.create(0, NEW_ACCOUNT);
            let statuses = [0, 9, 10].map(|at| asked.see(at, NEW_ACCOUNT)[0].clone());
            assert_eq!(statuses, seen, "{first} {last} {after}");
            // Once the cause is gone, a member that did not end well is taken again.
            asked.it.final_status = "Enabled".into();
            asked.create(20, NEW_ACCOUNT);
            assert_eq!(asked.see(30, NEW_ACCOUNT)[0], "Enabled");
            assert_eq!(asked.it.touched_enabled.len(), usize::from(last == "Enabled"));
        }
    }

    #[test]
    fn a_list_lags_behind_what_is_got() {
        let mut asked = Asked::new(|it| {
            (it.enables_after, it.list_lag) = (SECOND * 10, SECOND * 30);
            let suspended = Member::new("a@example.com", "Disabled");
            it.members.insert(OTHER_ACCOUNT.to_owned(), suspended);
        });
        asked.create(5, NEW_ACCOUNT);
        let body = json!({ "accountIds": [OTHER_ACCOUNT] });
        assert!(asked.ask(5, "StartMonitoringMembers", &body).is_ok());
        for (at, new, other) in [
            (5, ["Created", ""], ["Enabled", "Disabled"]),
            (34, ["Enabled", ""], ["Enabled", "Disabled"]),
            (35, ["Enabled", "Created"], ["Enabled", "Enabled"]),
            (44, ["Enabled", "Created"], ["Enabled", "Enabled"]),
            (45, ["Enabled", "Enabled"], ["Enabled", "Enabled"]),
        ] {
            assert_eq!([asked.see(at, NEW_ACCOUNT), asked.see(at, OTHER_ACCOUNT)], [new, other]);
        }
    }

    #[test]
    fn every_call_of_a_denied_region_is_refused_by_name() {
        for (_, operation, _) in OPERATIONS.iter().filter(|row| row.0 == Service::GuardDuty) {
            let mut asked = Asked::new(|it| it.denied = true);
            let refusal = asked.ask(0, operation, &json!({})).unwrap_err();
            assert_eq!((refusal.status, refusal.code.as_str()), (403, "AccessDeniedException"));
            let text = format!(
                "User: arn:aws:sts::222222222222:assumed-role/x/y is not authorized to perform: guardduty:{operation} with an explicit deny in a service control policy"
            );
            assert_eq!(refusal.message, text);
        }
    }

    #[test]
    fn auto_enable_makes_members_of_accounts_that_join_or_of_all() {
        let at_once = ["Enabled", "Enabled"];
        let late = ["", "Enabled"];
        let never = ["", ""];
        for (which, managed, id, seen) in [
            ("NONE", true, NEW_ACCOUNT, never),
            ("NEW", true, NEW_ACCOUNT, at_once),
            ("NEW", true, "777788889999", late),
            ("NEW", true, OTHER_ACCOUNT, never),
            ("NEW", true, "888899990000", never),
            ("ALL", true, OTHER_ACCOUNT, at_once),
            ("ALL", true, "777788889999", late),
            ("ALL", true, MANAGEMENT_ACCOUNT, at_once),
            ("ALL", false, MANAGEMENT_ACCOUNT, never),
            ("ALL", true, ADMIN_ACCOUNT, never),
        ] {
            let mut asked = Asked::new(|it| {
                which.clone_into(&mut it.auto_enable);
                (it.auto_enable_after, it.management_enabled) = (SECOND * 10, managed);
            });
            let joined = Account::joined("a@example.com", SECOND * 5);
            let mut closed = joined.clone();
            closed.set_state("SUSPENDED");
            let new = [("777788889999", joined), ("888899990000", closed)];
            asked.organization.accounts.extend(new.map(|(id, new)| (id.to_owned(), new)));
            assert_eq!(asked.see(9, id)[0], "", "{which} {id}");
            let statuses = [10, 15].map(|at| asked.see(at, id)[0].clone());
            assert_eq!(statuses, seen, "{which} {id}");
        }
    }

    #[test]
    fn a_member_is_touched_from_the_moment_on_at_which_it_is_enabled() {
        for which in ["NONE", "NEW"] {
            let mut asked = Asked::new(|it| {
                which.clone_into(&mut it.auto_enable);
                (it.enables_after, it.auto_enable_after) = (SECOND * 10, SECOND * 10);
            });
            if which == "NONE" {
                asked.create(0, NEW_ACCOUNT);
                asked.create(9, NEW_ACCOUNT);
            }
            assert_eq!(asked.it.touched_enabled.len(), 0);
            asked.create(10, NEW_ACCOUNT);
            assert_eq!(asked.it.touched_enabled.len(), 1, "{which}");
            let member = &asked.it.members[NEW_ACCOUNT];
            let since = [9, 10, 99].map(|at| member.enabled_since(SECOND * at));
            let before = if which == "NONE" { None } else { Some(SECOND * 10) };
            assert_eq!(since, [before, Some(SECOND * 10), Some(SECOND * 10)]);
        }
    }
}
