#!/usr/bin/env python3
"""Creates both stacks on ministack, with the commands of the docs, and lets everything happen: events, dead letters,
retries, redrives, a reconcile, and the end of the stacks. IAM is enforced, over TLS.

ministack_server.py says what ministack lacks and how that is made up for. GuardDuty, Organizations and Account
Management of the function are local-aws.

Usage: check_stack.py AWS SAM BUILD RELEASE
AWS is the AWS CLI, version 2; version 1, of the environment that runs this, does what a version 2 before mid-2023
cannot. BUILD is what `sam build` made, RELEASE what .ci/release made.
"""

import json
import os
import re
import shutil
import signal
import sys
import time
import urllib.request
from pathlib import Path

import boto3
import yaml
from botocore.exceptions import ClientError
from guide import Guide, check_permissions
from lambda_emulator import (
    LocalAws,
    Server,
    check,
    check_nothing_else_listens,
    check_on_loopback,
    equal,
    free_port,
    wait_until,
)
from repository import ADMINISTRATOR, CREATED, INVITED, LAST_ATTEMPT, MANAGEMENT, ROOT, sample

FOLDER = ROOT / "target" / "stack"
PROCESSOR = "arm64" if os.uname().machine in {"arm64", "aarch64"} else "x86_64"
HOME, EVENTS_HOME = "eu-west-1", "us-east-1"
REGIONS = ["us-east-1", "eu-west-1", "eu-central-1"]
# 46 minutes of retries in 40 s.
TIME_SCALE = 75
# What the function asks of SQS for a pair that does not heal.
WAITS = [30, 60, 120, 240, 480, 900, 900]
REFUSAL = "The request is rejected because it cannot exceed the maximum number of allowed members"
UNREADABLE = 'not JSON, and of nobody we know: {"accountId": '

BLOCKS_NOT_RUN = {
    ("README.md", "cargo local events/"): "no AWS; .ci/fresh runs it",
    ("README.md", "pip install aws-sam-cli"): "the same as in docs/deploy.md",
    ("docs/deploy.md", "pip install aws-sam-cli"): "installs the tools, as .ci/venv does",
    ("docs/deploy.md", "cargo lambda deploy"): "needs another build of the code; .ci/package runs cargo lambda build",
    ("docs/deploy.md", "git pull"): "the commands of the first deployment again",
    ("docs/deploy.md", "cargo local reconcile"): "no AWS",
}
NO_MEMBERS = "neither ministack nor local-aws has GuardDuty's side of the management account"
COMMANDS_NOT_RUN = {
    "guardduty create-detector": NO_MEMBERS,
    "guardduty list-organization-admin-accounts": NO_MEMBERS,
    "guardduty enable-organization-admin-account": NO_MEMBERS,
    "organizations enable-aws-service-access": "ministack has no trusted access",
    "organizations list-aws-service-access-for-organization": "ministack has no trusted access",
    "organizations describe-effective-policy": "ministack has no effective policies",
    "account get-region-opt-status": "ministack has no opt-in Regions",
    "account enable-region": "ministack has no opt-in Regions",
    "lambda get-function-configuration": "in a block that needs another build of the code",
    "signer start-signing-job": "ministack has no Signer",
    "lambda list-event-source-mappings": "part of a sentence; the test asks for the mapping itself",
    "events list-rules": "part of a sentence; the test asks for the rule itself",
}

# Calls of the docs go to the engine. What an engine lacks prints nothing and succeeds.
AWS = """#!/usr/bin/env bash
call="$1 $2"
case $call in
{not_run}) exit 0 ;;
# They call S3 too, and a version 2 before 2.13 has no address for all services.
"cloudformation package" | "cloudformation deploy") run=(env AWS_ENDPOINT_URL={engine} {version_1}) ;;
"sqs start-message-move-task") run=({version_1} --endpoint-url {engine} --region "$AWS_REGION") ;;
guardduty\\ *) run=({version_2} --endpoint-url {gate}) ;;
*) run=({version_2} --endpoint-url {engine}) ;;
esac
"${{run[@]}}" "$@"
status=$?
echo "$status $call" >>{calls}
exit $status
"""
SAM = """#!/usr/bin/env bash
# .ci/package builds.
[[ $1 == build ]] || AWS_ENDPOINT_URL={engine} exec {sam} "$@"
"""


