"""What libraries warn of in damaged files, kept from people."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()


@contextmanager
def quiet() -> Iterator[None]:
    """Let nothing warn; one thread at a time can do so."""
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
