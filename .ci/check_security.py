#!/usr/bin/env python3
"""Lets checkov judge both templates. Each finding is mended or has its reason here; a reason that nothing needs any
more is a finding too.

Usage: check_security.py FOLDER, the one that translate.py wrote; runs the checkov beside this Python.
"""

import json
import subprocess
import sys
from pathlib import Path

from wrong import WRONG, end

KEY = "a customer-managed key costs a key and a policy in each account, "
ENCRYPTED = (
    "SSE-SQS encrypts it (SqsManagedSseEnabled), which this check does not know; EventBridge cannot send to a queue "
    "that alias/aws/sqs encrypts; " + KEY + "for messages without a secret"
)
VPC = "it calls AWS's public endpoints in every Region, and nothing that is private"
ALARMS = (
    "alarms cannot publish to a topic that alias/aws/sns encrypts, whose policy does not let CloudWatch use it; "
    + KEY
    + "for messages that name an alarm and a number"
)
NO_SECRETS = KEY + "for variables that are ids, Regions and queue URLs, none of them a secret"
LOG = KEY + "for lines with account ids and AWS's texts, which CloudWatch Logs encrypts with its own key"

# Why each finding of a resource is accepted, by template.
ACCEPTED = {
    "template": {
        ("CKV_AWS_115", "AWS::Lambda::Function.EnrollFunction"): (
            "a reserved concurrency would throttle many accounts that join at once; the mapping's "
            "MaximumConcurrency bounds the retries"
        ),
        ("CKV_AWS_116", "AWS::Lambda::Function.EnrollFunction"): (
            "the on-failure destination of its EventInvokeConfig does what a DeadLetterConfig does, with the cause"
        ),
        ("CKV_AWS_116", "AWS::Lambda::Function.ReconcileFunction"): "the next run of the schedule is the retry",
        ("CKV_AWS_117", "AWS::Lambda::Function.EnrollFunction"): VPC,
        ("CKV_AWS_117", "AWS::Lambda::Function.ReconcileFunction"): VPC,
        ("CKV_AWS_158", "AWS::Logs::LogGroup.EnrollLogGroup"): LOG,
        ("CKV_AWS_158", "AWS::Logs::LogGroup.ReconcileLogGroup"): LOG,
        ("CKV_AWS_173", "AWS::Lambda::Function.EnrollFunction"): NO_SECRETS,
        ("CKV_AWS_173", "AWS::Lambda::Function.ReconcileFunction"): NO_SECRETS,
        ("CKV_AWS_26", "AWS::SNS::Topic.AlarmTopic"): ALARMS,
        ("CKV_AWS_27", "AWS::SQS::Queue.DeadLetterQueue"): ENCRYPTED,
        ("CKV_AWS_27", "AWS::SQS::Queue.RetryQueue"): ENCRYPTED,
    },
    "management-account": {
        ("CKV_AWS_26", "AWS::SNS::Topic.AlarmTopic"): ALARMS,
        ("CKV_AWS_27", "AWS::SQS::Queue.UndeliveredQueue"): ENCRYPTED,
    },
}


def judged(folder, name):
    """What checkov says of a template: its findings by check and resource, and how many checks passed."""
    checkov = Path(sys.executable).parent / "checkov"
    arguments = ["--framework", "cloudformation", "--file", f"{name}.json", "--output", "json", "--skip-download"]
    run = subprocess.run(
        # --soft-fail: what counts is decided here.
        [checkov, *arguments, "--quiet", "--soft-fail"],
        cwd=folder,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    report = json.loads(run.stdout)
    summary = report["summary"]
    if summary["parsing_errors"] or not summary["passed"]:
        sys.exit(f"checkov could not read {name}.json: {summary}")
    if summary["skipped"]:
        sys.exit(f"{name}: a finding is skipped in the template; its reason belongs into {Path(__file__).name}")
    findings = {(each["check_id"], each["resource"]): each["check_name"] for each in report["results"]["failed_checks"]}
    return findings, summary["passed"]


def main():
    folder = Path(sys.argv[1])
    for name, accepted in ACCEPTED.items():
        findings, passed = judged(folder, name)
        for check, resource in sorted(findings.keys() - accepted.keys()):
            WRONG.append(f"{name}: {check} {resource}: {findings[check, resource]}")
        for check, resource in sorted(accepted.keys() - findings.keys()):
            WRONG.append(f"{name}: {check} {resource} is accepted here, but is no finding any more")
        print(f"checkov {name}: {passed} checks passed, {len(findings)} findings")
    end("each finding has its reason")


if __name__ == "__main__":
    main()
