"""What a scheduler gets to do: a task for each block in either pass, and one for each merging."""

from __future__ import annotations

from collections import Counter

import dask
import numpy as np
import tifffile
from dask.callbacks import Callback
from dask.utils import key_split

import bigquant


def test_a_block_is_one_task_in_either_pass(tmp_path, monkeypatch, rng):
    """Else pixels would lie about between two tasks, and travel from worker to worker."""
    monkeypatch.setattr("bigquant.tiling.BLOCK_BYTES", 1024 * 1024 * 3)
    pixels = rng.integers(0, 256, (2100, 3000, 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, tile=(512, 512), photometric="rgb")
    image = bigquant.open_image(tmp_path / "a.tif")
    ran: Counter[str] = Counter()
    watched = Callback(pretask=lambda key, *_: ran.update([key_split(key)]))
    with watched, dask.config.set(scheduler="sync"):
        bigquant.quantize(image, 4).to_zarr(tmp_path / "a.zarr")
    assert image.npartitions == 9
    assert {name: n for name, n in ran.items() if "block" in name or "counts" in name} == {
        "count-block": 9,
        "merge-counts": 8,
        "write-block": 9,  # down to the last level
    }
    assert "array" not in ran
