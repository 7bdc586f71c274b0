//! The real binary as a child process, with Lambda's Runtime API and AWS behind sockets: what it answers, and what it
//! writes: log lines, metrics, and nobody's address in any of them.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use local_aws::loopback::Loopback;
use local_aws::{
    Cloud, Fault, FaultKind, FunctionError, Invocation, MANAGEMENT_ACCOUNT, Member, NEW_ACCOUNT,
    OTHER_ACCOUNT, Setup, TestAuthority, function,
};
use serde_json::{Value, json};

/// What one run of the binary came to.
struct Run {
    replies: Vec<Result<Value, FunctionError>>,
    /// Standard output: JSON lines.
    log: String,
    /// Standard error: what Rust itself prints when the process ends.
    end: String,
}

impl Run {
    fn lines(&self) -> Vec<Value> {
        let lines = self.log.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
            .collect()
    }

    /// The lines in which a member has this value.
    fn lines_with(&self, name: &str, value: &str) -> Vec<Value> {
        let lines = self.lines().into_iter();
        lines.filter(|line| line[name] == value).collect()
    }

    /// The one line with this message.
    fn line(&self, message: &str) -> Value {
        let lines = self.lines_with("message", message);
        assert_eq!(lines.len(), 1, "lines with {message:?}");
        lines[0].clone()
    }

    /// The runbook has a row for each line.
    fn expect_rows_in_the_runbook(&self) {
        let runbook = include_str!("../docs/operations.md");
        let table = runbook.split("\n## Logs\n").nth(1).unwrap();
        let rows: Vec<&str> = table.lines().filter_map(|line| line.strip_prefix("| `")).collect();
        for line in self.lines() {
            let Some(message) = line["message"].as_str() else {
                continue;
            };
            let start = message.split([';', ':']).next().unwrap();
            assert!(rows.iter().any(|row| row.starts_with(start)), "no row for {message:?}");
        }
    }

    fn reply(&self) -> &Value {
        self.replies[0].as_ref().unwrap()
    }

    fn error(&self) -> &FunctionError {
        self.replies[0].as_ref().unwrap_err()
    }

    /// The metrics: the value by name and, if it has one, dimension.
    fn metrics(&self) -> BTreeMap<(String, Option<String>), Value> {
        let mut metrics = BTreeMap::new();
        let lines = self.lines().into_iter();
        for line in lines.filter(|line| line.get("_aws").is_some()) {
            let directive = &line["_aws"]["CloudWatchMetrics"][0];
            assert_eq!(directive["Namespace"], "GuardDutyEnroller");
            let dimensions = directive["Dimensions"][0].as_array().unwrap();
            assert!(dimensions.len() <= 1, "crossed dimensions are paid for one by one: {line}");
            let dimension = dimensions
                .first()
                .map(|name| line[name.as_str().unwrap()].as_str().unwrap().to_owned());
            for metric in directive["Metrics"].as_array().unwrap() {
                let name = metric["Name"].as_str().unwrap();
                metrics.insert((name.to_owned(), dimension.clone()), line[name].clone());
            }
        }
        metrics
    }

    fn metric(&self, name: &str, dimension: Option<&str>) -> Option<Value> {
        let key = (name.to_owned(), dimension.map(str::to_owned));
        self.metrics().remove(&key)
    }
}

/// A small AWS in which something goes wrong.
fn cloud_with(faults: impl IntoIterator<Item = Fault>) -> Cloud {
    let cloud = Cloud::new(&Setup::default());
    cloud.lock().faults.extend(faults);
    cloud
}

/// GuardDuty does not enroll, and says why.
fn not_enabled(text: &str) -> Fault {
    Fault::always("CreateMembers", FaultKind::Unprocessed(text.to_owned()))
}

fn error(operation: &str, code: &str, message: &str) -> Fault {
    let kind =
        FaultKind::Error { status: 400, code: Some(code.to_owned()), message: message.to_owned() };
    Fault::always(operation, kind)
}

fn enroll() -> Value {
    json!({"accounts": [NEW_ACCOUNT]})
}

/// Starts the binary, hands it the payloads one after another, and kills it.
async fn run(cloud: &Cloud, variables: &[(&str, &str)], payloads: &[Value]) -> Run {
    run_with(cloud, None, variables, payloads).await
}

