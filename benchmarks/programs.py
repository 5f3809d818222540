"""A scheduler, its workers and their client, each a program of its own, as on a real cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

_START_SECONDS = 120


class Fits:
    """A client that stays."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._read("ready")

    def fit(self, image: Path, output: Path, seed: int = 0, *, dry: bool = False) -> dict[str, Any]:
        """Let it fit an image; what every process has done is told before and after."""
        assert self.process.stdin
        asked = {"image": str(image), "output": str(output), "seed": seed, "dry": dry}
        print(json.dumps(asked), file=self.process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._read("an answer"))
        return answer

    def _read(self, what: str) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the client ended without {what}")
        return line


@contextmanager
def on_threads() -> Iterator[Fits]:
    """Start a client that uses two threads of its own."""
    with _program("benchmarks.fits") as client:
        yield Fits(client)


@contextmanager
def on_cluster(folder: Path, n_workers: int, *, trimming: bool = False) -> Iterator[Fits]:
    """Start a scheduler, workers of one thread each, and a client that is connected to them.

    Workers give memory back to the system at once if `trimming`, as Dask has it by default.
    """
    with _scheduler(folder) as (address, scratch), ExitStack() as stack:
        environment = {} if trimming else {"DASK_CONFIG": str(_untrimmed(scratch))}
        stack.enter_context(
            _program(
                *("distributed.cli.dask_worker", address, "--nthreads", "1"),
                *("--nworkers", str(n_workers), "--no-dashboard", "--host", "127.0.0.1"),
                *("--local-directory", str(scratch), "--preload", "benchmarks.wire"),
                **environment,
            )
        )
        yield _connected(stack, address, n_workers)


@contextmanager
def on_dry_cluster(folder: Path, n_workers: int, seconds: float) -> Iterator[Fits]:
    """Start the same, of workers in one process that do no work: see `dry_workers`."""
    with _scheduler(folder) as (address, _), ExitStack() as stack:
        stack.enter_context(
            _program("benchmarks.dry_workers", address, str(n_workers), str(seconds))
        )
        yield _connected(stack, address, n_workers)


def _untrimmed(scratch: Path) -> Path:
    """Write a configuration by which a nanny does not set the variable that it sets."""
    path = scratch / "dask.yaml"
    variables = {"MALLOC_TRIM_THRESHOLD_": None}
    path.write_text(json.dumps({"distributed": {"nanny": {"pre-spawn-environ": variables}}}))
    return path


def _connected(stack: ExitStack, address: str, n_workers: int) -> Fits:
    from distributed import Client  # noqa: PLC0415 - not wanted where all is threads

    with Client(address) as client:
        client.wait_for_workers(n_workers, timeout=_START_SECONDS)
    return Fits(stack.enter_context(_program("benchmarks.fits", address)))


@contextmanager
def _scheduler(folder: Path) -> Iterator[tuple[str, Path]]:
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    told = scratch / "scheduler.json"
    told.unlink(missing_ok=True)
    with _program(
        *("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"),
        *("--no-dashboard", "--scheduler-file", str(told), "--preload", "benchmarks.wire"),
    ):
        give_up = time.monotonic() + _START_SECONDS
        while not told.exists() or not told.read_text():
            if time.monotonic() > give_up:
                raise RuntimeError("the scheduler does not start")
            time.sleep(0.05)
        yield json.loads(told.read_text())["address"], scratch


@contextmanager
def _program(module: str, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run a module as a program, and end it as one ends a service."""
    quiet = None if module == "benchmarks.fits" else subprocess.DEVNULL
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE if quiet is None else quiet,
        stderr=quiet,
        text=True,
        env=os.environ | environment,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(_START_SECONDS)
        for stream in (process.stdin, process.stdout):
            if stream:
                stream.close()
