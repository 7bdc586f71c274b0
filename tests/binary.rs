//! The real binary as a child process: start, Runtime API, log lines, and nobody's address in them.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::process::Stdio;
use std::time::Duration;

use local_aws::loopback::Loopback;
use local_aws::{
    ADMIN_ACCOUNT, Cloud, DEAD_LETTER_QUEUE_URL, Fault, FaultKind, FunctionError, Invocation,
    NEW_ACCOUNT, RETRY_QUEUE_URL, Setup,
};
use serde_json::{Value, json};
use tokio::process::Command;

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
}

/// Starts the binary, hands it the payloads one after another, and kills it.
async fn run(cloud: &Cloud, variables: &[(&str, &str)], payloads: &[Value]) -> Run {
    let arn = "arn:aws:lambda:eu-west-1:222222222222:function:guardduty-enroller";
    let mut loopback = Loopback::start(cloud, 0, arn).await.unwrap();
    let address = loopback.address();
    let child = Command::new(env!("CARGO_BIN_EXE_guardduty-enroller"))
        .env_clear()
        .envs([
            ("AWS_ENDPOINT_URL", format!("http://{address}")),
            ("AWS_LAMBDA_RUNTIME_API", address.to_string()),
        ])
        .envs([
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_LAMBDA_FUNCTION_NAME", "guardduty-enroller"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
            ("ADMIN_ACCOUNT_ID", ADMIN_ACCOUNT),
            ("DEAD_LETTER_QUEUE_URL", DEAD_LETTER_QUEUE_URL),
            ("RETRY_QUEUE_URL", RETRY_QUEUE_URL),
        ])
        .envs(variables.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
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
    let output = child.wait_with_output().await.unwrap();
    Run {
        replies,
        log: String::from_utf8(output.stdout).unwrap(),
        end: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test]
async fn the_real_binary_enrolls_an_account_and_logs_one_summary() {
    let cloud = Cloud::new(&Setup::default());
    let run = run(&cloud, &[], &[json!({"accounts": [NEW_ACCOUNT]})]).await;
    let reply = run.replies[0].as_ref().unwrap();
    assert_eq!(
        reply["accounts"][0]["regions"]["eu-west-1"],
        json!({"outcome": "enrolled"})
    );
    let lines = run.lines();
    let summary = lines
        .iter()
        .find(|line| line["message"] == "summary")
        .expect("a summary");
    assert_eq!(summary["level"], "INFO");
    assert_eq!(summary["span"]["requestId"], "request-0");
    assert_eq!(
        (&summary["pairs"], &summary["enrolled"]),
        (&json!(4), &json!(4))
    );
    assert!(summary["timestamp"].is_string());
}

#[tokio::test]
async fn a_refusal_is_one_error_line_with_account_region_reason_and_text() {
    let cloud = Cloud::new(&Setup::default());
    let text = "cannot create anymore members since it cannot exceed the maximum number of allowed members.";
    cloud.lock().faults.push(
        Fault::always("CreateMembers", FaultKind::Unprocessed(text.to_owned()))
            .in_region("us-east-1"),
    );
    let run = run(&cloud, &[], &[json!({"accounts": [NEW_ACCOUNT]})]).await;
    let lines = run.lines();
    let errors: Vec<&Value> = lines
        .iter()
        .filter(|line| line["level"] == "ERROR")
        .collect();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0]["accountId"], NEW_ACCOUNT);
    assert_eq!(errors[0]["region"], "us-east-1");
    assert_eq!(errors[0]["reason"], "member-limit-reached");
    assert_eq!(errors[0]["result"], text);
    assert_eq!(errors[0]["span"]["requestId"], "request-0");
}

