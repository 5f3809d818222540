"""A Dask cluster on three hosts: the scheduler on the first, a worker on each other."""

from __future__ import annotations

import asyncio
import ctypes
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from distributed.core import rpc
from distributed.protocol.pickle import dumps

_PORT = 8786
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET


class Cluster:
    """The scheduler and the workers, by the numbers of their hosts."""

    def __init__(self, hosts, config):
        self.hosts, self._config = hosts, config
        self.address = f"tcp://{hosts[0].address}:{_PORT}"
        self.scheduler, self.workers = None, {}
        self._eyes = ThreadPoolExecutor(1, initializer=_enter, initargs=(hosts[0].pid,))

    def close(self):
        self._eyes.shutdown()

    def start_scheduler(self):
        self.scheduler = self._dask(0, "scheduler", "--port", _PORT, "--no-dashboard")

    def start_worker(self, number, *options, lacking=(), python=sys.executable):
        near = ("--nthreads", 1, "--no-dashboard", "--name", f"host{number}")
        command = ("worker", self.address, *near, *options)
        self.workers[number] = self._dask(number, *command, lacking=lacking, python=python)

    def _dask(self, number, *command, lacking=(), python=sys.executable):
        program = (python, "-m", "dask", *command)
        return self.hosts[number].run(*program, lacking=lacking, DASK_CONFIG=self._config)

    def run(self, *arguments, **options):
        """Run bigquant as a client on the scheduler's host."""
        program = (sys.executable, "-m", "bigquant", *arguments, "--scheduler", self.address)
        return self.hosts[0].run(*program, DASK_CONFIG=self._config, **options)

    def ask(self, question):
        """Have a function answered by the scheduler; None if it does not answer."""
        return self._eyes.submit(asyncio.run, _ask(self.address, question)).result()

    def wait_for(self, number, seconds=60):
        """Wait until so many workers are there."""
        give_up = time.monotonic() + seconds
        while (found := self.ask(_count_workers)) != number:
            assert time.monotonic() < give_up, f"{found} workers: {self.said}"
            time.sleep(0.1)

    @property
    def said(self):
        parts = {0: self.scheduler, **self.workers}
        return "\n".join(program.said for program in parts.values())


def _enter(pid):
    """Bring this thread, and nothing else of the tests, into the network of a process."""
    with open(f"/proc/{pid}/ns/net") as network:
        assert ctypes.CDLL(None, use_errno=True).setns(network.fileno(), _NEW_NETWORK) == 0


async def _ask(address, question):
    async with rpc(address) as scheduler:
        try:
            call = scheduler.run_function(function=dumps(question))
            return (await asyncio.wait_for(call, 5))["result"]
        except (OSError, asyncio.TimeoutError):
            return None


def _count_workers(dask_scheduler):
    return len(dask_scheduler.workers)
