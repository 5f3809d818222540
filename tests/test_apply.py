"""Images in the colours of a given palette: the nearest, from one reading, with the numbers."""

from __future__ import annotations

import json

import dask
import dask.array as da
import numpy as np
import pytest
import reference
import tifffile
import zarr
from counting import CountingArray, lazily
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as pillow
from strategies import chunked, palettes

import bigquant
from bigquant import Palette
from bigquant.cli import main
from bigquant.errors import InputError

CHUNKS = [(427, 640, 3), (100, 640, 3), (64, 64, 1), ((1, 400, 26), (300, 340), 3), (427, 7, 2)]


def assert_numbers_are_of(palette, image, labels):
    """Hold counts and error of a palette against an image (y, x, channel) and its labels."""
    first = palette.first_label
    counts = np.bincount(labels.ravel(), minlength=first + palette.k)[first:]
    np.testing.assert_array_equal(palette.counts, counts)
    squares = (
        (image[..., : palette.colors.shape[1]].astype(int) - palette.table[labels]) ** 2
    ).sum(2)
    if image.shape[2] in (2, 4):
        squares = squares[image[..., -1] > 0]
    assert palette.inertia == squares.sum()


@pytest.fixture(params=[0, 1 << 40], ids=["by table", "by comparison"])
def both_ways(request, monkeypatch):
    monkeypatch.setattr("bigquant.remap._FEW_DISTANCES", request.param)


@given(chunked(), st.data())
def test_every_pixel_gets_the_nearest_colour_and_is_counted(both_ways, pair, data):
    image, lazy = pair
    has_alpha = image.shape[2] in (2, 4)
    first_label = int(has_alpha or data.draw(st.booleans()))
    colors = data.draw(palettes(image.shape[2] - has_alpha))
    with dask.config.set(scheduler="sync"):
        result = Palette.from_colors(colors, first_label).apply(lazy)
        labels, painted = dask.compute(result.labels, result.image)
        palette = result.measure()
    np.testing.assert_array_equal(labels, reference.labels(image, colors, first_label))
    np.testing.assert_array_equal(painted, palette.table[labels])
    assert_numbers_are_of(palette, image, labels)


@pytest.mark.parametrize("k", [1, 256, 257, 3000, pytest.param(65535, marks=pytest.mark.slow)])
def test_a_palette_of_any_size(rng, k, tmp_path):
    colors = rng.integers(0, 256, (k, 3), dtype=np.uint8)
    colors[k // 2] = colors[-1]  # the same colour twice: the lower label counts
    image = rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)
    image[0, 0] = colors[-1]
    palette = Palette.from_colors(colors, first_label=1)
    result = palette.apply(da.from_array(image, chunks=(16, 30, 3)))
    written = result.to_zarr(tmp_path / "out.zarr", content="labels")
    labels = zarr.open_array(tmp_path / "out.zarr/labels/quantized/0")[:]
    expected = np.concatenate([reference.labels(row[None], colors, 1) for row in image])
    np.testing.assert_array_equal(labels, expected)
    assert_numbers_are_of(written, image, labels)


# ---------------------------------------------------------------- one reading


