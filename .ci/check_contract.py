#!/usr/bin/env python3
"""Holds local-aws to AWS's own service models, as botocore carries and parses them.

Starts `local-aws serve` and sends every operation that it has good and bad input, without botocore's own validation.
Most of it is made from the models: for each limit of each input member (required, type, min, max, pattern, enum) values
just inside, which must pass, and just outside, which must be refused. Every answer is compared with the output shape of
its operation, every error with the operation's exceptions. What the models do not say, or say wrongly, is below
with its reason. Prints each finding and how many checks there were; exits with 1 where there is a finding.

Usage: check_contract.py [LOCAL_AWS]     (target/debug/local-aws, as `cargo build --package local-aws` makes it)
"""

import json
import os
import re
import subprocess
import sys
import threading
from collections import Counter, deque
from functools import partial
from pathlib import Path

# Nobody's AWS profile may change the result.
os.environ.update(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)
os.environ.pop("AWS_PROFILE", None)

import botocore  # noqa: E402
from botocore import xform_name  # noqa: E402
from botocore.config import Config  # noqa: E402
from botocore.exceptions import ClientError  # noqa: E402
from botocore.session import Session  # noqa: E402

sys.dont_write_bytecode = True
from service_model import (  # noqa: E402
    KEY,
    REMOVED,
    WRONG_TYPES,
    changed,
    differences,
    edges,
    grown,
    location,
    patched,
    walk,
    wire_name,
)

ROOT = Path(__file__).resolve().parent.parent
BINARY, ADDRESSES = ROOT / "target/debug/local-aws", ROOT / "local-aws/facts/addresses.tsv"
CONTENT_TYPES = {
    "guardduty": "application/json",
    "account": "application/json",
    "organizations": "application/x-amz-json-1.1",
    "sqs": "application/x-amz-json-1.0",
}

# What a member that breaks a limit is refused with. SQS has a code of its own for some limits: see the rules of SQS.
INVALID = {
    "guardduty": {"BadRequestException"},
    "organizations": {"InvalidInputException"},
    "account": {"ValidationException"},
    "sqs": {"MissingParameter", "InvalidParameterValue", "InvalidBatchEntryId", "EmptyBatchRequest",
            "TooManyEntriesInBatchRequest"},
}

# Errors that no operation's model lists. UnknownOperationException and UnrecognizedClientException are on the page
# "Common Error Types" of AWS's API references. ASSUMED: SerializationException, which AWS's servers are known to
# answer where a body cannot be read.
COMMON = {"UnknownOperationException": 404, "UnrecognizedClientException": 403, "SerializationException": 400}
# SQS's own list of common errors, from the time of its query protocol. ASSUMED: that JSON requests get them as well.
COMMON_OF_SQS = {"InvalidParameterValue": 400, "MissingParameter": 400}

# Limits that AWS writes only into the documentation of a member (botocore carries that too): by service and member.
DOCUMENTED = {
    ("guardduty", "Email"): {"min": 6, "max": 64},
    # ASSUMED: the model says only that it is 12 characters long.
    ("guardduty", "AccountId"): {"pattern": "^[0-9]+$"},
    ("guardduty", "AccountIds[]"): {"pattern": "^[0-9]+$"},
    # ASSUMED: the words; the model has no enum for this string.
    ("guardduty", "OnlyAssociated"): {"enum": ["true", "false", "TRUE", "False"]},
    # Of the kinds of target that the model has, local-aws knows accounts.
    ("organizations", "TargetId"): {"max": 12, "pattern": "^[0-9]{12}$"},
    ("sqs", "DelaySeconds"): {"min": 0, "max": 900},
    ("sqs", "VisibilityTimeout"): {"min": 0, "max": 43_200},
    ("sqs", "MaxNumberOfMessages"): {"min": 1, "max": 10},
    # From the SQS quotas, like the number of message attributes.
    ("sqs", "WaitTimeSeconds"): {"min": 0, "max": 20},
    ("sqs", "MessageAttributes"): {"max": 10},
    ("sqs", "MessageAttributes{}"): {"max": 256, "pattern": "^[A-Za-z0-9_.-]+$"},
    # Its longest is below, among the rules of SQS.
    ("sqs", "MessageBody"): {"min": 1},
    ("sqs", "Entries"): {"min": 1, "max": 10},
    ("sqs", "Id"): {"max": 80, "pattern": "^[A-Za-z0-9_-]+$"},
}

