//! Events, messages and answers of AWS that nobody thought of: the samples of `events/` and what the small AWS answers,
//! changed at random. Whatever comes in, the function answers, enrolls no account that the input does not name, and shows
//! no address.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use decisions::configuration::Configuration;
use guardduty_enroller::handler::Handler;
use guardduty_enroller::invocation::Invocation;
use local_aws::in_process::InProcess;
use local_aws::{
    ADMIN_ACCOUNT, Cloud, DEAD_LETTER_QUEUE_URL, Fault, FaultKind, RETRY_QUEUE_URL, Setup,
};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use crate::world::{OPERATIONS, RECONCILE_OPERATIONS, TIMEOUT, World, event, settings};

/// One change of a JSON document, at a place that an index picks.
#[derive(Debug, Clone)]
enum Change {
    Remove(Index),
    Replace(Index, Value),
    /// A part is put into the place of another.
    Move(Index, Index),
    /// A part becomes a text of itself.
    Quote(Index),
}

fn changes() -> impl Strategy<Value = Change> {
    let index = any::<Index>();
    let leaves = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        select(vec![
            json!("someone@example.com"),
            json!("Not Available"),
            json!("555566667777"),
            json!("222222222222"),
            json!("999999999999"),
            json!("1.0"),
            json!(1),
            json!([]),
            json!({}),
        ]),
    ];
    prop_oneof![
        index.prop_map(Change::Remove),
        (any::<Index>(), leaves).prop_map(|(at, value)| Change::Replace(at, value)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Move(from, to)),
        any::<Index>().prop_map(Change::Quote),
    ]
}

/// The JSON pointers of all parts but the document itself.
fn parts(value: &Value, path: &str, parts: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(items) => {
            items.iter().enumerate().map(|(n, value)| (n.to_string(), value)).collect()
        }
        _ => Vec::new(),
    };
    for (name, child) in children {
        let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
        parts.push(path.clone());
        self::parts(child, &path, parts);
    }
}

fn change(document: &mut Value, change: &Change) {
    let mut all = Vec::new();
    parts(document, "", &mut all);
    if all.is_empty() {
        return;
    }
    let pick = |index: &Index| all[index.index(all.len())].as_str();
    match change {
        Change::Remove(at) => {
            let (parent, name) = pick(at).rsplit_once('/').unwrap();
            match document.pointer_mut(parent) {
                Some(Value::Object(members)) => {
                    members.remove(&name.replace("~1", "/").replace("~0", "~"));
                }
                Some(Value::Array(items)) => {
                    items.remove(name.parse().unwrap());
                }
                _ => {}
            }
        }
        Change::Replace(at, value) => *document.pointer_mut(pick(at)).unwrap() = value.clone(),
        Change::Move(from, to) => {
            let part = document.pointer(pick(from)).unwrap().clone();
            *document.pointer_mut(pick(to)).unwrap() = part;
        }
        Change::Quote(at) => {
            let part = document.pointer_mut(pick(at)).unwrap();
            *part = Value::from(part.to_string());
        }
    }
}

/// The names of the samples.
fn samples() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("events");
    let files = std::fs::read_dir(folder).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name != "README.md").collect();
    names.sort();
    names
}

/// A sample with up to four changes.
fn documents() -> impl Strategy<Value = Value> {
    let changes = prop::collection::vec(changes(), 0..5);
    (select(samples()), changes).prop_map(|(name, changes)| {
        let mut document = event(&name);
        for each in &changes {
            change(&mut document, each);
        }
        document
    })
}

/// Runs a check for inputs of a kind, always the same ones.
fn check<T: std::fmt::Debug>(inputs: impl Strategy<Value = T>, check: impl Fn(T)) {
    let config = Config { cases: 256, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[1; 32]);
    let checked = TestRunner::new_with_rng(config, rng).run(&inputs, |input| {
        check(input);
        Ok(())
    });
    if let Err(failure) = checked {
        panic!("{failure}");
    }
}