@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("name", ["out.zarr", "out.tif"])
def test_what_is_written_is_read_once_and_the_same_for_any_chunks(china, chunks, name, tmp_path):
    fitted = bigquant.quantize(china, 12).palette
    counting = CountingArray(china)
    result = fitted.apply(lazily(counting, chunks))
    _ = repr(result), result._repr_html_()
    assert not counting.reads.any()
    depth_cuts = -(-3 // chunks[2])  # such chunks are read one channel or two at a time
    palette = getattr(result, f"to_{name[4:]}".replace("tif", "tiff"))(tmp_path / name)
    assert (counting.reads == depth_cuts).all()
    assert palette.as_json() == fitted.as_json()  # the image that it was fitted to
    assert json.loads((tmp_path / f"{name}.palette.json").read_text()) == fitted.as_json()
    result.measure()
    assert (counting.reads == 2 * depth_cuts).all()


@pytest.mark.parametrize("scheduler", ["threads", "sync", "processes"])
def test_results_are_the_same_bits_for_any_scheduler(china, flower, scheduler, tmp_path):
    fitted = bigquant.quantize(china, 12).palette
    lazy = da.from_array(flower, chunks=(150, 200, 3))
    with dask.config.set(scheduler=scheduler):
        palette = fitted.apply(lazy).to_tiff(tmp_path / "out.tif")
    labels = tifffile.imread(tmp_path / "out.tif")
    np.testing.assert_array_equal(labels, reference.labels(flower, fitted.colors, 0))
    assert_numbers_are_of(palette, flower, labels)
    assert palette.fit == fitted.fit


# ---------------------------------------------------------------- what goes together


def test_pixels_to_leave_out_need_a_label(rng):
    glass = rng.integers(0, 2, (9, 8, 4), dtype=np.uint8) * 255
    palette = Palette.from_colors([[0, 0, 0], [200, 9, 9]])
    with pytest.raises(InputError, match=r"no label for them: use --no-mask \(mask=False\)"):
        palette.apply(glass)
    labels = palette.apply(glass, mask=False).labels.compute()
    np.testing.assert_array_equal(labels, reference.labels(glass[..., :3], palette.colors, 0))
    with pytest.raises(InputError, match="no label"):
        palette.apply(glass[..., :3], nodata=0)
    clear = np.zeros((9, 8, 4), np.uint8)
    measured = Palette.from_colors([[1, 2, 3]], first_label=1).apply(clear).measure()
    assert (measured.n_pixels, measured.inertia) == (0, 0)


def test_gray_and_rgb_join(rng):
    gray = rng.integers(0, 256, (9, 8, 2), dtype=np.uint8)
    gray[:2, :, 1] = 0
    color = rng.integers(0, 256, (9, 8, 3), dtype=np.uint8)
    shades, hues = (
        Palette.from_colors([[9], [90], [200]], 1),
        [[9, 0, 0], [90, 95, 80], [0, 200, 0]],
    )
    result = shades.apply(color)
    grays = np.repeat(shades.colors, 3, 1)
    np.testing.assert_array_equal(result.labels, reference.labels(color, grays, 1))
    np.testing.assert_array_equal(result.palette.colors, grays)
    assert_numbers_are_of(result.measure(), color, np.asarray(result.labels))
    joined = np.concatenate([np.repeat(gray[..., :1], 3, 2), gray[..., 1:]], 2)
    result = Palette.from_colors(hues, 1).apply(gray)
    np.testing.assert_array_equal(result.labels, reference.labels(joined, np.array(hues), 1))
    assert_numbers_are_of(result.measure(), joined, np.asarray(result.labels))


def test_the_palette_of_a_result_is_of_no_pixels_before_it_is_measured(china):
    fitted = bigquant.quantize(china, 4)
    result = fitted.palette.apply(china)
    assert (result.palette.n_pixels, result.palette.inertia) == (0, 0)
    assert " dB" not in repr(result) + result._repr_html_()
    assert result.measure().as_json() == fitted.palette.as_json() == fitted.measure().as_json()


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.zeros((4, 4, 3), np.uint16), "uint16"),
        (np.zeros((4, 4, 7), np.uint8), "7 bands"),
        ("photo.tif", "apply takes an array: use open_image"),
    ],
)
def test_what_is_no_image_is_refused(image, reason):
    with pytest.raises(InputError, match=reason):
        Palette.from_colors([[1, 2, 3]]).apply(image)


# ---------------------------------------------------------------- the command


