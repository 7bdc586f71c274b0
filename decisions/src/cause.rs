//! Why an account was not `Enabled` when a reconcile compared it, and what that says: that it is just being enrolled, that it
//! lost its protection, or that no event announced it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use serde::Serialize;

use crate::account::AccountId;
use crate::membership::Membership;
use crate::region::Region;
use crate::roster::{Expected, Roster};
use crate::timestamp::Timestamp;

/// How long after it joined an account is new: the event path may still be at it. Ours: the eight attempts take about 46
/// minutes.
const NEW: Duration = Duration::from_hours(1);

/// Why an account was not `Enabled` in a Region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// It joined within the last hour.
    New,
    /// It is not a member.
    Absent,
    /// It is a member that GuardDuty has not enabled yet: `Created` or `EmailVerificationInProgress`.
    OnItsWay,
    /// It was a member, and the administrator removed it.
    Removed,
    /// It was a member, and left by itself.
    Resigned,
    /// It is a member that someone suspended.
    Suspended,
    /// It is a member of another status, such as `Invited`.
    OtherStatus,
    /// It was not a member when the Region's members were listed, and somebody else had made it one before its turn.
    MadeMeanwhile,
}

impl Cause {
    /// The cause for an account that is not `Enabled`.
    #[must_use]
    pub fn of(membership: Membership, account: &Expected, now: Timestamp) -> Self {
        match membership {
            Membership::Removed => Self::Removed,
            Membership::Resigned => Self::Resigned,
            Membership::SUSPENDED => Self::Suspended,
            _ if account.age(now).is_some_and(|age| age < NEW) => Self::New,
            Membership::Absent => Self::Absent,
            Membership::WAITING => Self::OnItsWay,
            _ => Self::OtherStatus,
        }
    }

    /// The name in reports and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Absent => "absent",
            Self::OnItsWay => "on-its-way",
            Self::Removed => "removed",
            Self::Resigned => "resigned",
            Self::Suspended => "suspended",
            Self::OtherStatus => "other-status",
            Self::MadeMeanwhile => "made-meanwhile",
        }
    }

    /// Whether GuardDuty itself says that the account was protected before.
    const fn was_protected(self) -> bool {
        matches!(self, Self::Removed | Self::Resigned | Self::Suspended)
    }
}

/// What one Region was found to be before anything was changed, and who was enrolled then.
#[derive(Debug)]
pub struct Found {
    /// The membership of each expected account, in the roster's order.
    memberships: Vec<Membership>,
    enabled_now: Vec<Option<By>>,
}

/// Who made a member that was missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// This run.
    ThisRun,
    /// Somebody else, such as auto-enable.
    SomebodyElse,
}

impl Found {
    /// What was found, in the roster's order.
    #[must_use]
    pub fn new(memberships: Vec<Membership>) -> Self {
        Self { enabled_now: vec![None; memberships.len()], memberships }
    }

    /// The account with this index is `Enabled` now.
    pub fn enabled(&mut self, index: usize, by: By) {
        if let Some(enabled) = self.enabled_now.get_mut(index) {
            *enabled = Some(by);
        }
    }

    /// Who made the account with this index a member, if it was missing.
    #[must_use]
    pub fn enabled_by(&self, index: usize) -> Option<By> {
        self.enabled_now.get(index).copied().flatten()
    }

    /// Whether the account with this index was enrolled now.
    #[must_use]
    pub fn is_enrolled(&self, index: usize) -> bool {
        self.enabled_by(index) == Some(By::ThisRun)
    }

    /// Whether the account with this index was `Enabled`, or is now.
    #[must_use]
    pub fn is_protected(&self, index: usize) -> bool {
        self.memberships.get(index) == Some(&Membership::Enabled)
            || self.enabled_by(index).is_some()
    }

