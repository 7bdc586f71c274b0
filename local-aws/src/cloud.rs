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
        Some(FaultKind::Date(date)) => protocol::dated(service, answer, date),
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
    use serde_json::json;

    use super::*;
    use crate::fault::Fault;
    use crate::guardduty::GuardDuty;
    use crate::member::Member;
    use crate::message::Draft;
    use crate::protocol::OPERATIONS;
    use crate::queues::RETRY_QUEUE_URL;
    use crate::rate::Rate;
    use crate::setup::{NEW_ACCOUNT, OTHER_ACCOUNT};

    const REGION: &str = "eu-west-1";

    /// The answer to a request of this operation; its body is anything.
    fn ask(cloud: &Cloud, now: Duration, operation: &str, body: &Value) -> Answer {
        let row = OPERATIONS.iter().find(|row| row.1 == operation);
        let (service, name, route) = *row.unwrap();
        let (service, prefix) = match service {
            Service::GuardDuty => ("guardduty", ""),
            Service::Organizations => ("organizations", "AWSOrganizationsV20161128."),
            Service::Account => ("account", ""),
            Service::Sqs => ("sqs", "AmazonSQS."),
        };
        let (method, path) = route.split_once(' ').unwrap_or(("POST", ""));
        let detector = cloud.lock().guardduty_in(REGION).detector_id.clone().unwrap();
        let scope = format!("Credential=AKID/20261124/{REGION}/{service}/aws4_request, x");
        let request = http::Request::builder()
            .method(method)
            .uri(format!("/{}", path.replace('*', &detector)))
            .header("authorization", scope)
            .header("x-amz-target", format!("{prefix}{name}"));
        cloud.handle(now, &request.body(body.to_string().into()).unwrap())
    }

    /// The status of the answer, and the error that the log has.
    fn end(cloud: &Cloud, now: Duration, operation: &str, body: &Value) -> (u16, Option<String>) {
        let reply = ask(cloud, now, operation, body).reply;
        let error = cloud.lock().calls.last().unwrap().error.clone();
        (reply.map_or(0, |reply| reply.status().as_u16()), error)
    }

    fn naming(operation: &str, ids: &[&str]) -> Value {
        let detail = |id: &&str| json!({ "accountId": id, "email": "a@example.com" });
        match operation {
            "CreateMembers" => {
                json!({ "accountDetails": ids.iter().map(detail).collect::<Vec<_>>() })
            }
            _ => json!({ "accountIds": ids }),
        }
    }

    fn faulty(fault: Fault) -> Cloud {
        let cloud = Cloud::new(&Setup::instant());
        cloud.lock().faults.push(fault);
        cloud
    }

    #[test]
    fn a_request_above_its_rate_is_throttled_as_the_service_does_it_and_logged_with_its_error() {
        let cloud = Cloud::new(&Setup::default());
        let both =
            |now| ["ListAccounts", "ListDetectors"].map(|it| end(&cloud, now, it, &json!({})));
        let passed = [(200, None), (200, None)];
        for _ in 0..100 {
            assert_eq!(both(Duration::ZERO), passed);
        }
        let rate = Rate { per_second: 1.0, burst: 1.0 };
        for operation in ["ListAccounts", "ListDetectors"] {
            cloud.lock().rates.insert(operation.to_owned(), rate);
        }
        let now = Duration::from_secs(5);
        assert_eq!(both(now), passed);
        let throttled = [(400, "TooManyRequestsException"), (429, "ThrottlingException")];
        assert_eq!(both(now), throttled.map(|(status, code)| (status, Some(code.to_owned()))));
        assert_eq!(both(now + Duration::from_secs(1)), passed);
        let state = cloud.lock();
        assert_eq!(
            state.calls_by_operation(),
            [("ListAccounts", 103), ("ListDetectors", 103)].into()
        );
    }

    #[test]
    fn every_operation_can_be_refused_for_its_clock_or_signature() {
        for (_, operation, _) in OPERATIONS {
            for code in ["InvalidSignatureException", "RequestExpired", "ExpiredTokenException"] {
                let fault = format!(
                    "{operation}:error=403/{code}/Signature expired: 12:00 is before 12:05"
                );
                let cloud = faulty(fault.parse().unwrap());
                let ended = end(&cloud, Duration::ZERO, operation, &json!({}));
                assert_eq!(ended, (403, Some(code.to_owned())), "{operation}");
            }
        }
    }

    #[test]
    fn a_fault_on_an_account_strikes_the_whole_call_that_names_it_and_no_other() {
        let error = |status| FaultKind::Error { status, code: None, message: String::new() };
        let late = Duration::from_secs(7);
        for operation in ["CreateMembers", "GetMembers", "StartMonitoringMembers"] {
            for (kind, ended) in [
                (error(400), (400, String::new())),
                (error(503), (503, String::new())),
                (FaultKind::Drop { effect: false }, (0, String::new())),
                (FaultKind::Delay(late), (200, "{".to_owned())),
                (FaultKind::Garbage, (200, "<html>garbage".to_owned())),
            ] {
                let cloud =
                    faulty(Fault::always(operation, kind.clone()).on_account(OTHER_ACCOUNT));
                let both = naming(operation, &[NEW_ACCOUNT, OTHER_ACCOUNT]);
                for (body, is_struck) in [(both, true), (naming(operation, &[NEW_ACCOUNT]), false)]
                {
                    let answer = ask(&cloud, Duration::ZERO, operation, &body);
                    let (status, text) = answer.reply.map_or((0, String::new()), |reply| {
                        let text = String::from_utf8_lossy(reply.body()).into_owned();
                        (reply.status().as_u16(), text)
                    });
                    let seen = format!("{operation} {kind:?} {status} {text}");
                    let expected = if is_struck { &ended } else { &(200, "{".to_owned()) };
                    assert_eq!(status, expected.0, "{seen}");
                    assert!(text.starts_with(&expected.1), "{seen}");
                    let is_late = is_struck && kind == FaultKind::Delay(late);
                    assert_eq!(answer.delay, if is_late { late } else { Duration::ZERO }, "{seen}");
                    assert_eq!(cloud.lock().calls.last().unwrap().fault, is_struck);
                }
            }
        }
    }

    /// The effect of a write of this operation so far, whatever was answered.
    fn effects(cloud: &Cloud, operation: &str) -> usize {
        let mut state = cloud.lock();
        let messages = &state.queues.queues[RETRY_QUEUE_URL].messages;
        let hidden =
            |message: &&crate::message::Message| message.visible_at > Duration::from_mins(15);
        match operation {
            "SendMessageBatch" => messages.len(),
            "ChangeMessageVisibilityBatch" => messages.iter().filter(hidden).count(),
            _ => {
                let members = state.guardduty_in(REGION).members.values();
                members.filter(|member| member.relationship_status == "Enabled").count()
            }
        }
    }

    #[test]
    fn the_answer_of_every_write_can_be_lost_after_its_effect() {
        let accounts = [NEW_ACCOUNT, OTHER_ACCOUNT];
        let lost = FaultKind::Drop { effect: true };
        for operation in [
            "SendMessageBatch",
            "ChangeMessageVisibilityBatch",
            "CreateMembers",
            "StartMonitoringMembers",
        ] {
            for (fault, answered) in [
                (Fault::always(operation, lost.clone()).first(1), [false, true]),
                (Fault::always(operation, lost.clone()).from(2), [true, false]),
            ] {
                let cloud = faulty(fault);
                if operation == "StartMonitoringMembers" {
                    let suspended = Member::new("a@example.com", "Disabled");
                    let suspended = accounts.map(|id| (id.to_owned(), suspended.clone()));
                    cloud.lock().guardduty_in(REGION).members.extend(suspended);
                }
                for (place, account) in accounts.into_iter().enumerate() {
                    let body = match operation {
                        "SendMessageBatch" => json!({
                            "QueueUrl": RETRY_QUEUE_URL,
                            "Entries": [{ "Id": "a", "MessageBody": "x" }],
                        }),
                        "ChangeMessageVisibilityBatch" => {
                            let queues = &mut cloud.lock().queues;
                            let now = Duration::ZERO;
                            queues.send(now, RETRY_QUEUE_URL, Draft::text("x".to_owned())).unwrap();
                            let received = queues.receive(now, RETRY_QUEUE_URL, 1, None).unwrap();
                            json!({
                                "QueueUrl": RETRY_QUEUE_URL,
                                "Entries": [{
                                    "Id": "a",
                                    "ReceiptHandle": received[0].receipt,
                                    "VisibilityTimeout": 1000,
                                }],
                            })
                        }
                        _ => naming(operation, &[account]),
                    };
                    let (status, _) = end(&cloud, Duration::ZERO, operation, &body);
                    assert_eq!(status, if answered[place] { 200 } else { 0 }, "{operation}");
                    assert_eq!(effects(&cloud, operation), place + 1, "{operation}");
                }
            }
        }
    }

    #[test]
    fn create_members_takes_longer_the_more_accounts_it_has() {
        let mut setup = Setup { latency: Duration::from_secs(1), ..Setup::default() };
        setup.guardduty.create_latency_per_account = Duration::from_secs(2);
        let cloud = Cloud::new(&setup);
        // The log's accounts are not what is counted.
        cloud.lock().keep_accounts = false;
        for (operation, ids, took) in [
            ("CreateMembers", &[NEW_ACCOUNT, OTHER_ACCOUNT][..], 5),
            ("CreateMembers", &[NEW_ACCOUNT], 3),
            ("GetMembers", &[NEW_ACCOUNT], 1),
        ] {
            let answer = ask(&cloud, Duration::ZERO, operation, &naming(operation, ids));
            assert_eq!(answer.delay, Duration::from_secs(took), "{operation}");
        }
    }

    #[test]
    fn every_region_of_a_cloud_is_as_its_setup_says_with_a_detector_of_its_own() {
        let mut setup = Setup::default();
        setup.guardduty.list_lag = Duration::from_secs(9);
        let cloud = Cloud::new(&setup);
        let state = cloud.lock();
        for (region, guardduty) in &state.guardduty {
            assert_eq!(guardduty.list_lag, Duration::from_secs(9));
            assert_eq!(guardduty.detector_id, GuardDuty::new(region).detector_id);
        }
    }
}
