"""How reading a file may end: in pixels, or in one line that names the file."""

from __future__ import annotations

import re

import pytest

import bigquant


def refused(path, error=bigquant.InputError, words=""):
    """Expect an error of one line that begins with the path, and has the words (a pattern)."""
    return pytest.raises(error, match=rf"\A{re.escape(str(path))}: (?=[^\n]*{words})[^\n]+\Z")


def survived(outcome):
    """Expect of a reading in a child process pixels or such an error, soon, in bounded memory."""
    assert outcome.status == 0, outcome
    assert outcome.said == "read" or re.fullmatch(
        rf"{re.escape(outcome.path)}: [^\n]{{1,800}}", outcome.said
    ), outcome
    assert outcome.seconds < 10, outcome
    assert outcome.memory < 1e9, outcome


def failure(path):
    """Read a file; tell how that failed, if not by an error of one line that names it."""
    try:
        image = bigquant.open_image(path)
        if image.nbytes < 1 << 26:
            image.compute(scheduler="sync")
    except bigquant.BigquantError as error:
        good = re.fullmatch(rf"{re.escape(str(path))}: [^\n]+", str(error))
        return None if good else f"{path}: {error!r}"
    except Exception as error:  # noqa: BLE001
        return f"{path}: {error!r}"
    return None
