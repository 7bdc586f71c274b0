#!/usr/bin/env python3
"""Runs the function on AWS's Runtime Interface Emulator against local-aws: every sample, wrong input, wrong
configuration, and a GuardDuty that hangs. Then as a developer does: `cargo local serve`, `cargo lambda watch` and
`cargo lambda invoke`, which build it as `cargo local` does, so what is built already is used.

Usage: check_emulator.py EMULATOR BOOTSTRAP
"""

import json
import subprocess
import sys
import time

from lambda_emulator import (
    REGIONS,
    Function,
    LocalAws,
    Server,
    check,
    check_on_loopback,
    equal,
    free_port,
    outcomes,
    send_samples,
)
from repository import BATCH, CREATED, INVITED, JOINS, RECONCILE, ROOT, sample


def check_samples(emulator, bootstrap):
    with LocalAws() as aws, Function(emulator, bootstrap, aws.variables) as function:
        replies = send_samples(function)
        ended = [line for line in function.log() if line.get("message") == "enrollment attempt ended"]
    enrolled = set()
    for name in sorted(JOINS):
        expected = {
            (account, region): "already-enabled" if account in enrolled else "enrolled"
            for account in JOINS[name]
            for region in REGIONS
        }
        equal(outcomes(replies[name], name), expected, name)
        enrolled |= JOINS[name]
    # The management account is left, in every Region.
    equal(replies[RECONCILE]["gap"], len(REGIONS), RECONCILE)
    equal(replies[BATCH], {"batchItemFailures": []}, BATCH)
    equal(len(ended), len(JOINS) + 1, "lines of enrollment attempts")
    print(f"{len(replies)} samples: each reply is as events/README.md says")


def check_batch(emulator, bootstrap):
    """Of a batch, only what can heal stays in the queue."""
    fault = f"CreateMembers@eu-west-1/{INVITED}:unprocessed=Internal error"
    with LocalAws(fault) as aws, Function(emulator, bootstrap, aws.variables) as function:
        batch = sample(BATCH)
        unreadable = {**batch["Records"][0], "messageId": "unreadable", "body": "not JSON"}
        reply = function.invoke({"Records": [*batch["Records"], unreadable]})
        # The third record is the invited account's.
        expected = {batch["Records"][2]["messageId"], "unreadable"}
        failures = [failure["itemIdentifier"] for failure in reply["batchItemFailures"]]
        equal((set(failures), len(failures)), (expected, 2), "batchItemFailures")
    print("a batch with a pair that fails and a body that cannot be read: both stay, the rest is done")


def check_wrong_input(emulator, bootstrap):
    with LocalAws() as aws, Function(emulator, bootstrap, aws.variables) as function:
        wrong = [{}, [], "text", None, {"accounts": []}, {"accounts": ["44445555666"]}, {"Records": 1}]
        for payload in wrong:
            reply = function.invoke(payload)
            error = reply.get("errorType") if isinstance(reply, dict) else reply
            equal(error, "InvalidEvent", f"the reply to {payload!r}")
        # The process is the same, and well.
        reply = function.invoke({"accounts": [CREATED]})
        equal(set(outcomes(reply, "afterwards").values()), {"enrolled"}, "afterwards")
    print(f"{len(wrong)} payloads that are not events: InvalidEvent, and the next call is answered")


def check_wrong_configuration(emulator, bootstrap):
    wrong = {
        "ADMIN_ACCOUNT_ID": "22222222222",
        "REGIONS": "eu-wset-1",
        "EXCLUDED_ACCOUNTS": "444455556666,x",
        "EXCLUDED_PATHS": "ou-ab12-11111111",
        "RESUME_SUSPENDED_MEMBERS": "maybe",
        "RETRY_QUEUE_URL": "retry",
        "LIST_ACCOUNTS_PER_SECOND": "0",
        "LIST_MEMBERS_PER_SECOND": "fast",
        "CREATE_MEMBERS_PER_SECOND": "-1",
    }
    with LocalAws() as aws:
        variables = {**aws.variables, **wrong}
        del variables["DEAD_LETTER_QUEUE_URL"]
        with Function(emulator, bootstrap, variables) as function:
            reply = function.invoke({"accounts": [CREATED]})
            equal(reply.get("errorType"), "InvalidConfiguration", f"the error type of {reply}")
            message = reply["errorMessage"]
            for name, value in wrong.items():
                check(f'{name} is "{value}"' in message, f"{name} is not named in {message!r}")
            check("DEAD_LETTER_QUEUE_URL is not set" in message, f"a missing variable in {message!r}")
    print(f"a wrong configuration: InvalidConfiguration, which names all {len(wrong) + 1} variables")


def check_hanging(emulator, bootstrap):
    """The function answers before its time is up, and hands on what is left."""
    timeout = 4
    with (
        LocalAws("GetMembers@eu-west-1:delay=600000") as aws,
        Function(emulator, bootstrap, aws.variables, timeout) as function,
    ):
        start = time.monotonic()
        reply = function.invoke({"accounts": [CREATED]})
        took = time.monotonic() - start
        (account,) = reply["accounts"]
        hanging = account["regions"].pop("eu-west-1")
        equal((hanging["outcome"], hanging["reason"]), ("deferred", "deadline"), "the Region that hangs")
        others = {pair["outcome"] for pair in account["regions"].values()}
        equal(others, {"enrolled"}, "the other Regions")
        check(took < timeout, f"it took {took:.1f} s of {timeout} s")
        sent = aws.wait_for(r"SendMessageBatch .*")[0]
        check("200" in sent, f"the pair was handed on: {sent}")
    print(f"a Region that hangs: answered after {took:.1f} s of {timeout} s, its pair deferred for the deadline")


def check_watch():
    port = free_port()
    name = "create-account-result.json"
    # Without --invoke-address it would listen on every interface.
    address = ["--invoke-address", "127.0.0.1", "--invoke-port", str(port)]
    # --ignore-changes: the sources stay as they are.
    watch = ["cargo", "lambda", "watch", *address, "--ignore-changes"]
    invoke = ["cargo", "lambda", "invoke", *address, "--data-file", f"events/{name}", "guardduty-enroller"]
    with LocalAws() as aws, Server(watch, aws.variables):
        check_on_loopback(port, "cargo lambda watch")
        for outcome in ["enrolled", "already-enabled"]:
            # The first call builds the function.
            done = subprocess.run(
                invoke, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900
            )
            equal((done.returncode, done.stderr), (0, ""), f"the end of cargo lambda invoke: {done.stdout}")
            expected = {(CREATED, region): outcome for region in REGIONS}
            equal(outcomes(json.loads(done.stdout), name), expected, name)
    print("cargo lambda watch and invoke: enrolled, and already-enabled at the second call")


def main():
    emulator, bootstrap = sys.argv[1:]
    for each in [check_samples, check_batch, check_wrong_input, check_wrong_configuration, check_hanging]:
        each(emulator, bootstrap)
    check_watch()


if __name__ == "__main__":
    main()
