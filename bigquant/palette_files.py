"""Palettes wherever they stand: in palette files."""

from __future__ import annotations

import os

from bigquant.palette import Palette


def read_palette(path: str | os.PathLike[str]) -> Palette:
    """Read the palette of a file.

    Raises
    ------
    InputError
        If it has no palette or is damaged.
    """
    return Palette.load(path)