/// The same, with AWS behind TLS where there is an authority for its certificate.
async fn run_with(
    cloud: &Cloud,
    authority: Option<&TestAuthority>,
    variables: &[(&str, &str)],
    payloads: &[Value],
) -> Run {
    let mut loopback = Loopback::start(cloud, 0).await.unwrap();
    let address = loopback.address();
    let endpoint = match authority {
        Some(it) => format!("https://{}", loopback.listen_over_tls(it).await.unwrap()),
        None => format!("http://{address}"),
    };
    let child = function::command(env!("CARGO_BIN_EXE_guardduty-enroller"), address)
        .env("AWS_ENDPOINT_URL", endpoint)
        .envs(variables.iter().copied())
        .spawn()
        .unwrap();
    // Read all the time: a child whose pipe is full waits.
    let output = tokio::spawn(child.wait_with_output());
    let mut replies = Vec::new();
    for (index, payload) in payloads.iter().enumerate() {
        let invocation = Invocation {
            request_id: format!("request-{index}"),
            payload: payload.clone(),
            timeout: Duration::from_mins(1),
            attempt: 1,
        };
        replies.push(loopback.invoke(&invocation).await);
    }
    // Without its Runtime API the function ends by itself.
    drop(loopback);
    let output = output.await.unwrap().unwrap();
    let run = Run {
        replies,
        log: String::from_utf8(output.stdout).unwrap(),
        end: String::from_utf8(output.stderr).unwrap(),
    };
    run.expect_rows_in_the_runbook();
    run
}

// What it answers.

#[tokio::test]
async fn the_real_binary_enrolls_an_account_and_logs_one_summary() {
    let run = run(&cloud_with([]), &[], &[enroll()]).await;
    assert_eq!(run.reply()["accounts"][0]["regions"]["eu-west-1"], json!({"outcome": "enrolled"}));
    let summary = run.line("enrollment attempt ended");
    assert_eq!(summary["level"], "INFO");
    assert_eq!(summary["span"]["requestId"], "request-0");
    assert_eq!((&summary["pairs"], &summary["enrolled"]), (&json!(4), &json!(4)));
    assert!(summary["timestamp"].is_string());
}

#[tokio::test]
async fn the_ledger_says_who_was_protected_by_which_way_and_how_fast() {
    let cloud = cloud_with([not_enabled("must first enable GuardDuty").in_region("us-east-1")]);
    let event: Value =
        serde_json::from_str(include_str!("../events/create-account-result.json")).unwrap();
    let run = run(&cloud, &[], &[event.clone(), enroll()]).await;
    let lines = run.lines_with("message", "ledger: what became of an account");
    let [first, second] = lines.as_slice() else { panic!("{lines:?}") };
    for (name, value) in [
        ("accountId", json!(NEW_ACCOUNT)),
        ("way", json!("event")),
        ("eventId", event["id"].clone()),
        ("since", event["detail"]["eventTime"].clone()),
        ("attempts", json!(1)),
        ("enrolled", json!("ap-southeast-2,eu-central-1,eu-west-1")),
        ("alreadyEnabled", Value::Null),
        ("deadLetters", json!("us-east-1:management-account-not-enabled")),
        ("skipped", Value::Null),
    ] {
        assert_eq!(first[name], value, "{name}");
    }
    assert!(first["seconds"].as_f64().unwrap() > 0.0);
    assert_eq!((&second["way"], &second["seconds"]), (&json!("call"), &Value::Null));
    assert_eq!(second["alreadyEnabled"], "ap-southeast-2,eu-central-1,eu-west-1");
}

#[tokio::test]
async fn a_function_that_cannot_hand_a_pair_on_says_so_to_lambda() {
    let gone = error("SendMessageBatch", "QueueDoesNotExist", "gone");
    let cloud = cloud_with([gone, not_enabled("Internal error")]);
    let run = run(&cloud, &[], &[enroll()]).await;
    let error = run.error();
    assert_eq!(error.error_type, "NotEnqueued");
    assert!(error.message.contains("4 of 4 messages did not reach"), "{}", error.message);
}