class Engine(Server):
    def __init__(self):
        self.port, self.gate_port, self.local_port = free_port(), free_port(), free_port()
        self.address, self.gate = (f"{scheme}:{port}" for scheme, port in [
            ("https://127.0.0.1", self.port), ("http://127.0.0.1", self.gate_port)])  # fmt: skip
        folder = FOLDER / "ministack"
        folder.mkdir()
        self.certificate = folder / "ministack-tls" / "server.crt"
        launcher, local = ROOT / ".ci" / "ministack_server.py", f"http://127.0.0.1:{self.local_port}"
        command = [sys.executable, launcher, str(self.port), str(self.gate_port), local, str(TIME_SCALE)]
        super().__init__(command, {"TMPDIR": str(folder), "MANAGEMENT": MANAGEMENT})
        self.wait_for(f"Running on {self.address}")
        for port in [self.port, self.gate_port]:
            check_on_loopback(port, "ministack")

    def check_on_loopback(self):
        """All of it, with the functions that it has started."""
        check_nothing_else_listens(self.process.pid, [self.port, self.gate_port])

    def guardduty(self, *faults, more=()):
        return LocalAws(*faults, port=self.local_port, more=more)

    def client(self, service, account=ADMINISTRATOR, region=HOME, **session):
        keys = session or {"aws_access_key_id": account, "aws_secret_access_key": "test"}
        address = {"guardduty": self.gate}.get(service, self.address)
        return boto3.client(service, region_name=region, endpoint_url=address, verify=str(self.certificate), **keys)

    def ask(self, path, **data):
        request = urllib.request.Request(f"{self.gate}/{path}", data=json.dumps(data).encode())
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)

    def emit(self, name):
        """A service's event, on the default bus of the management account."""
        answer = self.ask("emit", account=MANAGEMENT, region=EVENTS_HOME, event=sample(name))
        equal(answer["FailedEntryCount"], 0, f"entries that failed of {name}")

    def said(self):
        """What the launcher and CloudFormation found wrong, for whoever reads a failure."""
        pattern = r"^.*(?:\[stack\] (?!asked of SQS)|CREATE_FAILED|dispatch error).*$"
        wrong = re.findall(pattern, self.text(), re.MULTILINE)
        return "\n".join(["the engine's log says:", *wrong[-12:]]) if wrong else "the engine's log names no cause"

    def waits(self):
        # A dead letter is sent with no wait.
        return [int(seconds) for seconds in re.findall(r"asked of SQS: \w+ ([1-9]\d*) s", self.text())]

    def members(self, region):
        guardduty = self.client("guardduty", region=region)
        (detector,) = guardduty.list_detectors()["DetectorIds"]
        members = guardduty.list_members(DetectorId=detector)["Members"]
        return {each["AccountId"] for each in members if each["RelationshipStatus"] == "Enabled"}


class Stack:
    """The administrator's stack, by its outputs."""

    def __init__(self, engine, name):
        self.engine, self.name, self.sqs = engine, name, engine.client("sqs")
        cloudformation = engine.client("cloudformation")
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        self.outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
        self.dead_letters, self.retries = self.outputs["DeadLetterQueueUrl"], self.outputs["RetryQueueUrl"]
        resources = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
        self.resources = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in resources}

    def count(self, queue):
        """All messages of a queue: visible, in flight, delayed."""
        attributes = self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
        return sum(int(attributes[f"ApproximateNumberOfMessages{name}"]) for name in ["", "NotVisible", "Delayed"])

    def wait_for_dead_letters(self, count, seconds):
        what = f"{count} messages in the dead-letter queue"
        wait_until(lambda: self.count(self.dead_letters) >= count, what, seconds)
        equal(self.count(self.dead_letters), count, "messages in the dead-letter queue")

    def wait_until_enrolled(self, account, seconds=60):
        def enrolled():
            return all(account in self.engine.members(region) for region in REGIONS)

        wait_until(enrolled, f"{account} is a member in {REGIONS}", seconds)
        wait_until(lambda: self.count(self.retries) == 0, "the retry queue is empty")
        equal(self.count(self.dead_letters), 0, "messages in the dead-letter queue")


