//! The function inside a small AWS, in one process and in virtual time: what every test here starts from.
#![allow(
    dead_code,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "each test file uses its own part of this; a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_sqs::config::{Credentials, Region, SharedCredentialsProvider};
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use guardduty_enroller::aws;
use guardduty_enroller::configuration::Configuration;
use guardduty_enroller::handler::{Error, Handler};
use guardduty_enroller::invocation::Invocation;
use lambda_runtime::Diagnostic;
use local_aws::{
    ADMIN_ACCOUNT, Account, Call, Cloud, DEAD_LETTER_QUEUE_URL, Fault, FaultKind, FunctionError,
    Lambda, Member, RETRY_QUEUE_URL, Setup, in_process,
};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

/// The function's timeout, as in the template.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(1);

/// The Regions of the small AWS.
pub(crate) const REGIONS: [&str; 4] = local_aws::REGIONS;

/// Configuration for tests about accounts, in which one Region is enough.
pub(crate) const ONE_REGION: [(&str, &str); 1] = [("REGIONS", "eu-west-1")];

/// Every AWS operation that the function makes. Each world checks at its end that it saw no other one;
/// `fault_matrix.rs` checks that each of them is really made, `permissions.rs` that the role allows just these.
pub(crate) const OPERATIONS: [&str; 8] = [
    "ChangeMessageVisibilityBatch",
    "CreateMembers",
    "DescribeAccount",
    "GetMembers",
    "ListDetectors",
    "ListRegions",
    "SendMessageBatch",
    "StartMonitoringMembers",
];

/// Every AWS operation that a reconcile makes; held in the same way.
pub(crate) const RECONCILE_OPERATIONS: [&str; 8] = [
    "CreateMembers",
    "DescribeOrganizationConfiguration",
    "GetMembers",
    "ListAccounts",
    "ListDetectors",
    "ListMembers",
    "ListRegions",
    "StartMonitoringMembers",
];

/// The function, the AWS around it, and Lambda's own part.
pub(crate) struct World {
    pub(crate) cloud: Cloud,
    pub(crate) lambda: Lambda,
    handler: Handler,
    /// A second environment, where two invocations run at the same time.
    beside: Option<Handler>,
    variables: BTreeMap<String, String>,
    /// Invocations that Lambda had to kill: a function that minds its deadline has none.
    pub(crate) killed: usize,
    /// The operations that may be seen.
    pub(crate) allowed: &'static [&'static str],
}

impl World {
    /// Four Regions, an organization of four accounts, nothing wrong.
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// The same with environment variables of the function set.
    pub(crate) fn with(variables: &[(&str, &str)]) -> Self {
        Self::of(&Setup::default(), variables)
    }

    /// Another AWS.
    pub(crate) fn of(setup: &Setup, variables: &[(&str, &str)]) -> Self {
        let mut all = BTreeMap::from([
            ("ADMIN_ACCOUNT_ID", ADMIN_ACCOUNT),
            ("DEAD_LETTER_QUEUE_URL", DEAD_LETTER_QUEUE_URL),
            ("RETRY_QUEUE_URL", RETRY_QUEUE_URL),
        ]);
        all.extend(variables.iter().copied());
        let variables = all
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let cloud = Cloud::new(setup);
        let lambda = Lambda::new(TIMEOUT)
            .on_failure(DEAD_LETTER_QUEUE_URL)
            .fed_by(RETRY_QUEUE_URL, 1_000, Duration::from_secs(5));
        Self {
            handler: handler(&cloud, &variables),
            beside: None,
            cloud,
            lambda,
            variables,
            killed: 0,
            allowed: &OPERATIONS,
        }
    }

    /// An organization that has these accounts too.
    pub(crate) fn with_accounts(ids: &[String], variables: &[(&str, &str)]) -> Self {
        let mut setup = Setup::default();
        let accounts = ids
            .iter()
            .map(|id| (id.clone(), format!("a{id}@example.com")));
        setup.accounts.extend(accounts);
        Self::of(&setup, variables)
    }

    /// Changes what Organizations knows of an account.
    pub(crate) fn change(&self, account: &str, change: impl FnOnce(&mut Account)) {
        let mut cloud = self.cloud.lock();
        let accounts = &mut cloud.organization.accounts;
        change(accounts.get_mut(account).expect("a known account"));
    }

    /// Makes an account a member that GuardDuty says this of.
    pub(crate) fn set_member(&self, account: &str, region: &str, status: &str) {
        let member = Member::new("member@example.com", status);
        let mut cloud = self.cloud.lock();
        let members = &mut cloud.guardduty_in(region).members;
        members.insert(account.to_owned(), member);
    }

