"""Curves for a page that come from anyone: refused in a line, or drawn, whatever their numbers."""

from pathlib import Path

import numpy as np
import pytest

import bigquant
from bigquant import reporting
from bigquant.errors import InputError
from bigquant.report_page import render

CURVES = [
    [(0, 5), (2, 3)],
    [(2, 5), (65536, 3)],
    [(2, "1e300"), (3, 3)],
    [(2, 5), (3, -1)],
    [(2, 5), (3, "nan")],
    [(2, 5), (2, 3)],
]


@pytest.fixture
def output(tmp_path, monkeypatch):
    """An output of two colours."""
    monkeypatch.chdir(tmp_path)
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    bigquant.quantize(pixels, 2).to_png("out.png")
    return "out.png"


@pytest.mark.parametrize("curve", CURVES)
def test_a_curve_that_cannot_be_drawn_is_refused(curve, output):
    Path("sweep.csv").write_text("\n".join(["k,mse", *(f"{k},{mse}" for k, mse in curve)]))
    with pytest.raises(InputError, match=r"sweep\.csv: is no \.csv or \.json of a sweep"):
        bigquant.report(output, sweep="sweep.csv")


@pytest.mark.parametrize("errors", [(5e-324, 1e-310, 0), (9e299, 1, 1e-300), (1e-300, 1e-300, 0)])
def test_errors_of_any_size_are_drawn(errors, output, monkeypatch):
    given = []
    monkeypatch.setattr(reporting, "render", lambda report: given.append(report) or render(report))
    rows = [f"{k},{mse!r}" for k, mse in zip((1, 2, 65535), errors, strict=True)]
    Path("sweep.csv").write_text("\n".join(["k,mse", *rows]))
    page = bigquant.report(output, sweep="sweep.csv")
    assert "Error by number of colors" in page.read_text()
    assert given[0].curve[1] == [error if error >= 1e-300 else 0 for error in errors]
