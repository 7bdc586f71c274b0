#!/usr/bin/env python3
"""Runs the function on AWS's emulator against servers that nobody here wrote: moto for Organizations and SQS, boto3 for
everything that Lambda and a person do with the queues. GuardDuty's members, which moto has not got, and Account
Management stay with local-aws.

Every sample goes through; then the retry queue lives its life to the end: attempts, dead letters, SQS's own redrive after
too many receives, and the redrive by a person, until all are enrolled and both queues are empty.

Where moto differs from AWS, this goes round it:
- It makes up account ids. Here it is given those of the samples, which GuardDuty must know too.
- It answers only the management account about an organization, not the delegated administrator too. So every request
  counts as the management account's, and the queues are that account's.
- It does not have StartMessageMoveTask: a person's redrive is done by hand. Nor has it event source mappings to
  functions outside of it: Lambda's part is played here.
- It lets a message's visibility change when the message is visible again; SQS refuses that.

Usage: check_servers.py EMULATOR BOOTSTRAP
"""

import json
import logging
import os
import re
import sys
import time

from lambda_emulator import (
    REGIONS,
    Function,
    LocalAws,
    check,
    check_on_loopback,
    equal,
    outcomes,
    send_samples,
    wait_until,
)
from repository import (
    ADMINISTRATOR,
    BATCH,
    CREATED,
    INVITED,
    JOINS,
    LAST_ATTEMPT,
    MANAGEMENT,
    RECONCILE,
    sample,
    template,
)

# moto reads it at each request.
os.environ["MOTO_ACCOUNT_ID"] = MANAGEMENT

import boto3  # noqa: E402
from moto.organizations import utils  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402

logging.getLogger("werkzeug").setLevel(logging.ERROR)

HERE = "eu-west-1"
# One Region can heal, in one GuardDuty refuses.
HEALING, REFUSING = "eu-west-1", "us-east-1"
REFUSAL = "cannot exceed the maximum number of allowed members"
# The function's own number: the delay of a first retry.
FIRST_BACKOFF = 30
# The template's 370 s, shortened so that what the function does to a message's visibility can be seen.
VISIBILITY_TIMEOUT = 3
UNREADABLE = 'not JSON, and of nobody we know: {"accountId": '


def client(service, address, region=HERE):
    keys = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "not-a-secret"}
    return boto3.client(service, endpoint_url=address, region_name=region, **keys)


def queue_attributes(name, **others):
    """What the template gives a queue, as SQS takes it: each value is text."""
    properties = {**template("template")["Resources"][name]["Properties"], **others}
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in properties.items()}


class Moto:
    """moto's server, with the organization of the samples and the stack's two queues."""

    def __init__(self):
        ids = iter([MANAGEMENT, ADMINISTRATOR, CREATED, INVITED])
        utils.make_random_account_id = lambda: next(ids)
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.server.start()
        _, port = self.server.get_host_and_port()
        check_on_loopback(port, "moto")
        self.address = f"http://127.0.0.1:{port}"
        self.emails = self.make_organization()
        self.sqs = client("sqs", self.address)
        self.dead_letters = self.make_queue("dead-letters", queue_attributes("DeadLetterQueue"))
        redrive = template("template")["Resources"]["RetryQueue"]["Properties"]["RedrivePolicy"]
        self.most_receives = redrive["maxReceiveCount"]
        redrive["deadLetterTargetArn"] = self.attributes(self.dead_letters)["QueueArn"]
        retries = queue_attributes("RetryQueue", VisibilityTimeout=VISIBILITY_TIMEOUT, RedrivePolicy=redrive)
        self.retries = self.make_queue("retries", retries)

    def make_organization(self):
        """Returns each account's e-mail address."""
        organizations = client("organizations", self.address)
        organizations.create_organization(FeatureSet="ALL")
        for name in ["security", "created", "invited"]:
            organizations.create_account(AccountName=name, Email=f"{name}@example.com")
        accounts = organizations.list_accounts()["Accounts"]
        ids = {MANAGEMENT, ADMINISTRATOR, CREATED, INVITED}
        equal({account["Id"] for account in accounts}, ids, "moto's accounts")
        return {account["Id"]: account["Email"] for account in accounts}

    def make_queue(self, name, attributes):
        return self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]

    def attributes(self, queue):
        return self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]

    def count(self, queue):
        """All messages of a queue: visible, in flight, delayed."""
        attributes = self.attributes(queue)
        names = ["", "NotVisible", "Delayed"]
        return sum(int(attributes[f"ApproximateNumberOfMessages{name}"]) for name in names)

    def receive(self, queue):
        """All messages that are visible, each once."""
        messages = []
        # SQS hands out ten at most; Lambda gathers its batch from many calls.
        while more := self.sqs.receive_message(
            QueueUrl=queue,
            MaxNumberOfMessages=10,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        ).get("Messages"):
            messages += more
        return messages

    def delete(self, queue, message):
        self.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])

    def show(self, queue, message):
        """Makes a message visible at once: nobody waits here until its time has come."""
        self.sqs.change_message_visibility(
            QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
        )


