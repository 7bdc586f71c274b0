#!/usr/bin/env python3
"""Holds local-aws to AWS's own service models, as botocore carries and parses them.

Starts `local-aws serve` and sends every operation that local-aws has good and bad input, without botocore's own
validation. Most of it is made from the models: for each limit of each input member (required, min, max, pattern, enum,
type) one request just inside, which must pass, and one just outside, which must be refused. Every answer is compared
with the output shape of the operation, every error with the exceptions of the operation. What the models do not say,
or say wrongly, stands below with its reason. Prints each finding; exits with 1 where there is one.

Usage: check_contract.py [LOCAL_AWS]     (target/debug/local-aws, as `cargo build --package local-aws` makes it)
"""

import base64
import binascii
import json
import os
import re
import subprocess
import sys
import threading
from collections import Counter, deque
from pathlib import Path

# Nobody's AWS profile may change the result.
os.environ.update(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)
os.environ.pop("AWS_PROFILE", None)

import botocore  # noqa: E402
from botocore import xform_name  # noqa: E402
from botocore.config import Config  # noqa: E402
from botocore.exceptions import ClientError  # noqa: E402
from botocore.session import Session  # noqa: E402

BINARY = Path(__file__).resolve().parent.parent / "target/debug/local-aws"
CONTENT_TYPES = {
    "guardduty": "application/json",
    "account": "application/json",
    "organizations": "application/x-amz-json-1.1",
    "sqs": "application/x-amz-json-1.0",
}

# The code of a member that breaks a limit. SQS has no exception for it in its model: see COMMON.
INVALID = {
    "guardduty": {"BadRequestException"},
    "organizations": {"InvalidInputException"},
    "account": {"ValidationException"},
}

# Errors that no operation's model lists. UnknownOperationException and UnrecognizedClientException stand on the page
# "Common Error Types" of AWS's API references. ASSUMED: SerializationException, which AWS's servers are known to
# answer where a body cannot be read.
COMMON = {
    "UnknownOperationException": 404,
    "UnrecognizedClientException": 403,
    "SerializationException": 400,
}
# SQS's own list of common errors, from the time of its query protocol. ASSUMED: that JSON requests get them as well.
COMMON_OF_SQS = {"InvalidParameterValue": 400, "MissingParameter": 400}

# Limits that AWS writes only into the documentation of a member (botocore carries that too): by service and member.
BATCH = {"min": 1, "max": 10}
ATTRIBUTE = "^[A-Za-z0-9_.-]+$"
DOCUMENTED = {
    ("guardduty", "Email"): {"min": 6, "max": 64},
    # ASSUMED: the model says only that it is 12 characters long.
    ("guardduty", "AccountId"): {"pattern": "^[0-9]+$"},
    ("guardduty", "AccountIds[]"): {"pattern": "^[0-9]+$"},
    # ASSUMED: the words; the model has no enum for this string.
    ("guardduty", "OnlyAssociated"): {"enum": ["true", "false", "TRUE", "False"]},
    ("sqs", "DelaySeconds"): {"min": 0, "max": 900},
    ("sqs", "VisibilityTimeout"): {"min": 0, "max": 43_200},
    ("sqs", "MaxNumberOfMessages"): {"min": 1, "max": 10},
    # From the SQS quotas, like the number of message attributes.
    ("sqs", "WaitTimeSeconds"): {"min": 0, "max": 20},
    ("sqs", "MessageAttributes"): {"max": 10},
    ("sqs", "MessageAttributes{}"): {"max": 256, "pattern": ATTRIBUTE},
    ("sqs", "MessageBody"): {"min": 1, "max": 1_048_576},
    ("sqs", "Entries"): BATCH,
    ("sqs", "Id"): {"max": 80, "pattern": "^[A-Za-z0-9_-]+$"},
    ("sqs", "QueueName"): {"max": 80, "pattern": "^[A-Za-z0-9_-]+$"},
}

