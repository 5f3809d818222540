"""Start-up: what a user waits for before any pixel is read."""

from __future__ import annotations

import tempfile
from pathlib import Path

from .report import Row
from .timing import run_program

TITLE = "Start-up"
NOTES = (
    "Whole programs. Cold: Numba's cache is empty, so every kernel is compiled. Warm in the "
    "session: the second `quantize` of a 320 x 240 photo in one process, k=3."
)
_ROUNDS = 3
_IN_SESSION = """
import sys, time
import numpy as np
import bigquant
pixels = bigquant.open_image(sys.argv[1])[:240, :320].compute()
for _ in range(10):
    start = time.perf_counter()
    np.asarray(bigquant.quantize(pixels, 3))
    seconds = time.perf_counter() - start
print(seconds)
"""


def measure(scale: float, folder: Path) -> list[Row]:
    """Time programs in `folder`; `scale` has no say."""
    del scale
    photo, output = str(folder / "photo.tif"), str(folder / "photo.zarr")
    run_program("-m", "bigquant", "sample", photo, "--overwrite", "--quiet")
    fit = ("-m", "bigquant", "fit", photo, "-o", output, "-k", "8", "--overwrite", "--quiet")
    programs = {
        "bigquant --help": ("-m", "bigquant", "--help"),
        "import bigquant": ("-c", "import bigquant"),
        "bigquant info": ("-m", "bigquant", "info", photo),
        "bigquant fit, 640 x 427, warm": fit,
    }
    with tempfile.TemporaryDirectory() as empty:
        cold = run_program(*fit, NUMBA_CACHE_DIR=empty)
    rows = [_row("bigquant fit, 640 x 427, cold", cold.seconds)]
    for name, program in programs.items():
        rows.append(_row(name, min(run_program(*program).seconds for _ in range(_ROUNDS))))
    ran = run_program("-c", _IN_SESSION, photo)
    return [*rows, _row("quantize, 320 x 240, warm in the session", float(ran.output))]


def _row(name: str, seconds: float) -> Row:
    return {"": name, "seconds": seconds}
