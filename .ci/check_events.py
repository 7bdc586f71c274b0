#!/usr/bin/env python3
"""Matches the patterns of the rules against every file in events/ with moto's matcher of EventBridge patterns, so that
a rule which could never match, or matches too much, is found.

Usage: check_events.py FOLDER, the one that translate.py wrote
"""

import json
import sys
from pathlib import Path

from moto.events.exceptions import InvalidEventPatternException
from moto.events.models import EventPattern, EventPatternParser

from wrong import WRONG, end

EVENTS = Path(__file__).parent.parent / "events"
MANAGEMENT_ACCOUNT = "111122223333"
# The samples that both rules must pass on; every other sample they must not.
JOINS = {
    "account-joined-created.json",
    "account-joined-invited.json",
    "controltower-create-managed-account-failed.json",
    "controltower-create-managed-account.json",
    "controltower-update-managed-account.json",
    "create-account-result-failed.json",
    "create-account-result-string-details.json",
    "create-account-result.json",
}


def pattern_of(folder, name):
    """The pattern of the rule that passes joins on, as EventBridge gets it."""
    template = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    rule = {"template": "JoinRule", "management-account": "SendRule"}[name]
    text = json.dumps(template["Resources"][rule]["Properties"]["EventPattern"])
    text = text.replace('{"Ref": "ManagementAccountId"}', f'"{MANAGEMENT_ACCOUNT}"')
    try:
        # It refuses what EventBridge would: values that are no lists, empty lists.
        return EventPattern(text, EventPatternParser(text).parse())
    except InvalidEventPatternException as error:
        sys.exit(f"error: {name}: {error.message}")


def changed(event, name, value):
    """The event with another value, under a name of the envelope or of the detail."""
    if name in event:
        return {**event, name: value}
    return {**event, "detail": {**event["detail"], name: value}}


def main():
    folder = Path(sys.argv[1])
    samples = {
        file.name: json.loads(file.read_text(encoding="utf-8")) for file in sorted(EVENTS.glob("*.json"))
    }
    for name in sorted(JOINS - samples.keys()):
        WRONG.append(f"events/{name} is not there")
    patterns = {name: pattern_of(folder, name) for name in ["management-account", "template"]}
    for template, pattern in patterns.items():
        for name, event in samples.items():
            if pattern.matches_event(event) != (name in JOINS):
                verb = "does not pass on" if name in JOINS else "passes on"
                WRONG.append(f"{template}: the rule {verb} events/{name}")
        # A join with one thing changed is none any more.
        for name in sorted(JOINS & samples.keys()):
            for key, value in [
                ("source", "example.application"),
                ("eventSource", "signup.amazonaws.com"),
                ("eventName", "CreateAccount"),
            ]:
                if pattern.matches_event(changed(samples[name], key, value)):
                    WRONG.append(f"{template}: the rule passes on events/{name} with {key} {value}")
    # Only the receiving bus can be reached by another account.
    for name in sorted(JOINS & samples.keys()):
        if patterns["template"].matches_event(changed(samples[name], "account", "444455556666")):
            WRONG.append(f"template: the rule passes on events/{name} of another account")
    end(f"{len(samples)} samples: both rules pass on the {len(JOINS)} joins and nothing else")


if __name__ == "__main__":
    main()
