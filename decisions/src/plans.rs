//! GuardDuty's protection plans in one Region, as they are. They are reported and never changed.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;

use crate::account::AccountId;
use crate::redacted::Redacted;
use crate::report::Blocked;

/// The longest name of a plan, and the most plans that are believed. Ours: GuardDuty has 8 plans with 4 parts, and no name
/// has more than 28 characters (service model).
const MAX_NAME: usize = 40;
const MAX_PLANS: usize = 24;

/// The longest setting or status. Ours: the longest known is `DISABLED`.
const MAX_WORD: usize = 32;

/// The name of a plan, such as `S3_DATA_EVENTS`, or of a part of one: `RUNTIME_MONITORING/EKS_ADDON_MANAGEMENT`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PlanName(String);

impl PlanName {
    /// The name of a plan, if it is made as GuardDuty makes names.
    #[must_use]
    pub fn new(plan: &str) -> Option<Self> {
        is_name(plan).then(|| Self(plan.to_string()))
    }

    /// The name of a part of this plan.
    #[must_use]
    pub fn part(self, part: &str) -> Option<Self> {
        is_name(part).then(|| Self(self.0 + "/" + part))
    }
}

fn is_name(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(is_letter)
}

/// The most differing members that a Region's report names. Ours: with all their plans they are 1.3 MB in 34 Regions, and
/// Lambda's reply takes 6 MB (Lambda quotas).
const MAX_DIFFERING_PER_REGION: usize = 20;

/// A word of GuardDuty: a setting or a status.
fn word(text: &str) -> String {
    Redacted::new(text).cut(MAX_WORD).to_string()
}

/// A plan of the organization in a Region.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The organization's setting: `NEW`, `ALL` or `NONE`. `None` if only the statistics name the plan.
    pub auto_enable: Option<String>,
    /// How many accounts have it on, by GuardDuty's statistics.
    pub enabled_accounts: Option<u32>,
}

/// The plans of the organization in a Region.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Plans(BTreeMap<PlanName, Plan>);

impl Plans {
    /// Takes the organization's setting for a plan.
    pub fn set(&mut self, name: Option<PlanName>, auto_enable: Option<&str>) {
        if let Some(plan) = self.plan(name) {
            plan.auto_enable = auto_enable.map(word);
        }
    }

    /// Takes the number of accounts that have a plan on.
    pub fn count(&mut self, name: Option<PlanName>, enabled_accounts: Option<u32>) {
        if let Some(plan) = self.plan(name) {
            plan.enabled_accounts = enabled_accounts;
        }
    }

    fn plan(&mut self, name: Option<PlanName>) -> Option<&mut Plan> {
        let name = name.filter(|name| self.0.len() < MAX_PLANS || self.0.contains_key(name))?;
        Some(self.0.entry(name).or_default())
    }

    /// The plans in which a member is not as the organization's setting says: off with `ALL`, or on with `NONE`. `NEW` says
    /// nothing of an account that was there before.
    fn differing(&self, member: &MemberPlans) -> BTreeMap<PlanName, String> {
        let differs = |(name, status): &(&PlanName, &String)| {
            let setting = self.0.get(name).and_then(|plan| plan.auto_enable.as_deref());
            matches!(
                (setting, status.as_str()),
                (Some("ALL"), "DISABLED") | (Some("NONE"), "ENABLED")
            )
        };
        let found = member.status.iter().filter(differs);
        found.map(|(name, status)| (name.clone(), status.clone())).collect()
    }

    /// The plans whose setting is not the same in all Regions that have them.
    pub fn that_differ<'a>(regions: impl Iterator<Item = &'a Self>) -> BTreeSet<PlanName> {
        let mut settings: BTreeMap<&PlanName, BTreeSet<&str>> = BTreeMap::new();
        for (name, plan) in regions.flat_map(|plans| &plans.0) {
            settings.entry(name).or_default().extend(plan.auto_enable.as_deref());
        }
        settings
            .into_iter()
            .filter(|(_, seen)| seen.len() > 1)
            .map(|(name, _)| name.clone())
            .collect()
    }
}

/// What GuardDuty's statistics say of the organization in a Region. They lag: for a new organization by up to 24 hours
/// (GuardDuty API reference, `GetOrganizationStatistics`).
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Statistics {
    /// Accounts of the organization.
    pub total_accounts: Option<u32>,
    /// Accounts that are members.
    pub member_accounts: Option<u32>,
    /// Accounts that are active.
    pub active_accounts: Option<u32>,
    /// Accounts that have GuardDuty enabled.
    pub enabled_accounts: Option<u32>,
}

/// The plans of one member.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct MemberPlans {
    status: BTreeMap<PlanName, String>,
    managed_by_policy: bool,
}

impl MemberPlans {
    /// Takes the status of a plan, and who manages it.
    pub fn set(&mut self, name: Option<PlanName>, status: Option<&str>, managed_by: Option<&str>) {
        if let (Some(name), Some(status)) = (name, status)
            && self.status.len() < MAX_PLANS
        {
            self.status.insert(name, word(status));
        }
        self.managed_by_policy |= managed_by == Some("GUARDDUTY_POLICY");
    }
}

