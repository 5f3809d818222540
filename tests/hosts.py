"""Three hosts on a switch with no way out: namespaces with addresses, disks and names of their own.

Every host is a process that waits for its standard input to end, the first of a PID namespace:
however the tests end, it goes, and the kernel takes all programs, links and mounts of it along.
Nothing has a name outside, so that runs do not get in each other's way.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
from processes import workers_of

#: What is read and what is written lies on a disk that all hosts see, the rest on their own.
INPUTS, OUTPUTS, SCRATCH = "/srv/in", "/srv/out", "/srv/scratch"
_NAMESPACES = ("--net", "--mount", "--uts", "--pid")
_HOST = f"""
set -e
hostname "$NAME"
mount -t proc proc /proc
mount -t tmpfs -o size=2g "$NAME" /srv
mkdir {INPUTS} {OUTPUTS} {SCRATCH}
mount --bind "$SHARED/in" {INPUTS}
mount --bind "$SHARED/out" {OUTPUTS}
mount --bind "$SHARED/hosts" /etc/hosts
ip link set lo up
echo up
exec cat
"""
_SWITCH = """
set -e
ip link add br0 type bridge
ip link set br0 up
echo up
exec cat
"""
#: Runs a program to which some folders are empty, on a disk of its own.
_START = f"""
cd {SCRATCH}
for each in $LACKING; do mount -t tmpfs -o size=512m own "$each" || exit; done
exec "$@"
"""


class Program:
    """A program that runs on a host; its errors go to a file."""

    def __init__(self, command, environment, errors):
        self._errors = errors
        with errors.open("wb") as stream:
            self._outside = subprocess.Popen(
                command,
                env=environment,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stream,
            )
        # who enters a PID namespace has a child in it: that becomes the program
        outside = psutil.Process(self._outside.pid)
        while not (inside := outside.children()) and self.runs:
            time.sleep(0.001)
        assert inside, self.said
        self.process = inside[0]

    @property
    def runs(self):
        return self._outside.poll() is None

    @property
    def said(self):
        return self._errors.read_text()

    def workers(self):
        """The worker processes of a nanny."""
        return workers_of(self.process)

    @contextmanager
    def stopped(self):
        """Let it do nothing, and not end, for as long as the block."""
        self.process.suspend()
        try:
            yield
        finally:
            self._resume()

    def _resume(self):
        """Wake up whoever waits for it, too: that stops where the program does."""
        self._outside.send_signal(signal.SIGCONT)

    def kill(self):
        """Kill it and all that it has started at once, as when a machine is switched off."""
        if self.runs:
            for each in [self.process, *self.process.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):  # it has ended since it was listed
                    each.kill()
            self._resume()
        self.wait(10)

    def wait(self, seconds):
        """Wait for its end; returns its exit code and what it printed."""
        try:
            out, _ = self._outside.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it has not ended in {seconds} s: {self.said}") from None
        return self._outside.returncode, out.decode()


class Host:
    """A machine with a name, an address and disks."""

    def __init__(self, name, address, pid, logs):
        self.name, self.address, self.pid = name, address, pid
        self._logs, self._started = logs, []

    def run(self, *command, lacking=(), **environment):
        """Start a program; the folders in `lacking` are empty to it, and nobody else's."""
        inside = ["setpriv", "--pdeathsig=KILL", "nsenter", f"--target={self.pid}", *_NAMESPACES]
        inside += ["unshare", "--mount", "sh", "-c", _START, "sh"]
        variables = _clean_environment() | environment | {"LACKING": " ".join(lacking)}
        errors = self._logs / f"{self.name}-{len(self._started)}"
        self._started.append(Program([*inside, *map(str, command)], variables, errors))
        return self._started[-1]

    def halt(self):
        for program in self._started:
            program.kill()


def _clean_environment():
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DASK")}
    sources = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]
    return kept | {"PYTHONPATH": os.pathsep.join(sources), "TMPDIR": SCRATCH}


class Hosts:
    """Hosts, and the switch between them."""

    def __init__(self, machines, switch):
        self._machines, self._switch = machines, switch

    def __getitem__(self, number):
        return self._machines[number]

    def cut(self, number):
        """Pull the cable of a host."""
        self._at_the_switch("ip", "link", "set", f"p{number}", "down")

    def mend(self, number):
        self._at_the_switch("ip", "link", "set", f"p{number}", "up")

    def isolate(self, *numbers, state="on"):
        """Let hosts reach all but each other, as behind a firewall."""
        for number in numbers:
            self._at_the_switch("bridge", "link", "set", "dev", f"p{number}", "isolated", state)

    def _at_the_switch(self, *command):
        _run_in(self._switch, *command)


@contextmanager
def three_hosts(shared):
    """Start hosts that share the folders `in` and `out` of a folder; an OSError if it cannot be."""
    for name in ("in", "out", "logs"):
        (shared / name).mkdir(exist_ok=True)
    addresses = {f"host{number}": f"10.77.0.{10 + number}" for number in range(3)}
    known = [f"{address} {name}\n" for name, address in addresses.items()]
    (shared / "hosts").write_text("".join(["127.0.0.1 localhost\n", *known]))
    with ExitStack() as stack:
        switch = stack.enter_context(_booted(_SWITCH))
        machines = []
        for number, (name, address) in enumerate(addresses.items()):
            pid = stack.enter_context(_booted(_HOST, NAME=name, SHARED=str(shared)))
            machines.append(Host(name, address, pid, shared / "logs"))
            stack.callback(machines[-1].halt)
            plug = f"eth0 netns {pid} type veth peer name p{number} netns {switch}"
            subprocess.run(["ip", "link", "add", *plug.split()], check=True, capture_output=True)
            _run_in(switch, "ip", "link", "set", f"p{number}", "master", "br0", "up")
            _run_in(pid, "ip", "addr", "add", f"{address}/24", "dev", "eth0")
            _run_in(pid, "ip", "link", "set", "eth0", "up")
        yield Hosts(machines, switch)


@contextmanager
def _booted(script, **variables):
    """Run a script as the first process of its namespaces, for as long as the block."""
    process = subprocess.Popen(
        ["unshare", *_NAMESPACES, "--fork", "--kill-child", "sh", "-c", script],
        env=os.environ | variables,
        start_new_session=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        if process.stdout.readline() != b"up\n":
            raise OSError(process.stderr.read().decode().strip())
        try:
            yield psutil.Process(process.pid).children()[0].pid
        finally:
            process.stdin.close()
            process.wait(10)


def _run_in(pid, *command):
    """Run a command in the network of a process."""
    inside = ("nsenter", f"--target={pid}", "--net")
    subprocess.run([*inside, *command], check=True, capture_output=True)
