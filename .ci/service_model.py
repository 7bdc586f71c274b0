"""What a service model of botocore says about values: how one differs from its shape, and which lie just inside and
just outside the limits of an input's members. Knows no service and sends nothing."""

import base64
import binascii
import json
import re
from functools import partial

WRONG_TYPES = {"string": 5, "blob": 5, "integer": "many", "list": "x", "map": "x", "structure": "x"}
JSON_TYPES = {"string": str, "blob": str, "integer": int, "long": int, "boolean": bool, "list": list, "map": dict}
JSON_TYPES |= {"structure": dict, "timestamp": (int, float)}
# Steps and values of `changed`: the key of a map rather than a value, and no value at all.
KEY, REMOVED = object(), object()


def location(member):
    return member.serialization.get("location")


def wire_name(member, name):
    return member.serialization.get("name", name)


def text(name, length):
    """A text of a length that is a number, and an address where one is wanted."""
    return "a" * (length - 5) + "@b.co" if name == "Email" else "1" * length


def grown(value, length):
    """A list or map with this many items, all different."""
    if isinstance(value, dict):
        return {str(index): next(iter(value.values())) for index in range(length)}
    if isinstance(value[0], str):
        return [f"{index:012}" for index in range(length)]
    named = {"Id", "AccountId"} & value[0].keys()
    return [{**value[0], **dict.fromkeys(named, f"{index:012}")} for index in range(length)]


def edges(name, shape, limits, value):
    """Values just inside (True) and just outside (False) each limit of a member."""
    sized = {"integer": int, "string": partial(text, name)}.get(shape.type_name, partial(grown, value))
    if "min" in limits:
        yield sized(limits["min"]), True
        if limits["min"] > 0 or shape.type_name == "integer":
            yield sized(limits["min"] - 1), False
    if "max" in limits:
        yield sized(limits["max"]), True
        yield sized(limits["max"] + 1), False
    if "enum" in limits:
        yield from ((known, True) for known in limits["enum"])
        yield "NO-SUCH-VALUE", False
    # Some patterns let everything pass.
    wrong = [bad for bad in ("x" * 12, "a/b") if not re.search(limits.get("pattern", ""), bad)]
    yield from ((bad, False) for bad in wrong[:1])


def walk(shape, value, path=()):
    """Everything below an input shape: path, name, shape, whether it is required, the value in the example."""
    if shape is None:  # an operation without input
        return
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
    elif shape.type_name == "map" and value:
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


def patched(path, new, body):
    return json.dumps(changed(json.loads(body), path, new)).encode()


def differences(shape, value, place, lacking=frozenset()):
    """How a JSON value differs from its shape, with the limits that botocore does not check. What is lacking may be."""
    kind, limits = shape.type_name, shape.metadata
    if not isinstance(value, JSON_TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        yield f"{place} is not a {kind} but {json.dumps(value)[:80]}"
        return
    size = value if kind == "integer" else len(value) if kind in ("string", "list", "map") else 0
    if size < limits.get("min", size) or size > limits.get("max", size):
        yield f"{place} is {size} or so long, in the model {limits.get('min', '')}..{limits.get('max', '')}"
    if kind == "string" and value not in limits.get("enum", [value]):
        yield f"{place} is {value}, which is not in {limits['enum']}"
    if kind == "string" and not re.search(limits.get("pattern", ""), value):
        yield f"{place} does not match {limits['pattern']}"
    if kind == "blob":
        try:
            base64.b64decode(value, validate=True)
        except binascii.Error:
            yield f"{place} is not Base64"
    for item in value if kind == "list" else []:
        yield from differences(shape.member, item, f"{place}[]")
    for key, item in value.items() if kind == "map" else []:
        yield from differences(shape.key, key, f"a key of {place}")
        yield from differences(shape.value, item, f"{place}.{key}")
    if kind == "structure":
        inside = {name: shape.members[name] for name in shape.members if location(shape.members[name]) is None}
        for name in value.keys() - {wire_name(member, name) for name, member in inside.items()}:
            yield f"{place} has {name}, which the model does not know"
        for name, member in inside.items():
            if wire_name(member, name) in value:
                yield from differences(member, value[wire_name(member, name)], f"{place}.{name}")
            elif name in set(shape.required_members) - lacking:
                yield f"{place} has no {name}, which the model requires"
