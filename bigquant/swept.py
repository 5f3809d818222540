"""`Sweep`: palettes of several numbers of colours, and how well each serves the image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.errors import InputError
from bigquant.metrics import find_knee
from bigquant.notebook import beside_html, curve_html, facts_html, swatches_html
from bigquant.palette import Palette


@dataclass(frozen=True, eq=False)
class Sweep:
    """What `sweep` found: a palette for each number of colours, ascending.

    ``sweep[8]`` is the palette of eight colours; ``len`` and iteration are of the palettes.

    Parameters
    ----------
    k : tuple of int
        The numbers of colours. A palette has fewer where centres round to the same colour.
    palettes : tuple of Palette
    ciede2000_mean : tuple of float
        Mean CIEDE2000 between the pixels and their colours; of an image of more than 65,536
        distinct colours that of as many of its pixels, chosen evenly in the order of colours.
    seconds : Mapping
        Wall time of the stages "count" and "fit".
    thumbnail : ndarray, (y, x, channel)
        Every n-th pixel of the (first) image, at most 512 along a side.

    Examples
    --------
    >>> import bigquant
    >>> image = np.array([[[0, 0, 0], [2, 2, 2], [250, 250, 250]]], np.uint8)
    >>> sweep = bigquant.sweep(image, range(1, 4))
    >>> sweep.mse.round(2).tolist(), sweep[2].hex
    ([41336.0, 2.0, 0.0], ['#010101', '#fafafa'])
    """

    k: tuple[int, ...]
    palettes: tuple[Palette, ...]
    ciede2000_mean: tuple[float, ...]
    seconds: Mapping[str, float]
    thumbnail: NDArray[Any] | None

    @property
    def inertia(self) -> NDArray[np.int64]:
        """Sum of the pixels' squared distances to their colours; in sRGB it never rises."""
        return np.array([palette.inertia for palette in self.palettes])

    @property
    def mse(self) -> NDArray[np.float64]:
        """Squared error per pixel, summed over the channels; in sRGB it never rises."""
        return np.array([palette.mse for palette in self.palettes])

    @property
    def psnr(self) -> NDArray[np.float64]:
        """Peak signal-to-noise ratio per channel value in dB; infinite without an error."""
        return np.array([palette.psnr for palette in self.palettes])

    @cached_property
    def knee(self) -> int | None:
        """Number of colours from which on more gain little, by `mse`; None if there is none.

        It depends on the range that is swept; see V. Satopaa et al., "Finding a 'kneedle' in a
        haystack" (2011).
        """
        return find_knee(self.k, self.mse.tolist())

    def __getitem__(self, k: int) -> Palette:
        if k not in self.k:
            raise InputError(f"no palette of k={k}: the sweep has {_listed(self.k)}")
        return self.palettes[self.k.index(k)]

    def __iter__(self) -> Iterator[Palette]:
        return iter(self.palettes)

    def __len__(self) -> int:
        return len(self.k)

    def to_dataframe(self) -> Any:
        """Make a pandas DataFrame: k, colors (found), inertia, mse, psnr, ciede2000_mean."""
        import pandas as pd  # noqa: PLC0415 - takes a while to import

        return pd.DataFrame(self.columns())

    def as_json(self) -> dict[str, Any]:
        """Describe the sweep in JSON's types, its palettes too; no psnr where there is no error."""
        columns = self.columns()
        columns["psnr"] = [value if math.isfinite(value) else None for value in self.psnr.tolist()]
        palettes = [palette.as_json() for palette in self.palettes]
        return {**columns, "knee": self.knee, "palettes": palettes}

    def columns(self) -> dict[str, list[Any]]:
        """List the columns of `to_dataframe`, by name."""
        return {
            "k": list(self.k),
            "colors": [palette.k for palette in self.palettes],
            "inertia": self.inertia.tolist(),
            "mse": self.mse.tolist(),
            "psnr": self.psnr.tolist(),
            "ciede2000_mean": list(self.ciede2000_mean),
        }

    def _repr_html_(self) -> str:
        facts = {
            "k": _listed(self.k),
            "MSE": f"{self.mse[0]:.4g} to {self.mse[-1]:.4g}",
            "PSNR": f"{self.psnr[0]:.2f} to {self.psnr[-1]:.2f} dB",
            "knee": self.knee,
        }
        text = f"MSE by number of colors, {_listed(self.k)}"
        curve = curve_html(self.k, self.mse.tolist(), self.knee, text)
        shown = self.palettes[-1 if self.knee is None else self.k.index(self.knee)]
        swatches = swatches_html(shown.hex, shown.shares, shown.first_label)
        return beside_html(facts_html(facts), curve) + swatches

    def __repr__(self) -> str:
        return f"<Sweep k={_listed(self.k)}, knee={self.knee}>"


def _listed(ks: tuple[int, ...]) -> str:
    """Write numbers of colours briefly: 2 to 10; 2, 4, 8."""
    if ks == tuple(range(ks[0], ks[-1] + 1)) and len(ks) > 2:
        return f"{ks[0]} to {ks[-1]}"
    return ", ".join(map(str, ks))