def sqs_event(messages):
    """A batch as Lambda's event source mapping makes it (Lambda developer guide)."""
    return {
        "Records": [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
                "messageAttributes": {
                    name: {
                        "stringValue": value["StringValue"],
                        "stringListValues": [],
                        "binaryListValues": [],
                        "dataType": value["DataType"],
                    }
                    for name, value in message.get("MessageAttributes", {}).items()
                },
                "md5OfBody": message["MD5OfBody"],
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:{HERE}:{MANAGEMENT}:retries",
                "awsRegion": HERE,
            }
            for message in messages
        ]
    }


def run_batch(moto, function, messages):
    """Does what Lambda does with a batch: deletes what is done. Returns the ids of the others."""
    reply = function.invoke(sqs_event(messages))
    check(set(reply) == {"batchItemFailures"}, f"the reply to a batch: {reply}")
    failures = {failure["itemIdentifier"] for failure in reply["batchItemFailures"]}
    for message in messages:
        if message["MessageId"] not in failures:
            moto.delete(moto.retries, message)
    return failures


def check_record(message, region, expected):
    """One of the function's own records: every field, the attributes, and nobody's address."""
    check("@" not in json.dumps(message), f"an e-mail address in {message}")
    body = json.loads(message["Body"])
    account = body["accountId"]
    attributes = {
        name: (value["DataType"], value["StringValue"])
        for name, value in message["MessageAttributes"].items()
    }
    wanted = {"accountId": account, "region": region, "reason": expected["reason"]}
    wanted = {name: ("String", value) for name, value in wanted.items()}
    equal(attributes, wanted, "message attributes")
    time_pattern = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    for name, pattern in {
        "accountId": f"{CREATED}|{INVITED}",
        "detectorId": "[0-9a-f]{32}",
        "firstFailedAt": time_pattern,
        "lastFailedAt": time_pattern,
        "eventId": "[0-9a-f-]{36}",
        # A call by hand has none.
        "eventTime": f"({time_pattern})?",
    }.items():
        value = body.pop(name)
        check(re.fullmatch(pattern, value or ""), f"{name} is {value!r}")
    equal(body, {"version": 1, "region": region, **expected}, "the rest of the record")
    return account


def by_event(messages):
    """(event, account) of each record. A call by hand has no id; the function takes the emulator's request id."""
    bodies = [json.loads(message["Body"]) for message in messages]
    known = {sample(name)["id"] for name in JOINS if "id" in sample(name)}
    pairs = [(body["eventId"] if body["eventId"] in known else "by hand", body["accountId"]) for body in bodies]
    return sorted(pairs)


