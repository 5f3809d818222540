"""What people see while a command runs: progress bars."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from dask.callbacks import Callback
from dask.system import CPU_COUNT
from dask.utils import key_split

from bigquant.asking import task_counts
from bigquant.errors import BigquantError

#: Part of a task's name -> what its stage is called.
_STAGES = {
    "range-block": "finding ranges",
    "sample-block": "sampling",
    "count-block": "counting colors",
    "gather-block": "iterating",
    "fit-": "fitting",
    "write-block": "writing",
    "compare-block": "comparing",
}
_POLL_SECONDS = 0.3
#: Bars of files that stay when they are full; more would fill the screen.
_MOST_BARS = 16
#: Entries of a graph that are results or names of results.
_NO_WORK = ("Alias", "DataNode")


@contextmanager
def stage_progress(client: Any, *, quiet: bool) -> Iterator[None]:
    """Show a live bar per stage on stderr while Dask computes.

    Parameters
    ----------
    client : distributed.Client or None
        Whose tasks to follow; None for those of this process.
    quiet : bool
        Show nothing; neither is anything shown if stderr is no terminal.
    """
    bars = None if quiet else _make_bars()
    if bars is None:
        yield
        return
    with bars, _Watch(bars) if client is None else _poll(bars, client):
        if client is not None and client.dashboard_link:
            bars.console.print(f"dashboard {client.dashboard_link}", highlight=False)
        yield


def unpack(images: Sequence[Any], *, quiet: bool, strict: bool) -> dict[str, float]:
    """Unpack what of images cannot be read at random, each with a live bar on stderr.

    What cannot be unpacked is an error if `strict`; else it is left to whoever reads it next.
    Returns the seconds of the stage "unpack", if there was one.
    """
    start = time.perf_counter()
    staged = [windows for image in images for windows in image.staged]
    if not staged:
        return {}
    bars = None if quiet else _make_bars()
    stop = threading.Event()

    def stage(windows: Any) -> None:
        name = f" {Path(windows.path).name}" if len(staged) > 1 else ""
        task = bars.add_task(f"unpacking{name}", total=windows.shape[0]) if bars else None

        def show(done: int, _: int) -> None:
            if stop.is_set():
                raise BigquantError(f"{windows.path}: was not unpacked to the end")
            if bars:
                bars.update(task, completed=done)

        windows.stage(show)
        if bars and len(staged) > _MOST_BARS:
            bars.remove_task(task)

    with bars or nullcontext(), ThreadPoolExecutor(CPU_COUNT) as pool:
        try:
            for future in [pool.submit(stage, windows) for windows in staged]:
                with nullcontext() if strict else suppress(BigquantError):
                    future.result()
        finally:  # an interrupt does not wait for the rest
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
    return {"unpack": time.perf_counter() - start}


def _make_bars() -> Any:
    """Make bars on stderr; None if it is no terminal, or a notebook's, which cannot go back."""
    if not sys.stderr.isatty() or "JPY_PARENT_PID" in os.environ:
        return None
    # rich has no use without a terminal
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    title = TextColumn("{task.description:<16}", style="progress.description", markup=False)
    columns = (title, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True))


def _stage_of(key: Any) -> str | None:
    name = key_split(key)
    return next((title for part, title in _STAGES.items() if part in f"{name}-"), None)


class _Stages:
    """The bars by stage, made when a stage first shows."""

    def __init__(self, bars: Any) -> None:
        self.bars = bars
        self.ids: dict[str, Any] = {}

    def show(self, stage: str, done: int, total: int) -> None:
        if stage not in self.ids:
            self.finish()  # stages follow one another
            self.ids[stage] = self.bars.add_task(stage, total=total)
        self.bars.update(self.ids[stage], completed=done, total=total)

    def finish(self) -> None:
        for task in self.bars.tasks:
            self.bars.update(task.id, completed=task.total)


class _Watch(Callback):  # type: ignore[misc]
    """Follows the tasks of a local scheduler."""

    def __init__(self, bars: Any) -> None:
        super().__init__()
        self.stages = _Stages(bars)
        self.keys: dict[str, set[Any]] = {}
        self.done: Counter[str] = Counter()

    def _start(self, dsk: Any) -> None:
        self.keys, self.done = {}, Counter()
        for key, task in dsk.items():
            stage = _stage_of(key)
            if stage and type(task).__name__ not in _NO_WORK:
                self.keys.setdefault(stage, set()).add(key)
        for stage, keys in self.keys.items():
            self.stages.show(stage, 0, len(keys))

    def _posttask(self, key: Any, *_: Any) -> None:
        stage = _stage_of(key)
        if stage and key in self.keys.get(stage, ()):
            self.done[stage] += 1
            self.stages.show(stage, self.done[stage], len(self.keys[stage]))


@contextmanager
def _poll(bars: Any, client: Any) -> Iterator[None]:
    """Follow the tasks of a distributed scheduler, by asking it now and then."""
    stages, stop = _Stages(bars), threading.Event()

    def ask() -> None:
        while not stop.wait(_POLL_SECONDS):
            try:
                groups = client.run_on_scheduler(task_counts)
            except Exception:  # noqa: BLE001 - progress is no reason to fail
                return
            for name, (done, total) in groups.items():
                stage = _stage_of(name)
                if stage:
                    stages.show(stage, done, total)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=5)
    stages.finish()
