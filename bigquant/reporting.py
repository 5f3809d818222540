"""`report`: an output as one page of HTML, to be sent to whoever wants to see it."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bigquant.atomic import check_apart, check_target, complete_or_nothing
from bigquant.errors import InputError, one_line
from bigquant.factsheets import error_text, format_bytes
from bigquant.metrics import find_knee
from bigquant.outputs import page_path
from bigquant.palette import Palette
from bigquant.palette_model import naming, parse_json, read_bytes
from bigquant.palette_values import MAX_COLORS
from bigquant.remote import is_chain, is_url, local_path, public
from bigquant.report_page import Report, render
from bigquant.showing import Shown, show

#: Number of colours and error of each palette of a sweep, and its knee.
Curve = tuple[list[int], list[float], int | None]

#: Errors below are none, and those above are refused: the axis of a curve is computed of them.
_LEAST, _MOST = 1e-300, 1e300


def report(
    output: str | os.PathLike[str],
    page: str | os.PathLike[str] | None = None,
    *,
    source: str | os.PathLike[str] | None = None,
    sweep: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> Path:
    """Write a page about a quantized image: one HTML file that needs nothing else.

    It shows the image before and after, the palette, where the error is, the cloud of colours and
    the facts. Of an output of ``bigquant fit`` no pixel is read: all is in NAME.preview.json.

    Parameters
    ----------
    output : path or URL
        An output of bigquant, or any image of at most 256 colours, whatever made it; behind a URL
        a Zarr or TIFF.
    page : path, optional
        File to make; NAME.report.html beside the output without it, of a URL in this folder.
    source : path or URL, optional
        The image that the output was made of, where its fit has left no pictures: every n-th pixel
        of both is shown, for which each is read once.
    sweep : path, optional
        What ``bigquant sweep`` has written, .csv or .json: its curve is shown. Without it that by
        which ``fit -k auto`` or ``--quality`` has chosen, if one did.
    overwrite : bool
        Whether a page of that name may be replaced.
    storage_options : Mapping, optional
        For URLs: what fsspec is to know of the output's store, such as credentials, and of the
        source's, if that is the same.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    InputError
        If the output, `source` or `sweep` cannot be read or do not belong together, or the page
        cannot be written.
    """
    name = os.fspath(output)
    name = local_path(name) or name
    is_far = is_url(name)
    if is_far and is_chain(name):
        raise InputError(f"{public(name)}: one URL upon another: copy the output to a disk first")
    if page is not None and is_url(os.fspath(page)):
        raise InputError(f"{page}: a URL, and a page is a file: name one on a disk")
    bare = name.rstrip("/" + os.sep)
    name = bare if is_url(bare) or not is_far else name
    title = Path(public(name) if is_far else name).name
    target = Path(page or page_path(title if is_far else name))
    for other in (name, source, sweep):
        check_apart(target, None if other is None else os.fspath(other))
    if target.suffix.lower() not in (".html", ".htm"):  # so it never takes an image's place
        raise InputError(f"{target}: a page ends in .html: name it so")
    check_target(target, overwrite)
    curve = None if sweep is None else _read_curve(sweep)
    shown = show(name, None if source is None else os.fspath(source), storage_options or {})
    pictures, preview = shown.pictures, shown.preview
    text = render(
        Report(
            title=title,
            palette=shown.palette,
            after=shown.after,
            before=pictures.before if pictures else None,
            error=pictures.error if pictures else None,
            cloud=preview.cloud if preview else None,
            curve=curve or _curve_of(shown.palette),
            facts=_facts(name, shown, None if source is None else os.fspath(source)),
        )
    )
    with complete_or_nothing(target, overwrite=overwrite, settle=lambda: None) as folder:
        (folder / target.name).write_text(text, encoding="utf-8")
    return target


def _read_curve(path: str | os.PathLike[str]) -> Curve:
    """Read the curve of a sweep from its table or its JSON."""
    path = local_path(os.fspath(path)) or path
    with naming(path):
        data = read_bytes(path, what="sweep")
        try:
            if Path(path).suffix.lower() == ".json":
                model = parse_json(data)
            else:
                rows = list(csv.DictReader(io.StringIO(data.decode())))
                model = {name: [row[name] for row in rows] for name in ("k", "mse")}
            return _as_curve(model)
        except (KeyError, TypeError, ValueError, OverflowError, csv.Error) as error:
            raise InputError(f"is no .csv or .json of a sweep ({one_line(error)})") from error


def _curve_of(palette: Palette) -> Curve | None:
    """Find the curve that a palette was chosen by, if it was."""
    try:
        return _as_curve(palette.fit["curve"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _as_curve(model: Any) -> Curve:
    """Make a curve of columns; a `ValueError` and the like where they are none."""
    ks, errors = [int(k) for k in model["k"]], [float(mse) for mse in model["mse"]]
    if len(ks) != len(errors) or len(ks) < 2 or ks != sorted(set(ks)):
        raise ValueError("k does not rise")
    if ks[0] < 1 or ks[-1] > MAX_COLORS:
        raise ValueError("k is not of a palette")
    if not all(0 <= error < _MOST for error in errors):
        raise ValueError("an error is no number")
    errors = [error if error >= _LEAST else 0.0 for error in errors]
    return ks, errors, find_knee(ks, errors)


def _facts(output: str, shown: Shown, source: str | None) -> dict[str, str]:
    """Put what is known of an output into words, for people."""
    palette, known = shown.palette, shown.preview.facts if shown.preview else {}
    height, width = shown.shape
    bands = f", {known['bands']} x {known['dtype']}" if known else ""
    told = {
        "output": _output_words(output),
        "source": public(source) if source else known.get("source"),
        "fitted to": _fitted_words(palette) if not known or len(_sources(palette)) > 1 else None,
        "size": f"{width} x {height} pixels{bands}",
        "pixel": _pixel_words(known.get("pixel_size")),
        "colors": _color_words(palette) if known else str(palette.k),
        "PSNR": _error_words(palette) if shown.is_ours else None,
        "CIEDE2000": _difference_words(shown),
        "fit": _fit_words(palette),
        "dither": known.get("dither") if known.get("dither") != "none" else None,
        "seconds": _second_words(known.get("seconds", {})),
        "versions": ", ".join(f"{n} {v}" for n, v in palette.fit.get("versions", {}).items()),
        "command": known.get("command"),
        "date": known.get("date"),
    }
    return {name: str(words) for name, words in told.items() if words}


def _sources(palette: Palette) -> Sequence[str]:
    sources: Sequence[str] = palette.fit.get("sources", ())
    return sources


def _fitted_words(palette: Palette) -> str | None:
    """Tell what the palette was fitted to, if that is not the one image that is shown."""
    sources = _sources(palette)
    if len(sources) < 2:
        return sources[0] if sources else None
    return f"{len(sources)} images together, whose pixels and PSNR these are: {sources[0]}, ..."


def _output_words(output: str) -> str:
    """Tell where an output lies and, of a file or of a folder's files, how many bytes it has."""
    if is_url(output):  # to list what lies there may take long
        return public(output)
    files = [output]
    if os.path.isdir(output):
        files = [os.path.join(at, name) for at, _, names in os.walk(output) for name in names]
    return f"{output}, {format_bytes(sum(os.stat(file).st_size for file in files))}"