#[tokio::test]
async fn what_an_odd_answer_does_to_the_sdk_ends_with_its_invocation() {
    // The SDK's signer panics at a clock that this `Date` has set.
    let date = FaultKind::Date("Fri, 31 Dec 9999 23:59:59 GMT".to_owned());
    for operation in ["ListRegions", "DescribeAccount", "ListDetectors", "GetMembers"] {
        let cloud = cloud_with([Fault::always(operation, date.clone()).first(1)]);
        let run = run(&cloud, &[], &[enroll(), enroll(), enroll()]).await;
        let ended: Vec<_> = run.replies.iter().map(Result::is_ok).collect();
        assert!(ended.iter().filter(|good| !**good).count() <= 1, "{operation}: {ended:?}");
        if let Some(error) = run.replies.iter().find_map(|reply| reply.as_ref().err()) {
            assert_eq!(error.error_type, "Panicked", "{operation}");
        }
        let last = run.replies[2].as_ref().expect("a good end");
        let regions = last["accounts"][0]["regions"].as_object().unwrap();
        for pair in regions.values() {
            let outcome = pair["outcome"].as_str().unwrap();
            assert!(["enrolled", "already-enabled"].contains(&outcome), "{operation}: {last}");
        }
    }
}

#[tokio::test]
async fn a_wrong_configuration_fails_at_start_and_tells_lambda_every_variable() {
    let cloud = cloud_with([]);
    let wrong = [
        ("REGIONS", "eu-wset-1"),
        ("ADMIN_ACCOUNT_ID", "x"),
        ("RESUME_SUSPENDED_MEMBERS", "maybe"),
    ];
    let run = run(&cloud, &wrong, &[enroll()]).await;
    let error = run.error();
    assert_eq!(error.error_type, "InvalidConfiguration");
    for (name, value) in wrong {
        assert!(error.message.contains(&format!("{name} is {value:?}")), "{}", error.message);
        assert!(run.log.contains(name));
    }
    assert!(cloud.lock().calls.is_empty());
}

#[tokio::test]
async fn a_region_and_an_event_that_are_newer_than_the_program_are_warnings() {
    let joined = json!({"detail": {
        "eventSource": "organizations.amazonaws.com", "eventName": "AccountJoinedOrganization"}});
    let redriven = json!({"Records": [{
        "eventSource": "aws:sqs", "messageId": "m", "body": joined.to_string()}]});
    let run =
        run(&cloud_with([]), &[("REGIONS", "eu-west-1,me-west-1")], &[joined, redriven]).await;
    let line = run.line("REGIONS names a Region that this version does not know");
    assert_eq!((&line["level"], &line["region"]), (&json!("WARN"), &json!("me-west-1")));
    let message = "event ignored: an account may have joined, and the next reconcile finds it";
    let lines = run.lines_with("message", message);
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line["level"] == "WARN"));
    assert!(run.replies[0].as_ref().unwrap()["ignored"].is_string());
    let counted = run.lines().into_iter().filter(|line| line["UnknownAnswers"] == 1).count();
    assert_eq!(counted, 2);
}

#[tokio::test]
async fn an_authority_that_is_not_trusted_is_an_error_that_names_the_trust_store() {
    let authority = TestAuthority::new().unwrap();
    let stranger = TestAuthority::new().unwrap();
    // The same wherever the first call goes: to Account Management for the Regions, or to GuardDuty.
    let connect = async |regions, trusted: &TestAuthority, file| {
        let file = std::env::temp_dir().join(format!("trust-{file}-{}.pem", std::process::id()));
        std::fs::write(&file, trusted.certificate()).unwrap();
        let bundle = file.to_str().unwrap();
        let variables = [("REGIONS", regions), ("SSL_CERT_FILE", bundle)];
        let run = run_with(&cloud_with([]), Some(&authority), &variables, &[enroll()]).await;
        std::fs::remove_file(&file).unwrap();
        run
    };
    let (trusted, all, listed) = tokio::join!(
        connect("eu-west-1", &authority, 1),
        connect("all", &stranger, 2),
        connect("eu-west-1", &stranger, 3),
    );
    assert_eq!(
        trusted.reply()["accounts"][0]["regions"]["eu-west-1"],
        json!({"outcome": "enrolled"})
    );
    for run in [all, listed] {
        let error = run.error();
        assert_eq!(error.error_type, "NotEnqueued");
        for part in ["invalid peer certificate", "the trust store is", "SSL_CERT_FILE"] {
            assert!(error.message.contains(part), "{part} in {error:?}");
        }
    }
}

// The lines that it writes.

