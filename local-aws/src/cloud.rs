//! The cloud as one state machine: a request and a time go in, an answer comes out.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response};
use serde_json::Value;
use tokio::time::Instant;

use crate::call::Call;
use crate::fault::{FaultKind, Trouble};
use crate::guardduty::{GuardDuty, Surroundings};
use crate::protocol::{self, Inquiry, Scope, Service};
use crate::rate;
use crate::refusal::Refusal;
use crate::setup::Setup;
use crate::sqs;
use crate::state::State;

/// Longer than any function runs.
const NEVER: Duration = Duration::from_hours(24);

/// One cloud. A clone is the same cloud.
#[derive(Clone, Debug)]
pub struct Cloud(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    start: OnceLock<Instant>,
}

/// What the caller gets, and when.
#[derive(Debug)]
pub struct Answer {
    /// How long the caller waits.
    pub delay: Duration,
    /// The answer; `None` if the connection drops.
    pub reply: Option<Response<Bytes>>,
}

impl Cloud {
    /// A new cloud at virtual time zero.
    #[must_use]
    pub fn new(setup: &Setup) -> Self {
        Self(Arc::new(Shared { state: Mutex::new(State::new(setup)), start: OnceLock::new() }))
    }

    /// The whole state, to look at and to change. Every request waits while the guard lives.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        // A test that failed while holding the guard says so itself.
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(start) = self.0.start.get() {
            state.auto_enable(Instant::now().duration_since(*start));
        }
        state
    }

    /// The moment of tokio's clock that is virtual time zero: the first time anybody asks.
    #[must_use]
    pub fn start(&self) -> Instant {
        *self.0.start.get_or_init(Instant::now)
    }

    /// Virtual time by tokio's clock, which tests pause.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        let start = self.start();
        Instant::now().duration_since(start)
    }

    /// Answers a request that arrives at virtual time `now`. Effects take place at `now`, however late the answer is.
    #[must_use]
    pub fn handle(&self, now: Duration, request: &http::Request<Bytes>) -> Answer {
        let mut state = self.lock();
        state.auto_enable(now);
        if state.dies_after.is_some_and(|calls| state.calls.len() >= calls) {
            return Answer { delay: NEVER, reply: None };
        }
        let scope = Scope::read(request.headers()).unwrap_or_default();
        let service = scope.service();
        let mut call = Call {
            at: now,
            took: state.latency,
            service: scope.service,
            operation: String::new(),
            region: scope.region,
            accounts: Vec::new(),
            status: None,
            error: None,
            fault: false,
        };
        let reply = Inquiry::read(service, request).and_then(|inquiry| {
            inquiry.operation.clone_into(&mut call.operation);
            if state.keep_accounts || !state.faults.is_empty() {
                call.accounts = inquiry.accounts();
            }
            answered(&mut state, now, &inquiry, &mut call)
        });
        if !state.keep_accounts {
            call.accounts = Vec::new();
        }
        let mut reply = reply.unwrap_or_else(|refusal| {
            let reply = protocol::error(service, &refusal);
            call.error = Some(refusal.code);
            Some(reply)
        });
        if let Some(reply) = &mut reply {
            let id = format!("00000000-0000-4000-8000-{:012}", state.calls.len() + 1);
            if let Ok(id) = HeaderValue::from_str(&id) {
                reply.headers_mut().insert("x-amzn-requestid", id);
            }
        }
        call.status = reply.as_ref().map(|reply| reply.status().as_u16());
        let delay = call.took;
        state.calls.push(call);
        Answer { delay, reply }
    }
}