    /// Switches a Region on that did not exist before.
    pub(crate) fn opt_into(&self, region: &str) {
        let mut cloud = self.cloud.lock();
        cloud.guardduty_in(region);
        let statuses = &mut cloud.account.statuses;
        statuses.insert(region.to_owned(), "ENABLED".to_owned());
    }

    /// Something that goes wrong from now on.
    pub(crate) fn fault(&self, fault: Fault) -> &Self {
        self.cloud.lock().faults.push(fault);
        self
    }

    /// Lets two invocations run at the same time from now on, each in an environment of its own.
    pub(crate) fn scale_out(&mut self) {
        self.beside = Some(handler(&self.cloud, &self.variables));
    }

    /// New environments of the function: no detector is known, no connection is open.
    pub(crate) fn cold_start(&mut self) {
        self.handler = handler(&self.cloud, &self.variables);
        if self.beside.is_some() {
            self.scale_out();
        }
    }

    /// Invokes the function once, as a person would.
    pub(crate) async fn invoke(&self, payload: &Value) -> Result<Value, Error> {
        self.invoke_raw(&payload.to_string(), TIMEOUT).await
    }

    /// Invokes the function for accounts, as an operator would.
    pub(crate) async fn enroll<A: Serialize>(&self, accounts: &[A]) -> Value {
        self.invoke(&operator(accounts)).await.expect("a reply")
    }

    /// Invokes the function once with a payload that may be anything.
    pub(crate) async fn invoke_raw(
        &self,
        payload: &str,
        time_left: Duration,
    ) -> Result<Value, Error> {
        let invocation = Invocation {
            request_id: "request-1".to_owned(),
            deadline: Instant::now() + time_left,
        };
        Box::pin(self.handler.handle(payload, &invocation)).await
    }

    /// Lets Lambda and SQS do their part until nothing is due any more, for at most `longest`.
    pub(crate) async fn drive(&mut self, longest: Duration) {
        let end = self.cloud.elapsed() + longest;
        while self.step(end).await {}
    }

    /// Runs what is due next, if it is due before `end`: one invocation, or two at the same time, from delivery to what
    /// Lambda makes of the reply. A function that is not done at its timeout, or that died, has no reply.
    pub(crate) async fn step(&mut self, end: Duration) -> bool {
        let due = self.lambda.next_due(&self.cloud.lock().queues);
        let Some(due) = due.filter(|due| *due <= end) else {
            return false;
        };
        tokio::time::sleep(due.saturating_sub(self.cloud.elapsed())).await;
        let now = self.cloud.elapsed();
        let mut next = || self.lambda.next(now, &mut self.cloud.lock().queues);
        let first = next();
        let second = if self.beside.is_some() { next() } else { None };
        let beside = self.beside.as_ref().unwrap_or(&self.handler);
        let replies = tokio::join!(run(&self.handler, first), run(beside, second));
        let died = self.has_died();
        for (run, reply) in [replies.0, replies.1].into_iter().flatten() {
            let reply = match reply {
                Some(reply) if !died => reply.map_err(|error| function_error(error.into())),
                other => {
                    self.killed += usize::from(other.is_none() && !died);
                    Err(function_error(Diagnostic {
                        error_type: "Runtime.ExitError".to_owned(),
                        error_message: "the function timed out or died".to_owned(),
                    }))
                }
            };
            let now = self.cloud.elapsed();
            let queues = &mut self.cloud.lock().queues;
            self.lambda.finish(now, queues, &run, &reply);
        }
        if died {
            self.cloud.lock().dies_after = None;
            self.cold_start();
        }
        true
    }

    fn has_died(&self) -> bool {
        let state = self.cloud.lock();
        state
            .dies_after
            .is_some_and(|calls| state.calls.len() >= calls)
    }

    /// Every pair that somebody still owes: a queue, or Lambda's asynchronous retry. It reads the messages by
    /// themselves, without the function's code.
    pub(crate) fn owed(&self) -> BTreeSet<(String, String)> {
        let mut owed = BTreeSet::new();
        let regions: Vec<String> = self.cloud.lock().guardduty.keys().cloned().collect();
        let events = self.lambda.owed().into_iter().cloned();
        for body in self
            .dead_letters()
            .into_iter()
            .chain(self.retries())
            .chain(events)
        {
            if let (Some(account), Some(region)) =
                (body["accountId"].as_str(), body["region"].as_str())
            {
                owed.insert((account.to_owned(), region.to_owned()));
                continue;
            }
            let event = body.get("requestPayload").unwrap_or(&body);
            let accounts = event["accounts"].as_array().into_iter().flatten();
            let created =
                &event["detail"]["serviceEventDetails"]["createAccountStatus"]["accountId"];
            for account in accounts.chain([created]).filter_map(Value::as_str) {
                owed.extend(
                    regions
                        .iter()
                        .map(|region| (account.to_owned(), region.clone())),
                );
            }
        }
        owed
    }