/// What the function answers to a payload in a fresh world.
fn answer(payload: &str) -> Result<Value, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let world = World::for_any_job(&Setup::default());
        let reply = world.invoke_raw(payload, TIMEOUT).await;
        for call in world.calls("CreateMembers") {
            for account in &call.accounts {
                assert!(is_named(account, payload), "nobody named {account}: {payload}");
            }
        }
        if reply.is_err() {
            assert_eq!(world.all_calls(), 0, "an error, but a call: {payload}");
        }
        reply.map_err(|error| error.to_string())
    })
}

/// A reconcile is for all accounts.
fn is_named(account: &str, payload: &str) -> bool {
    payload.contains(account) || payload.contains("reconcile")
}

#[test]
fn any_changed_sample_is_answered_and_only_named_accounts_are_enrolled() {
    check(documents(), |document| {
        let text = document.to_string();
        if let Err(error) = answer(&text) {
            assert!(error.len() < 2_000 && !error.contains('@'), "{error}");
        }
    });
}

#[test]
fn any_changed_text_of_a_sample_is_answered() {
    let edits = prop::collection::vec((any::<Index>(), any::<char>(), 0..3_u8), 1..4);
    check((select(samples()), edits), |(name, edits)| {
        let mut text: Vec<char> = event(&name).to_string().chars().collect();
        for (at, character, edit) in edits {
            let at = at.index(text.len());
            match edit {
                0 => text[at] = character,
                1 => text.insert(at, character),
                _ => text.truncate(at.max(1)),
            }
        }
        let text: String = text.into_iter().collect();
        let _: Result<Value, String> = answer(&text);
    });
}

#[test]
fn any_changed_sample_as_a_message_is_done_or_stays_and_never_fails_its_batch() {
    check(documents(), |document| {
        let batch = json!({"Records": [{
            "messageId": "m-1",
            "receiptHandle": "r-1",
            "body": document.to_string(),
            "attributes": {"ApproximateReceiveCount": "1"},
            "messageAttributes": {},
            "eventSource": "aws:sqs",
        }]});
        let reply = answer(&batch.to_string());
        let stays = json!({"batchItemFailures": [{"itemIdentifier": "m-1"}]});
        let done = json!({"batchItemFailures": []});
        assert!([Ok(stays), Ok(done)].contains(&reply), "{document}: {reply:?}");
    });
}

/// A part of each address in what follows. It is in nothing that the function shows.
const SECRET: &str = "zqsecret";

/// Values that nobody expects, most of them with an address.
fn hostile() -> impl Strategy<Value = Value> {
    let forms = [
        "zqsecret@example.com",
        "a zqsecret.x@example.com, b",
        "\"zqsecret x\"@example.com",
        "zqsecret%40example.com",
        "{\"email\":\"zqsecret@example.com\"}",
        "{\"email\":\"\\\"x \\\\\\\" zqsecret y\\\"@example.com\"}",
        "zqsecret\\u0040example.com",
        "<m>&quot;zqsecret x&quot;&#64;example.com</m>",
        "zqsecret＠example.com",
        "x@[zqsecret]",
        "../zqsecret@example.com?x=1#y",
    ];
    prop_oneof![
        6 => select(forms.to_vec()).prop_map(Value::from),
        1 => select(forms.to_vec()).prop_map(|form| json!(format!("{form} ").repeat(3_000))),
        1 => Just(json!("x".repeat(100_000))),
        1 => Just(json!(format!("{}{}", "[".repeat(200), "]".repeat(200)))),
        1 => (0..120_usize).prop_map(|depth| (0..depth).fold(json!(1), |inner, _| json!([inner]))),
        2 => select(vec![json!(1e300), json!(-1), json!(u64::MAX), json!(i64::MIN), json!(0.1), json!(""), json!(".."),
            json!("."), json!("\u{0}\n\u{fffe}"), json!("a/b?c#d%"), json!("🦀"), json!(true), json!(null)]),
        2 => select(vec!["ACTIVE", "SUSPENDED", "Enabled", "Disabled", "Created", "NONE", "444455556666", "222222222222",
            "999999999999", "eu-west-9", "us-east-1"]).prop_map(Value::from),
    ]
}

