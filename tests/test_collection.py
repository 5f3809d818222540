"""Several inputs: what names stand for, one palette for all, and inputs that cannot be read."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as pillow

import bigquant
from bigquant.cli import main
from bigquant.errors import InputError
from bigquant.inputs import expand, name_outputs

FILES = ("a.png", "b.tif", "c.npy")


def draw(rng, height, width, depth):
    return rng.integers(0, 256, (height, width, depth), np.uint8) // 16 * 16


@pytest.fixture
def scans(tmp_path, monkeypatch, rng):
    """A folder of images of several sizes and kinds, and of other things."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "scans"
    folder.mkdir()
    pixels = {"a": draw(rng, 40, 50, 3), "b": draw(rng, 70, 30, 3), "c": draw(rng, 20, 90, 3)}
    pillow.fromarray(pixels["a"]).save(folder / "a.png")
    tifffile.imwrite(folder / "b.tif", pixels["b"], photometric="rgb", tile=(16, 16))
    np.save(folder / "c.npy", pixels["c"])
    (folder / "notes.txt").write_text("not an image\n")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "folder.tif").mkdir()
    return pixels


# ---------------------------------------------------------------- names


def test_a_folder_a_pattern_and_a_list_stand_for_images(scans, tmp_path):
    everything = ["scans/a.png", "scans/b.tif", "scans/c.npy"]
    (tmp_path / "list.txt").write_text("scans/b.tif\n\n  scans/*.png \n")
    assert expand(["scans"]) == expand(["scans/"]) == everything
    assert expand(["scans/?.*"]) == expand(["**/?.[ptn]*"]) == everything
    assert expand(["@list.txt", "x.tif"]) == ["scans/b.tif", "scans/a.png", "x.tif"]
    assert expand(["s3://bucket/*.tif"]) == ["s3://bucket/*.tif"]
    (tmp_path / "odd[1].tif").touch()
    assert expand(["odd[1].tif"]) == ["odd[1].tif"]


def test_a_zarr_is_an_image_and_no_folder_of_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    zarr.create_group("g.zarr").create_array("0", data=np.zeros((4, 4), np.uint8))
    assert expand(["g.zarr", "g.zarr/0", "."]) == ["g.zarr", "g.zarr/0", "g.zarr"]


@pytest.mark.parametrize(
    ("inputs", "output", "format_", "expected"),
    [
        (["a.png"], None, None, ["a.k8.zarr"]),
        (["d/a.b.png", "c.tif"], None, "tif", ["d/a.b.k8.tif", "c.k8.tif"]),
        (["a.png"], "o.tiff", None, ["o.tiff"]),
        (["d/a.png", "c"], "out", None, ["out/a.zarr", "out/c.zarr"]),
        (["d/a.png"], "out/", "tif", ["out/a.tif"]),
        (["d/a.tif"], None, "png", ["d/a.k8.png"]),
        (["d/a.tif"], "o.NPY", None, ["o.NPY"]),
        (["s3://b/a.tif"], "o/", None, ["o/a.zarr"]),
        (["a.tif"], "s3://b/o.zarr/", None, ["s3://b/o.zarr"]),
        (["a.tif"], "o.tif/", None, ["o.tif/a.zarr"]),
    ],
)
def test_outputs_bear_the_names_of_their_inputs(inputs, output, format_, expected):
    assert name_outputs(inputs, output, format_, "k8") == expected


@pytest.mark.parametrize(
    ("inputs", "output", "words"),
    [
        (["a.png", "a.tif"], "o/", "a.png and a.tif would both become o/a.zarr"),
        (["x/a.png", "y/a.png"], "o", "would both become o/a.zarr"),
        (["a.png", "a.png"], None, "would both become"),
        (["a.png"], "o", "ends in .zarr, .tif, .png or .npy"),
        (["https://x.org/a.tif"], None, "say where the output goes"),
    ],
)
def test_names_that_collide_or_tell_nothing_are_refused(inputs, output, words):
    with pytest.raises(InputError, match=words):
        name_outputs(inputs, output, None, "k8")


def test_names_of_urls_leave_out_signatures():
    urls = ["https://h/d/a.tif?X-Sig=b.c/d.e#f", "s3://b/what?.tif", "http://h/z.zarr/?x"]
    assert name_outputs(urls, "o/", None, "k8") == ["o/a.zarr", "o/what?.zarr", "o/z.zarr"]