/// Throttles the request before anything else, as the services' front ends do, or carries it out with what goes wrong
/// before, around and after it. No reply: the connection drops.
fn answered(
    state: &mut State,
    now: Duration,
    inquiry: &Inquiry,
    call: &mut Call,
) -> Result<Option<Response<Bytes>>, Refusal> {
    let (service, operation) = (inquiry.service, inquiry.operation);
    let rate = state.rates.get(operation).copied();
    if rate.is_some_and(|rate| !state.buckets.take(now, operation, &call.region, rate)) {
        return Err(rate::refusal(service));
    }
    let trouble = Trouble::of(&mut state.faults, operation, &call.region, &call.accounts);
    call.fault = trouble.any;
    call.took += trouble.delay;
    match &trouble.reply {
        Some(FaultKind::Error { status, code, message }) => {
            return match code {
                Some(code) => Err(Refusal::new(*status, code, message)),
                None => Ok(Some(protocol::plain(*status, message))),
            };
        }
        Some(FaultKind::OddError { status, code, message, shape }) => {
            call.error.clone_from(code);
            let reply = protocol::odd_error(service, *status, code.as_deref(), message, *shape);
            return Ok(Some(reply));
        }
        Some(FaultKind::Drop { effect: false }) => return Ok(None),
        _ => {}
    }
    if operation == "CreateMembers"
        && let Some(guardduty) = state.guardduty.get(&call.region)
    {
        let accounts = u32::try_from(inquiry.accounts().len()).unwrap_or(u32::MAX);
        call.took += guardduty.create_latency_per_account * accounts;
    }
    let result = effect(state, now, &call.region, inquiry, &trouble);
    if matches!(trouble.reply, Some(FaultKind::Drop { .. })) {
        return Ok(None);
    }
    let mut answer = result?;
    Ok(Some(match &trouble.reply {
        Some(FaultKind::Garbage) => protocol::raw(service, "<html>garbage".to_owned()),
        Some(FaultKind::Empty) => protocol::raw(service, String::new()),
        Some(FaultKind::EmptyChunked) => protocol::empty_chunked(service),
        Some(FaultKind::Bare) => protocol::raw(service, "{}".to_owned()),
        Some(FaultKind::WithoutUnprocessedAccounts) => {
            if let Value::Object(members) = &mut answer {
                members.remove("unprocessedAccounts");
            }
            protocol::success(service, answer)
        }
        _ => protocol::success(service, answer),
    }))
}

fn effect(
    state: &mut State,
    now: Duration,
    region: &str,
    inquiry: &Inquiry,
    trouble: &Trouble,
) -> Result<Value, Refusal> {
    match inquiry.service {
        Service::GuardDuty => {
            let around = Surroundings {
                now,
                epoch: state.epoch,
                admin_account: &state.admin_account,
                organization: &state.organization,
                unprocessed: &trouble.unprocessed,
            };
            let guardduty =
                state.guardduty.get_mut(region).ok_or_else(GuardDuty::not_switched_on)?;
            guardduty.handle(&around, inquiry.operation, &inquiry.input)
        }
        // Both are global services: a client with its own endpoint signs for its own Region, any other for us-east-1.
        Service::Organizations => state.organization.handle(inquiry.operation, &inquiry.input),
        Service::Account => state.account.handle(&inquiry.input),
        Service::Sqs => {
            let request = sqs::Request {
                now,
                epoch: state.epoch,
                sender: &state.admin_account,
                unprocessed: &trouble.unprocessed,
            };
            request.handle(&mut state.queues, inquiry.operation, &inquiry.input)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate::Rate;

    /// One `ListAccounts` and one `ListDetectors`; the status and error of each.
    fn ask(cloud: &Cloud, now: Duration) -> [(Option<u16>, Option<String>); 2] {
        let target = "AWSOrganizationsV20161128.ListAccounts";
        let requests =
            [("organizations", "POST", "/", target), ("guardduty", "GET", "/detector", "")];
        requests.map(|(service, method, path, target)| {
            let scope = format!("Credential=AKID/20261124/eu-west-1/{service}/aws4_request, x");
            let request = http::Request::builder()
                .method(method)
                .uri(path)
                .header("authorization", scope)
                .header("x-amz-target", target);
            let reply = cloud.handle(now, &request.body(Bytes::new()).unwrap()).reply;
            let error = cloud.lock().calls.last().unwrap().error.clone();
            (reply.map(|reply| reply.status().as_u16()), error)
        })
    }

    #[test]
    fn a_request_above_its_rate_is_throttled_as_the_service_does_it_and_logged_with_its_error() {
        let cloud = Cloud::new(&Setup::default());
        let passed = [(Some(200), None), (Some(200), None)];
        for _ in 0..100 {
            assert_eq!(ask(&cloud, Duration::ZERO), passed);
        }
        let rate = Rate { per_second: 1.0, burst: 1.0 };
        for operation in ["ListAccounts", "ListDetectors"] {
            cloud.lock().rates.insert(operation.to_owned(), rate);
        }
        let now = Duration::from_secs(5);
        assert_eq!(ask(&cloud, now), passed);
        let throttled = [(400, "TooManyRequestsException"), (429, "ThrottlingException")]
            .map(|(status, code)| (Some(status), Some(code.to_owned())));
        assert_eq!(ask(&cloud, now), throttled);
        assert_eq!(ask(&cloud, now + Duration::from_secs(1)), passed);
        let state = cloud.lock();
        assert_eq!(
            state.calls_by_operation(),
            [("ListAccounts", 103), ("ListDetectors", 103)].into()
        );
    }
}
