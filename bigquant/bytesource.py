"""Ranges of bytes of a file, wherever it lies."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import BinaryIO

from bigquant.errors import BigquantError
from bigquant.fingerprint import Fingerprint


class ByteSource:
    """One process's hold on a file, that any thread may read from.

    Parameters
    ----------
    path : str
    fingerprint : Fingerprint
        Of the file when it was planned: another is an error, not other pixels.
    """

    #: Bytes that are best asked for at once: what the processor's cache holds is decoded fastest.
    batch_bytes = 1 << 20

    def __init__(self, path: str, fingerprint: Fingerprint) -> None:
        self.path = path
        self.fingerprint = fingerprint
        fingerprint.check(path)
        self._fd = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            os.close(self._fd)

    def check(self) -> None:
        """Raise a `BigquantError` if the file has changed since it was planned."""
        self.fingerprint.check(self.path)

    def open(self) -> BinaryIO:
        """Open the file to parse it."""
        return open(self.path, "rb")

    def read(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Read ranges of bytes, each an offset and a count."""
        return [self._read_range(offset, count) for offset, count in ranges]

    def _read_range(self, offset: int, count: int) -> bytes:
        parts: list[bytes] = []
        missing = count
        while missing:  # one call reads 2 GiB at most
            part = os.pread(self._fd, missing, offset + count - missing)
            if not part:
                raise BigquantError(
                    f"{self.path}: is truncated: wanted {count} bytes at {offset}, "
                    f"got {count - missing}"
                )
            parts.append(part)
            missing -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)