fn hostile_changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        changes(),
        (any::<Index>(), hostile()).prop_map(|(at, value)| Change::Replace(at, value)),
    ]
}

/// Puts a text into the place of each.
fn say(document: &mut Value, text: &str) {
    match document {
        Value::String(old) => text.clone_into(old),
        Value::Array(items) => items.iter_mut().for_each(|item| say(item, text)),
        Value::Object(members) => members.values_mut().for_each(|member| say(member, text)),
        _ => {}
    }
}

/// What happens to an answer of AWS on its way.
#[derive(Debug, Clone)]
enum Lie {
    Body(Vec<Change>),
    /// Each text in the body is this one.
    EachText(String),
    Text(String),
    Status(u16),
    Header(&'static str, String),
    /// The body becomes an error of AWS with this text.
    Error(u16, String, Value),
}

fn lies() -> impl Strategy<Value = Lie> {
    let statuses = vec![200, 204, 301, 400, 403, 404, 413, 429, 500, 503, 599];
    let text =
        || hostile().prop_map(|value| value.as_str().map_or(value.to_string(), str::to_owned));
    let headers = vec![
        "x-amzn-errortype",
        "x-amzn-query-error",
        "x-amzn-requestid",
        "retry-after",
        "content-type",
        "x-amz-retry-after",
        "date",
    ];
    let codes = vec![
        "ThrottlingException",
        "BadRequestException",
        "AccessDeniedException",
        "InternalServerErrorException",
        "AccountNotFoundException",
        "zqsecret@example.com",
        "",
    ];
    prop_oneof![
        6 => prop::collection::vec(hostile_changes(), 1..4).prop_map(Lie::Body),
        1 => text().prop_map(Lie::EachText),
        1 => text().prop_map(Lie::Text),
        1 => select(statuses.clone()).prop_map(Lie::Status),
        1 => (select(headers), text()).prop_map(|(name, text)| Lie::Header(name, text)),
        2 => (select(statuses), select(codes), hostile()).prop_map(|(status, code, text)| Lie::Error(status, code.to_owned(), text)),
    ]
}

/// The small AWS, with some of its answers changed: each by the number of its call.
struct LyingAws {
    cloud: Cloud,
    lies: HashMap<usize, Lie>,
    calls: AtomicUsize,
}

impl std::fmt::Debug for LyingAws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LyingAws")
    }
}

impl HttpConnector for LyingAws {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let answer = InProcess::new(&self.cloud).call(request);
        let lie = self.lies.get(&self.calls.fetch_add(1, Ordering::Relaxed)).cloned();
        HttpConnectorFuture::new(async move {
            let mut response = answer.await?;
            if let Some(lie) = lie {
                lie.change(&mut response);
            }
            Ok(response)
        })
    }
}

impl Lie {
    fn change(self, response: &mut HttpResponse) {
        let set_status = |response: &mut HttpResponse, status: u16| {
            if let Ok(status) = status.try_into() {
                *response.status_mut() = status;
            }
        };
        match self {
            Self::Body(changes) => {
                let body = response.body().bytes().unwrap_or_default();
                if let Ok(mut document) = serde_json::from_slice(body) {
                    for each in &changes {
                        change(&mut document, each);
                    }
                    *response.body_mut() = SdkBody::from(document.to_string());
                }
            }
            Self::EachText(text) => {
                let body = response.body().bytes().unwrap_or_default();
                if let Ok(mut document) = serde_json::from_slice(body) {
                    say(&mut document, &text);
                    *response.body_mut() = SdkBody::from(document.to_string());
                }
            }
            Self::Text(text) => *response.body_mut() = SdkBody::from(text),
            Self::Status(status) => set_status(response, status),
            Self::Header(name, text) => {
                let _: Result<_, _> = response.headers_mut().try_insert(name, text);
            }
            Self::Error(status, code, text) => {
                set_status(response, status);
                let body = json!({"__type": code, "message": text, "Message": text});
                *response.body_mut() = SdkBody::from(body.to_string());
                let _: Result<_, _> = response.headers_mut().try_insert("x-amzn-errortype", code);
            }
        }
    }
}

