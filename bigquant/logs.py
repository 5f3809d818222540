"""What of the logs people see while a command runs; only the command line turns this on."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from bigquant.errors import PaletteWarning

_OWN = (logging.WARNING, logging.INFO, logging.DEBUG)
_OTHERS = (logging.CRITICAL + 1, logging.WARNING, logging.INFO)


@contextmanager
def shown_logs(verbosity: int) -> Iterator[None]:
    """Show log records on stderr for as long as the block lasts, and nothing raw.

    Parameters
    ----------
    verbosity : int
        0 shows bigquant's warnings; 1 also its stages and chunk plans, and the warnings of
        libraries; 2 also bigquant's details and what Dask and others tell.
    """
    verbosity = min(verbosity, 2)
    own, root, handler = logging.getLogger("bigquant"), logging.getLogger(), _Shown(verbosity)
    before = own.level, root.level
    own.setLevel(_OWN[verbosity])
    root.setLevel(min(_OTHERS[verbosity], logging.WARNING))
    root.addHandler(handler)  # distributed adds none of its own then
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        own.setLevel(before[0])
        root.setLevel(before[1])


@contextmanager
def noted_warnings() -> Iterator[list[str]]:
    """Collect what is warned of palettes, to be told when the block has ended; log the rest then.

    Whatever Python's ``-W`` says.
    """
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield notes
    for each in caught:
        if each.category is PaletteWarning:
            notes.append(str(each.message))
        else:
            logging.getLogger("py.warnings").warning("%s", each.message)


class _Shown(logging.Handler):
    """Writes records, one line each, to what stderr is at the time: bars may stand there."""

    def __init__(self, verbosity: int) -> None:
        super().__init__()
        self.own, self.others = _OWN[verbosity], _OTHERS[verbosity]
        self.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s", "%H:%M:%S"))

    def emit(self, record: logging.LogRecord) -> None:
        is_own = record.name.split(".")[0] == "bigquant"
        if record.levelno >= (self.own if is_own else self.others):
            sys.stderr.write(" ".join(self.format(record).split()) + "\n")
