"""Connecting to a Dask scheduler, and asking it how far it is."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import signal
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask

from bigquant.errors import InputError, one_line

_log = logging.getLogger(__name__)
_CONNECT_SECONDS = 10
_SETTLE_SECONDS = 30
#: That a worker or the scheduler has to answer a question.
_ANSWER_SECONDS = 5


@contextmanager
def running_on(
    address: str | None = None,
    workers: int | None = None,
    *,
    threads_per_worker: int = 1,
    memory_limit: str | None = None,
) -> Iterator[Any]:
    """Make a scheduler current: the one at `address`, a new local cluster, or threads.

    Parameters
    ----------
    address : str, optional
        Of a Dask scheduler, such as "tcp://host:8786". Certificates for "tls://" are those that
        Dask's configuration names (``distributed.comm.tls``).
    workers : int, optional
        Processes of a local cluster that lasts as long as the block.
    threads_per_worker : int
    memory_limit : str, optional
        Of each of these processes, such as "4GB"; without it they share the machine's.

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
                threads_per_worker=threads_per_worker,
                memory_limit=memory_limit or "auto",
                dashboard_address=":0",  # any free port: 8787 may be taken
                silence_logs=logging.CRITICAL,
            )
        with local, Client(local) as client:
            _log.info("running on %d local processes, dashboard %s", workers, local.dashboard_link)
            yield client
        return
    try:
        client = Client(address, timeout=_CONNECT_SECONDS)
    except Exception as error:  # whatever TLS and sockets raise
        half_made = current_client()  # distributed leaves it current if the address is none
        if half_made is not None:
            half_made.close(timeout=1)
        raise InputError(_not_connected(address, error)) from error
    with client:
        _log.info("running on the cluster at %s, dashboard %s", address, client.dashboard_link)
        yield client


def read_scheduler_file(path: str) -> str:
    """Get the address of a scheduler from the file that ``dask scheduler --scheduler-file`` wrote.

    Raises
    ------
    InputError
        If there is no such file, or no address in it.
    """
    try:
        address = json.loads(Path(path).read_bytes())["address"]
    except OSError as error:
        raise InputError(
            f"{path}: the scheduler file cannot be read ({error.strerror}): start "
            f"`dask scheduler --scheduler-file {path}` on a disk that this machine sees"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is no scheduler file: it names no address") from error
    return str(address)


def _not_connected(address: str | None, error: Exception) -> str:
    """Tell why no scheduler answers: certificates, or nobody there."""
    causes = (error, error.__cause__, error.__context__)
    reason = next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None)
    if reason is not None or str(address).startswith("tls://"):
        return (
            f"the Dask scheduler at {address} cannot be reached with these certificates "
            f"({one_line(reason or error)}): check that it runs, and what Dask's "
            "configuration says of distributed.comm.tls (ca-file, client.cert, client.key)"
        )
    return (
        f"no Dask scheduler answers at {address} within {_CONNECT_SECONDS} s: "
        "check the address (tls:// for one with certificates), and that it runs"
    )


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


def computing_client() -> Any:
    """Get the distributed client that `dask.compute` would use; None for local schedulers."""
    if "distributed" not in sys.modules:
        return None
    from distributed import Client  # noqa: PLC0415

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
        By address: what the function returned, the exception that it raised, or a `TimeoutError`.
    """

    async def ask(address: str) -> Any:
        options = {"workers": [address], "on_error": "return"}
        try:
            answers = await asyncio.wait_for(client.run(function, *arguments, **options), seconds)
        except (OSError, TimeoutError) as error:
            return error
        return answers.get(address, TimeoutError("it has left"))

    async def ask_all() -> dict[str, Any]:
        return dict(zip(asked, await asyncio.gather(*map(ask, asked)), strict=True))

    asked = list(addresses)
    answers: dict[str, Any] = client.sync(ask_all, callback_timeout=2 * seconds)
    return answers


def ask_scheduler(client: Any, function: Callable[..., Any], *, seconds: float) -> Any:
    """Call a function on the scheduler; None if it does not answer in time."""

    async def ask() -> Any:
        return await asyncio.wait_for(client.run_on_scheduler(function), seconds)

    try:
        return client.sync(ask, callback_timeout=2 * seconds)
    except Exception:  # noqa: BLE001 - whoever wants the result itself will hear of it
        return None


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
    pulse = ask_scheduler(client, take_pulse, seconds=_ANSWER_SECONDS)
    if pulse is None:
        return []
    answers = ask_workers(client, pulse.workers, _executing, seconds=_ANSWER_SECONDS)
    found = [keys for keys in answers.values() if isinstance(keys, list)]
    return [*pulse.processing, *itertools.chain(*found)]


def _executing(dask_worker: Any) -> list[str]:
    return [str(state.key) for state in dask_worker.state.executing]


@dataclass(frozen=True)
class Pulse:
    """How it goes on a cluster.

    Parameters
    ----------
    pending : int
        Tasks that are not finished.
    workers : Mapping
        Status of each worker, "running", "paused" and so on, by its address.
    processing : tuple of str
        Keys of the tasks that workers have.
    """

    pending: int
    workers: Mapping[str, str]
    processing: tuple[str, ...]


def take_pulse(dask_scheduler: Any) -> Pulse:
    """Tell, on the scheduler, how it goes."""
    counts = task_counts(dask_scheduler).values()
    states = dask_scheduler.workers.values()
    return Pulse(
        sum(total - done for done, total in counts),
        {state.address: state.status.name for state in states},
        tuple(str(task.key) for state in states for task in state.processing),
    )


def task_counts(dask_scheduler: Any) -> dict[str, tuple[int, int]]:
    """Tell, on the scheduler, (finished, all) tasks of every group of tasks."""
    open_states = ("waiting", "processing", "queued", "no-worker")
    counts = {}
    for name, group in dask_scheduler.task_groups.items():
        total = sum(group.states.values())
        counts[name] = (total - sum(group.states[state] for state in open_states), total)
    return counts
