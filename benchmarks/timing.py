"""Measure: rounds in which contenders take turns, and programs run by themselves."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass
class Timed:
    """What a contender returned last, and its best time of all rounds."""

    result: Any
    seconds: float


def take_turns(contenders: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, Timed]:
    """Time functions in turn, so that a slow minute of the machine strikes all of them.

    The best of the rounds counts: noise only ever adds. What contenders must load or compile
    they have done before.
    """
    best: dict[str, Timed] = {}
    for _ in range(rounds):
        for name, contender in contenders.items():
            gc.collect()
            start = time.perf_counter()
            result = contender()
            seconds = time.perf_counter() - start
            if name in best:
                seconds = min(seconds, best[name].seconds)
            best[name] = Timed(result, seconds)
    return best


@dataclass
class Ran:
    """Wall seconds, output and, where it was watched, peak memory in bytes of a program."""

    seconds: float
    output: str
    peak: int | None = None


#: Runs a module as ``python -m`` does, and tells its peak memory at the end: the rusage of a
#: child starts at its parent's peak.
_WATCH = """
import atexit, runpy, sys
def tell():
    words = open("/proc/self/status").read().split()
    print(words[words.index("VmHWM:") + 1])
atexit.register(tell)
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def run_watched(module: str, *arguments: str) -> Ran:
    """Run ``python -m module arguments`` and find its peak memory; on Linux only."""
    ran = run_program("-c", _WATCH, module, *arguments)
    output, peak = ran.output.strip().rsplit("\n", 1)
    return Ran(ran.seconds, output, int(peak) << 10)


def run_program(*arguments: str, **environment: str) -> Ran:
    """Run Python with arguments, and with these variables in its environment too."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
        check=True,
    )
    return Ran(time.perf_counter() - start, done.stdout)