    /// Hands an event to the function as EventBridge does, and drives everything to its end.
    pub(crate) async fn deliver(&mut self, payload: &Value) {
        let now = self.cloud.elapsed();
        self.lambda.submit(now, payload.clone());
        self.settle().await;
    }

    /// Drives everything to its end.
    pub(crate) async fn settle(&mut self) {
        self.drive(Duration::from_hours(24)).await;
    }

    /// `aws sqs start-message-move-task` from the dead-letter queue to the retry queue.
    pub(crate) fn redrive(&self) {
        let now = self.cloud.elapsed();
        let queues = &mut self.cloud.lock().queues;
        queues
            .move_all(now, DEAD_LETTER_QUEUE_URL, RETRY_QUEUE_URL)
            .expect("both queues exist");
    }

    /// The bodies of the messages in the dead-letter queue.
    pub(crate) fn dead_letters(&self) -> Vec<Value> {
        self.bodies(DEAD_LETTER_QUEUE_URL)
    }

    /// The bodies of the messages in the retry queue.
    pub(crate) fn retries(&self) -> Vec<Value> {
        self.bodies(RETRY_QUEUE_URL)
    }

    /// Whether nothing waits for a retry or for a person.
    pub(crate) fn queues_are_empty(&self) -> bool {
        self.dead_letters().is_empty() && self.retries().is_empty()
    }

    fn bodies(&self, url: &str) -> Vec<Value> {
        let now = self.cloud.elapsed();
        let state = self.cloud.lock();
        let bodies = state.queues.alive(now, url).map(|message| &message.body);
        bodies
            .map(|body| serde_json::from_str(body).unwrap_or_else(|_| json!(body)))
            .collect()
    }

    /// The calls of one operation so far.
    pub(crate) fn calls(&self, operation: &str) -> Vec<Call> {
        let state = self.cloud.lock();
        let calls = state
            .calls
            .iter()
            .filter(|call| call.operation == operation);
        calls.cloned().collect()
    }

    /// How many calls of one operation were made so far.
    pub(crate) fn count(&self, operation: &str) -> usize {
        self.calls(operation).len()
    }

    /// The same in one Region.
    pub(crate) fn count_in(&self, operation: &str, region: &str) -> usize {
        let calls = self.calls(operation).into_iter();
        calls.filter(|call| call.region == region).count()
    }

    /// How many calls were made so far, of any operation.
    pub(crate) fn all_calls(&self) -> usize {
        self.cloud.lock().calls.len()
    }

    /// How many accounts each call of one operation had.
    pub(crate) fn batches(&self, operation: &str) -> Vec<usize> {
        let calls = self.calls(operation).into_iter();
        calls.map(|call| call.accounts.len()).collect()
    }

    /// The time from each call of one operation to the next.
    pub(crate) fn steps(&self, operation: &str) -> Vec<Duration> {
        let calls = self.calls(operation);
        let steps = calls.iter().zip(calls.iter().skip(1));
        steps
            .map(|(call, next)| next.at.saturating_sub(call.at))
            .collect()
    }

    /// The operations that were seen so far.
    pub(crate) fn operations(&self) -> BTreeSet<String> {
        let state = self.cloud.lock();
        let calls = state.calls.iter();
        calls.map(|call| call.operation.clone()).collect()
    }

    /// Forgets the calls so far.
    pub(crate) fn forget_calls(&self) {
        self.cloud.lock().calls.clear();
    }

    /// The Regions in which the account is an enabled member.
    pub(crate) fn enabled_regions(&self, account: &str) -> BTreeSet<String> {
        let now = self.cloud.elapsed();
        let state = self.cloud.lock();
        let enabled = state.guardduty.iter().filter(|(_, guardduty)| {
            let member = guardduty.members.get(account);
            member.is_some_and(|member| member.status(now) == "Enabled")
        });
        enabled.map(|(region, _)| region.clone()).collect()
    }

    /// Whether the account is an enabled member in every Region.
    pub(crate) fn is_enabled_everywhere(&self, account: &str) -> bool {
        self.enabled_regions(account).len() == self.cloud.lock().guardduty.len()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for call in &self.cloud.lock().calls {
            assert!(
                self.allowed.contains(&call.operation.as_str()),
                "the function made {call:?}"
            );
        }
    }
}