#[tokio::test]
async fn an_unknown_answer_is_a_line_that_the_templates_metric_filter_counts() {
    let pattern = r#"FilterPattern: '{ $.level = "WARN" && $.reason = "unknown" }'"#;
    assert!(include_str!("../template.yaml").contains(pattern));
    let cloud = Cloud::new(&Setup::default());
    let texts =
        ["Never seen before", "Internal error"].map(|text| FaultKind::Unprocessed(text.to_owned()));
    for (kind, region) in texts.into_iter().zip(["us-east-1", "eu-west-1"]) {
        let fault = Fault::always("CreateMembers", kind).in_region(region);
        cloud.lock().faults.push(fault);
    }
    let run = run(&cloud, &[], &[json!({"accounts": [NEW_ACCOUNT]})]).await;
    let lines = run.lines();
    let counted = |line: &&Value| line["level"] == "WARN" && line["reason"] == "unknown";
    let counted: Vec<&Value> = lines.iter().filter(counted).collect();
    assert_eq!(counted.len(), 1);
    assert_eq!(counted[0]["result"], "Never seen before");
}

#[tokio::test]
async fn no_log_line_of_any_level_shows_an_address() {
    for level in ["TRACE", "DEBUG", "INFO", "nonsense"] {
        let cloud = Cloud::new(&Setup::default());
        let text = "odd address new-account@example.com".to_owned();
        cloud.lock().faults.push(
            Fault::always("CreateMembers", FaultKind::Unprocessed(text)).in_region("us-east-1"),
        );
        let joined = json!({"id": "e", "detail": {
            "eventSource": "organizations.amazonaws.com", "eventName": "AccountJoinedOrganization",
            "serviceEventDetails": {"accountId": NEW_ACCOUNT, "email": "unmasked@example.com"}}});
        let bad = json!({"accounts": ["someone@example.com"]});
        let ignored = json!({"detail": {"eventSource": "organizations.amazonaws.com", "eventName": "x@example.com"}});
        let run = run(
            &cloud,
            &[("AWS_LAMBDA_LOG_LEVEL", level)],
            &[joined, bad, ignored],
        )
        .await;
        assert!(run.log.contains("summary"), "{level}: {}", run.log);
        assert!(run.log.contains("<e-mail>"), "{level}: {}", run.log);
        assert!(!run.log.contains("@example.com"), "{level}: {}", run.log);
        assert!(!run.end.contains('@'), "{level}: {}", run.end);
        assert_eq!(
            run.replies[1].as_ref().unwrap_err().error_type,
            "InvalidEvent"
        );
        assert!(!format!("{:?}", run.replies).contains('@'));
    }
}

#[tokio::test]
async fn a_wrong_configuration_fails_at_start_and_tells_lambda_every_variable() {
    let cloud = Cloud::new(&Setup::default());
    let wrong = [
        ("REGIONS", "eu-wset-1"),
        ("ADMIN_ACCOUNT_ID", "x"),
        ("RESUME_SUSPENDED_MEMBERS", "maybe"),
    ];
    let run = run(&cloud, &wrong, &[json!({"accounts": [NEW_ACCOUNT]})]).await;
    let error = run.replies[0].as_ref().unwrap_err();
    assert_eq!(error.error_type, "InvalidConfiguration");
    for (name, value) in wrong {
        assert!(
            error.message.contains(&format!("{name} is {value:?}")),
            "{}",
            error.message
        );
        assert!(run.log.contains(name));
    }
    assert!(cloud.lock().calls.is_empty());
}

#[tokio::test]
async fn a_function_that_cannot_hand_a_pair_on_says_so_to_lambda() {
    let cloud = Cloud::new(&Setup::default());
    let down = |operation| {
        let kind = FaultKind::Error {
            status: 400,
            code: Some("QueueDoesNotExist".to_owned()),
            message: "gone".to_owned(),
        };
        Fault::always(operation, kind)
    };
    let faults = [
        down("SendMessageBatch"),
        Fault::always(
            "CreateMembers",
            FaultKind::Unprocessed("Internal error".to_owned()),
        ),
    ];
    cloud.lock().faults.extend(faults);
    let run = run(&cloud, &[], &[json!({"accounts": [NEW_ACCOUNT]})]).await;
    let error = run.replies[0].as_ref().unwrap_err();
    assert_eq!(error.error_type, "NotHandedOn");
    assert!(
        error.message.contains("4 of 4 messages did not reach"),
        "{}",
        error.message
    );
}
