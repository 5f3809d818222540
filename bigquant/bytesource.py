"""Ranges of bytes of a file, wherever it lies."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

from bigquant import remote
from bigquant.errors import BigquantError
from bigquant.fingerprint import Fingerprint


class ByteSource:
    """One process's hold on a file, that any thread may read from.

    Parameters
    ----------
    path : str
        Path or URL.
    fingerprint : Fingerprint
        Of the file when it was planned: another is an error, not other pixels.
    """

    def __init__(self, path: str, fingerprint: Fingerprint) -> None:
        self.path = path
        self.fingerprint = fingerprint
        self._remote = remote.is_url(path)
        #: Bytes that are best asked for at once: what lies in the processor's cache is decoded
        #: fastest, and a server is asked in few rounds.
        self.batch_bytes = (16 << 20) if self._remote else 1 << 20
        if not self._remote:
            self._fd = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            os.close(self._fd)

    @classmethod
    def find(cls, path: str, options: Mapping[str, Any] | None = None) -> ByteSource:
        """Find a file as it is now; an `OSError` if there is none.

        Parameters
        ----------
        path : str
            Path or URL.
        options : Mapping, optional
            For fsspec, where it is a URL.
        """
        return cls(path, Fingerprint.take(path, options))

    def check(self) -> None:
        """Raise a `BigquantError` if the file has changed since it was planned."""
        self.fingerprint.check(self.path)

    def open(self) -> BinaryIO:
        """Open the file to parse it."""
        if self._remote:
            return remote.open_file(self.path, self.fingerprint.options)
        return open(self.path, "rb")

    def head(self) -> bytes:
        """Read up to 16 first bytes; an `OSError` if a server cannot be read by ranges."""
        if self._remote:
            return remote.read_head(self.path, self.fingerprint.options, self.fingerprint.size)
        return os.pread(self._fd, 16, 0)

    def read(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Read ranges of bytes, each an offset and a count.

        Each call ends with a check, and behind a URL it is a round trip or a few: ask for all at
        once.
        """
        if not self._remote:
            with self.fingerprint.held(self.path):
                return [self._read_range(offset, count) for offset, count in ranges]
        try:
            parts = remote.read_ranges(self.path, self.fingerprint.options, ranges)
        except OSError as error:
            self.check()  # what has changed is not truncated
            raise BigquantError(f"{self.path}: {error.strerror}") from error
        self.check()  # after it: the bytes are of the version that was planned
        return parts

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
