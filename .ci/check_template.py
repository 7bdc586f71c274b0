#!/usr/bin/env python3
"""Checks what a linter cannot know: that the parts of the templates fit each other and what the function relies on.
Prints what is wrong; exits with 1 where there is something.

Usage: check_template.py FOLDER, the one that translate.py wrote
"""

import json
import re
import sys
from pathlib import Path

from translate import ROOT, read
from wrong import WRONG, check, end, equal

# Everything that the functions may do. A new action belongs here, in the template and in the documentation.
BOTH = {
    "guardduty:ListDetectors",
    "guardduty:GetMembers",
    "guardduty:CreateMembers",
    "account:ListRegions",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
}
ENROLL = BOTH | {
    "organizations:DescribeAccount",
    "sqs:SendMessage",
    "sqs:ChangeMessageVisibility",
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
}
RECONCILE = BOTH | {
    "guardduty:ListMembers",
    "guardduty:DescribeOrganizationConfiguration",
    "organizations:ListAccounts",
}
WITH_RESUMING = {"guardduty:StartMonitoringMembers"}
# The actions that AWS lets nobody narrow to a resource.
UNSCOPED = {
    "guardduty:ListDetectors",
    "guardduty:GetMembers",
    "guardduty:CreateMembers",
    "guardduty:StartMonitoringMembers",
    "guardduty:ListMembers",
    "guardduty:DescribeOrganizationConfiguration",
    "organizations:ListAccounts",
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
}
ENVIRONMENT = {
    "ADMIN_ACCOUNT_ID": {"Ref": "AWS::AccountId"},
    "REGIONS": {"Ref": "Regions"},
    "EXCLUDED_ACCOUNTS": {"Ref": "ExcludedAccounts"},
    "RESUME_SUSPENDED_MEMBERS": {"Ref": "ResumeSuspendedMembers"},
    "LIST_ACCOUNTS_PER_SECOND": {"Ref": "ListAccountsPerSecond"},
    "LIST_MEMBERS_PER_SECOND": {"Ref": "ListMembersPerSecond"},
    "CREATE_MEMBERS_PER_SECOND": {"Ref": "CreateMembersPerSecond"},
    "DEAD_LETTER_QUEUE_URL": {"Fn::GetAtt": ["DeadLetterQueue", "QueueUrl"]},
    "RETRY_QUEUE_URL": {"Fn::GetAtt": ["RetryQueue", "QueueUrl"]},
}
OUTPUTS = {
    "EventBusArn",
    "FunctionName",
    "LogGroupName",
    "ReconcileLogGroupName",
    "ReconcileFunctionName",
    "DeadLetterQueueUrl",
    "DeadLetterQueueArn",
    "RetryQueueUrl",
    "RetryQueueArn",
    "AlarmTopicArn",
    "DashboardName",
}
# What ReconcileSchedule must take, and what EventBridge would refuse in the middle of a deployment.
SCHEDULES = [
    "rate(6 hours)",
    "rate(1 hour)",
    "rate(90 minutes)",
    "rate(10 days)",
    "cron(30 3 * * ? *)",
    "cron(0/15 8-17 ? * MON-FRI,SUN#2 2026)",
]
NO_SCHEDULES = [
    "",
    "6 hours",
    "rate(0 hours)",
    "rate(1 hours)",
    "rate(6 hour)",
    "rate(6 weeks)",
    "rate(6 hours) ",
    "cron(30 3 * * *)",
    "cron(30 3 * * ? * *)",
    "at(2026-01-01T00:00:00)",
]
# The function takes whole numbers from 1 to 10000, these where nothing is said.
RATES = {"ListAccountsPerSecond": "5", "ListMembersPerSecond": "8", "CreateMembersPerSecond": "1"}
DAYS = 24 * 60 * 60


def arn(name):
    return {"Fn::GetAtt": [name, "Arn"]}


def listed(value):
    return value if isinstance(value, list) else [value]


