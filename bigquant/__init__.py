"""k-means colour quantization for images too large to hold in memory.

>>> import numpy as np
>>> import bigquant
>>> result = bigquant.quantize(np.zeros((4, 4, 3), np.uint8), k=1)
>>> result.palette.hex
['#000000']
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bigquant import plot
    from bigquant.clusters import Clusters
    from bigquant.colorcounts import ColorHistogram
    from bigquant.differences import Comparison, compare
    from bigquant.errors import BigquantError, InputError, PaletteWarning
    from bigquant.examination import CheckUp
    from bigquant.image import Image
    from bigquant.inspection import inspect
    from bigquant.kmeans import KMeans
    from bigquant.palette import Palette
    from bigquant.pipeline import color_histogram, quantize
    from bigquant.preflight import doctor
    from bigquant.quantized import QuantizedImage
    from bigquant.read import open_image
    from bigquant.reporting import report
    from bigquant.sweeping import sweep
    from bigquant.swept import Sweep
    from bigquant.table_fit import cluster_table

__version__ = "0.1.0"

__all__ = [
    "BigquantError",
    "CheckUp",
    "Clusters",
    "ColorHistogram",
    "Comparison",
    "Image",
    "InputError",
    "KMeans",
    "Palette",
    "PaletteWarning",
    "QuantizedImage",
    "Sweep",
    "cluster_table",
    "color_histogram",
    "compare",
    "doctor",
    "inspect",
    "open_image",
    "plot",
    "quantize",
    "report",
    "sweep",
]

_HOMES = {
    "BigquantError": "errors",
    "CheckUp": "examination",
    "Clusters": "clusters",
    "ColorHistogram": "colorcounts",
    "Comparison": "differences",
    "Image": "image",
    "InputError": "errors",
    "KMeans": "kmeans",
    "Palette": "palette",
    "PaletteWarning": "errors",
    "QuantizedImage": "quantized",
    "Sweep": "swept",
    "cluster_table": "table_fit",
    "color_histogram": "pipeline",
    "compare": "differences",
    "doctor": "preflight",
    "inspect": "inspection",
    "open_image": "read",
    "plot": "plot",
    "quantize": "pipeline",
    "report": "reporting",
    "sweep": "sweeping",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``import bigquant`` is quick."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    value = home if name == _HOMES[name] else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