def check_samples(moto, function):
    """Every sample goes through. Each join leaves a retry and a dead letter, the others nothing."""
    replies = send_samples(function)
    expected = []
    for name in sorted(JOINS):
        found = outcomes(replies[name], name)
        for account in JOINS[name]:
            expected.append((sample(name).get("id", "by hand"), account))
            endings = (found[account, HEALING], found[account, REFUSING])
            equal(endings, ("deferred", "refused"), f"{name}: {HEALING} and {REFUSING}")
    equal(replies[RECONCILE]["accountsListed"], len(moto.emails), RECONCILE)
    # The records of the file are of no queue, so each stays with its owner.
    failures = [each["itemIdentifier"] for each in replies[BATCH]["batchItemFailures"]]
    equal(sorted(failures), sorted(record["messageId"] for record in sample(BATCH)["Records"]), BATCH)

    dead = moto.receive(moto.dead_letters)
    for message in dead:
        result = f"The request is rejected because it {REFUSAL}"
        refused = {"outcome": "refused", "reason": "member-limit-reached", "result": result, "attempts": 1}
        check_record(message, REFUSING, refused)
        # For the person who comes later.
        moto.show(moto.dead_letters, message)
    equal(by_event(dead), sorted(expected), "the dead letters")
    delayed = int(moto.attributes(moto.retries)["ApproximateNumberOfMessagesDelayed"])
    equal(delayed, len(expected), "retries that are delayed")
    print(f"every sample: {len(dead)} dead letters and {delayed} delayed retries, one for each account of a join")
    return sorted(expected)


def check_retries(messages, expected):
    deferred = {"outcome": "deferred", "reason": "internal-error", "result": "Internal error", "attempts": 1}
    for message in messages:
        check_record(message, HEALING, deferred)
        delay = int(message["Attributes"]["ApproximateFirstReceiveTimestamp"]) - int(
            message["Attributes"]["SentTimestamp"]
        )
        check(delay >= FIRST_BACKOFF * 1000, f"a retry came after {delay} ms")
    equal(by_event(messages), expected, "the retries")


def check_visibility(moto, messages, unreadable):
    """Past the queue's own timeout only the message comes back that the function did not postpone."""
    time.sleep(VISIBILITY_TIMEOUT + 1)
    back = [message["MessageId"] for message in moto.receive(moto.retries)]
    equal(back, [unreadable], "what came back after the queue's visibility timeout")
    equal(moto.count(moto.retries), len(messages), "messages in the retry queue")


def run_to_the_end(moto, function, messages, unreadable):
    """Works on the queue until each pair is a dead letter, and SQS has taken what cannot be read."""
    before, records = moto.count(moto.dead_letters), len(messages) - 1
    # The first attempt was the event's own.
    attempt = 1
    while messages:
        attempt += 1
        check(attempt <= moto.most_receives + 1, "SQS never took the message that cannot be read")
        failures = run_batch(moto, function, messages)
        left = {message["MessageId"] for message in messages}
        equal(failures, left if attempt < LAST_ATTEMPT else {unreadable}, f"what failed at attempt {attempt}")
        if attempt == 2:
            check_visibility(moto, messages, unreadable)
        for message in messages:
            if message["MessageId"] in failures:
                moto.show(moto.retries, message)
        messages = moto.receive(moto.retries)
    equal(moto.count(moto.retries), 0, "messages in the retry queue")
    equal(moto.count(moto.dead_letters), before + records + 1, "messages in the dead-letter queue")


def check_dead_letters(moto, unreadable, expected):
    """All that there is, the unreadable message as it was sent. Returns the others."""
    dead = moto.receive(moto.dead_letters)
    (foreign,) = [message for message in dead if message["MessageId"] == unreadable]
    equal(foreign["Body"], UNREADABLE, "the body that could not be read")
    equal(foreign["MessageAttributes"]["from"]["StringValue"], "elsewhere", "its attribute")
    # moto counts on in the dead-letter queue.
    receives = int(foreign["Attributes"]["ApproximateReceiveCount"]) - 1
    equal(receives, moto.most_receives, "receives before SQS moved it")
    # A person looks at it and throws it away.
    moto.delete(moto.dead_letters, foreign)
    own = [message for message in dead if message is not foreign]
    given_up = [m for m in own if json.loads(m["Body"])["region"] == HEALING]
    last = {"outcome": "deferred", "reason": "internal-error", "result": "Internal error"}
    for message in given_up:
        check_record(message, HEALING, {**last, "attempts": LAST_ATTEMPT})
    equal(by_event(given_up), expected, "the dead letters after the last attempt")
    print(
        f"the end: {len(given_up)} pairs given up at attempt {LAST_ATTEMPT}; "
        f"SQS itself moved the unreadable message, untouched, after {receives} receives"
    )
    return own