def the_only(resources, kind):
    """The one resource of a type, or an end with a reason: without it nothing below can be checked."""
    found = [name for name, resource in resources.items() if resource["Type"] == kind]
    if len(found) != 1:
        sys.exit(f"expected one {kind}, found {found}")
    return found[0], resources[found[0]]["Properties"]


def of_type(resources, kind):
    return {
        name: resource["Properties"]
        for name, resource in resources.items()
        if resource["Type"] == kind
    }


def invoke_configuration(resources, function_name):
    """The one configuration of a function's asynchronous calls; without it the defaults would hold."""
    found = [
        properties
        for properties in of_type(resources, "AWS::Lambda::EventInvokeConfig").values()
        if properties["FunctionName"] == {"Ref": function_name}
    ]
    if len(found) != 1:
        sys.exit(f"expected one invoke configuration of {function_name}, found {found}")
    return found[0]


def check_permissions(resources, callers):
    """Who may call each function: the named rule and nobody else."""
    found = list(of_type(resources, "AWS::Lambda::Permission").values())
    for function_name, rule in callers.items():
        of_function = [each for each in found if each["FunctionName"] == {"Ref": function_name}]
        expected = {
            "Action": "lambda:InvokeFunction",
            "FunctionName": {"Ref": function_name},
            "Principal": "events.amazonaws.com",
            "SourceArn": arn(rule),
        }
        equal(of_function, [expected], f"who may call {function_name}")
    equal(len(found), len(callers), "permissions to call a function")


def check_functions(resources):
    """What both functions have in common: they are one program, told apart by role, log group and time."""
    functions = of_type(resources, "AWS::Lambda::Function")
    equal(set(functions), {"EnrollFunction", "ReconcileFunction"}, "the functions")
    for name, job in [("EnrollFunction", "Enroll"), ("ReconcileFunction", "Reconcile")]:
        function = functions[name]
        equal(function["Handler"], "bootstrap", f"{name}: handler")
        equal(function["Runtime"], "provided.al2023", f"{name}: runtime")
        equal(function["Role"], arn(f"{job}Role"), f"{name}: role")
        equal(
            function.get("Architectures"),
            [{"Ref": "Architecture"}],
            f"{name}: processor",
        )
        equal(
            function["Environment"]["Variables"],
            ENVIRONMENT,
            f"{name}: environment variables",
        )
        equal(
            function["LoggingConfig"],
            {
                "LogFormat": "JSON",
                "ApplicationLogLevel": {"Ref": "LogLevel"},
                "SystemLogLevel": "INFO",
                "LogGroup": {"Ref": f"{job}LogGroup"},
            },
            f"{name}: logging",
        )
        equal(function.get("TracingConfig"), {"Mode": "Active"}, f"{name}: tracing")
        equal(
            of_type(resources, "AWS::Logs::LogGroup")[f"{job}LogGroup"],
            {"RetentionInDays": {"Ref": "LogRetentionDays"}},
            f"{name}: log group",
        )
    return functions["EnrollFunction"], functions["ReconcileFunction"]


def check_enrolling(resources, function):
    equal(function.get("MemorySize"), {"Ref": "MemorySize"}, "EnrollFunction: memory")
    check(
        "ReservedConcurrentExecutions" not in function,
        "EnrollFunction has no reserved concurrency",
    )
    invoke = invoke_configuration(resources, "EnrollFunction")
    equal(invoke["MaximumRetryAttempts"], 2, "runs after the first of an event")
    equal(invoke["MaximumEventAgeInSeconds"], 21600, "the oldest event that is run")
    equal(
        invoke["DestinationConfig"].get("OnFailure", {}).get("Destination"),
        arn("DeadLetterQueue"),
        "the on-failure destination",
    )


