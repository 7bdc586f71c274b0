//! An (account, Region) pair, and the pairs of an invocation.

use std::collections::{BTreeMap, BTreeSet};

use crate::account::{AccountId, Email};
use crate::event::Join;
use crate::outcome::Ending;
use crate::region::Region;

/// One account in one Region: what is enrolled, fails and is handed on by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// The account.
    pub account: AccountId,
    /// The Region.
    pub region: Region,
}

/// One ending for each pair.
pub type PairEndings = BTreeMap<Pair, Ending>;

/// The pairs that an invocation names, each once.
#[derive(Debug, Default)]
pub struct Pairs {
    /// The accounts to enroll in each Region.
    pub by_region: BTreeMap<Region, BTreeSet<AccountId>>,
    /// The addresses that events gave. They serve where Organizations returns none.
    pub addresses: BTreeMap<AccountId, Email>,
}

impl Pairs {
    /// Adds one pair.
    pub fn add(&mut self, pair: Pair) {
        self.by_region
            .entry(pair.region)
            .or_default()
            .insert(pair.account);
    }

    /// Adds the pairs of an event: each account in each Region.
    pub fn add_join(&mut self, join: &Join, regions: &BTreeSet<Region>) {
        for joined in &join.accounts {
            let account = joined.id;
            self.addresses
                .extend(joined.email.clone().map(|email| (account, email)));
            for region in regions {
                let region = region.clone();
                self.add(Pair { account, region });
            }
        }
    }
}