@pytest.mark.parametrize("suffix", ["zarr", "tif", "png", "npy"])
def test_a_folder_or_pattern_leaves_out_what_was_made_of_its_images(scans, suffix, capfd):
    inputs = ["scans/a.png", "scans/b.tif", "scans/c.npy"]
    options = ["--format", suffix, "-q", "--overwrite"]
    for k in ("3", "4", "4"):
        assert main(["fit", "scans", "-k", k, *options]) == 0
    assert main(["fit", "scans/*", "-k", "4", *options]) == 1
    assert capfd.readouterr().err.splitlines()[1:] == [
        "bigquant: error: 1 of 4 inputs could not be quantized"  # notes.txt
    ]
    shutil.move("scans/palette.json", "warm.json")
    assert main(["apply", "warm.json", "scans", *options]) == 0
    assert {path.name for path in Path("scans").iterdir()} >= {f"a.warm.{suffix}", "c.npy"}
    assert expand(["scans"]) == inputs
    assert expand(["scans/[abc].*"]) == expand(["**/[abc].*"]) == inputs
    outputs = [f"scans/{name}.k4.{suffix}" for name in "abc"]
    assert expand([f"scans/*.k4.{suffix}"]) == expand(outputs) == outputs  # asked for by name


def test_what_only_looks_like_an_output_is_an_input(scans, tmp_path):
    pillow.fromarray(scans["a"]).save(tmp_path / "scans" / "a.k3.png")
    assert "scans/a.k3.png" in expand(["scans"])


# ---------------------------------------------------------------- lists, links, pipes


def test_a_list_may_begin_with_a_mark_of_utf_8_and_may_not_name_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("ä.png\r\nb.tif\r\n", encoding="utf-8-sig")
    (tmp_path / "b.txt").write_text("@a.txt\n@a.txt\n")
    assert expand(["@b.txt"]) == ["ä.png", "b.tif"] * 2
    (tmp_path / "a.txt").write_text("x.png\n@./b.txt")
    with pytest.raises(InputError, match=r"\A./b.txt: a list that names itself"):
        expand(["@b.txt"])


def test_a_link_to_nothing_and_a_pipe_are_named_as_unreadable(scans, tmp_path, capfd):
    (tmp_path / "scans" / "link.tif").symlink_to("gone.tif")
    os.mkfifo(tmp_path / "scans" / "pipe.tif")
    assert main(["fit", "scans", "-k", "5", "-o", "out/", "-q"]) == 1
    lines = capfd.readouterr().err.splitlines()
    assert "link.tif: a link to gone.tif, which is not there" in lines[0]
    assert "pipe.tif: is a pipe or a device" in lines[1]
    assert len(lines) == 3


# ---------------------------------------------------------------- one palette


@settings(max_examples=15)
@given(st.data())
def test_several_images_are_fitted_as_if_they_lay_side_by_side(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    shapes = data.draw(
        st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=4)
    )
    pixels = [draw(rng, *shape, 3) for shape in shapes]
    beside = np.concatenate([each.reshape(-1, 3) for each in pixels])[None]
    k = data.draw(st.integers(1, 9))
    results = bigquant.quantize(pixels, k)
    whole = bigquant.quantize(beside, k)
    for result in results:
        assert result.palette.as_json() == whole.palette.as_json()
    labels = np.concatenate([np.asarray(result.labels).ravel() for result in results])
    np.testing.assert_array_equal(labels, np.asarray(whole.labels)[0])


def test_gray_joins_rgb_and_transparency_reserves_label_0_for_all(rng):
    gray, color, glass = draw(rng, 9, 8, 1), draw(rng, 7, 9, 3), draw(rng, 6, 6, 4)
    results = bigquant.quantize([gray[..., 0], color, glass], 4)
    assert [result.palette.first_label for result in results] == [1, 1, 1]
    assert [result.image.shape for result in results] == [(9, 8, 3), (7, 9, 3), (6, 6, 3)]
    seen = glass[glass[..., 3] > 0][:, :3]
    every = np.concatenate([np.repeat(gray.reshape(-1, 1), 3, 1), color.reshape(-1, 3), seen])
    expected = bigquant.quantize(every[None], 4).palette
    np.testing.assert_array_equal(results[0].palette.colors, expected.colors)
    assert results[0].palette.inertia == expected.inertia
    assert (np.asarray(results[1].labels) > 0).all()
    np.testing.assert_array_equal(np.asarray(results[2].labels) == 0, glass[..., 3] == 0)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([], "empty list"),
        (
            [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint16)],
            r"\(uint8, 3 bands\) and .*\(uint16, 1 band\) fit no one palette",
        ),
        ([np.zeros((4, 4), np.complex64)], "complex64 are not real numbers"),
        ([np.zeros((9, 9, 5)), np.zeros((9, 9, 6))], "fit no one palette"),
        (["a.png"], "use open_image"),
    ],
)
def test_what_cannot_be_fitted_together_is_refused(images, words):
    with pytest.raises(InputError, match=words):
        bigquant.quantize(images, 2)


