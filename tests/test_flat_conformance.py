"""Files of other test suites, against other libraries; damaged and hostile ones, in bounds."""

from __future__ import annotations

import re
import warnings

import flat_reference
import numpy as np
import pytest
from children import read_each
from conftest import SAMPLES
from PIL import Image

import bigquant

pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"no public test images in {SAMPLES}")
TIFFS = {".tif", ".tiff", ".svs", ".ovr"}


def flat_files(*folders):
    """Files that are no TIFF, and no notes beside the images."""
    found = [p for folder in folders for p in sorted((SAMPLES / folder).rglob("*")) if p.is_file()]
    return [p for p in found if not is_tiff(p) and p.suffix not in (".csv", ".md", ".tsv")]


def is_tiff(path):
    return path.suffix.lower() in TIFFS or path.read_bytes()[:4] in (b"II*\0", b"MM\0*")


def read(path):
    """The pixels of a file, or why there are none."""
    try:
        return bigquant.open_image(path).compute(scheduler="sync")
    except bigquant.BigquantError as error:
        return error


def is_one_line(error, path):
    return re.fullmatch(rf"{re.escape(str(path))}: [^\n]+", str(error))


def by_others(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return flat_reference.expected(path)
        except Exception:  # noqa: BLE001
            return None


def test_whole_files_are_what_other_libraries_make_of_them(capfd):
    paths = [*flat_files("png-jpeg", "photos"), *(SAMPLES / "large").rglob("*.jpg")]
    refused, lost = {}, {}
    for path in paths:
        found, other = read(path), by_others(path)
        if isinstance(found, bigquant.BigquantError):
            assert is_one_line(found, path)
            (refused if other is None else lost)[path.name] = found
        elif other is not None:
            np.testing.assert_array_equal(found, other, err_msg=str(path))
            assert found.dtype == other.dtype, path
    capfd.readouterr()  # imagecodecs' PNG decoder tells stderr of its warnings
    print(f"{len(paths)} files, not read {refused}, though others read them {lost}")
    assert len(lost) <= 0.07 * len(paths)


def test_broken_files_end_in_one_line_soon_and_in_little_memory():
    for outcome in read_each(flat_files("broken")):
        assert outcome.status == 0, outcome
        assert outcome.seconds < 10, outcome
        assert outcome.memory < 1_000_000_000, outcome
        if outcome.said == "read":
            assert _somebody_reads(outcome.path)
        else:
            assert is_one_line(outcome.said, outcome.path), outcome


def _somebody_reads(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path) as image:
            image.load()
    return True
