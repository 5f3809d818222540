"""What a fit keeps beside its output for the report: small pictures, colours, facts.

The file is JSON. It is read with care: it may come from anyone.
"""

from __future__ import annotations

import base64
import functools
import io
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow

from bigquant.errors import InputError, one_line
from bigquant.metrics import ciede2000
from bigquant.palette_model import naming, parse_json, read_bytes
from bigquant.thresholds import DITHERS

#: The version of the file.
SCHEMA = 1
#: Colours of a cloud: as many as a page can turn around.
MOST_COLORS = 4096
#: Three pictures of noise of 512 x 512 pixels, in base64, take 4 MiB.
MOST_BYTES = 16 << 20
_MOST_SIDE = 1024
#: Errors are kept in tenths: 1 can just be seen; this one is none.
_STEPS, _MASKED = 10, 65535
#: Numbers beyond it would not be finite any more where they are added up.
_HUGE = 1e300
#: Facts that are known here; there may be others.
_FACTS: Mapping[str, Any] = {
    "source": str | None,
    "width": int,
    "height": int,
    "bands": int,
    "dtype": str,
    "pixel_size": list | None,
    "reading": dict,
    "command": str | None,
    "seconds": dict,
    "date": str,
}

#: Options of `open_image`, and what they can be in JSON.
_READING: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("series", "page", "level"), lambda value: type(value) is int),
    "bands": lambda value: isinstance(value, list) and all(type(v) is int for v in value),
    "nodata": lambda value: type(value) in (int, float) and abs(value) <= sys.float_info.max,
    "mask": lambda value: value is False or (isinstance(value, str) and "\0" not in value),
    "select": lambda value: isinstance(value, dict) and all(type(v) is int for v in value.values()),
}