# ---------------------------------------------------------------- the command


@pytest.mark.parametrize("suffix", ["zarr", "tif", "png", "npy"])
def test_a_folder_becomes_a_folder_with_one_palette(scans, tmp_path, capfd, suffix):
    command = ["fit", "scans", "-k", "5", "-o", "out/", "--format", suffix, "--json"]
    assert main(command) == 0
    facts = json.loads(capfd.readouterr().out)
    assert [image["output"] for image in facts["images"]] == [f"out/{n}.{suffix}" for n in "abc"]
    assert facts["palette"] == "out/palette.json"
    names = {path.name for path in (tmp_path / "out").iterdir()}
    outputs = {f"{name}.{suffix}" for name in "abc"}
    assert names == {"palette.json", *outputs, *(f"{output}.preview.json" for output in outputs)}
    palette = bigquant.Palette.load("out/palette.json")
    beside = np.concatenate([each.reshape(-1, 3) for each in scans.values()])[None]
    assert palette.fit["sources"] == [str(tmp_path / "scans" / name) for name in FILES]
    assert (
        palette.with_facts(sources=[]).as_json() == bigquant.quantize(beside, 5).palette.as_json()
    )
    for name, pixels in scans.items():
        made = np.asarray(bigquant.quantize(pixels, 5).image)
        path = f"out/{name}.{suffix}"
        if suffix == "zarr":
            written = np.moveaxis(zarr.open_array(f"{path}/0")[...], 0, 2)
        elif suffix == "png":
            with pillow.open(path) as picture:
                written = np.asarray(picture.convert("RGB"))
        else:
            written = palette.table[tifffile.imread(path) if suffix == "tif" else np.load(path)]
        errors = ((written.astype(int) - pixels) ** 2).sum(axis=2)
        distances = ((pixels[:, :, None].astype(int) - palette.colors) ** 2).sum(axis=3)
        np.testing.assert_array_equal(errors, distances.min(axis=2))
        assert made.shape == written.shape


def test_the_summary_of_several_images(scans, capfd):
    assert main(["fit", "scans/a.png", "scans/b.tif", "-k", "3"]) == 0
    out = capfd.readouterr().out
    assert "images   2, 0.0041 megapixels in all" in out
    assert "outputs  scans/a.k3.zarr ..." in out


def test_unreadable_inputs_are_named_and_cost_the_others_nothing(scans, tmp_path, capfd):
    whole = (tmp_path / "scans" / "b.tif").read_bytes()
    (tmp_path / "scans" / "cut.tif").write_bytes(whole[: len(whole) // 2])  # found at opening
    damaged = tmp_path / "scans" / "damaged.tif"  # found at counting
    tifffile.imwrite(damaged, scans["b"], photometric="rgb", tile=(16, 16), compression="zlib")
    with tifffile.TiffFile(damaged) as tif:
        offset = tif.pages[0].dataoffsets[1]
    with damaged.open("r+b") as file:
        file.seek(offset)
        file.write(b"no zlib stream")
    assert main(["fit", "scans", "-k", "5", "-o", "out/", "--json"]) == 1
    out, err = capfd.readouterr()
    lines = err.splitlines()
    assert [line.split(": ")[2].split("/")[-1] for line in lines[:2]] == ["cut.tif", "damaged.tif"]
    assert lines[2] == "bigquant: error: 2 of 5 inputs could not be quantized"
    assert set(json.loads(out)["failed"]) == {"scans/cut.tif", "scans/damaged.tif"}
    beside = np.concatenate([each.reshape(-1, 3) for each in scans.values()])[None]
    palette = bigquant.Palette.load("out/palette.json")
    assert palette.fit["sources"] == [str(tmp_path / "scans" / name) for name in FILES]
    assert (
        palette.with_facts(sources=[]).as_json() == bigquant.quantize(beside, 5).palette.as_json()
    )
    outputs = {"a.zarr", "b.zarr", "c.zarr"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *outputs, *(f"{output}.preview.json" for output in outputs), "palette.json",
    }  # fmt: skip


def test_strict_leaves_nothing(scans, tmp_path, capfd):
    (tmp_path / "scans" / "z.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    before = set(tmp_path.rglob("*"))
    assert main(["fit", "scans", "-o", "out/", "--strict"]) == 2
    assert "z.png" in capfd.readouterr().err
    assert set(tmp_path.rglob("*")) == before


def test_an_output_that_exists_stops_all_before_the_start(scans, tmp_path, capfd):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.zarr").mkdir()
    assert main(["fit", "scans", "-o", "out/"]) == 2
    assert "b.zarr: exists already" in capfd.readouterr().err
    assert not (tmp_path / "out" / "a.zarr").exists()
