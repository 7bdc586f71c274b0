"""What the checks read of this repository: the templates as CloudFormation gets them, and the samples with what
events/README.md says of each."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
EVENTS = ROOT / "events"
# The accounts that the samples speak of, which local-aws has.
MANAGEMENT, ADMINISTRATOR = "111122223333", "222222222222"
CREATED, INVITED = "444455556666", "555566667777"
# The function's own number, in src/retry.rs; check_stack.py sees the function keep it.
LAST_ATTEMPT = 8


def template(name):
    """A template from the snapshot, which snapshot.py has found to be what CloudFormation gets."""
    return json.loads((ROOT / ".ci" / "snapshot" / f"{name}.json").read_text(encoding="utf-8"))


def of_type(name, kind):
    """The properties of a template's resources of a type."""
    resources = template(name)["Resources"].items()
    return {each: resource.get("Properties", {}) for each, resource in resources if resource["Type"] == kind}


def sample(name):
    return json.loads((EVENTS / name).read_text(encoding="utf-8"))


# The rows of the table: file, what it is, what the function does with it.
README = (EVENTS / "README.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\S+\.json)` \| (.*) \| (.*) \|$", README, re.MULTILINE)
# What the rules pass on.
PASSED_ON = {name for name, kind, _ in ROWS if "(**rule**)" in kind}
IGNORED = {name for name, _, action in ROWS if action.startswith("ignores it")}
# What is enrolled, with its accounts.
JOINS = {
    name: {CREATED, INVITED} if "both accounts" in action else set(re.findall(r"\d{12}", action))
    for name, _, action in ROWS
    if action.startswith("enrolls")
}
RECONCILE, BATCH = "reconcile.json", "retry-batch.json"
if {path.name for path in EVENTS.glob("*.json")} != {*IGNORED, *JOINS, RECONCILE, BATCH}:
    raise SystemExit("error: the table of events/README.md does not say of each file in events/ what is done with it")