def redrive(moto, messages):
    """What StartMessageMoveTask does: body and attributes stay, the rest is new."""
    for message in messages:
        moto.sqs.send_message(
            QueueUrl=moto.retries,
            MessageBody=message["Body"],
            MessageAttributes=message["MessageAttributes"],
        )
        moto.delete(moto.dead_letters, message)


def check_all_enrolled(moto, aws):
    """GuardDuty has every account in every Region, with the address that moto's Organizations has."""
    for region in sorted(REGIONS):
        guardduty = client("guardduty", aws.address, region)
        (detector,) = guardduty.list_detectors()["DetectorIds"]
        members = guardduty.list_members(DetectorId=detector)["Members"]
        found = {(m["AccountId"], m["Email"], m["RelationshipStatus"]) for m in members}
        expected = {(account, moto.emails[account], "Enabled") for account in [CREATED, INVITED]}
        equal(found, expected, f"members in {region}")


def main():
    emulator, bootstrap = sys.argv[1:]
    moto = Moto()
    # GuardDuty heals in time for the redrive: after one call of CreateMembers for each join and for the batch of
    # the samples, and where pairs can heal, one for each later attempt: a batch shares a call.
    calls = len(JOINS) + 1
    with LocalAws(
        f"CreateMembers@{HEALING}:unprocessed=Internal error:first={calls + LAST_ATTEMPT - 1}",
        f"CreateMembers@{REFUSING}:unprocessed=The request is rejected because it {REFUSAL}:first={calls}",
    ) as aws:
        variables = {
            **aws.variables,
            "AWS_ENDPOINT_URL": moto.address,
            "AWS_ENDPOINT_URL_GUARDDUTY": aws.address,
            "AWS_ENDPOINT_URL_ACCOUNT": aws.address,
            "DEAD_LETTER_QUEUE_URL": moto.dead_letters,
            "RETRY_QUEUE_URL": moto.retries,
        }
        with Function(emulator, bootstrap, variables) as function:
            expected = check_samples(moto, function)
            sent = time.monotonic()
            unreadable = moto.sqs.send_message(
                QueueUrl=moto.retries,
                MessageBody=UNREADABLE,
                MessageAttributes={"from": {"DataType": "String", "StringValue": "elsewhere"}},
            )["MessageId"]
            wait_until(
                lambda: moto.attributes(moto.retries)["ApproximateNumberOfMessagesDelayed"] == "0",
                "the retries become visible",
                FIRST_BACKOFF + 10,
            )
            messages = moto.receive(moto.retries)
            own = [message for message in messages if message["MessageId"] != unreadable]
            check_retries(own, expected)
            print(f"the first retry comes after {FIRST_BACKOFF} s ({time.monotonic() - sent:.0f} s waited)")
            run_to_the_end(moto, function, messages, unreadable)
            redrive(moto, check_dead_letters(moto, unreadable, expected))
            equal(moto.count(moto.dead_letters), 0, "messages in the dead-letter queue")
            messages = moto.receive(moto.retries)
            equal(len(messages), 2 * len(expected), "messages moved back")
            equal(run_batch(moto, function, messages), set(), "what failed after the redrive")
            check_all_enrolled(moto, aws)
            for queue in [moto.retries, moto.dead_letters]:
                equal(moto.count(queue), 0, f"messages in {queue}")
            for address in moto.emails.values():
                check(address not in function.text(), f"{address} in the log")
            print("redriven: every account is Enabled in every Region, and both queues are empty")
    moto.server.stop()


if __name__ == "__main__":
    main()
