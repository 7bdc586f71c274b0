//! Each role's permissions are exact: what its function calls, and what AWS does in the role's name. Both ways.

use std::collections::BTreeSet;

use crate::world::{OPERATIONS, RECONCILE_OPERATIONS};

/// What the event source mapping and SQS do with `EnrollRole`, which no test here can see.
const BY_THE_QUEUES: [(&str, &str); 5] = [
    ("sqs:ReceiveMessage", "the event source mapping polls the retry queue"),
    ("sqs:DeleteMessage", "the event source mapping deletes what is done"),
    ("sqs:GetQueueAttributes", "the event source mapping reads the queue's settings"),
    ("kms:Decrypt", "SQS decrypts messages, with `KmsKeyArn`"),
    ("kms:GenerateDataKey", "SQS encrypts messages, with `KmsKeyArn`"),
];

/// What Lambda does with each role, which no test here can see either.
const BY_LAMBDA: [(&str, &str); 4] = [
    ("logs:CreateLogStream", "Lambda writes the log"),
    ("logs:PutLogEvents", "Lambda writes the log"),
    ("xray:PutTraceSegments", "X-Ray tracing"),
    ("xray:PutTelemetryRecords", "X-Ray tracing"),
];

/// The IAM action of an operation (service authorization reference). A batch has no action of its own.
fn action(operation: &str) -> String {
    let service = match operation {
        "DescribeAccount" | "DescribeEffectivePolicy" | "ListAccounts" => "organizations",
        "ListRegions" => "account",
        "SendMessageBatch" | "ChangeMessageVisibilityBatch" => "sqs",
        _ => "guardduty",
    };
    format!("{service}:{}", operation.strip_suffix("Batch").unwrap_or(operation))
}

/// The actions of a role in the template.
fn granted(role: &str) -> BTreeSet<String> {
    let template = include_str!("../../template.yaml");
    let role = template.split(&format!("\n  {role}:\n")).nth(1).expect("the role");
    let role = role
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with("   "))
        .skip_while(|line| line.trim() != "Policies:");
    let words = role.filter(|line| !line.trim_start().starts_with('#')).flat_map(|line| {
        let value = line.trim().trim_start_matches("- ");
        value.strip_prefix("Action:").unwrap_or(value).split_whitespace()
    });
    let services = ["guardduty:", "organizations:", "account:", "sqs:", "logs:", "xray:", "kms:"];
    let actions = words.filter(|word| services.iter().any(|service| word.starts_with(service)));
    actions.map(str::to_owned).collect()
}

/// The actions that a role must grant for these operations and for what AWS does in its name.
fn needed(operations: &[&str], in_its_name: &[(&str, &str)]) -> BTreeSet<String> {
    let calls = operations.iter().map(|operation| action(operation));
    let others = in_its_name.iter().chain(&BY_LAMBDA);
    calls.chain(others.map(|(action, _)| (*action).to_owned())).collect()
}

#[test]
fn the_enroll_role_grants_what_the_function_calls_and_what_aws_does_in_its_name_and_nothing_else() {
    assert_eq!(granted("EnrollRole"), needed(&OPERATIONS, &BY_THE_QUEUES));
}

#[test]
fn the_reconcile_role_grants_what_a_reconcile_calls_and_what_lambda_does_in_its_name_and_nothing_else()
 {
    assert_eq!(granted("ReconcileRole"), needed(&RECONCILE_OPERATIONS, &[]));
}