#: Colours as they are shown, (n, 1 or 3), and how many pixels each stands for.
Cloud = tuple[NDArray[np.uint8], NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Pictures:
    """The same pixels of an image before and after, as they are shown.

    Parameters
    ----------
    before, after : ndarray, (y, x, 1 to 4), uint8
        Gray or RGB, perhaps with alpha.
    error : ndarray, (y, x), float64
        CIEDE2000 of each pixel; NaN where one of the two is transparent.
    """

    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    error: NDArray[np.float64]

    @classmethod
    def of(cls, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> Pictures:
        """Measure how different two pictures of one size look, pixel by pixel."""
        error = np.full(before.shape[:2], np.nan)
        seen = _is_seen(before) & _is_seen(after)
        error[seen] = ciede2000(_colors_of(before)[seen], _colors_of(after)[seen])
        return cls(before, after, error)

    @functools.cached_property
    def encoded(self) -> Mapping[str, str]:
        """The pictures as the file has them, made once: a run writes it when it begins, too."""
        steps = np.rint(self.error * _STEPS)
        error = np.where(np.isnan(steps), _MASKED, steps).astype(np.uint16)
        named = (("before", self.before), ("after", self.after), ("error", error))
        return {name: _to_png(pixels) for name, pixels in named}


def _is_seen(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    if picture.shape[2] in (1, 3):
        return np.ones(picture.shape[:2], np.bool_)
    seen: NDArray[np.bool_] = picture[..., -1] > 0
    return seen


def _colors_of(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return picture[..., : 1 if picture.shape[2] < 3 else 3]


@dataclass(frozen=True, eq=False)
class Preview:
    """What a fit keeps beside one output.

    Parameters
    ----------
    pictures : Pictures, optional
        Of every n-th pixel.
    cloud : Cloud, optional
        At most 4096 colours that stand for all of the fitted images.
    facts : Mapping
        In JSON's types: source, width, height, bands, dtype, pixel_size (micrometers), reading
        (options of `open_image`), command and seconds (of each stage).
    begun : float
        When the writing of the output began, by `time.perf_counter`.
    """

    pictures: Pictures | None
    cloud: Cloud | None
    facts: Mapping[str, Any]
    begun: float = field(default_factory=time.perf_counter)

    def encode(self) -> bytes:
        """Make the bytes of the file, with the time of now: when the output is written."""
        seconds = {**self.facts["seconds"], "write": time.perf_counter() - self.begun}
        date = datetime.now(UTC).isoformat(timespec="seconds")
        model: dict[str, Any] = {"bigquant_preview": SCHEMA}
        model["facts"] = {**self.facts, "seconds": seconds, "date": date}
        if self.pictures:
            model |= self.pictures.encoded
        if self.cloud:
            colors, weights = self.cloud
            model["cloud"] = {"colors": colors.tolist(), "weights": weights.tolist()}
        return json.dumps(model, allow_nan=False).encode()

    @classmethod
    def decode(cls, data: bytes) -> Preview:
        """Read what `encode` made; an `InputError` if it is anything else."""
        model = parse_json(data)
        if not isinstance(model, dict) or model.get("bigquant_preview") != SCHEMA:
            raise InputError("not a preview that bigquant has made")
        facts = _read_facts(model.get("facts"))
        pictures = _read_pictures(model) if "before" in model else None
        cloud = _read_cloud(model["cloud"]) if "cloud" in model else None
        return cls(pictures, cloud, facts)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Preview:
        """Read the file of a name."""
        with naming(path):
            return cls.decode(read_bytes(path, MOST_BYTES, "preview"))

    @classmethod
    def left(cls, path: str | os.PathLike[str]) -> Preview | None:
        """Read what an interrupted run has left, if it has."""
        try:
            return cls.load(path)
        except InputError:
            return None


def _read_facts(facts: Any) -> Mapping[str, Any]:
    if not isinstance(facts, dict):
        raise InputError("not a usable preview: facts are damaged")
    for name, kind in _FACTS.items():
        if name not in facts or not isinstance(facts[name], kind):
            raise InputError(f"not a usable preview: {name} is damaged")
    if "\0" in (facts["source"] or ""):
        raise InputError("not a usable preview: source is damaged")
    if facts["pixel_size"] is not None and len(facts["pixel_size"]) != 2:
        raise InputError("not a usable preview: pixel_size is damaged")
    counts = [facts[name] for name in ("width", "height", "bands")]
    numbers = [*counts, *facts["seconds"].values(), *(facts["pixel_size"] or ())]
    if not all(map(_is_number, numbers)):
        raise InputError("not a usable preview: its sizes or seconds are damaged")
    if facts.get("dither", "none") not in DITHERS:
        raise InputError("not a usable preview: dither is damaged")
    for name, value in facts["reading"].items():
        if name not in _READING or not _READING[name](value):
            raise InputError(f"not a usable preview: reading is damaged ({name})")
    return facts


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < _HUGE


def _to_png(pixels: NDArray[Any]) -> str:
    """Encode a picture, (y, x, 1 to 4) uint8 or (y, x) uint16."""
    file = io.BytesIO()
    flat = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    pillow.fromarray(flat).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def _read_pictures(model: Mapping[str, Any]) -> Pictures:
    names = ("before", "after", "error")
    before, after, steps = (_from_png(model.get(name), name) for name in names)
    if not before.shape[:2] == after.shape[:2] == steps.shape[:2] or steps.dtype != np.uint16:
        raise InputError("not a usable preview: its pictures are not of one size")
    for name, picture in zip(names, (before, after), strict=False):
        if picture.dtype != np.uint8 or not 1 <= picture.shape[2] <= 4:
            raise InputError(f"not a usable preview: {name} is damaged")
    error = np.where(steps[..., 0] == _MASKED, np.nan, steps[..., 0] / _STEPS)
    return Pictures(before, after, error)


def _from_png(text: Any, name: str) -> NDArray[Any]:
    """Decode a picture, (y, x, channel)."""
    try:
        file = io.BytesIO(base64.b64decode(text, validate=True))
        with pillow.open(file, formats=["PNG"]) as opened:
            if max(opened.size) > _MOST_SIDE:
                raise InputError(f"it is {opened.size[0]} x {opened.size[1]} pixels")
            pixels = np.asarray(opened)
    except Exception as error:  # a damaged picture raises nearly anything
        raise InputError(f"not a usable preview: {name} is damaged ({one_line(error)})") from error
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _read_cloud(model: Any) -> Cloud:
    """Read a cloud; arrays are made of numbers only, as NumPy pads all words to the longest."""
    parts: dict[str, Any] = model if isinstance(model, dict) else {}
    colors, weights = parts.get("colors", []), parts.get("weights", [])
    if not _are_colors(colors) or not _are_weights(weights) or len(colors) != len(weights):
        raise InputError("not a usable preview: cloud is damaged")
    return np.array(colors, np.uint8), np.array(weights, np.float64)


def _are_colors(rows: Any) -> bool:
    if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_COLORS:
        return False
    if not all(isinstance(row, list) and len(row) in (1, 3) for row in rows):
        return False
    is_even = all(len(row) == len(rows[0]) for row in rows)
    return is_even and all(type(v) is int and 0 <= v <= 255 for row in rows for v in row)


def _are_weights(weights: Any) -> bool:
    return isinstance(weights, list) and all(_is_number(w) and w > 0 for w in weights)