# Members that name something. A value that keeps all limits is still refused where there is no such thing.
NAMES = {
    ("guardduty", "DetectorId"): "BadRequestException",
    ("guardduty", "NextToken"): "BadRequestException",
    ("organizations", "NextToken"): "InvalidInputException",
    ("organizations", "AccountId"): "AccountNotFoundException",
    ("organizations", "TargetId"): "TargetNotFoundException",
    ("account", "NextToken"): "ValidationException",
    # Only the management account and a delegated administrator for Account Management may name an account.
    ("account", "AccountId"): "AccessDeniedException",
    ("sqs", "QueueUrl"): "QueueDoesNotExist",
    ("sqs", "SourceArn"): "ResourceNotFoundException",
    ("sqs", "DestinationArn"): "ResourceNotFoundException",
}

# Members of SQS that local-aws does not take, and says so: neither the function nor the runbook uses them.
UNSUPPORTED = {
    "AttributeNames": ["All"],
    "BinaryListValues": [b"x"],
    "BinaryValue": b"x",
    "MessageDeduplicationId": "x",
    "MessageGroupId": "x",
    "MessageSystemAttributes": {"AWSTraceHeader": {"DataType": "String", "StringValue": "x"}},
    "ReceiveRequestAttemptId": "x",
    "StringListValues": ["x"],
}

# Where the real service is known or assumed to differ from its model or documentation. A difference that does not show
# is a finding as well. First what is refused although it lies inside the limits: operation, member, value.
LONGEST = "the 12 hours count from the receive (SQS documentation). ASSUMED: to the fraction of a second"
REFUSED = {("ChangeMessageVisibilityBatch", "VisibilityTimeout", "43200"): ("InvalidParameterValue", LONGEST)}
# Then what an answer lacks although its shape requires it.
LACKING = {
    ("SendMessageBatch", "Successful"): "SQS leaves an empty list out (users' code asks whether it is there)",
    ("SendMessageBatch", "Failed"): "the same",
    ("ChangeMessageVisibilityBatch", "Successful"): "the same. ASSUMED for this operation",
    ("ChangeMessageVisibilityBatch", "Failed"): "the same",
    ("GetMemberDetectors", "MemberDataSourceConfigurations"): "the model has 1 to 50 of them. ASSUMED: without one the list is left out",
}

UNKNOWN = {"UnknownOperationException"}