/// How the members of a Region stand to the organization's setting.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlansOfMembers {
    /// Members whose plans were read.
    pub read: usize,
    /// Enabled members whose plans are not known.
    pub unread: usize,
    /// Why, if a call failed.
    pub blocked: Option<Blocked>,
    /// Members with a plan that an Organizations policy manages.
    pub managed_by_policy: usize,
    /// Members with a plan that is not as the organization's setting says.
    pub differing: usize,
    /// The first of them.
    pub accounts: Vec<DifferingMember>,
}

/// A member with a plan that is not as the organization's setting says.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DifferingMember {
    pub account_id: AccountId,
    /// The status of each such plan.
    pub plans: BTreeMap<PlanName, String>,
    /// Whether an Organizations policy manages any of the member's plans.
    pub managed_by_policy: bool,
}

impl PlansOfMembers {
    /// Takes the plans of a member.
    pub fn count(&mut self, plans: &Plans, account_id: AccountId, member: &MemberPlans) {
        self.read += 1;
        self.managed_by_policy += usize::from(member.managed_by_policy);
        let differing = plans.differing(member);
        if !differing.is_empty() {
            self.differing += 1;
            if self.accounts.len() < MAX_DIFFERING_PER_REGION {
                let managed_by_policy = member.managed_by_policy;
                self.accounts.push(DifferingMember {
                    account_id,
                    plans: differing,
                    managed_by_policy,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    fn name(text: &str) -> Option<PlanName> {
        PlanName::new(text)
    }

    fn plans(settings: &[(&str, &str)]) -> Plans {
        let mut plans = Plans::default();
        for (plan, setting) in settings {
            plans.set(name(plan), Some(setting));
        }
        plans
    }

    #[test]
    fn a_plan_has_a_name_of_guarddutys_making() {
        let part = name("RUNTIME_MONITORING").and_then(|plan| plan.part("EKS_ADDON_MANAGEMENT"));
        assert_eq!(part, Some(PlanName("RUNTIME_MONITORING/EKS_ADDON_MANAGEMENT".to_string())));
        for wrong in ["", "s3", "a@example.com", "S3 DATA", &"X".repeat(41)] {
            assert_eq!(name(wrong), None);
            assert_eq!(name("S3").and_then(|plan| plan.part(wrong)), None);
        }
    }

    #[test]
    fn the_number_of_plans_and_the_length_of_words_are_bounded() {
        let mut plans = Plans::default();
        for number in 0..1_000 {
            plans.set(name(&format!("P{number}")), Some(&"x".repeat(1_000)));
        }
        assert_eq!(plans.0.len(), MAX_PLANS);
        plans.count(name("P0"), Some(3));
        let first = plans.0.get(&name("P0").unwrap()).unwrap();
        assert_eq!(first.enabled_accounts, Some(3));
        assert!(first.auto_enable.as_ref().unwrap().chars().count() <= MAX_WORD + 1);
    }

    #[test]
    fn plans_differ_whose_setting_is_not_the_same_in_the_regions_that_have_them() {
        let regions = [
            plans(&[("S3_DATA_EVENTS", "ALL"), ("RDS_LOGIN_EVENTS", "NEW")]),
            plans(&[("S3_DATA_EVENTS", "NONE"), ("RDS_LOGIN_EVENTS", "NEW")]),
            plans(&[("RDS_LOGIN_EVENTS", "NEW")]),
        ];
        let differ = Plans::that_differ(regions.iter());
        assert_eq!(differ, [name("S3_DATA_EVENTS").unwrap()].into());
    }

    #[test]
    fn a_member_differs_that_has_off_what_all_have_on_or_on_what_none_has() {
        let settings = plans(&[("A", "ALL"), ("B", "NONE"), ("C", "NEW")]);
        let mut of_members = PlansOfMembers::default();
        for (number, status, managed_by) in [
            (1, [("A", "ENABLED"), ("B", "DISABLED"), ("C", "DISABLED")], None),
            (2, [("A", "DISABLED"), ("B", "DISABLED"), ("C", "ENABLED")], None),
            (3, [("A", "ENABLED"), ("B", "ENABLED"), ("D", "ENABLED")], Some("GUARDDUTY_POLICY")),
        ] {
            let mut member = MemberPlans::default();
            for (plan, status) in status {
                member.set(name(plan), Some(status), managed_by);
            }
            of_members.count(&settings, format!("{number:012}").parse().unwrap(), &member);
        }
        assert_eq!(
            (of_members.read, of_members.differing, of_members.managed_by_policy),
            (3, 2, 1)
        );
        let found = of_members.accounts.iter().map(|account| {
            let plans = account.plans.keys().map(|name| name.0.as_str()).collect::<Vec<_>>();
            (plans, account.managed_by_policy)
        });
        assert_eq!(found.collect::<Vec<_>>(), [(["A"].to_vec(), false), (["B"].to_vec(), true)]);
    }
}