#[tokio::test]
async fn a_refusal_is_one_error_line_with_account_region_reason_and_text() {
    let text = "cannot create anymore members since it cannot exceed the maximum number of allowed members.";
    let cloud = cloud_with([not_enabled(text).in_region("us-east-1")]);
    let run = run(&cloud, &[], &[enroll()]).await;
    let errors = run.lines_with("level", "ERROR");
    assert_eq!(errors.len(), 1);
    for (name, value) in [
        ("accountId", NEW_ACCOUNT),
        ("region", "us-east-1"),
        ("reason", "member-limit-reached"),
        ("result", text),
    ] {
        assert_eq!(errors[0][name], value);
    }
    assert_eq!(errors[0]["span"]["requestId"], "request-0");
}

#[tokio::test]
async fn a_failed_call_is_a_line_with_its_operation_and_region() {
    let kind = FaultKind::Error {
        status: 403,
        code: Some("AccessDeniedException".to_owned()),
        message: "no".to_owned(),
    };
    let cloud = cloud_with([Fault::always("GetMembers", kind).in_region("us-east-1")]);
    let run = run(&cloud, &[], &[enroll()]).await;
    let line = run.line("a call of AWS failed");
    for (name, value) in [
        ("operation", "GetMembers"),
        ("region", "us-east-1"),
        ("cause", "AccessDeniedException: no"),
    ] {
        assert_eq!(line[name], value);
    }
}

#[tokio::test]
async fn a_failed_invocation_is_one_line_with_its_type_and_message() {
    let run = run(&cloud_with([]), &[], &[json!({})]).await;
    assert_eq!(run.error().error_type, "InvalidEvent");
    let errors = run.lines_with("level", "ERROR");
    assert_eq!(errors.len(), 1, "{errors:?}");
    let message = errors[0]["message"].as_str().unwrap();
    assert!(
        message.starts_with("the invocation failed: InvalidEvent: the event has no detail"),
        "{message}"
    );
}

#[tokio::test]
async fn the_pairs_that_a_reconcile_could_not_enroll_or_that_a_dry_run_found_are_lines() {
    let text = "Never seen before";
    let cloud = cloud_with([not_enabled(text).in_region("eu-west-1")]);
    for (payload, regions, result) in [
        (json!({"reconcile": {"dryRun": true}}), 4, None),
        (json!({"reconcile": {}}), 1, Some(&json!(text))),
    ] {
        let run = run(&cloud, &[], &[payload]).await;
        let pairs = run.lines_with("message", "not enabled after a reconcile");
        assert_eq!(pairs.len(), 3 * regions);
        for pair in pairs {
            assert!(regions == 4 || pair["region"] == "eu-west-1", "{pair}");
            assert_eq!(pair.get("result"), result);
            assert!(pair["accountId"].is_string());
        }
    }
}

#[tokio::test]
async fn a_reconciles_ledger_says_whom_it_enrolled_and_who_had_lost_protection() {
    let cloud = cloud_with([]);
    for region in local_aws::REGIONS {
        let mut state = cloud.lock();
        let members = &mut state.guardduty_in(region).members;
        let status = if region == "eu-west-1" { "Removed" } else { "Enabled" };
        members.insert(NEW_ACCOUNT.to_owned(), Member::new("a@example.com", status));
        members.insert(OTHER_ACCOUNT.to_owned(), Member::new("b@example.com", "Enabled"));
    }
    let run = run(&cloud, &[], &[json!({"reconcile": {}})]).await;
    let lines = run.lines_with("message", "ledger: what became of an account");
    let [missed, lost] = lines.as_slice() else { panic!("{lines:?}") };
    let shown = |line: &Value| {
        ["accountId", "way", "enrolled", "causes", "lost", "missedJoin"]
            .map(|name| line[name].clone())
    };
    let all = "ap-southeast-2,eu-central-1,eu-west-1,us-east-1";
    let absent = "ap-southeast-2:absent,eu-central-1:absent,eu-west-1:absent,us-east-1:absent";
    let expected = [MANAGEMENT_ACCOUNT, "reconcile", all, absent].map(Value::from);
    assert_eq!(shown(missed)[..4], expected);
    assert_eq!(shown(missed)[4..], [Value::Null, json!(true)]);
    let expected = [NEW_ACCOUNT, "reconcile", "eu-west-1", "eu-west-1:removed", "eu-west-1"];
    assert_eq!(shown(lost)[..5], expected.map(Value::from));
    for (metric, value) in [("LostProtection", 1), ("MissedJoins", 1), ("EnrolledByReconcile", 5)] {
        assert_eq!(run.metric(metric, None), Some(json!(value)), "{metric}");
    }
}

