"""Asking a cluster how it goes, and its workers whatever else; nobody is waited for long."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dask

_SETTLE_SECONDS = 30
#: Parts of the names of tasks: passes over blocks, merges, fits.
_OURS = ("-block", "merge-counts", "fit-")
#: That a worker or the scheduler has to answer a question.
_ANSWER_SECONDS = 5


def current_client() -> Any:
    """Get the distributed client that computes now; None for local schedulers."""
    if "distributed" not in sys.modules:
        return None
    from distributed.client import _get_global_client  # noqa: PLC0415

    return _get_global_client()


@contextmanager
def chosen(client: Any) -> Iterator[None]:
    """Let a client compute to the end of the block, or fail.

    Dask forgets one that is closed, as it is when its scheduler is lost, and computes by itself.
    """
    _chosen.append(client)
    try:
        yield
    finally:
        _chosen.remove(client)


_chosen: list[Any] = []


def computing_client() -> Any:
    """Get the distributed client that `dask.compute` would use; None for local schedulers.

    None in a task, too: there `dask.compute` gives its thread up to others while it waits.
    """
    if "distributed" not in sys.modules:
        return None
    from distributed import Client  # noqa: PLC0415
    from distributed.worker import thread_state  # noqa: PLC0415

    if getattr(thread_state, "key", None):
        return None
    if _chosen:
        return _chosen[-1]
    owner = getattr(dask.base.get_scheduler(), "__self__", None)
    return owner if isinstance(owner, Client) else None


def ask_workers(
    client: Any,
    addresses: Iterable[str],
    function: Callable[..., Any],
    *arguments: Any,
    seconds: float,
) -> dict[str, Any]:
    """Call a function on each worker, side by side, and wait for each only so long.

    Parameters
    ----------
    client : distributed.Client
    addresses : iterable of str
    function : callable
        Of a module that workers have: it travels by its name.
    *arguments
    seconds : float

    Returns
    -------
    dict
        By address: what the function returned, the exception that it raised, or an `OSError`, such
        as a `TimeoutError`, if it was not reached or did not answer.
    """

    async def ask(address: str) -> Any:
        options = {"workers": [address], "on_error": "return"}
        try:
            answers = await asyncio.wait_for(client.run(function, *arguments, **options), seconds)
        except OSError as error:
            return error
        return answers[address]

    async def ask_all() -> dict[str, Any]:
        return dict(zip(asked, await asyncio.gather(*map(ask, asked)), strict=True))

    asked = list(addresses)
    try:
        answers: dict[str, Any] = client.sync(ask_all, callback_timeout=2 * seconds)
    except Exception as error:  # noqa: BLE001 - the client may be closed by now
        return dict.fromkeys(asked, error)
    return answers


def ask_scheduler(
    client: Any, function: Callable[..., Any], *arguments: Any, seconds: float
) -> Any:
    """Call a function on the scheduler; the exception if it fails, or gives no answer in time."""

    async def ask() -> Any:
        return await asyncio.wait_for(client.run_on_scheduler(function, *arguments), seconds)

    try:
        return client.sync(ask, callback_timeout=2 * seconds)
    except Exception as error:  # noqa: BLE001 - whoever waits for results will hear of it
        return error


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
        keys = _running_keys(client) if client is not None else []
        if not busy() and not any(task in key for key in keys):
            return
        time.sleep(0.1)


def _running_keys(client: Any) -> list[str]:
    """List the tasks that workers are on; of those that do not answer nothing can be said."""
    if client.status != "running":
        return []
    processing = ask_scheduler(client, _processing, seconds=_ANSWER_SECONDS)
    if not isinstance(processing, dict):
        return []
    answers = ask_workers(client, processing, executing, seconds=_ANSWER_SECONDS)
    found = [keys for keys in answers.values() if isinstance(keys, list)]
    return [*itertools.chain(*processing.values(), *found)]


def _processing(dask_scheduler: Any) -> dict[str, list[str]]:
    workers = dask_scheduler.workers.values()
    return {each.address: [str(task.key) for task in each.processing] for each in workers}


def executing(dask_worker: Any) -> list[str]:
    """Tell, on a worker, which tasks it is on."""
    return [str(state.key) for state in dask_worker.state.executing]


@dataclass(frozen=True)
class Pulse:
    """How it goes on a cluster.

    Parameters
    ----------
    pending : int
        Tasks of bigquant that are not finished; those of others tell nothing of ours.
    workers : Mapping
        Status of each worker, "running", "paused" and so on, by its address.
    """

    pending: int
    workers: Mapping[str, str]


def take_pulse(dask_scheduler: Any) -> Pulse:
    """Tell, on the scheduler, how it goes."""
    groups = task_counts(dask_scheduler).items()
    ours = [counts for name, counts in groups if any(part in name for part in _OURS)]
    return Pulse(
        sum(total - done for done, total in ours),
        {each.address: each.status.name for each in dask_scheduler.workers.values()},
    )


def task_counts(dask_scheduler: Any) -> dict[str, tuple[int, int]]:
    """Tell, on the scheduler, (finished, all) tasks of every group of tasks."""
    open_states = ("waiting", "processing", "queued", "no-worker")
    counts = {}
    for name, group in dask_scheduler.task_groups.items():
        total = sum(group.states.values())
        counts[name] = (total - sum(group.states[state] for state in open_states), total)
    return counts
