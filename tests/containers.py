"""Containers for tests: a base image made here, a Docker daemon of their own, compose."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

from servers import free_port

ROOT = Path(__file__).parents[1]
DEBIAN = ("docker.io", "iptables", "mmdebstrap", "openssl")
PROGRAMS = ("dockerd", "iptables-save", "mmdebstrap", "openssl")
BASE, IMAGE, STORE = "bigquant-test-base", "bigquant-test", "bigquant-test-s3"
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
#: The tables of rules that Docker writes to, as they are where nobody has.
_TABLES = {
    "filter": "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\nCOMMIT\n",
    "nat": "*nat\nCOMMIT\n",
}
#: The authorities that this machine trusts beside the usual ones; without, pip may reach nobody.
_TRUST = """
mkdir -p "$1/usr/local/share/ca-certificates"
cp /usr/local/share/ca-certificates/*.crt "$1/usr/local/share/ca-certificates/" 2>/dev/null || true
chroot "$1" update-ca-certificates >/dev/null 2>&1
"""


def why_not():
    """Say why there can be no containers here; None if there can."""
    if os.geteuid() != 0:
        return "only root can run containers"
    if not Path("/etc/debian_version").exists():
        return "no Debian: its packages make the base image"
    return None


def install():
    """Install what is missing from Debian."""
    if not all(map(shutil.which, PROGRAMS)):
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        apt = ["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"]
        run([*apt, "update"], env=environment)
        run([*apt, "install", "-y", "--no-install-recommends", *DEBIAN], env=environment)


def run(command, timeout=600, **options):
    """Run a program, and show what it said if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, **options)
    assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-4000:])
    return done.stdout


@contextmanager
def as_it_was():
    """Put the machine's network back in order after a Docker daemon, which does not."""
    forwarding = _FORWARDING.read_text()
    bridged = Path("/sys/class/net/docker0").exists()
    before = {table: run(["iptables-save", "-t", table]) for table in _TABLES}
    try:
        yield
    finally:
        for table, rules in before.items():
            run(["iptables-restore"], input=rules or _TABLES[table])
        if not bridged and Path("/sys/class/net/docker0").exists():
            run(["ip", "link", "delete", "docker0"])
        _FORWARDING.write_text(forwarding)


class Engine:
    """A Docker daemon with a socket and a disk of its own, and the images in it."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = os.environ | {
            "DOCKER_HOST": f"unix://{folder}/docker.sock",
            "DOCKER_BUILDKIT": "0",  # what every Docker can
            "BASE_IMAGE": BASE,
            "BIGQUANT_IMAGE": IMAGE,
            "BIGQUANT_S3_IMAGE": STORE,
        }

    def docker(self, *arguments, timeout=60):
        # Debian's, not one that may come earlier on the path
        return run(["/usr/bin/docker", *arguments], env=self.environment, timeout=timeout)

    def build(self):
        """Make the base, which stands in for python:3.13-slim, and the images on it."""
        tar = self.folder / "base.tar"
        packages = "ca-certificates,python3,python3-venv,python3-pip,python-is-python3"
        command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}"]
        command += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man")]
        run([*command, f"--customize-hook={_TRUST}", "trixie", str(tar)])
        self.docker("import", str(tar), BASE)
        tar.unlink()
        with ThreadPoolExecutor() as both:
            list(both.map(self._build, ("Dockerfile", "Dockerfile.s3"), (IMAGE, STORE)))

    def _build(self, file, image):
        options = ["--build-arg", f"BASE_IMAGE={BASE}", "--tag", image]
        self.docker("build", "-f", f"{ROOT}/docker/{file}", *options, str(ROOT), timeout=900)

    @contextmanager
    def cluster(self, *files, profiles=(), **variables):
        """Run a cluster by compose files until the end of the block."""
        cluster = Cluster(self, files, profiles, variables)
        try:
            cluster.compose("up", "--detach", "--wait", "--wait-timeout", "90", timeout=120)
            yield cluster
        finally:
            cluster.compose("--profile", "*", "down", "--volumes", "--timeout", "1", timeout=60)


@contextmanager
def engine():
    """Run a Docker daemon until the end of the block, and leave nothing of it."""
    temporary = tempfile.TemporaryDirectory(prefix="bigquant-docker-")
    with temporary as folder, as_it_was(), _daemon(folder) as daemon:
        engine = Engine(Path(folder))
        wait_until(lambda: _answers(engine, daemon), 30)
        try:
            yield engine
        finally:
            if containers := engine.docker("ps", "--all", "--quiet").split():
                engine.docker("rm", "--force", "--volumes", *containers)
            engine.docker("network", "prune", "--force")


@contextmanager
def _daemon(folder):
    command = ["dockerd", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
    command += ["--pidfile", f"{folder}/pid", "--host", f"unix://{folder}/docker.sock"]
    with open(f"{folder}/log", "wb") as log:
        daemon = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        yield daemon
    finally:
        daemon.terminate()
        daemon.wait(timeout=60)


def _answers(engine, daemon):
    assert daemon.poll() is None, (engine.folder / "log").read_text()[-4000:]
    with suppress(AssertionError):
        return engine.docker("info")
    return None


class Cluster:
    """The containers of a compose project."""

    def __init__(self, engine, files, profiles, variables):
        self.engine = engine
        self.dashboard = free_port()
        ports = {"BIGQUANT_SCHEDULER_PORT": free_port(), "BIGQUANT_DASHBOARD_PORT": self.dashboard}
        ports |= {"BIGQUANT_NOTEBOOK_PORT": free_port()}
        self.environment = engine.environment | {
            name: str(value) for name, value in (ports | variables).items()
        }
        compose = str(Path(sys.executable).with_name("docker-compose"))
        self.command = [compose, "--progress", "quiet"]
        self.command += [option for file in files for option in ("--file", str(file))]
        self.command += [option for name in profiles for option in ("--profile", name)]

    def compose(self, *arguments, timeout=60):
        return run([*self.command, *arguments], env=self.environment, timeout=timeout)

    @contextmanager
    def client(self, *command, options=()):
        """A client's container that runs a command; removed at the end of the block."""
        start = [*self.command, "run", "--rm", "--no-TTY", "--no-deps", *options, "client"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen([*start, *command], env=self.environment, **pipes)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            process.communicate(timeout=60)

    def bigquant(self, *arguments, timeout=120, options=()):
        """Run bigquant in a client's container; its exit code and what it said."""
        with self.client("bigquant", *arguments, options=options) as process:
            out, err = process.communicate(timeout=timeout)
            return process.returncode, out, err

    def container(self, service, number=1):
        return f"bigquant-{service}-{number}"

    def signal(self, service, number):
        """Send a signal to the first process of a service's first container.

        Not by Docker, which would take it as a wish that the container stays down.
        """
        name = self.container(service)
        process = self.engine.docker("inspect", "--format", "{{.State.Pid}}", name)
        os.kill(int(process), number)

    def counts(self):
        """Count workers, tasks and clients, as the scheduler does; nothing while it is away."""
        page = f"http://127.0.0.1:{self.dashboard}/json/counts.json"
        with suppress(OSError), urlopen(page, timeout=5) as counts:
            return json.load(counts)
        return {}

    def wait_for_workers(self, number, seconds=60):
        wait_until(lambda: self.counts().get("workers") == number, seconds)


def wait_until(found, seconds):
    """Wait until a function finds something, and return that."""
    give_up = time.monotonic() + seconds
    while not (result := found()):
        assert time.monotonic() < give_up, f"waited {seconds} s in vain"
        time.sleep(0.02)
    return result