class Contract:
    """A running local-aws with botocore's clients of it; what was checked, and what was found."""

    def __init__(self, binary):
        command = [str(binary), "serve", "--port", "0", "--latency", "0", "--enables-after", "0", "--policy", "{}"]
        self.server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.variables = {}
        for line in self.server.stdout:
            if match := re.match(r"export (\w+)=(\S+)", line):
                self.variables[match[1]] = match[2]
            elif "AWS_ENDPOINT_URL" in self.variables:
                break
        # It shows each call, and would wait if nobody took the lines.
        threading.Thread(target=deque, args=(self.server.stdout, 0), daemon=True).start()
        self.findings, self.counts, self.met = [], Counter(), set()
        self.raw, self.patch, self.clients = {}, None, {}
        self.session = Session()
        self.session.register("before-call.*", self.before_call)
        self.session.register("before-parse.*", self.before_parse)

    def client(self, service, region="eu-west-1"):
        if (service, region) not in self.clients:
            once = {"retries": {"total_max_attempts": 1}, "read_timeout": 10, "proxies": {}}
            self.clients[service, region] = self.session.create_client(
                service,
                region,
                endpoint_url=self.variables["AWS_ENDPOINT_URL"],
                aws_access_key_id="AKIDEXAMPLE",
                aws_secret_access_key="not-a-secret",
                config=Config(parameter_validation=False, inject_host_prefix=False, **once),
            )
        return self.clients[service, region]

    def before_call(self, params, **_):
        """Lets a request be wrong where botocore could not even write it."""
        if self.patch:
            params["body"] = self.patch(params["body"])

    def before_parse(self, response_dict, **_):
        self.raw = response_dict

    def check(self, kind, operation, params, label, codes=None, region="eu-west-1", patch=None):
        """Sends a request, which must pass, or be refused with one of the codes. Gives the answer."""
        service, name = operation
        client, self.patch = self.client(service, region), patch
        model = client.meta.service_model.operation_model(name)
        self.counts[kind] += 1
        try:
            answer = getattr(client, xform_name(name))(**params)
        except ClientError as refused:
            answer = refused.response
        finally:
            self.patch = None
        metadata, error = answer["ResponseMetadata"], answer.get("Error")
        content_type = metadata["HTTPHeaders"].get("content-type")
        if not metadata.get("RequestId") or content_type != CONTENT_TYPES[service]:
            self.find(name, label, f"the request id is {metadata.get('RequestId')}, the content {content_type}")
        if error is None:
            self.counts["answers in all, compared with their operation's output shape"] += 1
            code = next((entry["Code"] for entry in answer.get("Failed", []) if entry["SenderFault"]), None)
            problems = self.judge_answer(name, model, metadata["HTTPStatusCode"])
        else:
            self.counts["errors in all, compared with their operation's exceptions"] += 1
            # Where a service once spoke the query protocol, `Code` is the name from then.
            code = error.get("QueryErrorCode", error["Code"])
            problems = self.judge_error(service, model, code, error, metadata["HTTPStatusCode"])
        for problem in problems:
            self.find(name, label, problem)
        if (code is None) != (codes is None) or codes and code not in codes:
            self.find(name, label, f"it {ends(code)}, and not as it should: it {ends(codes and sorted(codes))}")
        return answer

    def find(self, operation, label, problem):
        self.findings.append(f"{operation}, {label}: {problem}")

    def judge_answer(self, operation, model, status):
        expected = model.http.get("responseCode", 200)
        if status != expected:
            yield f"the status is {status}, in the model {expected}"
        body = self.raw["body"]
        if model.output_shape is not None:
            value, lacking = json.loads(body or "null"), {name for owner, name in LACKING if owner == operation}
            self.met |= {(operation, name) for name in lacking - value.keys()}
            yield from differences(model.output_shape, value, "the answer", lacking)
        elif body:
            yield "the answer has a body, in the model it has none"

    def judge_error(self, service, model, code, error, status):
        shape = next((shape for shape in model.error_shapes if shape.name == code), None)
        expected = (COMMON | (COMMON_OF_SQS if service == "sqs" else {})).get(code)
        if shape is not None:
            # Without a status of its own an error of a JSON protocol is the client's: 400.
            expected = shape.metadata.get("error", {}).get("httpStatusCode", 400)
            # How a JSON protocol says which error it is is not in the model; the REST ones say it in a header.
            names = {"__type"} if "json" == model.service_model.metadata["protocol"] else set()
            body = {name: value for name, value in json.loads(self.raw["body"]).items() if name not in names}
            yield from differences(shape, body, code)
        if status != expected:
            yield f"the status of {code} is {status}, by the model {expected or 'there is no such error'}"
        if not error.get("Message"):
            yield f"{code} has no message that botocore finds"


def ends(codes):
    return f"is refused with {codes}" if codes else "passes"


