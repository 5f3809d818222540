"""Where the files of a Zarr are put: into a folder, or as objects behind a URL."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import zarr.abc.store
from zarr.storage import FsspecStore, LocalStore

from bigquant import remote
from bigquant.inputs import ZARR_MARKS


class Store(Protocol):
    """A place that tasks put files into. It travels to the workers: small, of plain values."""

    def opened(self) -> Any:
        """Hand out, as a context manager, zarr's own store of this place."""

    def make_folders(self, names: Iterable[str]) -> None:
        """Make the folders that files are going to lie in."""

    def put(self, files: Mapping[str, Sequence[bytes]]) -> None:
        """Write files, each the bytes of several pieces; an `OSError` where it is refused."""

    def place(self, name: str) -> str:
        """Tell the path or URL of a file."""

    def put_beside(self, suffix: str, data: bytes) -> None:
        """Write a file beside the Zarr, of its name and a suffix."""

    def names(self) -> set[str]:
        """List all files that are there."""


@dataclass(frozen=True)
class FolderStore:
    """A folder of this machine, or of a disk that all workers share."""

    path: str

    @contextmanager
    def opened(self) -> Iterator[zarr.abc.store.Store]:
        """Hand out zarr's own store of this folder."""
        yield LocalStore(self.path)

    def make_folders(self, names: Iterable[str]) -> None:
        """Make the folders that files are going to lie in: `put` would miss one removed."""
        for name in names:
            (Path(self.path) / name).mkdir(parents=True)

    def put(self, files: Mapping[str, Sequence[bytes]]) -> None:
        """Write files, each the bytes of several pieces."""
        for name, pieces in files.items():
            with (Path(self.path) / name).open("wb") as file:
                file.writelines(pieces)

    def place(self, name: str) -> str:
        """Tell the path of a file."""
        return os.path.join(self.path, name)

    def put_beside(self, suffix: str, data: bytes) -> None:
        """Write a file beside the Zarr, of its name and a suffix."""
        Path(self.path + suffix).write_bytes(data)

    def names(self) -> set[str]:
        """List all files that are there."""
        return {
            os.path.relpath(os.path.join(parent, name), self.path)
            for parent, _, names in os.walk(self.path)
            for name in names
        }


@dataclass(frozen=True)
class ObjectStore:
    """Objects behind a URL that fsspec can write to.

    Parameters
    ----------
    url : str
    options : Mapping
        For fsspec: credentials and the like.
    """

    url: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @contextmanager
    def opened(self) -> Iterator[zarr.abc.store.Store]:
        """Hand out zarr's own store of these objects."""
        with self._failing():
            store = FsspecStore.from_url(self.url, remote.limited(self.url, self.options))
            remote.hasten(store.fs)
            yield store

    def make_folders(self, names: Iterable[str]) -> None:
        """Do nothing: objects lie in no folders."""

    def put(self, files: Mapping[str, Sequence[bytes]]) -> None:
        """Write objects, several at a time, each the bytes of several pieces."""
        fs, path = remote.connect(self.url, self.options)
        with self._failing():
            fs.pipe({f"{path}/{name}": b"".join(pieces) for name, pieces in files.items()})

    def place(self, name: str) -> str:
        """Tell the URL of an object."""
        return f"{self.url}/{name}"

    def put_beside(self, suffix: str, data: bytes) -> None:
        """Write an object beside the Zarr, of its name and a suffix."""
        fs, path = remote.connect(self.url, self.options)
        with self._failing():
            fs.pipe_file(path + suffix, data)

    def names(self) -> set[str]:
        """List all objects that are there."""
        fs, path = remote.connect(self.url, self.options)
        with self._failing():
            fs.invalidate_cache()
            found = fs.find(path, detail=True)
        # some servers keep a folder that was emptied, as an object of no bytes
        return {
            name[len(path) + 1 :] for name, info in found.items() if name != path or info["size"]
        }

    def beside(self, *suffixes: str) -> list[str]:
        """List those suffixes of which there is an object beside the Zarr."""
        fs, path = remote.connect(self.url, self.options)
        with self._failing():
            return [suffix for suffix in suffixes if fs.exists(path + suffix)]

    def remove(self, *suffixes: str) -> None:
        """Remove all objects that are there, and those beside them of these suffixes."""
        fs, path = remote.connect(self.url, self.options)
        names, beside = self.names(), self.beside(*suffixes)
        marks = names & set(ZARR_MARKS)  # removed first, so that what is left is no Zarr
        doomed = [f"{path}/{name}" for name in names - marks]
        with self._failing():
            for group in ([f"{path}/{name}" for name in marks], doomed, [path + s for s in beside]):
                if group:
                    fs.rm(group)
        if left := self.names():  # some drivers do not tell what was refused
            raise OSError(errno.EACCES, f"{min(left)} cannot be removed")

    def try_out(self) -> None:
        """Write an object, read it, remove it; an `OSError` if that cannot be done."""
        fs, path = remote.connect(self.url, self.options)
        probe, data = f"{path}/.probe-{uuid.uuid4().hex}", uuid.uuid4().bytes
        with self._failing():
            fs.pipe_file(probe, data)
            found = fs.cat_file(probe)
            fs.rm_file(probe)
        if found != data:
            raise OSError(errno.EIO, "what is written is not what is read")

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Turn whatever a driver raises into an `OSError` of one line."""
        try:
            yield
        except Exception as error:
            raise remote.failure(self.url, error, "written") from error
