//! From (account, Region) pairs to their endings: Organizations once, all Regions at once, never past the cutoff.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_config::SdkConfig;
use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt, stream};
use tokio::time::{Instant, timeout_at};

use crate::account::{Account, AccountId, Email};
use crate::configuration::Configuration;
use crate::enabled_regions::EnabledRegions;
use crate::enrollment::{Described, Enrollment, Rules};
use crate::failure::Failure;
use crate::guardduty::GuardDuty;
use crate::invocation::NO_ANSWER;
use crate::organization::Organization;
use crate::outcome::{Ending, Outcome, Reason};
use crate::pace::Pace;
use crate::pair::{Pair, PairEndings, Pairs};
use crate::region::{Coverage, Region};
use crate::verdict;

/// `DescribeAccount` calls at a time, in one invocation. Organizations allows 20 a second to an account and 24 to the
/// whole organization, shared with every other tool (Organizations quotas, read 2026-11). Ours: one event names one
/// account as a rule; a batch of the retry queue goes slowly, the SDK backs off, and what is throttled is deferred.
const DESCRIBES_AT_ONCE: usize = 4;

/// Makes accounts GuardDuty members. Built once; its clients and detectors live as long as the environment.
#[derive(Debug)]
pub struct Enroller {
    configuration: Configuration,
    organization: Organization,
    enabled_regions: EnabledRegions,
    guardduty: GuardDuty,
}

impl Enroller {
    /// Makes no call.
    #[must_use]
    pub fn new(configuration: Configuration, aws: &SdkConfig) -> Self {
        Self {
            organization: Organization::new(aws),
            enabled_regions: EnabledRegions::new(aws),
            guardduty: GuardDuty::new(aws),
            configuration,
        }
    }

    /// The Regions that every account is enrolled in.
    ///
    /// # Errors
    /// With `REGIONS=all`, where AWS did not name the enabled Regions before `cutoff`: no pair can be named then.
    pub async fn regions(&self, cutoff: Instant) -> Result<Arc<BTreeSet<Region>>, Failure> {
        let coverage = &self.configuration.coverage;
        timeout_at(cutoff, self.enabled_regions.covered(coverage))
            .await
            .unwrap_or_else(|_| Err(Failure::no_answer(NO_ANSWER)))
    }

    /// Gives each pair exactly one ending. A pair that is not done at `cutoff` is deferred; one Region's failure
    /// touches no other.
    pub async fn enroll(&self, pairs: Pairs, cutoff: Instant) -> PairEndings {
        let mut endings = PairEndings::new();
        let mut work: BTreeMap<Region, Vec<AccountId>> = BTreeMap::new();
        for (region, accounts) in pairs.by_region {
            for account in accounts {
                if let Some(reason) = self.not_wanted(account, &region) {
                    let region = region.clone();
                    let ending = Ending::plain(Outcome::Skipped(reason));
                    endings.insert(Pair { account, region }, ending);
                } else {
                    work.entry(region.clone()).or_default().push(account);
                }
            }
        }
        let accounts: BTreeSet<AccountId> = work.values().flatten().copied().collect();
        // Half of the time: where Organizations hangs, GuardDuty's answers still end the pairs that are enabled.
        let now = Instant::now();
        let limit = now + cutoff.saturating_duration_since(now) / 2;
        let described = self.describe(&accounts, &pairs.addresses, limit).shared();
        let rules = Rules::of(&self.configuration);
        let regions = work.iter().map(async |(region, accounts)| {
            let guardduty = self.guardduty.in_region(region);
            let mut enrollment = Enrollment::new(&guardduty, rules, Pace::none());
            let work = enrollment.run(accounts, described.clone());
            // What was reached before the cutoff is in the enrollment's endings and stays.
            let _: Result<(), _> = timeout_at(cutoff, work).await;
            enrollment.endings
        });
        let reached = join_all(regions).await;
        for ((region, accounts), mut reached) in work.iter().zip(reached) {
            endings.extend(accounts.iter().map(|&account| {
                let region = region.clone();
                let late = || Ending::plain(Outcome::Deferred(Reason::Deadline));
                let ending = reached.remove(&account).unwrap_or_else(late);
                (Pair { account, region }, ending)
            }));
        }
        endings
    }

    /// Why a pair is not to be enrolled, as far as the configuration says it.
    fn not_wanted(&self, account: AccountId, region: &Region) -> Option<Reason> {
        let configuration = &self.configuration;
        if account == configuration.administrator {
            return Some(Reason::AdministratorAccount);
        }
        if configuration.excluded.contains(&account) {
            return Some(Reason::Excluded);
        }
        match &configuration.coverage {
            // A record can be older than the configuration.
            Coverage::Listed(regions) if !regions.contains(region) => {
                Some(Reason::RegionNotConfigured)
            }
            _ => None,
        }
    }

    async fn describe(
        &self,
        accounts: &BTreeSet<AccountId>,
        addresses: &BTreeMap<AccountId, Email>,
        limit: Instant,
    ) -> Described {
        let mut calls = stream::iter(accounts)
            .map(|&id| async move {
                let described = self.organization.describe_account(id).await;
                (id, described_as(described, addresses.get(&id)))
            })
            .buffer_unordered(DESCRIBES_AT_ONCE);
        let text = "Organizations had not described the account in half of the time";
        let late = || Err(Ending::said(Outcome::Deferred(Reason::Deadline), text));
        let mut described: BTreeMap<_, _> = accounts.iter().map(|id| (*id, late())).collect();
        while let Ok(Some(answer)) = timeout_at(limit, calls.next()).await {
            described.extend([answer]);
        }
        Arc::new(described)
    }
}

fn described_as(
    described: Result<Account, Failure>,
    address: Option<&Email>,
) -> Result<Account, Ending> {
    match described {
        Ok(account) => Ok(Account {
            email: account.email.or_else(|| address.cloned()),
            ..account
        }),
        Err(failure) => {
            let outcome = match verdict::of_failure(&failure) {
                // Organizations lives in a Region that nobody can switch off: it is the token that is bad.
                Outcome::Refused(Reason::RegionDisabled) => Outcome::Deferred(Reason::Unavailable),
                outcome => outcome,
            };
            Err(Ending::said(outcome, &failure.to_string()))
        }
    }
}
