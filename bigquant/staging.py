"""Images that cannot be read at random: streamed once to a temporary Zarr. Knows no Dask.

The Zarr lies in a folder of its own under the system's folder for temporary files, on each
machine that reads the image. A lock on the folder tells who uses it: whoever lets go last
removes it, and what a killed process left is removed by the next one that stages.
"""

from __future__ import annotations

import collections
import fcntl
import os
import shutil
import tempfile
import threading
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from bigquant.errors import BigquantError, DamagedError
from bigquant.fingerprint import Fingerprint

#: Makes an iterator over an image (y, x, sample) from its top, in bands of so many rows.
Bands = Callable[[int], Iterator[NDArray[Any]]]

_PREFIX = "bigquant-staged-"
_BAND_BYTES = 4 << 20
_LONGEST = 1024  # side of a chunk
_KEPT = 8


class StagingFolder:
    """One process's hold on the folder of a staged image; the same folder in all processes."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.path = Path(tempfile.gettempdir()) / (_PREFIX + token)
        self.array: zarr.Array[Any] | None = None
        self.lock = threading.Lock()
        self._held: list[int] = []
        weakref.finalize(self, _let_go, self.path, self._held, os.getpid())

    @classmethod
    def choose(cls) -> StagingFolder:
        """Name a new folder; it is made when it is needed."""
        folder = cls(uuid.uuid4().hex)
        with _registry:
            _folders[folder.token] = folder
        return folder

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self.token,)

    def hold(self) -> None:
        """Make the folder if it is not there, and keep others from removing it."""
        while not self._held:
            self.path.mkdir(mode=0o700, exist_ok=True)
            with suppress(FileNotFoundError):  # somebody has just removed it
                descriptor = os.open(self.path, os.O_RDONLY)
                fcntl.flock(descriptor, fcntl.LOCK_SH)
                if _is_at(descriptor, self.path):
                    self._held.append(descriptor)
                else:
                    os.close(descriptor)

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        """Wait until no other thread or process stages the image, and keep them waiting."""
        with self.lock, open(self.path / "lock", "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


_registry = threading.Lock()
_folders: weakref.WeakValueDictionary[str, StagingFolder] = weakref.WeakValueDictionary()
#: In a process that did not open the images, the last few that came to it.
_kept: collections.deque[StagingFolder] = collections.deque(maxlen=_KEPT)


def _arrived(token: str) -> StagingFolder:
    """Keep the folder of an image that came by pickle: what asks for it is gone after a task."""
    with _registry:
        folder = _folders.get(token)
        if folder is not None and folder not in _kept:
            return folder  # opened here
        if folder is None:
            folder = _folders[token] = StagingFolder(token)
        else:
            _kept.remove(folder)
        _kept.append(folder)
        return folder


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _let_go(path: Path, held: list[int], pid: int) -> None:
    """Give up a folder, and remove it if nobody else holds it."""
    if os.getpid() != pid:  # a fork's copy: the lock is its parent's
        return
    while held:
        os.close(held.pop())
    _remove_unused(path)


def _remove_unused(path: Path) -> None:
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(descriptor)


def _sweep(folder: Path) -> None:
    """Remove what processes that were killed have left."""
    with suppress(OSError):
        for left in folder.glob(f"{_PREFIX}*"):
            _remove_unused(left)


@dataclass(frozen=True)
class StagedWindows:
    """An image (y, x, sample) that is streamed to a temporary Zarr when it is first read.

    Parameters
    ----------
    path : str
    fingerprint : Fingerprint
        Of the file when it was planned: another is an error, not other pixels.
    bands : callable
        Given a number of rows, makes an iterator over the image in bands of so many rows,
        the last perhaps lower. It pickles small, and tells what cannot be read by a
        `BigquantError`.
    shape : (int, int, int)
        Height, width, samples.
    dtype : numpy.dtype
    folder : StagingFolder
    """

    path: str
    fingerprint: Fingerprint
    bands: Bands
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    folder: StagingFolder = field(default_factory=StagingFolder.choose, compare=False)

    ndim = 3

    @property
    def chunk(self) -> tuple[int, int]:
        """Height and width of the Zarr's chunks: bands of them fit in memory."""
        _, width, depth = self.shape
        rows = max(1, _BAND_BYTES // (width * depth * self.dtype.itemsize))
        rows = min(_LONGEST, 1 << (rows.bit_length() - 1))
        return rows, _LONGEST * min(8, _LONGEST // rows)

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[Any]:
        self.fingerprint.check(self.path)
        array = self.folder.array
        if array is None:
            self.stage()
            with self._told_plainly():
                array = self.folder.array = zarr.open_array(self._whole, mode="r")
        if not self._whole.is_dir():  # a chunk that is missing would read as zeros
            raise BigquantError(
                f"{self.path}: its unpacked copy in {self.folder.path} was removed: run again"
            )
        with self._told_plainly():
            return np.asarray(array[key])

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return (type(self).__name__, self.path, astuple(self.fingerprint), self.folder.token)

    def stage(self, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Stream the image to this machine's temporary folder, unless it is there already.

        Parameters
        ----------
        on_progress : callable, optional
            Called with the rows that are done, and all rows.

        Raises
        ------
        BigquantError
            If the file is damaged or has changed, or the folder cannot be written.
        """
        with self._told_plainly():
            self.folder.hold()
            with self.folder.exclusively():
                if self._whole.is_dir():
                    return
                self.fingerprint.check(self.path)
                _sweep(self.folder.path.parent)
                part = self._whole.with_name("unfinished")
                try:
                    self._stream_to(part, on_progress)
                    self.fingerprint.check(self.path)
                    part.rename(self._whole)
                except BaseException:
                    shutil.rmtree(part, ignore_errors=True)
                    raise

    @property
    def _whole(self) -> Path:
        return self.folder.path / "pixels"

    def _stream_to(self, target: Path, on_progress: Callable[[int, int], None] | None) -> None:
        height, width, depth = self.shape
        rows = self.chunk[0]
        array = zarr.create_array(
            target,
            shape=self.shape,
            dtype=self.dtype,
            chunks=(rows, min(self.chunk[1], width), depth),
            compressors=ZstdCodec(level=1),
            overwrite=True,
        )
        done = 0
        for band in self.bands(rows):
            expected = (min(rows, height - done), width, depth)
            if band.shape != expected or band.dtype != self.dtype:
                raise DamagedError(
                    f"{self.path}: decodes to {band.shape} {band.dtype}, its header says "
                    f"{expected} {self.dtype}: it is damaged"
                )
            array[done : done + len(band)] = band
            done += len(band)
            if on_progress:
                on_progress(done, height)
        if done != height:
            raise DamagedError(f"{self.path}: ends at row {done} of {height}: it is damaged")

    @contextmanager
    def _told_plainly(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise BigquantError(
                f"{self.path}: cannot be unpacked in {self.folder.path} "
                f"({error.strerror or error}): name a folder with more room by TMPDIR"
            ) from error