/// Runs an invocation, if there is one, in an environment; no reply where it is not done at its timeout.
async fn run(
    handler: &Handler,
    run: Option<local_aws::Invocation>,
) -> Option<(local_aws::Invocation, Option<Result<Value, Error>>)> {
    let run = run?;
    let invocation = Invocation {
        request_id: run.request_id.clone(),
        deadline: Instant::now() + run.timeout,
    };
    let payload = run.payload.to_string();
    let work = Box::pin(handler.handle(&payload, &invocation));
    let reply = tokio::time::timeout(run.timeout, work).await.ok();
    Some((run, reply))
}

fn function_error(diagnostic: Diagnostic) -> FunctionError {
    FunctionError {
        error_type: diagnostic.error_type,
        message: diagnostic.error_message,
    }
}

fn handler(cloud: &Cloud, variables: &BTreeMap<String, String>) -> Handler {
    let configuration = Configuration::read(|name| variables.get(name).cloned());
    Handler::new(
        configuration.expect("a good configuration"),
        &settings(cloud),
    )
}

/// The function's own settings, over the small AWS instead of the network.
fn settings(cloud: &Cloud) -> SdkConfig {
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
    let settings = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .http_client(in_process::http_client(cloud))
        .build();
    aws::limited(&settings)
}

/// A file of `events/`.
pub(crate) fn event(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("events")
        .join(name);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("an event file is JSON")
}

/// What a reply says of a pair.
pub(crate) fn pair(reply: &Value, account: &str, region: &str) -> Value {
    let accounts = reply["accounts"].as_array().expect("a reply with accounts");
    let account = accounts.iter().find(|entry| entry["accountId"] == account);
    account.map_or(Value::Null, |entry| entry["regions"][region].clone())
}

/// The outcome of a pair with its reason, if it has one: `enrolled`, or `deferred: throttled`.
pub(crate) fn outcome(reply: &Value, account: &str, region: &str) -> String {
    in_words(&pair(reply, account, region))
}

/// How many pairs of a reply had each outcome.
pub(crate) fn tally(reply: &Value) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for account in reply["accounts"].as_array().expect("a reply with accounts") {
        for pair in account["regions"].as_object().expect("Regions").values() {
            *tally.entry(in_words(pair)).or_default() += 1;
        }
    }
    tally
}

/// What a tally should be.
pub(crate) fn pairs<const N: usize>(expected: [(&str, usize); N]) -> BTreeMap<String, usize> {
    expected
        .map(|(outcome, count)| (outcome.to_owned(), count))
        .into()
}

fn in_words(pair: &Value) -> String {
    let words = ["outcome", "reason"].map(|name| pair[name].as_str());
    words.into_iter().flatten().collect::<Vec<_>>().join(": ")
}

/// Some members of a JSON object, each by its name or by its path: `gap`, `blocked/reason`.
pub(crate) fn pick<const N: usize>(value: &Value, names: [&str; N]) -> Value {
    names
        .map(|name| value.pointer(&format!("/{name}")).cloned())
        .map(Option::unwrap_or_default)
        .to_vec()
        .into()
}

/// An operator's call.
pub(crate) fn operator<A: Serialize>(accounts: &[A]) -> Value {
    json!({ "accounts": accounts })
}

/// The id of an account of a large organization.
pub(crate) fn id(number: usize) -> String {
    format!("{:012}", 700_000_000_000_usize + number)
}

/// The ids of so many accounts.
pub(crate) fn ids(count: usize) -> Vec<String> {
    (0..count).map(id).collect()
}

/// GuardDuty takes the call, but not the account; SQS takes the batch, but not the message.
pub(crate) fn unprocessed(text: &str) -> FaultKind {
    FaultKind::Unprocessed(text.to_owned())
}

/// What GuardDuty says of an account while it has a fault of its own, which time heals.
pub(crate) fn internal_error() -> FaultKind {
    unprocessed("Internal error")
}

/// An error answer.
pub(crate) fn error(status: u16, code: &str, message: &str) -> FaultKind {
    FaultKind::Error {
        status,
        code: Some(code.to_owned()),
        message: message.to_owned(),
    }
}

/// An error answer of something in between, which knows no codes.
pub(crate) fn bare(status: u16) -> FaultKind {
    FaultKind::Error {
        status,
        code: None,
        message: "no code".to_owned(),
    }
}

/// No answer that anyone could wait for.
pub(crate) fn hangs() -> FaultKind {
    FaultKind::Delay(Duration::from_hours(1))
}