def examples(contract):
    """A good input of every operation that local-aws has, with an item in each list and map of structures. Functions,
    because a receipt handle is good only once."""
    answer = contract.check("examples", ("guardduty", "ListDetectors"), {}, "a first look")
    detector, one = {"DetectorId": answer["DetectorIds"][0]}, "444455556666"
    queue = {"QueueUrl": contract.variables["RETRY_QUEUE_URL"]}
    attributes = {"name": {"DataType": "String", "StringValue": "x"}}
    batch = {**queue, "Entries": [{"Id": "a", "MessageBody": "x", "MessageAttributes": attributes}]}

    def arn(name):
        *_, account, queue_name = contract.variables[f"{name}_QUEUE_URL"].split("/")
        return f"arn:aws:sqs:eu-west-1:{account}:{queue_name}"

    def received(**more):
        contract.check("examples", ("sqs", "SendMessageBatch"), batch, "to be received")
        answer = contract.check("examples", ("sqs", "ReceiveMessage"), queue, "for its handle")
        return {"ReceiptHandle": answer["Messages"][0]["ReceiptHandle"], **more}

    account = {"AccountId": one, "Email": "new-account@example.com"}
    return {
        ("guardduty", "ListDetectors"): dict,
        ("guardduty", "CreateMembers"): lambda: {**detector, "AccountDetails": [account]},
        ("guardduty", "GetMembers"): lambda: {**detector, "AccountIds": [one]},
        ("guardduty", "ListMembers"): lambda: detector,
        ("guardduty", "StartMonitoringMembers"): lambda: {**detector, "AccountIds": [one]},
        ("guardduty", "DescribeOrganizationConfiguration"): lambda: detector,
        ("guardduty", "GetMemberDetectors"): lambda: {**detector, "AccountIds": [one]},
        ("guardduty", "GetOrganizationStatistics"): dict,
        ("organizations", "DescribeAccount"): lambda: {"AccountId": one},
        ("organizations", "DescribeEffectivePolicy"): lambda: {"PolicyType": "GUARDDUTY_POLICY"},
        ("organizations", "ListAccounts"): dict,
        ("account", "ListRegions"): dict,
        ("sqs", "SendMessageBatch"): lambda: batch,
        ("sqs", "ReceiveMessage"): lambda: queue,
        ("sqs", "DeleteMessage"): lambda: {**queue, **received()},
        ("sqs", "StartMessageMoveTask"): lambda: {"SourceArn": arn("DEAD_LETTER"), "DestinationArn": arn("RETRY")},
        ("sqs", "ChangeMessageVisibilityBatch"): lambda: {**queue, "Entries": [received(Id="a", VisibilityTimeout=9)]},
    }


def check_operations(contract, known):
    """What else the models have local-aws must not know: else it has an operation that nobody checks here."""
    for service in CONTENT_TYPES:
        model = contract.client(service).meta.service_model
        for name in sorted(set(model.operation_names) - {name for owner, name in known if owner == service}):
            shape = model.operation_model(name).input_shape
            members = shape.members if shape else {}
            labels = {member: "x" for member in members if location(members[member]) == "uri"}
            contract.check("operations that local-aws does not have", (service, name), labels, "no check here", UNKNOWN)


def check_members(contract, operation, shape, example):
    """Each member of an input: left out, of a wrong type, and on both sides of each of its limits."""
    service, members = operation[0], list(walk(shape, example()))
    invalid = INVALID[service]
    contract.check("examples", operation, example(), "the example")
    wire_names = {name: wire_name(member, name) for _, name, member, _, _ in members}
    for path, name, member, required, value in members:
        place = ".".join("{}" if step is KEY else str(step) for step in path)
        if service == "sqs" and UNSUPPORTED.keys() & set(path):
            if name in UNSUPPORTED:
                params = changed(example(), path, UNSUPPORTED[name])
                kind = "members that local-aws does not take"
                contract.check(kind, operation, params, f"with {place}", {"UnsupportedOperation"})
            continue
        if required:
            # A part of the path cannot be left out, but can be empty, which makes the path another one.
            gone, codes = ("", UNKNOWN) if location(member) == "uri" else (REMOVED, invalid)
            params = changed(example(), path, gone)
            contract.check("required members left out", operation, params, f"without {place}", codes)
        wrong, wire = WRONG_TYPES[member.type_name], [wire_names.get(step, step) for step in path]
        label, codes = f"{place} = {json.dumps(wrong)}", invalid | {"SerializationException"}
        if path[-1] is not KEY and location(member) is None:
            # botocore cannot write most of them.
            patch = partial(patched, wire, wrong)
            contract.check("members of a wrong type", operation, example(), label, codes, patch=patch)
        elif member.type_name == "integer":
            contract.check("members of a wrong type", operation, changed(example(), path, wrong), label, codes)
        for edge, inside in edges(name, member, {**member.metadata, **DOCUMENTED.get((service, name), {})}, value):
            kind, codes = "values just inside a limit", None
            if not inside:
                kind, codes = "values just outside a limit", UNKNOWN if edge == "" and location(member) else invalid
            elif (service, name) in NAMES:
                kind, codes = "names of nothing", {NAMES[service, name]}
            elif (operation[1], name, str(edge)) in REFUSED:
                kind, codes = "values refused for a written reason", {REFUSED[operation[1], name, str(edge)][0]}
                contract.met.add((operation[1], name, str(edge)))
            contract.check(kind, operation, changed(example(), path, edge), f"{place} = {json.dumps(edge)[:60]}", codes)


