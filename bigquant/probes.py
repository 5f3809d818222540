"""Questions that each worker is asked: what it sees, where it can write, whom it can reach.

They are shipped by name and import little: a worker may have little memory. What may take long is
done in threads, as workers answer questions where they tell the scheduler that they are alive.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bigquant import remote
from bigquant.bytesource import ByteSource
from bigquant.fingerprint import Fingerprint

_CONNECT_SECONDS = 4
#: For one file or folder.
_LOOK_SECONDS = 5
#: Connections that a worker opens at once.
_AT_ONCE = 64


async def reach(addresses: Sequence[str], dask_worker: Any) -> dict[str, str]:
    """Tell which of the other workers this one cannot connect to, and why."""
    from distributed.comm import connect  # noqa: PLC0415 - only workers have it loaded already

    gate = asyncio.Semaphore(_AT_ONCE)

    async def try_one(address: str) -> None:
        async with gate:
            limit = _CONNECT_SECONDS
            comm = await connect(address, timeout=limit, **dask_worker.connection_args)
            await comm.close()

    others = [address for address in addresses if address != dask_worker.address]
    tasks = {address: asyncio.create_task(try_one(address)) for address in others}
    if tasks:  # one limit for all: Dask's own is for a connection, and not for what is said first
        await asyncio.wait(tasks.values(), timeout=_CONNECT_SECONDS)
    unreached = {}
    for address, task in tasks.items():
        if not task.done():
            task.cancel()
            unreached[address] = f"no answer within {_CONNECT_SECONDS} s"
        elif error := task.exception():
            unreached[address] = _reason(error)
    return unreached


def _reason(error: BaseException) -> str:
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
        Where outputs come to lie: folders, or URLs.
    token : str
        Name of what is written there by the way, and removed again.
    options : Mapping
        For fsspec; what is secret in it is not to stand in logs.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    token: str
    options: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Answers:
    """What a worker has found.

    Parameters
    ----------
    inputs : dict
        By path: the fingerprint, or why it cannot be opened.
    outputs : dict
        By folder: what is wrong with it, or None.
    scratch : str or None
        Why files for the time being cannot be written.
    """

    inputs: dict[str, Fingerprint | str]
    outputs: dict[str, str | None]
    scratch: str | None


async def answer(questions: Questions, names: Mapping[str, str], dask_worker: Any) -> Answers:
    """Look at inputs, leave a mark by this worker's name beside the client's, try scratch space."""
    options, name = questions.options, names[dask_worker.address]

    async def ask(function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return await asyncio.wait_for(asyncio.to_thread(function, *arguments), _LOOK_SECONDS)
        except TimeoutError:
            return f"no answer within {_LOOK_SECONDS} s"

    inputs, outputs = questions.inputs, questions.outputs
    found = await asyncio.gather(
        ask(_try_scratch, str(dask_worker.local_directory)),
        *(ask(open_input, path, options) for path in inputs),
        *(ask(_try_output, folder, questions.token, name, options) for folder in outputs),
    )
    of_inputs, of_outputs = found[1 : 1 + len(inputs)], found[1 + len(inputs) :]
    return Answers(
        dict(zip(inputs, of_inputs, strict=True)),
        dict(zip(outputs, of_outputs, strict=True)),
        found[0],
    )


def open_input(path: str, options: Mapping[str, Any]) -> Fingerprint | str:
    """Open a file as readers do; tell its fingerprint, or why it cannot be opened."""
    try:
        source = ByteSource.find(path, options)
        source.head()
    except OSError as error:
        return str(error.strerror or error)
    return source.fingerprint


def _try_output(folder: str, token: str, name: str, options: Mapping[str, Any]) -> str | None:
    try:
        if "client" not in find_marks(folder, token, options):
            return "does not see what this client writes there"
        leave_mark(folder, token, name, options)
    except OSError as error:
        return f"cannot write there ({error.strerror or error})"
    return None


def _try_scratch(folder: str) -> str | None:
    """Write where a worker spills, and where files are unpacked."""
    for path in (folder, None):
        try:
            with tempfile.TemporaryFile(dir=path) as file:
                file.write(b"bigquant")
        except OSError as error:
            return str(error.strerror or error)
    return None


def leave_mark(folder: str, token: str, name: str, options: Mapping[str, Any]) -> None:
    """Write a small file of a name, as outputs are written: the client makes their folder."""
    place = _place(folder, token)
    if not remote.is_url(folder):
        if name == "client":
            Path(place).mkdir()
        Path(place, name).write_text(token)
        return
    fs, start = remote.connect(place, options)
    try:
        fs.pipe_file(start + name, token.encode())
    except Exception as error:  # drivers raise what they like
        raise remote.failure(folder, error, "written") from error


def find_marks(folder: str, token: str, options: Mapping[str, Any]) -> set[str]:
    """List the names of the marks that are there."""
    place = _place(folder, token)
    if not remote.is_url(folder):
        return {path.name for path in Path(place).glob("*")}
    fs, start = remote.connect(place, options)
    try:
        fs.invalidate_cache()
        return {path[path.index(token) + len(token) + 1 :] for path in fs.glob(f"{start}*")}
    except Exception as error:
        raise remote.failure(folder, error) from error


def remove_marks(folder: str, token: str, options: Mapping[str, Any]) -> None:
    """Remove all marks, as far as that can be done."""
    place = _place(folder, token)
    if not remote.is_url(folder):
        shutil.rmtree(place, ignore_errors=True)
        return
    with suppress(Exception):  # what cannot be written there is told by others
        fs, start = remote.connect(place, options)
        fs.invalidate_cache()
        if marks := fs.glob(f"{start}*"):
            fs.rm(marks)


def _place(folder: str, token: str) -> str:
    """Name the folder of the marks; behind a URL what they begin with: a folder might stay."""
    start = f"{folder.rstrip('/')}/.bigquant-{token}"
    return f"{start}-" if remote.is_url(folder) else start
