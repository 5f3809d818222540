"""What people see while a command runs and when it ends: progress bars and fact sheets."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
    "count-block": "counting colors",
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


def format_bytes(size: float) -> str:
    """Write a number of bytes as people do: 1.5 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def fact_sheet(facts: Mapping[str, Any]) -> str:
    """Lay facts out in two columns, one a line; those that are None are left out."""
    shown = {name: value for name, value in facts.items() if value is not None}
    width = max(map(len, shown))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in shown.items())


def image_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Put the facts of an image that was quantized into words."""
    words = {
        "size": f"{facts['width']} x {facts['height']} pixels",
        "chunks": f"{facts['chunk'][0]} x {facts['chunk'][1]}, {facts['blocks']} in all",
        **_palette_facts(facts),
        "output": facts["output"],
        "palette": facts["palette"],
    }
    return words | _notes(facts)


def collection_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Put the facts of several images that were quantized into words."""
    images = facts["images"]
    pixels = sum(image["width"] * image["height"] for image in images)
    words = {
        "images": f"{len(images)}, {pixels / 1e6:.4g} megapixels in all",
        "failed": len(facts["failed"]) or None,
        **_palette_facts(facts),
        "outputs": f"{images[0]['output']}" + (" ..." if len(images) > 1 else ""),
        "palette": facts["palette"],
    }
    return words | _notes(facts)


def _palette_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    seconds = facts["seconds"]
    stages = ", ".join(f"{stage} {spent:.1f}" for stage, spent in seconds.items())
    colors = f"{facts['k']}"
    if "distinct_colors" in facts:
        colors = f"{facts['distinct_colors']} distinct -> {colors}"
    else:
        colors = f"{colors}, {facts['used_colors']} of them used"
    return {
        "colors": colors,
        "PSNR": _error_words(facts),
        "seconds": f"{sum(seconds.values()):.1f} ({stages})",
    }


def comparison_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Put the facts of a comparison into words."""
    in_a, in_b = facts["masked_in_one"]
    colors = facts["distinct_colors"]
    masked = f"{facts['masked']} pixels left out ({in_a} only by A, {in_b} only by B)"
    return {
        "A": facts["a"],
        "B": facts["b"],
        "size": f"{facts['width']} x {facts['height']} pixels",
        "masked": masked if facts["masked"] else None,
        "colors": f"{colors[0]} distinct in A, {colors[1]} in B",
        "PSNR": _error_words(facts),
        "CIEDE2000": f"{facts['ciede2000_mean']:.3f} in the mean, "
        f"{facts['ciede2000_p95']:.3f} at most for 95 % of the pixels",
    }


def sweep_table(sweep: Any) -> str:
    """Lay out what a sweep found, a palette a line; the knee is marked."""
    lines = ["  k  colors        MSE  PSNR (dB)  CIEDE2000"]
    for k, colors, _, mse, psnr, apart in zip(*sweep.columns().values(), strict=True):
        mark = "  <- knee" if k == sweep.knee else ""
        lines.append(f"{k:3}  {colors:6}  {mse:9.2f}  {psnr:9.2f}  {apart:9.2f}{mark}")
    return "\n".join(lines)


def _error_words(facts: Mapping[str, Any]) -> str:
    return f"{facts['psnr']:.2f} dB (MSE {facts['mse']:.2f})" if facts["mse"] else "no error"


def _notes(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {f"note {i + 1}": note for i, note in enumerate(facts["notes"])}


def info_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Put the facts about an image into words."""
    size, limits = facts["pixel_size"], facts["valid_range"]
    alpha = " and alpha" if facts["alpha"] else ""
    levels, series = facts.get("levels", ()), facts.get("series", 1)
    axes = ", ".join(f"{name}={length}" for name, length in facts.get("axes", {}).items())
    said = ("compression", "photometric", "tiles", "strips")
    return {
        "path": facts["path"],
        "format": facts["format"],
        "size": f"{facts['width']} x {facts['height']} pixels",
        "channels": f"{facts['channels']}{alpha}, {facts['dtype']}"
        + (f" ({limits[0]:.6g} to {limits[1]:.6g})" if limits else ""),
        "bands": _band_words(facts),
        "left out by": ", ".join(facts.get("masked_by", ())) or None,
        "nodata": f"{facts['nodata']:g}" if "nodata" in facts else None,
        "orientation": facts.get("orientation"),
        "axes": axes or None,
        **{name: facts.get(name) for name in said},
        "stored chunks": facts.get("chunks"),
        "stored shards": facts.get("shards"),
        "levels": ", ".join(levels) if len(levels) > 1 else None,
        "series": f"{series} in the file" if series > 1 else None,
        "pixel size": f"{size[1]:.4g} x {size[0]:.4g} micrometers" if size else None,
        "CMYK": facts.get("cmyk"),
        "ICC profile": "kept" if facts["icc_profile"] else None,
        "georeference": "kept" if facts["georeferenced"] else None,
        "chunks": f"{facts['chunk'][0]} x {facts['chunk'][1]}, {facts['blocks']} in all",
        "passes": f"{facts['passes']}"
        + (", after it is unpacked to a temporary folder (TMPDIR)" if facts["unpacked"] else ""),
        "memory": f"about {format_bytes(facts['memory_per_task'])} per task",
        "output": f"{format_bytes(facts['output_bytes'])} before compression",
        "needed": facts["needed"],
    }


def checkup_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Put what was found out about a cluster into words."""
    return {
        "scheduler": facts["address"],
        "workers": f"{facts['workers']}, {facts['threads']} threads in all",
        "found right": ", ".join(facts["passed"]) or "nothing",
        "found wrong": len(facts["failures"]) or None,
    }


def _band_words(facts: Mapping[str, Any]) -> str | None:
    """Tell the bands where they are more than the channels, or in another order."""
    if facts["needed"]:
        return str(facts["bands"])
    chosen = facts.get("colors")
    return f"{','.join(map(str, chosen))} of {facts['bands']}" if chosen else None


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
