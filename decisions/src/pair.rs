//! An (account, Region) pair, and the pairs that an invocation is asked for.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::account::{AccountId, Email};
use crate::enrollment::Before;
use crate::event::NewAccount;
use crate::outcome::Outcome;
use crate::region::Region;

/// One account in one Region: what is enrolled, fails, and is retried by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    pub account: AccountId,
    pub region: Region,
}

/// One outcome for each pair.
pub type PairOutcomes = BTreeMap<Pair, Outcome>;

/// The pairs that an invocation is asked for, each once.
#[derive(Debug, Default)]
pub struct Pairs {
    /// The accounts to enroll in each Region, and what became of them before.
    pub by_region: BTreeMap<Region, BTreeMap<AccountId, Before>>,
    /// The addresses in events. They serve if Organizations returns none.
    pub addresses: BTreeMap<AccountId, Email>,
}

impl Pairs {
    /// Adds one pair.
    pub(crate) fn add(&mut self, pair: Pair, before: Before) {
        let accounts = self.by_region.entry(pair.region).or_default();
        let known = accounts.entry(pair.account).or_insert(before);
        *known = before.max(*known);
    }

    /// Adds a new account in each Region.
    pub(crate) fn add_everywhere(&mut self, new: &NewAccount, regions: &BTreeSet<Region>) {
        self.addresses.extend(new.email.clone().map(|email| (new.id, email)));
        for region in regions {
            let pair = Pair { account: new.id, region: region.clone() };
            self.add(pair, Before::Nothing);
        }
    }
}
