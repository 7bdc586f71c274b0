//! What a reconcile found and did, for a person, a metric, and an auditor: counts by Region, and the accounts up to a
//! limit.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;

use crate::account::AccountId;
use crate::cause::{Cause, Verdict};
use crate::membership::{Membership, left_suspended};
use crate::outcome::Outcome;
use crate::plans::{PlanName, Plans, PlansOfMembers, Statistics};
use crate::policy::EffectivePolicy;
use crate::reason::Reason;
use crate::redacted::Redacted;
use crate::region::Region;
use crate::roster::Roster;
use crate::status::Status;
use crate::timestamp::Timestamp;

/// The most accounts that are not `Enabled`, and the most stale members, that a Region's report names. Ours: 34 Regions
/// with texts of 300 characters of 4 bytes are 5 MB, and Lambda's reply takes 6 MB (Lambda quotas).
const MAX_NAMED_PER_REGION: usize = 100;

/// The longest text of an account in the report, in characters. No known answer of GuardDuty is longer than 200.
const MAX_RESULT_CHARACTERS: usize = 300;

/// The report of one run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whether nothing was to be changed.
    pub dry_run: bool,
    /// When the run started (RFC 3339, UTC).
    pub started_at: Timestamp,
    /// When it ended (RFC 3339, UTC).
    pub ended_at: Timestamp,
    /// Whether every member was listed and every missing pair had its attempt before the cutoff. The attempt may have
    /// failed: `gap` says so.
    pub complete: bool,
    /// Pairs that should be `Enabled` and are not known to be at the end. `None` (`null`), like the next two, if the
    /// accounts or the Regions could not be listed, because nobody knows then how much is missing.
    pub gap: Option<usize>,
    /// How many accounts the organization has.
    pub accounts_listed: Option<usize>,
    /// How many of them should be members: ACTIVE, not the administrator, not excluded.
    pub accounts_expected: Option<usize>,
    /// How many accounts should not be members, by reason: with the expected ones they are all that were listed.
    pub accounts_left_out: BTreeMap<&'static str, usize>,
    /// The first accounts that the configuration excludes everywhere.
    pub excluded_accounts: Vec<AccountId>,
    /// How many expected accounts have no path although organizational units are excluded.
    pub accounts_without_paths: usize,
    /// Pairs that lost their protection, whether they were enrolled again or not. `None`, like the next one, if nothing was
    /// compared.
    pub lost_protection: Option<usize>,
    /// Accounts that joined more than an hour ago and were members in no Region: no event announced them.
    pub missed_joins: Option<usize>,
    /// The first of them.
    pub missed_accounts: Vec<AccountId>,
    /// How many of them have a state that this version does not know. They are left alone, and the run is not complete.
    pub accounts_of_unknown_state: usize,
    /// Pages of `ListAccounts` that were throttled beyond the SDK's own retries, and asked for again.
    pub throttled: usize,
    /// The Organizations policy for GuardDuty in force for the administrator's own account. `None` if it was not asked for,
    /// because nothing could be listed.
    pub effective_policy: Option<EffectivePolicy>,
    /// Regions that are uncovered; with `REGIONS` = `all` only.
    pub uncovered_regions: usize,
    /// Protection plans whose setting is not the same in all Regions that have them.
    pub plans_that_differ: BTreeSet<PlanName>,
    /// Why the accounts or the Regions could not be listed, so that nothing was compared.
    pub blocked: Option<Blocked>,
    /// Each Region's part.
    pub regions: BTreeMap<Region, RegionReport>,
}

/// One Region's part.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RegionReport {
    /// Why the Region could not be compared, or its gap not worked through.
    pub blocked: Option<Blocked>,
    /// Why the Region is uncovered. Its accounts are skipped for this reason, and are no gap.
    pub uncovered: Option<Blocked>,
    /// Accounts that should be members here.
    pub expected: usize,
    /// Members that were `Enabled` before.
    pub enabled: usize,
    /// Members that were made or resumed now, and seen `Enabled`.
    pub enrolled: usize,
    /// Accounts that were not `Enabled` when the Region was compared, by cause.
    pub causes: BTreeMap<&'static str, usize>,
    /// Accounts that lost their protection here.
    pub lost_protection: usize,
    /// The first of them.
    pub lost_accounts: Vec<AccountId>,
    /// Accounts that a dry run left as they are.
    pub missing: usize,
    /// Accounts that are not `Enabled` after their attempt, or that someone suspended, by reason.
    pub not_enabled: BTreeMap<&'static str, usize>,
    /// Accounts that are not to be enrolled here, by reason: no gap.
    pub skipped: BTreeMap<&'static str, usize>,
    /// Accounts that there was no time for, or whose turn did not come because the Region was blocked.
    pub not_attempted: usize,
    /// Pages of `ListMembers` and accounts that were throttled beyond the SDK's own retries, and were tried again.
    pub throttled: usize,
    /// Members that were not among the organization's accounts when these were listed. They are reported, not removed:
    /// an account that joined during the run is one of them, and so is a member by invitation.
    pub stale: usize,
    /// The organization's setting: `NEW`, `ALL` or `NONE`.
    pub auto_enable: Option<String>,
    /// Whether GuardDuty takes no more members.
    pub member_account_limit_reached: Option<bool>,
    /// The protection plans: the organization's setting, and how many accounts have them on.
    pub plans: Plans,
    /// GuardDuty's own count of accounts. `None` if it was not read.
    pub statistics: Option<Statistics>,
    /// Why not.
    pub statistics_blocked: Option<Blocked>,
    /// How the plans of each member stand to the organization's setting, if that was asked for.
    pub plans_of_members: Option<PlansOfMembers>,
    /// The first accounts that are not `Enabled`.
    pub accounts: Vec<AccountReport>,
    /// The first of those members.
    pub stale_accounts: Vec<AccountId>,
}

