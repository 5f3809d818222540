"""Connecting to a Dask scheduler, and asking it how far it is."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dask

from bigquant.errors import InputError

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
        with dask.config.set(scheduler="threads"):
            yield None
        return
    from distributed import Client, LocalCluster  # noqa: PLC0415 - takes a second to import

    if workers is not None:
        with (
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                dashboard_address=":0",  # any free port: 8787 may be taken
                silence_logs=logging.CRITICAL,
            ) as local,
            Client(local) as client,
        ):
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
        yield client


def current_client() -> Any:
    """Get the distributed client that computes now; None for local schedulers."""
    if "distributed" not in sys.modules:
        return None
    from distributed.client import _get_global_client  # noqa: PLC0415

    return _get_global_client()


def settle() -> None:
    """Wait until no worker of a distributed cluster is busy with tasks of ours."""
    client = current_client()
    give_up = time.monotonic() + _SETTLE_SECONDS
    while client is not None and client.status == "running" and time.monotonic() < give_up:
        if not any(client.processing().values()):
            return
        time.sleep(0.1)


def task_counts(dask_scheduler: Any) -> dict[str, tuple[int, int]]:
    """Tell, on the scheduler, (finished, all) tasks of every group of tasks."""
    open_states = ("waiting", "processing", "queued", "no-worker")
    counts = {}
    for name, group in dask_scheduler.task_groups.items():
        total = sum(group.states.values())
        counts[name] = (total - sum(group.states[state] for state in open_states), total)
    return counts
