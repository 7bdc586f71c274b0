//! The role's permissions are exact: what the function calls, and what AWS does in the role's name. Both ways.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod world;

use std::collections::BTreeSet;

use world::OPERATIONS;

/// What a feature of AWS does with the role, which no test here can see.
const IN_THE_ROLES_NAME: [(&str, &str); 7] = [
    (
        "sqs:ReceiveMessage",
        "the event source mapping polls the retry queue",
    ),
    (
        "sqs:DeleteMessage",
        "the event source mapping deletes what is done",
    ),
    (
        "sqs:GetQueueAttributes",
        "the event source mapping reads the queue's settings",
    ),
    ("logs:CreateLogStream", "Lambda writes the log"),
    ("logs:PutLogEvents", "Lambda writes the log"),
    ("xray:PutTraceSegments", "X-Ray tracing"),
    ("xray:PutTelemetryRecords", "X-Ray tracing"),
];

/// The IAM action of an operation (service authorization reference). A batch has no action of its own.
fn action(operation: &str) -> String {
    let service = match operation {
        "DescribeAccount" => "organizations",
        "ListRegions" => "account",
        "SendMessageBatch" | "ChangeMessageVisibilityBatch" => "sqs",
        _ => "guardduty",
    };
    format!(
        "{service}:{}",
        operation.strip_suffix("Batch").unwrap_or(operation)
    )
}

/// The actions of `EnrollRole` in the template. (The check of the translated template compares the same role once
/// more after AWS's own translator; the role is written out, so the translator adds nothing to it.)
fn granted() -> BTreeSet<String> {
    let template = include_str!("../template.yaml");
    let role = template
        .split("\n  EnrollRole:\n")
        .nth(1)
        .expect("the role");
    let role = role
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with("   "))
        .skip_while(|line| line.trim() != "Policies:");
    let words = role
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(|line| {
            let value = line.trim().trim_start_matches("- ");
            value
                .strip_prefix("Action:")
                .unwrap_or(value)
                .split_whitespace()
        });
    let services = [
        "guardduty:",
        "organizations:",
        "account:",
        "sqs:",
        "logs:",
        "xray:",
    ];
    let actions = words.filter(|word| services.iter().any(|service| word.starts_with(service)));
    actions.map(str::to_owned).collect()
}

#[test]
fn the_role_grants_what_the_function_calls_and_what_aws_does_in_its_name_and_nothing_else() {
    let mut needed: BTreeSet<String> = OPERATIONS.map(action).into();
    needed.extend(IN_THE_ROLES_NAME.map(|(action, _)| action.to_owned()));
    assert_eq!(granted(), needed);
}
