//! Plays the enrollment of accounts in one Region: makes the calls that it asks for.

use std::collections::BTreeMap;
use std::time::Duration;

use decisions::account::{Account, AccountId};
use decisions::call_error::CallError;
use decisions::enrollment::{Answer, Call, Enrollment, Step};
use decisions::outcome::Outcome;
use tokio::time::{Instant, sleep, timeout_at};

use crate::aws::guardduty::RegionalGuardDuty;
use crate::enroll::rate_limiter::{Permit, RateLimiter};
use crate::observe::logs;

/// How long an answer of `GetMembers` is acted on. Ours: calls that follow each other at once take less; what lies between
/// them otherwise (Organizations, the pace, a write that failed slowly) gives auto-enable the time to make the member.
const FRESH: Duration = Duration::from_secs(2);

/// Returns one outcome for each account. `describe` says, once it is known, what Organizations knows of an account;
/// meanwhile `GetMembers` is called.
///
/// The caller has already waited for the limiter, so `CreateMembers` follows `GetMembers` at once.
pub(crate) async fn enroll<D>(
    guardduty: &RegionalGuardDuty,
    mut enrollment: Enrollment,
    describe: impl Future<Output = D>,
    limiter: &mut RateLimiter,
    permit: Permit,
    cutoff: Instant,
) -> BTreeMap<AccountId, Outcome>
where
    D: Fn(AccountId) -> Result<Account, Outcome>,
{
    let mut calls = Calls {
        guardduty,
        limiter,
        permit: Some(permit),
        looked: BTreeMap::new(),
        has_looked_again: false,
    };
    let work = async {
        let (mut next, describe) = tokio::join!(calls.make(&mut enrollment), describe);
        while next == Step::Describe {
            enrollment.described(&describe);
            next = calls.make(&mut enrollment).await;
        }
    };
    // What was reached before the cutoff is in the enrollment.
    let _: Result<(), _> = timeout_at(cutoff, work).await;
    enrollment.finish()
}

/// The calls of one enrollment.
struct Calls<'a> {
    guardduty: &'a RegionalGuardDuty,
    limiter: &'a mut RateLimiter,
    permit: Option<Permit>,
    /// When `GetMembers` was asked last for each account.
    looked: BTreeMap<AccountId, Instant>,
    /// Whether the next write has been put off for a look: once only, so that slow answers keep no account from it.
    has_looked_again: bool,
}

impl Calls<'_> {
    /// Makes the calls that can be made without a further word of Organizations. Returns what is needed then.
    async fn make(&mut self, enrollment: &mut Enrollment) -> Step {
        loop {
            match enrollment.step() {
                Step::Call(call @ Call::GetMembers(_)) => {
                    let now = Instant::now();
                    let answer = self.answer(&call).await;
                    self.looked.extend(call.accounts().into_iter().map(|id| (id, now)));
                    enrollment.answered(&call, &answer);
                }
                Step::Call(write) => {
                    if matches!(write, Call::CreateMembers(_)) && self.permit.is_none() {
                        self.permit = Some(self.limiter.wait().await);
                    }
                    if self.is_old(&write) && !self.has_looked_again {
                        enrollment.look_again(&write);
                        self.has_looked_again = true;
                        continue;
                    }
                    self.has_looked_again = false;
                    if matches!(write, Call::CreateMembers(_)) {
                        self.permit = None;
                    }
                    let answer = self.answer(&write).await;
                    enrollment.answered(&write, &answer);
                }
                Step::Wait(wait) => {
                    sleep(wait).await;
                    enrollment.waited();
                }
                needed @ (Step::Describe | Step::Done) => return needed,
            }
        }
    }

    /// Whether what `GetMembers` said of one of its accounts is too old to act on.
    fn is_old(&self, write: &Call) -> bool {
        let accounts = write.accounts();
        let mut looked = accounts.iter().filter_map(|id| self.looked.get(id));
        looked.any(|at| at.elapsed() > FRESH)
    }

    async fn answer(&self, call: &Call) -> Result<Answer, CallError> {
        make(self.guardduty, call).await.inspect_err(logs::call_failed)
    }
}

async fn make(guardduty: &RegionalGuardDuty, call: &Call) -> Result<Answer, CallError> {
    match call {
        Call::GetMembers(ids) => {
            let answer = guardduty.get_members(ids).await?;
            logs::unknown_members(guardduty.region(), &answer);
            Ok(answer)
        }
        Call::CreateMembers(details) => guardduty.create_members(details).await,
        Call::StartMonitoringMembers(ids) => guardduty.start_monitoring_members(ids).await,
    }
}