# Members that name something. A value that keeps all limits is still refused where there is no such thing.
NAMES = {
    ("guardduty", "DetectorId"): "BadRequestException",
    ("guardduty", "NextToken"): "BadRequestException",
    ("organizations", "NextToken"): "InvalidInputException",
    ("organizations", "AccountId"): "AccountNotFoundException",
    ("account", "NextToken"): "ValidationException",
    # Only the management account and a delegated administrator for Account Management may name an account.
    ("account", "AccountId"): "AccessDeniedException",
    ("sqs", "QueueName"): "QueueDoesNotExist",
    ("sqs", "QueueUrl"): "QueueDoesNotExist",
    ("sqs", "QueueOwnerAWSAccountId"): "QueueDoesNotExist",
}

# Where the real service is known or assumed to differ from its model or documentation. One that is not met is a
# finding as well. First what is refused although it lies inside the limits: operation, member, value → code.
LONGEST = "the 12 hours count from the receive, so that no time may have passed since (SQS documentation)"
FIFO = "it is for FIFO queues, and those here are standard queues (SQS documentation)"
REFUSED = {
    ("ChangeMessageVisibility", "VisibilityTimeout", 43_200): ("InvalidParameterValue", LONGEST),
    ("ChangeMessageVisibilityBatch", "VisibilityTimeout", 43_200): ("InvalidParameterValue", LONGEST),
}
# Then what an answer lacks although its shape requires it.
LACKING = {
    ("SendMessageBatch", "Successful"): "SQS leaves an empty list out; clients read both alike (users' reports)",
    ("SendMessageBatch", "Failed"): "the same",
    ("ChangeMessageVisibilityBatch", "Successful"): "the same; ASSUMED, because the reports are about sending",
    ("ChangeMessageVisibilityBatch", "Failed"): "the same",
}

UNKNOWN = {"UnknownOperationException"}
# Steps and values of `changed`: the key of a map rather than a value, and no value at all.
KEY, REMOVED = object(), object()
WRONG_TYPES = {"string": 5, "blob": 5, "integer": "many", "list": "x", "map": "x", "structure": "x"}
JSON_TYPES = {"string": str, "blob": str, "integer": int, "long": int, "boolean": bool, "list": list, "map": dict}
JSON_TYPES |= {"structure": dict, "timestamp": (int, float)}


class Cloud:
    """A running local-aws and botocore's clients of it."""

    def __init__(self, binary):
        command = [str(binary), "serve", "--port", "0", "--latency", "0"]
        self.server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        found = (re.match(r"export (\w+)=(\S+)", line) for line in self.server.stdout)
        self.variables = {}
        while "RETRY_QUEUE_URL" not in self.variables:
            if match := next(found, "it ended"):
                self.variables[match[1]] = match[2]
        # It shows each call, and would wait if nobody took the lines.
        threading.Thread(target=deque, args=(self.server.stdout, 0), daemon=True).start()
        self.session = Session()
        self.clients = {}

    def client(self, service, region="eu-west-1"):
        if (service, region) not in self.clients:
            config = Config(
                parameter_validation=False, retries={"total_max_attempts": 1}, inject_host_prefix=False, proxies={}
            )
            self.clients[service, region] = self.session.create_client(
                service,
                region,
                endpoint_url=self.variables["AWS_ENDPOINT_URL"],
                aws_access_key_id="AKIDEXAMPLE",
                aws_secret_access_key="not-a-secret",
                config=config,
            )
        return self.clients[service, region]


