#!/usr/bin/env python3
"""Runs the function as a developer does: `cargo local serve`, `cargo lambda watch` and `cargo lambda invoke`. Builds it
as `cargo local` does, so what is built already is used.

Usage: check_watch.py
"""

import json
import subprocess

from lambda_emulator import (
    CREATED,
    REGIONS,
    ROOT,
    LocalAws,
    Server,
    check_on_loopback,
    equal,
    free_port,
    listening_addresses,
    outcomes,
    wait_until,
)


def invoke(port, name):
    """Runs `cargo lambda invoke` as the README shows it, on another port. Returns the reply."""
    done = subprocess.run(
        ["cargo", "lambda", "invoke", "--invoke-address", "127.0.0.1", "--invoke-port", str(port)]
        + ["--data-file", f"events/{name}", "guardduty-enroller"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        # The first call builds the function.
        timeout=900,
        check=False,
    )
    equal((done.returncode, done.stderr), (0, ""), f"the end of cargo lambda invoke: {done.stdout}")
    return json.loads(done.stdout)


def main():
    port = free_port()
    # Without --invoke-address it would listen on every interface. --ignore-changes: the sources stay as they are.
    watch = ["cargo", "lambda", "watch", "--invoke-address", "127.0.0.1", "--invoke-port", str(port)]
    with LocalAws() as aws, Server([*watch, "--ignore-changes"], aws.variables):
        wait_until(lambda: listening_addresses(port), "cargo lambda watch listens")
        check_on_loopback(port, "cargo lambda watch")
        name = "create-account-result.json"
        for outcome in ["enrolled", "already-enabled"]:
            expected = {(CREATED, region): outcome for region in REGIONS}
            equal(outcomes(invoke(port, name), name), expected, name)
    print("cargo lambda watch and invoke: enrolled, and already-enabled at the second call")


if __name__ == "__main__":
    main()
