"""The figures of a report as numbers and bytes: pictures, the map of the error, curve and cloud."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: Matplotlib's inferno at even distances: as bright as the value is large, for every eye.
INFERNO = [
    *(0x000004, 0x0B0724, 0x210C4A, 0x3D0965, 0x57106E, 0x71196E, 0x8A226A, 0xA32C61, 0xBC3754),
    *(0xD04545, 0xE35933, 0xF1711F, 0xF98C0A, 0xFCAA0F, 0xF9C932, 0xF2E865, 0xFCFFA4),
]
#: Of the pixels' differences, in percent, those that the scale of the map holds, and its ends.
_ON_SCALE, _ENDS = 98.0, (1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70)
#: Colours of the map: a table of 256 has one more place, for what is left out.
_SHADES = 255
#: Labels on an axis, about, and the ratio from which on numbers of colours are
#: laid out by doublings, and points that are drawn.
_TICKS, _DOUBLINGS, _MOST_ON_CURVE = 5, 8, 2000
#: Points of the cloud and palette colours amid them, at most: a phone turns them, too.
MOST_POINTS, MOST_CENTERS = 4096, 512


def encode_picture(pixels: NDArray[np.uint8]) -> str:
    """Make a PNG, as a ``data:`` address, of pixels (y, x, 1 to 4): gray or RGB, with alpha or not.

    Up to 256 colours are stored as a table and a byte per pixel.
    """
    gray, has_alpha = pixels.shape[2] <= 2, pixels.shape[2] in (2, 4)
    rgba = np.full((*pixels.shape[:2], 4), 255, np.uint8)
    rgba[..., :3] = pixels[..., :1] if gray else pixels[..., :3]
    if has_alpha:
        rgba[..., 3] = pixels[..., -1]
    table, labels = np.unique(rgba.view(np.uint32)[..., 0], return_inverse=True)
    options: dict[str, Any] = {}
    if len(table) <= 256:
        colors = table.view(np.uint8).reshape(-1, 4)
        image = Image.fromarray(labels.reshape(rgba.shape[:2]).astype(np.uint8))
        image.putpalette(colors[:, :3].tobytes())
        if has_alpha:
            options["transparency"] = colors[:, 3].tobytes()
    else:
        image = Image.fromarray(rgba if has_alpha else rgba[..., :3].copy())
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def error_scale(error: NDArray[np.float64]) -> float:
    """Choose the round number at which the map of an error is as bright as it gets."""
    high = float(np.percentile(error[np.isfinite(error)], _ON_SCALE))
    return float(next((top for top in _ENDS if high <= top), 100))


def paint_error(error: NDArray[np.float64], top: float) -> NDArray[np.uint8]:
    """Paint differences (y, x) as RGBA, from dark for 0 to bright for `top`; NaN is transparent."""
    shades, places = np.arange(_SHADES), np.linspace(0, _SHADES - 1, len(INFERNO))
    table = np.zeros((_SHADES + 1, 4), np.uint8)
    table[:_SHADES, 3] = 255
    for channel, bits in enumerate((16, 8, 0)):
        anchors = np.array(INFERNO) >> bits & 255
        table[:_SHADES, channel] = np.rint(np.interp(shades, places, anchors))
    shade = np.rint((np.nan_to_num(error) / top).clip(0, 1) * (_SHADES - 1)).astype(int)
    return table[np.where(np.isnan(error), _SHADES, shade)]


@dataclass(frozen=True)
class CurvePlot:
    """A curve in percent of its frame, from its left and top, and the words at its axes.

    Parameters
    ----------
    points : list of (float, float, str)
        Each with what is to be said of it.
    across, down : list of (float, str)
        Words on the axes.
    knee, chosen : (float, float) or None
        Where the knee is, and the palette of the report.
    """

    points: list[tuple[float, float, str]]
    across: list[tuple[float, str]]
    down: list[tuple[float, str]]
    knee: tuple[float, float] | None
    chosen: tuple[float, float] | None


def plot_curve(
    ks: Sequence[int], errors: Sequence[float], knee: int | None, chosen: int | None
) -> CurvePlot:
    """Lay out an error over numbers of colours; `chosen` and `knee` are among them perhaps."""
    step = _round_step(max(errors) or 1.0)
    top = step * max(1, math.ceil(max(errors) / step * (1 - 1e-9)))
    bend = math.log2 if ks[-1] >= _DOUBLINGS * ks[0] else float
    low, spread = bend(ks[0]), (bend(ks[-1]) - bend(ks[0])) or 1.0

    def place(value: float) -> float:
        return round(100 * (bend(value) - low) / spread, 2)

    downs = [round(100 * (1 - error / top), 2) for error in errors]
    points = [
        (place(value), down, f"{value} colors: {error:.4g}")
        for value, error, down in zip(ks, errors, downs, strict=True)
    ]
    known = {value: point[:2] for value, point in zip(ks, points, strict=True)}
    steps = [(1 - i * step / top, i * step) for i in range(round(top / step) + 1)]
    return CurvePlot(
        points[:: -(-len(points) // _MOST_ON_CURVE)],
        [(place(value), str(value)) for value in _ticks(ks, bend is not float)],
        [(round(100 * down, 2), f"{value:.6g}") for down, value in steps],
        None if knee is None else known.get(knee),
        None if chosen is None else known.get(chosen),
    )


def _ticks(ks: Sequence[int], by_doublings: bool) -> list[int]:
    """Choose round numbers of colours, from the least to the greatest."""
    if by_doublings:
        powers = [1 << bits for bits in range(ks[-1].bit_length())]
        inside = [power for power in powers if ks[0] <= power <= ks[-1]]
        return inside[:: -(-len(inside) // (2 * _TICKS))]
    step = max(1, round(_round_step(ks[-1] - ks[0] or 1)))
    first = -(-ks[0] // step) * step
    return list(range(first, ks[-1] + 1, step)) or [ks[0]]


def _round_step(span: float) -> float:
    """Choose 1, 2 or 5 times a power of ten so that a few of it make up a span."""
    rough = span / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    return next((times * power for times in (1, 2, 5) if rough <= times * power), 10 * power)


def pack_cloud(
    colors: NDArray[np.uint8],
    weights: NDArray[np.float64],
    centers: NDArray[np.uint8],
    shares: NDArray[np.float64],
) -> dict[str, str]:
    """Pack points (n, 3) and palette colours (k, 3) for the page, as bytes in base64.

    Sizes are 0 to 255; the area of a point tells its weight. Of more than are drawn the heaviest
    are taken.
    """
    heaviest = np.sort(np.argsort(-weights, kind="stable")[:MOST_POINTS])
    colors, weights = colors[heaviest], weights[heaviest]
    centers, shares = centers[:MOST_CENTERS], shares[:MOST_CENTERS]
    return {
        "points": _base64(np.broadcast_to(colors, (len(colors), 3))),
        "sizes": _base64(_sizes(weights)),
        "centers": _base64(centers),
        "centerSizes": _base64(_sizes(shares)),
    }


def _sizes(weights: NDArray[np.float64]) -> NDArray[np.uint8]:
    if not len(weights) or not weights.max() > 0:
        return np.full(len(weights), 128, np.uint8)  # all alike, where nothing is known
    sizes: NDArray[np.uint8] = np.rint(255 * np.sqrt(weights / weights.max())).astype(np.uint8)
    return sizes


def _base64(numbers: NDArray[np.uint8]) -> str:
    return base64.b64encode(np.ascontiguousarray(numbers).tobytes()).decode()
