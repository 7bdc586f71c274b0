//! The whole organization against GuardDuty in every Region: compares what should be with what is, and closes the gap.
//!
//! It writes no pair to a queue: one refusal that lasts would otherwise become a new dead letter with every run. The next
//! run retries, and the report and the log lines say what is open. Who is `Enabled` is only listed again, so the next run
//! goes on where one that came to its cutoff ended, without a token.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::ready;
use std::sync::Arc;
use std::time::SystemTime;

use aws_config::SdkConfig;
use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use crate::account::{Account, AccountId, State};
use crate::census::Census;
use crate::configuration::Configuration;
use crate::enabled_regions::EnabledRegions;
use crate::enrollment::{Described, Endings, Enrollment, Rules};
use crate::event::Reconcile;
use crate::failure::Failure;
use crate::guardduty::{ACCOUNTS_A_CALL, CallFailed, GuardDuty, RegionalGuardDuty};
use crate::journal;
use crate::organization::Organization;
use crate::outcome::{Ending, Outcome, Reason};
use crate::pace::Pace;
use crate::record;
use crate::region::Region;
use crate::report::{Blocked, RegionReport, Report};
use crate::standing::{Standing, left_suspended};
use crate::verdict;

/// Compares and enrolls. Built anew for each run: what it knows must not be older than the run.
#[derive(Debug)]
pub struct Reconciler<'a> {
    configuration: &'a Configuration,
    organization: Organization,
    enabled_regions: EnabledRegions,
    guardduty: GuardDuty,
    dry_run: bool,
}

impl<'a> Reconciler<'a> {
    /// Makes no call.
    #[must_use]
    pub fn new(configuration: &'a Configuration, aws: &SdkConfig, request: Reconcile) -> Self {
        Self {
            configuration,
            organization: Organization::new(aws),
            enabled_regions: EnabledRegions::new(aws),
            guardduty: GuardDuty::new(aws),
            dry_run: request.dry_run,
        }
    }

    /// One run, which ends at `cutoff` at the latest, always with a true report.
    pub async fn run(&self, cutoff: Instant) -> Report {
        let mut report = Report {
            dry_run: self.dry_run,
            started_at: record::timestamp(SystemTime::now()),
            ..Report::default()
        };
        let late = || Ending::plain(Outcome::Deferred(Reason::Deadline));
        let compared = timeout_at(cutoff, self.prepare(&mut report.throttled)).await;
        match compared.unwrap_or_else(|_| Err(late())) {
            Err(ending) => report.blocked = Some(Blocked::by(&ending)),
            Ok((regions, census)) => {
                report.accounts_listed = Some(census.listed());
                report.accounts_expected = Some(census.expected().len());
                report.accounts_of_unknown_state = census.of_unknown_state();
                let regions = regions.iter().map(async |region| {
                    let guardduty = self.guardduty.in_region(region);
                    let rules = Rules::of(self.configuration);
                    let pace = Pace::of(self.configuration.create_members_per_second);
                    let mut enrollment = Enrollment::new(&guardduty, rules, pace);
                    let mut part = RegionReport::default();
                    let work = self.region(&census, &mut enrollment, &mut part);
                    let ended = timeout_at(cutoff, work).await;
                    let ended = ended.unwrap_or_else(|_| {
                        // What the call that was cut off had reached.
                        let reached = enrollment.endings.iter();
                        for (id, ending) in reached.filter(|(_, ending)| !throttled(ending)) {
                            part.count(*id, ending);
                        }
                        Err(late())
                    });
                    part.blocked = ended.err().as_ref().map(Blocked::by);
                    part.close(census.expected().len());
                    journal::region_reconciled(region, &part, self.dry_run);
                    (region.clone(), part)
                });
                report.regions = join_all(regions).await.into_iter().collect();
                report.gap = Some(report.regions.values().map(RegionReport::gap).sum());
            }
        }
        report.complete = report.blocked.is_none()
            && report.accounts_of_unknown_state == 0
            && report
                .regions
                .values()
                .all(|part| part.blocked.is_none() && part.undone == 0);
        report.ended_at = record::timestamp(SystemTime::now());
        journal::reconcile_ended(&report);
        report
    }

