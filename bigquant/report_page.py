"""The page of a report: all that it shows -> one file of HTML that fetches nothing.

What it is laid out by lies in the folder ``page``: a template, a style sheet, two programs.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray

from bigquant.palette import Palette
from bigquant.report_figures import (
    INFERNO,
    encode_picture,
    error_scale,
    pack_cloud,
    paint_error,
    plot_curve,
)

#: Letters that the pictures may take together: the page stays below 5 MB.
_MOST_LETTERS = 4_400_000
#: Colours that are shown large, with their words, and in all; stripes of the bar are as many.
_LARGE, _MOST_SHOWN = 32, 512
#: Letters of a fact, and of a title: a command may name thousands of files.
_MOST_WORDS, _MOST_TITLE = 4000, 300
#: By how much of itself the error of one palette may differ from itself, as it may be rounded.
_SAME_ERROR = 1e-3
#: Pictures narrower than this are shown with their pixels as squares.
_NARROW = 320


@dataclass(frozen=True, eq=False)
class Report:
    """What a page shows; what is None, or empty, has no section in it.

    Parameters
    ----------
    title : str
        The output's name, for instance.
    palette : Palette
        Shares are shown where its pixels are counted.
    after : ndarray, (y, x, 1 to 4), uint8
        The quantized image as it is shown: gray or RGB, and alpha perhaps.
    before : ndarray, uint8, optional
        The source, the same pixels.
    error : ndarray, (y, x), float64, optional
        CIEDE2000 between the two, NaN where a pixel is left out.
    cloud : (ndarray (n, 1 or 3) uint8, ndarray (n,)), optional
        Colours of the source as they are shown, and the weight of each.
    curve : (list of int, list of float, int or None), optional
        Numbers of colours in rising order, the MSE of each, and the knee.
    facts : Mapping
        Label -> words, in the order in which they are shown.
    """

    title: str
    palette: Palette
    after: NDArray[np.uint8]
    before: NDArray[np.uint8] | None
    error: NDArray[np.float64] | None
    cloud: tuple[NDArray[np.uint8], NDArray[np.float64]] | None
    curve: tuple[list[int], list[float], int | None] | None
    facts: Mapping[str, str]


def render(report: Report) -> str:
    """Lay a report out as HTML: below 5 MB, and nothing in it is fetched or comes from its words.

    Pictures that would be too large are shown by every second pixel, or fewer.
    """
    palette, error = report.palette, _known(report.error)
    differences = None if error is None else _differences(error)
    script = "".join(_text(name) for name in ("page.js", "cloud.js"))
    height, width = report.after.shape[:2]
    shown = {
        "title": _clean(report.title, _MOST_TITLE),
        "style": _text("page.css"),
        "script": script,
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "k": palette.k,
        "width": width,
        "height": height,
        "narrow": width < _NARROW,
        "figures": _figures(palette, differences),
        "stripes": _stripes(palette),
        "swatches": _swatches(palette),
        "large": _LARGE,
        "unlisted": max(0, palette.k - _MOST_SHOWN),
        "differences": differences,
        "curve": plot_curve(*report.curve, _chosen(report)) if report.curve else None,
        "knee": report.curve[2] if report.curve else None,
        "cloud": _cloud(report),
        "facts": {label: _clean(fact, _MOST_WORDS) for label, fact in report.facts.items()},
    }
    return _environment().get_template("page.html").render(shown, **_pictures(report, error))


def _environment() -> Environment:
    loader = PackageLoader("bigquant", "page")
    options: dict[str, Any] = {"undefined": StrictUndefined, "autoescape": True}
    return Environment(loader=loader, trim_blocks=True, lstrip_blocks=True, **options)


def _text(name: str) -> str:
    return (files("bigquant") / "page" / name).read_text(encoding="utf-8")


def _clean(words: str, most: int) -> str:
    """Shorten words; names of files may have bytes that are no text."""
    words = words.encode(errors="replace").decode()
    return words if len(words) <= most else words[: most - 2] + " …"


def _known(error: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    """Take an error if a pixel of it is part of the image."""
    return error if error is not None and not np.isnan(error).all() else None


def _differences(error: NDArray[np.float64]) -> dict[str, Any]:
    """Put the error of the pixels that are part of the image into words, and its scale."""
    seen = error[~np.isnan(error)]
    return {
        "mean": f"{seen.mean():.2f}",
        "p95": f"{np.percentile(seen, 95):.2f}",
        "top": f"{error_scale(error):g}",
        "ramp": ",".join(f"#{color:06x}" for color in INFERNO),
    }


def _pictures(report: Report, error: NDArray[np.float64] | None) -> dict[str, str | None]:
    """Encode the pictures, of as many pixels as there is room for, each at the same places."""
    pictures = {"after": report.after, "before": report.before, "error": None}
    if error is not None:
        pictures["error"] = paint_error(error, error_scale(error))
    step = 1
    while True:
        encoded = {
            name: None if pixels is None else encode_picture(pixels[::step, ::step])
            for name, pixels in pictures.items()
        }
        if sum(len(data) for data in encoded.values() if data) <= _MOST_LETTERS:
            return encoded
        step *= 2


def _figures(palette: Palette, differences: Mapping[str, str] | None) -> list[tuple[str, str, str]]:
    """Choose the figures that the page begins with: (what, number, unit)."""
    figures = [("Colors", f"{palette.k:,}", "")]
    if palette.n_pixels:
        figures.append(("Pixels counted", *_large_number(palette.n_pixels)))
        exact = math.isinf(palette.psnr)
        figures.append(("PSNR", "∞" if exact else f"{palette.psnr:.2f}", "dB"))
    if differences:
        figures.append(("Mean difference", differences["mean"], "ΔE₀₀"))
    return figures


def _large_number(number: int) -> tuple[str, str]:
    for size, unit in ((10**9, "billion"), (10**6, "million")):
        if number >= size:
            return f"{number / size:.4g}", unit
    return f"{number:,}", ""


def _stripes(palette: Palette) -> list[tuple[float, float, str]]:
    """Divide a bar 1000 wide among the colours: (x, width, colour) of each that is to be seen.

    By shares, or evenly where no pixels are counted; of many colours the first are taken.
    """
    shares = palette.shares if palette.n_pixels else np.full(palette.k, 1 / palette.k)
    shares = shares[:_MOST_SHOWN] / max(shares[:_MOST_SHOWN].sum(), 1e-300)
    ends = 1000 * np.cumsum(shares)
    return [
        (round(end - 1000 * share, 2), round(1000 * share, 2), color)
        for end, share, color in zip(ends, shares, palette.hex, strict=False)
        if share >= 1e-5
    ]


def _swatches(palette: Palette) -> list[dict[str, Any]]:
    colors = palette.hex[:_MOST_SHOWN]
    shares = palette.shares[: len(colors)].tolist() if palette.n_pixels else [None] * len(colors)
    return [
        {"hex": color, "label": label, "share": _share_words(share)}
        for label, (color, share) in enumerate(
            zip(colors, shares, strict=True), palette.first_label
        )
    ]


def _share_words(share: float | None) -> str:
    if share is None:
        return ""
    return f"{share:.1%}" if share >= 0.0005 or not share else "< 0.1%"


def _chosen(report: Report) -> int | None:
    """Find the palette on the curve: one with another error there is of another image."""
    ks, errors, _ = report.curve or ([], [], None)
    palette = report.palette
    if palette.k not in ks or not palette.n_pixels:
        return None
    is_same = math.isclose(errors[ks.index(palette.k)], palette.mse, rel_tol=_SAME_ERROR)
    return palette.k if is_same else None


def _cloud(report: Report) -> dict[str, str] | None:
    if report.cloud is None or not len(report.cloud[0]):
        return None
    return pack_cloud(*report.cloud, report.palette.rgb, report.palette.shares)
