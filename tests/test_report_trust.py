"""Pages about outputs whose previews nobody should believe, and what a page must not do or tell."""

import json
import shutil
from pathlib import Path

import click
import pytest
import tifffile
from reports import TILED, run

from bigquant import options, reporting, showing
from bigquant.errors import BigquantError


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_page_takes_no_image_s_place(photo, capfd):
    assert run("fit photo.tif -k 4 -o out.tif -q") == 0
    before = Path("photo.tif").read_bytes()
    assert run("report out.tif -o photo.tif --overwrite") == 2
    assert "photo.tif: a page ends in .html: name it so" in capfd.readouterr().err
    assert Path("photo.tif").read_bytes() == before


@pytest.mark.parametrize("size", [(854, 1280), (427, 640)])
def test_a_preview_of_another_image_is_not_believed(size, photo, given):
    tifffile.imwrite("other.tif", photo[: size[0], : size[1]][::-1], **TILED)
    assert run("fit photo.tif -k 4 -o out.tif -q") == 0
    assert run("fit other.tif -k 5 -o theirs.tif -q") == 0
    shutil.copy("theirs.tif", "out.tif")
    assert run("report out.tif") == 0
    assert (given[0].palette.k, given[0].before, given[0].cloud) == (5, None, None)
    assert "command" not in given[0].facts
    assert "other.tif" in given[0].facts["fitted to"]


def test_the_source_that_is_named_is_told(photo, given):
    tifffile.imwrite("other.tif", photo[::-1], **TILED)
    assert run("fit photo.tif -k 4 -o out.tif -q") == 0
    assert run("apply out.tif.palette.json other.tif -o applied.tif -q") == 0
    assert run("report applied.tif --source other.tif") == 0
    facts = given[0].facts
    assert (facts["source"], facts["colors"]) == ("other.tif", "4")
    assert facts["fitted to"].endswith("photo.tif")


@pytest.mark.parametrize("where", ["source", "mask"])
def test_a_preview_fetches_nothing(where, photo, given, monkeypatch):
    assert run("fit photo.tif -k 4 -o out.tif -q") == 0
    path = Path("out.tif.preview.json")
    model = json.loads(path.read_text())
    del model["before"]
    if where == "source":
        model["facts"]["source"] = "memory://photo.tif"
    else:
        model["facts"]["reading"]["mask"] = "memory://mask.tif"
    path.write_text(json.dumps(model))
    opened, really = [], showing.open_image
    monkeypatch.setattr(
        showing, "open_image", lambda name, **how: opened.append(name) or really(name, **how)
    )
    assert run("report out.tif") == 0
    assert set(opened) == {"out.tif"}
    assert given[0].before is None


def test_a_page_that_fails_costs_neither_the_others_nor_the_summary(photo, monkeypatch, capfd):
    tifffile.imwrite("other.tif", photo[:200], **TILED)
    really = reporting.report

    def report(output, **options):
        if "photo" in output:
            raise BigquantError("no space left")
        return really(output, **options)

    monkeypatch.setattr(reporting, "report", report)
    assert run("fit photo.tif other.tif -k 4 -o made --format tif --report --json") == 1
    out, err = capfd.readouterr()
    images = json.loads(out)["images"]
    assert ["report" in image for image in images] == [False, True]
    assert "no space left (the output is complete, without a page)" in err
    assert "1 of 2 pages could not be written" in err


def test_no_secret_of_a_url_is_kept(photo, given):
    command = "fit photo.tif --mask=http://bob:hunter2@127.0.0.1:9/m.tif?token=SEKRET -o out.tif"
    with click.Context(click.Command("bigquant"), info_name="bigquant", obj=command.split()):
        told = options.command_line()
    assert told == "bigquant fit photo.tif --mask=http://127.0.0.1:9/m.tif -o out.tif"
    for word in ("-ohttps://a:hunter2@h/x?t=SEKRET", "simplecache::http://h/x.tif?token=SEKRET"):
        with click.Context(click.Command("bigquant"), info_name="bigquant", obj=[word]):
            told = options.command_line()
        assert "SEKRET" not in told
        assert "hunter2" not in told