def check_cases(contract, operation, shape, example):
    """What the models do not say: names of things that do not exist, a Region that is off, a body cut off."""
    members = shape.members if shape else {}
    for name in members:
        if code := NAMES.get((operation[0], name)):
            params = {**example(), name: "9" * 12}
            contract.check("names of nothing", operation, params, f"a made-up {name}", {code})
    if operation[0] == "guardduty":
        off = {"region": "af-south-1", "codes": {"UnrecognizedClientException"}}
        contract.check("Regions not switched on", operation, example(), "a Region not switched on", **off)
    if not all(location(member) for member in members.values()):
        cut = {"patch": lambda body: body[:-1] + b",", "codes": {"SerializationException"}}
        contract.check("bodies cut off", operation, example(), "half a body", **cut)


def check_addresses(contract, created):
    """GuardDuty's rules for an e-mail address, by the table that the double and the function are held to as well."""
    for row in ADDRESSES.read_text().splitlines()[1:]:
        verdict, address, source = row.split("\t")
        params = changed(created, ("AccountDetails", 0, "Email"), address)
        codes = None if verdict == "accepted" else INVALID["guardduty"]
        label = f"address {address} ({source})"
        contract.check("e-mail addresses", ("guardduty", "CreateMembers"), params, label, codes)


def check_pages(contract, inputs):
    """Page by page, botocore's paginator must find what one page shows."""
    created = inputs["guardduty", "CreateMembers"]()
    for account in ("111122223333", "555566667777"):
        params = changed(created, ("AccountDetails", 0, "AccountId"), account)
        contract.check("examples", ("guardduty", "CreateMembers"), params, "for more than a page")
    for (service, name), example in inputs.items():
        client = contract.client(service)
        if service != "sqs" and client.can_paginate(xform_name(name)):
            whole = contract.check("operations read page by page", (service, name), example(), "all at once")
            pages = client.get_paginator(xform_name(name)).paginate(**example(), PaginationConfig={"PageSize": 1})
            for part, value in pages.build_full_result().items():
                if value != whole[part] or len(value) < (1 if part == "DetectorIds" else 3):
                    contract.find(name, "page by page", f"{len(value)} {part}, and {len(whole[part])} at once")


def check_batches(contract, inputs):
    """A good item and a bad one: each is answered, and no other."""
    members = inputs["guardduty", "GetMembers"]()
    known, nobody = members["AccountIds"][0], "9" * 12
    members["AccountIds"] = [known, nobody]
    cases = [("guardduty", "GetMembers", members, ("Members", "AccountId", [known])), *(
        ("guardduty", name, members, ("UnprocessedAccounts", "AccountId", [nobody]))
        for name in ("GetMembers", "StartMonitoringMembers")
    )]
    for name, bad in [
        ("SendMessageBatch", {"DelaySeconds": 901}),
        ("ChangeMessageVisibilityBatch", {"VisibilityTimeout": 43_201}),
    ]:
        batch = inputs["sqs", name]()
        [entry] = batch["Entries"]
        batch = {**batch, "Entries": [entry, {**entry, "Id": "b", **bad}]}
        cases += [("sqs", name, batch, ("Successful", "Id", ["a"])), ("sqs", name, batch, ("Failed", "Id", ["b"]))]
    for service, name, params, (part, identity, wanted) in cases:
        codes = {"InvalidParameterValue"} if service == "sqs" else None
        answer = contract.check("batches with a bad item", (service, name), params, "a good and a bad item", codes)
        if [item[identity] for item in answer.get(part, [])] != wanted:
            contract.find(name, "a good and a bad item", f"{part} is {answer.get(part)}, and not {wanted}")


