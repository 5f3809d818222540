"""Questions that each worker is asked: what it sees, where it can write, whom it can reach.

They are shipped by name and import little: a worker may have little memory.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bigquant import remote
from bigquant.bytesource import ByteSource
from bigquant.fingerprint import Fingerprint

_CONNECT_SECONDS = 4
#: Connections that a worker opens at once.
_AT_ONCE = 64


async def reach(addresses: Sequence[str], dask_worker: Any) -> dict[str, str]:
    """Tell which of the other workers this one cannot connect to, and why."""
    from distributed.comm import connect  # noqa: PLC0415 - only workers have it loaded already

    gate, unreached = asyncio.Semaphore(_AT_ONCE), {}

    async def try_one(address: str) -> None:
        async with gate:
            try:
                limit = _CONNECT_SECONDS
                comm = await connect(address, timeout=limit, **dask_worker.connection_args)
            except OSError as error:
                unreached[address] = _reason(error)
            else:
                await comm.close()

    others = [address for address in addresses if address != dask_worker.address]
    await asyncio.gather(*map(try_one, others))
    return unreached


def _reason(error: OSError) -> str:
    cause = error.__cause__ or error
    if isinstance(cause, TimeoutError) or "imed out" in str(error):
        return f"no answer within {_CONNECT_SECONDS} s"
    return " ".join(str(cause).split())[:100]


@dataclass(frozen=True)
class Questions:
    """What a worker is asked before it gets work.

    Parameters
    ----------
    inputs : tuple of str
        Files to open; of a Zarr folder its metadata.
    outputs : tuple of str
        Where outputs come to lie: folders, or URLs that end in "/".
    token : str
        Name of what is written there by the way, and removed again.
    options : Mapping
        For fsspec.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    token: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Answers:
    """What a worker has found.

    Parameters
    ----------
    inputs : dict
        By path: the fingerprint, or why it cannot be opened.
    outputs : dict
        By folder: what is wrong with it; nothing if it is right.
    scratch : dict
        By folder for temporary files: why it cannot be written.
    """

    inputs: dict[str, Fingerprint | str]
    outputs: dict[str, str]
    scratch: dict[str, str]


def answer(questions: Questions, names: Mapping[str, str], dask_worker: Any) -> Answers:
    """Look at inputs, leave a mark beside the client's, named by address, try scratch folders."""
    options, name = questions.options, names[dask_worker.address]
    inputs = {path: open_input(path, options) for path in questions.inputs}
    outputs = {}
    for folder in questions.outputs:
        try:
            if not has_mark(folder, questions.token, "client", options):
                outputs[folder] = "does not see what this client writes there"
            else:
                leave_mark(folder, questions.token, name, options)
        except OSError as error:
            outputs[folder] = f"cannot write there ({error.strerror or error})"
    folders = (str(dask_worker.local_directory), tempfile.gettempdir())
    return Answers(inputs, outputs, {path: why for path in folders if (why := _try_scratch(path))})


def open_input(path: str, options: Mapping[str, Any]) -> Fingerprint | str:
    """Open a file as readers do; tell its fingerprint, or why it cannot be opened."""
    try:
        source = ByteSource.find(path, options)
        source.head()
    except OSError as error:
        return str(error.strerror or error)
    return source.fingerprint


def _try_scratch(folder: str) -> str | None:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"bigquant")
    except OSError as error:
        return str(error.strerror or error)
    return None


def leave_mark(folder: str, token: str, name: str, options: Mapping[str, Any]) -> None:
    """Write a small file, told by its name and the token, into a folder or behind a URL."""
    path = _mark(folder, token, name)
    if not remote.is_url(path):
        Path(path).write_text(token)
        return
    fs, place = remote.connect(path, options)
    try:
        fs.pipe_file(place, token.encode())
    except Exception as error:  # drivers raise what they like
        raise remote.failure(path, error, "written") from error


def has_mark(folder: str, token: str, name: str, options: Mapping[str, Any]) -> bool:
    """See if a mark is there."""
    path = _mark(folder, token, name)
    if not remote.is_url(path):
        return os.path.exists(path)
    fs, place = remote.connect(path, options)
    try:
        fs.invalidate_cache()
        return bool(fs.exists(place))
    except Exception as error:
        raise remote.failure(path, error) from error


def remove_marks(folder: str, token: str, names: Sequence[str], options: Mapping[str, Any]) -> None:
    """Remove the marks of these names, as far as they are there."""
    for name in names:
        path = _mark(folder, token, name)
        if not remote.is_url(path):
            Path(path).unlink(missing_ok=True)
            continue
        fs, place = remote.connect(path, options)
        try:
            fs.rm_file(place)
        except Exception:  # noqa: BLE001 - it was not there, or nothing more can be done
            continue


def _mark(folder: str, token: str, name: str) -> str:
    return f"{folder.rstrip('/')}/.bigquant-{token}-{name}"
