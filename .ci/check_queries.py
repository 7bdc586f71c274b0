#!/usr/bin/env python3
"""Runs the dashboard's queries over log lines that the function really wrote, and looks in them for the metrics that
the alarms and the dashboard show: a field, message or metric that is renamed must not leave an empty table behind.

Starts the real function through `cargo local`, which needs no AWS account and builds it where it is not built.

Usage: check_queries.py FOLDER, the one that translate.py wrote
"""

import json
import re
import subprocess
import sys
from pathlib import Path

from check_monitoring import ALARMS, OURS, ROOT, dashboard
from wrong import WRONG, end

# What the functions meet, so that each line, field and metric that is shown is written, into the log of the right one:
# the arguments of `cargo local` for each run.
EVENT = "events/create-account-result.json"
REFUSED = "Operation failed because your organization master must first enable GuardDuty to be added as a member"
DENIED = "error=400/AccessDeniedException/not authorized"
ORGANIZATION = ["reconcile", "--accounts", "5", "--regions", "2", "--unpaced"]
RUNS = {
    "EnrollLogGroup": [
        [EVENT],
        [
            EVENT,
            *("--fault", f"CreateMembers@eu-west-1:unprocessed={REFUSED}"),
            *("--fault", "CreateMembers@us-east-1:unprocessed=Some new text"),
        ],
    ],
    "ReconcileLogGroup": [
        # Nothing is left to do; a Region has a gap and another is blocked; no account can be listed.
        ORGANIZATION,
        [
            *(*ORGANIZATION, "--missing", "100%"),
            *("--fault", "CreateMembers@eu-west-1:unprocessed=Internal error"),
            *("--fault", "ListDetectors@us-east-1:error=403/AccessDeniedException/not authorized"),
        ],
        [*ORGANIZATION, "--fault", f"ListAccounts:{DENIED}"],
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


def condition(text):
    """A test of a line for one condition of `filter`: field = "text" or field like "text"."""
    parts = re.fullmatch(r'(\w+) (=|like) "([^"]+)"', text)
    if parts is None:
        raise ValueError(f"cannot read the condition {text}")
    field, operator, wanted = parts.groups()
    # like with a string: is contained, and upper and lower case count.
    holds = (lambda found: found == wanted) if operator == "=" else (lambda found: wanted in found)
    return field, lambda line: isinstance(line.get(field), str) and holds(line[field])


class Query:
    """A query, in the part of the language that the dashboard uses."""

    def __init__(self, text):
        self.source, self.conditions, self.fields = None, [], set()
        commands = text.split(" | ")
        # The language takes nothing but limit after dedup.
        names = [each.split(" ")[0] for each in commands]
        if "dedup" in names and set(names[names.index("dedup") + 1 :]) - {"limit"}:
            raise ValueError("nothing but limit may stand after dedup")
        for command in commands:
            self.read(*command.split(" ", 1))
        # What Insights knows of every line.
        self.fields.discard("@timestamp")

    def read(self, name, rest):
        if name == "SOURCE":
            self.source = re.fullmatch(r"'<(\w+)>'", rest)[1]
        elif name == "filter":
            tests = [condition(each) for each in rest.split(" and ")]
            self.fields |= {field for field, _ in tests}
            self.conditions += [test for _, test in tests]
        elif name in ("fields", "dedup"):
            self.fields |= set(rest.split(", "))
        elif name == "sort":
            field, direction = rest.split(" ")
            self.fields.add(field)
            if direction not in ("asc", "desc"):
                raise ValueError(f"cannot sort {direction}")
        elif name == "limit":
            int(rest)
        else:
            raise ValueError(f"cannot read the command {name}")

    def matching(self, lines):
        return [line for line in lines if all(test(line) for test in self.conditions)]


def check_query(title, text, logs):
    """What is wrong with a query."""
    try:
        query = Query(text)
    except (ValueError, TypeError) as error:
        return [f"{title}: {error}"]
    matching = query.matching(logs.get(query.source, []))
    if not matching:
        return [f"{title}: matches no line that the function writes into {query.source}"]
    written = {field for line in matching for field, value in line.items() if value is not None}
    print(f"{title}: {len(matching)} lines, {len(query.fields)} fields")
    return [f"{title}: no line that it matches has {field}" for field in sorted(query.fields - written)]


def written_metrics(logs):
    """Each metric of ours with its dimensions, as CloudWatch reads it from the lines."""
    return {
        (metric["Name"], tuple(dimensions))
        for lines in logs.values()
        for line in lines
        for part in line.get("_aws", {}).get("CloudWatchMetrics", [])
        if part["Namespace"] == OURS
        for dimensions in part["Dimensions"]
        for metric in part["Metrics"]
        if metric["Name"] in line and all(dimension in line for dimension in dimensions)
    }


def shown_metrics(widgets, template):
    """Each metric of ours that an alarm or a widget shows, with its dimensions."""
    for widget in widgets:
        for metric in widget["properties"].get("metrics", []):
            if metric[0] == OURS:
                yield metric[1], tuple(each for each in metric[2::2] if isinstance(each, str))
            elif isinstance(metric[0], dict):
                search = re.match(r"""SEARCH\('\{\w+,(\w+)\} MetricName="(\w+)"'""", metric[0]["expression"])
                yield search[2], (search[1],)
    for name, (metric, dimensions, _) in ALARMS["template"].items():
        if OURS in json.dumps(template["Resources"][name]):
            yield metric, tuple(dimensions)


def main():
    template = json.loads((Path(sys.argv[1]) / "template.json").read_text(encoding="utf-8"))
    logs = {
        group: [line for arguments in runs for line in lines_of(arguments)] for group, runs in RUNS.items()
    }
    widgets = dashboard(template)
    for widget in widgets:
        if widget["type"] == "log":
            title = widget["properties"]["title"].partition(":")[0]
            WRONG.extend(check_query(title, widget["properties"]["query"], logs))
    written = written_metrics(logs)
    shown = set(shown_metrics(widgets, template))
    for name, dimensions in sorted(shown - written):
        WRONG.append(f"the function wrote no metric {name} with the dimensions {list(dimensions)}")
    end(f"{len(shown)} metrics of ours are shown, {len(shown & written)} of them were written")


if __name__ == "__main__":
    main()
