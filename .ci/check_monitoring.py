#!/usr/bin/env python3
"""Checks the alarms and the dashboard: each looks at a metric that exists, each alarm tells somebody and points at a
heading of the runbook, and CloudWatch would take it.

Usage: check_monitoring.py FOLDER, the one that translate.py wrote
"""

import json
import re
import sys
from pathlib import Path

from wrong import WRONG, check, end, equal

ROOT = Path(__file__).parent.parent

# AWS's own metrics with their dimensions, as the guides of SQS, Lambda and EventBridge list them. Rules on the default
# bus have their name alone, rules on another bus both.
QUEUE, FUNCTION = ("QueueName",), ("FunctionName",)
DEFAULT_RULE, RULE = ("RuleName",), ("EventBusName", "RuleName")
AWS_METRICS = {
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): {QUEUE},
    ("AWS/SQS", "ApproximateNumberOfMessagesNotVisible"): {QUEUE},
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"): {QUEUE},
    ("AWS/Lambda", "Errors"): {FUNCTION},
    ("AWS/Lambda", "Throttles"): {FUNCTION},
    ("AWS/Lambda", "Duration"): {FUNCTION},
    ("AWS/Lambda", "AsyncEventsDropped"): {FUNCTION},
    ("AWS/Lambda", "DestinationDeliveryFailures"): {FUNCTION},
    ("AWS/Events", "FailedInvocations"): {DEFAULT_RULE, RULE},
    ("AWS/Events", "InvocationsFailedToBeSentToDlq"): {DEFAULT_RULE, RULE},
}
ENROLL, RECONCILE = {"FunctionName": {"Ref": "EnrollFunction"}}, {"FunctionName": {"Ref": "ReconcileFunction"}}
JOIN_RULE = {
    "EventBusName": {"Ref": "JoinBus"},
    # The end of rule/<bus>/<rule>; what Ref gives is not documented for such a rule.
    "RuleName": {"Fn::Select": [2, {"Fn::Split": ["/", {"Fn::GetAtt": ["JoinRule", "Arn"]}]}]},
}


def queue(name):
    return {"QueueName": {"Fn::GetAtt": [name, "QueueName"]}}


def rule(name):
    return {"RuleName": {"Ref": name}}


# What is watched: metric, dimensions, missing data. Missing data of our own metrics: a counter is not written when it
# is zero; Gap stays as the last reconcile left it; a reconcile that has not completed has written nothing at all.
OURS = "GuardDutyEnroller"
ALARMS = {
    "template": {
        "DeadLetterAlarm": ("ApproximateNumberOfMessagesVisible", queue("DeadLetterQueue"), "notBreaching"),
        "DeadLetterAgeAlarm": ("ApproximateNumberOfMessagesVisible", queue("DeadLetterQueue"), "ignore"),
        "RetryAgeAlarm": ("ApproximateAgeOfOldestMessage", queue("RetryQueue"), "notBreaching"),
        "EnrollErrorAlarm": ("Errors", ENROLL, "notBreaching"),
        "EnrollThrottleAlarm": ("Throttles", ENROLL, "notBreaching"),
        "EnrollDurationAlarm": ("Duration", ENROLL, "notBreaching"),
        "DroppedEventAlarm": ("AsyncEventsDropped", ENROLL, "notBreaching"),
        "LostEventAlarm": ("DestinationDeliveryFailures", ENROLL, "notBreaching"),
        "JoinRuleFailureAlarm": ("FailedInvocations", JOIN_RULE, "notBreaching"),
        "JoinRuleLossAlarm": ("InvocationsFailedToBeSentToDlq", JOIN_RULE, "notBreaching"),
        "UnknownAnswerAlarm": ("UnknownAnswers", {}, "notBreaching"),
        "GapAlarm": ("Gap", {}, "ignore"),
        "ReconcileMissingAlarm": ("ReconcileCompleted", {}, "breaching"),
        "ReconcileErrorAlarm": ("Errors", RECONCILE, "notBreaching"),
        "ReconcileThrottleAlarm": ("Throttles", RECONCILE, "notBreaching"),
        "ReconcileDurationAlarm": ("Duration", RECONCILE, "notBreaching"),
        "ReconcileRuleFailureAlarm": ("FailedInvocations", rule("ReconcileRule"), "notBreaching"),
    },
    "management-account": {
        "SendRuleFailureAlarm": ("FailedInvocations", rule("SendRule"), "notBreaching"),
        "SendRuleLossAlarm": ("InvocationsFailedToBeSentToDlq", rule("SendRule"), "notBreaching"),
        "UndeliveredAlarm": ("ApproximateNumberOfMessagesVisible", queue("UndeliveredQueue"), "notBreaching"),
    },
}
HOUR, DAY = 60 * 60, 24 * 60 * 60
# What raises an alarm, where it is not a first message, error or event: the comparison and its threshold.
LIMITS = {
    "RetryAgeAlarm": ("GreaterThanOrEqualToThreshold", HOUR),
    "EnrollDurationAlarm": ("GreaterThanOrEqualToThreshold", 54_000),
    "GapAlarm": ("GreaterThanThreshold", 0),
    "ReconcileMissingAlarm": ("LessThanThreshold", 1),
    "ReconcileDurationAlarm": ("GreaterThanOrEqualToThreshold", 895_000),
}
# How many periods are looked at, and how many of them must be bad, where it is not one.
WINDOWS = {
    "DeadLetterAgeAlarm": (72, 72),
    "EnrollThrottleAlarm": (3, 2),
    "ReconcileThrottleAlarm": (3, 3),
    "ReconcileMissingAlarm": ({"Ref": "ReconcileWindowHours"}, {"Ref": "ReconcileWindowHours"}),
}


