#!/usr/bin/env python3
"""Checks what a snapshot cannot hold: the relations of the templates' parts to each other, to the function and to the
runbook. Prints what is wrong; exits with 1 where there is something."""

import re

from repository import LAST_ATTEMPT, ROOT, of_type, template
from wrong import check, end, equal

HOUR, DAY = 60 * 60, 24 * 60 * 60
RATE = (["1", "10000"], ["", "0", "10001", "1.5"])
# What each pattern must take, and what it must refuse: what AWS or the function would refuse later.
VALUES = {
    "ReconcileSchedule": (
        ["rate(6 hours)", "rate(1 hour)", "rate(90 minutes)", "rate(10 days)", "cron(30 3 * * ? *)"]
        + ["cron(0/15 8-17 ? * MON-FRI,SUN#2 2026)"],
        ["", "6 hours", "rate(0 hours)", "rate(1 hours)", "rate(6 hour)", "rate(6 weeks)", "rate(6 hours) "]
        + ["cron(30 3 * * *)", "cron(30 3 * * ? * *)", "at(2026-01-01T00:00:00)"],
    ),
    "ListAccountsPerSecond": RATE,
    "ListMembersPerSecond": RATE,
    "CreateMembersPerSecond": RATE,
    "AlarmEmail": (["", "security@example.com"], ["security", "a b@example.com"]),
}


def check_parameters(parameters, names):
    for name in names:
        pattern = re.compile(parameters[name]["AllowedPattern"])
        found = [value for values in VALUES[name] for value in values if pattern.fullmatch(value)]
        equal(found, VALUES[name][0], f"what {name} takes")


def check_queues(resources, function):
    retries, dead_letters = (resources[name]["Properties"] for name in ["RetryQueue", "DeadLetterQueue"])
    mapping = resources["RetryMapping"]["Properties"]
    window = mapping.get("MaximumBatchingWindowInSeconds", 0)
    check(mapping["BatchSize"] <= 10 or window >= 1, "RetryMapping: a batch of more than 10 needs a window")
    least = 6 * function["Timeout"] + window
    visibility = retries["VisibilityTimeout"]
    check(visibility >= least, f"RetryQueue: VisibilityTimeout is below 6 x timeout + window, {least} s")
    receives = retries["RedrivePolicy"]["maxReceiveCount"]
    check(receives > LAST_ATTEMPT, f"RetryQueue: {receives} receives end before the function's attempt {LAST_ATTEMPT}")
    # A message that SQS moves keeps the time at which it was sent.
    kept = dead_letters["MessageRetentionPeriod"] - retries["MessageRetentionPeriod"]
    check(kept > 0, "DeadLetterQueue: it keeps a message no longer than RetryQueue")


def check_patterns():
    """The two rules pass on the same events; the receiving one also asks who sent them."""
    sent = of_type("management-account", "AWS::Events::Rule")["SendRule"]["EventPattern"]
    received = of_type("template", "AWS::Events::Rule")["JoinRule"]["EventPattern"]
    equal(received, {"account": [{"Ref": "ManagementAccountId"}], **sent}, "JoinRule: EventPattern")


def check_alarm(name, alarm, parameters):
    equal(alarm.get("AlarmActions"), [{"Ref": "AlarmTopic"}], f"{name}: AlarmActions")
    period = alarm.get("Period") or alarm["Metrics"][0]["MetricStat"]["Period"]
    periods = alarm["EvaluationPeriods"]
    if isinstance(periods, dict):
        periods = parameters[periods["Ref"]]["MaxValue"]
    # CloudWatch looks back a day at most, or with periods of an hour or more 7 days.
    most = 7 * DAY if period >= HOUR else DAY
    check(period * periods <= most, f"{name}: {periods} periods of {period} s are more than CloudWatch looks back")
    description = alarm["AlarmDescription"]["Fn::Sub"]
    # The most that CloudWatch takes, with the longest address that the parameter lets through.
    length = len(description.replace("${RunbookUrl}", "x" * parameters["RunbookUrl"]["MaxLength"]))
    check(length <= 1024, f"{name}: the description has up to {length} characters, more than 1024")
    pointer = f" Runbook: ${{RunbookUrl}}#{name.lower()}"
    check(description.endswith(pointer), f"{name}: it does not end with its heading of the runbook")


def check_alarms():
    alarms = {}
    for name in ["template", "management-account"]:
        parameters = template(name)["Parameters"]
        for each, alarm in of_type(name, "AWS::CloudWatch::Alarm").items():
            check_alarm(each, alarm, parameters)
            alarms[each] = alarm
    runbook = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = runbook.partition("\n## Alarms\n")[2].partition("\n## ")[0]
    headings = re.findall(r"^### (.+)$", section, re.MULTILINE)
    equal(sorted(headings), sorted(alarms), "docs/operations.md: the headings under Alarms")
    return alarms


def check_timing(alarms, functions, parameters):
    """What rests on the functions' timeouts. Lambda dates a metric of a run back to its start."""
    for job, reserve in [("Enroll", 6), ("Reconcile", 5)]:
        timeout = functions[f"{job}Function"]["Timeout"]
        equal(alarms[f"{job}DurationAlarm"]["Threshold"], (timeout - reserve) * 1000, f"{job}DurationAlarm: Threshold")
        for name in [f"{job}ErrorAlarm", f"{job}DurationAlarm"]:
            check(alarms[name]["Period"] > 2 * timeout, f"{name}: its period is over before a late data point comes")
    # Another run lasts no longer than the timeout, which reaches into two periods of that length at most.
    throttles = alarms["ReconcileThrottleAlarm"]
    found = [throttles[key] for key in ["Period", "EvaluationPeriods", "DatapointsToAlarm"]]
    equal(found, [functions["ReconcileFunction"]["Timeout"], 3, 3], "ReconcileThrottleAlarm: its window")
    hours = int(re.fullmatch(r"rate\((\d+) hours\)", parameters["ReconcileSchedule"]["Default"])[1])
    equal(parameters["ReconcileWindowHours"]["Default"], 2 * hours + 1, "ReconcileWindowHours: two runs and an hour")


def main():
    stack = template("template")
    check_parameters(stack["Parameters"], VALUES)
    check_parameters(template("management-account")["Parameters"], ["AlarmEmail"])
    functions = of_type("template", "AWS::Lambda::Function")
    check_queues(stack["Resources"], functions["EnrollFunction"])
    check_patterns()
    alarms = check_alarms()
    check_timing(alarms, functions, stack["Parameters"])
    end(f"the parts of the templates fit each other; {len(alarms)} alarms point at headings of the runbook")


if __name__ == "__main__":
    main()
