"""Which axes of an array are y, x and channel, and which plane of the others is the image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.errors import InputError

_Y = {"y", "row", "rows", "lat", "latitude", "northing", "height"}
_X = {"x", "col", "cols", "column", "columns", "lon", "longitude", "easting", "width"}
_CHANNEL = {"c", "channel", "channels", "band", "bands", "s", "sample", "samples", ""}

#: More than so many channels are bands; if they are more than rows or columns, they may be those.
_MOST_CHANNELS = 4


@dataclass(frozen=True)
class Axes:
    """Where the axes of an image lie in an array.

    Parameters
    ----------
    y, x : int
    channel : int, optional
        None where a pixel has one sample.
    planes : tuple of (int, int)
        All other axes, each with the index along it.
    """

    y: int
    x: int
    channel: int | None = None
    planes: tuple[tuple[int, int], ...] = ()

    def measure(self, shape: Sequence[int]) -> tuple[int, int, int]:
        """Height, width, samples of an array of a shape, or of its chunks."""
        return shape[self.y], shape[self.x], 1 if self.channel is None else shape[self.channel]

    def read(self, array: Any, window: tuple[slice, ...]) -> NDArray[Any]:
        """Read a window (y, x, sample) of an array."""
        key: list[slice | int] = [slice(None)] * (len(self._kept) + len(self.planes))
        for axis, index in self.planes:
            key[axis] = index
        for axis, part in zip(self._order, window, strict=False):
            key[axis] = part
        pixels: NDArray[Any] = array[tuple(key)]
        pixels = pixels.transpose([self._kept.index(axis) for axis in self._order])
        return pixels if self.channel is not None else pixels[:, :, None][:, :, window[2]]

    @property
    def _order(self) -> list[int]:
        return [axis for axis in (self.y, self.x, self.channel) if axis is not None]

    @property
    def _kept(self) -> list[int]:
        return sorted(self._order)


def find_axes(
    name: str,
    shape: Sequence[int],
    dtype: np.dtype[Any],
    names: Sequence[str | None] | None = None,
    *,
    channel_axis: int | None = None,
    planes: Mapping[str, int] | None = None,
) -> Axes:
    """Find the axes of an image in an array.

    Parameters
    ----------
    name : str
        Of the array, for errors.
    shape : sequence of int
    dtype : numpy.dtype
    names : sequence of str or None, optional
        Of the axes, in any order. Without those of y and x an array is (y, x) or
        (y, x, channel).
    channel_axis : int, optional
        Which axis holds the channels, whatever its name.
    planes : Mapping, optional
        Index along axes that are none of these, by name. Those of length 1 need none.

    Raises
    ------
    InputError
        If the array is no image, or which plane of it must be chosen.
    """
    n = len(shape)
    if 0 in shape or any(math.isnan(length) or length < 0 for length in shape):
        raise InputError(_no_image(name, shape))
    if dtype.kind not in "buif":
        raise InputError(f"{name}: pixels of type {dtype} are not real numbers: convert them")
    if channel_axis is not None and not -n <= channel_axis < n:
        raise InputError(f"channel_axis={channel_axis}: {name} has {n} axes")
    channel = None if channel_axis is None or n == 2 else channel_axis % n
    labels = [str(label or "").lower() for label in names or ()]
    y, x = (_find(labels, known) for known in (_Y, _X))
    if len(labels) == n and y is not None and x is not None:
        shown = [str(label or "") for label in names or ()]
        return _find_named(name, shape, shown, (y, x, channel), planes or {})
    if (y is None) != (x is None):
        raise InputError(f"{name}: has axes {_list(labels, shape)}: which are y and x is not clear")
    if planes:
        raise InputError(f"{name}: its axes have no names: a plane is selected by them")
    return _find_unnamed(name, shape, channel)


def list_axes(
    shape: Sequence[int], axes: Axes, names: Sequence[str | None] | None = None
) -> dict[str, int]:
    """List the axes of an array with their lengths, for people.

    Parameters
    ----------
    shape : sequence of int
    axes : Axes
        Of `find_axes`, by which axes are called where nothing has a name.
    names : sequence of str or None, optional
    """
    shown = [str(label or "") for label in names or ()]
    if not any(shown):
        shown = ["y" if n == axes.y else "x" if n == axes.x else "c" for n in range(len(shape))]
    return dict(zip(_called(shown), shape, strict=True))


def is_channel(name: object) -> bool:
    """Tell if an axis of that name holds channels."""
    return str(name).lower() in _CHANNEL


def _no_image(name: str, shape: Sequence[int]) -> str:
    return (
        f"{name}: shape {tuple(shape)} is no image: (y, x) or (y, x, channel) is, "
        "with every length known and above 0"
    )


def _find(labels: list[str], known: set[str]) -> int | None:
    found = [axis for axis, label in enumerate(labels) if label in known]
    return found[0] if len(found) == 1 else None


def _find_unnamed(name: str, shape: Sequence[int], channel: int | None) -> Axes:
    if len(shape) == 2:
        return Axes(0, 1)
    if len(shape) != 3:
        raise InputError(_no_image(name, shape))
    if channel is None:
        channel = 2
        if shape[2] > _MOST_CHANNELS and shape[2] > min(shape[:2]):
            raise InputError(
                f"{name}: shape {tuple(shape)} has its channels first, or {shape[2]} bands: say "
                "so by channel_axis=0 or channel_axis=2, or store the channels last"
            )
    y, x = (axis for axis in range(3) if axis != channel)
    return Axes(y, x, channel)


def _find_named(
    name: str,
    shape: Sequence[int],
    names: list[str],
    known: tuple[int, int, int | None],
    planes: Mapping[str, int],
) -> Axes:
    y, x, channel = known
    called = _called(names)
    chosen = _choose_planes(name, shape, called, planes)
    if channel in (y, x) or y in chosen or x in chosen:
        raise InputError(f"{name}: has axes {_list(names, shape)}: y and x cannot be chosen from")
    left = [axis for axis in range(len(shape)) if axis not in (y, x, channel, *chosen)]
    if channel is None:
        channels = [a for a in left if is_channel(names[a]) and shape[a] > 1]
        channel = channels[0] if len(channels) == 1 else None
    elif channel in chosen:
        channel = None
    longer = [axis for axis in left if axis != channel and shape[axis] > 1]
    if longer:
        wanted = [called[axis] for axis in longer]
        options = ",".join(f"{axis}=0" for axis in wanted)
        raise InputError(
            f"{name}: has axes {_list(called, shape)}: choose a plane of {' and '.join(wanted)}, "
            f"e.g. --select {options} (select={dict.fromkeys(wanted, 0)})"
        )
    chosen.update((axis, 0) for axis in left if axis != channel)
    return Axes(y, x, channel, tuple(sorted(chosen.items())))


def _called(names: list[str]) -> list[str]:
    """Name axes so that each can be selected from: by their number where nothing else tells."""
    lower = [name.lower() for name in names]
    odd = (not name or lower.count(name) > 1 for name in lower)
    return [f"axis{n}" if o else name for n, (o, name) in enumerate(zip(odd, names, strict=True))]


def _choose_planes(
    name: str, shape: Sequence[int], names: list[str], planes: Mapping[str, int]
) -> dict[int, int]:
    chosen = {}
    for label, index in planes.items():
        axis = _find([n.lower() for n in names], {label.lower()})
        if axis is None:
            raise InputError(f"{name}: has axes {_list(names, shape)}: no {label} to select from")
        if not 0 <= index < shape[axis]:
            raise InputError(
                f"{name}: has axes {_list(names, shape)}: {label}={index} must be from 0 to "
                f"{shape[axis] - 1}"
            )
        chosen[axis] = int(index)
    return chosen


def _list(names: Sequence[str], shape: Sequence[int]) -> str:
    return ", ".join(f"{n or '(unnamed)'}={length}" for n, length in zip(names, shape, strict=True))