def own_metrics():
    """The namespace, and each metric of src/metrics.rs with the sets of dimensions that it is written with."""
    source = (ROOT / "src" / "metrics.rs").read_text(encoding="utf-8")
    names = dict(re.findall(r'const ([A-Z_]+): &str = "(\w+)";', source))
    metrics = {}
    for name, dimension in re.findall(r'\b(?:counter|gauge|histogram)!\(([A-Z_]+)(?:, "(\w+)" =>)?', source):
        metrics.setdefault(names[name], set()).add((dimension,) if dimension else ())
    return names["NAMESPACE"], metrics


def known_metrics():
    """The sets of dimensions of every metric that an alarm or the dashboard may look at."""
    namespace, metrics = own_metrics()
    equal(namespace, OURS, "the namespace of src/metrics.rs")
    return AWS_METRICS | {(namespace, name): dimensions for name, dimensions in metrics.items()}


def check_metric(known, namespace, name, dimensions, where):
    sets = known.get((namespace, name))
    if sets is None:
        WRONG.append(f"{where}: nothing writes the metric {name} in {namespace}")
    else:
        check(tuple(dimensions) in sets, f"{where}: {name} is not written with the dimensions {list(dimensions)}")


def headings():
    """The anchors of the runbook's section Alarms, made as GitHub makes them."""
    runbook = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = runbook.partition("\n## Alarms\n")[2].partition("\n## ")[0]
    titles = re.findall(r"^### (.+)$", section, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def of_type(template, kind):
    return {
        name: resource.get("Properties", {})
        for name, resource in template["Resources"].items()
        if resource["Type"] == kind
    }


def text_of(value):
    return value["Fn::Sub"] if isinstance(value, dict) else value


def watched(alarm):
    """The one metric of an alarm, its statistic and its period."""
    if "Metrics" not in alarm:
        return alarm, alarm["Statistic"], alarm["Period"]
    (stat,) = [each["MetricStat"] for each in alarm["Metrics"] if "MetricStat" in each]
    return stat["Metric"], stat["Stat"], stat["Period"]


def check_window(template, name, alarm, period):
    """CloudWatch evaluates a day at most, or with periods of an hour or more 7 days."""
    periods = alarm["EvaluationPeriods"]
    if isinstance(periods, dict):
        parameter = template["Parameters"][periods["Ref"]]
        equal(alarm["DatapointsToAlarm"], periods, f"{name}: all periods count")
        periods = parameter["MaxValue"]
    most = 7 * DAY if period >= HOUR else DAY
    check(period % 60 == 0 and period * periods <= most, f"{name}: {periods} periods of {period} s are too many")


def check_alarm(template, known, name, alarm, expected):
    metric, dimensions, missing = expected
    found, statistic, period = watched(alarm)
    equal(found["MetricName"], metric, f"{name}: metric")
    found_dimensions = {each["Name"]: each["Value"] for each in found.get("Dimensions", [])}
    equal(found_dimensions, dimensions, f"{name}: dimensions")
    check_metric(known, found["Namespace"], found["MetricName"], found_dimensions, name)
    equal(alarm.get("TreatMissingData"), missing, f"{name}: missing data")
    equal(alarm.get("AlarmActions"), [{"Ref": "AlarmTopic"}], f"{name}: action")
    check("ActionsEnabled" not in alarm, f"{name}: its actions are on")
    gauge = metric in ("Gap", "Duration") or metric.startswith("Approximate")
    equal(statistic, "Maximum" if gauge else "Sum", f"{name}: statistic")
    limit = (alarm["ComparisonOperator"], alarm["Threshold"])
    equal(limit, LIMITS.get(name, ("GreaterThanOrEqualToThreshold", 1)), f"{name}: what raises it")
    window = (alarm["EvaluationPeriods"], alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"]))
    equal(window, WINDOWS.get(name, (1, 1)), f"{name}: periods")
    check_window(template, name, alarm, period)
    description = text_of(alarm.get("AlarmDescription", ""))
    # The most that CloudWatch takes, with the longest address that the parameter lets through.
    longest = template["Parameters"]["RunbookUrl"]["MaxLength"]
    length = len(description.replace("${RunbookUrl}", "x" * int(longest)))
    check(length <= 1024, f"{name}: the description has up to {length} characters")
    pointer = re.search(r" Runbook: \$\{RunbookUrl\}#([\w-]+)$", description)
    equal(pointer and pointer[1], name.lower(), f"{name}: where the description points")


def check_timing(resources):
    """What rests on the functions' timeouts. Lambda dates a metric of a run back to its start."""
    for job, reserve in [("Enroll", 6), ("Reconcile", 5)]:
        timeout = resources[f"{job}Function"]["Properties"]["Timeout"]
        alarm = resources[f"{job}DurationAlarm"]["Properties"]
        equal(alarm["Threshold"], (timeout - reserve) * 1000, f"{job}DurationAlarm: threshold")
        for name in [f"{job}ErrorAlarm", f"{job}DurationAlarm"]:
            period = resources[name]["Properties"]["Period"]
            check(period > 2 * timeout, f"{name}: a period of {period} s is over before a late data point comes")
    # Another run lasts no longer than the timeout, which reaches into two periods of that length at most.
    throttles = resources["ReconcileThrottleAlarm"]["Properties"]
    equal(
        [throttles["Period"], throttles["EvaluationPeriods"], throttles["DatapointsToAlarm"]],
        [resources["ReconcileFunction"]["Properties"]["Timeout"], 3, 3],
        "ReconcileThrottleAlarm: window",
    )


def check_window_parameter(parameters):
    hours = int(re.fullmatch(r"rate\((\d+) hours\)", parameters["ReconcileSchedule"]["Default"])[1])
    window = parameters["ReconcileWindowHours"]
    equal(window["Default"], 2 * hours + 1, "ReconcileWindowHours: two runs and an hour")
    equal(window["MaxValue"], 7 * 24, "ReconcileWindowHours: the most that CloudWatch looks back")


def check_missing_reconcile(alarm):
    """No completed reconcile in each hour of the window."""
    equal(
        [each.get("Expression") for each in alarm["Metrics"] if each.get("ReturnData")],
        ["FILL(completed, 0)"],
        "ReconcileMissingAlarm: what is compared",
    )
    equal(watched(alarm)[2], HOUR, "ReconcileMissingAlarm: period")
    equal(
        [alarm["ComparisonOperator"], alarm["Threshold"]],
        ["LessThanThreshold", 1],
        "ReconcileMissingAlarm: comparison",
    )


def check_topic(template, name):
    topics = of_type(template, "AWS::SNS::Topic")
    # With a key of AWS no alarm could publish.
    equal(topics, {"AlarmTopic": {}}, f"{name}: the topic")
    (policy,) = of_type(template, "AWS::SNS::TopicPolicy").values()
    equal(policy["Topics"], [{"Ref": "AlarmTopic"}], f"{name}: the topic policy's topic")
    equal(
        policy["PolicyDocument"]["Statement"],
        [
            {
                "Sid": "AlarmsOfThisAccount",
                "Effect": "Allow",
                "Principal": {"Service": "cloudwatch.amazonaws.com"},
                "Action": "sns:Publish",
                "Resource": {"Ref": "AlarmTopic"},
                "Condition": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
            }
        ],
        f"{name}: who may publish",
    )
    subscription = template["Resources"]["AlarmSubscription"]
    equal(subscription.get("Condition"), "MailsAlarms", f"{name}: when alarms are mailed")
    equal(
        template["Conditions"]["MailsAlarms"],
        {"Fn::Not": [{"Fn::Equals": [{"Ref": "AlarmEmail"}, ""]}]},
        f"{name}: when alarms are mailed",
    )
    equal(
        subscription["Properties"],
        {"TopicArn": {"Ref": "AlarmTopic"}, "Protocol": "email", "Endpoint": {"Ref": "AlarmEmail"}},
        f"{name}: the subscription",
    )
    pattern = re.compile(template["Parameters"]["AlarmEmail"]["AllowedPattern"])
    for address, taken in [("", True), ("security@example.com", True), ("security", False), ("a b@example.com", False)]:
        equal(pattern.fullmatch(address) is not None, taken, f"{name}: whether AlarmEmail takes {address!r}")


def dashboard(template):
    """The widgets as CloudWatch gets them, with the name of each reference in angle brackets in its place."""
    body = template["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    known = template["Resources"].keys() | template["Parameters"].keys() | {"AWS::Region"}

    def substituted(reference):
        if reference[1].startswith("!"):
            return "${" + reference[1][1:] + "}"
        check(reference[1].partition(".")[0] in known, f"the dashboard: there is no {reference[1]}")
        return f"<{reference[1]}>"

    return json.loads(re.sub(r"\$\{([^}]+)\}", substituted, body))["widgets"]


def check_dashboard(template, known):
    widgets = dashboard(template)
    for widget in widgets:
        properties = widget["properties"]
        where = f"the dashboard, {properties['title']!r}"
        equal(properties["region"], "<AWS::Region>", f"{where}: Region")
        for metric in properties.get("metrics", []):
            if isinstance(metric[0], dict):
                search = re.fullmatch(
                    r"""SEARCH\('\{(\w+),(\w+)\} MetricName="(\w+)"', '(Sum|Maximum)', \d+\)""",
                    metric[0]["expression"],
                )
                if search is None:
                    WRONG.append(f"{where}: cannot read {metric[0]['expression']}")
                    continue
                namespace, dimension, name, _ = search.groups()
                check_metric(known, namespace, name, [dimension], where)
                equal(metric[0]["label"], "${PROP('Dim." + dimension + "')}", f"{where}: label")
            else:
                parts = [each for each in metric if isinstance(each, str)]
                check_metric(known, parts[0], parts[1], parts[2::2], where)
                for value in parts[3::2]:
                    check(value.startswith("<"), f"{where}: {value} is no resource of the stack")
    shown = json.dumps(widgets)
    for name in ["SecondsToProtected", "NotEnabled", "Gap", "<DeadLetterQueue.QueueName>", "<RetryQueue.QueueName>"]:
        check(name in shown, f"the dashboard does not show {name}")
    queries = [widget for widget in widgets if widget["type"] == "log"]
    equal(len(queries), 4, "the dashboard: tables of log lines")
    return len(widgets)


def check_all(folder):
    known = known_metrics()
    templates = {
        name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in ALARMS
    }
    count = 0
    for name, template in templates.items():
        alarms = of_type(template, "AWS::CloudWatch::Alarm")
        equal(sorted(alarms), sorted(ALARMS[name]), f"{name}: the alarms")
        for each, alarm in alarms.items():
            if each in ALARMS[name]:
                check_alarm(template, known, each, alarm, ALARMS[name][each])
        check_topic(template, name)
        count += len(alarms)
    described = {each.lower() for expected in ALARMS.values() for each in expected}
    equal(sorted(headings()), sorted(described), "docs/operations.md: the headings under Alarms")
    template = templates["template"]
    check_timing(template["Resources"])
    check_window_parameter(template["Parameters"])
    check_missing_reconcile(template["Resources"]["ReconcileMissingAlarm"]["Properties"])
    return count, check_dashboard(template, known)


def main():
    alarms = widgets = 0
    try:
        alarms, widgets = check_all(Path(sys.argv[1]))
    except KeyError as missing:
        WRONG.append(f"a template has no {missing} where one is needed")
    end(f"{alarms} alarms and {widgets} widgets look at metrics that exist; each alarm has its place in the runbook")


if __name__ == "__main__":
    main()
