"""Computing under watch: what would wait on a cluster for ever ends with an error that says why.

Dask waits for workers that never come, and for data that a worker cannot fetch from another.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import dask
from dask.utils import format_bytes

from bigquant import probes
from bigquant.asking import (
    Pulse,
    ask_scheduler,
    ask_workers,
    computing_client,
    executing,
    take_pulse,
)
from bigquant.errors import BigquantError, ClusterLost

_LOOK_SECONDS = 2
_ANSWER_SECONDS = 6  # more than workers give a connection
#: Without a worker for so long, there will be none.
_EMPTY_SECONDS = 40
#: Without progress for so long, it is looked into why; what is found twice is no accident.
_IDLE_SECONDS, _SURE = 15, 2
#: Workers that say nothing are left to the scheduler for so long: it takes away their tasks. The
#: scheduler itself may be busy for a while.
_SILENT_SECONDS = 38
#: Tries of a task that has failed, on another worker perhaps: disks and networks have moods.
_RETRIES = 2
_BIG, _NEVER = "distributed.admin.large-graph-warning-threshold", "1 TiB"


def compute(*collections: Any) -> tuple[Any, ...]:
    """Compute Dask collections as `dask.compute` does, on a cluster under watch.

    Raises
    ------
    BigquantError
        If the cluster has no workers or they cannot reach each other, if it loses the tasks or
        ends the workers that run them. What tasks raise is raised as it is.
    """
    client = computing_client()
    if client is None:
        found: tuple[Any, ...] = dask.compute(*collections)
        return found
    with _explained(client):
        with dask.config.set({_BIG: _NEVER}):  # a terapixel takes 30 MB, and that is how it is
            futures = client.compute(list(collections), retries=_RETRIES)
        waited = [future for future in futures if hasattr(future, "release")]
        try:
            _wait(client, waited)
            return tuple(client.gather(futures))
        finally:  # also of an interrupt: a traceback would keep them
            for future in waited:
                future.release()


def persist(collection: Any) -> Any:
    """Persist a Dask collection as its own method does; what it raises shows when it is used."""
    return persist_all([collection])[0]


def persist_all(collections: list[Any]) -> list[Any]:
    """Persist Dask collections together, as `persist` does one."""
    client = computing_client()
    if client is None:
        return list(dask.persist(*collections))
    with _explained(client), dask.config.set({_BIG: _NEVER}):
        found: list[Any] = client.persist(collections, retries=_RETRIES)
        return found


@contextmanager
def released(*collections: Any) -> Iterator[None]:
    """Let a cluster forget persisted collections at the end of the block, however it ends."""
    try:
        yield
    finally:
        release(*collections)


def release(*collections: Any) -> None:
    """Let a cluster forget persisted collections: an error's traceback would keep them."""
    if "distributed" in sys.modules:
        from distributed import futures_of  # noqa: PLC0415

        for future in futures_of(collections):
            future.release()


def _wait(client: Any, futures: list[Any]) -> None:
    """Wait until all are done, or one has failed."""
    from distributed import wait  # noqa: PLC0415

    watch, pending = _Watch(client), futures
    while pending:
        try:
            done, pending = wait(pending, timeout=_LOOK_SECONDS, return_when="FIRST_COMPLETED")
        except TimeoutError:
            watch.look()
            continue
        if any(future.status == "error" for future in done):
            return