def make_guide(engine, aws, sam):
    tools = FOLDER / "tools"
    tools.mkdir()
    values = {
        "not_run": "|".join(f'"{command}"' for command in COMMANDS_NOT_RUN),
        "version_1": Path(sys.executable).with_name("aws"), "version_2": aws, "sam": sam,
        "engine": engine.address, "gate": engine.gate, "calls": FOLDER / "calls",
    }  # fmt: skip
    for name, text in {"aws": AWS, "sam": SAM}.items():
        (tools / name).write_text(text.format(**values), encoding="utf-8")
        (tools / name).chmod(0o755)
    profiles = {"management": MANAGEMENT, "administrator": ADMINISTRATOR}
    keys = "[profile {}]\naws_access_key_id = {}\naws_secret_access_key = test\n"
    text = "".join(keys.format(*profile) for profile in profiles.items())
    (FOLDER / "config").write_text(text, encoding="utf-8")
    environment = {
        **Server.plain_environment(),
        "PATH": f"{tools}:{os.environ['PATH']}",
        "AWS_CONFIG_FILE": str(FOLDER / "config"), "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_CA_BUNDLE": str(engine.certificate), "AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": "",
        "SAM_CLI_TELEMETRY": "0",
    }  # fmt: skip
    placeholders = {
        "the trail's ARN": f"arn:aws:cloudtrail:{EVENTS_HOME}:{MANAGEMENT}:trail/organization",
        "Region": HOME,
        "address": "security@example.com",
        "link": "https://git.example.com/guardduty-enroller/docs/operations.md",
        "one of these": CREATED,
        "arm64 or x86_64": PROCESSOR,
        "the Region of the stack": HOME,
        "its name": "guardduty-enroller",
    }
    return Guide(FOLDER, environment, placeholders, BLOCKS_NOT_RUN, COMMANDS_NOT_RUN)