/// One run: what comes in, and what AWS does.
#[derive(Debug, Clone)]
struct Case {
    payload: String,
    lies: HashMap<usize, Lie>,
    faults: Vec<(String, usize, FaultKind)>,
    regions: &'static str,
}

fn cases() -> impl Strategy<Value = Case> {
    let changed = (select(samples()), prop::collection::vec(hostile_changes(), 0..5)).prop_map(
        |(name, changes)| {
            let mut document = event(&name);
            for each in &changes {
                change(&mut document, each);
            }
            document
        },
    );
    let changed = changed.boxed();
    let record = prop::collection::vec(hostile_changes(), 0..4).prop_map(|changes| {
        let mut record = json!({"version": 1, "accountId": "444455556666", "region": "eu-west-1", "outcome": "deferred",
            "reason": "throttled", "result": "zqsecret@example.com", "detectorId": "d", "attempts": 7,
            "firstFailedAt": "2026-05-28T20:26:39Z", "lastFailedAt": "2026-05-28T20:26:39Z", "eventId": "e",
            "eventTime": null});
        for each in &changes {
 change(&mut record, each);
 }
        record
    });
    let failed = changed.clone().prop_map(|event| {
        json!({"version": "1.0", "timestamp": "2026-05-28T20:26:39Z",
        "requestContext": {"requestId": "zqsecret@example.com"}, "requestPayload": event})
    });
    let body = prop_oneof![1 => changed.clone(), 2 => record, 1 => failed];
    let messages =
        prop::collection::vec((body, prop::collection::vec(hostile_changes(), 0..2)), 1..4);
    let batch = messages.prop_map(|messages| {
        let records = messages.into_iter().enumerate().map(|(number, (body, changes))| {
            let mut record = json!({"messageId": format!("m-{number}"), "receiptHandle": format!("receipt-{number}"),
                "body": body.to_string(), "attributes": {"ApproximateReceiveCount": "1"}, "eventSource": "aws:sqs"});
            for each in &changes {
 change(&mut record, each);
 }
            record["eventSource"] = json!("aws:sqs");
            record
        });
        json!({"Records": records.collect::<Vec<_>>()})
    });
    let good = select(vec![
        json!({"accounts": ["444455556666", "555566667777"]}),
        json!({"reconcile": {}}),
    ]);
    let payload = prop_oneof![2 => changed.prop_map(|v| v.to_string()), 4 => batch.prop_map(|v| v.to_string()),
        3 => good.prop_map(|v| v.to_string()),
        1 => Just(format!("{}1{}", "{\"detail\":".repeat(500), "}".repeat(500)))];
    let lies = prop::collection::hash_map(0..20_usize, lies(), 0..5);
    let text = || hostile().prop_map(|value| value.as_str().unwrap_or_default().to_owned());
    let kinds = prop_oneof![
        Just(FaultKind::Garbage),
        Just(FaultKind::Empty),
        Just(FaultKind::WithoutUnprocessedAccounts),
        text().prop_map(FaultKind::Unprocessed),
        (400..600_u16, prop::option::of(text()), text())
            .prop_map(|(status, code, message)| FaultKind::Error { status, code, message }),
    ];
    let faults = prop::collection::vec(
        (
            select([&OPERATIONS[..], &RECONCILE_OPERATIONS].concat()).prop_map(str::to_owned),
            1..4_usize,
            kinds,
        ),
        0..3,
    );
    (payload, lies, faults, select(vec!["", "all", "eu-west-1"]))
        .prop_map(|(payload, lies, faults, regions)| Case { payload, lies, faults, regions })
}

