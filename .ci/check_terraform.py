#!/usr/bin/env python3
"""Checks docs/main.tf: that it can be read as Terraform, that each stack gives the parameters that its template wants and
no others, and that it reads outputs which are there. Prints what is wrong; exits with 1 where there is something."""

import re

import hcl2  # checkov brings it

from repository import ROOT, template
from wrong import check, end, equal

# The templates behind the stacks.
STACKS = {"administrator": "template", "management": "management-account"}


def main():
    text = (ROOT / "docs" / "main.tf").read_text(encoding="utf-8")
    resources = hcl2.loads(text)["resource"]
    stacks = {name: body for each in resources for name, body in each.get("aws_cloudformation_stack", {}).items()}
    equal(set(stacks), set(STACKS), "docs/main.tf: its stacks")
    for name in STACKS.keys() & stacks.keys():
        parameters = template(STACKS[name])["Parameters"]
        # The parser puts each value into a list.
        given = set(stacks[name]["parameters"][0])
        check(given <= parameters.keys(), f"docs/main.tf: {name} has no {sorted(given - parameters.keys())}")
        missing = {each for each, body in parameters.items() if "Default" not in body} - given
        check(not missing, f"docs/main.tf: {name} also needs {sorted(missing)}")
    for name, output in re.findall(r'aws_cloudformation_stack\.(\w+)\.outputs\["(\w+)"\]', text):
        check(output in template(STACKS[name])["Outputs"], f"docs/main.tf: {name} has no output {output}")
    end(f"docs/main.tf: {len(stacks)} stacks, with parameters that their templates have")


if __name__ == "__main__":
    main()
