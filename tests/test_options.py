"""Options of the command line become parameters of `open_image`."""

from __future__ import annotations

import pytest

from bigquant import inspection
from bigquant.cli import main


@pytest.fixture
def asked(monkeypatch):
    """What `info` asks for, which then fails."""
    found = {}

    def inspect(path, **reading):
        found.update(reading)
        raise RuntimeError("enough")

    monkeypatch.setattr(inspection, "inspect", inspect)
    return found


@pytest.mark.parametrize(
    ("words", "reading"),
    [
        ([], {}),
        (["--bands", "3,2,1"], {"bands": (3, 2, 1)}),
        (["--nodata", "nan", "--page", "4"], {"page": 4}),
        (["--nodata", "-9999"], {"nodata": -9999.0}),
        (["--mask", "m.png", "--series", "1"], {"mask": "m.png", "series": 1}),
        (["--no-mask"], {"mask": False}),
        (["--select", "T=0,z=3", "--level", "2"], {"select": {"T": 0, "z": 3}, "level": 2}),
        (["--select", "T=0,c=1", "--select", "z=3"], {"select": {"T": 0, "c": 1, "z": 3}}),
        (["--storage-option", 'a={"b": [1, "c"]}'], {"storage_options": {"a": {"b": [1, "c"]}}}),
        (["--storage-option", "a={b"], {"storage_options": {"a": "{b"}}),
        (
            ["--storage-option", "anon=true", "--storage-option", "endpoint_url=http://h:1/?a=b"],
            {"storage_options": {"anon": True, "endpoint_url": "http://h:1/?a=b"}},
        ),
    ],
)
def test_an_option_is_a_parameter(words, reading, asked, capfd):
    assert main(["info", "a.tif", *words]) == 1
    assert capfd.readouterr().err == (
        "bigquant: error: RuntimeError: enough (--traceback shows where)\n"
    )
    if "nan" in words:
        nodata = asked.pop("nodata")
        assert nodata != nodata
    assert asked == {"level": 0, **reading}