def check_reconciling(resources, function, parameters):
    equal(function["Timeout"], 900, "ReconcileFunction: timeout")
    equal(
        function.get("MemorySize"),
        {"Ref": "ReconcileMemorySize"},
        "ReconcileFunction: memory",
    )
    equal(
        function.get("ReservedConcurrentExecutions"),
        {"Fn::If": ["ReservesReconcile", 1, {"Ref": "AWS::NoValue"}]},
        "ReconcileFunction: runs at a time",
    )
    invoke = invoke_configuration(resources, "ReconcileFunction")
    equal(invoke.get("MaximumRetryAttempts"), 0, "ReconcileFunction: repeats of a failed run")
    equal(
        invoke.get("MaximumEventAgeInSeconds"),
        3600,
        "ReconcileFunction: how long a run waits for another one",
    )
    check(
        not invoke.get("DestinationConfig"),
        "ReconcileFunction: no destination, no run becomes a dead letter",
    )

    rule = of_type(resources, "AWS::Events::Rule")["ReconcileRule"]
    check("EventBusName" not in rule, "the schedule is on the default bus")
    check("EventPattern" not in rule, "the schedule takes no events")
    equal(
        rule.get("ScheduleExpression"),
        {"Ref": "ReconcileSchedule"},
        "the schedule's expression",
    )
    equal(rule.get("State"), "ENABLED", "the schedule's state")
    equal(len(rule["Targets"]), 1, "targets of the schedule")
    target = rule["Targets"][0]
    equal(target["Arn"], arn("ReconcileFunction"), "the schedule's target")
    equal(target.get("Input"), '{"reconcile": {}}', "the schedule's input")
    equal(
        target.get("RetryPolicy"),
        {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 3},
        "the schedule's retry policy",
    )
    check("DeadLetterConfig" not in target, "the schedule has no dead-letter queue")

    schedule = parameters["ReconcileSchedule"]
    equal(schedule["Default"], "rate(6 hours)", "the default schedule")
    for expression in SCHEDULES + NO_SCHEDULES:
        equal(
            re.fullmatch(schedule["AllowedPattern"], expression) is not None,
            expression in SCHEDULES,
            f"whether ReconcileSchedule takes {expression!r}",
        )
    for name, default in RATES.items():
        rate = parameters[name]
        equal((rate["Type"], rate["Default"]), ("String", default), f"{name}: type and default")
        for value, taken in [("1", True), ("10000", True), ("0", False), ("10001", False), ("1.5", False), ("", False)]:
            pattern = re.fullmatch(rate["AllowedPattern"], value)
            equal(pattern is not None, taken, f"whether {name} takes {value!r}")
    equal(parameters["ReconcileMemorySize"]["Default"], 256, "the default memory of a reconcile")


def check_queues(resources, function):
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
    equal(mapping["FunctionName"], {"Ref": "EnrollFunction"}, "the mapping's function")
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
        WRONG.append(f"{name}: expected one queue policy, found {len(policies)}")
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


def check_rule(resources, name, target, dead_letters):
    """The delivery of a rule that passes joins on; returns it and its target."""
    rule = of_type(resources, "AWS::Events::Rule")[name]
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


def check_bus(resources):
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
    rule, _ = check_rule(resources, "JoinRule", arn("EnrollFunction"), "DeadLetterQueue")
    equal(rule.get("EventBusName"), {"Ref": bus}, "the rule's bus")
    equal(
        rule["EventPattern"].get("account"),
        [{"Ref": "ManagementAccountId"}],
        "the accounts that the rule takes events of",
    )
    return rule["EventPattern"]


