"""At scale: peak memory, and what a further pixel costs, as the image grows."""

from __future__ import annotations

import json
from pathlib import Path

from .report import Row
from .timing import run_program, run_watched

TITLE = "At scale"
NOTES = (
    "`bigquant sample` and `bigquant fit -k 32`, deflate tiles to OME-Zarr with both contents; "
    "whole programs, start-up and all. The marginal cost is that of the pixels which the image "
    "has more than the one before."
)
_MEGAPIXELS = (100, 400, 1600)
_ROUNDS = 2


def measure(scale: float, folder: Path) -> list[Row]:
    """Time programs in `folder`, on images of `scale` times the size."""
    best: dict[int, Row] = {}
    for megapixels in _MEGAPIXELS:
        path = str(folder / f"{megapixels}.tif")
        run_program(
            *("-m", "bigquant", "sample", path, "--megapixels", str(megapixels * scale)),
            *("--overwrite", "--quiet"),
        )
    for _ in range(_ROUNDS):
        for megapixels in _MEGAPIXELS:
            path, output = str(folder / f"{megapixels}.tif"), str(folder / "out.zarr")
            ran = run_watched(
                *("bigquant", "fit", path, "-o", output, "-k", "32", "--overwrite", "--json")
            )
            facts = json.loads(ran.output)
            row: Row = {
                "": f"{megapixels * scale:g} MP",
                "pixels": facts["width"] * facts["height"],
                "distinct colors": facts["distinct_colors"],
                **{f"{stage} s": spent for stage, spent in facts["seconds"].items()},
                "wall s": ran.seconds,
                "peak MB": (ran.peak or 0) / 1e6,
            }
            if megapixels not in best or row["wall s"] < best[megapixels]["wall s"]:
                best[megapixels] = row
    rows = list(best.values())
    for before, row in zip([None, *rows[:-1]], rows, strict=True):
        row["marginal ns per pixel"] = before and (
            (row["wall s"] - before["wall s"]) / (row["pixels"] - before["pixels"]) * 1e9
        )
    return rows