    /// The Regions and the accounts, or why they are not known.
    async fn prepare(
        &self,
        throttled: &mut usize,
    ) -> Result<(Arc<BTreeSet<Region>>, Census), Ending> {
        let failed =
            |failure: Failure| Ending::said(verdict::of_failure(&failure), &failure.to_string());
        let regions = self.enabled_regions.covered(&self.configuration.coverage);
        let (regions, accounts) = tokio::join!(regions, self.accounts(throttled));
        Ok((regions.map_err(failed)?, accounts.map_err(failed)?))
    }

    /// The organization's accounts, page by page; a page that is throttled is asked for again, at a slower pace.
    async fn accounts(&self, throttled: &mut usize) -> Result<Census, Failure> {
        let mut listed = BTreeMap::new();
        let mut pace = Pace::of(self.configuration.list_accounts_per_second);
        let mut token = None;
        loop {
            let is_throttled =
                |page: &Result<_, Failure>| page.as_ref().is_err_and(verdict::is_throttling);
            let list = async || self.organization.list_accounts(token.as_deref()).await;
            let (accounts, next) = pace.keep(throttled, is_throttled, list).await?;
            listed.extend(accounts);
            if next.is_none() {
                break;
            }
            token = next;
        }
        if listed.is_empty() {
            // The administrator is in its own organization: an empty list would call every member stale.
            return Err(Failure::no_answer("ListAccounts named no account"));
        }
        Ok(Census::of(listed, self.configuration))
    }

    /// One Region's part. What is counted in `report` stays, wherever the run is cut off.
    ///
    /// # Errors
    /// What blocked the Region: it could not be compared, or its gap not worked through.
    async fn region(
        &self,
        census: &Census,
        enrollment: &mut Enrollment<'_>,
        report: &mut RegionReport,
    ) -> Result<(), Ending> {
        let (guardduty, rules) = (enrollment.guardduty, enrollment.rules);
        let rate = self.configuration.list_members_per_second;
        settings(guardduty, Pace::of(rate), report)
            .await
            .map_err(|failed| match rules.ending_of(&failed) {
                // GuardDuty answers this call to the delegated administrator only.
                ending if ending.outcome == Outcome::Deferred(Reason::Unknown) => Ending {
                    outcome: Outcome::Refused(Reason::NotAdministrator),
                    ..ending
                },
                ending => ending,
            })?;
        let standings = standings(guardduty, census, Pace::of(rate), report)
            .await
            .map_err(|failed| rules.ending_of(&failed))?;
        let of_all = census.expected().iter().zip(&standings);
        let of_all = of_all.map(|((id, _), standing)| (*id, *standing));
        let is_missing = |standing| match standing {
            Standing::Enabled => false,
            Standing::Suspended => rules.resume_suspended,
            Standing::NotEnabled | Standing::Absent => true,
        };
        for (id, standing) in of_all.clone() {
            if standing == Standing::Suspended && !rules.resume_suspended {
                report.count(id, &left_suspended());
            } else if self.dry_run && is_missing(standing) {
                report.count_missing(id, standing);
            }
        }
        if self.dry_run {
            return Ok(());
        }
        let missing = of_all.filter(|(_, standing)| is_missing(*standing));
        let missing = missing.map(|(id, _)| id);
        close_gap(census, missing, enrollment, report).await
    }
}

/// Reports the organization's settings in a Region.
async fn settings(
    guardduty: &RegionalGuardDuty,
    mut pace: Pace,
    report: &mut RegionReport,
) -> Result<(), CallFailed> {
    let describe = async || guardduty.describe_organization_configuration().await;
    let settings = pace.keep(&mut report.throttled, is_throttled, describe);
    let settings = settings.await?;
    report.auto_enable = settings.auto_enable;
    report.member_account_limit_reached = settings.member_limit_reached;
    Ok(())
}