class Contract:
    """The checks, what they found, and how many there were."""

    def __init__(self, cloud):
        self.cloud = cloud
        self.findings = []
        self.counts = Counter()
        self.met = set()
        self.raw = {}
        self.patch = None
        cloud.session.register("before-call.*", self.before_call)
        cloud.session.register("before-parse.*", self.before_parse)

    def before_call(self, params, **_):
        """Lets a request break what botocore could not even write."""
        if self.patch:
            params["body"] = self.patch(params["body"])

    def before_parse(self, response_dict, **_):
        self.raw = response_dict

    def find(self, label, problems):
        self.findings += [f"{label}: {problem}" for problem in problems]

    def send(self, service, operation, params, label, region="eu-west-1", patch=None):
        """Sends a request and judges the form of its answer. Gives the error's code, if any, and the answer."""
        client = self.cloud.client(service, region)
        model = client.meta.service_model.operation_model(operation)
        label = f"{operation}, {label}"
        self.patch = patch
        try:
            answer = getattr(client, xform_name(operation))(**params)
        except ClientError as refused:
            answer = refused.response
        finally:
            self.patch = None
        metadata, error = answer["ResponseMetadata"], answer.get("Error")
        problems = []
        if not metadata.get("RequestId"):
            problems.append("the answer has no request id")
        if metadata["HTTPHeaders"].get("content-type") != CONTENT_TYPES[service]:
            problems.append(f"the answer's content type is {metadata['HTTPHeaders'].get('content-type')}")
        if error is None:
            self.counts["answers compared with their output shape"] += 1
            problems += self.judge_output(operation, model, metadata["HTTPStatusCode"])
            failed = [entry["Code"] for entry in answer.get("Failed", []) if entry["SenderFault"]]
            code = failed[0] if failed else None
        else:
            self.counts["errors compared with the exceptions of their operation"] += 1
            # Where a service once spoke the query protocol, `Code` is the name from then.
            code = error.get("QueryErrorCode", error["Code"])
            problems += self.judge_error(service, model, code, error, metadata["HTTPStatusCode"])
        self.find(label, problems)
        return code, answer

    def judge_output(self, operation, model, status):
        expected = model.http.get("responseCode", 200)
        if status != expected:
            yield f"the status is {status}, in the model {expected}"
        body = self.raw["body"]
        if model.output_shape is not None and (body or model.output_shape.members):
            yield from self.compare(operation, model.output_shape, json.loads(body or "null"), "the answer")
        elif body:
            yield "the answer has a body, in the model it has none"

    def judge_error(self, service, model, code, error, status):
        shape = next((shape for shape in model.error_shapes if shape.name == code), None)
        common = COMMON | (COMMON_OF_SQS if service == "sqs" else {})
        if shape is not None:
            # Without a status of its own an error of a JSON protocol is the client's: 400.
            expected = shape.metadata.get("error", {}).get("httpStatusCode", 400)
            # The parts of an error that say which it is are the protocol's.
            body = {name: value for name, value in json.loads(self.raw["body"]).items() if name != "__type"}
            yield from self.compare(None, shape, body, code)
        elif code in common:
            expected = common[code]
        else:
            yield f"{code} is no exception of the operation: {[shape.name for shape in model.error_shapes]}"
            return
        if status != expected:
            yield f"the status of {code} is {status}, it should be {expected}"
        if not error.get("Message"):
            yield f"{code} has no message that botocore finds"

    def compare(self, operation, shape, value, place):
        """How a JSON value differs from its shape, with the limits that botocore does not check."""
        kind, limits = shape.type_name, shape.metadata
        if not isinstance(value, JSON_TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
            yield f"{place} is no {kind} but {json.dumps(value)[:80]}"
            return
        size = value if kind == "integer" else len(value) if kind in ("string", "list", "map") else None
        if size is not None and not limits.get("min", size) <= size <= limits.get("max", size):
            yield f"{place} is {size} (long), in the model {limits.get('min', '')}..{limits.get('max', '')}"
        if kind == "string" and limits.get("enum") and value not in limits["enum"]:
            yield f"{place} is {value}, which is not in {limits['enum']}"
        if kind == "string" and "pattern" in limits and not re.search(limits["pattern"], value):
            yield f"{place} does not match {limits['pattern']}"
        if kind == "blob":
            try:
                base64.b64decode(value, validate=True)
            except binascii.Error:
                yield f"{place} is no Base64"
        if kind == "list":
            for item in value:
                yield from self.compare(operation, shape.member, item, f"{place}[]")
        if kind == "map":
            for key, item in value.items():
                yield from self.compare(operation, shape.key, key, f"a key of {place}")
                yield from self.compare(operation, shape.value, item, f"{place}.{key}")
        if kind == "structure":
            members = {
                wire_name(member, name): (name, member)
                for name, member in shape.members.items()
                if member.serialization.get("location") != "header"
            }
            for name in value.keys() - members.keys():
                yield f"{place} has {name}, which the model does not know"
            for wire, (name, member) in members.items():
                if wire in value:
                    yield from self.compare(operation, member, value[wire], f"{place}.{name}")
                elif (operation, name) in LACKING:
                    self.met.add((operation, name))
                elif name in shape.required_members:
                    yield f"{place} has no {name}, which the model requires"

    def passes(self, service, operation, params, label, **more):
        code, answer = self.send(service, operation, params, label, **more)
        if code is not None:
            self.find(f"{operation}, {label}", [f"it is refused with {code}, and should pass"])
        return answer

    def refuses(self, service, operation, params, label, codes=None, **more):
        """It must be refused, with one of the codes. Without codes, the form of the error is all that matters."""
        code, _ = self.send(service, operation, params, label, **more)
        if code is None:
            self.find(f"{operation}, {label}", ["it passes, and should be refused"])
        elif codes and code not in codes:
            self.find(f"{operation}, {label}", [f"it is refused with {code}, and should be with {sorted(codes)}"])


def wire_name(member, name):
    return member.serialization.get("name", name)


def text(name, length):
    """A text of a length that is a number, and an address where one is wanted."""
    return "a" * (length - 5) + "@b.co" if name == "Email" else "1" * length


def grown(value, length):
    """A list or map with so many items, all different."""
    if isinstance(value, dict):
        return {str(index): next(iter(value.values())) for index in range(length)}
    identified = {"Id", "AccountId"}
    return [
        f"{index:012}"
        if isinstance(value[0], str)
        else {name: f"{index:012}" if name in identified else item for name, item in value[0].items()}
        for index in range(length)
    ]


def edges(name, shape, limits, value):
    """Values just inside (True) and just outside (False) each limit of a member."""
    kind = shape.type_name
    sized = {"integer": int, "string": lambda size: text(name, size)}.get(kind, lambda size: grown(value, size))
    if "min" in limits:
        yield sized(limits["min"]), True
        if limits["min"] > 0 or kind == "integer":
            yield sized(limits["min"] - 1), False
    if "max" in limits:
        yield sized(limits["max"]), True
        yield sized(limits["max"] + 1), False
    if "enum" in limits:
        yield from ((known, True) for known in limits["enum"])
        yield "NO-SUCH-VALUE", False
    if "pattern" in limits:
        # Some patterns let everything pass.
        wrong = [candidate for candidate in ("x" * 12, "a/b") if not re.search(limits["pattern"], candidate)]
        yield from ((candidate, False) for candidate in wrong[:1])


def walk(shape, value, path=()):
    """Everything below an input shape: path, name, shape, whether it is required, the value in the example."""
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            here = value.get(name) if value else None
            yield (*path, name), name, member, name in shape.required_members, here
            yield from walk(member, here, (*path, name))
    elif shape.type_name == "list":
        here = value[0] if value else None
        if shape.member.type_name != "structure":
            yield (*path, 0), f"{path[-1]}[]", shape.member, False, here
        yield from walk(shape.member, here, (*path, 0))
    elif shape.type_name == "map":
        key = next(iter(value))
        yield (*path, KEY), f"{path[-1]}{{}}", shape.key, False, key
        yield from walk(shape.value, value[key], (*path, key))


def changed(value, path, new):
    """The input with another value at a place, or without it."""
    step, *rest = path
    if isinstance(value, list):
        return [changed(value[0], rest, new) if rest else new, *value[1:]]
    if step is KEY:
        return {new: item for item in value.values()}
    if new is REMOVED and not rest:
        return {name: item for name, item in value.items() if name != step}
    missing = [None] if rest[:1] == [0] else {}
    return {**value, step: changed(value.get(step, missing), rest, new) if rest else new}


def examples(cloud, contract):
    """A good input of every operation that local-aws has, with an item in each list and map of structures. Functions,
    because a receipt handle is good only once."""
    detector = contract.passes("guardduty", "ListDetectors", {}, "a first look")["DetectorIds"][0]
    queue = {"QueueUrl": cloud.variables["RETRY_QUEUE_URL"]}
    one, email = "444455556666", "new-account@example.com"
    attribute = {"DataType": "String", "StringValue": "x"}
    message = {
        "MessageBody": "x",
        "MessageAttributes": {"name": attribute},
        "MessageSystemAttributes": {"AWSTraceHeader": attribute},
    }

    def receipt():
        contract.passes("sqs", "SendMessage", {**queue, "MessageBody": "x"}, "to be received")
        received = contract.passes("sqs", "ReceiveMessage", queue, "for its handle")
        return {"ReceiptHandle": received["Messages"][0]["ReceiptHandle"]}

    def hidden():
        return {"VisibilityTimeout": 9, **receipt()}

    accounts = {"DetectorId": detector, "AccountIds": [one]}
    created = {"DetectorId": detector, "AccountDetails": [{"AccountId": one, "Email": email}]}
    return {
        ("guardduty", "ListDetectors"): dict,
        ("guardduty", "CreateMembers"): lambda: created,
        ("guardduty", "GetMembers"): lambda: accounts,
        ("guardduty", "ListMembers"): lambda: {"DetectorId": detector},
        ("guardduty", "StartMonitoringMembers"): lambda: accounts,
        ("guardduty", "DescribeOrganizationConfiguration"): lambda: {"DetectorId": detector},
        ("organizations", "DescribeAccount"): lambda: {"AccountId": one},
        ("organizations", "ListAccounts"): dict,
        ("account", "ListRegions"): dict,
        ("sqs", "SendMessage"): lambda: {**queue, **message},
        ("sqs", "SendMessageBatch"): lambda: {**queue, "Entries": [{"Id": "a", **message}]},
        ("sqs", "ReceiveMessage"): lambda: queue,
        ("sqs", "DeleteMessage"): lambda: {**queue, **receipt()},
        ("sqs", "ChangeMessageVisibility"): lambda: {**queue, **hidden()},
        ("sqs", "ChangeMessageVisibilityBatch"): lambda: {**queue, "Entries": [{"Id": "a", **hidden()}]},
        ("sqs", "GetQueueUrl"): lambda: {"QueueName": queue["QueueUrl"].rsplit("/", 1)[1]},
        ("sqs", "GetQueueAttributes"): lambda: {**queue, "AttributeNames": ["All"]},
    }


def check_operations(contract, cloud, known):
    """What else the models have local-aws must not know: else it has an operation that nobody checks here."""
    for service in CONTENT_TYPES:
        model = cloud.client(service).meta.service_model
        for operation in set(model.operation_names) - {name for owner, name in known if owner == service}:
            shape = model.operation_model(operation).input_shape
            members = shape.members if shape else {}
            labels = {name: "x" for name in members if members[name].serialization.get("location") == "uri"}
            contract.counts["operations that local-aws does not have"] += 1
            contract.refuses(service, operation, labels, "an operation without a check here", UNKNOWN)


def check_members(contract, service, operation, shape, example):
    """Each member of an input: left out, of a wrong type, and on both sides of each of its limits."""
    invalid = INVALID.get(service)
    contract.passes(service, operation, example(), "the example")
    for path, name, member, required, value in walk(shape, example()):
        place, location = ".".join("{}" if step is KEY else str(step) for step in path), member.serialization.get("location")
        if required:
            contract.counts["required members that are missed"] += 1
            # A part of the address cannot be left out, but can be empty, which makes the address another one.
            gone, codes = ("", UNKNOWN) if location == "uri" else (REMOVED, invalid)
            contract.refuses(service, operation, changed(example(), path, gone), f"without {place}", codes)
        if path[-1] is not KEY and (location is None or member.type_name == "integer"):
            contract.counts["values of a wrong type that are refused"] += 1
            wrong = WRONG_TYPES[member.type_name]
            label = f"{place} = {json.dumps(wrong)}"
            check_type(contract, service, operation, shape, example, path, wrong, label)
        for edge, inside in edges(name, member, {**member.metadata, **DOCUMENTED.get((service, name), {})}, value):
            label = f"{place} = {json.dumps(edge)[:60]}"
            params = changed(example(), path, edge)
            exception = REFUSED.get((operation, name, edge)) if isinstance(edge, (int, str)) else None
            if not inside:
                contract.counts["values just outside a limit that are refused"] += 1
                empty = location == "uri" and not edge
                contract.refuses(service, operation, params, label, UNKNOWN if empty else invalid)
            elif (service, name) in NAMES:
                contract.counts["made-up names that are refused"] += 1
                contract.refuses(service, operation, params, label, {NAMES[service, name]})
            elif exception:
                contract.met.add((operation, name, edge))
                contract.refuses(service, operation, params, label, {exception[0]})
            else:
                contract.counts["values just inside a limit that pass"] += 1
                contract.passes(service, operation, params, label)


def check_type(contract, service, operation, shape, example, path, wrong, label):
    codes = {"SerializationException"} | INVALID.get(service, set())
    if shape.members[path[0]].serialization.get("location"):
        contract.refuses(service, operation, changed(example(), path, wrong), label, codes)
        return
    wire, at = [], shape
    for step in path:
        if at.type_name == "structure":
            at = at.members[step]
            step = wire_name(at, step)
        else:
            at = at.member if at.type_name == "list" else at.value
        wire.append(step)

    def patch(body):
        return json.dumps(changed(json.loads(body), wire, wrong)).encode()

    contract.refuses(service, operation, example(), label, codes, patch=patch)


def check_cases(contract, service, operation, shape, example):
    """What the models do not say: names of things that do not exist, a Region that is off, a body cut off."""
    for name in shape.members:
        if (service, name) in NAMES:
            contract.counts["made-up names that are refused"] += 1
            params = {**example(), name: "9" * 12}
            contract.refuses(service, operation, params, f"a made-up {name}", {NAMES[service, name]})
    if service == "guardduty":
        off = {"region": "af-south-1", "codes": {"UnrecognizedClientException"}}
        contract.refuses(service, operation, example(), "a Region not switched on", **off)
    if not all(member.serialization.get("location") for member in shape.members.values()):
        cut = {"patch": lambda body: body[:-1] + b",", "codes": {"SerializationException"}}
        contract.refuses(service, operation, example(), "half a body", **cut)


def check_addresses(contract, created):
    """GuardDuty's rules for an e-mail address (documentation of AccountDetail)."""
    good = ["a.b+c@d-e.f.com", "a@b.co", "!#$*/=?^_`{}~-@example.com"]
    bad = ["no-at.example.com", "two@at@example.com", ".dot@example.com", "a b@example.com", "\u00fc@example.com"]
    bad += ["a@no-dot", "a@.example.com", "a@example.com.", "a@-example.com", "a@example.com-", "a@ex_ample.com"]
    bad += [f"a{character}b@example.com" for character in "\"'()<>[]:,\\|%&"]
    for address in good + bad:
        contract.counts["e-mail addresses"] += 1
        params = changed(created, ("AccountDetails", 0, "Email"), address)
        if address in good:
            contract.passes("guardduty", "CreateMembers", params, f"address {address}")
        else:
            contract.refuses("guardduty", "CreateMembers", params, f"address {address}", INVALID["guardduty"])


def check_pages(contract, cloud, inputs):
    """Page by page, botocore's paginator must find what one page shows."""
    for service, operation in inputs:
        client = cloud.client(service)
        if not client.can_paginate(xform_name(operation)) or service == "sqs":
            continue
        whole = contract.passes(service, operation, inputs[service, operation](), "all at once")
        paginator = client.get_paginator(xform_name(operation))
        settings = {"PageSize": 1}
        pages = paginator.paginate(**inputs[service, operation](), PaginationConfig=settings).build_full_result()
        for name, value in pages.items():
            if isinstance(value, list) and value != whole[name]:
                contract.find(operation, [f"one by one there are other {name} than at once"])
        contract.counts["operations read page by page"] += 1


def check_queues(contract, inputs):
    """SQS's own rules, with the exact code of each."""
    send, batch = inputs["sqs", "SendMessage"](), inputs["sqs", "SendMessageBatch"]()
    entry, more = batch["Entries"][0], {"StringListValues": ["x"]}
    changes = inputs["sqs", "ChangeMessageVisibilityBatch"]()
    for operation, params, code in [
        ("SendMessageBatch", {**batch, "Entries": []}, "EmptyBatchRequest"),
        ("SendMessageBatch", {**batch, "Entries": grown([entry], 11)}, "TooManyEntriesInBatchRequest"),
        ("SendMessageBatch", {**batch, "Entries": [entry, entry]}, "BatchEntryIdsNotDistinct"),
        ("SendMessageBatch", {**batch, "Entries": [{**entry, "Id": "a/b"}]}, "InvalidBatchEntryId"),
        ("SendMessageBatch", changed(batch, ("Entries", 0, "MessageBody"), "x" * 1_048_577), "BatchRequestTooLong"),
        ("SendMessageBatch", changed(batch, ("Entries", 0, "DelaySeconds"), 901), "InvalidParameterValue"),
        ("ChangeMessageVisibilityBatch", {**changes, "Entries": []}, "EmptyBatchRequest"),
        ("ChangeMessageVisibilityBatch", {**changes, "Entries": changes["Entries"] * 2}, "BatchEntryIdsNotDistinct"),
        ("SendMessage", {**send, "MessageBody": "\x01"}, "InvalidMessageContents"),
        ("SendMessage", {**send, "DelaySeconds": 901}, "InvalidParameterValue"),
        ("SendMessage", {**send, "MessageDeduplicationId": "x"}, "InvalidParameterValue"),
        ("SendMessage", {**send, "MessageAttributes": {"a": {"DataType": "String", **more}}}, "UnsupportedOperation"),
        ("DeleteMessage", {**inputs["sqs", "DeleteMessage"](), "ReceiptHandle": "x"}, "ReceiptHandleIsInvalid"),
        ("GetQueueAttributes", {**inputs["sqs", "ReceiveMessage"](), "AttributeNames": ["x"]}, "InvalidAttributeName"),
    ]:
        contract.counts["rules of SQS"] += 1
        contract.refuses("sqs", operation, params, f"which breaks {code}", {code})


def check(contract, cloud):
    inputs = examples(cloud, contract)
    check_operations(contract, cloud, inputs)
    for (service, operation), example in inputs.items():
        shape = cloud.client(service).meta.service_model.operation_model(operation).input_shape
        check_members(contract, service, operation, shape, example)
        check_cases(contract, service, operation, shape, example)
    everything = {"AttributeNames": ["All"], "MessageAttributeNames": ["All"], "MaxNumberOfMessages": 10}
    contract.passes("sqs", "SendMessage", inputs["sqs", "SendMessage"](), "with attributes")
    contract.passes("sqs", "ReceiveMessage", {**inputs["sqs", "ReceiveMessage"](), **everything}, "with attributes")
    check_addresses(contract, inputs["guardduty", "CreateMembers"]())
    check_pages(contract, cloud, inputs)
    check_queues(contract, inputs)
    for gone in (LACKING.keys() | REFUSED.keys()) - contract.met:
        contract.find("a difference that is written down was not met", [gone])


def main():
    cloud = Cloud(sys.argv[1] if len(sys.argv) > 1 else BINARY)
    contract = Contract(cloud)
    try:
        check(contract, cloud)
    finally:
        cloud.server.terminate()
        cloud.server.wait()
    print(f"local-aws against the service models of botocore {botocore.__version__}:")
    for name, count in contract.counts.items():
        print(f"{count:6} {name}")
    for finding in contract.findings:
        print(f"FINDING {finding}")
    sys.exit(bool(contract.findings))


if __name__ == "__main__":
    main()
