"""Reading files each in a process of its own, with its time and memory: what may go wrong does."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import NamedTuple

import dask.threaded  # noqa: F401
import imagecodecs  # noqa: F401

import bigquant.read  # noqa: F401 - loaded once: what is forked off has it
from bigquant import BigquantError, open_image

_SECONDS = 10


class Outcome(NamedTuple):
    """What became of reading a file: the error's text, or "read"; exit status, seconds, bytes."""

    path: str
    said: str
    status: int
    seconds: float
    memory: int


def read_each(paths, **options):
    """Open each file with these options of `open_image`, and read it; nothing may reach stderr."""
    done = subprocess.run(
        # Since 3.12 Python warns of a fork beside idle threads of libraries; the children use none.
        [sys.executable, "-W", "ignore:This process:DeprecationWarning", __file__],
        input=json.dumps([[str(path) for path in paths], options]),
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert done.stderr == ""
    outcomes = [Outcome(*json.loads(line)) for line in done.stdout.splitlines()]
    assert [outcome.path for outcome in outcomes] == [str(path) for path in paths]
    return outcomes


class Reader:
    """A process that reads one file after another, each with its time and the memory it took."""

    def __init__(self, errors):
        self._errors = errors
        self._start()

    def _start(self):
        with self._errors.open("ab") as errors:
            self._child = subprocess.Popen(
                [sys.executable, __file__, "one after another"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._child.stdin.close()
        self._child.stdout.close()
        self._child.wait()

    def read(self, path, **options):
        """Open a file with these options, and read it; a status that is not 0 is its death."""
        print(json.dumps([str(path), options]), file=self._child.stdin, flush=True)
        line = self._child.stdout.readline()
        if line:
            return Outcome(*json.loads(line))
        self.__exit__()
        died = Outcome(str(path), "", self._child.returncode, 0, 0)
        self._start()
        return died


def _serve():
    for line in sys.stdin:
        path, options = json.loads(line)
        signal.alarm(_SECONDS)
        start = time.monotonic()
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # what is told next is the peak from now on
        said = _read(path, options, at_once=1 << 24)
        with open("/proc/self/status") as file:
            peak = int(re.search(r"VmHWM:\s+(\d+)", file.read())[1]) << 10
        signal.alarm(0)
        print(json.dumps(Outcome(path, said, 0, time.monotonic() - start, peak)), flush=True)


def _read(path, options, at_once=1 << 29):
    """Read a file, of a large one the corners."""
    try:
        image = open_image(path, **options)
        if image.nbytes < at_once:
            image.compute(scheduler="sync")
        else:
            image[:64, :64].compute(scheduler="sync")
            image[-64:, -64:].compute(scheduler="sync")
    except BigquantError as error:
        return str(error)
    except BaseException as error:  # noqa: BLE001
        return f"BUG {error!r}"
    return "read"


def _main():
    paths, options = json.load(sys.stdin)
    for path in paths:
        heard, say = os.pipe()
        start = time.monotonic()
        child = os.fork()
        if not child:
            signal.alarm(_SECONDS)
            os.write(say, _read(path, options).encode()[:4000])
            os._exit(0)
        os.close(say)
        _, status, usage = os.wait4(child, 0)
        said = os.read(heard, 5000).decode()
        os.close(heard)
        seconds = time.monotonic() - start
        outcome = Outcome(path, said, status, seconds, usage.ru_maxrss << 10)
        print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    _serve() if sys.argv[1:] else _main()
