"""What tasks hand on, kept on disk: so a block that is written need not be written again."""

from __future__ import annotations

import os
import uuid
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

    def save(self, level: int, row: int, column: int, rest: NDArray[Any]) -> None:
        """Keep what is handed on of a block, and say thereby that it is written."""
        path = self._path(level, row, column)
        draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
        with draft.open("wb") as file:
            np.save(file, rest, allow_pickle=False)
        os.replace(draft, path)

    def has(self, level: int, row: int, column: int) -> bool:
        """Tell whether a block, whose first level this is, is written."""
        return self._path(level, row, column).is_file()

    def count(self, level: int) -> int:
        """Count the blocks, whose first level this is, that are written."""
        return len(list(Path(self.folder).glob(f"{level}-*.npy")))

    def load(self, level: int, row: int, column: int) -> NDArray[Any]:
        """Get what was handed on of a block."""
        rest: NDArray[Any] = np.load(self._path(level, row, column), allow_pickle=False)
        return rest

    def _path(self, level: int, row: int, column: int) -> Path:
        return Path(self.folder) / f"{level}-{row}-{column}.npy"
