#!/usr/bin/env python3
"""Compares what CloudFormation gets with .ci/snapshot, which a person has reviewed and which all other checks read:
template.yaml after AWS's own translator (offline, no AWS account), and management-account.yaml, which has no transform.
Prints the difference and exits with 1 where there is one; with --update it writes the snapshot.

Usage: snapshot.py [--update]
"""

import difflib
import json
import logging
import os
import sys
from pathlib import Path

# The translator asks for the Region only to name the partition in ARNs that these templates do not use.
os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")

from samtranslator.translator.transform import transform  # noqa: E402
from samtranslator.yaml_helper import yaml_parse  # noqa: E402

# It warns of metrics about itself that nobody collects here.
logging.getLogger("samtranslator").setLevel(logging.ERROR)

HERE = Path(__file__).parent


class NoManagedPolicies:
    """The roles name no managed policy, so there is none to look up."""

    def load(self):
        return {}


def translated(name):
    template = yaml_parse((HERE.parent / f"{name}.yaml").read_text(encoding="utf-8"))
    if "Transform" not in template:
        return template
    # Deploying uploads the code first; the translator takes only the address of an upload.
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/key"
    return transform(template, {}, NoManagedPolicies())


def main():
    differs = False
    for name in ["template", "management-account"]:
        file = HERE / "snapshot" / f"{name}.json"
        text = json.dumps(translated(name), indent=2) + "\n"
        if sys.argv[1:] == ["--update"]:
            file.write_text(text, encoding="utf-8")
        stored = file.read_text(encoding="utf-8")
        differs = differs or stored != text
        # The dashboard is one long string: each of its lines is shown by itself.
        before, after = (each.replace("\\n", "\n").splitlines() for each in [stored, text])
        for line in difflib.unified_diff(before, after, f".ci/snapshot/{name}.json", f"{name}.yaml", lineterm=""):
            print(line)
    if differs:
        sys.exit("error: the templates make something else than the snapshot; if it is meant: .ci/templates --update")
    print("the templates make what the snapshot has")


if __name__ == "__main__":
    main()
