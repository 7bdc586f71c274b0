//! What a reconcile found and did, for a person, a metric and an auditor: counts by Region, and the accounts
//! themselves up to a limit.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::account::AccountId;
use crate::outcome::{Ending, Outcome, Reason};
use crate::region::Region;
use crate::standing::{Standing, left_suspended};
use crate::text::SafeText;

/// The most accounts that are not `Enabled`, and the most stale members, that a Region's report names. Ours: 34 Regions with texts of 300
/// characters of 4 bytes are 5 MB, and Lambda's reply takes 6 MB (Lambda quotas).
pub const NAMED_A_REGION: usize = 100;

/// The longest text of an account in the report, in characters. No known answer of GuardDuty is longer than 200.
const LONGEST_RESULT: usize = 300;

/// The report of one run.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whether nothing was to be changed.
    pub dry_run: bool,
    /// When the run started (RFC 3339, UTC).
    pub started_at: String,
    /// When it ended (RFC 3339, UTC).
    pub ended_at: String,
    /// Whether every member was listed and every missing pair had its attempt, before the cutoff. The attempt can have
    /// failed all the same: `gap` says so.
    pub complete: bool,
    /// Pairs that should be `Enabled` and are not known to be at the end: the gap. `None` (`null`), like the next two,
    /// where the accounts or the Regions could not be listed: how much is missing is not known then.
    pub gap: Option<usize>,
    /// How many accounts the organization has.
    pub accounts_listed: Option<usize>,
    /// How many of them should be members: ACTIVE, not the administrator, not excluded.
    pub accounts_expected: Option<usize>,
    /// How many of them have a state that this version does not know. They are left alone, and the run is not complete.
    pub accounts_of_unknown_state: usize,
    /// Pages of `ListAccounts` that were throttled beyond the SDK's own retries, and asked for again.
    pub throttled: usize,
    /// Why the accounts or the Regions could not be listed, if that is so: nothing was compared then.
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
    /// Accounts that should be members here.
    pub expected: usize,
    /// Members that were `Enabled` before.
    pub enabled: usize,
    /// Members that were made or resumed now, and seen `Enabled`.
    pub enrolled: usize,
    /// Accounts that a dry run left as they are.
    pub missing: usize,
    /// Accounts that are not `Enabled` after their attempt, or that someone suspended, by reason.
    pub not_enabled: BTreeMap<&'static str, usize>,
    /// Accounts that there was no time for, or that whatever blocked the Region kept from their turn.
    pub undone: usize,
    /// Pages of `ListMembers` and accounts that were throttled beyond the SDK's own retries, and came to their turn again.
    pub throttled: usize,
    /// Members that were not among the organization's accounts when these were listed. They are reported, not removed:
    /// an account that joined during the run is one of them, and so is a member by invitation.
    pub stale: usize,
    /// The organization's setting: `NEW`, `ALL` or `NONE`.
    pub auto_enable: Option<String>,
    /// Whether GuardDuty takes no more members.
    pub member_account_limit_reached: Option<bool>,
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
    /// AWS's own words, or what was seen where AWS said nothing.
    pub result: Option<SafeText>,
    /// What to do.
    pub cure: &'static str,
}

/// An account that is not `Enabled`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountReport {
    /// The account.
    pub account_id: AccountId,
    /// The outcome's name; none for what a dry run leaves as it is: that ends no pair.
    pub outcome: Option<&'static str>,
    /// The reason's code.
    pub reason: Option<&'static str>,
    /// AWS's own words, or what was seen where AWS said nothing.
    pub result: Option<SafeText>,
}

impl Blocked {
    /// By a call that ended so.
    #[must_use]
    pub fn by(ending: &Ending) -> Self {
        let reason = ending.outcome.reason().unwrap_or(Reason::Unknown);
        Self {
            reason: reason.code(),
            result: ending.result.clone(),
            cure: cure(reason),
        }
    }
}

/// What to do about a Region that cannot be compared. `docs/operations.md` says it at length.
const fn cure(reason: Reason) -> &'static str {
    match reason {
        Reason::NoDetector => {
            "enable GuardDuty in the administrator account in this Region and make it the delegated administrator here, or take the Region out of REGIONS (of the template: Regions)"
        }
        Reason::NotAdministrator => {
            "make this account GuardDuty's delegated administrator in this Region, from the management account"
        }
        Reason::RegionDisabled => {
            "enable the Region for the administrator account, or take it out of REGIONS (of the template: Regions)"
        }
        Reason::AccessDenied => {
            "mend the function's role or the service control policy that forbids the call"
        }
        Reason::MemberLimitReached => {
            "remove members that left the organization (look at each stale account with describe-account first), or ask AWS for a higher limit"
        }
        Reason::Deadline => {
            "nothing where accounts were enrolled: the next run goes on from here. Where the lists themselves took all the time, see `throttled`, and raise LIST_ACCOUNTS_PER_SECOND or LIST_MEMBERS_PER_SECOND (of the template: ListAccountsPerSecond, ListMembersPerSecond)"
        }
        Reason::Throttled | Reason::InternalError | Reason::Unavailable => {
            "nothing: the next run retries; if it stays, see the AWS Health Dashboard"
        }
        _ => "see docs/operations.md for the reason",
    }
}

