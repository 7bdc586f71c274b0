#!/usr/bin/env python3
"""Checks what a linter cannot know: that the parts of the templates fit each other.

Translates template.yaml as CloudFormation would (offline, no AWS account) and compares the result with what the
function relies on. Prints each finding; exits with 1 where there is one.

Usage: check_template.py [REPOSITORY]
"""

import json
import logging
import os
import sys
from pathlib import Path

# The translator asks for the Region only to name the partition in ARNs that these templates do not use.
os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")

from samtranslator.translator.transform import transform  # noqa: E402
from samtranslator.yaml_helper import yaml_parse  # noqa: E402

# It warns of metrics about itself that nobody collects here.
logging.getLogger("samtranslator").setLevel(logging.ERROR)

# Everything that the function may do. A new action belongs here, in the template and in the documentation.
ALWAYS = {
    "guardduty:ListDetectors",
    "guardduty:GetMembers",
    "guardduty:CreateMembers",
    "organizations:DescribeAccount",
    "account:ListRegions",
    "sqs:SendMessage",
    "sqs:ChangeMessageVisibility",
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
}
WITH_RESUMING = {"guardduty:StartMonitoringMembers"}
# The actions that AWS lets nobody narrow to a resource.
UNSCOPED = {
    "guardduty:ListDetectors",
    "guardduty:GetMembers",
    "guardduty:CreateMembers",
    "guardduty:StartMonitoringMembers",
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
}
ENVIRONMENT = {
    "ADMIN_ACCOUNT_ID": {"Ref": "AWS::AccountId"},
    "REGIONS": {"Ref": "Regions"},
    "EXCLUDED_ACCOUNTS": {"Ref": "ExcludedAccounts"},
    "RESUME_SUSPENDED_MEMBERS": {"Ref": "ResumeSuspendedMembers"},
    "DEAD_LETTER_QUEUE_URL": {"Fn::GetAtt": ["DeadLetterQueue", "QueueUrl"]},
    "RETRY_QUEUE_URL": {"Fn::GetAtt": ["RetryQueue", "QueueUrl"]},
}
OUTPUTS = {
    "EventBusArn",
    "FunctionName",
    "DeadLetterQueueUrl",
    "DeadLetterQueueArn",
    "RetryQueueUrl",
    "RetryQueueArn",
}
# The samples that both rules must pass on; every other sample they must not.
JOINS = {
    "account-joined-created.json",
    "account-joined-invited.json",
    "controltower-create-managed-account-failed.json",
    "controltower-create-managed-account.json",
    "controltower-update-managed-account.json",
    "create-account-result-failed.json",
    "create-account-result-string-details.json",
    "create-account-result.json",
}
DAYS = 24 * 60 * 60

findings = []


def check(holds, expectation):
    if not holds:
        findings.append(expectation)


def equal(found, expected, what):
    shown = sorted(found) if isinstance(found, set) else found
    wanted = sorted(expected) if isinstance(expected, set) else expected
    check(
        found == expected,
        f"{what}: expected {json.dumps(wanted)}, found {json.dumps(shown)}",
    )


def arn(name):
    return {"Fn::GetAtt": [name, "Arn"]}


def listed(value):
    return value if isinstance(value, list) else [value]


class NoManagedPolicies:
    """The role names no managed policy, so there is none to look up."""

    def load(self):
        return {}


def translated(text):
    template = yaml_parse(text)
    # Deploying uploads the code first; the translator takes only the address of an upload.
    template["Resources"]["EnrollFunction"]["Properties"]["CodeUri"] = "s3://bucket/key"
    return transform(template, {}, NoManagedPolicies())


def the_only(resources, kind):
    """The one resource of a type, or an end with a reason: without it nothing below can be checked."""
    found = [name for name, resource in resources.items() if resource["Type"] == kind]
    if len(found) != 1:
        sys.exit(f"expected one {kind}, found {found}")
    return found[0], resources[found[0]]["Properties"]


