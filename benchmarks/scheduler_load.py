"""What a scheduler has to do as the image and the workers grow: run, and run without the work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bigquant

from . import images
from .accounts import scheduler_facts, wire_facts
from .programs import on_cluster, on_dry_cluster
from .report import Row

TITLE = "Load of a scheduler"
NOTES = (
    "`quantize` and `to_zarr` of sparse TIFFs, tiles of 512 x 512. Run: real workers of one "
    "thread do all of it; such an image has one colour, so that histograms weigh nothing: those "
    "of a photo are in the section before. Dry: client, scheduler and protocol are the same, and "
    "64 workers of one process wait 0.2 s for a block to count and 0.4 s for one to write. "
    "Their process is slower than a cluster, so that its wall time says nothing and is left out. "
    "Scheduler s are seconds of its processor; at most so many workers could it feed, which "
    "took as long for a block as the dry ones wait."
)
_RUN = ((1, 1), (1, 2), (10, 2))
_DRY = (1, 10, 100)
_DRY_WORKERS = 64
_COUNT_SECONDS = 0.2


def measure(scale: float, folder: Path) -> list[Row]:
    """Run in `folder`, on images of `scale` times the size."""
    rows: list[Row] = []
    image, output, small = folder / "sparse.tif", folder / "out.zarr", folder / "small.tif"
    images.write_sparse(small, 0.1)
    for gigapixels, n_workers in _RUN:
        images.write_sparse(image, gigapixels * scale)
        with on_cluster(folder, n_workers) as cluster:
            cluster.fit(small, output)  # compiles
            answer = cluster.fit(image, output, seed=1)
        wall = {"wall s": answer["seconds"]["all"]}
        name = f"{gigapixels * scale:g} GP, run"
        rows.append(_row(name, n_workers, image, answer) | wall | {"could feed": None})
    for gigapixels in _DRY:
        images.write_sparse(image, gigapixels * scale)
        with on_dry_cluster(folder, _DRY_WORKERS, _COUNT_SECONDS) as cluster:
            cluster.fit(small, output, dry=True)
            answer = cluster.fit(image, output, seed=1, dry=True)
        row = _row(f"{gigapixels * scale:g} GP, dry", _DRY_WORKERS, image, answer)
        worked = 3 * _COUNT_SECONDS * row["blocks"]
        rows.append(row | {"wall s": None, "could feed": round(worked / row["scheduler s"])})
    return rows


def _row(name: str, n_workers: int, image: Path, answer: dict[str, Any]) -> Row:
    before, after = answer["before"], answer["after"]
    return {
        "": name,
        "workers": n_workers,
        "blocks": bigquant.open_image(image).npartitions,
        **scheduler_facts(before, after),
        **wire_facts(before, after),
        "client peak MB": after["client"]["peak"] / 1e6,
    }
