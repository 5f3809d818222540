"""Runs of the program that tests interrupt, kill or pull the disk from under."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil


@contextmanager
def fitting(large, *options, stderr=subprocess.PIPE, prefix=()):
    """A process that fits, in a session of its own, as in a terminal of its own."""
    program = [*prefix, sys.executable, "-m", "bigquant"]
    command = [*program, "fit", large, "-k", "8", "-o", "out.zarr"]
    process = subprocess.Popen(
        [*command, *options], start_new_session=True, stderr=stderr, stdout=subprocess.PIPE
    )
    try:
        yield process
    finally:
        if alive(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()


def alive(session):
    """The processes of a session that are not dead."""
    found = []
    for process in psutil.process_iter(["status"]):
        try:
            if os.getsid(process.pid) == session and process.info["status"] != "zombie":
                found.append(process)
        except ProcessLookupError:
            pass
    return found


def workers_of(process):
    """The processes of a local cluster or a nanny that compute (one other tracks resources)."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has ended since it was listed
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def wait_until_written(process, pattern=".out.zarr.partial/*/0/c/0/*/0"):
    """Wait until the first blocks lie in the temporary folder of a run."""
    while process.poll() is None and not any(Path().rglob(pattern)):
        time.sleep(0.01)
    assert process.poll() is None, f"it has ended too soon: {process.communicate()}"


def press_ctrl_c(process):
    """Do as a terminal does: all processes of the session get the signal."""
    assert process.poll() is None, "it has ended before it could be interrupted"
    os.killpg(process.pid, signal.SIGINT)


def assert_nothing_is_left(folder, session, *but):
    """No file in a folder, but of these names, and no process of a session."""
    assert [path.name for path in folder.iterdir()] == list(but)
    give_up = time.monotonic() + 10
    while alive(session) and time.monotonic() < give_up:
        time.sleep(0.1)
    assert not alive(session)


def read_until(terminal, words):
    """Read what a terminal shows until some words come, for a minute at most."""
    shown, give_up = b"", time.monotonic() + 60
    while words not in shown and time.monotonic() < give_up:
        if select.select([terminal], [], [], 1)[0]:
            try:
                shown += os.read(terminal, 4096)
            except OSError:  # nobody writes to it any more
                break
    return shown
