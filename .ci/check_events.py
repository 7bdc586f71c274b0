#!/usr/bin/env python3
"""Matches the patterns of the rules against every file in events/ with moto's matcher of EventBridge patterns, so that
a rule which could never match, or matches too much, is found. Prints what is wrong; exits with 1 where there is
something."""

import json
import sys

from moto.events.exceptions import InvalidEventPatternException
from moto.events.models import EventPattern, EventPatternParser

from repository import EVENTS, MANAGEMENT, PASSED_ON, of_type, sample
from wrong import check, end


def pattern_of(name, rule):
    """The pattern of the rule that passes joins on, as EventBridge gets it."""
    text = json.dumps(of_type(name, "AWS::Events::Rule")[rule]["EventPattern"])
    text = text.replace('{"Ref": "ManagementAccountId"}', f'"{MANAGEMENT}"')
    try:
        # It refuses what EventBridge would: values that are not lists, empty lists.
        return EventPattern(text, EventPatternParser(text).parse())
    except InvalidEventPatternException as error:
        sys.exit(f"error: {name}: {error.message}")


def changed(event, name, value):
    """The event with another value, under a name of the envelope or of the detail."""
    if name in event:
        return {**event, name: value}
    return {**event, "detail": {**event["detail"], name: value}}


def main():
    samples = {path.name: sample(path.name) for path in EVENTS.glob("*.json")}
    others = [("source", "example.app"), ("eventSource", "signup.amazonaws.com"), ("eventName", "CreateAccount")]
    for template, rule in [("management-account", "SendRule"), ("template", "JoinRule")]:
        pattern = pattern_of(template, rule)
        for name, event in samples.items():
            found = pattern.matches_event(event)
            check(found == (name in PASSED_ON), f"{rule}: events/{name} is {'' if found else 'not '}passed on")
        # Only the receiving bus can be reached by another account.
        foreign = [("account", "444455556666")] if rule == "JoinRule" else []
        for name in sorted(PASSED_ON):
            for key, value in others + foreign:
                found = pattern.matches_event(changed(samples[name], key, value))
                check(not found, f"{rule}: events/{name} with {key} {value} is passed on")
    end(f"{len(samples)} samples: both rules pass on the {len(PASSED_ON)} that events/README.md names and nothing else")


if __name__ == "__main__":
    main()
