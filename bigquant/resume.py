"""Knowing again, in another process, what an interrupted run was to do."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple
from typing import Any

from dask.base import tokenize

from bigquant import remote
from bigquant.image import Image


def plan_of(image: Image, reading: Mapping[str, Any], **choices: Any) -> str | None:
    """Describe what is to be made of which pixels, in few words.

    Parameters
    ----------
    image : Image
        Of a file: the name of its graph tells the file, its size and time, how it is read and
        in which blocks.
    reading : Mapping
        Options of `open_image` that it was opened with.
    **choices
        Whatever else the output's bits depend on.

    Returns
    -------
    str or None
        None where a change of the source could not be told: arrays, Zarrs behind URLs, and
        masks of what is unpacked first.
    """
    path = image.source.path
    if path is None or (remote.is_url(path) and "Zarr" in image.source.format):
        return None
    pixels: Any = image.name
    if image.staged:  # its name tells of the temporary folder, too
        if reading.get("mask"):
            return None
        pixels = [(part.path, astuple(part.fingerprint)) for part in image.staged]
    files = list(_files_of(path)) if os.path.isdir(path) else []
    plan: str = tokenize(
        pixels, image.chunks, files, importlib.metadata.version("bigquant"), dict(reading), choices
    )
    return plan


def plan_of_all(plans: Sequence[str | None], targets: Sequence[str]) -> str | None:
    """Describe what is to be made of several images, each with a plan of its own, and where."""
    if None in plans:
        return None
    plan: str = tokenize(list(plans), list(targets))
    return plan


def _files_of(folder: str) -> Iterator[tuple[str, int, int]]:
    """Tell of every file of a Zarr: its name, size and modification time."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            status = os.stat(os.path.join(parent, name))
            yield os.path.join(parent, name), status.st_size, status.st_mtime_ns
