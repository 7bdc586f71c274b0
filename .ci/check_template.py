#!/usr/bin/env python3
"""Checks what a snapshot cannot hold: the relations of the templates' parts to each other, to the function and to the
runbook. Prints what is wrong; exits with 1 where there is something."""

import re

from repository import LAST_ATTEMPT, ROOT, of_type, template
from wrong import check, end, equal

# How an alarm's text begins, and the topic that is told.
SEVERITIES = {"Act now": "AlarmTopic", "Act this week": "NoticeTopic"}
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
    "RunbookUrl": (["", "https://git.example.com/a/docs/operations.md"], ["docs/operations.md", "https://a/b#c", "https://a b"]),
    "RolePath": (["/", "/security/", "/a/b/"], ["", "security", "/security", "//a b/"]),
    "KmsKeyArn": (
        ["", "arn:aws:kms:eu-west-1:222222222222:key/1234abcd-12ab-34cd-56ef-1234567890ab"],
        ["1234abcd", "alias/aws/sns", "arn:aws:kms:eu-west-1:222222222222:alias/mine"],
    ),
    "PermissionsBoundaryArn": (
        ["", "arn:aws:iam::222222222222:policy/team/boundary", "arn:aws-cn:iam::aws:policy/PowerUserAccess"],
        ["boundary", "arn:aws:iam::222222222222:role/boundary"],
    ),
    "AlarmTopicArn": (
        ["", "arn:aws-us-gov:sns:us-gov-west-1:222222222222:pager"],
        ["pager", "arn:aws:sns:eu-west-1:222222222222:pager.fifo"],
    ),
    "EventBusArn": (
        [
            "arn:aws:events:eu-west-1:222222222222:event-bus/enroller-joins",
            "arn:aws-us-gov:events:us-gov-west-1:222222222222:event-bus/enroller-joins",
            "arn:aws-cn:events:cn-northwest-1:222222222222:event-bus/enroller-joins",
            "arn:aws-eusc:events:eusc-de-east-1:222222222222:event-bus/enroller-joins",
            "arn:aws-iso-b:events:us-isob-east-1:222222222222:event-bus/enroller-joins",
        ],
        [
            "enroller-joins",
            # No rule sends to another Region there.
            "arn:aws-us-gov:events:us-gov-east-1:222222222222:event-bus/enroller-joins",
            "arn:aws-cn:events:cn-north-1:222222222222:event-bus/enroller-joins",
        ],
    ),
}


def check_parameters(parameters):
    for name in VALUES.keys() & parameters.keys():
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
    """The two rules pass on the same events; the receiving one also asks who sent them, and its bus takes no other source."""
    sent = of_type("management-account", "AWS::Events::Rule")["SendRule"]["EventPattern"]
    received = of_type("template", "AWS::Events::Rule")["JoinRule"]["EventPattern"]
    equal(received, {"account": [{"Ref": "ManagementAccountId"}], **sent}, "JoinRule: EventPattern")
    policy = of_type("template", "AWS::Events::EventBusPolicy")["JoinBusPolicy"]["Statement"]
    taken = policy["Condition"]["ForAllValues:StringEquals"]["events:source"]
    equal(taken, received["source"], "JoinBusPolicy: the sources that it takes")


def check_alarm(name, alarm, parameters):
    text, values = alarm["AlarmDescription"]["Fn::Sub"]
    topic = SEVERITIES.get(text.partition(":")[0])
    told = [{"Fn::If": [f"Makes{topic}", {"Ref": topic}, {"Ref": f"{topic}Arn"}]}]
    equal(alarm["AlarmActions"], told, f"{name}: AlarmActions of its severity")
    equal(alarm["OKActions"], {"Fn::If": ["TellsOk", told, {"Ref": "AWS::NoValue"}]}, f"{name}: OKActions")
    period = alarm.get("Period") or alarm["Metrics"][0]["MetricStat"]["Period"]
    periods = alarm["EvaluationPeriods"]
    if isinstance(periods, dict):
        periods = parameters[periods["Ref"]]["MaxValue"]
    # CloudWatch looks back a day at most, or with periods of an hour or more 7 days.
    most = 7 * DAY if period >= HOUR else DAY
    check(period * periods <= most, f"{name}: {periods} periods of {period} s are more than CloudWatch looks back")
    # The most that CloudWatch takes, with the longest address that the parameter lets through.
    heading = f"#{name.lower()}"
    length = len(text.replace("${Heading}", "x" * parameters["RunbookUrl"]["MaxLength"] + heading))
    check(length <= 1024, f"{name}: the description has up to {length} characters, more than 1024")
    check(text.endswith(" Runbook: ${Heading}"), f"{name}: it does not end with its heading of the runbook")
    link = {"Fn::If": ["HasRunbook", {"Fn::Sub": f"${{RunbookUrl}}{heading}"}, name]}
    equal(values, {"Heading": link}, f"{name}: the heading of the runbook")


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
    """Lambda dates a metric of a run back to its start."""
    for metric in alarms["EnrollFailingAlarm"]["Metrics"][:-1]:
        period = metric["MetricStat"]["Period"]
        late = period > 2 * functions["EnrollFunction"]["Timeout"]
        check(late, f"EnrollFailingAlarm: {metric['Id']}: its period is over before a late data point comes")
    hours = int(re.fullmatch(r"rate\((\d+) hours\)", parameters["ReconcileSchedule"]["Default"])[1])
    equal(parameters["ReconcileWindowHours"]["Default"], 2 * hours + 1, "ReconcileWindowHours: two runs and an hour")


def main():
    stack = template("template")
    check_parameters(stack["Parameters"])
    check_parameters(template("management-account")["Parameters"])
    functions = of_type("template", "AWS::Lambda::Function")
    check_queues(stack["Resources"], functions["EnrollFunction"])
    check_patterns()
    alarms = check_alarms()
    check_timing(alarms, functions, stack["Parameters"])
    end(f"the parts of the templates fit each other; {len(alarms)} alarms point at headings of the runbook")


if __name__ == "__main__":
    main()
