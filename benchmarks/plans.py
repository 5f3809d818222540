"""What a client plans and sends for an image, in both passes, and nothing that follows from it.

``python -m benchmarks.plans IMAGE FOLDER`` tells it as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import numpy as np
from distributed.protocol import serialize, to_serialize

import bigquant
from bigquant.pipeline import plan_result

from . import wire

_K = 32


class _Planned(BaseException):
    """Comes in place of a result; what takes errors for failures lets it pass."""

    def __init__(self, size: int) -> None:
        self.size = size


def main(path: str, folder: str) -> None:
    """Plan both passes, and tell what that took."""
    rng = np.random.default_rng(0)
    palette = bigquant.Palette.from_colors(rng.integers(0, 256, (_K, 3), np.uint8))
    output = Path(folder, "planned.zarr")
    start = time.perf_counter()
    image = bigquant.open_image(path)
    opened = time.perf_counter()
    count = _size_of(lambda: bigquant.quantize(image, _K))
    counted = time.perf_counter()
    write = _size_of(lambda: plan_result(image, palette, {}).to_zarr(output))
    facts = {
        "blocks": image.npartitions,
        "open s": opened - start,
        "plan count s": counted - opened,
        "plan write s": time.perf_counter() - counted,
        "count graph kB": count / 1e3,
        "write graph kB": write / 1e3,
        "client peak MB": wire.process()["peak"] / 1e6,
    }
    print(json.dumps(facts))


def _size_of(plan: Callable[[], object]) -> int:
    """Tell the bytes of a graph as `distributed.Client` would send it."""
    try:
        with dask.config.set(scheduler=_weigh):
            plan()
    except _Planned as planned:
        return planned.size
    raise RuntimeError("nothing was planned")


def _weigh(graph: Any, *_: Any, **__: Any) -> None:
    _, frames = serialize(to_serialize(graph), on_error="raise")
    raise _Planned(sum(len(memoryview(frame).cast("B")) for frame in frames))


if __name__ == "__main__":
    main(*sys.argv[1:])
