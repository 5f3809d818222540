"""Pages about outputs: what they are given to show, of whatever made the output, and refusals."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as pillow
from reports import TILED, run
from skimage.color import deltaE_ciede2000, rgb2lab

import bigquant
from bigquant.cli import main
from bigquant.errors import InputError


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def thinned(pixels):
    return pixels[1::3, 1::3]


def assert_shows(report, before, after):
    np.testing.assert_array_equal(report.before, before)
    np.testing.assert_array_equal(report.after, after)
    lab = rgb2lab(report.before[..., :3]), rgb2lab(report.after[..., :3])
    seen = ~np.isnan(report.error)
    np.testing.assert_allclose(report.error[seen], deltaE_ciede2000(*lab)[seen], atol=0.0501)


# ---------------------------------------------------------------- outputs of a fit


@pytest.mark.parametrize("name", ["out.zarr", "out.tif", "out.png", "out.npy"])
def test_a_page_of_what_the_fit_has_left_needs_no_pixel(name, photo, given, capfd):
    assert run(f"fit photo.tif -k 8 -o {name} -q") == 0
    expected = bigquant.quantize(photo, 8)
    Path("photo.tif").unlink()
    if name == "out.zarr":
        shutil.rmtree("out.zarr/0/c")
        shutil.rmtree("out.zarr/labels/quantized/0/c")
    assert run(f"report {name}") == 0
    page = Path(f"{name}.report.html")
    assert capfd.readouterr().out.split()[0] == str(page)
    assert page.read_text().startswith("<!doctype html>")
    (report,) = given
    assert_shows(report, thinned(photo), thinned(expected.image.compute()))
    assert report.title == name
    assert report.palette.hex == expected.palette.hex
    np.testing.assert_array_equal(report.palette.counts, expected.palette.counts)
    assert report.curve is None
    assert len(report.cloud[0]) == len(report.cloud[1]) > 4000


def test_facts_are_words(photo, given):
    assert run("fit photo.tif -k 8 -o out.tif -q --seed 3") == 0
    assert run("report out.tif --json") == 0
    facts = given[0].facts
    palette = bigquant.Palette.load("out.tif.palette.json")
    size = Path("out.tif").stat().st_size
    assert facts["output"] == f"out.tif, {size / 1024:.1f} KiB"
    assert facts["source"] == str(Path("photo.tif").absolute())
    assert facts["size"] == "1280 x 854 pixels, 3 x uint8"
    assert facts["colors"] == f"{palette.fit['distinct_colors']} distinct -> 8"
    assert facts["PSNR"] == f"{palette.psnr:.2f} dB (MSE {palette.mse:.2f})"
    assert facts["CIEDE2000"].startswith(f"{given[0].error.mean():.2f} in the mean, of the ")
    assert facts["fit"] == "auto, seed 3"
    assert facts["seconds"].split()[1] == "(count"
    assert facts["versions"].startswith("bigquant 0.1.0, numba ")
    assert facts["command"] == "bigquant fit photo.tif -k 8 -o out.tif -q --seed 3"
    assert facts["date"].startswith("20")
    assert all(isinstance(words, str) for words in facts.values())


def test_a_page_is_written_with_the_fit(photo, given, capfd):
    assert run("fit photo.tif -k 8 -o out.zarr --report") == 0
    assert "report   out.zarr.report.html" in capfd.readouterr().out
    assert len(given) == 1
    assert Path("out.zarr.report.html").stat().st_size > 1000
    before = Path("out.zarr.report.html").read_bytes()
    shutil.rmtree("out.zarr")
    for name in ("out.zarr.palette.json", "out.zarr.preview.json"):
        Path(name).unlink()
    assert run("fit photo.tif -k 8 -o out.zarr --report") == 2  # before any work
    assert "out.zarr.report.html: exists already" in capfd.readouterr().err
    assert Path("out.zarr.report.html").read_bytes() == before
    assert run("fit photo.tif -k 4 -o out.zarr --report --overwrite --json") == 0
    assert json.loads(capfd.readouterr().out)["report"] == "out.zarr.report.html"
    assert given[1].palette.k == 4
    assert run("fit photo.tif -k 3 -o out.zarr --overwrite --json") == 0  # the page stays
    (note,) = json.loads(capfd.readouterr().out)["notes"]
    assert note.startswith("out.zarr.report.html is of an earlier output: renew it with")
    assert note.endswith("`bigquant report out.zarr --overwrite`")
    assert run("report out.zarr --overwrite") == 0
    assert given[2].palette.k == 3


def test_each_output_of_several_gets_a_page_with_what_it_was_made_of(photo, given):
    Path("scans").mkdir()
    pillow.fromarray(np.full((854, 1280), 200, np.uint8)).save("mask.png")
    tifffile.imwrite("scans/a.tif", photo, **TILED)
    tifffile.imwrite("scans/b.tif", photo[::-1], **TILED)
    assert run("fit scans -k 8 -o out/ --bands 3,2,1 --format tif --report -q") == 0
    for report, pixels in zip(given, (photo, photo[::-1]), strict=True):
        shown = tifffile.imread(f"out/{report.title}")
        with tifffile.TiffFile(f"out/{report.title}") as tif:
            colors = np.moveaxis(tif.pages[0].colormap >> 8, 0, 1)
        assert_shows(report, thinned(pixels)[..., ::-1], thinned(colors[shown]))
    Path("scans/b.tif").unlink()
    assert run("report out/b.tif -o late.html") == 0
    assert (given[2].before, given[2].error) == (None, None)
    np.testing.assert_array_equal(given[2].after, given[1].after)


def test_a_page_of_what_is_left_out_marks_it(china, given):
    glass = np.dstack([china, np.full(china.shape[:2], 255, np.uint8)])
    glass[100:200, 50:90, 3] = 0
    pillow.fromarray(glass).save("glass.png")
    for name in ("out.tif", "out.zarr", "out.png", "out.npy"):
        assert run(f"fit glass.png -k 8 -o {name} -q") == 0
        assert run(f"report {name}") == 0
        assert run(f"report {name} --source glass.png -o again.html --overwrite") == 0
    for report in given:
        is_left_out = glass[1::2, 1::2, 3] == 0
        np.testing.assert_array_equal(np.isnan(report.error), is_left_out)
        np.testing.assert_array_equal(report.before[..., 3] == 0, is_left_out)
        np.testing.assert_array_equal(report.after[..., 3] == 0, is_left_out)
        np.testing.assert_array_equal(report.after, given[0].after)


# ---------------------------------------------------------------- the curve


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_the_curve_of_a_sweep_is_shown(suffix, photo, given):
    assert run(f"sweep photo.tif -k 2:9 -o sweep.{suffix} -q") == 0
    assert run("fit photo.tif -k 4 -o out.tif -q") == 0
    assert run(f"report out.tif --sweep sweep.{suffix}") == 0
    found = bigquant.sweep(photo, range(2, 10))
    assert given[0].curve == (list(range(2, 10)), found.mse.tolist(), found.knee)


def test_a_fit_that_chooses_k_leaves_its_curve(photo, given):
    assert run("fit photo.tif -k auto -o auto.tif -q --report") == 0
    ks, errors, knee = given[0].curve
    assert ks == list(range(2, 33))
    assert errors == sorted(errors, reverse=True)
    assert knee == given[0].palette.k
    assert errors[ks.index(knee)] == given[0].palette.mse
    assert run("fit photo.tif --quality 26 -o quality.tif -q --report") == 0
    ks, errors, _ = given[1].curve
    k = given[1].palette.k
    assert errors[ks.index(k)] == given[1].palette.mse
    assert ks[ks.index(k) - 1] == k - 1  # which did not reach it


# ---------------------------------------------------------------- other outputs


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("out.zarr", ""),
        ("out.zarr", "--ome-zarr 0.4"),
        ("out.zarr", "--content image"),
        ("out.zarr", "--content labels"),
        ("out.tif", ""),
        ("out.png", ""),
        ("out.npy", ""),
    ],
)
@pytest.mark.parametrize("k", [6, 300])
def test_an_applied_palette_is_shown_with_its_source(k, name, options, photo, given):
    palette = bigquant.quantize(photo, k).palette
    palette.bare().save("palette.json")
    if k > 256 and name == "out.png":
        assert run(f"apply palette.json photo.tif -o {name}") == 2  # it has no room
        return
    assert run(f"apply palette.json photo.tif -o {name} -q {options}") == 0
    assert run(f"report {name}") == 0
    assert run(f"report {name} --source photo.tif --overwrite") == 0
    alone, report = given
    expected = palette.apply(photo)
    assert_shows(report, thinned(photo), thinned(expected.image.compute()))
    np.testing.assert_array_equal(alone.after, report.after)
    assert (alone.before, alone.error, alone.cloud) == (None, None, None)
    np.testing.assert_array_equal(report.palette.counts, expected.measure().counts)


def test_labels_of_16_bits_in_a_tiff_are_shown_as_colours(photo, given):
    assert run("fit photo.tif -k 300 --content labels -o out.tif -q") == 0
    Path("out.tif.preview.json").unlink()
    assert run("report out.tif") == 0
    expected = bigquant.quantize(photo, 300).image.compute()
    np.testing.assert_array_equal(given[0].after, thinned(expected))


def test_bands_of_any_type_are_shown_as_the_palette_says(china, given):
    bands = np.dstack([china[..., ::-1], 255 - china]).astype(np.uint16) * 40
    np.save("bands.npy", bands)
    assert run("fit bands.npy -k 8 -o out.zarr --content image -q") == 0
    assert run("report out.zarr") == 0
    Path("out.zarr.preview.json").unlink()
    assert run("report out.zarr --source bands.npy --overwrite") == 0
    kept, read = given
    assert_shows(read, kept.before, kept.after)


@pytest.mark.parametrize("kind", ["png", "gif", "tif", "gray"])
def test_an_output_of_another_program_is_shown_with_its_source(kind, photo, given):
    picture = pillow.fromarray(photo)
    picture = picture.convert("L") if kind == "gray" else picture
    name = "other.png" if kind == "gray" else f"other.{kind}"
    quantized = picture.quantize(16)
    if kind == "tif":
        colors = np.array(quantized.getpalette()).reshape(-1, 3)
        colormap = np.zeros((3, 256), np.uint16)
        colormap[:, : len(colors)] = colors.T * 257
        options = {"photometric": "palette", "colormap": colormap}
        tifffile.imwrite(name, np.asarray(quantized), **options)
    else:
        quantized.save(name)
    assert run(f"report {name}") == 0
    assert run(f"report {name} --source photo.tif --overwrite") == 0
    with pillow.open(name) as opened:
        pixels = np.asarray(opened.convert("RGB"))
    alone, report = given
    assert_shows(report, thinned(photo), thinned(pixels))
    np.testing.assert_array_equal(alone.after, report.after)
    colors, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    palette = report.palette
    found = dict(zip(map(tuple, palette.rgb.tolist()), palette.counts, strict=True))
    assert found == dict(zip(map(tuple, colors.tolist()), counts, strict=True))
    assert sorted(palette.counts, reverse=True) == list(palette.counts)
    assert "PSNR" not in report.facts  # nobody has told


# ---------------------------------------------------------------- refusals

BAD = [
    ("report nothing.zarr", "nothing.zarr: no such file"),
    ("report photo.tif", "photo.tif: has "),
    ("report deep.npy", "deep.npy: has 1 band of uint16 and no palette of bigquant"),
    ("report out.tif", "out.tif.report.html: exists already"),
    ("report out.tif -o out.tif --overwrite", "out.tif: is the input out.tif"),
    ("report out.tif -o new.html --source new.html", "new.html: is the input new.html"),
    ("report out.tif -o no/page.html", "there is no folder"),
    ("report out.tif -o new.html --source nothing.tif", "nothing.tif: no such file"),
    ("report out.tif -o new.html --source cut.tif", "cut.tif is 640 x 427 pixels, out.tif 1280 x"),
    ("report out.tif -o new.html --source deep.npy", "deep.npy is 9 x 9 pixels"),
    ("report out.tif -o new.html --source wide.npy", "wide.npy has 5 bands of uint16, the palette"),
    (
        "report out.tif -o new.html --sweep nothing.csv",
        "nothing.csv: no such file: name a sweep file",
    ),
    ("report out.tif -o s3://a/page.html", "s3://a/page.html: a URL, and a page is a file"),
    ("report out.tif -o new.html --sweep s3://a/b.csv", "a URL: a sweep is read from a file"),
    ("report out.tif -o new.html --sweep out.tif.palette.json", "is no .csv or .json of a sweep"),
    ("report out.tif -o new.html --sweep photo.tif", "photo.tif: "),
    ("report out.tif -o new.html --sweep short.csv", "short.csv: is no .csv or .json of a sweep"),
    ("report spoilt.tif", "spoilt.tif.preview.json: not a preview"),
    ("report other.npy", "other.npy: has label 9"),
    ("fit table.parquet --report", "--report is for images"),
    ("fit photo.tif --report -o s3://a/out.zarr", "s3://a/out.zarr: a URL"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory, china):
    """What is named in those commands."""
    folder = tmp_path_factory.mktemp("made")
    photo = np.repeat(np.repeat(china, 2, axis=0), 2, axis=1)
    photo += np.random.default_rng(0).integers(0, 9, photo.shape, np.uint8)
    tifffile.imwrite(folder / "photo.tif", photo, **TILED)
    tifffile.imwrite(folder / "cut.tif", china, **TILED)
    np.save(folder / "deep.npy", np.zeros((9, 9), np.uint16))
    np.save(folder / "wide.npy", np.zeros((854, 1280, 5), np.uint16))
    for name in ("out.tif", "spoilt.tif"):
        assert main(["fit", f"{folder}/photo.tif", "-k", "4", "-o", f"{folder}/{name}", "-q"]) == 0
    (folder / "spoilt.tif.preview.json").write_text("{}")
    (folder / "out.tif.report.html").touch()
    (folder / "short.csv").write_text("k,mse\n3,1\n2,5\n")
    np.save(folder / "other.npy", np.full((40, 40), 9, np.uint8))
    shutil.copy(folder / "out.tif.palette.json", folder / "other.npy.palette.json")
    (folder / "table.parquet").touch()
    return folder


@pytest.mark.parametrize(("command", "words"), BAD, ids=[command for command, _ in BAD])
def test_what_cannot_be_reported_is_told_in_a_line(command, words, made, monkeypatch, capfd):
    monkeypatch.chdir(made)
    before = set(made.rglob("*"))
    assert run(command) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("bigquant: error: ")
    assert words in err
    assert set(made.rglob("*")) == before


def test_a_page_is_opened_when_that_is_asked_for(photo, monkeypatch, capfd):
    opened = []
    monkeypatch.setattr("click.launch", lambda path: opened.append(path) or len(opened) - 1)
    assert run("fit photo.tif -k 2 -o out.tif -q") == 0
    assert run("report out.tif --open -q") == 0
    assert run("report out.tif --open -q --overwrite") == 1
    assert opened == ["out.tif.report.html"] * 2
    assert "is complete, but there is no browser to open it in" in capfd.readouterr().err


def test_in_python_it_is_a_function(photo, given):
    bigquant.quantize(photo, 3).to_tiff("out.tif")
    page = bigquant.report(Path("out.tif"), "page.html", source=Path("photo.tif"))
    assert page == Path("page.html")
    assert given[0].before is not None
    with pytest.raises(InputError, match=r"page\.html: exists already"):
        bigquant.report("out.tif", "page.html")
