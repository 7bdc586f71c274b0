//! The whole organization against GuardDuty in every Region: compares what should be with what is, and closes the gap.
//!
//! It writes no pair to a queue. Its report, its log lines and its next run are the retry: one refusal that lasts
//! would otherwise become a new dead letter with every run. Who is `Enabled` is not asked again, so the next run goes
//! on where one that came to its deadline ended, without a token.

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
use crate::enrollment::{self, Endings, Rules};
use crate::event::Reconcile;
use crate::failure::Failure;
use crate::guardduty::{ACCOUNTS_A_CALL, CallFailed, GuardDuty, RegionalGuardDuty};
use crate::journal;
use crate::organization::Organization;
use crate::outcome::{Ending, Outcome, Reason};
use crate::pace::Pace;
use crate::record;
use crate::region::Region;
use crate::report::{Finding, RegionReport, Report};
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
            Err(ending) => report.finding = Some(Finding::of(&ending)),
            Ok((regions, census)) => {
                report.accounts_listed = Some(census.listed());
                report.accounts_expected = Some(census.expected().len());
                report.accounts_of_unknown_state = census.of_unknown_state();
                let regions = regions.iter().map(async |region| {
                    let guardduty = self.guardduty.in_region(region);
                    let mut part = RegionReport::default();
                    let mut endings = Endings::new();
                    let work = self.region(&guardduty, &census, &mut part, &mut endings);
                    if timeout_at(cutoff, work).await.is_err() {
                        // What the call that was cut off had reached.
                        for (id, ending) in endings.iter().filter(|(_, ending)| !throttled(ending))
                        {
                            part.count(*id, ending);
                        }
                        part.finding.get_or_insert(Finding::of(&late()));
                    }
                    part.close(census.expected().len());
                    journal::reconciled(region, &part, self.dry_run);
                    (region.clone(), part)
                });
                report.regions = join_all(regions).await.into_iter().collect();
                report.gap = Some(report.regions.values().map(RegionReport::gap).sum());
            }
        }
        report.complete = report.finding.is_none()
            && report.accounts_of_unknown_state == 0
            && report
                .regions
                .values()
                .all(|part| part.finding.is_none() && part.undone == 0);
        report.ended_at = record::timestamp(SystemTime::now());
        journal::reconcile(&report);
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
            let list = async || self.organization.list(token.as_deref()).await;
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
    async fn region(
        &self,
        guardduty: &RegionalGuardDuty,
        census: &Census,
        report: &mut RegionReport,
        endings: &mut Endings,
    ) {
        let rules = Rules::of(self.configuration);
        let mut pace = Pace::of(self.configuration.list_members_per_second);
        let settings = async || guardduty.organization_settings().await;
        let settings = pace.keep(&mut report.throttled, is_throttled, settings);
        match settings.await {
            Ok(settings) => {
                report.auto_enable = settings.auto_enable;
                report.member_account_limit_reached = settings.member_limit_reached;
            }
            Err(failed) => {
                let mut ending = enrollment::ending_of(&failed, rules);
                if ending.outcome == Outcome::Deferred(Reason::Unknown) {
                    // GuardDuty answers this call to the delegated administrator only.
                    ending.outcome = Outcome::Refused(Reason::NotAdministrator);
                }
                report.finding = Some(Finding::of(&ending));
                return;
            }
        }
        let pace = Pace::of(self.configuration.list_members_per_second);
        let Some(standings) = standings(guardduty, census, rules, pace, report).await else {
            return;
        };
        for ((id, _), standing) in census.expected().iter().zip(&standings) {
            match standing {
                Standing::Suspended if !rules.resume_suspended => {
                    let outcome = Outcome::Refused(Reason::MemberSuspended);
                    report.count(
                        *id,
                        &Ending::said(outcome, "relationshipStatus is Disabled"),
                    );
                }
                Standing::Suspended if self.dry_run => report.count_missing(*id, Some("Disabled")),
                Standing::NotEnabled | Standing::Absent if self.dry_run => {
                    report.count_missing(*id, None);
                }
                _ => {}
            }
        }
        if !self.dry_run {
            let missing = census.expected().iter().zip(&standings);
            let missing = missing.filter(|(_, standing)| match standing {
                Standing::Enabled => false,
                Standing::Suspended => rules.resume_suspended,
                Standing::NotEnabled | Standing::Absent => true,
            });
            let missing = missing.map(|((id, _), _)| *id);
            let pace = Pace::of(self.configuration.create_members_per_second);
            enroll(guardduty, census, missing, rules, pace, report, endings).await;
        }
    }
}