@dataclass
class _Watch:
    """What is seen of a cluster while it computes."""

    client: Any
    fewest: float = float("inf")
    heard: float = field(default_factory=time.monotonic)
    progressed: float = field(default_factory=time.monotonic)
    staffed: float = field(default_factory=time.monotonic)
    next_look: float = field(default_factory=lambda: time.monotonic() + _IDLE_SECONDS)
    found: dict[str, int] = field(default_factory=dict)

    def look(self) -> None:
        """Raise a `BigquantError` if it will never end."""
        pulse = ask_scheduler(self.client, take_pulse, seconds=_ANSWER_SECONDS)
        now = time.monotonic()
        if not isinstance(pulse, Pulse):  # if it is lost, the client hears of it; not if it hangs
            if isinstance(pulse, TimeoutError) and now - self.heard > _SILENT_SECONDS:
                raise ClusterLost(
                    f"the scheduler{_where(self.client)} does not answer any more: start it "
                    "anew, and run again"
                )
            return
        self.heard = now
        if pulse.workers:
            self.staffed = now
        elif now - self.staffed > _EMPTY_SECONDS:
            raise ClusterLost(_no_workers(_where(self.client)))
        if pulse.pending < self.fewest:  # tasks that are done again are no progress
            self.fewest, self.progressed = pulse.pending, now
            self.found, self.next_look = {}, now + _IDLE_SECONDS
        if pulse.workers and now > self.next_look:
            self._look_into(pulse, now - self.progressed)

    def _look_into(self, pulse: Pulse, idle: float) -> None:
        workers = list(pulse.workers)
        answers = ask_workers(self.client, workers, probes.reach, workers, seconds=_ANSWER_SECONDS)
        troubles = [
            f"worker {one} cannot connect to worker {other} ({why}): open the ports between "
            "workers, and run again"
            for one, unreached in answers.items()
            if isinstance(unreached, dict)
            for other, why in unreached.items()
            if isinstance(answers.get(other), dict)  # else it is silent, or has left
        ]
        silent = [one for one, answer in answers.items() if isinstance(answer, TimeoutError)]
        if silent and idle > _SILENT_SECONDS:
            troubles.append(f"worker {silent[0]} does not answer any more: end it, and run again")
        if idle > _SILENT_SECONDS and self._are_paused(pulse):
            troubles.append(
                f"every worker is paused, {workers[0]} for one: give them more memory "
                "(--memory-limit), or fewer threads each, and run again"
            )
        if not troubles and not silent:  # they are at it: a fit may take minutes
            self.next_look = time.monotonic() + _IDLE_SECONDS
        self.found = {trouble: self.found.get(trouble, 0) + 1 for trouble in troubles}
        for trouble, times in self.found.items():
            if times >= _SURE:
                raise ClusterLost(trouble)

    def _are_paused(self, pulse: Pulse) -> bool:
        """Tell if no worker takes tasks, and none is on one that it took before."""
        if set(pulse.workers.values()) != {"paused"}:
            return False
        answers = ask_workers(self.client, pulse.workers, executing, seconds=_ANSWER_SECONDS)
        return not any(answer for answer in answers.values() if isinstance(answer, list))


@contextmanager
def _explained(client: Any) -> Iterator[None]:
    """Turn what a cluster raises of itself into errors that say what to do."""
    from distributed import CancelledError, KilledWorker  # noqa: PLC0415
    from distributed.client import ClosedClientError  # noqa: PLC0415
    from distributed.comm import CommClosedError  # noqa: PLC0415
    from distributed.scheduler import NoWorkerError  # noqa: PLC0415

    where = _where(client)
    try:
        yield
    except KilledWorker as error:
        last = error.last_worker
        memory = f"{format_bytes(last.memory_limit)} of" if last.memory_limit else "all"
        deaths = error.allowed_failures + 1
        raise BigquantError(
            f"a task has ended {deaths} worker{'s' * (deaths > 1)}, the last of them "
            f"{last.address}, which may use {memory} memory for {last.nthreads} "
            f"thread{'s' * (last.nthreads > 1)}: if the logs tell of memory, start workers with "
            "more (--memory-limit), or with fewer threads each, and run again"
        ) from error
    except NoWorkerError as error:  # where Dask is told how long to wait for one
        raise ClusterLost(_no_workers(where)) from error
    except (CancelledError, ClosedClientError, CommClosedError) as error:
        raise ClusterLost(
            f"the scheduler{where} has dropped this work: it was started anew, or the "
            "connection to it was lost: see that it runs, and run again"
        ) from error


def _no_workers(where: str) -> str:
    return (
        f"the cluster{where} has no workers: see in their logs why they ended, start some "
        "(dask worker), and run again"
    )


def _where(client: Any) -> str:
    """Say where a cluster is, unless that is known no more."""
    return f" at {client.scheduler.address}" if client.scheduler else ""