impl RegionReport {
    /// Counts how an account ended.
    pub fn count(&mut self, account: AccountId, ending: &Ending) {
        let reason = match ending.outcome {
            Outcome::Enrolled => {
                self.enrolled += 1;
                return;
            }
            Outcome::AlreadyEnabled => {
                self.enabled += 1;
                return;
            }
            Outcome::Pending(reason)
            | Outcome::Deferred(reason)
            | Outcome::Refused(reason)
            | Outcome::Skipped(reason) => reason,
        };
        *self.not_enabled.entry(reason.code()).or_default() += 1;
        self.name(AccountReport {
            account_id: account,
            outcome: Some(ending.outcome.name()),
            reason: Some(reason.code()),
            result: ending.result.as_ref().map(|text| text.cut(LONGEST_RESULT)),
        });
    }

    /// Counts an account that a dry run leaves as it is.
    pub fn count_missing(&mut self, account: AccountId, standing: Standing) {
        self.missing += 1;
        let suspended = (standing == Standing::Suspended).then(left_suspended);
        self.name(AccountReport {
            account_id: account,
            outcome: None,
            reason: None,
            result: suspended.and_then(|ending| ending.result),
        });
    }

    /// Counts a member that was not among the organization's accounts when these were listed.
    pub fn count_stale(&mut self, account: AccountId) {
        self.stale += 1;
        if self.stale_accounts.len() < NAMED_A_REGION {
            self.stale_accounts.push(account);
        }
    }

    fn name(&mut self, account: AccountReport) {
        if self.accounts.len() < NAMED_A_REGION {
            self.accounts.push(account);
        }
    }

    /// Closes the Region's books: whoever was counted nowhere is undone.
    pub fn close(&mut self, expected: usize) {
        let counted = self.enabled + self.enrolled + self.missing + self.failed();
        self.expected = expected;
        self.undone = expected.saturating_sub(counted);
    }

    fn failed(&self) -> usize {
        self.not_enabled.values().sum()
    }

    /// Accounts that should be `Enabled` here and are not known to be.
    #[must_use]
    pub fn gap(&self) -> usize {
        self.missing + self.undone + self.failed()
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
        let mut report = RegionReport {
            enabled: 10,
            ..RegionReport::default()
        };
        report.count(id(1), &Ending::plain(Outcome::Enrolled));
        report.count(id(2), &Ending::plain(Outcome::AlreadyEnabled));
        report.count(
            id(3),
            &Ending::plain(Outcome::Refused(Reason::EmailRejected)),
        );
        report.count_missing(id(4), Standing::NotEnabled);
        report.close(20);
        assert_eq!(
            (report.enabled, report.enrolled, report.missing),
            (11, 1, 1)
        );
        assert_eq!(report.not_enabled, BTreeMap::from([("email-rejected", 1)]));
        assert_eq!(report.undone, 6);
        assert_eq!(report.gap(), 8);
    }

    #[test]
    fn what_can_keep_a_region_from_being_compared_has_a_cure_of_its_own() {
        for (reason, part) in [
            (
                Reason::NoDetector,
                "enable GuardDuty in the administrator account",
            ),
            (
                Reason::NotAdministrator,
                "delegated administrator in this Region",
            ),
            (Reason::RegionDisabled, "enable the Region"),
            (Reason::AccessDenied, "mend the function's role"),
            (
                Reason::MemberLimitReached,
                "members that left the organization",
            ),
            (Reason::Deadline, "goes on from here"),
            (Reason::Throttled, "the next run retries"),
            (Reason::InternalError, "the next run retries"),
            (Reason::Unavailable, "the next run retries"),
            (Reason::Unknown, "docs/operations.md"),
        ] {
            assert!(cure(reason).contains(part), "{}", reason.code());
        }
        let ending = Ending::said(Outcome::Refused(Reason::AccessDenied), "no");
        let blocked = Blocked::by(&ending);
        assert_eq!(
            (blocked.reason, blocked.cure),
            ("access-denied", cure(Reason::AccessDenied))
        );
        assert_eq!(blocked.result, ending.result);
    }

    #[test]
    fn the_largest_report_fits_lambdas_reply() {
        for character in ["x", "\"", "ä", "\u{1f6a8}"] {
            check_size(&character.repeat(2_000));
        }
    }

    fn check_size(text: &str) {
        let mut regions = BTreeMap::new();
        let outcome = Outcome::Refused(Reason::ManagementAccountNotEnabled);
        let ending = Ending::said(outcome, text);
        for number in 0..40 {
            let mut region = RegionReport::default();
            for account in 0..1_000 {
                region.count(id(account), &ending);
                region.count_stale(id(account));
            }
            regions.insert(Region::named(&format!("eu-west-{number}")).unwrap(), region);
        }
        let report = Report {
            regions,
            ..Report::default()
        };
        let size = serde_json::to_string(&report).unwrap().len();
        assert!(size < 6_000_000, "{size} bytes");
        let first = report.regions.values().next().unwrap();
        assert_eq!(
            (first.accounts.len(), first.stale_accounts.len()),
            (100, 100)
        );
        assert_eq!((first.gap(), first.stale), (1_000, 1_000));
    }
}
