"""By kind of picture and number of colours: a photo, a slide, a graphic; 8, 32 and 256."""

from __future__ import annotations

import itertools
from pathlib import Path

from . import images
from .in_memory import OURS, QUICK, TO_256, compare
from .report import Row

TITLE = "By kind of picture"
NOTES = "4 megapixels each, in memory."
_KINDS = {"photo": images.photo, "slide": images.slide, "graphic": images.graphic}


def measure(scale: float, folder: Path) -> list[Row]:
    """Time them, on images of `scale` times the size; `folder` is not needed."""
    del folder
    rows: list[Row] = []
    for kind, k in itertools.product(_KINDS, (8, 32, 256)):
        pixels = _KINDS[kind](4 * scale)
        contenders = {**OURS, **QUICK, **(TO_256 if k == 256 else {})}
        for row in compare(contenders, pixels, k, 1):
            del row["megapixels"]
            rows.append({"": f"{kind}, k={k}", "by": row.pop(""), **row})
    return rows
