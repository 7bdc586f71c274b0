//! The organization's accounts, held once for all Regions: who should be a member, and who else is known.

use std::collections::{BTreeMap, BTreeSet};

use crate::account::{Account, AccountId, Email, State};
use crate::configuration::Configuration;

/// The organization's accounts. An account that was listed twice counts once.
#[derive(Debug, Default)]
pub struct Census {
    expected: Vec<(AccountId, Option<Email>)>,
    others: BTreeSet<AccountId>,
}

impl Census {
    /// Tells the ACTIVE accounts, less the administrator and the excluded, from the others.
    #[must_use]
    pub fn of(listed: BTreeMap<AccountId, Account>, configuration: &Configuration) -> Self {
        let mut census = Self::default();
        for (id, account) in listed {
            let wanted = account.state == State::Active
                && id != configuration.administrator
                && !configuration.excluded.contains(&id);
            if wanted {
                census.expected.push((id, account.email));
            } else {
                census.others.insert(id);
            }
        }
        census.expected.shrink_to_fit();
        census
    }

    /// Those who should be members, in the order of their ids.
    #[must_use]
    pub fn expected(&self) -> &[(AccountId, Option<Email>)] {
        &self.expected
    }

    /// An account's place among those who should be members.
    #[must_use]
    pub fn place(&self, id: AccountId) -> Option<usize> {
        self.expected.binary_search_by_key(&id, |(id, _)| *id).ok()
    }

    /// Whether the organization has the account at all.
    #[must_use]
    pub fn knows(&self, id: AccountId) -> bool {
        self.place(id).is_some() || self.others.contains(&id)
    }

    /// How many accounts the organization has.
    #[must_use]
    pub fn listed(&self) -> usize {
        self.expected.len() + self.others.len()
    }
}
