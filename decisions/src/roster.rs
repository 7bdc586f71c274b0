//! The organization's accounts, held once for all Regions: which of them should be members, and which others exist.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use crate::account::{Account, AccountId, Email, State};
use crate::configuration::Configuration;
use crate::reason::Reason;
use crate::timestamp::Timestamp;

/// An account that should be a member.
#[derive(Debug)]
pub struct Expected {
    pub id: AccountId,
    pub email: Option<Email>,
    joined: Option<Timestamp>,
}

impl Expected {
    /// How long ago it joined; `None` if Organizations does not say it, or names a time to come.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        now.since(self.joined?)
    }
}

/// The organization's accounts. An account that was listed twice counts once.
#[derive(Debug, Default)]
pub struct Roster {
    expected: Vec<Expected>,
    others: BTreeSet<AccountId>,
    left_out: BTreeMap<&'static str, usize>,
    excluded: Vec<AccountId>,
    without_paths: usize,
    of_unknown_state: usize,
}

impl Roster {
    /// Expects the ACTIVE accounts, except the administrator and the excluded.
    #[must_use]
    pub fn of(listed: BTreeMap<AccountId, Account>, configuration: &Configuration) -> Self {
        let mut roster = Self::default();
        for (id, account) in listed {
            let Account { state, email, joined, paths } = account;
            let exclusions = &configuration.exclusions;
            let below = exclusions.covers(&paths);
            let left_out = match state {
                _ if id == configuration.administrator => Reason::AdministratorAccount,
                _ if exclusions.names(id) || below == Some(true) => {
                    roster.excluded.push(id);
                    Reason::Excluded
                }
                State::Active => {
                    roster.without_paths += usize::from(below.is_none());
                    roster.expected.push(Expected { id, email, joined });
                    continue;
                }
                State::PendingActivation => Reason::PendingActivation,
                State::Suspended => Reason::AccountSuspended,
                State::PendingClosure | State::Closed => Reason::AccountClosed,
                State::Unknown(_) => {
                    roster.of_unknown_state += 1;
                    Reason::Unknown
                }
            };
            *roster.left_out.entry(left_out.code()).or_default() += 1;
            roster.others.insert(id);
        }
        roster.expected.shrink_to_fit();
        roster
    }

    /// The accounts that should be members, in the order of their ids.
    #[must_use]
    pub fn expected(&self) -> &[Expected] {
        &self.expected
    }

    /// An account's index among those that should be members.
    #[must_use]
    pub fn index_of(&self, id: AccountId) -> Option<usize> {
        self.expected.binary_search_by_key(&id, |account| account.id).ok()
    }

    /// An account among those that should be members.
    #[must_use]
    pub fn find(&self, id: AccountId) -> Option<&Expected> {
        self.expected.get(self.index_of(id)?)
    }

    /// Whether GuardDuty's rule for addresses refuses that of an expected account.
    #[must_use]
    pub fn has_refused_address(&self, id: AccountId) -> bool {
        let email = self.find(id).and_then(|account| account.email.as_ref());
        !email.is_some_and(Email::keeps_guardduty_rule)
    }

    /// Whether the organization has the account at all.
    #[must_use]
    pub fn knows(&self, id: AccountId) -> bool {
        self.index_of(id).is_some() || self.others.contains(&id)
    }

    /// How many accounts have a state that this version does not know, so that nobody can say whether they should be
    /// members. The administrator and the excluded should not in any state.
    #[must_use]
    pub fn of_unknown_state(&self) -> usize {
        self.of_unknown_state
    }

    /// How many accounts should not be members, by reason. With the expected ones they are all accounts.
    #[must_use]
    pub fn left_out(&self) -> &BTreeMap<&'static str, usize> {
        &self.left_out
    }

    /// The accounts that the configuration excludes everywhere.
    #[must_use]
    pub fn excluded(&self) -> &[AccountId] {
        &self.excluded
    }

    /// How many expected accounts may be below an excluded organizational unit, because Organizations gives no path.
    #[must_use]
    pub fn without_paths(&self) -> usize {
        self.without_paths
    }

    /// How many accounts the organization has.
    #[must_use]
    pub fn listed(&self) -> usize {
        self.expected.len() + self.others.len()
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::ToOwned;

    use super::*;

    const ADMINISTRATOR: &str = "222222222222";
    const EXCLUDED: &str = "333333333333";

    fn id(text: &str) -> AccountId {
        text.parse().unwrap()
    }

    fn roster(accounts: &[(&str, State)]) -> Roster {
        let queue = |name| format!("https://sqs.eu-west-1.amazonaws.com/{ADMINISTRATOR}/{name}");
        let configuration = Configuration::read(|name| match name {
            "ADMIN_ACCOUNT_ID" => Some(ADMINISTRATOR.to_owned()),
            "EXCLUDED_ACCOUNTS" => Some(EXCLUDED.to_owned()),
            "DEAD_LETTER_QUEUE_URL" => Some(queue("dead")),
            "RETRY_QUEUE_URL" => Some(queue("retry")),
            _ => None,
        });
        let listed = accounts.iter().map(|(account, state)| {
            let account = (id(account), state.clone());
            let email = Email::unmasked("a@example.com");
            (account.0, Account { state: account.1, email, joined: None, paths: vec![] })
        });
        Roster::of(listed.collect(), &configuration.unwrap())
    }

    #[test]
    fn only_active_accounts_are_expected_without_the_administrator_and_the_excluded() {
        let roster = roster(&[
            ("444444444444", State::Active),
            (ADMINISTRATOR, State::Active),
            (EXCLUDED, State::Active),
            ("555555555555", State::PendingActivation),
            ("666666666666", State::Suspended),
            ("777777777777", State::PendingClosure),
            ("888888888888", State::Closed),
            ("999999999999", State::Unknown("NEW".to_owned())),
            ("999999999998", State::Unknown("none".to_owned())),
        ]);
        let expected: Vec<_> = roster.expected().iter().map(|account| account.id).collect();
        assert_eq!(expected, [id("444444444444")]);
        assert_eq!(roster.listed(), 9);
        assert_eq!(roster.of_unknown_state(), 2);
    }

    #[test]
    fn the_state_of_an_account_that_is_never_enrolled_does_not_matter() {
        let unknown = || State::Unknown("NEW".to_owned());
        let roster = roster(&[
            (ADMINISTRATOR, unknown()),
            (EXCLUDED, unknown()),
            ("444444444444", State::Active),
        ]);
        assert_eq!(roster.of_unknown_state(), 0);
        assert_eq!(roster.listed(), 3);
        assert!(roster.knows(id(ADMINISTRATOR)) && roster.knows(id(EXCLUDED)));
    }

    #[test]
    fn an_account_that_is_not_expected_is_still_known_and_a_stranger_is_not() {
        let roster = roster(&[("444444444444", State::Active), ("555555555555", State::Closed)]);
        assert!(roster.knows(id("444444444444")) && roster.knows(id("555555555555")));
        assert!(!roster.knows(id("666666666666")));
    }

    #[test]
    fn an_expected_account_has_an_index_of_its_own_and_no_other_has_one() {
        let roster = roster(&[
            ("444444444444", State::Active),
            ("555555555555", State::Closed),
            ("666666666666", State::Active),
        ]);
        assert_eq!(roster.index_of(id("444444444444")), Some(0));
        assert_eq!(roster.index_of(id("666666666666")), Some(1));
        assert_eq!(roster.index_of(id("555555555555")), None);
        assert_eq!(roster.index_of(id("777777777777")), None);
    }
}