def matches(pattern, event):
    """EventBridge's matching, as far as the rules use it: lists of exact values."""
    if isinstance(pattern, dict):
        return isinstance(event, dict) and all(
            key in event and matches(inner, event[key]) for key, inner in pattern.items()
        )
    return event in pattern


def check_function(resources):
    name, function = the_only(resources, "AWS::Lambda::Function")
    equal(function["Handler"], "bootstrap", "the function's handler")
    equal(function["Runtime"], "provided.al2023", "the function's runtime")
    equal(function["Role"], arn("EnrollRole"), "the function's role")
    equal(
        function.get("Architectures"),
        [{"Ref": "Architecture"}],
        "the function's processor",
    )
    equal(
        function["Environment"]["Variables"],
        ENVIRONMENT,
        "the function's environment variables",
    )
    equal(
        function["LoggingConfig"],
        {
            "LogFormat": "JSON",
            "ApplicationLogLevel": {"Ref": "LogLevel"},
            "SystemLogLevel": "INFO",
            "LogGroup": {"Ref": "EnrollLogGroup"},
        },
        "the function's logging",
    )
    check(
        "ReservedConcurrentExecutions" not in function,
        "the function has no reserved concurrency",
    )

    _, invoke = the_only(resources, "AWS::Lambda::EventInvokeConfig")
    equal(invoke["FunctionName"], {"Ref": name}, "the invoke configuration's function")
    equal(invoke["MaximumRetryAttempts"], 2, "tries after the first of an event")
    equal(invoke["MaximumEventAgeInSeconds"], 21600, "the oldest event that is tried")
    equal(
        invoke["DestinationConfig"].get("OnFailure", {}).get("Destination"),
        arn("DeadLetterQueue"),
        "the on-failure destination",
    )
    return name, function


def check_queues(resources, function_name, function):
    dead_letters = resources["DeadLetterQueue"]["Properties"]
    retries = resources["RetryQueue"]["Properties"]
    for name, queue in [("DeadLetterQueue", dead_letters), ("RetryQueue", retries)]:
        equal(queue.get("SqsManagedSseEnabled"), True, f"{name}: SqsManagedSseEnabled")
    equal(
        dead_letters.get("MessageRetentionPeriod"),
        14 * DAYS,
        "DeadLetterQueue: MessageRetentionPeriod",
    )
    equal(
        retries.get("MessageRetentionPeriod"),
        4 * DAYS,
        "RetryQueue: MessageRetentionPeriod",
    )
    equal(
        retries.get("RedrivePolicy"),
        {"deadLetterTargetArn": arn("DeadLetterQueue"), "maxReceiveCount": 12},
        "RetryQueue: RedrivePolicy",
    )
    equal(
        dead_letters.get("RedriveAllowPolicy"),
        {"redrivePermission": "allowAll"},
        "DeadLetterQueue: RedriveAllowPolicy",
    )
    check(
        "RedrivePolicy" not in dead_letters,
        "DeadLetterQueue: no RedrivePolicy, it is the end",
    )
    equal(
        resources["DeadLetterQueue"].get("DeletionPolicy"),
        "RetainExceptOnCreate",
        "DeadLetterQueue: DeletionPolicy",
    )

    _, mapping = the_only(resources, "AWS::Lambda::EventSourceMapping")
    equal(mapping["EventSourceArn"], arn("RetryQueue"), "the mapping's queue")
    equal(mapping["FunctionName"], {"Ref": function_name}, "the mapping's function")
    equal(
        mapping.get("FunctionResponseTypes"),
        ["ReportBatchItemFailures"],
        "the mapping's response types",
    )
    equal(
        mapping.get("ScalingConfig"),
        {"MaximumConcurrency": 2},
        "the mapping's concurrency",
    )
    window = mapping.get("MaximumBatchingWindowInSeconds", 0)
    check(
        mapping["BatchSize"] <= 10 or window >= 1,
        "the mapping: a batch of more than 10 needs a window of at least 1 s",
    )
    least = 6 * function["Timeout"] + window
    check(
        retries.get("VisibilityTimeout", 30) >= least,
        f"RetryQueue: VisibilityTimeout is at least {least} s (6 x timeout + window)",
    )


