"""Count what a process sends and receives, and how hard it works: a preload of Dask's programs.

The bytes are what the operating system took and gave for each socket, so that all of Dask's
protocol is in them, and nothing is left to its own estimates.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from tornado.iostream import IOStream

_moved = {"sent": 0, "received": 0}


def dask_setup(server: Any) -> None:
    """Begin to count, in a scheduler or a worker."""
    del server
    count()


def count() -> None:
    """Begin to count the bytes of all sockets of this process."""
    write, read = IOStream.write_to_fd, IOStream.read_from_fd

    def write_to_fd(self: IOStream, data: memoryview) -> int:
        written = write(self, data)
        _moved["sent"] += written
        return written

    def read_from_fd(self: IOStream, buf: bytearray | memoryview) -> int | None:
        taken = read(self, buf)
        _moved["received"] += taken or 0
        return taken

    IOStream.write_to_fd = write_to_fd  # type: ignore[method-assign]
    IOStream.read_from_fd = read_from_fd  # type: ignore[method-assign]


def process() -> dict[str, Any]:
    """Tell the process, its bytes, the seconds of all its threads, and its peak memory."""
    words = Path("/proc/self/status").read_text().split()
    peak = int(words[words.index("VmHWM:") + 1]) << 10
    return {"pid": os.getpid(), **_moved, "cpu": time.process_time(), "peak": peak}


def scheduler(dask_scheduler: Any) -> dict[str, Any]:
    """Tell, on a scheduler, what it has done so far, too."""
    prefixes = dask_scheduler.task_prefixes.values()
    return {
        **process(),
        "transitions": dask_scheduler.transition_counter,
        "tasks": sum(prefix.state_counts["memory"] for prefix in prefixes),
        "computing": {
            prefix.name: (prefix.state_counts["memory"], prefix.all_durations["compute"])
            for prefix in prefixes
        },
    }


def worker(dask_worker: Any) -> dict[str, Any]:
    """Tell, on a worker, what it has fetched from others, too."""
    return {**process(), "fetched": dask_worker.state.transfer_incoming_count_total}
