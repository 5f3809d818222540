"""Many workers in one process that do everything but the work: they wait as long as it takes.

``python -m benchmarks.dry_workers ADDRESS COUNT SECONDS``: a block is counted in so many
seconds, and written in twice as many. Client and scheduler are none the wiser.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import dask
import numpy as np
from distributed import Worker
from numpy.typing import NDArray

from bigquant import ColorHistogram, histogram, levels, remap
from bigquant.levels import Content
from bigquant.tiff_reader import TiffWindows

from . import wire

#: Colours that a block is said to have: enough to fit a palette to.
_COLORS = np.random.default_rng(0).integers(0, 256, (1, 99, 3), np.uint8)
#: The other threads of so many workers would take more time than they do.
_QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "1h",
    "distributed.worker.memory.monitor-interval": "1h",
}
_seconds = 0.0


def main(address: str, count: str, seconds: str) -> None:
    """Work until the scheduler is gone."""
    global _seconds
    _seconds = float(seconds)
    for place, name, stand_in in _STAND_INS:
        setattr(place, name, stand_in)
    wire.count()
    with dask.config.set(_QUIET):
        asyncio.run(_work(address, int(count)))


async def _work(address: str, count: int) -> None:
    workers = [
        Worker(address, nthreads=1, memory_limit=0, name=number, dashboard=False)
        for number in range(count)
    ]
    await asyncio.gather(*workers)
    await asyncio.gather(*(worker.finished() for worker in workers))


def _read(_: Any, key: tuple[slice, ...]) -> NDArray[np.uint8]:
    return np.broadcast_to(np.uint8(0), [part.stop - part.start for part in key])


def _survey(*_: Any) -> histogram.Survey:
    time.sleep(_seconds)
    return histogram.Survey(ColorHistogram.create(3).add(_COLORS))


def _label(pixels: NDArray[np.uint8], *_: Any) -> NDArray[np.uint8]:
    return pixels[..., 0]


def _write(
    pixels: NDArray[Any],
    levels: range,
    content: Content,
    handed_on: bool,
    **_: Any,
) -> NDArray[Any]:
    if pixels.ndim == 2:
        time.sleep(2 * _seconds)
    if not handed_on:
        return np.ones((1, 1, 1), np.uint8)
    height, width = (-(-side // 2 ** len(levels)) for side in pixels.shape[:2])
    return np.zeros((height, width, content.layers.bytes), np.uint8)


#: What stands in for the work, wherever the product looks for it.
_STAND_INS = (
    (TiffWindows, "__getitem__", _read),
    (histogram, "survey_block", _survey),
    (remap, "label_block", _label),
    (remap, "compare_block", _label),
    (levels, "_write_block", _write),
)


if __name__ == "__main__":
    main(*sys.argv[1:])
