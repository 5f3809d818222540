"""Connecting to a Dask scheduler, and asking it how far it is."""

from __future__ import annotations

import itertools
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dask

from bigquant.errors import InputError

_log = logging.getLogger(__name__)
_CONNECT_SECONDS = 10
_SETTLE_SECONDS = 60


@contextmanager
def running_on(address: str | None = None, workers: int | None = None) -> Iterator[Any]:
    """Make a scheduler current: the one at `address`, a new local cluster, or threads.

    Parameters
    ----------
    address : str, optional
        Of a Dask scheduler, such as "tcp://host:8786".
    workers : int, optional
        Processes of a local cluster, one thread each, that lasts as long as the block.

    Yields
    ------
    distributed.Client or None
        None for threads.
    """
    if address is None and workers is None:
        _log.info("running on threads of this process")
        with dask.config.set(scheduler="threads"):
            yield None
        return
    from distributed import Client, LocalCluster  # noqa: PLC0415 - takes a second to import

    if workers is not None:
        with _deaf_to_interrupts():
            local = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                dashboard_address=":0",  # any free port: 8787 may be taken
                silence_logs=logging.CRITICAL,
            )
        with local, Client(local) as client:
            _log.info("running on %d local processes, dashboard %s", workers, local.dashboard_link)
            yield client
        return
    try:
        client = Client(address, timeout=_CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        half_made = current_client()  # distributed leaves it current if the address is none
        if half_made is not None:
            half_made.close(timeout=1)
        raise InputError(
            f"no Dask scheduler answers at {address} within {_CONNECT_SECONDS} s: "
            "check the address, and that it runs"
        ) from error
    with client:
        _log.info("running on the cluster at %s, dashboard %s", address, client.dashboard_link)
        yield client


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: it is for this process to end them.

    Only an ignored signal is inherited by a new program, so it is ignored here too meanwhile.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def current_client() -> Any:
    """Get the distributed client that computes now; None for local schedulers."""
    if "distributed" not in sys.modules:
        return None
    from distributed.client import _get_global_client  # noqa: PLC0415

    return _get_global_client()


def settle(task: str, busy: Callable[[], int]) -> None:
    """Wait until nobody, here or on a worker, runs a certain kind of task.

    A thread cannot be stopped: a task whose result nobody waits for any more runs on.

    Parameters
    ----------
    task : str
        Part of the tasks' keys, to know them by on a cluster.
    busy : callable
        Tells how many such tasks this process is in.
    """
    client = current_client()
    give_up = time.monotonic() + _SETTLE_SECONDS
    while time.monotonic() < give_up:
        keys: list[Any] = []
        if client is not None and client.status == "running":
            keys += itertools.chain(*client.processing().values())
            keys += itertools.chain(*client.run(_executing, on_error="ignore").values())
        if not busy() and not any(task in str(key) for key in keys):
            return
        time.sleep(0.1)


def _executing(dask_worker: Any) -> list[str]:
    return [str(state.key) for state in dask_worker.state.executing]


def task_counts(dask_scheduler: Any) -> dict[str, tuple[int, int]]:
    """Tell, on the scheduler, (finished, all) tasks of every group of tasks."""
    open_states = ("waiting", "processing", "queued", "no-worker")
    counts = {}
    for name, group in dask_scheduler.task_groups.items():
        total = sum(group.states.values())
        counts[name] = (total - sum(group.states[state] for state in open_states), total)
    return counts