def check_queue_policy(resources, name, allowed_rule):
    policies = [
        resource["Properties"]
        for resource in resources.values()
        if resource["Type"] == "AWS::SQS::QueuePolicy"
        and resource["Properties"]["Queues"] == [{"Ref": name}]
    ]
    if len(policies) != 1:
        findings.append(f"{name}: expected one queue policy, found {len(policies)}")
        return
    statements = policies[0]["PolicyDocument"]["Statement"]
    allowing = [statement for statement in statements if statement["Effect"] == "Allow"]
    expected = []
    if allowed_rule:
        expected.append(
            {
                "Sid": "UndeliveredEvents",
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": arn(name),
                "Condition": {"ArnEquals": {"aws:SourceArn": arn(allowed_rule)}},
            }
        )
    equal(allowing, expected, f"{name}: who may send by the queue's policy")
    denying = [statement for statement in statements if statement["Effect"] == "Deny"]
    equal(
        denying,
        [
            {
                "Sid": "TlsOnly",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "sqs:*",
                "Resource": arn(name),
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ],
        f"{name}: what the queue's policy denies",
    )


def check_rule(resources, target, dead_letters):
    """The delivery of the one rule; returns its pattern."""
    _, rule = the_only(resources, "AWS::Events::Rule")
    equal(len(rule["Targets"]), 1, "targets of the rule")
    (found,) = rule["Targets"][:1]
    equal(found["Arn"], target, "the rule's target")
    equal(
        found.get("DeadLetterConfig"),
        {"Arn": arn(dead_letters)},
        "the rule's dead-letter queue",
    )
    equal(
        found.get("RetryPolicy"),
        {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185},
        "the rule's retry policy",
    )
    return rule, found


def check_bus(resources, function_name):
    bus, _ = the_only(resources, "AWS::Events::EventBus")
    _, policy = the_only(resources, "AWS::Events::EventBusPolicy")
    equal(policy["EventBusName"], {"Ref": bus}, "the bus policy's bus")
    equal(
        policy["Statement"],
        {
            "Effect": "Allow",
            "Principal": {
                "AWS": {
                    "Fn::Sub": "arn:${AWS::Partition}:iam::${ManagementAccountId}:root"
                }
            },
            "Action": "events:PutEvents",
            "Resource": arn(bus),
        },
        "who may send to the bus",
    )
    rule, _ = check_rule(resources, arn(function_name), "DeadLetterQueue")
    equal(rule.get("EventBusName"), {"Ref": bus}, "the rule's bus")
    equal(
        rule["EventPattern"].get("account"),
        [{"Ref": "ManagementAccountId"}],
        "the accounts that the rule takes events of",
    )
    _, permission = the_only(resources, "AWS::Lambda::Permission")
    equal(
        permission,
        {
            "Action": "lambda:InvokeFunction",
            "FunctionName": {"Ref": function_name},
            "Principal": "events.amazonaws.com",
            "SourceArn": arn("JoinRule"),
        },
        "who may call the function",
    )
    return rule["EventPattern"]


def check_role(resources):
    _, role = the_only(resources, "AWS::IAM::Role")
    check("ManagedPolicyArns" not in role, "the role has no managed policy")
    always, conditional = [], []
    for policy in role["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            if "Fn::If" in statement:
                condition, then, otherwise = statement["Fn::If"]
                equal(condition, "ResumesSuspendedMembers", "the role's condition")
                equal(otherwise, {"Ref": "AWS::NoValue"}, "the role's other branch")
                conditional.append(then)
            else:
                always.append(statement)
    for statements, expected, what in [
        (always, ALWAYS, "what the function may do"),
        (conditional, WITH_RESUMING, "what it may do to resume members"),
    ]:
        actions = [action for each in statements for action in listed(each["Action"])]
        equal(set(actions), expected, what)
        equal(len(actions), len(set(actions)), f"{what}: statements for each action")
        for statement in statements:
            equal(statement["Effect"], "Allow", f"{what}: effect")
            if "*" in listed(statement["Resource"]):
                unscoped = set(listed(statement["Action"])) - UNSCOPED
                check(
                    not unscoped,
                    f"{what}: {sorted(unscoped)} can be narrowed to a resource",
                )
    by_action = {
        action: listed(each["Resource"]) for each in always for action in listed(each["Action"])
    }
    equal(
        by_action.get("sqs:SendMessage"),
        [arn("RetryQueue"), arn("DeadLetterQueue")],
        "the queues that the function sends to",
    )
    for action in sorted(ALWAYS):
        if action.startswith("sqs:") and action != "sqs:SendMessage":
            equal(by_action.get(action), [arn("RetryQueue")], f"the queue of {action}")


def check_management_account(template, pattern):
    resources = template["Resources"]
    queue, _ = the_only(resources, "AWS::SQS::Queue")
    properties = resources[queue]["Properties"]
    equal(properties.get("SqsManagedSseEnabled"), True, f"{queue}: encryption")
    equal(
        properties.get("MessageRetentionPeriod"), 14 * DAYS, f"{queue}: retention"
    )
    check_queue_policy(resources, queue, "JoinRule")
    rule, target = check_rule(resources, {"Ref": "EventBusArn"}, queue)
    check("EventBusName" not in rule, "the sending rule is on the default bus")
    without_account = {key: value for key, value in pattern.items() if key != "account"}
    equal(rule["EventPattern"], without_account, "the sending rule's pattern")
    name, role = the_only(resources, "AWS::IAM::Role")
    equal(target.get("RoleArn"), arn(name), "the sending rule's role")
    statements = [
        {key: statement[key] for key in ("Effect", "Action", "Resource")}
        for policy in role["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    equal(
        statements,
        [
            {
                "Effect": "Allow",
                "Action": "events:PutEvents",
                "Resource": {"Ref": "EventBusArn"},
            }
        ],
        "what the sending rule may do",
    )


def check_samples(folder, pattern):
    resolved = {**pattern, "account": ["111122223333"]}
    passed = {
        file.name
        for file in folder.glob("*.json")
        if matches(resolved, json.loads(file.read_text(encoding="utf-8")))
    }
    equal(passed, JOINS, "the samples that the rules pass on")


def check_all(root):
    text = (root / "template.yaml").read_text(encoding="utf-8")
    source = yaml_parse(text)["Resources"]["EnrollFunction"]
    equal(
        source.get("Metadata"),
        {
            "BuildMethod": "rust-cargolambda",
            "BuildProperties": {"Binary": "guardduty-enroller"},
        },
        "how the function is built",
    )
    equal(source["Properties"]["CodeUri"], ".", "where the function is built")
    template = translated(text)
    parameter = template["Parameters"]["Architecture"]
    equal(
        parameter["AllowedValues"], ["arm64", "x86_64"], "the processors to choose from"
    )
    equal(parameter["Default"], "arm64", "the default processor")
    equal(
        template["Parameters"]["LogLevel"]["AllowedValues"],
        ["INFO", "DEBUG", "TRACE"],
        "the log levels to choose from",
    )
    equal(set(template["Outputs"]), OUTPUTS, "the outputs")
    resources = template["Resources"]
    name, function = check_function(resources)
    check_queues(resources, name, function)
    check_queue_policy(resources, "DeadLetterQueue", "JoinRule")
    check_queue_policy(resources, "RetryQueue", None)
    pattern = check_bus(resources, name)
    check_role(resources)
    management = (root / "management-account.yaml").read_text(encoding="utf-8")
    check_management_account(yaml_parse(management), pattern)
    check_samples(root / "events", pattern)


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent)
    try:
        check_all(root)
    except KeyError as missing:
        findings.append(f"a template has no {missing} where one is needed")
    for finding in findings:
        print(f"error: {finding}", file=sys.stderr)
    if findings:
        sys.exit(1)
    print("the templates and the samples fit each other")


if __name__ == "__main__":
    main()
