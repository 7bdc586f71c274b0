//! The cloud as one state machine: a request and a time go in, an answer comes out.

use std::fmt;
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
#[derive(Clone)]
pub struct Cloud(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    start: OnceLock<Instant>,
}

impl fmt::Debug for Cloud {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Cloud")
    }
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
        Self(Arc::new(Shared {
            state: Mutex::new(State::new(setup)),
            start: OnceLock::new(),
        }))
    }

    /// The whole state, to look at and to change. Every request waits while the guard lives.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        // A test that failed while holding the guard says so itself.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        if state
            .dies_after
            .is_some_and(|calls| state.calls.len() >= calls)
        {
            return Answer {
                delay: NEVER,
                reply: None,
            };
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
        let mut reply = match inquiry(service, request) {
            Ok((service, inquiry)) => {
                inquiry.operation.clone_into(&mut call.operation);
                if state.keep_accounts || !state.faults.is_empty() {
                    call.accounts = inquiry.accounts();
                }
                let reply = received(&mut state, now, service, &inquiry, &mut call);
                if !state.keep_accounts {
                    call.accounts = Vec::new();
                }
                reply
            }
            Err(refusal) => {
                call.error = Some(refusal.code.clone());
                Some(protocol::error(service, &refusal))
            }
        };
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

fn inquiry(
    service: Option<Service>,
    request: &http::Request<Bytes>,
) -> Result<(Service, Inquiry), Refusal> {
    let service = service.ok_or_else(|| {
        Refusal::new(
            403,
            "MissingAuthenticationTokenException",
            "Missing Authentication Token",
        )
    })?;
    let operation = Inquiry::operation(service, request).ok_or_else(|| {
        Refusal::new(
            404,
            "UnknownOperationException",
            "The operation does not exist here.",
        )
    })?;
    Ok((service, Inquiry::read(service, operation, request)?))
}

/// Throttles the request before anything else, as the services' front ends do, or carries it out.
fn received(
    state: &mut State,
    now: Duration,
    service: Service,
    inquiry: &Inquiry,
    call: &mut Call,
) -> Option<Response<Bytes>> {
    let operation = inquiry.operation;
    let rate = state.rates.get(operation).copied();
    if rate.is_some_and(|rate| !state.buckets.take(now, operation, &call.region, rate)) {
        return Some(refused(service, &rate::refusal(service), call));
    }
    let trouble = Trouble::of(&mut state.faults, operation, &call.region, &call.accounts);
    call.fault = trouble.any;
    call.took += trouble.delay;
    troubled(state, now, service, inquiry, &trouble, call)
}

/// Lets the faults have their say before, around and after the real effect.
fn troubled(
    state: &mut State,
    now: Duration,
    service: Service,
    inquiry: &Inquiry,
    trouble: &Trouble,
    call: &mut Call,
) -> Option<Response<Bytes>> {
    match &trouble.reply {
        Some(FaultKind::Error {
            status,
            code: Some(code),
            message,
        }) => {
            let refusal = Refusal::new(*status, code, message.clone());
            return Some(refused(service, &refusal, call));
        }
        Some(FaultKind::Error {
            status,
            code: None,
            message,
        }) => return Some(protocol::plain(*status, message)),
        Some(FaultKind::Drop { effect: false }) => return None,
        _ => {}
    }
    let result = effect(state, now, service, &call.region, inquiry, trouble);
    if matches!(trouble.reply, Some(FaultKind::Drop { .. })) {
        return None;
    }
    match result {
        Err(refusal) => Some(refused(service, &refusal, call)),
        Ok(mut answer) => {
            let body = match &trouble.reply {
                Some(FaultKind::Garbage) => b"<html>garbage".to_vec(),
                Some(FaultKind::Empty) => Vec::new(),
                Some(FaultKind::WithoutUnprocessedAccounts) => {
                    if let Value::Object(members) = &mut answer {
                        members.remove("unprocessedAccounts");
                    }
                    answer.to_string().into_bytes()
                }
                // DeleteMessage and ChangeMessageVisibility have no output.
                _ if answer.is_null() => Vec::new(),
                _ => answer.to_string().into_bytes(),
            };
            Some(protocol::success(service, body))
        }
    }
}

fn refused(service: Service, refusal: &Refusal, call: &mut Call) -> Response<Bytes> {
    call.error = Some(refusal.code.clone());
    protocol::error(Some(service), refusal)
}

fn effect(
    state: &mut State,
    now: Duration,
    service: Service,
    region: &str,
    inquiry: &Inquiry,
    trouble: &Trouble,
) -> Result<Value, Refusal> {
    match service {
        Service::GuardDuty => {
            let around = Surroundings {
                now,
                epoch: state.epoch,
                admin_account: &state.admin_account,
                organization: &state.organization,
                unprocessed: &trouble.unprocessed,
            };
            let guardduty = state
                .guardduty
                .get_mut(region)
                .ok_or_else(GuardDuty::not_switched_on)?;
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
    use crate::setup::REGIONS;

    /// One `ListAccounts` and one `ListDetectors` in the first Region; the status and error of each.
    fn ask(cloud: &Cloud, now: Duration) -> [(Option<u16>, Option<String>); 2] {
        let request = |service: &str, method: &str, path: &str, target: &str| {
            let [region, ..] = REGIONS;
            let scope = format!("Credential=AKID/20261124/{region}/{service}/aws4_request, x");
            let request = http::Request::builder()
                .method(method)
                .uri(path)
                .header("authorization", scope)
                .header("x-amz-target", target);
            request.body(Bytes::from_static(b"{}")).unwrap()
        };
        let requests = [
            request(
                "organizations",
                "POST",
                "/",
                "AWSOrganizationsV20161128.ListAccounts",
            ),
            request("guardduty", "GET", "/detector", ""),
        ];
        requests.map(|request| {
            let reply = cloud.handle(now, &request).reply;
            let status = reply.map(|reply| reply.status().as_u16());
            let error = cloud.lock().calls.last().unwrap().error.clone();
            (status, error)
        })
    }

    #[test]
    fn a_request_above_its_rate_is_throttled_as_the_service_does_it_and_logged_with_its_error() {
        let cloud = Cloud::new(&Setup::default());
        let passed = [(Some(200), None), (Some(200), None)];
        for _ in 0..100 {
            assert_eq!(ask(&cloud, Duration::ZERO), passed);
        }
        let rate = Rate {
            per_second: 1.0,
            burst: 1.0,
        };
        for operation in ["ListAccounts", "ListDetectors"] {
            cloud.lock().rates.insert(operation.to_owned(), rate);
        }
        let now = Duration::from_secs(5);
        assert_eq!(ask(&cloud, now), passed);
        let throttled = [
            (Some(400), "TooManyRequestsException"),
            (Some(429), "ThrottlingException"),
        ];
        let throttled = throttled.map(|(status, code)| (status, Some(code.to_owned())));
        assert_eq!(ask(&cloud, now), throttled);
        assert_eq!(ask(&cloud, now + Duration::from_secs(1)), passed);
        let state = cloud.lock();
        let counts = state.calls_by_operation();
        assert_eq!(
            counts.into_iter().collect::<Vec<_>>(),
            [("ListAccounts", 103), ("ListDetectors", 103)]
        );
    }
}
