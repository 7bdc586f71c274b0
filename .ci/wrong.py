"""What a check has found wrong: gathered, so that one run shows all of it."""

import json
import sys

WRONG = []


def check(holds, what):
    if not holds:
        WRONG.append(what)


def equal(found, expected, what):
    shown, wanted = (sorted(each) if isinstance(each, set) else each for each in (found, expected))
    check(found == expected, f"{what}: expected {json.dumps(wanted)}, found {json.dumps(shown)}")


def end(message):
    """Shows what is wrong and exits with 1, or says that all is well."""
    for each in WRONG:
        print(f"error: {each}", file=sys.stderr)
    if WRONG:
        sys.exit(1)
    print(message)
