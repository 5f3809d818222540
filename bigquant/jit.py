"""How kernels are compiled: Numba, serial, ``nogil``, and kept on disk where that can be."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def jit(function: F, fastmath: Any = False) -> F:
    """Compile with the one set of options that all kernels share.

    `fastmath` is for one whose rounding is allowed for where it is used.

    Numba keeps machine code beside the source, or in the user's cache where that cannot be
    written, or where ``NUMBA_CACHE_DIR`` says. Where none of these can be written a process
    compiles for itself.
    """
    try:
        compiled = numba.njit(nogil=True, cache=True, fastmath=fastmath)(function)
    except RuntimeError:  # Numba's "no locator available"
        return cast(F, numba.njit(nogil=True, fastmath=fastmath)(function))
    cache = getattr(compiled, "_cache", None)  # there is none under NUMBA_DISABLE_JIT
    if cache is not None:
        save = cache.save_overload

        def save_if_there_is_room(*overload: Any) -> None:
            with suppress(OSError):  # a full disk, a quota: no reason to fail
                save(*overload)

        cache.save_overload = save_if_there_is_room
    return cast(F, compiled)
