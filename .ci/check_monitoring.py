#!/usr/bin/env python3
"""Checks that what the alarms and the dashboard look at exists: AWS's metrics as AWS's guides list them; our own
metrics, and the fields and messages of the dashboard's queries, in lines that the function really wrote. Prints what is
wrong; exits with 1 where there is something.

Starts the real function through `cargo local`, which needs no AWS account and builds it where it is not built.
"""

import json
import re
import subprocess
import sys

from repository import ROOT, of_type
from wrong import check, end

# AWS's own metrics with their dimensions, as the guides of SQS, Lambda and EventBridge list them. Rules on the default
# bus have their name alone, rules on another bus both.
AWS_METRICS = {
    ("AWS/SQS", name, ("QueueName",))
    for name in [
        "ApproximateNumberOfMessagesVisible",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateAgeOfOldestMessage",
    ]
} | {
    ("AWS/Lambda", name, ("FunctionName",))
    for name in ["Errors", "Throttles", "Duration", "AsyncEventsDropped", "DestinationDeliveryFailures"]
} | {
    ("AWS/Events", name, dimensions)
    for name in ["FailedInvocations", "InvocationsSentToDlq", "InvocationsFailedToBeSentToDlq"]
    for dimensions in [("RuleName",), ("EventBusName", "RuleName")]
}
# What the functions meet, so that each line, field and metric that is shown is written, into the log of the right one:
# the arguments of `cargo local` for each run.
EVENT = "events/create-account-result.json"
REFUSED = "Operation failed because your organization master must first enable GuardDuty to be added as a member"
DENIED = "error=400/AccessDeniedException/not authorized"
ORGANIZATION = ["reconcile", "--accounts", "5", "--regions", "2", "--unpaced"]
RUNS = {
    "EnrollLogGroup": [
        [EVENT],
        [EVENT, "--auto-enable", "all", "--enables-after", "0"],
        [EVENT, "--env", "EXCLUDED_ACCOUNTS=444455556666"],
        [
            EVENT,
            *("--fault", f"CreateMembers@eu-west-1:unprocessed={REFUSED}"),
            *("--fault", "CreateMembers@us-east-1:unprocessed=Some new text"),
        ],
    ],
    "ReconcileLogGroup": [
        # Nothing is left to do; a Region has a gap and another is uncovered; no account can be listed.
        ORGANIZATION,
        [
            *(*ORGANIZATION, "--missing", "100%"),
            *("--fault", "CreateMembers@eu-west-1:unprocessed=Internal error"),
            *("--fault", "ListDetectors@us-east-1:error=403/AccessDeniedException/not authorized"),
        ],
        [*ORGANIZATION, "--fault", f"ListAccounts:{DENIED}"],
        # Accounts are missing in one Region, and others in both.
        ["reconcile", "--accounts", "20", "--regions", "2", "--missing", "20%", "--unpaced"],
    ],
}


def lines_of(arguments):
    """The log lines of one run. Its exit code says whether a gap was left, which is wanted here."""
    command = ["cargo", "local", *arguments, "--json", "--show-logs"]
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    try:
        return [json.loads(line) for line in json.loads(run.stdout)["log"]]
    except (json.JSONDecodeError, KeyError) as error:
        sys.exit(f"{' '.join(command)} ended with {run.returncode} and without a log: {error}")


def written_metrics(logs):
    """Each metric with its dimensions, as CloudWatch reads it from the lines."""
    return {
        (part["Namespace"], metric["Name"], tuple(dimensions))
        for lines in logs.values()
        for line in lines
        for part in line.get("_aws", {}).get("CloudWatchMetrics", [])
        for dimensions in part["Dimensions"]
        for metric in part["Metrics"]
        if metric["Name"] in line and all(dimension in line for dimension in dimensions)
    }


def metrics_of_alarms():
    for name in ["template", "management-account"]:
        for each, alarm in of_type(name, "AWS::CloudWatch::Alarm").items():
            parts = [part["MetricStat"]["Metric"] for part in alarm.get("Metrics", []) if "MetricStat" in part]
            for metric in parts or [alarm]:
                dimensions = tuple(dimension["Name"] for dimension in metric.get("Dimensions", []))
                yield each, (metric["Namespace"], metric["MetricName"], dimensions)


def metrics_of(widget):
    """Each metric of a widget: the parts of its name, or a search by one dimension."""
    for metric in widget.get("metrics", []):
        if isinstance(metric[0], dict):
            search = re.match(r"""SEARCH\('\{(\w+),(\w+)\} MetricName="(\w+)"', """, metric[0]["expression"])
            yield (search[1], search[3], (search[2],))
        else:
            parts = [each for each in metric if isinstance(each, str)]
            yield (parts[0], parts[1], tuple(parts[2::2]))


def check_query(title, query, logs):
    """Runs a query, in the part of the language that the dashboard uses, over the log of its group."""
    commands = [command.split(" ", 1) for command in query.split(" | ")]
    groups = [re.fullmatch(r"'\$\{(\w+)\}'", rest)[1] for command, rest in commands if command == "SOURCE"]
    # A query of the runbook is asked of both.
    matching, fields = [line for group in groups or logs for line in logs[group]], set()
    for command, rest in commands:
        if command == "SOURCE":
            continue
        if command == "filter":
            for each in rest.split(" and "):
                if present := re.fullmatch(r"ispresent\((\w+)\)", each):
                    matching = [line for line in matching if line.get(present[1]) is not None]
                    continue
                # like with a string: is contained, and upper and lower case count.
                field, operator, wanted = re.fullmatch(r'(\w+) (=|like) "([^"]+)"', each).groups()
                matching = [
                    line
                    for line in matching
                    if (line.get(field) == wanted if operator == "=" else wanted in line.get(field, ""))
                ]
        elif command not in ("limit", "stats"):
            fields |= {field.split(" ")[0] for field in rest.split(", ")}
    # What Insights knows of every line.
    fields.discard("@timestamp")
    check(matching, f"{title}: matches no line that the function writes")
    for field in sorted(fields if matching else []):
        check(any(line.get(field) is not None for line in matching), f"{title}: no line that it matches has {field}")
    # The language takes nothing but limit after dedup.
    check(not re.search(r"\| dedup [^|]+\| (?!limit )", query), f"{title}: nothing but limit may follow dedup")


def main():
    logs = {group: [line for arguments in runs for line in lines_of(arguments)] for group, runs in RUNS.items()}
    known = AWS_METRICS | written_metrics(logs)
    looked_at = list(metrics_of_alarms())
    (dashboard,) = of_type("template", "AWS::CloudWatch::Dashboard").values()
    widgets = [each["properties"] for each in json.loads(dashboard["DashboardBody"]["Fn::Sub"][0])["widgets"]]
    for widget in widgets:
        title = f"the dashboard, {widget['title']!r}"
        looked_at += [(title, metric) for metric in metrics_of(widget)]
        if "query" in widget:
            check_query(title, widget["query"], logs)
    runbook = re.findall(r"^ask '([^']+)'", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    for query in runbook:
        check_query(f"the runbook, {query!r}", query, logs)
    for where, metric in looked_at:
        check(metric in known, f"{where}: nothing writes the metric {metric}")
    end(f"{len(looked_at)} metrics and the queries of {len(widgets)} widgets and {len(runbook)} of the runbook find what AWS and the function write")


if __name__ == "__main__":
    main()
