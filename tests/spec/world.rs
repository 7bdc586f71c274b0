//! The function inside a small AWS, in one process and in virtual time: what every test here starts from.
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_sqs::config::{Credentials, Region, SharedCredentialsProvider};
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use decisions::configuration::Configuration;
use guardduty_enroller::aws;
use guardduty_enroller::handler::Handler;
use guardduty_enroller::invocation::{Error, Invocation};
use lambda_runtime::Diagnostic;
use local_aws::{
    ADMIN_ACCOUNT, Account, Call, Cloud, DEAD_LETTER_QUEUE_URL, Draft, Fault, FaultKind,
    FunctionError, GuardDuty, Lambda, Member, RETRY_QUEUE_URL, Rate, Setup, in_process,
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

/// Every AWS operation of an event or a batch. Each world checks at its end that it saw no other; `faults.rs` checks that
/// each of them is really called, `permissions.rs` that the role allows just these.
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
pub(crate) const RECONCILE_OPERATIONS: [&str; 11] = [
    "CreateMembers",
    "DescribeEffectivePolicy",
    "DescribeOrganizationConfiguration",
    "GetMemberDetectors",
    "GetOrganizationStatistics",
    "GetMembers",
    "ListAccounts",
    "ListDetectors",
    "ListMembers",
    "ListRegions",
    "StartMonitoringMembers",
];

/// The function, the AWS around it, and Lambda's own part.
pub(crate) struct World {
    cloud: Cloud,
    lambda: Lambda,
    handler: Handler,
    /// A second environment, if two invocations run at the same time.
    second: Option<Handler>,
    variables: BTreeMap<String, String>,
    killed: usize,
    /// The operations that may be seen.
    allowed: Vec<&'static str>,
}

impl World {
    /// Four Regions, an organization of four accounts, and nothing goes wrong.
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// The same with a GuardDuty that takes no time.
    pub(crate) fn instant() -> Self {
        Self::of(&Setup::instant(), &[])
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
        let variables =
            all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let cloud = Cloud::new(setup);
        let lambda = Lambda::new(TIMEOUT).on_failure(DEAD_LETTER_QUEUE_URL).fed_by(
            RETRY_QUEUE_URL,
            1_000,
            Duration::from_secs(5),
        );
        Self {
            handler: handler(&cloud, &variables),
            second: None,
            cloud,
            lambda,
            variables,
            killed: 0,
            allowed: OPERATIONS.into(),
        }
    }

    /// An organization that has these accounts too.
    pub(crate) fn with_accounts(ids: &[String], variables: &[(&str, &str)]) -> Self {
        let mut setup = Setup::default();
        let accounts = ids.iter().map(|id| (id.clone(), format!("a{id}@example.com")));
        setup.accounts.extend(accounts);
        Self::of(&setup, variables)
    }

    /// A world in which any job may be asked for.
    pub(crate) fn for_any_job(setup: &Setup) -> Self {
        let mut world = Self::of(setup, &[]);
        world.allowed = [&OPERATIONS[..], &RECONCILE_OPERATIONS].concat();
        world
    }

    /// The world of a reconcile.
    pub(crate) fn of_reconcile(setup: &Setup, variables: &[(&str, &str)]) -> Self {
        let mut world = Self::of(setup, variables);
        world.allowed = RECONCILE_OPERATIONS.into();
        world
    }

    /// One Region of the small AWS.
    pub(crate) fn region<'a>(&'a self, name: &'a str) -> RegionOfWorld<'a> {
        RegionOfWorld { world: self, name }
    }

    /// The names of all Regions.
    pub(crate) fn regions(&self) -> Vec<String> {
        self.cloud.lock().guardduty.keys().cloned().collect()
    }

    /// Virtual time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.cloud.elapsed()
    }

    // What the organization has.

    /// Changes what Organizations knows of an account.
    pub(crate) fn change(&self, account: &str, change: impl FnOnce(&mut Account)) {
        let mut cloud = self.cloud.lock();
        let accounts = &mut cloud.organization.accounts;
        change(accounts.get_mut(account).expect("a known account"));
    }

    /// An account joins the organization, unless it has joined already.
    pub(crate) fn joins(&self, account: &str) {
        let now = self.elapsed();
        let accounts = &mut self.cloud.lock().organization.accounts;
        let new = || Account::joined("joined@example.com", now);
        accounts.entry(account.to_owned()).or_insert_with(new);
    }

    /// An account leaves the organization.
    pub(crate) fn leaves(&self, account: &str) {
        self.cloud.lock().organization.accounts.remove(account);
    }

    /// How many accounts the organization has.
    pub(crate) fn accounts(&self) -> usize {
        self.cloud.lock().organization.accounts.len()
    }

    // What goes wrong.

    /// This goes wrong from now on.
    pub(crate) fn fault(&self, fault: Fault) -> &Self {
        self.cloud.lock().faults.push(fault);
        self
    }

    /// Nothing goes wrong any more.
    pub(crate) fn faults_end(&self) {
        let mut cloud = self.cloud.lock();
        cloud.faults.clear();
        cloud.dies_after = None;
    }

    /// The process dies after this many more calls.
    pub(crate) fn dies_after(&self, calls: usize) {
        let mut cloud = self.cloud.lock();
        cloud.dies_after = Some(cloud.calls.len() + calls);
    }

    /// Whether a death that was asked for is still to come.
    pub(crate) fn is_to_die(&self) -> bool {
        self.cloud.lock().dies_after.is_some()
    }

    /// The requests of each operation per second that AWS takes in a Region.
    pub(crate) fn limit_rates(&self, rates: BTreeMap<String, Rate>) {
        let mut cloud = self.cloud.lock();
        cloud.rates = rates;
        // They are most of the log's memory in a large organization.
        cloud.keep_accounts = false;
    }

    // How Lambda and SQS deliver.

    /// The function's timeout.
    pub(crate) fn set_timeout(&mut self, timeout: Duration) {
        self.lambda.timeout = timeout;
    }

    /// The most messages per invocation.
    pub(crate) fn set_batch_size(&mut self, messages: usize) {
        let mapping = self.lambda.mapping.as_mut();
        mapping.expect("an event source mapping").batch_size = messages;
    }

    /// Lets two invocations run at the same time from now on, each in an environment of its own.
    pub(crate) fn scale_out(&mut self) {
        self.second = Some(handler(&self.cloud, &self.variables));
    }

    /// Mixes the messages up: SQS keeps no order, and each receive may see another.
    pub(crate) fn shuffle(&self, seed: u64) {
        let mut cloud = self.cloud.lock();
        let received = cloud.calls.len();
        for queue in cloud.queues.queues.values_mut() {
            queue.messages.sort_by_cached_key(|message| {
                let mut hasher = DefaultHasher::new();
                (seed, received, &message.id).hash(&mut hasher);
                hasher.finish()
            });
        }
    }

    /// New environments of the function: no detector is known, no connection is open.
    fn cold_start(&mut self) {
        self.handler = handler(&self.cloud, &self.variables);
        if self.second.is_some() {
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
        let invocation =
            Invocation { request_id: "request-1".to_owned(), deadline: Instant::now() + time_left };
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
        let other = if self.second.is_some() { next() } else { None };
        let second = self.second.as_ref().unwrap_or(&self.handler);
        let replies = tokio::join!(run(&self.handler, first), run(second, other));
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
        state.dies_after.is_some_and(|calls| state.calls.len() >= calls)
    }

    /// Every pair that a queue or Lambda's asynchronous retry still owes. It reads the messages without the function's
    /// code.
    pub(crate) fn owed(&self) -> BTreeSet<(String, String)> {
        let mut owed = BTreeSet::new();
        let regions: Vec<String> = self.cloud.lock().guardduty.keys().cloned().collect();
        let events = self.lambda.owed().into_iter().cloned();
        for body in self.dead_letters().into_iter().chain(self.retries()).chain(events) {
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
                owed.extend(regions.iter().map(|region| (account.to_owned(), region.clone())));
            }
        }
        owed
    }

    /// Hands an event to Lambda as EventBridge does.
    pub(crate) fn submit(&mut self, payload: Value) {
        let now = self.cloud.elapsed();
        self.lambda.submit(now, payload);
    }

    /// Hands an event to Lambda, and drives everything to its end.
    pub(crate) async fn deliver(&mut self, payload: &Value) {
        self.submit(payload.clone());
        self.settle().await;
    }

    /// Puts messages into the retry queue, as a redrive or a person would.
    pub(crate) fn put(&self, bodies: &[Value]) {
        let now = self.cloud.elapsed();
        let queues = &mut self.cloud.lock().queues;
        for body in bodies {
            let sent = queues.send(now, RETRY_QUEUE_URL, Draft::text(body.to_string()));
            assert!(sent.is_ok());
        }
    }

    /// Drives everything to its end.
    pub(crate) async fn settle(&mut self) {
        self.drive(Duration::from_hours(24)).await;
    }

    /// `aws sqs start-message-move-task` from the dead-letter queue to the retry queue.
    pub(crate) fn redrive(&self) {
        let now = self.cloud.elapsed();
        let queues = &mut self.cloud.lock().queues;
        queues.move_all(now, DEAD_LETTER_QUEUE_URL, RETRY_QUEUE_URL).expect("both queues exist");
    }

    /// The bodies of the messages in the dead-letter queue.
    pub(crate) fn dead_letters(&self) -> Vec<Value> {
        self.bodies(DEAD_LETTER_QUEUE_URL)
    }

    /// The bodies of the messages in the retry queue.
    pub(crate) fn retries(&self) -> Vec<Value> {
        self.bodies(RETRY_QUEUE_URL)
    }

    /// How long each message of the retry queue was hidden when it was sent.
    pub(crate) fn waits(&self) -> Vec<Duration> {
        let cloud = self.cloud.lock();
        let messages = cloud.queues.queues[RETRY_QUEUE_URL].messages.iter();
        messages.map(|message| message.visible_at.saturating_sub(message.sent)).collect()
    }

    /// The message attributes of each dead letter.
    pub(crate) fn dead_letter_attributes(&self) -> Vec<BTreeMap<String, String>> {
        let cloud = self.cloud.lock();
        let messages = cloud.queues.queues[DEAD_LETTER_QUEUE_URL].messages.iter();
        let texts = messages.map(|message| {
            let attributes = message.attributes.iter();
            let texts = attributes.filter_map(|(name, attribute)| {
                Some((name.clone(), attribute.string_value.clone()?))
            });
            texts.collect()
        });
        texts.collect()
    }

    /// Whether nothing waits for a retry or for a person.
    pub(crate) fn queues_are_empty(&self) -> bool {
        self.dead_letters().is_empty() && self.retries().is_empty()
    }

    fn bodies(&self, url: &str) -> Vec<Value> {
        let now = self.cloud.elapsed();
        let state = self.cloud.lock();
        let bodies = state.queues.alive(now, url).map(|message| &message.body);
        bodies.map(|body| serde_json::from_str(body).unwrap_or_else(|_| json!(body))).collect()
    }

    /// The calls of one operation so far.
    pub(crate) fn calls(&self, operation: &str) -> Vec<Call> {
        let state = self.cloud.lock();
        let calls = state.calls.iter().filter(|call| call.operation == operation);
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

    /// How many calls were made so far in one Region.
    pub(crate) fn calls_in(&self, region: &str) -> usize {
        self.cloud.lock().calls.iter().filter(|call| call.region == region).count()
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
        steps.map(|(call, next)| next.at.saturating_sub(call.at)).collect()
    }

    /// How many calls of each operation were made so far.
    pub(crate) fn calls_by_operation(&self) -> BTreeMap<String, usize> {
        let cloud = self.cloud.lock();
        let counts = cloud.calls_by_operation().into_iter();
        counts.map(|(name, count)| (name.to_owned(), count)).collect()
    }

    /// How many calls AWS answered with an error so far.
    pub(crate) fn failed_calls(&self) -> usize {
        let cloud = self.cloud.lock();
        cloud.calls.iter().filter(|call| call.error.is_some()).count()
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

    /// The Organizations policy for GuardDuty that is in force.
    pub(crate) fn has_the_policy(&self, content: &str) {
        self.cloud.lock().organization.policy = Some(content.to_owned());
    }

    /// The members that `CreateMembers` named although `GetMembers` could have said that they were enabled, in all Regions.
    ///
    /// Between a look and the write that follows it, auto-enable may make the member. The function acts on a look for 2 s.
    pub(crate) fn touched_members(&self) -> usize {
        let cloud = self.cloud.lock();
        let touched = cloud.guardduty.values().flat_map(|guardduty| {
            let alone = guardduty.auto_enable == "NONE";
            let ages = guardduty.touched_enabled.iter();
            ages.filter(move |age| alone || **age > Duration::from_secs(2))
        });
        touched.count()
    }

    /// Every invocation was done at its deadline.
    pub(crate) fn expect_no_late_reply(&self) {
        assert_eq!(self.killed, 0, "the function was not done at its deadline");
    }

    /// Whether the account is an enabled member in every Region.
    pub(crate) fn is_enabled_everywhere(&self, account: &str) -> bool {
        self.enabled_regions(account).len() == self.cloud.lock().guardduty.len()
    }
}

/// GuardDuty in one Region of the world.
pub(crate) struct RegionOfWorld<'a> {
    world: &'a World,
    name: &'a str,
}

impl RegionOfWorld<'_> {
    fn with<T>(&self, work: impl FnOnce(&mut GuardDuty) -> T) -> T {
        work(self.world.cloud.lock().guardduty_in(self.name))
    }

    /// Makes an account a member with this status.
    pub(crate) fn set_member(&self, account: &str, status: &str) {
        let member = Member::new("member@example.com", status);
        self.with(|guardduty| guardduty.members.insert(account.to_owned(), member));
    }

    /// Makes the accounts members, and no others.
    pub(crate) fn set_enabled_members(&self, ids: impl Iterator<Item = String>) {
        let member = Member::new("member@example.com", "Enabled");
        self.with(|guardduty| guardduty.members = ids.map(|id| (id, member.clone())).collect());
    }

    /// The address that a member was created with.
    pub(crate) fn member_email(&self, account: &str) -> Option<String> {
        self.with(|guardduty| Some(guardduty.members.get(account)?.email.clone()))
    }

    /// How many members there are, and how many of them are enabled.
    pub(crate) fn count_members(&self) -> (usize, usize) {
        let now = self.world.elapsed();
        self.with(|guardduty| {
            let members = guardduty.members.values();
            let enabled = members.filter(|member| member.status(now) == "Enabled").count();
            (guardduty.members.len(), enabled)
        })
    }

    /// Somebody resumes every suspended member.
    pub(crate) fn resumes_members(&self) {
        self.with(|guardduty| {
            let members = guardduty.members.values_mut();
            for member in members.filter(|member| member.relationship_status == "Disabled") {
                "Enabled".clone_into(&mut member.relationship_status);
            }
        });
    }

    /// The administrator's detector.
    pub(crate) fn detector(&self) -> Option<String> {
        self.with(|guardduty| guardduty.detector_id.clone())
    }

    /// GuardDuty is switched off in the administrator account.
    pub(crate) fn loses_detector(&self) {
        self.with(|guardduty| guardduty.detector_id = None);
    }

    /// GuardDuty is switched off and on again.
    pub(crate) fn replaces_detector(&self) {
        let other = Some("00000000000000000000000000000001".to_owned());
        self.with(|guardduty| guardduty.detector_id = other);
    }

    /// The Region is not enabled for the administrator account.
    pub(crate) fn is_not_enabled(&self) {
        self.with(|guardduty| guardduty.enabled_for_admin = false);
    }

    /// Another account is the delegated administrator.
    pub(crate) fn has_another_administrator(&self) {
        self.with(|guardduty| guardduty.is_administrator = false);
    }

    /// A new member is `Created`, and `Enabled` this much later.
    pub(crate) fn enables_after(&self, delay: Duration) {
        self.with(|guardduty| guardduty.enables_after = delay);
    }

    /// The administrator account opts into a Region that did not exist before.
    pub(crate) fn is_opted_into(&self) {
        self.with(|_| {});
        self.has_opt_status("ENABLED");
    }

    /// What Account Management says of the Region.
    pub(crate) fn has_opt_status(&self, status: &str) {
        let statuses = &mut self.world.cloud.lock().account.statuses;
        statuses.insert(self.name.to_owned(), status.to_owned());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for call in &self.cloud.lock().calls {
            assert!(self.allowed.contains(&call.operation.as_str()), "the function made {call:?}");
        }
    }
}