/// Reads the Region's members page by page, and keeps no page; one that is throttled is asked for again, at a slower
/// pace. Counts who is enabled, and the stale members.
///
/// # Errors
/// Where a page failed: half a list says nothing of who is missing.
async fn standings(
    guardduty: &RegionalGuardDuty,
    census: &Census,
    mut pace: Pace,
    report: &mut RegionReport,
) -> Result<Vec<Standing>, CallFailed> {
    let mut standings = vec![Standing::Absent; census.expected().len()];
    let mut stale = BTreeSet::new();
    let mut token = None;
    loop {
        let list = async || guardduty.list_members(token.as_deref()).await;
        let listed = pace.keep(&mut report.throttled, is_throttled, list).await?;
        for (id, status) in listed.status {
            match census.place(id).and_then(|place| standings.get_mut(place)) {
                Some(standing) => *standing = Standing::of(&status).max(*standing),
                None if census.knows(id) => {}
                None => {
                    stale.insert(id);
                }
            }
        }
        token = listed.next;
        if token.is_none() {
            break;
        }
    }
    for id in stale {
        report.count_stale(id);
    }
    let enabled = standings.iter().filter(|s| **s == Standing::Enabled);
    report.enabled = enabled.count();
    Ok(standings)
}

fn is_throttled<T>(answer: &Result<T, CallFailed>) -> bool {
    matches!(answer, Err(CallFailed::At(_, failure)) if verdict::is_throttling(failure))
}

/// Enrolls accounts through the same path as a new one, 50 at a time. Throttled ones go round again at a slower pace.
///
/// # Errors
/// A refusal that is about the Region: nobody else needs to be asked for.
async fn close_gap(
    census: &Census,
    mut missing: impl Iterator<Item = AccountId>,
    enrollment: &mut Enrollment<'_>,
    report: &mut RegionReport,
) -> Result<(), Ending> {
    let mut again: VecDeque<AccountId> = VecDeque::new();
    loop {
        let mut ids: Vec<AccountId> = missing.by_ref().take(ACCOUNTS_A_CALL).collect();
        let room = ACCOUNTS_A_CALL - ids.len();
        ids.extend(again.drain(..room.min(again.len())));
        if ids.is_empty() {
            return Ok(());
        }
        enrollment.pace.turn().await;
        enrollment.run(&ids, ready(described(&ids, census))).await;
        let reached = std::mem::take(&mut enrollment.endings);
        let before = again.len();
        for (id, ending) in &reached {
            if throttled(ending) {
                again.push_back(*id);
            } else {
                report.count(*id, ending);
            }
        }
        report.throttled += again.len() - before;
        enrollment.pace.learn(again.len() > before);
        if let Some(ending) = about_the_region(&reached) {
            return Err(ending.clone());
        }
    }
}

/// What `ListAccounts` said of these accounts, all of them ACTIVE.
fn described(ids: &[AccountId], census: &Census) -> Described {
    let described = ids.iter().filter_map(|&id| {
        let (_, email) = census.expected().get(census.place(id)?)?;
        let account = Account {
            state: State::Active,
            email: email.clone(),
        };
        Some((id, Ok(account)))
    });
    Arc::new(described.collect())
}

fn throttled(ending: &Ending) -> bool {
    ending.outcome == Outcome::Deferred(Reason::Throttled)
}

/// The refusal that every account of a call ended with, where it is about the Region and not about an account.
fn about_the_region(endings: &Endings) -> Option<&Ending> {
    let first = endings.values().next()?;
    let about_the_region = matches!(
        first.outcome,
        Outcome::Refused(
            Reason::NoDetector
                | Reason::NotAdministrator
                | Reason::RegionDisabled
                | Reason::AccessDenied
                | Reason::MemberLimitReached
        ) | Outcome::Skipped(Reason::NoDetector)
    );
    let same = endings
        .values()
        .all(|ending| ending.outcome == first.outcome);
    (about_the_region && same).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_ends_the_region_only_where_it_is_about_the_region_and_meets_everyone() {
        let endings = |outcomes: &[Outcome]| -> Endings {
            let ids = (0..).map(|n: u64| format!("{n:012}").parse().unwrap());
            ids.zip(outcomes.iter().map(|outcome| Ending::plain(*outcome)))
                .collect()
        };
        let denied = Outcome::Refused(Reason::AccessDenied);
        let suspended = Outcome::Refused(Reason::MemberSuspended);
        assert!(about_the_region(&endings(&[denied, denied])).is_some());
        assert!(about_the_region(&endings(&[denied, Outcome::Enrolled])).is_none());
        assert!(about_the_region(&endings(&[suspended, suspended])).is_none());
        assert!(about_the_region(&endings(&[])).is_none());
    }
}
