"""Reports that are shown in tests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bigquant.cli import main
from bigquant.palette import Palette
from bigquant.report_page import Report

#: How a photo is written; a page is tried out on commands, as they are typed.
TILED = {"tile": (256, 256), "compression": "zlib", "photometric": "rgb"}
RED, BLUE = (255, 0, 0), (0, 0, 255)


def run(command):
    """Run a command line."""
    return main(command.split())


def make_report(**changes):
    """A red picture that became blue, with all that a page can show."""
    shape = (48, 96)
    values = {
        "title": "scan.k16.zarr",
        "palette": fitted(np.arange(48).reshape(16, 3) * 5),
        "before": np.full((*shape, 3), RED, np.uint8),
        "after": np.full((*shape, 3), BLUE, np.uint8),
        "error": np.linspace(0, 8, shape[0] * shape[1]).reshape(shape),
        "cloud": (np.arange(300).reshape(100, 3).astype(np.uint8), np.arange(100.0)),
        "curve": ([2, 4, 8, 16], [900.0, 300.0, 100.0, 1000 / 136], 8),
        "facts": {"size": "96 x 48 pixels", "command": "bigquant fit scan.tif -k 16"},
    }
    return Report(**(values | changes))


def fitted(colors, counts=None):
    """A palette of colours whose pixels were counted."""
    palette = Palette.from_colors(colors)
    counts = np.arange(palette.k, 0, -1) if counts is None else counts
    return replace(palette, counts=np.asarray(counts, np.uint64), inertia=1000)