@pytest.fixture
def scans(tmp_path, monkeypatch, rng):
    """The current folder: images, and palettes of three colours, with label 0 kept or not."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    (tmp_path / "scans").mkdir()
    pixels = {n: rng.integers(0, 256, (70, 90, 3), dtype=np.uint8) for n in "ab"}
    pixels["g"] = rng.integers(0, 256, (30, 20), dtype=np.uint8)
    for name, image in pixels.items():
        pillow.fromarray(image).save(f"scans/{name}.png")
    glass = np.dstack([pixels["a"], rng.choice([0, 255], (70, 90)).astype(np.uint8)])
    pillow.fromarray(glass).save("glass.png")
    colors = [[9, 9, 9], [250, 10, 20], [80, 190, 200]]
    Palette.from_colors(colors).save("three.json")
    Palette.from_colors(colors, first_label=1).save("kept.zarr.palette.json")
    return pixels | {"glass": glass}


@pytest.fixture
def run(scans, capfd):
    """Run a command in this process: (exit code, stdout, stderr)."""

    def run(command):
        code = main(command.split())
        return code, *capfd.readouterr()

    return run


@pytest.mark.parametrize("output", ["out.zarr", "out.tif"])
@pytest.mark.parametrize("options", ["", "--workers 2"])
def test_apply_tells_what_stands_in_the_output(output, options, run, scans):
    command = f"apply kept.zarr.palette.json glass.png -o {output} --json {options}"
    code, out, err = run(command)
    assert (code, err) == (0, "")
    facts = json.loads(out)
    if output == "out.tif":
        with tifffile.TiffFile(output) as tif:
            labels = tif.pages.first.asarray()
            inside = json.loads(tif.pages.first.description)["bigquant"]
    else:
        group = zarr.open_group(output, mode="r")
        labels, inside = group["labels/quantized/0"][:], group.attrs["bigquant"]["palette"]
    beside = Palette.load(f"{output}.palette.json")
    assert inside == beside.as_json()
    expected = reference.labels(scans["glass"], beside.colors, 1)
    np.testing.assert_array_equal(labels, expected)
    assert_numbers_are_of(beside, scans["glass"], labels)
    assert facts["counts"] == beside.counts.tolist()
    assert (facts["k"], facts["used_colors"], facts["output"]) == (3, 3, output)
    assert (facts["mse"], facts["psnr"]) == (beside.mse, beside.psnr)
    assert set(facts["seconds"]) == {"write"}


@pytest.mark.parametrize("suffix", ["zarr", "tif"])
def test_outputs_in_a_folder_have_their_own_numbers_and_the_sum(suffix, run, scans):
    code, out, err = run(f"apply three.json scans -o out/ --format {suffix} --json")
    assert (code, err) == (0, "")
    facts = json.loads(out)
    total = Palette.load("out/palette.json")
    assert facts["counts"] == total.counts.tolist()
    own = facts["images"]
    assert [image["output"] for image in own] == [f"out/{name}.{suffix}" for name in "abg"]
    assert total.counts.tolist() == [sum(n) for n in zip(*(i["counts"] for i in own), strict=True)]
    pixels = [scans["a"], scans["b"], np.repeat(scans["g"][..., None], 3, 2)]
    for image, facts in zip(pixels, own, strict=True):
        labels = reference.labels(image, total.colors, 0)
        assert facts["counts"] == np.bincount(labels.ravel(), minlength=3).tolist()
        assert facts["mse"] == reference.mse(image, total.table[labels])
    side = np.concatenate([image.reshape(1, -1, 3) for image in pixels], axis=1)
    assert_numbers_are_of(total, side, reference.labels(side, total.colors, 0))


def test_outputs_are_named_after_the_palette(run, tmp_path):
    assert run("apply three.json scans/a.png -q") == (0, "", "")
    assert run("apply kept.zarr.palette.json scans/a.png glass.png --format tif -q") == (0, "", "")
    for path in ("scans/a.three.zarr", "scans/a.kept.tif", "glass.kept.tif"):
        assert (tmp_path / path).exists()


def test_apply_ends_with_a_summary(run):
    code, out, err = run("apply three.json scans/a.png")
    assert (code, err) == (0, "")
    for words in ("90 x 70 pixels", "3, 3 of them used", "dB (MSE", "a.three.zarr", "(write"):
        assert words in out


def test_an_image_that_the_palette_has_no_label_for_costs_the_others_nothing(run, tmp_path):
    code, _, err = run("apply three.json scans/a.png glass.png -o out/ --json")
    assert code == 1
    assert "glass.png: has pixels to leave out" in err.splitlines()[0]
    assert err.splitlines()[1] == "bigquant: error: 1 of 2 inputs could not be quantized"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.zarr", "palette.json"}
    assert run("apply three.json glass.png --no-mask -q") == (0, "", "")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("apply nothing.json scans/a.png", "nothing.json"),
        ("apply scans/a.png scans/b.png", "a.png"),
        ("apply three.json", "INPUT"),
        ("apply three.json nothing.tif", "nothing.tif: no such file"),
        ("apply three.json glass.png", "glass.png: has pixels to leave out"),
        ("apply three.json scans glass.png -o o/ --strict", "glass.png: has pixels to leave out"),
        ("apply three.json scans/a.png -o kept.zarr", "exists already"),
        ("apply three.json scans/a.png -o scans/a.png", "scans/a.png: is the input"),
        (
            "apply kept.zarr.palette.json glass.png -o kept.zarr --overwrite",
            "kept.zarr.palette.json: is the input",
        ),
    ],
)
def test_bad_input_is_one_clear_line_and_leaves_nothing(command, words, run, tmp_path):
    before = set(tmp_path.rglob("*"))
    code, out, err = run(command)
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1
    assert words in err
    assert set(tmp_path.rglob("*")) == before
