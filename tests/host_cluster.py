"""A Dask cluster on three hosts: the scheduler and the client on the first, a worker on each other.

What the scheduler holds is asked for from outside: the question is no client of it.
"""

from __future__ import annotations

import asyncio
import ctypes
import signal
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from distributed.core import rpc
from distributed.protocol.pickle import dumps
from hosts import SCRATCH

_PORT = 8786
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET
_SETTINGS = {
    "DASK_CONFIG": str(Path(__file__).parents[1] / "docker" / "dask.yaml"),
    "DASK_TEMPORARY_DIRECTORY": SCRATCH,
}
WORKERS = (1, 2)


class Cluster:
    """The programs of a cluster, by the numbers of their hosts."""

    def __init__(self, hosts):
        self.hosts = hosts
        self.address = f"tcp://{hosts[0].address}:{_PORT}"
        self.scheduler, self.workers, self._unlike = None, {}, set()
        self._eyes = ThreadPoolExecutor(1, initializer=_enter, initargs=(hosts[0].pid,))

    def close(self):
        self._eyes.shutdown()

    def start_scheduler(self):
        self.scheduler = self._dask(0, "scheduler", "--port", _PORT)

    def start_worker(self, number, *options, lacking=(), python=sys.executable):
        """Start a worker anew, of one thread unless options say otherwise."""
        if number in self.workers:
            self.workers[number].kill()
        if options or lacking or python != sys.executable:
            self._unlike.add(number)
        command = ("worker", self.address, "--nthreads", 1, "--name", f"host{number}", *options)
        self.workers[number] = self._dask(number, *command, lacking=lacking, python=python)

    def _dask(self, number, *command, python=sys.executable, **options):
        return self.hosts[number].run(python, "-m", "dask", *command, **_SETTINGS, **options)

    def run(self, *arguments, on=0):
        """Run bigquant as a client, on the scheduler's host or another."""
        program = (sys.executable, "-m", "bigquant", *arguments)
        return self.hosts[on].run(*program, "--scheduler", self.address, **_SETTINGS)

    def heal(self):
        """Mend links, and start what a test has killed, stopped or started in another way."""
        self.hosts.isolate(*WORKERS, state="off")
        for number in (0, *WORKERS):
            self.hosts.mend(number)
        if self.scheduler is None or not self.scheduler.runs:
            self.start_scheduler()
        for number in self._unlike | (set(WORKERS) - set(self.workers)):
            self.start_worker(number)
        self._unlike.clear()
        self.wait_for_workers()

    def wait_for_workers(self, seconds=60):
        """Wait until both are there, and well; those that have ended are started anew."""
        give_up = time.monotonic() + seconds
        wanted = [f"host{number}" for number in WORKERS]
        while (found := self.ask(_running)) != wanted:
            assert time.monotonic() < give_up, f"{found}: {self.said}"
            for number in WORKERS:
                if not self.workers[number].runs:
                    self.start_worker(number)
            time.sleep(0.1)

    def ask(self, question):
        """Have a function of this module answered by the scheduler; None if it does not answer."""
        return self._eyes.submit(asyncio.run, _ask(self.address, question)).result()

    @property
    def progress(self):
        """Blocks that are counted, and that are not yet."""
        return self.ask(_counted) or (0, 0)

    def assert_nothing_is_held(self):
        """No task, no result and no client but for the scheduler's own."""
        give_up = time.monotonic() + 10
        while (held := self.ask(_held)) != (0, 0, 0) and time.monotonic() < give_up:
            time.sleep(0.1)
        assert held == (0, 0, 0), held

    @property
    def said(self):
        """The end of what scheduler and workers have said."""
        programs = (self.scheduler, *self.workers.values())
        return "\n".join(program.said[-2000:] for program in programs)


@contextmanager
def stopped(process):
    """A process that does nothing, and does not end."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(Exception):  # it was killed meanwhile
            process.send_signal(signal.SIGCONT)


def _enter(pid):
    """Bring this thread, and nothing else of the tests, into the network of a process."""
    with open(f"/proc/{pid}/ns/net") as network:
        assert ctypes.CDLL(None).setns(network.fileno(), _NEW_NETWORK) == 0


async def _ask(address, question):
    async with rpc(address) as scheduler:
        call = scheduler.run_function(function=dumps(question))
        try:
            return (await asyncio.wait_for(call, 5))["result"]
        except (TimeoutError, OSError):
            return None


# ---------------------------------------------------------------- run on the scheduler


def _running(dask_scheduler):
    states = dask_scheduler.workers.values()
    return sorted(state.name for state in states if state.status.name == "running")


def _counted(dask_scheduler):
    states = Counter()
    for name, group in dask_scheduler.task_groups.items():
        if name.startswith("count-block"):
            states.update(group.states)
    done = states["memory"] + states["released"]
    return done, sum(states.values()) - done


def _held(dask_scheduler):
    results = sum(len(state.has_what) for state in dask_scheduler.workers.values())
    return len(dask_scheduler.tasks), results, len(dask_scheduler.clients) - 1
