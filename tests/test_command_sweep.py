"""`bigquant sweep`, and `fit` that chooses k."""

import json

import numpy as np
import pytest
from PIL import Image

import bigquant
from bigquant.cli import main


@pytest.fixture
def photo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["sample", "photo.tif", "-q"]) == 0
    return tmp_path / "photo.tif"


def test_it_prints_the_table_and_writes_grid_and_csv(photo, capsys):
    assert main(["sweep", "photo.tif", "-k", "2:6"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["k", "colors", "MSE", "PSNR", "(dB)", "CIEDE2000"]
    assert [int(line.split()[0]) for line in lines[1:6]] == [2, 3, 4, 5, 6]
    assert sum("<- knee" in line for line in lines) == 1
    assert lines[-2:] == ["output 1  photo.k2-6.png", "output 2  photo.k2-6.csv"]
    rows = (photo.parent / "photo.k2-6.csv").read_text().splitlines()
    assert rows[0] == "k,colors,inertia,mse,psnr,ciede2000_mean"
    sweep = bigquant.sweep(bigquant.open_image("photo.tif"), range(2, 7))
    assert [float(row.split(",")[3]) for row in rows[1:]] == sweep.mse.tolist()
    with Image.open("photo.k2-6.png") as grid:
        assert grid.width > 600


def test_its_picture_is_no_image_of_the_folder(photo, capsys):
    assert main(["sweep", "photo.tif", "-k", "2:3", "-q"]) == 0
    assert main(["fit", ".", "-k", "2", "-o", "out/", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["input"] == "photo.tif"


def test_json_holds_the_palettes(photo, capsys):
    command = ["sweep", "photo.tif", "-k", "4,8:16:8", "-o", "all.json", "-o", "grid.svg", "--json"]
    assert main(command) == 0
    told = json.loads(capsys.readouterr().out)
    written = json.loads((photo.parent / "all.json").read_text())
    assert told["k"] == written["k"] == [4, 8, 16]
    assert told["outputs"] == ["all.json", "grid.svg"]
    palette = bigquant.Palette.from_json(written["palettes"][1])
    assert palette.k == 8
    assert (photo.parent / "grid.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-k", "9:2"], "'9:2' is no range: the first is the least"),
        (["-k", "2:1002"], "'2:1002' is of more than 1000 numbers: give a step"),
        (["-k", "2:"], "'2:' is neither"),
        (["-k", "0:4"], "k=0: must be a whole number from 1 to 65535"),
        (["-o", "x.txt"], "'x.txt': the name of what a sweep writes ends in .png"),
        (["-o", "x.csv", "-o", "x.csv"], "x.csv: is named twice"),
        (["-o", "photo.csv"], "photo.csv: exists already"),
        (["photo.tif"], "2 inputs: say what to write"),
    ],
)
def test_bad_arguments_end_in_one_line(photo, capsys, arguments, words):
    (photo.parent / "photo.csv").write_text("mine")
    assert main(["sweep", "photo.tif", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("bigquant: error: ")
    assert words in err
    assert err.count("\n") == 1
    assert {path.name for path in photo.parent.iterdir()} == {"photo.tif", "photo.csv"}


def test_fewer_colours_are_noted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.arange(3, dtype=np.uint8)[None]).save("few.png")
    assert main(["sweep", "few.png", "-o", "few.csv"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "note: k=3, not 10: the image has only 3 distinct colours"
    )


def test_fit_chooses_k(photo, capsys):
    assert main(["fit", "photo.tif", "-k", "auto", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["output"] == "photo.kauto.zarr"
    assert facts["k"] == bigquant.quantize(bigquant.open_image("photo.tif"), "auto").palette.k
    assert main(["fit", "photo.tif", "--quality", "27", "-o", "q.png", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["psnr"] >= 27
    assert main(["fit", "photo.tif", "--quality", "27", "-k", "4"]) == 1
    assert "4 colours reach 21." in capsys.readouterr().err
    assert main(["fit", "photo.tif", "-k", "most"]) == 2
    assert "'most' is neither a whole number nor 'auto'" in capsys.readouterr().err