#[tokio::test]
async fn no_log_line_of_any_level_shows_an_address() {
    let joined = json!({"id": "e", "detail": {
        "eventSource": "organizations.amazonaws.com", "eventName": "AccountJoinedOrganization",
        "serviceEventDetails": {"accountId": NEW_ACCOUNT, "email": "unmasked@example.com"}}});
    let bad = json!({"accounts": ["someone@example.com"]});
    let ignored = json!({"detail": {"eventSource": "organizations.amazonaws.com", "eventName": "x@example.com"}});
    let payloads = [joined, bad, ignored];
    for level in ["TRACE", "DEBUG", "INFO", "nonsense"] {
        let text = "odd address new-account@example.com";
        let cloud = cloud_with([not_enabled(text).in_region("us-east-1")]);
        let run = run(&cloud, &[("AWS_LAMBDA_LOG_LEVEL", level)], &payloads).await;
        assert!(run.log.contains("enrollment attempt ended"), "{level}: {}", run.log);
        assert!(run.log.contains("<e-mail>"), "{level}: {}", run.log);
        assert!(!run.log.contains("@example.com"), "{level}: {}", run.log);
        assert!(!run.end.contains('@'), "{level}: {}", run.end);
        assert_eq!(run.replies[1].as_ref().unwrap_err().error_type, "InvalidEvent");
        assert!(!format!("{:?}", run.replies).contains('@'));
    }
}

// The metrics that it writes.

#[tokio::test]
async fn an_event_counts_what_became_of_its_pairs_by_reason_and_by_region() {
    let limit = "cannot exceed the maximum number of allowed members";
    let cloud = cloud_with([
        not_enabled("Never seen before").in_region("us-east-1"),
        not_enabled(limit).in_region("eu-west-1"),
    ]);
    let run = run(&cloud, &[], &[enroll()]).await;
    let expected = [
        ("DeadLetters", None, 1),
        ("Enrolled", None, 2),
        ("NotEnabled", Some("eu-west-1"), 1),
        ("NotEnabled", Some("member-limit-reached"), 1),
        ("NotEnabled", Some("unknown"), 1),
        ("NotEnabled", Some("us-east-1"), 1),
        ("UnknownAnswers", None, 1),
    ];
    let expected = expected.map(|(name, dimension, value)| {
        ((name.to_owned(), dimension.map(str::to_owned)), json!(value))
    });
    assert_eq!(run.metrics(), expected.into());
}

#[tokio::test]
async fn an_account_that_is_enabled_everywhere_has_a_time_from_its_event_and_another_has_none() {
    let event = json!({"id": "e", "detail": {
        "eventSource": "organizations.amazonaws.com", "eventName": "AccountJoinedOrganization",
        "eventTime": "2026-01-01T00:00:00Z", "serviceEventDetails": {"accountId": NEW_ACCOUNT}}});
    let fault = not_enabled("Internal error").in_region("eu-west-1");
    for (faults, measured) in [(vec![], true), (vec![fault], false)] {
        let run = run(&cloud_with(faults), &[], &[event.clone(), event.clone()]).await;
        assert_eq!(run.lines_with("message", "enrollment attempt ended").len(), 2);
        let measures = run.log.matches("\"SecondsToProtected\":[").count();
        // The second delivery finds the account enabled: nothing new to measure.
        assert_eq!(measures, usize::from(measured));
        assert_eq!(run.metric("SecondsToProtected", None).is_some(), measured);
    }
}

#[tokio::test]
async fn every_account_of_a_large_batch_is_measured() {
    let ids: Vec<String> = (0..150_u64).map(|n| format!("7{n:011}")).collect();
    let mut setup = Setup::default();
    let accounts = ids.iter().map(|id| (id.clone(), format!("a{id}@example.com")));
    setup.accounts.extend(accounts);
    let cloud = Cloud::new(&setup);
    let records = ids.iter().map(|id| {
        json!({"messageId": id, "receiptHandle": id, "eventSource": "aws:sqs",
            "attributes": {"ApproximateReceiveCount": "1"}, "messageAttributes": {},
            "body": json!({"version": 1, "accountId": id, "region": "eu-west-1", "outcome": "deferred",
                "reason": "internal-error", "result": null, "detectorId": null, "attempts": 1,
                "firstFailedAt": "2026-01-01T00:00:00Z", "lastFailedAt": "2026-01-01T00:00:00Z",
                "eventId": null}).to_string()})
    });
    let batch = json!({"Records": records.collect::<Vec<_>>()});
    let run = run(&cloud, &[], &[batch]).await;
    let lines = run.lines();
    let values = lines.iter().filter_map(|line| line["SecondsToProtected"].as_array());
    assert_eq!(values.map(Vec::len).sum::<usize>(), 150);
}