/// Why something could not be compared, and what to do.
#[derive(Debug, Serialize)]
pub struct Blocked {
    /// The reason's code.
    pub reason: &'static str,
    /// AWS's own words, or what was seen if AWS said nothing.
    pub result: Option<Redacted>,
    /// What to do.
    pub remedy: &'static str,
}

/// An account that is not `Enabled`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountReport {
    pub account_id: AccountId,
    /// Why it was not `Enabled` when the Region was compared.
    pub cause: Option<&'static str>,
    /// The status's name; `None` for what a dry run leaves as it is.
    pub outcome: Option<&'static str>,
    /// The reason's code.
    pub reason: Option<&'static str>,
    /// AWS's own words, or what was seen if AWS said nothing.
    pub result: Option<Redacted>,
}

impl Report {
    /// The report of a run that starts now and has compared nothing yet.
    #[must_use]
    pub fn new(dry_run: bool, now: Timestamp) -> Self {
        Self {
            dry_run,
            started_at: now,
            ended_at: now,
            complete: false,
            gap: None,
            accounts_listed: None,
            accounts_expected: None,
            accounts_left_out: BTreeMap::new(),
            excluded_accounts: Vec::new(),
            accounts_without_paths: 0,
            lost_protection: None,
            missed_joins: None,
            missed_accounts: Vec::new(),
            accounts_of_unknown_state: 0,
            throttled: 0,
            effective_policy: None,
            uncovered_regions: 0,
            plans_that_differ: BTreeSet::new(),
            blocked: None,
            regions: BTreeMap::new(),
        }
    }

    /// Takes the accounts of the organization.
    pub fn listed(&mut self, roster: &Roster) {
        self.accounts_listed = Some(roster.listed());
        self.accounts_expected = Some(roster.expected().len());
        self.accounts_of_unknown_state = roster.of_unknown_state();
        self.accounts_left_out.clone_from(roster.left_out());
        self.excluded_accounts = first(roster.excluded());
        self.accounts_without_paths = roster.without_paths();
    }

    /// Takes each Region's part, and so knows the gap.
    pub fn compared(&mut self, regions: BTreeMap<Region, RegionReport>) {
        self.gap = Some(regions.values().map(RegionReport::gap).sum());
        self.uncovered_regions = regions.values().filter(|it| it.uncovered.is_some()).count();
        self.plans_that_differ = Plans::that_differ(regions.values().map(|region| &region.plans));
        self.regions = regions;
    }

    /// Takes what the Regions together say.
    pub fn judged(&mut self, verdict: &Verdict) {
        for (region, lost) in &verdict.lost {
            if let Some(part) = self.regions.get_mut(region) {
                part.lost_protection = lost.len();
                part.lost_accounts = first(lost);
            }
        }
        self.lost_protection = Some(verdict.lost.values().map(Vec::len).sum());
        self.missed_joins = Some(verdict.missed.len());
        self.missed_accounts = first(&verdict.missed);
    }

    /// Ends the report.
    pub fn end(&mut self, now: Timestamp) {
        let is_done = |part: &RegionReport| part.blocked.is_none() && part.not_attempted == 0;
        self.complete = self.blocked.is_none()
            && self.accounts_of_unknown_state == 0
            && self.regions.values().all(is_done);
        self.ended_at = now;
    }
}

fn first(accounts: &[AccountId]) -> Vec<AccountId> {
    accounts.iter().copied().take(MAX_NAMED_PER_REGION).collect()
}

impl Blocked {
    /// By a call that ended so.
    #[must_use]
    pub fn by(outcome: &Outcome) -> Self {
        let reason = outcome.reason.unwrap_or(Reason::Unknown);
        Self { reason: reason.code(), result: outcome.result.clone(), remedy: reason.remedy() }
    }
}

impl RegionReport {
    /// Counts how an account ended. One that met the deadline was not attempted, which [`Self::close`] counts.
    pub fn count(&mut self, account: AccountId, outcome: &Outcome) {
        let reason = match (outcome.status, outcome.reason) {
            (Status::Enrolled, _) => {
                self.enrolled += 1;
                return;
            }
            (_, None) => {
                self.enabled += 1;
                return;
            }
            (_, Some(Reason::Deadline)) => return,
            (Status::Skipped, Some(reason)) => {
                *self.skipped.entry(reason.code()).or_default() += 1;
                return;
            }
            (_, Some(reason)) => reason.code(),
        };
        *self.not_enabled.entry(reason).or_default() += 1;
        self.name(AccountReport {
            account_id: account,
            cause: None,
            outcome: Some(outcome.status.name()),
            reason: Some(reason),
            result: outcome.result.as_ref().map(|text| text.cut(MAX_RESULT_CHARACTERS)),
        });
    }

