//! Plays the enrollment of accounts in one Region: makes the calls that it asks for.

use std::collections::BTreeMap;

use decisions::account::{Account, AccountId};
use decisions::call_error::CallError;
use decisions::enrollment::{Answer, Call, Enrollment, Step};
use decisions::outcome::Outcome;
use tokio::time::{Instant, sleep, timeout_at};

use crate::aws::guardduty::RegionalGuardDuty;
use crate::enroll::rate_limiter::{Permit, RateLimiter};
use crate::observe::logs;

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
    let mut permit = Some(permit);
    let work = async {
        let calls = make_calls(guardduty, &mut enrollment, limiter, &mut permit);
        let ((), describe) = tokio::join!(calls, describe);
        enrollment.described(describe);
        make_calls(guardduty, &mut enrollment, limiter, &mut permit).await;
    };
    // What was reached before the cutoff is in the enrollment.
    let _: Result<(), _> = timeout_at(cutoff, work).await;
    enrollment.finish()
}

/// Makes the calls that can be made without a further word of Organizations.
async fn make_calls(
    guardduty: &RegionalGuardDuty,
    enrollment: &mut Enrollment,
    limiter: &mut RateLimiter,
    permit: &mut Option<Permit>,
) {
    loop {
        match enrollment.step() {
            Step::Call(call) => {
                if matches!(call, Call::CreateMembers(_)) && permit.take().is_none() {
                    limiter.wait().await;
                }
                let answer = make(guardduty, &call).await.inspect_err(logs::call_failed);
                enrollment.answered(&call, &answer);
            }
            Step::Wait(wait) => {
                sleep(wait).await;
                enrollment.waited();
            }
            Step::Describe | Step::Done => return,
        }
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
