"""Whether a cluster can do a job: found out in seconds, before any work."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from bigquant import probes, remote
from bigquant.asking import computing_client
from bigquant.errors import ClusterError, InputError
from bigquant.examination import CheckUp, Examination
from bigquant.image import Image
from bigquant.inputs import folder_of, format_of
from bigquant.inspection import needed_memory
from bigquant.read import open_image
from bigquant.zarr_reader import find_document

#: Inputs that every worker opens; of more every n-th.
_LOOKED_AT = 32
_log = logging.getLogger(__name__)


def doctor(
    inputs: Sequence[str | os.PathLike[str]] = (),
    outputs: Sequence[str | os.PathLike[str]] = (),
    **reading: Any,
) -> CheckUp:
    """Find out if the current cluster can quantize these images into these outputs.

    It takes seconds: no pixel is read.

    Parameters
    ----------
    inputs : sequence of path or URL
        Images that every worker must be able to open.
    outputs : sequence of path or URL
        Their folders must be shared by all workers and this client, which write a small file
        there and remove it.
    **reading
        Other parameters of `open_image`, for all inputs.

    Raises
    ------
    InputError
        If no `distributed.Client` is current, or an input cannot be read here.
    """
    client = computing_client()
    if client is None:
        raise InputError("no cluster to look at: connect a distributed.Client to it first")
    images = [open_image(path, **reading) for path in inputs]
    return _examine(client, inputs, images, outputs, reading)


def ensure_ready(
    client: Any,
    inputs: Sequence[str],
    images: Sequence[Image],
    outputs: Sequence[str],
    reading: Mapping[str, Any],
) -> None:
    """Raise a `ClusterError` if a cluster cannot do a job; without a client there is none.

    The parameters are those of `doctor`, with the images that the inputs have been opened as.
    """
    if client is None:
        return
    found = _examine(client, inputs, images, outputs, reading)
    _log.info("%d workers, %d threads: found right: %s", *found.size, ", ".join(found.passed))
    if found.failures:
        raise ClusterError(*found.failures)


def _examine(
    client: Any,
    inputs: Sequence[str | os.PathLike[str]],
    images: Sequence[Image],
    outputs: Sequence[str | os.PathLike[str]],
    reading: Mapping[str, Any],
) -> CheckUp:
    options = reading.get("storage_options") or {}
    paths = [os.fspath(path) for path in inputs]
    if isinstance(mask := reading.get("mask"), str | os.PathLike):
        paths.append(os.fspath(mask))
    examination = Examination(client, max(map(needed_memory, images), default=0))
    questions = probes.Questions(
        tuple(_document(path, options) for path in paths[:: -(-len(paths) // _LOOKED_AT) or 1]),
        tuple(dict.fromkeys(_folder(os.fspath(path)) for path in outputs)),
        f"probe-{uuid.uuid4().hex}",
        dict(options),
    )
    for step in (
        examination.check_memory,
        examination.find_hosts,
        examination.check_versions,
        lambda: examination.ask(questions),
    ):
        step()
        if examination.failures:  # what comes next would fail, or wait, for the same reason
            break
    return examination.result()


def _document(path: str, options: Mapping[str, Any]) -> str:
    """Name the file that is opened first: of a Zarr its metadata."""
    path = remote.local_path(path) or path
    if not remote.is_url(path):
        path = os.path.abspath(path)
        if not os.path.isdir(path):
            return path
    elif not (".zarr" in path or path.endswith("/")):
        return path
    found = find_document(path, options)
    return found[0] if found else path


def _folder(path: str) -> str:
    """Name the folder that an output comes to lie in: itself, if it is one."""
    path = remote.local_path(path) or path
    if remote.is_url(path):
        return folder_of(path) if format_of(path) else path.rstrip("/")
    path = os.path.abspath(path)
    return path if format_of(path) is None and os.path.isdir(path) else folder_of(path)