/// What the small AWS answers to a request that no client should make.
const MALFORMED: [&str; 12] = [
    "SerializationException",
    "UnknownOperationException",
    "MissingAuthenticationTokenException",
    "ValidationException",
    "InvalidMessageContents",
    "BatchRequestTooLong",
    "TooManyEntriesInBatchRequest",
    "EmptyBatchRequest",
    "BatchEntryIdsNotDistinct",
    "InvalidBatchEntryId",
    "MissingParameter",
    "InvalidParameterValue",
];

/// Keeps the log lines of a run.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Case {
    fn cloud(&self) -> Cloud {
        let mut setup = Setup::default();
        for (_, email) in &mut setup.accounts {
            *email = format!("{SECRET}.{email}");
        }
        let cloud = Cloud::new(&setup);
        for (operation, from, kind) in &self.faults {
            cloud.lock().faults.push(Fault::always(operation, kind.clone()).from(*from).first(3));
        }
        cloud
    }

    fn handler(&self, cloud: &Cloud) -> Handler {
        let aws = SharedHttpConnector::new(LyingAws {
            cloud: cloud.clone(),
            lies: self.lies.clone(),
            calls: AtomicUsize::default(),
        });
        let _ = cloud.start();
        let variables = BTreeMap::from([
            ("ADMIN_ACCOUNT_ID", ADMIN_ACCOUNT),
            ("DEAD_LETTER_QUEUE_URL", DEAD_LETTER_QUEUE_URL),
            ("RETRY_QUEUE_URL", RETRY_QUEUE_URL),
            ("REGIONS", self.regions),
            ("RESUME_SUSPENDED_MEMBERS", "true"),
        ]);
        let set = |name: &str| {
            variables.get(name).filter(|value| !value.is_empty()).map(ToString::to_string)
        };
        Handler::new(
            Configuration::read(set).expect("a good configuration"),
            &settings(http_client_fn(move |_, _| aws.clone())),
        )
    }

    /// What is wrong with the run.
    fn problems(&self) -> Vec<String> {
        let cloud = self.cloud();
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing::Level::INFO)
            .with_writer(move || writer.clone())
            .finish();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let run = async {
            let handler = self.handler(&cloud);
            let deadline = tokio::time::Instant::now() + TIMEOUT;
            let invocation = Invocation { request_id: "request-1".to_owned(), deadline };
            let work = Box::pin(handler.handle(&self.payload, &invocation));
            let reply = tokio::time::timeout(TIMEOUT, work).await;
            (reply, format!("{handler:?}"))
        };
        let ran = catch_unwind(AssertUnwindSafe(|| {
            tracing::subscriber::with_default(log, || runtime.expect("a runtime").block_on(run))
        }));
        let Ok((reply, debug)) = ran else {
            return vec!["a panic".to_owned()];
        };
        let mut problems = Vec::new();
        let lines = String::from_utf8_lossy(&lines.0.lock().unwrap()).into_owned();
        let mut shown = vec![("log", lines), ("debug", debug)];
        match reply {
            Err(_) => problems.push("no answer in time".to_owned()),
            Ok(Ok(reply)) => shown.push(("reply", reply.to_string())),
            Ok(Err(error)) => {
                let text = error.to_string();
                if text.len() > 10_000 {
                    problems.push("an error that is too long".to_owned());
                }
                shown.push(("error", text));
                shown.push(("error", format!("{error:?}")));
            }
        }
        let cloud = cloud.lock();
        for (url, queue) in &cloud.queues.queues {
            for message in &queue.messages {
                if message.body.len() > 20_000 {
                    problems.push("a record that is too long".to_owned());
                }
                shown.push(("record", format!("{url} {} {:?}", message.body, message.attributes)));
            }
        }
        for (place, text) in shown {
            if let Some(at) = text.find(SECRET) {
                let around: String = text[..at].chars().rev().take(60).collect();
                let around: String = around.chars().rev().collect();
                let key = around
                    .rsplit_once("\":")
                    .map_or("", |(before, _)| before)
                    .rsplit('"')
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                problems.push(format!("an address in {place}: {key}"));
            }
            if place != "debug" && text.lines().any(|line| line.len() > 200_000) {
                problems.push(format!("{place} is too long"));
            }
        }
        for call in &cloud.calls {
            if let Some(error) =
                call.error.as_deref().filter(|error| !call.fault && MALFORMED.contains(error))
            {
                problems.push(format!("a malformed {} {}: {error}", call.service, call.operation));
            }
            if call.operation == "CreateMembers"
                && !call.accounts.iter().all(|account| is_named(account, &self.payload))
            {
                problems.push("an account that nobody named".to_owned());
            }
        }
        problems.sort();
        problems.dedup();
        problems
    }
}

