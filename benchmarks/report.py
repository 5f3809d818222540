"""Rows of figures -> Markdown tables, and the facts that they depend on."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

Row = dict[str, Any]
_PACKAGES = ("bigquant", "numpy", "numba", "dask", "zarr", "tifffile", "imagecodecs")
_PEERS = ("pillow", "scikit-learn", "dask-ml", "imagequant", "faiss-cpu", "pyvips")


def machine() -> Row:
    """Tell what ran the benchmark."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    allowed = getattr(os, "sched_getaffinity", None)  # a container may have fewer than there are
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": len(allowed(0)) if allowed else os.cpu_count(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in (*_PACKAGES, *_PEERS)},
    }


def machine_line(facts: Row) -> str:
    """Write those facts as a sentence."""
    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    return f"{facts['cores']} cores of {facts['cpu']}; Python {facts['python']}; {packages}."


def print_table(title: str, rows: Sequence[Row], notes: str) -> None:
    """Print a section as Markdown. Fractions get the digits that mean something."""
    table = Table(box=MARKDOWN)
    for name, value in rows[0].items():
        table.add_column(name, justify="left" if isinstance(value, str) else "right")
    for row in rows:
        table.add_row(*map(_shown, row.values()))
    print(f"\n## {title}\n\n{notes}")
    Console(width=250).print(table)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    if 0.9 < value < 1.1:  # a ratio, perhaps
        return f"{value:.4f}"
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}" if value < 100 else f"{value:.1f}"
