"""Knowing a file again: what was planned must be what is read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from bigquant import remote
from bigquant.errors import BigquantError


@dataclass(frozen=True)
class Fingerprint:
    """Size, modification time and version of a file.

    Parameters
    ----------
    size : int
        Bytes.
    mtime_ns : int
        Nanoseconds since the epoch; 0 for what lies behind a URL.
    version : str
        What a server tells of its version: ETag and the like.
    options : Mapping
        For fsspec, to find the file behind a URL again: credentials and the like.
    """

    size: int
    mtime_ns: int
    version: str = ""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def take(cls, path: str, options: Mapping[str, Any] | None = None) -> Fingerprint:
        """Take the fingerprint of a file as it is now; an `OSError` if there is none."""
        if remote.is_url(path):
            size, version = remote.stat(path, options or {})
            return cls(size, 0, version, dict(options or {}))
        status = os.stat(path)
        return cls(status.st_size, status.st_mtime_ns)

    @contextmanager
    def held(self, path: str) -> Iterator[None]:
        """Let the block read the file: one that changes meanwhile is an error, and not damaged."""
        self.check(path)
        try:
            yield
        except Exception:
            self.check(path)
            raise
        self.check(path)

    def check(self, path: str, name: str | None = None) -> None:
        """Raise a `BigquantError` unless the file is there and still the same.

        Parameters
        ----------
        path : str
        name : str, optional
            Of what the file belongs to, for errors.
        """
        name = name or path
        try:
            now = Fingerprint.take(path, self.options)
        except OSError as error:
            if remote.is_url(path):
                raise BigquantError(f"{name}: {error.strerror}") from error
            raise BigquantError(
                f"{name}: cannot be opened ({error.strerror}): "
                "every worker must see the file under this path"
            ) from error
        if now != self:
            raise BigquantError(
                f"{name}: has changed since it was opened "
                f"({self.size} bytes then, {now.size} now): run again"
            )
