"""The shell blocks of the docs, run as a reader would run them: in one shell's state, with `aws` and `sam` on PATH that
call an engine. Each block and each AWS command is either run or named as not run, with the reason."""

import re
import subprocess
import textwrap
from pathlib import Path

from lambda_emulator import check, equal
from repository import ROOT

FILES = ["README.md", "docs/deploy.md", "docs/operations.md"]
BLOCK = re.compile(r"^( *)```sh\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
FENCED = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?<![-\w])aws ([a-z][a-z0-9-]+)\s+([a-z][a-z0-9-]+)")
PLACEHOLDER = re.compile(r"<[A-Za-z][^<>\n]*>")


def blocks(file):
    """Each block, and where it begins."""
    text = (ROOT / file).read_text(encoding="utf-8")
    found = [(text.count("\n", 0, each.start()) + 1, each[2]) for each in BLOCK.finditer(text)]
    return {f"{file}:{line}": textwrap.dedent(block) for line, block in found}


def commands(file):
    """What AWS commands a file has: in blocks, and in code in the text."""
    text = (ROOT / file).read_text(encoding="utf-8")
    # A block's backticks are a shell's own or JMESPath's.
    code = [*blocks(file).values(), *re.findall(r"`([^`]+)`", FENCED.sub("", text))]
    return {f"{service} {operation}" for each in code for service, operation in COMMAND.findall(each)}


class Guide:
    """The blocks, the placeholders' values, and the shell's state."""

    def __init__(self, folder, environment, placeholders, blocks_not_run, commands_not_run):
        self.folder, self.environment, self.placeholders = Path(folder), environment, placeholders
        self.blocks = {place: block for file in FILES for place, block in blocks(file).items()}
        self.commands_not_run = commands_not_run
        self.done = {self.find(*each) for each in blocks_not_run}
        self.state = self.folder / "state"
        self.state.write_text("", encoding="utf-8")
        self.calls = self.folder / "calls"
        self.calls.write_text("", encoding="utf-8")

    def find(self, file, text):
        found = [place for place, block in self.blocks.items() if place.startswith(f"{file}:") and text in block]
        equal(len(found), 1, f"blocks of {file} with {text!r}")
        return found[0]

    def run(self, file, text, answers="", status=0, folder=None, **placeholders):
        """Runs the block that has this text, and returns what it printed."""
        place = self.find(file, text)
        self.done.add(place)
        block = self.blocks[place]
        for name, value in {**self.placeholders, **placeholders}.items():
            block = block.replace(f"<{name}>", value)
        code = re.sub(r"#.*", "", block)
        check(not PLACEHOLDER.search(code), f"{place}: no value for {PLACEHOLDER.findall(code)}")
        script = f'. "{self.state}"\n{block}\nstatus=$?\n{{ export -p; declare -f; }} >"{self.state}"\nexit $status'
        before = len(self.failures())
        options = {"cwd": folder or self.folder, "env": self.environment, "input": answers}
        ran = subprocess.run(["bash", "-uc", script], capture_output=True, text=True, **options)
        said = f"{place}:\n{block}\nprinted:\n{ran.stdout[-4000:]}{ran.stderr[-4000:]}"
        equal(self.failures()[before:], [], f"AWS commands that failed: {said}")
        equal(ran.returncode, status, f"exit status of {said}")
        return ran.stdout

    def called(self):
        """Each call of `aws`: its exit status, its service and operation."""
        return [line.split(" ", 1) for line in self.calls.read_text(encoding="utf-8").splitlines()]

    def failures(self):
        return [call for status, call in self.called() if status != "0"]

    def check_complete(self):
        left = sorted(set(self.blocks) - self.done)
        equal(left, [], "blocks that are neither run nor named as not run")
        known = {command for file in FILES for command in commands(file)}
        called = {call for _, call in self.called()}
        equal(sorted(known - called - set(self.commands_not_run)), [], "commands neither run nor named as not run")
        equal(sorted(set(self.commands_not_run) - known), [], "commands named as not run that the docs do not have")


def check_permissions(file, whole):
    """The rows of the deployer's permissions for the guide's commands have each of them; `whole` are the services that
    other rows grant as a whole, or that need no permission."""
    text = (ROOT / file).read_text(encoding="utf-8")
    granted, service = set(), ""
    for line in re.findall(r"^\| [AM], this guide's commands.*$", text, re.MULTILINE):
        for each in re.findall(r"`([^`]+)`", line):
            service = each.split(":")[0] if ":" in each else service
            granted.add(f"{service}:{each.split(':')[-1]}".lower())
    needed = {command.replace(" ", ":").replace("-", "") for command in commands(file)}
    needed = {each.replace("lambda:invoke", "lambda:invokefunction") for each in needed}
    needed = {each for each in needed if each.split(":")[0] not in whole}
    equal(sorted(needed - granted), [], f"actions that the commands of {file} need and its table lacks")