    /// The cause for the account with this index, unless it was `Enabled`.
    #[must_use]
    pub fn cause(&self, index: usize, account: &Expected, now: Timestamp) -> Option<Cause> {
        let membership = *self.memberships.get(index)?;
        let cause = || match Cause::of(membership, account, now) {
            Cause::Absent if self.enabled_by(index) == Some(By::SomebodyElse) => {
                Cause::MadeMeanwhile
            }
            cause => cause,
        };
        (membership != Membership::Enabled).then(cause)
    }

    /// Without an expected account that was `Enabled`, GuardDuty has just been set up in the Region: who is absent there never
    /// was a member.
    fn was_in_use(&self) -> bool {
        self.memberships.contains(&Membership::Enabled)
    }
}

/// What the Regions together say. That an account is absent counts only in Regions in which another one was `Enabled`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The accounts that lost their protection in a Region: GuardDuty says that they were members, or they are members in
    /// another Region, joined more than an hour ago, and could be enrolled now. (An account that was never enrolled in a
    /// Region, because its dead letter still waits for a person, is taken for one of these.)
    pub lost: BTreeMap<Region, Vec<AccountId>>,
    /// The accounts that joined more than an hour ago and are members in no Region: no event announced them.
    pub missed: Vec<AccountId>,
}

