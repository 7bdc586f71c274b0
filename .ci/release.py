#!/usr/bin/env python3
"""Writes a processor's part of a release: the package, the template that names it, and the bill of materials.

The template is the reviewed snapshot, what AWS's translator makes of template.yaml: it needs no transform. In it are the
package's name, which `aws cloudformation package` replaces by the address of its upload, and this one processor.

Usage: release.py ARCHITECTURE TARGET BUILT FOLDER, where BUILT has what cargo-lambda built and bom.json.
"""

import json
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

from repository import ROOT, of_type, template

NAME = "guardduty-enroller"


def zipped(program):
    """The package: as every zip of the same program is, with a fixed time and mode."""
    entry = zipfile.ZipInfo("bootstrap", date_time=(1980, 1, 1, 0, 0, 0))
    entry.create_system = 3  # Unix, or the mode is not read
    entry.external_attr = 0o100755 << 16
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(entry, program, zipfile.ZIP_DEFLATED, 9)
    return buffer.getvalue()


def released(architecture):
    """The template for the package of a processor. It refuses the other processor, on which the package cannot start."""
    stack = template("template")
    stack["Parameters"]["Architecture"].update(
        AllowedValues=[architecture],
        Default=architecture,
        ConstraintDescription=f"must be {architecture}: the package is for no other processor",
    )
    for function in of_type("template", "AWS::Lambda::Function"):
        stack["Resources"][function]["Properties"]["Code"] = f"{NAME}-{architecture}.zip"
    return json.dumps(stack, indent=1) + "\n"


def crates(target):
    """What cargo links into the program, as "name version". cargo-cyclonedx also names what the features of the other
    packages of the workspace, or of the tests, bring."""
    command = ["cargo", "tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"]
    command += ["--package", NAME, "--target", target]
    lines = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return {" ".join(line.split()[:2]).replace(" v", " ") for line in lines}


def bill(text, target):
    """cargo-cyclonedx's bill of materials, of the program's own crates alone and without this machine's folder."""
    found = json.loads(text.replace(f"path+file://{ROOT.resolve()}", f"path+file:///{NAME}"))
    wanted = crates(target)
    own = found["metadata"]["component"]
    components = [each for each in found["components"] if f"{each['name']} {each['version']}" in wanted]
    missing = wanted - {f"{each['name']} {each['version']}" for each in [own, *components]}
    without = [each["name"] for each in components if not each.get("licenses")]
    if missing or without:
        sys.exit(f"error: the bill of materials lacks {sorted(missing)}, and the licences of {without}")
    kept = {each["bom-ref"] for each in [own, *components]}
    links = [each for each in found["dependencies"] if each["ref"] in kept]
    for each in links:
        each["dependsOn"] = [to for to in each.get("dependsOn", []) if to in kept]
    return json.dumps({**found, "components": components, "dependencies": links}, indent=1) + "\n"


def main():
    architecture, target, built, folder = *sys.argv[1:3], *map(Path, sys.argv[3:])
    name = f"{NAME}-{architecture}"
    (folder / f"{name}.zip").write_bytes(zipped((built / NAME / "bootstrap").read_bytes()))
    (folder / f"{name}.json").write_text(released(architecture), encoding="utf-8")
    text = (built / "bom.json").read_text(encoding="utf-8")
    (folder / f"{name}.cdx.json").write_text(bill(text, target), encoding="utf-8")


if __name__ == "__main__":
    main()
