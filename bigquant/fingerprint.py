"""Knowing a file again: what was planned must be what is read."""

from __future__ import annotations

import os
from dataclasses import dataclass

from bigquant.errors import BigquantError


@dataclass(frozen=True)
class Fingerprint:
    """Size and modification time of a file.

    Parameters
    ----------
    size : int
        Bytes.
    mtime_ns : int
        Nanoseconds since the epoch.
    """

    size: int
    mtime_ns: int

    @classmethod
    def take(cls, path: str) -> Fingerprint:
        """Take the fingerprint of a file as it is now; an `OSError` if there is none."""
        status = os.stat(path)
        return cls(status.st_size, status.st_mtime_ns)

    def check(self, path: str) -> None:
        """Raise a `BigquantError` unless the file is there and still the same."""
        try:
            now = Fingerprint.take(path)
        except OSError as error:
            raise BigquantError(
                f"{path}: cannot be opened ({error.strerror}): "
                "every worker must see the file under this path"
            ) from error
        if now != self:
            raise BigquantError(
                f"{path}: has changed since it was opened "
                f"({self.size} bytes then, {now.size} now): run again"
            )
