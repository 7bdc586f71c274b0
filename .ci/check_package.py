#!/usr/bin/env python3
"""Checks what sam and .ci/release have built: that it is the function alone, and that Lambda can start it.

Prints what is wrong and exits with 1 where there is something; otherwise prints the sizes.

Usage: check_package.py ARCHITECTURE SAM-LOG FOLDER, where FOLDER has the files of the release
"""

import json
import sys
import zipfile
from io import BytesIO
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

from wrong import check, end, equal

# What provided.al2023 has: Amazon Linux 2023's glibc ("Amazon Linux 2023 User Guide", comparison with AL2: 2.34).
# A program that needs a later one does not start there ("version `GLIBC_2.35' not found").
LAMBDA_GLIBC = (2, 34)
# Its minimal container image has these and the loader; anything else would have to be in the package.
LAMBDA_LIBRARIES = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "libpthread.so.0", "libdl.so.2", "librt.so.1"}
MACHINES = {"x86_64": "x64", "arm64": "AArch64"}
FUNCTIONS = ["EnrollFunction", "ReconcileFunction"]
NAME = "guardduty-enroller"
# A text that only local-aws has in it.
OF_LOCAL_AWS = b"The local cloud is up"


def check_program(program, architecture, where):
    """That Lambda can start it; returns the highest glibc version that it needs."""
    check(program[:4] == b"\x7fELF", f"{where}: not an ELF program")
    check(OF_LOCAL_AWS not in program, f"{where}: it is local-aws")
    if program[:4] != b"\x7fELF":
        return (0, 0)
    elf = ELFFile(BytesIO(program))
    found = elf.get_machine_arch()
    check(found == MACHINES[architecture], f"{where}: built for {found}, not for {architecture}")
    needed = [
        tuple(int(part) for part in auxiliary.name.removeprefix("GLIBC_").split("."))
        for section in elf.iter_sections()
        if isinstance(section, GNUVerNeedSection)
        for _, auxiliaries in section.iter_versions()
        for auxiliary in auxiliaries
        if auxiliary.name.startswith("GLIBC_") and auxiliary.name != "GLIBC_PRIVATE"
    ]
    check(needed, f"{where}: it names no glibc version, so what it needs is not known")
    highest = max(needed, default=(0, 0))
    check(highest <= LAMBDA_GLIBC, f"{where}: needs {version(highest)}, Lambda has {version(LAMBDA_GLIBC)}")
    libraries = {
        tag.needed
        for tag in elf.get_section_by_name(".dynamic").iter_tags()
        if tag.entry.d_tag == "DT_NEEDED"
    }
    loaders = {"ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
    unknown = libraries - LAMBDA_LIBRARIES - loaders
    check(not unknown, f"{where}: needs {sorted(unknown)}, which Lambda does not have")
    return highest


def check_template(package):
    """That both functions name the package, so that it is uploaded once, and that no transform is needed."""
    stack = json.loads(package.with_suffix(".json").read_text(encoding="utf-8"))
    check("Transform" not in stack, f"{package.stem}.json: it needs a transform")
    resources = stack["Resources"]
    codes = {each: resources[each]["Properties"]["Code"] for each in FUNCTIONS}
    equal(codes, dict.fromkeys(FUNCTIONS, package.name), f"{package.stem}.json: the code")


def version(parts):
    return "glibc " + ".".join(str(part) for part in parts)


def main():
    architecture, sam_log, release = *sys.argv[1:3], Path(sys.argv[3])
    root = Path(__file__).parent.parent
    log = Path(sam_log).read_text(encoding="utf-8")
    builds = log.count("Running RustCargoLambdaBuilder:CargoLambdaBuild")
    check(builds == 1, f"sam has built {builds} times, not once for both functions")
    programs = []
    for function in FUNCTIONS:
        folder = root / ".aws-sam" / "build" / function
        files = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        check(files == ["bootstrap"], f"{folder}: has {files}, not just bootstrap")
        if files == ["bootstrap"]:
            programs.append((folder / "bootstrap").read_bytes())
    check(len(set(programs)) == 1, "sam's functions are not the same program")

    built = sorted(path.name for path in (root / "target" / "packages" / architecture).iterdir() if path.is_dir())
    check(built == [NAME], f"cargo-lambda has built {built}, not just {NAME}")
    package = release / f"{NAME}-{architecture}.zip"
    with zipfile.ZipFile(package) as archive:
        check(archive.namelist() == ["bootstrap"], f"{package}: has {archive.namelist()}")
        mode = archive.getinfo("bootstrap").external_attr >> 16
        check(mode & 0o111 == 0o111, f"{package}: bootstrap may not be run (mode {mode:o})")
        program = archive.read("bootstrap")
    highest = check_program(program, architecture, package)
    check(programs and programs[0] == program, "sam and .ci/release have built different programs")
    check_template(package)
    end(
        f"{architecture}: {package.name} has {package.stat().st_size:,} bytes, bootstrap {len(program):,}; "
        f"it needs {version(highest)}"
    )


if __name__ == "__main__":
    main()