/// An account's standing in a Region: a byte each, so that 50,000 accounts in 34 Regions are 1.7 MB.
/// A member that is listed twice counts by the greater: enabled is never touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Absent,
    NotEnabled,
    Suspended,
    Enabled,
}

/// Reads the Region's members page by page, and keeps no page; one that is throttled is asked for again, at a slower pace.
/// `None` where a page failed: half a list says nothing of who is missing.
async fn standings(
    guardduty: &RegionalGuardDuty,
    census: &Census,
    rules: Rules,
    mut pace: Pace,
    report: &mut RegionReport,
) -> Option<Vec<Standing>> {
    let mut standings = vec![Standing::Absent; census.expected().len()];
    let mut stale = BTreeSet::new();
    let mut token = None;
    loop {
        let list = async || guardduty.list_members(token.as_deref()).await;
        let listed = pace.keep(&mut report.throttled, is_throttled, list);
        let members = match listed.await {
            Ok(members) => members,
            Err(failed) => {
                report.finding = Some(Finding::of(&enrollment::ending_of(&failed, rules)));
                return None;
            }
        };
        for (id, status) in members.status {
            match census.place(id).and_then(|place| standings.get_mut(place)) {
                Some(standing) => *standing = standing_of(&status).max(*standing),
                None if census.knows(id) => {}
                None => {
                    stale.insert(id);
                }
            }
        }
        token = members.next;
        if token.is_none() {
            break;
        }
    }
    for id in stale {
        report.count_stale(id);
    }
    report.enabled = standings
        .iter()
        .filter(|s| **s == Standing::Enabled)
        .count();
    Some(standings)
}

fn is_throttled<T>(answer: &Result<T, CallFailed>) -> bool {
    matches!(answer, Err(CallFailed::At(_, failure)) if verdict::is_throttling(failure))
}

fn standing_of(status: &str) -> Standing {
    if enrollment::is_enabled(status) {
        Standing::Enabled
    } else if enrollment::is_suspended(status) {
        Standing::Suspended
    } else {
        Standing::NotEnabled
    }
}

/// Enrolls accounts through the same path as a new one, 50 at a time. Throttled ones go round again at a slower pace;
/// a refusal that is about the Region ends it. `endings` has what the call under way has reached.
async fn enroll(
    guardduty: &RegionalGuardDuty,
    census: &Census,
    mut missing: impl Iterator<Item = AccountId>,
    rules: Rules,
    mut pace: Pace,
    report: &mut RegionReport,
    endings: &mut Endings,
) {
    let mut again: VecDeque<AccountId> = VecDeque::new();
    loop {
        let mut ids: Vec<AccountId> = missing.by_ref().take(ACCOUNTS_A_CALL).collect();
        let room = ACCOUNTS_A_CALL - ids.len();
        ids.extend(again.drain(..room.min(again.len())));
        if ids.is_empty() {
            return;
        }
        pace.turn().await;
        let described = ids.iter().filter_map(|&id| {
            let (_, email) = census.expected().get(census.place(id)?)?;
            let account = Account {
                state: State::Active,
                email: email.clone(),
            };
            Some((id, Ok(account)))
        });
        let described = ready(Arc::new(described.collect()));
        enrollment::enroll(guardduty, &ids, described, rules, &mut pace, endings).await;
        let reached = std::mem::take(endings);
        let before = again.len();
        for (id, ending) in &reached {
            if throttled(ending) {
                again.push_back(*id);
            } else {
                report.count(*id, ending);
            }
        }
        report.throttled += again.len() - before;
        pace.learn(again.len() > before);
        if let Some(ending) = about_the_region(&reached) {
            report.finding = Some(Finding::of(ending));
            return;
        }
    }
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
    fn a_member_that_is_listed_twice_counts_by_its_better_word() {
        let standings = ["Removed", "Disabled", "Enabled"].map(standing_of);
        assert!(standings.is_sorted());
        assert!(standing_of("Removed") > Standing::Absent);
    }

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