/// Outside the default run: `FUZZ_CASES=20000 cargo test --release --test spec fuzz -- --ignored --nocapture`. Each run has
/// other inputs.
#[test]
#[ignore = "minutes, and never the same inputs"]
fn fuzz_any_input() {
    let cases_wanted =
        std::env::var("FUZZ_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let start = Instant::now();
    let found: Mutex<BTreeMap<String, (usize, String)>> = Mutex::default();
    let part = || {
        let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
        for _ in 0..usize::div_ceil(cases_wanted, threads) {
            let case = cases().new_tree(&mut runner).expect("a case").current();
            for problem in case.problems() {
                let input = format!("{case:?}");
                let mut found = found.lock().unwrap();
                let (count, smallest) = found.entry(problem).or_insert((0, input.clone()));
                *count += 1;
                if input.len() < smallest.len() {
                    *smallest = input;
                }
            }
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(part))));
    let found = found.into_inner().unwrap();
    println!(
        "fuzz: {cases_wanted} inputs, {} s, {} kinds of problems",
        start.elapsed().as_secs(),
        found.len()
    );
    for (problem, (count, smallest)) in &found {
        println!("{count} × {problem}: {smallest:.1500}");
    }
    assert!(found.is_empty());
}

#[test]
fn any_changed_answer_of_aws_is_borne_and_shows_no_address() {
    check(cases(), |case| assert_eq!(case.problems(), Vec::<String>::new()));
}

#[test]
fn no_text_of_an_answer_is_shown_with_an_address_and_none_is_too_long() {
    let texts =
        [format!("{SECRET}@example.com"), format!("{SECRET}%40example.com"), "x".repeat(100_000)];
    for payload in ["{\"accounts\": [\"444455556666\"]}", "{\"reconcile\": {}}"] {
        for text in &texts {
            let error = Lie::Error(400, text.clone(), json!(text));
            for (lie, call) in [Lie::EachText(text.clone()), error]
                .iter()
                .flat_map(|lie| (0..16).map(move |call| (lie, call)))
            {
                let case = Case {
                    payload: payload.to_owned(),
                    lies: HashMap::from([(call, lie.clone())]),
                    faults: Vec::new(),
                    regions: "eu-west-1",
                };
                assert_eq!(case.problems(), Vec::<String>::new(), "call {call}: {lie:.200?}");
            }
        }
    }
}

#[test]
fn no_page_token_is_too_long_for_a_url() {
    let mut case = Case {
        payload: "{\"reconcile\": {}}".to_owned(),
        lies: HashMap::new(),
        faults: Vec::new(),
        regions: "eu-west-1",
    };
    for call in 0..8 {
        let page = json!({"members": [], "nextToken": "x".repeat(100_000)});
        case.lies = HashMap::from([(call, Lie::Text(page.to_string()))]);
        assert_eq!(case.problems(), Vec::<String>::new(), "call {call}");
    }
}