def _pixel_words(size: list[float] | None) -> str | None:
    return f"{size[1]:.4g} x {size[0]:.4g} micrometers" if size else None


def _color_words(palette: Palette) -> str:
    counted = {"distinct_colors": "distinct", "bins": "bins", "sampled_pixels": "sampled pixels"}
    found = next((name for name in counted if name in palette.fit), None)
    return f"{palette.fit[found]} {counted[found]} -> {palette.k}" if found else str(palette.k)


def _error_words(palette: Palette) -> str:
    if not palette.inertia:
        return "no error"
    return f"{palette.psnr:.2f} dB (MSE {error_text(palette.mse)})"


def _difference_words(shown: Shown) -> str | None:
    """Tell how different the pictures look; it is of so many pixels only."""
    error = shown.pictures.error if shown.pictures else np.empty(0)
    seen = error[~np.isnan(error)]
    if not seen.size:
        return None
    return f"{seen.mean():.2f} in the mean, of the {seen.size} pixels that are shown"


def _fit_words(palette: Palette) -> str | None:
    fit = palette.fit
    if "algorithm" not in fit:
        return None
    seed = fit.get("random_state")
    scale = f", scale {palette.scale}" if palette.scale != "none" else ""
    space = f", space {palette.space}" if palette.space != "srgb" else ""
    return f"{fit['algorithm']}, seed {'none' if seed is None else seed}{scale}{space}"


def _second_words(seconds: Mapping[str, float]) -> str | None:
    stages = ", ".join(f"{stage} {spent:.1f}" for stage, spent in seconds.items())
    return f"{sum(seconds.values()):.1f} ({stages})" if seconds else None