#[tokio::test]
async fn a_reconcile_reports_its_gap_in_all_and_by_region() {
    let cloud = cloud_with([]);
    cloud.lock().guardduty_in("eu-west-1").detector_id = None;
    let listed = [("REGIONS", "eu-west-1,us-east-1")];
    let run = run(&cloud, &listed, &[json!({"reconcile": {}})]).await;
    for (name, dimension, value) in [
        ("Gap", None, Some(json!([3.0]))),
        ("Gap", Some("eu-west-1"), Some(json!([3.0]))),
        ("Gap", Some("us-east-1"), Some(json!([0.0]))),
        ("UncoveredRegions", None, Some(json!([0.0]))),
        ("Blocked", None, Some(json!(1))),
        ("Enrolled", None, Some(json!(3))),
        ("ReconcileCompleted", None, None),
    ] {
        assert_eq!(run.metric(name, dimension), value, "{name} {dimension:?}");
    }
    assert_eq!(run.lines_with("message", "Region reconciled").len(), 2);
}

#[tokio::test]
async fn an_uncovered_region_is_a_metric_and_a_line_and_no_gap() {
    let cloud = cloud_with([]);
    cloud.lock().guardduty_in("eu-west-1").detector_id = None;
    let run = run(&cloud, &[], &[json!({"reconcile": {}}), enroll()]).await;
    for (name, value) in [
        ("Gap", Some(json!([0.0]))),
        ("UncoveredRegions", Some(json!([1.0]))),
        ("Blocked", None),
        ("ReconcileCompleted", Some(json!(1))),
    ] {
        assert_eq!(run.metric(name, None), value, "{name}");
    }
    let regions = run.lines_with("message", "Region reconciled");
    let uncovered: Vec<_> = regions.iter().filter(|line| line["uncovered"] == true).collect();
    assert_eq!(uncovered.len(), 1);
    assert_eq!(
        (&uncovered[0]["region"], &uncovered[0]["reason"]),
        (&json!("eu-west-1"), &json!("no-detector"))
    );
    let line = run.line("Regions are uncovered: GuardDuty is off, not delegated or denied there");
    assert_eq!(line["regions"], r#"{"eu-west-1":"no-detector"}"#);
}

#[tokio::test]
async fn a_dry_run_reports_what_it_finds() {
    let run = run(&cloud_with([]), &[], &[json!({"reconcile": {"dryRun": true}})]).await;
    for (name, value) in [
        ("Gap", Some(json!([12.0]))),
        ("MissedJoins", None),
        ("Enrolled", None),
        ("ReconcileCompleted", Some(json!(1))),
    ] {
        assert_eq!(run.metric(name, None), value, "{name}");
    }
}

#[tokio::test]
async fn a_complete_reconcile_counts_as_completed() {
    let run = run(&cloud_with([]), &[], &[json!({"reconcile": {}})]).await;
    assert_eq!(run.metric("ReconcileCompleted", None), Some(json!(1)));
}

#[tokio::test]
async fn a_gap_is_reported_once_and_not_again_with_the_next_invocation() {
    let payloads = [json!({"reconcile": {}}), enroll()];
    let run = run(&cloud_with([]), &[], &payloads).await;
    // In all and for each of four Regions.
    assert_eq!(run.log.matches("\"Gap\":[").count(), 1 + 4);
}

#[tokio::test]
async fn a_gap_that_nobody_could_count_is_null_and_no_metric_says_zero() {
    let cloud = cloud_with([error("ListAccounts", "AccessDeniedException", "no")]);
    let run = run(&cloud, &[], &[json!({"reconcile": {}})]).await;
    let report = run.reply();
    assert_eq!((&report["gap"], &report["complete"]), (&Value::Null, &json!(false)));
    let ended = run.line("reconcile ended");
    assert_eq!((ended.get("gap"), &ended["reason"]), (None, &json!("access-denied")));
    let metrics = run.metrics();
    assert!(!metrics.is_empty());
    assert_eq!(metrics.keys().find(|(name, _)| name == "Gap"), None);
}