def built_parameters():
    """The parameters in the order in which `sam deploy --guided` asks for them."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("!", lambda *_: None)
    built = (FOLDER / ".aws-sam" / "build" / "template.yaml").read_text(encoding="utf-8")
    return list(yaml.load(built, Loader)["Parameters"])


def preflight(guide):
    guide.run("docs/deploy.md", "report.json")
    report = json.loads((FOLDER / "report.json").read_text(encoding="utf-8"))
    equal((report["complete"], report["dryRun"]), (True, True), f"the preflight: {report}")


def deploy_release(engine, guide, release):
    """The shortest way: the files of a release, with the AWS CLI alone. What it made goes again."""
    deploy_md, folder = "docs/deploy.md", FOLDER / "release"
    shutil.copytree(release, folder)
    guide.run(deploy_md, "export MANAGEMENT=")
    sums = guide.run(deploy_md, "sha256sum --check", folder=folder).splitlines()
    check(sums and all(line.endswith(": OK") for line in sums), f"the sums: {sums}")
    guide.run(deploy_md, "aws cloudformation package", folder=folder)
    said = guide.run(deploy_md, "--template-file packaged.yaml", folder=folder)
    check(re.search(r"^arn:aws:events:", said, re.MULTILINE), f"the bus of the stack: {said}")
    preflight(guide)
    cloudformation, sqs = engine.client("cloudformation"), engine.client("sqs")
    cloudformation.delete_stack(StackName="guardduty-enroller")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="guardduty-enroller", WaiterConfig={"Delay": 1})
    (left,) = sqs.list_queues()["QueueUrls"]
    sqs.delete_queue(QueueUrl=left)
    print("a release: its sums are right, the AWS CLI alone deploys it, and its functions run")


def deploy(engine, guide):
    """Steps 1 to 5 of docs/deploy.md. GuardDuty has everybody as a member, so the function changes nothing."""
    trail = engine.client("cloudtrail", MANAGEMENT, EVENTS_HOME)
    engine.client("s3", MANAGEMENT, EVENTS_HOME).create_bucket(Bucket="trail")
    trail.create_trail(Name="organization", S3BucketName="trail", IsMultiRegionTrail=True)
    trail.start_logging(Name="organization")
    deploy_md = "docs/deploy.md"
    equal(guide.run(deploy_md, "export AWS_PROFILE=management AWS_REGION=us-east-1\naws sts").strip(), MANAGEMENT, "M")
    said = guide.run(deploy_md, "aws cloudtrail describe-trails")
    check("true" in said.lower() and '"IncludeManagementEvents": true' in said, f"the trail: {said}")
    guide.run(deploy_md, "enable-aws-service-access")
    guide.run(deploy_md, "get-region-opt-status")
    guide.run(deploy_md, "enable-organization-admin-account")
    equal(guide.run(deploy_md, "export AWS_PROFILE=administrator AWS_REGION=$HOME_REGION\naws sts").strip(), ADMINISTRATOR, "A")
    detectors = guide.run(deploy_md, "list-detectors --region \"$region\" --query 'DetectorIds[0]' --output text)\"")
    check(re.fullmatch(r"(\S+ [0-9a-f]{32}\n){3}", detectors), f"a detector in each Region: {detectors}")
    executions = guide.run(deploy_md, "get-account-settings")
    check(int(executions) >= 101, f"unreserved executions: {executions}")

    answers = {
        "Architecture": PROCESSOR,
        "ManagementAccountId": MANAGEMENT,
        "Regions": ",".join(REGIONS),
        "AlarmEmail": "security@example.com",
        "ReconcileMode": "enroll",
    }
    given = [answers.get(name, "") for name in built_parameters()]
    # Three questions on, sam asks whether the code is to be signed.
    typed = ["guardduty-enroller", "", *given, *[""] * 3, "n", *[""] * 3]
    guide.run(deploy_md, "sam deploy --guided", answers="\n".join(typed) + "\n")
    check((FOLDER / "samconfig.toml").is_file(), "sam deploy --guided kept the answers")
    said = guide.run(deploy_md, "export STACK=")
    check('"CREATE_COMPLETE"' in said, f"the stack: {said}")
    print("the administrator's stack is there, by sam deploy --guided")
    preflight(guide)

    said = guide.run(deploy_md, "--template-file management-account.yaml")
    check("Successfully created/updated stack - guardduty-enroller-events" in said, said)
    check('"Result": true' in guide.run(deploy_md, "test-event-pattern"), "the rule takes the sample")
    members = guide.run(deploy_md, "list-members").split("{")[0].split()
    check(CREATED in members, f"members that are enabled: {members}")
    reply = json.loads((FOLDER / "reply.json").read_text(encoding="utf-8"))
    found = {pair["outcome"] for pair in reply["accounts"][0]["regions"].values()}
    equal(found, {"already-enabled"}, f"the call by hand: {reply}")
    print("the management account's stack is there; preflight and call by hand are as the docs say")
    # ministack does not refuse an address that is in use, and sends no event.
    guide.run(deploy_md, "organizations create-account")
    engine.emit("create-account-result-failed.json")
    said = wait_until(
        lambda: (text := guide.run(deploy_md, "filter-log-events")) and "no account to enroll" in text and text,
        "the event came to the function by both rules and the bus, and its line is in the log",
    )
    check("event ignored" in said, f"the failed account: {said}")
    print("an event of a failed account goes the whole way and is ignored")


def receive(guide):
    """The dead letters, as the runbook reads them."""
    return json.loads(guide.run("docs/operations.md", "aws sqs receive-message --queue-url \"$DEAD_LETTER"))["Messages"]


def redrive(guide):
    guide.run("docs/operations.md", "start-message-move-task")


def check_record(message, region, expected):
    """One of the function's own records: every field, the attributes, and nobody's address."""
    check("@" not in json.dumps(message), f"an e-mail address in {message}")
    body = json.loads(message["Body"])
    attributes = {name: each["StringValue"] for name, each in message["MessageAttributes"].items()}
    wanted = {"accountId": body["accountId"], "region": region, "reason": expected["reason"]}
    equal(attributes, wanted, "message attributes")
    time_pattern = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    for name, pattern in {
        "detectorId": "[0-9a-f]{32}",
        "firstFailedAt": time_pattern,
        "lastFailedAt": time_pattern,
        "eventId": "[0-9a-f-]{36}",
        "eventTime": time_pattern,
    }.items():
        value = body.pop(name)
        check(re.fullmatch(pattern, value or ""), f"{name} is {value!r}")
    equal(body, {"version": 1, "accountId": CREATED, "region": region, **expected}, "the rest of the record")


def check_join(engine, stack, guide):
    """A refusal, a failure that does not heal, and a message that nobody can read; all but that end enrolled."""
    (mapping,) = engine.client("lambda").list_event_source_mappings(FunctionName=stack.outputs["FunctionName"])[
        "EventSourceMappings"
    ]
    equal(mapping["State"], "Enabled", "the event source mapping")
    before = len(engine.waits())
    with engine.guardduty(
        f"CreateMembers@us-east-1/{CREATED}:unprocessed={REFUSAL}:first=1",
        f"CreateMembers@eu-west-1/{CREATED}:unprocessed=Internal error:first={LAST_ATTEMPT}",
    ) as aws:
        start = time.monotonic()
        unreadable = stack.sqs.send_message(
            QueueUrl=stack.retries,
            MessageBody=UNREADABLE,
            MessageAttributes={"from": {"DataType": "String", "StringValue": "elsewhere"}},
        )["MessageId"]
        engine.emit("create-account-result.json")
        stack.wait_for_dead_letters(1, 30)
        (message,) = receive(guide)
        refused = {"outcome": "refused", "reason": "member-limit-reached", "result": REFUSAL, "attempts": 1}
        check_record(message, "us-east-1", refused)
        equal(engine.members("eu-central-1"), {CREATED}, "members in eu-central-1")
        print("an event: a member where nothing is wrong, a refusal is a dead letter")

        stack.wait_for_dead_letters(3, 150)
        equal(engine.waits()[before:], WAITS, "the waits, in seconds, that were asked of SQS")
        stack.sqs.change_message_visibility(
            QueueUrl=stack.dead_letters, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
        )
        messages = {each["MessageId"]: each for each in receive(guide)}
        equal(len(messages), 3, "dead letters")
        foreign = messages.pop(unreadable)
        equal((foreign["Body"], foreign["MessageAttributes"]["from"]["StringValue"]), (UNREADABLE, "elsewhere"), "it")
        (given_up,) = [each for each in messages.values() if "Internal error" in each["Body"]]
        last = {"outcome": "deferred", "reason": "internal-error", "result": "Internal error"}
        check_record(given_up, "eu-west-1", {**last, "attempts": LAST_ATTEMPT})
        print(f"a failure: given up at attempt {LAST_ATTEMPT}; SQS itself moved what nobody can read")

        stack.sqs.delete_message(QueueUrl=stack.dead_letters, ReceiptHandle=foreign["ReceiptHandle"])
        redrive(guide)
        stack.wait_until_enrolled(CREATED)
        check(not re.search(r"POST.*5\d\d", aws.text()), "local-aws was well")
    print(f"redriven: enrolled everywhere, both queues empty ({time.monotonic() - start:.0f} s)")


def check_failed_event(engine, stack, guide):
    """The function may not send to the retry queue for a while: it fails at the event three times."""
    iam, role = engine.client("iam"), stack.resources["EnrollRole"]
    deny = {"Effect": "Deny", "Action": "sqs:SendMessage", "Resource": stack.outputs["RetryQueueArn"]}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    with engine.guardduty(f"CreateMembers@eu-west-1/{INVITED}:unprocessed=Internal error:first=3") as aws:
        iam.put_role_policy(RoleName=role, PolicyName="outage", PolicyDocument=policy)
        engine.emit("account-joined-invited.json")
        stack.wait_for_dead_letters(1, 60)
        record = json.loads(receive(guide)[0]["Body"])
        equal(record["requestContext"]["condition"], "RetriesExhausted", f"the condition in {record}")
        equal(record["responsePayload"]["errorType"], "NotEnqueued", f"the error in {record}")
        equal(record["requestPayload"]["detail"], sample("account-joined-invited.json")["detail"], "the event in it")
        calls = len(re.findall(r"CreateMembers +eu-west-1", aws.text()))
        equal(calls, 3, "runs of the function")
        iam.delete_role_policy(RoleName=role, PolicyName="outage")
        redrive(guide)
        stack.wait_until_enrolled(INVITED)
    print("an event that the function fails at three times: an on-failure record, redriven, enrolled")


def check_reconcile(engine, stack):
    """What the schedule sends, to the function that it names."""
    events = engine.client("events")
    rule = stack.resources["ReconcileRule"].split("/")[-1]
    check(events.describe_rule(Name=rule)["State"] == "ENABLED", f"{rule} is enabled")
    (target,) = events.list_targets_by_rule(Rule=rule)["Targets"]
    with engine.guardduty():
        invoked = engine.client("lambda").invoke(FunctionName=target["Arn"], Payload=target["Input"])
        report = json.load(invoked["Payload"])
        equal((report.get("complete"), report.get("dryRun")), (True, False), f"the reconcile: {report}")
        for region in REGIONS:
            equal(report["regions"][region]["enrolled"], 3, f"accounts that were enrolled in {region}")
            equal(engine.members(region), {MANAGEMENT, CREATED, INVITED}, f"members in {region}")
    print("the schedule's input: every account enrolled everywhere")


def refused(call, **arguments):
    """Whether IAM denies a call."""
    try:
        call(**arguments)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        check("AccessDenied" in code, f"{call.__name__}: {error}")
        return True
    return False


def check_permissions_bite(engine, stack):
    """The roles' own calls, by their functions' credentials: what they need is allowed, the rest is denied."""

    def clients(output):
        keys = engine.ask("credentials", account=ADMINISTRATOR, region=HOME, function=stack.outputs[output])
        session = {name.lower(): value for name, value in keys.items()}
        return engine.client("sqs", **session), engine.client("guardduty", **session)

    enroll_sqs, enroll_guardduty = clients("FunctionName")
    reconcile_sqs, reconcile_guardduty = clients("ReconcileFunctionName")
    retries, dead_letters = {"QueueUrl": stack.retries}, {"QueueUrl": stack.dead_letters}
    detector = {"DetectorId": enroll_guardduty.list_detectors()["DetectorIds"][0]}
    for denied, call, arguments in [
        (False, enroll_sqs.get_queue_attributes, retries),
        (True, enroll_sqs.receive_message, dead_letters),
        (True, enroll_sqs.purge_queue, retries),
        (True, enroll_guardduty.list_members, detector),
        (False, reconcile_guardduty.list_members, detector),
        (True, reconcile_guardduty.delete_members, {**detector, "AccountIds": [CREATED]}),
        (True, reconcile_sqs.send_message, {**retries, "MessageBody": "x"}),
    ]:
        equal(refused(call, **arguments), denied, f"whether {call.__name__} with {arguments} is denied")

    # Behind a proxy that says the call came without TLS.
    plain = clients("FunctionName")[0]
    header = {"x-forwarded-proto": "http"}
    plain.meta.events.register("before-send", lambda request, **_: request.headers.update(header))
    equal(refused(plain.get_queue_attributes, **retries), True, "whether a call without TLS is denied")
    print("IAM: the roles' calls are allowed, others are denied, and so is a call without TLS")


def run_runbook(engine, guide):
    """The blocks of docs/operations.md that no failure needs."""
    operations = "docs/operations.md"
    with engine.guardduty(more=["--auto-enable", "all"]):
        guide.run(operations, "--payload '{\"accounts\": [\"444455556666\"]}' reply.json")
        guide.run(operations, "wait_for() {")
        guide.run(operations, "--payload '{\"reconcile\": {\"dryRun\": true}}' report.json\npython3")
        guide.run(operations, "\"plans\": true")
        guide.run(operations, "cargo local report report.json")
        guide.run(operations, "describe-effective-policy")
        guide.run(operations, "ask() {")
        for text in ["accountId = ", "ispresent(lost)", "ispresent(missedJoin)"]:
            guide.run(operations, text)
        guide.run(operations, "not enabled after a reconcile")
    # A person has looked at one of two already, and has its receipt handle.
    (stack,) = engine.client("cloudformation", MANAGEMENT, EVENTS_HOME).describe_stacks()["Stacks"]
    (queue,) = [each["OutputValue"] for each in stack["Outputs"] if each["OutputKey"] == "UndeliveredQueueUrl"]
    sqs = engine.client("sqs", MANAGEMENT, EVENTS_HOME)
    for event in ["one event", "another event"]:
        sqs.send_message(QueueUrl=queue, MessageBody=event)
    (message,) = sqs.receive_message(QueueUrl=queue, VisibilityTimeout=60)["Messages"]
    guide.run(operations, "aws sqs delete-message", **{"its ReceiptHandle": message["ReceiptHandle"]})


def remove(engine, stack, guide):
    """The dead letters outlive the stack."""
    stack.sqs.send_message(QueueUrl=stack.dead_letters, MessageBody="an account that is not protected")
    guide.run("docs/deploy.md", "delete-stack")
    guide.run("docs/deploy.md", "sam delete", answers="y\n" * 5)
    left = set(stack.sqs.list_queues().get("QueueUrls", []))
    equal(left, {stack.dead_letters}, "queues that outlive the stack")
    equal(stack.count(stack.dead_letters), 1, "messages in the dead-letter queue")
    left = engine.client("lambda").list_functions()["Functions"]
    equal([each["FunctionName"] for each in left], [], "functions that outlive the stack")
    print("both stacks are deleted; the dead-letter queue is left with its message, the retry queue is gone")


def check_all(engine, guide, release, start):
    with engine.guardduty(more=["--auto-enable", "all"]):
        deploy_release(engine, guide, release)
        deploy(engine, guide)
    print(f"(after {time.monotonic() - start:.0f} s)")
    stack = Stack(engine, "guardduty-enroller")
    guide.run("docs/operations.md", "export AWS_PROFILE=administrator")
    check_join(engine, stack, guide)
    check_failed_event(engine, stack, guide)
    check_reconcile(engine, stack)
    with engine.guardduty():
        check_permissions_bite(engine, stack)
    run_runbook(engine, guide)
    engine.check_on_loopback()
    remove(engine, stack, guide)
    guide.check_complete()


def main():
    # So that what was started is ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("error: ended by a signal"))
    aws, sam, build, release = sys.argv[1:]
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    for path in [build, ROOT / "events", ROOT / "management-account.yaml"]:
        (FOLDER / (".aws-sam" if path == build else path.name)).symlink_to(Path(path).resolve())
    check_permissions("docs/deploy.md", {"cloudformation", "s3", "sts", "sqs"})
    start = time.monotonic()
    with Engine() as engine:
        guide = make_guide(engine, aws, sam)
        try:
            check_all(engine, guide, release, start)
        except SystemExit as error:
            raise SystemExit(f"{error}\n{engine.said()}") from None
    print(f"every block and AWS command of the docs was run or is named as not run ({time.monotonic() - start:.0f} s)")


if __name__ == "__main__":
    main()