/// Runs an invocation, if there is one, in an environment; no reply where it is not done at its timeout.
async fn run(
    handler: &Handler,
    run: Option<local_aws::Invocation>,
) -> Option<(local_aws::Invocation, Option<Result<Value, Error>>)> {
    let run = run?;
    let invocation =
        Invocation { request_id: run.request_id.clone(), deadline: Instant::now() + run.timeout };
    let payload = run.payload.to_string();
    let work = Box::pin(handler.handle(&payload, &invocation));
    let reply = tokio::time::timeout(run.timeout, work).await.ok();
    Some((run, reply))
}

fn function_error(diagnostic: Diagnostic) -> FunctionError {
    FunctionError { error_type: diagnostic.error_type, message: diagnostic.error_message }
}

fn handler(cloud: &Cloud, variables: &BTreeMap<String, String>) -> Handler {
    let configuration = Configuration::read(|name| variables.get(name).cloned());
    Handler::new(
        configuration.expect("a good configuration"),
        &settings(in_process::http_client(cloud)),
    )
}

/// The function's own settings, over an AWS in this process instead of the network.
pub(crate) fn settings(http: SharedHttpClient) -> SdkConfig {
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
    let settings = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .http_client(http)
        .build();
    aws::limited(&settings)
}

/// A file of `events/`.
pub(crate) fn event(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("events").join(name);
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
    expected.map(|(outcome, count)| (outcome.to_owned(), count)).into()
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

/// The ids of the first accounts of a large organization.
pub(crate) fn ids(count: usize) -> Vec<String> {
    (0..count).map(id).collect()
}

/// GuardDuty accepts the call, but not the account; SQS accepts the batch, but not the message.
pub(crate) fn unprocessed(text: &str) -> FaultKind {
    FaultKind::Unprocessed(text.to_owned())
}

/// What GuardDuty says of an account during trouble that passes.
pub(crate) fn internal_error() -> FaultKind {
    unprocessed("Internal error")
}

/// An error answer.
pub(crate) fn error(status: u16, code: &str, message: &str) -> FaultKind {
    FaultKind::Error { status, code: Some(code.to_owned()), message: message.to_owned() }
}

/// An error of a proxy, which has no code.
pub(crate) fn bare(status: u16) -> FaultKind {
    FaultKind::Error { status, code: None, message: "no code".to_owned() }
}

/// No answer within any deadline.
pub(crate) fn hangs() -> FaultKind {
    FaultKind::Delay(Duration::from_hours(1))
}

// How AWS is awkward.

impl World {
    /// The account that the function runs in is not a delegated administrator of any service.
    pub(crate) fn organizations_denies(&self) {
        self.cloud.lock().organization.denies = true;
    }
}

impl RegionOfWorld<'_> {
    /// `ListMembers` shows a member as it was this long ago.
    pub(crate) fn lists_late_by(&self, lag: Duration) {
        self.with(|guardduty| guardduty.list_lag = lag);
    }

    /// `CreateMembers` takes this much longer for each account.
    pub(crate) fn takes_per_account(&self, time: Duration) {
        self.with(|guardduty| guardduty.create_latency_per_account = time);
    }

    /// The status of a new member before it is `Enabled`.
    pub(crate) fn new_members_are(&self, status: &str) {
        self.with(|guardduty| status.clone_into(&mut guardduty.first_status));
    }

    /// What a new member ends as, instead of `Enabled`.
    pub(crate) fn new_members_end_as(&self, status: &str) {
        self.with(|guardduty| guardduty.final_status = status.to_owned().into());
    }

    /// The organization's setting of a protection plan.
    pub(crate) fn sets_plan(&self, plan: &'static str, setting: &'static str) {
        self.with(|guardduty| guardduty.plans.insert(plan, setting));
    }

    /// The status of a protection plan of a member.
    pub(crate) fn sets_plan_of(&self, account: &str, plan: &'static str, status: &'static str) {
        let key = (account.to_owned(), plan);
        self.with(|guardduty| guardduty.plans_of_members.insert(key, status));
    }

    /// An Organizations policy manages the plans of members.
    pub(crate) fn has_a_policy(&self) {
        self.with(|guardduty| guardduty.plans_managed_by_policy = true);
    }

    /// A service control policy denies GuardDuty.
    pub(crate) fn is_denied(&self) {
        self.with(|guardduty| guardduty.denied = true);
    }

    /// GuardDuty makes an account a member this long after it has joined.
    pub(crate) fn auto_enables_new_after(&self, delay: Duration) {
        self.auto_enables("NEW", delay);
    }

    /// The same, and each other account this long after the start.
    pub(crate) fn auto_enables_all_after(&self, delay: Duration) {
        self.auto_enables("ALL", delay);
    }

    fn auto_enables(&self, which: &str, delay: Duration) {
        self.with(|guardduty| {
            which.clone_into(&mut guardduty.auto_enable);
            guardduty.auto_enable_after = delay;
        });
    }

    /// Since when `GetMembers` says that the account is `Enabled`.
    pub(crate) fn enabled_since(&self, account: &str) -> Option<Duration> {
        let now = self.world.elapsed();
        self.with(|guardduty| guardduty.members.get(account)?.enabled_since(now))
    }
}

/// What can be wrong with a call of any operation; `slow` is an answer that is late but may still be in time.
pub(crate) fn faults_of_any_call(slow: Duration) -> Vec<FaultKind> {
    let coded = |status, code| error(status, code, "a fault");
    vec![
        coded(400, "ThrottlingException"),
        bare(429),
        coded(400, "BadRequestException"),
        coded(403, "AccessDeniedException"),
        coded(500, "InternalServerErrorException"),
        bare(503),
        FaultKind::Delay(slow),
        FaultKind::Delay(Duration::from_mins(10)),
        FaultKind::Drop { effect: false },
        FaultKind::Drop { effect: true },
        FaultKind::Garbage,
        FaultKind::Empty,
        FaultKind::EmptyChunked,
        FaultKind::Bare,
        coded(403, "NeverHeardOf"),
        error(403, "InvalidSignatureException", "Signature expired: 1 is now earlier than 2"),
        FaultKind::WithoutUnprocessedAccounts,
        internal_error(),
    ]
}
