//! The whole organization against GuardDuty in every Region: compares what should be with what is, and closes the gap.
//!
//! It sends no pair to a queue: one refusal that lasts would otherwise become a new dead letter with every run. The next
//! run retries, and the report and the log lines say what is open. Enabled members are skipped, so the next run resumes
//! without saved state.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::ready;
use std::sync::Arc;

use aws_config::SdkConfig;
use decisions::account::{Account, AccountId, State};
use decisions::call_error::{CallError, Failure};
use decisions::cause::{By, Found, Verdict};
use decisions::configuration::Configuration;
use decisions::enrollment::{Before, Enrollment, MAX_ACCOUNTS_PER_CALL, Rules};
use decisions::event::Reconcile;
use decisions::ledger::Entry;
use decisions::membership::{Membership, left_suspended};
use decisions::operation::Operation;
use decisions::outcome::Outcome;
use decisions::plans::PlansOfMembers;
use decisions::policy::EffectivePolicy;
use decisions::reason::{Reason, Scope};
use decisions::region::{Coverage, Region};
use decisions::report::{Blocked, RegionReport, Report};
use decisions::roster::{Expected, Roster};
use decisions::status::Status;
use decisions::timestamp::{Timestamp, rotation};
use decisions::uncovered;
use futures_util::future::join_all;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

use crate::aws::error;
use crate::aws::guardduty::{GuardDuty, RegionalGuardDuty};
use crate::aws::organizations::Organizations;
use crate::aws::regions::EnabledRegions;
use crate::clock;
use crate::enroll::one_region::enroll;
use crate::enroll::rate_limiter::RateLimiter;
use crate::observe::{logs, metrics};

/// One run, which ends at `cutoff` at the latest, always with a true report.
///
/// Its clients are its own: what it knows must not be older than the run.
pub(crate) async fn run(
    configuration: &Configuration,
    aws: &SdkConfig,
    request: Reconcile,
    cutoff: Instant,
) -> Report {
    let mut report = Report::new(request.dry_run, clock::now());
    // What fails for a reason that passes is repeated in half of the time, so that the other half is there to enroll.
    let start = Instant::now();
    let until = start + cutoff.saturating_duration_since(start) / 2;
    let organizations = Organizations::new(aws);
    let listed = list(configuration, aws, &organizations, &mut report.throttled, until);
    match timeout_at(cutoff, listed).await.unwrap_or_else(|_| Err(late())) {
        Err(outcome) => report.blocked = Some(Blocked::by(&outcome)),
        Ok((regions, roster)) => {
            report.listed(&roster);
            let guardduty = GuardDuty::new(aws);
            let parts = regions.iter().map(async |region| {
                let mut part = RegionPart {
                    configuration,
                    region,
                    rules: Rules::of(configuration).waiting(false),
                    roster: &roster,
                    guardduty: &guardduty.in_region(region),
                    dry_run: request.dry_run,
                    reads_plans: request.plans,
                    found: None,
                    report_started: report.started_at,
                    report: RegionReport::default(),
                };
                let blocked = part.run(until, cutoff).await.err();
                part.report.blocked = blocked.as_ref().map(Blocked::by);
                part.report.close(roster.expected().len());
                part.explain();
                if part.found.is_some() {
                    logs::region_reconciled(region, &part.report);
                }
                (region.clone(), part.report, part.found, blocked)
            });
            let policy = timeout_at(cutoff, organizations.describe_effective_policy());
            let (parts, policy) = tokio::join!(join_all(parts), policy);
            report.effective_policy =
                Some(policy.unwrap_or_else(|_| EffectivePolicy::unknown(&late())));
            let covers_all = configuration.coverage == Coverage::All;
            let (mut reports, mut found) = (BTreeMap::new(), BTreeMap::new());
            let any_answered = parts.iter().any(|(_, _, compared, _)| compared.is_some());
            for (region, mut report, compared, blocked) in parts {
                if compared.is_none() {
                    let is_sign = blocked.is_some_and(|it| uncovered::is_sign(&region, &it));
                    if covers_all && any_answered && is_sign {
                        report.leave_uncovered();
                    }
                    logs::region_reconciled(&region, &report);
                }
                found.extend(compared.map(|compared| (region.clone(), compared)));
                reports.insert(region, report);
            }
            report.compared(reports);
            let now = report.started_at;
            let verdict = Verdict::of(&found, &roster, now);
            report.judged(&verdict);
            if !request.dry_run {
                for (index, account) in roster.expected().iter().enumerate() {
                    let entry = Entry::of_reconcile(index, account, &found, &verdict, now);
                    logs::ledger(entry.as_ref().map(|entry| (&account.id, entry)), now);
                }
            }
        }
    }
    report.end(clock::now());
    logs::reconcile_ended(&report);
    metrics::reconcile(&report);
    report
}

