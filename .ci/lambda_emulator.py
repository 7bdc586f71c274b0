"""Runs the function on AWS's Runtime Interface Emulator, against servers on this machine."""

import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from repository import BATCH, IGNORED, JOINS, RECONCILE, ROOT, sample

REGIONS = {"us-east-1", "eu-west-1", "eu-central-1", "ap-southeast-2"}


def check(good, finding):
    if not good:
        raise SystemExit(f"error: {finding}")


def equal(found, expected, what):
    check(found == expected, f"{what}: expected {expected!r}, found {found!r}")


def wait_until(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while not (value := condition()):
        check(time.monotonic() < end, f"{what} within {seconds} s")
        time.sleep(0.1)
    return value


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def listeners():
    """Address, as /proc/net writes it, port, and inode of each socket that listens on this machine."""
    for table in ["/proc/net/tcp", "/proc/net/tcp6"]:
        for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            address, port = fields[1].split(":")
            if fields[3] == "0A":
                yield address, int(port, 16), fields[9]


def listening_addresses(port):
    """The addresses of this machine on which something listens at a port."""
    return {address for address, each, _ in listeners() if each == port}


def check_on_loopback(port, what):
    wait_until(lambda: listening_addresses(port), f"{what} listens")
    equal(listening_addresses(port), {"0100007F"}, f"where {what} listens")


def check_nothing_else_listens(group, ports):
    """The processes of a group listen on 127.0.0.1 only, and at these ports or at none that was chosen."""
    sockets = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(process.name)) == group:
                sockets |= {os.readlink(each) for each in (process / "fd").iterdir()}
        except (FileNotFoundError, ProcessLookupError):
            continue
    found = {(address, port) for address, port, inode in listeners() if f"socket:[{inode}]" in sockets}
    equal({address for address, _ in found}, {"0100007F"}, f"where the processes of {group} listen")
    check(set(ports) <= {port for _, port in found}, f"nothing listens at one of {ports}")


class Server:
    """A child process in a group of its own, which ends with the `with` block, and what it has printed."""

    def __init__(self, command, variables=None):
        self.output = tempfile.NamedTemporaryFile(mode="rb", prefix="output-")
        with open(self.output.name, "wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**self.plain_environment(), **(variables or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @staticmethod
    def plain_environment():
        """Nobody's AWS settings may change the result."""
        return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}

    def text(self):
        return Path(self.output.name).read_text(encoding="utf-8", errors="replace")

    def wait_for(self, pattern, seconds=60):
        def found():
            check(self.process.poll() is None, f"{self.process.args} has ended:\n{self.text()}")
            return re.search(pattern, self.text())

        return wait_until(found, f"{pattern!r} from {self.process.args}", seconds)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for number in [signal.SIGTERM, signal.SIGKILL]:
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                continue
            except ProcessLookupError:
                break
        self.output.close()


class LocalAws(Server):
    """`cargo local serve`."""

    def __init__(self, *faults, port=0, more=()):
        arguments = [*more, *(part for fault in faults for part in ("--fault", fault))]
        super().__init__(["cargo", "local", "serve", "--port", str(port), "--enables-after", "0", *arguments])
        # Its first build takes minutes.
        self.wait_for("then for example", seconds=900)
        self.variables = dict(re.findall(r"^export (\w+)=(.*)$", self.text(), re.MULTILINE))
        self.address = self.variables["AWS_ENDPOINT_URL"]


class Function(Server):
    """The function on the emulator: one process, which takes calls one after another."""

    def __init__(self, emulator, bootstrap, variables, timeout=60):
        port, runtime_api = free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
        # Without both addresses it would listen on every interface.
        command = [
            emulator,
            "--runtime-interface-emulator-address",
            f"127.0.0.1:{port}",
            "--runtime-api-address",
            f"127.0.0.1:{runtime_api}",
            bootstrap,
        ]
        lambda_variables = {
            "AWS_LAMBDA_FUNCTION_NAME": "guardduty-enroller",
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
        }
        super().__init__(command, {**variables, **lambda_variables})
        for each in [port, runtime_api]:
            check_on_loopback(each, "the emulator")

    def invoke(self, payload):
        """The reply. The emulator answers 200 to an error of an invocation too: it is a reply with `errorType`."""
        request = urllib.request.Request(self.url, data=json.dumps(payload).encode())
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                body = response.read().decode()
        except urllib.error.HTTPError as answer:
            # An error at the start has a status of its own, and the same body as one in an invocation.
            body = answer.read().decode()
        try:
            return json.loads(body)
        except json.JSONDecodeError:
            # "Task timed out after …" and the like are plain text.
            raise SystemExit(f"error: the emulator says {body!r}:\n{self.text()}") from None

    def log(self):
        """The function's own lines, which are JSON."""
        lines = (line for line in self.text().splitlines() if line.startswith("{"))
        return [json.loads(line) for line in lines]


def outcomes(reply, what):
    """The outcome of each pair of a reply."""
    check("accounts" in reply, f"{what}: no accounts in {reply}")
    return {
        (account["accountId"], region): pair["outcome"]
        for account in reply["accounts"]
        for region, pair in account["regions"].items()
    }


def send_samples(function):
    """Every sample goes through, those that are ignored are. Returns the reply to each."""
    names = [*sorted(JOINS), *sorted(IGNORED), RECONCILE, BATCH]
    replies = {name: function.invoke(sample(name)) for name in names}
    for name in IGNORED:
        equal(list(replies[name]), ["ignored"], name)
    equal((replies[RECONCILE]["complete"], replies[RECONCILE]["dryRun"]), (True, True), RECONCILE)
    return replies
