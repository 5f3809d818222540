"""Connecting to a Dask scheduler."""

from __future__ import annotations

import json
import logging
import signal
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask

from bigquant.asking import chosen, current_client
from bigquant.errors import InputError, one_line

_log = logging.getLogger(__name__)
_CONNECT_SECONDS = 10
#: Dask has workers give freed memory back at once: pages of every block are cleared anew then,
#: which takes a third of the time.
_TRIMMING = "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_"


@contextmanager
def running_on(
    address: str | None = None,
    workers: int | None = None,
    *,
    threads_per_worker: int = 1,
    memory_limit: str | None = None,
) -> Iterator[Any]:
    """Make a scheduler current: the one at `address`, a new local cluster, or threads.

    Parameters
    ----------
    address : str, optional
        Of a Dask scheduler, such as "tcp://host:8786". Certificates for "tls://" are those that
        Dask's configuration names (``distributed.comm.tls``).
    workers : int, optional
        Processes of a local cluster that lasts as long as the block.
    threads_per_worker : int
    memory_limit : str, optional
        Of each of these processes, such as "4GB"; without it they share the machine's.

    Yields
    ------
    distributed.Client or None
        None for threads.
    """
    if address is None and workers is None:
        _log.info("running on threads of this process")
        with dask.config.set(scheduler="threads"):
            yield None
        return
    options = {"threads_per_worker": threads_per_worker, "memory_limit": memory_limit or "auto"}
    # a client that closes because its scheduler is lost leaves what it has set
    with dask.config.set(scheduler=None), _connected(address, workers, options) as client:
        _log.info(
            "running on the cluster at %s, dashboard %s",
            client.scheduler.address,
            client.dashboard_link,
        )
        with chosen(client):
            yield client


@contextmanager
def _connected(
    address: str | None, workers: int | None, options: Mapping[str, Any]
) -> Iterator[Any]:
    """Start a local cluster, or find the one at an address."""
    from distributed import Client, LocalCluster  # noqa: PLC0415 - takes a second to import

    if workers is not None:
        with _deaf_to_interrupts(), dask.config.set({_TRIMMING: None}):
            local = LocalCluster(
                n_workers=workers,
                dashboard_address=":0",  # any free port: 8787 may be taken
                silence_logs=logging.CRITICAL,
                **options,
            )
        with local, Client(local) as client:
            yield client
        return
    try:
        client = Client(address, timeout=_CONNECT_SECONDS)
    except Exception as error:  # whatever TLS and sockets raise
        half_made = current_client()  # distributed leaves it current if the address is none
        if half_made is not None:
            half_made.close(timeout=1)
        raise InputError(_not_connected(address, error)) from error
    with client:
        yield client


def read_scheduler_file(path: str) -> str:
    """Get the address of a scheduler from the file that ``dask scheduler --scheduler-file`` wrote.

    Raises
    ------
    InputError
        If there is no such file, or no address in it.
    """
    try:
        address = json.loads(Path(path).read_bytes())["address"]
    except OSError as error:
        raise InputError(
            f"{path}: the scheduler file cannot be read ({error.strerror}): start "
            f"`dask scheduler --scheduler-file {path}` on a disk that this machine sees"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is no scheduler file: it names no address") from error
    return str(address)


def _not_connected(address: str | None, error: Exception) -> str:
    """Tell why no scheduler answers: certificates, or nobody there."""
    causes = (error, error.__cause__, error.__context__)
    reason = next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None)
    if reason is not None or str(address).startswith("tls://"):
        return (
            f"the Dask scheduler at {address} cannot be reached with these certificates "
            f"({one_line(reason or error)}): check that it runs, and what Dask's "
            "configuration says of distributed.comm.tls (ca-file, client.cert, client.key)"
        )
    return (
        f"no Dask scheduler answers at {address} within {_CONNECT_SECONDS} s: "
        "check the address (tls:// for one with certificates), and that it runs"
    )


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: it is for this process to end them.

    Only an ignored signal is inherited by a new program, so it is ignored here too meanwhile.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
