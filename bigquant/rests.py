"""What tasks hand on, kept on disk: so a block that is written need not be written again."""

from __future__ import annotations

import os
import uuid
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Rests:
    """A folder with a file for every block that is written at all its levels.

    Parameters
    ----------
    folder : str
        Is there; on a disk that all workers share.
    """

    folder: str

    @property
    def tallies(self) -> Rests:
        """A folder in it, for what was counted of the blocks that are read."""
        return Rests(os.path.join(self.folder, "tallies"))

    def save(
        self, level: int, row: int, column: int, rest: NDArray[Any], files: Iterable[str] = ()
    ) -> None:
        """Keep what is handed on of a block, and say thereby that it is written.

        The sizes of those of the `files` that are there are kept too: what is cut short when the
        power fails may have its name already.
        """
        written = [file for file in files if os.path.exists(file)]
        names = [os.path.relpath(file, self.folder) for file in written]
        sizes = np.array([os.stat(file).st_size for file in written], np.int64)
        path = self._path(level, row, column)
        draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
        with draft.open("wb") as file:
            np.savez(file, rest=rest, names=np.array(names, np.str_), sizes=sizes)
        os.replace(draft, path)

    def has(self, level: int, row: int, column: int) -> bool:
        """Tell whether a block, whose first level this is, is written, and all of it is there."""
        try:
            with np.load(self._path(level, row, column), allow_pickle=False) as kept:
                sizes = zip(kept["names"].tolist(), kept["sizes"].tolist(), strict=True)
                _ = kept["rest"]  # is damaged, or not
            return all(
                os.stat(os.path.join(self.folder, name)).st_size == size for name, size in sizes
            )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return False

    def count(self, level: int) -> int:
        """Count the blocks, whose first level this is, that are written."""
        places = (path.stem.split("-")[1:] for path in Path(self.folder).glob(f"{level}-*.npz"))
        return sum(self.has(level, int(row), int(column)) for row, column in places)

    def load(self, level: int, row: int, column: int) -> NDArray[Any]:
        """Get what was handed on of a block."""
        with np.load(self._path(level, row, column), allow_pickle=False) as kept:
            rest: NDArray[Any] = kept["rest"]
        return rest

    def _path(self, level: int, row: int, column: int) -> Path:
        return Path(self.folder) / f"{level}-{row}-{column}.npz"
