"""The client's part: what it plans and sends, as the image grows to a terapixel."""

from __future__ import annotations

import json
from pathlib import Path

from . import images
from .report import Row
from .timing import run_program

TITLE = "Planning"
NOTES = (
    "A client alone: it opens a sparse TIFF (tiles of 512 x 512), plans to count it and to write "
    "it to OME-Zarr, and pickles both graphs as it would send them to a scheduler."
)
_GIGAPIXELS = (1, 10, 100, 1000)


def measure(scale: float, folder: Path) -> list[Row]:
    """Plan in `folder`, for images of `scale` times the size."""
    rows: list[Row] = []
    for gigapixels in _GIGAPIXELS:
        path = folder / "sparse.tif"
        images.write_sparse(path, gigapixels * scale)
        ran = run_program("-m", "benchmarks.plans", str(path), str(folder))
        rows.append({"": f"{gigapixels * scale:g} GP", **json.loads(ran.output)})
    return rows
