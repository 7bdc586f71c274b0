#!/usr/bin/env python3
"""Writes both templates as the JSON that CloudFormation gets: template.yaml after AWS's own translator (offline, no
AWS account), management-account.yaml as it is, which has no transform. Everything that judges the templates reads
these files.

Usage: translate.py FOLDER
"""

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

ROOT = Path(__file__).parent.parent


class NoManagedPolicies:
    """The roles name no managed policy, so there is none to look up."""

    def load(self):
        return {}


def read(name):
    return yaml_parse((ROOT / name).read_text(encoding="utf-8"))


def translated(template):
    # Deploying uploads the code first; the translator takes only the address of an upload.
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/key"
    for resource in template["Resources"].values():
        resource.get("Properties", {}).pop("CodeUri", None)
    return transform(template, {}, NoManagedPolicies())


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, template in [
        ("template", translated(read("template.yaml"))),
        ("management-account", read("management-account.yaml")),
    ]:
        text = json.dumps(template, indent=2) + "\n"
        (folder / f"{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
