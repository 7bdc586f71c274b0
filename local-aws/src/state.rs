//! Everything the cloud knows.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::account::OptRegions;
use crate::call::Call;
use crate::epoch::Epoch;
use crate::fault::Fault;
use crate::guardduty::GuardDuty;
use crate::organization::{Account, Organization};
use crate::queues::Queues;
use crate::rate::{Buckets, Rate};
use crate::setup::{NEW_ACCOUNT, Setup};

/// Everything the cloud knows. Tests read and change it at will.
#[derive(Clone, Debug)]
pub struct State {
    /// The account whose credentials all requests carry.
    pub admin_account: String,
    /// AWS Organizations.
    pub organization: Organization,
    /// GuardDuty by Region. A Region that is missing does not exist.
    pub guardduty: BTreeMap<String, GuardDuty>,
    /// Amazon SQS.
    pub queues: Queues,
    /// AWS Account Management.
    pub account: OptRegions,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// How many requests of an operation pass in a Region. An operation that is not here has no limit.
    pub rates: BTreeMap<String, Rate>,
    pub(crate) buckets: Buckets,
    /// Every request so far.
    pub calls: Vec<Call>,
    /// Whether each call is kept with its account ids, which are most of the log's memory in a large organization.
    pub keep_accounts: bool,
    /// The process under test dies once this many calls were made in all: a later one has no effect and no answer.
    pub dies_after: Option<usize>,
    /// How long every call takes.
    pub latency: Duration,
    /// What the wall clock shows at virtual time zero.
    pub epoch: Epoch,
}

impl State {
    pub(crate) fn new(setup: &Setup) -> Self {
        // The account that the sample events speak of is the one that joins.
        let account = |id: &str, email: &str| match id {
            NEW_ACCOUNT => Account::joined(email, Duration::ZERO),
            _ => Account::active(email),
        };
        let accounts = setup.accounts.iter();
        let accounts = accounts.map(|(id, email)| (id.clone(), account(id, email))).collect();
        Self {
            admin_account: setup.admin_account.clone(),
            organization: Organization {
                id: "o-exampleorgid".to_owned(),
                management_account: setup.management_account.clone(),
                accounts,
                policy: setup.policy.clone(),
                denies: false,
            },
            guardduty: setup
                .regions
                .iter()
                .map(|region| (region.clone(), setup.guardduty.clone().in_region(region)))
                .collect(),
            queues: Queues::default(),
            account: OptRegions {
                statuses: setup
                    .regions
                    .iter()
                    .map(|region| (region.clone(), "ENABLED_BY_DEFAULT".to_owned()))
                    .collect(),
            },
            faults: Vec::new(),
            rates: BTreeMap::new(),
            buckets: Buckets::default(),
            calls: Vec::new(),
            keep_accounts: true,
            dies_after: None,
            latency: setup.latency,
            epoch: setup.epoch,
        }
    }

    /// How many calls of each operation were made so far.
    #[must_use]
    pub fn calls_by_operation(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for call in &self.calls {
            *counts.entry(call.operation.as_str()).or_default() += 1;
        }
        counts
    }

    /// Lets every member come into being that GuardDuty's auto-enable has added by now.
    pub(crate) fn auto_enable(&mut self, now: Duration) {
        for guardduty in self.guardduty.values_mut() {
            guardduty.auto_enable(now, &self.admin_account, &self.organization);
        }
    }

    /// GuardDuty in a Region, which comes into being if it did not exist.
    pub fn guardduty_in(&mut self, region: &str) -> &mut GuardDuty {
        self.guardduty.entry(region.to_owned()).or_insert_with(|| GuardDuty::new(region))
    }
}