fn late() -> Outcome {
    Outcome::because(Reason::Deadline)
}

/// The Regions and the accounts, or why they are not known.
async fn list(
    configuration: &Configuration,
    aws: &SdkConfig,
    organizations: &Organizations,
    throttled: &mut usize,
    until: Instant,
) -> Result<(Arc<BTreeSet<Region>>, Roster), Outcome> {
    let enabled_regions = EnabledRegions::new(aws);
    let regions = enabled_regions.covered(&configuration.coverage);
    let accounts = list_accounts(configuration, organizations, throttled, until);
    let (regions, roster) = tokio::join!(regions, accounts);
    let failed = |error: CallError| Outcome::failed(&error);
    Ok((regions.map_err(failed)?, roster.map_err(failed)?))
}

/// The organization's accounts, page by page.
async fn list_accounts(
    configuration: &Configuration,
    organizations: &Organizations,
    throttled: &mut usize,
    until: Instant,
) -> Result<Roster, CallError> {
    let mut listed = BTreeMap::new();
    let mut limiter = RateLimiter::of(configuration.list_accounts_per_second);
    let mut token = None;
    loop {
        let list = async || organizations.list_accounts(token.as_deref()).await;
        let (accounts, next) = limiter.call(throttled, until, list).await?;
        listed.extend(accounts);
        if next.is_none() {
            break;
        }
        token = next;
    }
    if listed.is_empty() {
        // The administrator is in its own organization: an empty list would call every member stale.
        let empty = Failure::no_answer("the answer names no account");
        return Err(error::of(Operation::ListAccounts)(empty));
    }
    Ok(Roster::of(listed, configuration))
}

/// One Region's part of a run.
struct RegionPart<'a> {
    configuration: &'a Configuration,
    region: &'a Region,
    rules: Rules,
    roster: &'a Roster,
    guardduty: &'a RegionalGuardDuty,
    dry_run: bool,
    /// Whether the plans of each member are asked for.
    reads_plans: bool,
    report_started: Timestamp,
    /// What was found, once the Region is compared.
    found: Option<Found>,
    /// What is counted here stays, wherever the run is cut off.
    report: RegionReport,
}