impl Verdict {
    /// Judges the Regions that were compared.
    #[must_use]
    pub fn of(found: &BTreeMap<Region, Found>, roster: &Roster, now: Timestamp) -> Self {
        let in_use: Vec<_> = found.values().filter(|found| found.was_in_use()).collect();
        let mut verdict = Self::default();
        for (index, account) in roster.expected().iter().enumerate() {
            let is_absent =
                |found: &&Found| found.cause(index, account, now) == Some(Cause::Absent);
            let is_dated = account.age(now).is_some();
            if is_dated && !in_use.is_empty() && in_use.iter().all(is_absent) {
                verdict.missed.push(account.id);
            }
            let is_enabled = |found: &&Found| found.cause(index, account, now).is_none();
            let is_member = is_dated && in_use.iter().any(is_enabled);
            for (region, found) in found {
                let vanished = is_member
                    && found.was_in_use()
                    && is_absent(&found)
                    && found.is_enrolled(index);
                let cause = found.cause(index, account, now);
                if vanished || cause.is_some_and(Cause::was_protected) {
                    verdict.lost.entry(region.clone()).or_default().push(account.id);
                }
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::ToOwned;

    use super::*;
    use crate::account::{Account, Email, State};
    use crate::configuration::Configuration;
    use crate::reason::Reason;

    const OLD: &str = "100000000001";
    const NEW_ONE: &str = "100000000002";
    const UNDATED: &str = "100000000003";
    const FUTURE: &str = "100000000004";

    fn id(text: &str) -> AccountId {
        text.parse().unwrap()
    }

    fn now() -> Timestamp {
        "2026-06-01T12:00:00Z".parse().unwrap()
    }

    fn roster() -> Roster {
        let queue = |name| format!("https://sqs.eu-west-1.amazonaws.com/222222222222/{name}");
        let configuration = Configuration::read(|name| match name {
            "ADMIN_ACCOUNT_ID" => Some("222222222222".to_owned()),
            "DEAD_LETTER_QUEUE_URL" => Some(queue("dead")),
            "RETRY_QUEUE_URL" => Some(queue("retry")),
            _ => None,
        });
        let joined = [
            (OLD, Some("2026-01-01T00:00:00Z")),
            (NEW_ONE, Some("2026-06-01T11:30:00Z")),
            (UNDATED, None),
            (FUTURE, Some("2026-07-01T00:00:00Z")),
        ];
        let listed = joined.map(|(account, joined)| {
            let joined = joined.and_then(|text| text.parse().ok());
            let email = Email::unmasked("a@example.com");
            (id(account), Account { state: State::Active, email, joined, paths: vec![] })
        });
        Roster::of(listed.into(), &configuration.unwrap())
    }

    fn cause(membership: Membership, account: &str) -> Cause {
        Cause::of(membership, roster().find(id(account)).unwrap(), now())
    }

    #[test]
    fn the_cause_is_what_guardduty_says_or_that_the_account_is_new() {
        for (membership, of_old, of_new) in [
            (Membership::Absent, Cause::Absent, Cause::New),
            (Membership::WAITING, Cause::OnItsWay, Cause::New),
            (Membership::Removed, Cause::Removed, Cause::Removed),
            (Membership::Resigned, Cause::Resigned, Cause::Resigned),
            (Membership::SUSPENDED, Cause::Suspended, Cause::Suspended),
            (Membership::Gone, Cause::OtherStatus, Cause::New),
            (Membership::NotEnabled(Reason::EmailRejected), Cause::OtherStatus, Cause::New),
        ] {
            assert_eq!(cause(membership, OLD), of_old);
            assert_eq!(cause(membership, NEW_ONE), of_new);
        }
        for account in [UNDATED, FUTURE] {
            assert_eq!(cause(Membership::Absent, account), Cause::Absent);
        }
    }

    /// The verdict on the memberships of one account in two Regions. Another one is `Enabled` in both; in a third Region
    /// nobody is.
    fn verdict(account: &str, [one, other]: [Membership; 2], enrolled: bool) -> Verdict {
        let roster = roster();
        let index = roster.index_of(id(account)).unwrap();
        let found = [Some(one), Some(other), None].map(|membership| {
            let filler = membership.map_or(Membership::Absent, |_| Membership::Enabled);
            let mut memberships = vec![filler; 4];
            memberships[index] = membership.unwrap_or(Membership::Absent);
            let mut found = Found::new(memberships);
            if enrolled {
                found.enabled(index, By::ThisRun);
            }
            found
        });
        let names = ["eu-west-1", "us-east-1", "us-west-2"].map(|it| Region::known(it).unwrap());
        let found = names.into_iter().zip(found).collect();
        Verdict::of(&found, &roster, now())
    }

    fn lost_in(region: &str, account: &str) -> Verdict {
        let lost = [(Region::known(region).unwrap(), vec![id(account)])].into();
        Verdict { lost, missed: vec![] }
    }

    #[test]
    fn a_member_that_was_protected_and_is_no_more_has_lost_its_protection() {
        for gone in [Membership::Removed, Membership::Resigned, Membership::SUSPENDED] {
            for account in [OLD, NEW_ONE, UNDATED] {
                let verdict = verdict(account, [Membership::Enabled, gone], false);
                assert_eq!(verdict, lost_in("us-east-1", account), "{gone:?}");
            }
        }
    }

    #[test]
    fn a_region_in_which_everyone_was_removed_has_lost_everyone() {
        let west = Region::known("us-west-2").unwrap();
        let found = [(west.clone(), Found::new(vec![Membership::Removed; 4]))];
        let verdict = Verdict::of(&found.into(), &roster(), now());
        assert_eq!(verdict.lost.get(&west).map(Vec::len), Some(4));
    }

    #[test]
    fn an_old_account_that_is_absent_where_it_can_be_enrolled_has_lost_its_protection() {
        let there = [Membership::Enabled, Membership::Absent];
        assert_eq!(verdict(OLD, there, true), lost_in("us-east-1", OLD));
        // What is refused now may have been refused always.
        assert_eq!(verdict(OLD, there, false), Verdict::default());
    }

    #[test]
    fn an_old_account_that_is_a_member_nowhere_was_announced_by_no_event() {
        let missed = Verdict { missed: vec![id(OLD)], ..Verdict::default() };
        assert_eq!(verdict(OLD, [Membership::Absent; 2], true), missed);
    }

    #[test]
    fn an_account_that_is_being_enrolled_and_one_without_a_time_of_joining_raise_neither() {
        for (account, membership) in [
            (NEW_ONE, Membership::Absent),
            (OLD, Membership::WAITING),
            (UNDATED, Membership::Absent),
            (FUTURE, Membership::Absent),
        ] {
            for other in [Membership::Enabled, membership] {
                assert_eq!(verdict(account, [membership, other], true), Verdict::default());
            }
        }
    }
}