    /// Counts an account that a dry run leaves as it is.
    pub fn count_missing(&mut self, account: AccountId, membership: Membership) {
        self.missing += 1;
        let suspended = (membership == Membership::SUSPENDED).then(left_suspended);
        self.name(AccountReport {
            account_id: account,
            cause: None,
            outcome: None,
            reason: None,
            result: suspended.and_then(|outcome| outcome.result),
        });
    }

    /// Counts a member that was not among the organization's accounts when these were listed.
    pub fn count_stale(&mut self, account: AccountId) {
        self.stale += 1;
        if self.stale_accounts.len() < MAX_NAMED_PER_REGION {
            self.stale_accounts.push(account);
        }
    }

    /// Says why each account was not `Enabled` when the Region was compared.
    pub fn explain(&mut self, cause: impl Fn(AccountId) -> Option<Cause>) {
        for account in &mut self.accounts {
            account.cause = cause(account.account_id).map(Cause::name);
        }
    }

    fn name(&mut self, account: AccountReport) {
        if self.accounts.len() < MAX_NAMED_PER_REGION {
            self.accounts.push(account);
        }
    }

    /// Counts every remaining expected account as not attempted.
    pub fn close(&mut self, expected: usize) {
        let skipped: usize = self.skipped.values().sum();
        let counted = self.enabled + self.enrolled + self.missing + self.failed() + skipped;
        self.expected = expected;
        self.not_attempted = expected.saturating_sub(counted);
    }

    /// Takes the Region for uncovered: what blocked it is no gap.
    pub fn leave_uncovered(&mut self) {
        self.uncovered = self.blocked.take();
        let left = core::mem::take(&mut self.not_attempted);
        let reason = self.uncovered.as_ref().map(|blocked| blocked.reason);
        self.skipped.extend(reason.map(|reason| (reason, left)));
    }

    fn failed(&self) -> usize {
        self.not_enabled.values().sum()
    }

    /// Accounts that should be `Enabled` here and are not known to be.
    #[must_use]
    pub fn gap(&self) -> usize {
        self.missing + self.not_attempted + self.failed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> AccountId {
        format!("{number:012}").parse().unwrap()
    }

    #[test]
    fn every_expected_account_is_counted_exactly_once() {
        let mut report = RegionReport { enabled: 10, ..RegionReport::default() };
        report.count(id(1), &Outcome::enrolled());
        report.count(id(2), &Outcome::already_enabled());
        report.count(id(3), &Outcome::because(Reason::EmailRejected));
        report.count(id(5), &Outcome::because(Reason::Deadline));
        report.count(id(6), &Outcome::because(Reason::MemberRegionDisabled));
        report.count_missing(id(4), Membership::NotEnabled(Reason::NotYetEnabled));
        report.close(20);
        let counts = (report.enabled, report.enrolled, report.missing);
        assert_eq!(counts, (11, 1, 1));
        assert_eq!(report.not_enabled, BTreeMap::from([("email-rejected", 1)]));
        assert_eq!(report.skipped, BTreeMap::from([("member-region-disabled", 1)]));
        assert_eq!(report.not_attempted, 5);
        assert_eq!(report.gap(), 7);
    }

    #[test]
    fn what_blocked_a_region_is_told_with_its_remedy() {
        let outcome = Outcome::because(Reason::AccessDenied).saying("no");
        let blocked = Blocked::by(&outcome);
        let remedy = Reason::AccessDenied.remedy();
        assert_eq!((blocked.reason, blocked.remedy), ("access-denied", remedy));
        assert_eq!(blocked.result, outcome.result);
    }

    #[test]
    fn the_largest_report_fits_lambdas_reply() {
        for character in ["x", "\"", "ä", "\u{1f6a8}"] {
            check_size(&character.repeat(2_000));
        }
    }

    fn check_size(text: &str) {
        let mut regions = BTreeMap::new();
        let outcome = Outcome::because(Reason::ManagementAccountNotEnabled).saying(text);
        for number in 0..40 {
            let mut region = RegionReport::default();
            for account in 0..1_000 {
                region.count(id(account), &outcome);
                region.count_stale(id(account));
            }
            region.lost_accounts = vec![id(0); 100];
            regions.insert(Region::named(&format!("eu-west-{number}")).unwrap(), region);
        }
        let mut report = Report::new(false, Timestamp::since_1970(core::time::Duration::ZERO));
        report.compared(regions);
        let size = serde_json::to_string(&report).unwrap().len();
        assert!(size < 6_000_000, "{size} bytes");
        let first = report.regions.values().next().unwrap();
        assert_eq!((first.accounts.len(), first.stale_accounts.len()), (100, 100));
        assert_eq!((first.gap(), first.stale), (1_000, 1_000));
    }
}