def check_queues(contract, inputs):
    """SQS's own rules, with the exact code of each."""
    queue, batch = inputs["sqs", "ReceiveMessage"](), inputs["sqs", "SendMessageBatch"]()
    changes, delete = inputs["sqs", "ChangeMessageVisibilityBatch"](), inputs["sqs", "DeleteMessage"]()
    [entry], half = batch["Entries"], {"Id": "b", "MessageBody": "x" * 524_288}

    def attribute(**what):
        return [{**entry, "MessageAttributes": {"a": {"DataType": "String", "StringValue": "x", **what}}}]

    for name, entries, code in [
        ("SendMessageBatch", [], "EmptyBatchRequest"),
        ("SendMessageBatch", grown([entry], 11), "TooManyEntriesInBatchRequest"),
        ("SendMessageBatch", [entry, entry], "BatchEntryIdsNotDistinct"),
        ("SendMessageBatch", [{**entry, "Id": "a/b"}], "InvalidBatchEntryId"),
        ("SendMessageBatch", [half, {**half, "Id": "c"}], None),
        ("SendMessageBatch", [half, {**half, "Id": "c"}, entry], "BatchRequestTooLong"),
        ("SendMessageBatch", [{**half, "MessageBody": "x" * 1_048_576}], None),
        ("SendMessageBatch", [{**half, "MessageBody": "x" * 1_048_577}], "BatchRequestTooLong"),
        ("SendMessageBatch", [{**entry, "MessageBody": "\x01"}], "InvalidMessageContents"),
        ("SendMessageBatch", [{**entry, "DelaySeconds": 901}], "InvalidParameterValue"),
        ("SendMessageBatch", attribute(DataType="Text"), "InvalidParameterValue"),
        ("SendMessageBatch", attribute(StringValue=""), "InvalidParameterValue"),
        ("ChangeMessageVisibilityBatch", [], "EmptyBatchRequest"),
        ("ChangeMessageVisibilityBatch", changes["Entries"] * 2, "BatchEntryIdsNotDistinct"),
    ]:
        params = {**queue, "Entries": entries}
        contract.check("rules of SQS", ("sqs", name), params, "a rule of SQS", code and {code})
    for params, code in [(delete, None), ({**delete, "ReceiptHandle": "x"}, {"ReceiptHandleIsInvalid"})]:
        contract.check("rules of SQS", ("sqs", "DeleteMessage"), params, "a rule of SQS", code)
    everything = {"MessageSystemAttributeNames": ["All"], "MessageAttributeNames": ["All"], "MaxNumberOfMessages": 10}
    contract.check("examples", ("sqs", "SendMessageBatch"), batch, "with attributes")
    answer = contract.check("examples", ("sqs", "ReceiveMessage"), {**queue, **everything}, "with attributes")
    if not any(message.keys() >= {"Attributes", "MessageAttributes"} for message in answer["Messages"]):
        contract.find("ReceiveMessage", "with attributes", "no message has them")


def check_all(contract):
    inputs = examples(contract)
    check_operations(contract, inputs)
    for operation, example in inputs.items():
        shape = contract.client(operation[0]).meta.service_model.operation_model(operation[1]).input_shape
        check_members(contract, operation, shape, example)
        check_cases(contract, operation, shape, example)
    check_addresses(contract, inputs["guardduty", "CreateMembers"]())
    check_pages(contract, inputs)
    check_batches(contract, inputs)
    check_queues(contract, inputs)
    for gone in (LACKING.keys() | REFUSED.keys()) - contract.met:
        contract.find(gone[0], " ".join(gone[1:]), "the difference that is written down does not show")


def main():
    contract = Contract(sys.argv[1] if len(sys.argv) > 1 else BINARY)
    try:
        check_all(contract)
    finally:
        contract.server.terminate()
        contract.server.wait()
    print(f"local-aws against the service models of botocore {botocore.__version__}:")
    for kind, count in contract.counts.items():
        print(f"{count:6} {kind}")
    for finding in contract.findings:
        print(f"FINDING {finding}")
    print(f"{len(contract.findings)} findings")
    sys.exit(bool(contract.findings))


if __name__ == "__main__":
    main()
