//! From (account, Region) pairs to their outcomes: Organizations once, all Regions at once, never past the cutoff.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_config::SdkConfig;
use decisions::account::{Account, AccountId, Email};
use decisions::call_error::{CallError, Failure};
use decisions::configuration::Configuration;
use decisions::enrollment::{Before, Enrollment, Rules};
use decisions::operation::Operation;
use decisions::outcome::Outcome;
use decisions::pair::{Pair, PairOutcomes, Pairs};
use decisions::reason::Reason;
use decisions::region::{Coverage, Region};
use decisions::timestamp::rotation;
use decisions::uncovered;
use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt, stream};
use tokio::time::{Instant, timeout_at};

use crate::aws::guardduty::GuardDuty;
use crate::aws::organizations::Organizations;
use crate::aws::regions::EnabledRegions;
use crate::clock;
use crate::enroll::one_region::enroll;
use crate::enroll::rate_limiter::RateLimiter;
use crate::invocation::NO_ANSWER;
use crate::observe::logs;

/// `DescribeAccount` calls at a time in one invocation. Organizations allows 20 per second and account, and 24 for the
/// whole organization, shared with every other tool (Organizations quotas, read 2026-11). Ours: one event names one
/// account as a rule; in a batch of the retry queue the SDK backs off, and what is throttled is deferred.
const DESCRIBES_AT_ONCE: usize = 4;

/// What Organizations says of each account, or how its pairs end because it did not say.
type Described = Arc<BTreeMap<AccountId, Result<Account, Outcome>>>;

/// Makes accounts GuardDuty members. Built once; its clients and detectors live as long as the environment.
#[derive(Debug)]
pub(crate) struct Enroller {
    configuration: Configuration,
    organizations: Organizations,
    enabled_regions: EnabledRegions,
    guardduty: GuardDuty,
}

impl Enroller {
    pub(crate) fn new(configuration: Configuration, aws: &SdkConfig) -> Self {
        Self {
            organizations: Organizations::new(aws),
            enabled_regions: EnabledRegions::new(aws),
            guardduty: GuardDuty::new(aws),
            configuration,
        }
    }

    /// The Regions that every account is enrolled in.
    ///
    /// # Errors
    /// With `REGIONS=all`, if AWS did not name the enabled Regions before `cutoff`: no pair can be named then.
    pub(crate) async fn regions(
        &self,
        cutoff: Instant,
    ) -> Result<Arc<BTreeSet<Region>>, CallError> {
        let covered = self.enabled_regions.covered(&self.configuration.coverage);
        let covered = timeout_at(cutoff, covered).await;
        covered.unwrap_or_else(|_| {
            Err(CallError {
                operation: Operation::ListRegions,
                region: None,
                detector_id: None,
                failure: Failure::no_answer(NO_ANSWER),
            })
        })
    }

    /// Gives each pair exactly one outcome; a pair in a Region that is not `covered` is skipped. A pair that is not done at
    /// `cutoff` is deferred; one Region's failure touches no other Region.
    pub(crate) async fn enroll(
        &self,
        pairs: Pairs,
        covered: &BTreeSet<Region>,
        cutoff: Instant,
    ) -> PairOutcomes {
        let mut outcomes = PairOutcomes::new();
        let mut wanted: BTreeMap<Region, Vec<(AccountId, Before)>> = BTreeMap::new();
        for (region, accounts) in pairs.by_region {
            for (account, before) in accounts {
                if let Some(reason) = self.not_wanted(account, &region, covered) {
                    let region = region.clone();
                    outcomes.insert(Pair { account, region }, Outcome::because(reason));
                } else {
                    wanted.entry(region.clone()).or_default().push((account, before));
                }
            }
        }
        let accounts: BTreeSet<AccountId> = wanted.values().flatten().map(|(id, _)| *id).collect();
        // Half of the time: if Organizations hangs, GuardDuty's answers still end the pairs that are enabled.
        let now = Instant::now();
        let limit = now + cutoff.saturating_duration_since(now) / 2;
        let described = self.describe(&accounts, &pairs.addresses, limit).shared();
        let rules = Rules::of(&self.configuration);
        let regions = wanted.into_iter().map(async |(region, accounts)| {
            let guardduty = self.guardduty.in_region(&region);
            let enrollment = Enrollment::new(rules, accounts);
            let describe = described.clone().map(|described| {
                move |id| described.get(&id).cloned().unwrap_or_else(|| Err(undescribed()))
            });
            let mut limiter = RateLimiter::unlimited();
            let permit = limiter.wait().await;
            let reached =
                enroll(&guardduty, enrollment, describe, &mut limiter, permit, cutoff).await;
            (region, reached)
        });
        for (region, reached) in join_all(regions).await {
            outcomes.extend(reached.into_iter().map(|(account, outcome)| {
                let region = region.clone();
                (Pair { account, region }, outcome)
            }));
        }
        if self.configuration.coverage == Coverage::All {
            uncovered::skip(&mut outcomes);
        }
        outcomes
    }

    /// Why a pair is not to be enrolled, as far as the configuration says.
    fn not_wanted(
        &self,
        account: AccountId,
        region: &Region,
        covered: &BTreeSet<Region>,
    ) -> Option<Reason> {
        let configuration = &self.configuration;
        if account == configuration.administrator {
            return Some(Reason::AdministratorAccount);
        }
        if configuration.exclusions.names_in(account, region) {
            return Some(Reason::Excluded);
        }
        // A record can be older than the configuration, or name a Region that does not exist.
        (!covered.contains(region)).then_some(Reason::RegionNotConfigured)
    }

    /// The account, unless it is below an excluded organizational unit.
    fn unless_excluded(&self, id: AccountId, account: Account) -> Result<Account, Outcome> {
        match self.configuration.exclusions.covers(&account.paths) {
            Some(true) => Err(Outcome::because(Reason::Excluded)),
            Some(false) => Ok(account),
            None => {
                logs::without_path(id);
                Ok(account)
            }
        }
    }

    async fn describe(
        &self,
        accounts: &BTreeSet<AccountId>,
        addresses: &BTreeMap<AccountId, Email>,
        limit: Instant,
    ) -> Described {
        // Not always from the lowest id on: if Organizations is slow, each account has its turn sooner or later.
        let start = rotation(clock::now(), accounts.len());
        let mut calls =
            stream::iter(accounts.iter().skip(start).chain(accounts.iter().take(start)))
                .map(async |&id| {
                    let described = self.organizations.describe_account(id).await;
                    let described = described.inspect_err(logs::call_failed);
                    let address = addresses.get(&id);
                    let described = described.map(|account| Account {
                        email: account.email.or_else(|| address.cloned()),
                        ..account
                    });
                    let described = described.map_err(|error| Outcome::failed(&error));
                    (id, described.and_then(|account| self.unless_excluded(id, account)))
                })
                .buffer_unordered(DESCRIBES_AT_ONCE);
        let mut described = BTreeMap::new();
        while let Ok(Some((id, answer))) = timeout_at(limit, calls.next()).await {
            described.insert(id, answer);
        }
        Arc::new(described)
    }
}

fn undescribed() -> Outcome {
    Outcome::because(Reason::Deadline)
        .saying("Organizations had not described the account in half of the time")
}