def check_role(resources, name, expected_always, log_group):
    """A role's actions and resources; returns the resources of each action that it always has."""
    role = of_type(resources, "AWS::IAM::Role")[name]
    check("ManagedPolicyArns" not in role, f"{name} has no managed policy")
    always, conditional = [], []
    for policy in role["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            if "Fn::If" in statement:
                condition, then, otherwise = statement["Fn::If"]
                equal(condition, "ResumesSuspendedMembers", f"{name}: condition")
                equal(otherwise, {"Ref": "AWS::NoValue"}, f"{name}: the other branch")
                conditional.append(then)
            else:
                always.append(statement)
    for statements, expected, what in [
        (always, expected_always, f"{name}: what it allows"),
        (conditional, WITH_RESUMING, f"{name}: what it allows to resume members"),
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
    for action in ["logs:CreateLogStream", "logs:PutLogEvents"]:
        equal(by_action.get(action), [arn(log_group)], f"{name}: the log group of {action}")
    return by_action


def check_roles(resources):
    roles = set(of_type(resources, "AWS::IAM::Role"))
    equal(roles, {"EnrollRole", "ReconcileRole"}, "the roles")
    by_action = check_role(resources, "EnrollRole", ENROLL, "EnrollLogGroup")
    equal(
        by_action.get("sqs:SendMessage"),
        [arn("RetryQueue"), arn("DeadLetterQueue")],
        "the queues that the function sends to",
    )
    for action in sorted(ENROLL):
        if action.startswith("sqs:") and action != "sqs:SendMessage":
            equal(by_action.get(action), [arn("RetryQueue")], f"the queue of {action}")
    check_role(resources, "ReconcileRole", RECONCILE, "ReconcileLogGroup")


def check_management_account(template, pattern):
    resources = template["Resources"]
    queue, _ = the_only(resources, "AWS::SQS::Queue")
    properties = resources[queue]["Properties"]
    equal(properties.get("SqsManagedSseEnabled"), True, f"{queue}: encryption")
    equal(
        properties.get("MessageRetentionPeriod"), 14 * DAYS, f"{queue}: retention"
    )
    check_queue_policy(resources, queue, "SendRule")
    the_only(resources, "AWS::Events::Rule")
    rule, target = check_rule(resources, "SendRule", {"Ref": "EventBusArn"}, queue)
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


def check_build(source):
    """What the translator takes away: how sam builds the functions."""
    for name in ["EnrollFunction", "ReconcileFunction"]:
        function = source["Resources"][name]
        # sam builds once for all functions that agree in this, in CodeUri, Runtime and Architectures.
        equal(
            function.get("Metadata"),
            {
                "BuildMethod": "rust-cargolambda",
                "BuildProperties": {"Binary": "guardduty-enroller"},
            },
            f"{name}: how it is built",
        )
        equal(function["Properties"].get("CodeUri"), None, f"{name}: CodeUri of its own")
    equal(source["Globals"]["Function"]["CodeUri"], ".", "where the functions are built")


def check_all(template, management):
    check_build(read("template.yaml"))
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
    enrolling, reconciling = check_functions(resources)
    check_enrolling(resources, enrolling)
    check_reconciling(resources, reconciling, template["Parameters"])
    check_permissions(
        resources, {"EnrollFunction": "JoinRule", "ReconcileFunction": "ReconcileRule"}
    )
    check_queues(resources, enrolling)
    check_queue_policy(resources, "DeadLetterQueue", "JoinRule")
    check_queue_policy(resources, "RetryQueue", None)
    rules = set(of_type(resources, "AWS::Events::Rule"))
    equal(rules, {"JoinRule", "ReconcileRule"}, "the rules")
    pattern = check_bus(resources)
    check_roles(resources)
    check_management_account(management, pattern)
    # People send it as it stands, to see what a run would do.
    sample = json.loads((ROOT / "events" / "reconcile.json").read_text(encoding="utf-8"))
    equal(sample, {"reconcile": {"dryRun": True}}, "the sample of a dry run")


def main():
    folder = Path(sys.argv[1])
    try:
        check_all(
            *(
                json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
                for name in ["template", "management-account"]
            )
        )
    except KeyError as missing:
        WRONG.append(f"a template has no {missing} where one is needed")
    end("the templates fit each other and the function")


if __name__ == "__main__":
    main()