impl RegionPart<'_> {
    /// # Errors
    /// What blocked the Region: it could not be compared, or its gap not worked through.
    async fn run(&mut self, until: Instant, cutoff: Instant) -> Result<(), Outcome> {
        let compared = timeout_at(cutoff, self.compare(until)).await;
        let mut memberships = compared.unwrap_or_else(|_| Err(late()))?;
        let mut missing = Vec::new();
        for (account, membership) in self.roster.expected().iter().zip(&mut memberships) {
            let id = &account.id;
            match *membership {
                Membership::Enabled => {}
                _ if self.configuration.exclusions.names_in(*id, self.region) => {
                    self.report.count(*id, &Outcome::because(Reason::Excluded));
                    // It lacks nothing here.
                    *membership = Membership::Enabled;
                }
                Membership::SUSPENDED if !self.rules.resume_suspended => {
                    self.report.count(*id, &left_suspended());
                }
                _ if self.dry_run => self.report.count_missing(*id, *membership),
                // It was on its way before this run began: another CreateMembers may help.
                Membership::WAITING => missing.push((*id, Before::GivenUp)),
                _ => missing.push((*id, Before::Nothing)),
            }
        }
        self.found = Some(Found::new(memberships));
        let missing = self.in_fair_order(missing);
        let mut pending = Vec::new();
        let closed = self.close_gap(missing, &mut pending, cutoff).await;
        self.look_again(pending, cutoff).await;
        // Last of all, so that no account waits for it.
        let statistics = timeout_at(cutoff, self.read_statistics()).await;
        self.report.statistics_blocked = why_not(statistics);
        if self.reads_plans {
            self.read_plans_of_members(until, cutoff).await;
        }
        closed
    }

    /// Another part comes first in each run, and accounts whose address GuardDuty refuses come last, so that any number
    /// of refusals that last keep nobody from being enrolled.
    fn in_fair_order(
        &self,
        mut missing: Vec<(AccountId, Before)>,
    ) -> VecDeque<(AccountId, Before)> {
        let start = rotation(self.report_started, missing.len());
        missing.rotate_left(start);
        missing.sort_by_key(|(id, _)| self.roster.has_refused_address(*id));
        missing.into()
    }

    /// The membership of each expected account.
    async fn compare(&mut self, until: Instant) -> Result<Vec<Membership>, Outcome> {
        self.read_settings(until).await.map_err(|error| Outcome::failed(&error))?;
        self.list_members(until).await.map_err(|error| Outcome::failed(&error))
    }

    /// Reports the organization's settings in the Region.
    async fn read_settings(&mut self, until: Instant) -> Result<(), CallError> {
        let mut limiter = RateLimiter::of(self.configuration.list_members_per_second);
        let describe = async || self.guardduty.describe_organization_configuration().await;
        let settings = limiter.call(&mut self.report.throttled, until, describe).await?;
        self.report.auto_enable = settings.auto_enable;
        self.report.member_account_limit_reached = settings.member_limit_reached;
        self.report.plans = settings.plans;
        Ok(())
    }

    /// Reads what GuardDuty itself counts: another witness of the number of members, and the plans that are on.
    async fn read_statistics(&mut self) -> Result<(), CallError> {
        let plans = &mut self.report.plans;
        self.report.statistics = Some(self.guardduty.get_organization_statistics(plans).await?);
        Ok(())
    }

    /// Reads the plans of each enabled member, 50 at a time.
    async fn read_plans_of_members(&mut self, until: Instant, cutoff: Instant) {
        let mut limiter = RateLimiter::of(self.configuration.list_members_per_second);
        let is_read = |(index, account): &(usize, &Expected)| {
            let found = self.found.as_ref();
            found.is_some_and(|found| found.is_protected(*index))
                && !self.configuration.exclusions.names_in(account.id, self.region)
        };
        let expected = self.roster.expected().iter().enumerate();
        let members: Vec<_> = expected.filter(is_read).map(|(_, account)| account.id).collect();
        let mut of_members = PlansOfMembers::default();
        for ids in members.chunks(MAX_ACCOUNTS_PER_CALL) {
            let read = async || self.guardduty.get_member_detectors(ids).await;
            let call = limiter.call(&mut self.report.throttled, until, read);
            match timeout_at(cutoff, call).await {
                Ok(Ok(found)) => {
                    for (id, member) in found.iter().filter(|(id, _)| ids.contains(id)) {
                        of_members.count(&self.report.plans, *id, member);
                    }
                }
                failed => {
                    of_members.blocked = why_not(failed);
                    break;
                }
            }
        }
        of_members.unread = members.len().saturating_sub(of_members.read);
        self.report.plans_of_members = Some(of_members);
    }

    /// Reads the Region's members page by page, and keeps no page. Counts the enabled members and the stale ones.
    ///
    /// # Errors
    /// If a page failed: half a list does not say which accounts are missing.
    async fn list_members(&mut self, until: Instant) -> Result<Vec<Membership>, CallError> {
        let mut limiter = RateLimiter::of(self.configuration.list_members_per_second);
        let mut memberships = vec![Membership::Absent; self.roster.expected().len()];
        let mut stale = BTreeSet::new();
        let mut token = None;
        loop {
            let list = async || self.guardduty.list_members(token.as_deref()).await;
            let page = limiter.call(&mut self.report.throttled, until, list).await?;
            for (id, status) in page.status {
                let index = self.roster.index_of(id);
                match index.and_then(|index| memberships.get_mut(index)) {
                    Some(known) => *known = Membership::of(&status).max(*known),
                    None if self.roster.knows(id) => {}
                    None => {
                        stale.insert(id);
                    }
                }
            }
            token = page.next;
            if token.is_none() {
                break;
            }
        }
        for id in stale {
            self.report.count_stale(id);
        }
        let enabled = memberships.iter().filter(|m| **m == Membership::Enabled);
        self.report.enabled = enabled.count();
        Ok(memberships)
    }

    /// Enrolls accounts in the same way as a new one, 50 at a time. Throttled ones are tried again, more slowly; those that
    /// GuardDuty has accepted but not enabled yet are added to `pending`.
    ///
    /// # Errors
    /// A refusal that concerns the Region: no other account needs to be asked for.
    async fn close_gap(
        &mut self,
        mut missing: VecDeque<(AccountId, Before)>,
        pending: &mut Vec<(AccountId, Before)>,
        cutoff: Instant,
    ) -> Result<(), Outcome> {
        let mut limiter = RateLimiter::of(self.configuration.create_members_per_second);
        while !missing.is_empty() {
            let accounts: Vec<_> =
                missing.drain(..missing.len().min(MAX_ACCOUNTS_PER_CALL)).collect();
            let Ok(permit) = timeout_at(cutoff, limiter.wait()).await else {
                return Err(late());
            };
            let enrollment = Enrollment::new(self.rules, accounts);
            let describe = ready(|id| Ok(self.described(id)));
            let reached =
                enroll(self.guardduty, enrollment, describe, &mut limiter, permit, cutoff).await;
            let mut throttled = 0;
            for (id, outcome) in &reached {
                match (outcome.status, outcome.reason) {
                    (_, Some(Reason::Throttled)) => {
                        throttled += 1;
                        missing.push_back((*id, Before::Nothing));
                    }
                    (Status::Pending, _) => pending.push((*id, Before::Accepted)),
                    _ => self.count(*id, outcome),
                }
            }
            self.report.throttled += throttled;
            limiter.on_result(throttled > 0);
            if reached.values().any(|outcome| outcome.reason == Some(Reason::Deadline)) {
                return Err(late());
            }
            if let Some(outcome) = concerns_the_region(reached.values()) {
                return Err(outcome.clone());
            }
        }
        Ok(())
    }

    /// Looks once more, with waits while there is time, at accounts that were not enabled yet: GuardDuty is not instant.
    async fn look_again(&mut self, pending: Vec<(AccountId, Before)>, cutoff: Instant) {
        let mut limiter = RateLimiter::unlimited();
        let permit = limiter.wait().await;
        let enrollment = Enrollment::new(self.rules.waiting(true), pending.iter().copied());
        let describe = ready(|id| Ok(self.described(id)));
        let reached =
            enroll(self.guardduty, enrollment, describe, &mut limiter, permit, cutoff).await;
        for (id, outcome) in reached {
            // An account that this look did not reach was accepted all the same.
            if outcome.reason == Some(Reason::Deadline) {
                self.report.count(id, &Outcome::because(Reason::NotYetEnabled));
            } else {
                self.count(id, &outcome);
            }
        }
    }

    fn count(&mut self, id: AccountId, outcome: &Outcome) {
        self.report.count(id, outcome);
        let by = match outcome.status {
            Status::Enrolled => By::ThisRun,
            Status::AlreadyEnabled => By::SomebodyElse,
            _ => return,
        };
        if let (Some(found), Some(index)) = (&mut self.found, self.roster.index_of(id)) {
            found.enabled(index, by);
        }
    }

    /// Says in the report why accounts were not `Enabled` when the Region was compared.
    fn explain(&mut self) {
        let Some(found) = &self.found else {
            return;
        };
        let cause = |index, account| found.cause(index, account, self.report_started);
        for (index, account) in self.roster.expected().iter().enumerate() {
            if let Some(cause) = cause(index, account) {
                *self.report.causes.entry(cause.name()).or_default() += 1;
            }
        }
        self.report.explain(|id| {
            let index = self.roster.index_of(id)?;
            cause(index, self.roster.expected().get(index)?)
        });
    }

    /// What `ListAccounts` said of an expected account, which is ACTIVE.
    fn described(&self, id: AccountId) -> Account {
        let email = self.roster.find(id).and_then(|account| account.email.clone());
        Account { state: State::Active, email, joined: None, paths: vec![] }
    }
}

/// What kept something from being read.
fn why_not<T>(read: Result<Result<T, CallError>, Elapsed>) -> Option<Blocked> {
    match read {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(Blocked::by(&Outcome::failed(&error))),
        Err(_) => Some(Blocked::by(&late())),
    }
}

/// The refusal that every account of a call ended with, if it concerns the Region and not one account.
fn concerns_the_region<'a>(mut outcomes: impl Iterator<Item = &'a Outcome>) -> Option<&'a Outcome> {
    let first = outcomes.next()?;
    let same = outcomes.all(|outcome| outcome.reason == first.reason);
    let concerns_the_region = first.reason.is_some_and(|reason| reason.scope() == Scope::Region);
    (concerns_the_region && same).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_ends_the_region_only_if_it_concerns_the_region_and_meets_every_account() {
        let ends = |outcomes: &[Outcome]| concerns_the_region(outcomes.iter()).is_some();
        let denied = || Outcome::because(Reason::AccessDenied);
        let suspended = || Outcome::because(Reason::MemberSuspended);
        assert!(ends(&[denied(), denied()]));
        assert!(!ends(&[denied(), Outcome::enrolled()]));
        assert!(!ends(&[suspended(), suspended()]));
        assert!(!ends(&[]));
    }
}
