"""What a fit leaves for its report: the pixels that it says, the cloud, facts, and never half."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from counting import CountingArray, lazily
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image as pillow
from skimage.color import deltaE_ciede2000, rgb2lab

import bigquant
from bigquant.cli import main
from bigquant.errors import InputError
from bigquant.pipeline import quantize_images
from bigquant.preview import Preview
from bigquant.recording import record
from bigquant.write import write_zarr

TILED = {"tile": (256, 256), "compression": "zlib"}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def photo(china):
    """A photo of 1281 x 1920 pixels: every fourth of them is in the pictures."""
    pixels = np.repeat(np.repeat(china, 3, axis=0), 3, axis=1)
    pixels += np.random.default_rng(0).integers(0, 9, pixels.shape, np.uint8)
    tifffile.imwrite("photo.tif", pixels, photometric="rgb", **TILED)
    return pixels


def read(name):
    """An output as colours, by other programs."""
    if name.endswith(".npy"):
        colors = np.array(json.loads(Path(f"{name}.palette.json").read_text())["colors"])
        return colors[np.load(name)]
    if name.endswith(".png"):
        return np.asarray(pillow.open(name).convert("RGB"))
    if name.endswith(".tif"):
        with tifffile.TiffFile(name) as tif:
            colormap = tif.pages[0].colormap >> 8
            return np.moveaxis(colormap[:, tif.pages[0].asarray()], 0, 2)
    return np.moveaxis(zarr.open_group(name, mode="r")["0"][:], 0, 2)


def same_pixels(pixels):
    return pixels[2::4, 2::4]


@pytest.mark.parametrize("suffix", ["zarr", "tif", "png", "npy"])
def test_pictures_are_of_the_same_pixels_before_and_after(suffix, photo):
    name = f"out.{suffix}"
    assert main(["fit", "photo.tif", "-k", "8", "-o", name, "-q"]) == 0
    pictures = Preview.load(f"{name}.preview.json").pictures
    np.testing.assert_array_equal(pictures.before, same_pixels(photo))
    np.testing.assert_array_equal(pictures.after, same_pixels(read(name)))
    lab = rgb2lab(pictures.before), rgb2lab(pictures.after)
    np.testing.assert_allclose(pictures.error, deltaE_ciede2000(*lab), atol=0.0501)


def test_no_pixel_is_read_for_them(photo):
    counting = CountingArray(photo)
    image = bigquant.open_image(lazily(counting))
    results, _ = quantize_images([image], 8, most_cloud=100)
    preview = record(results[0], {}, None)
    assert preview.pictures is not None
    assert (counting.reads == 1).all()


def test_the_cloud_has_all_colours_of_a_drawing_with_their_pixels(rng):
    colors = rng.integers(0, 256, (300, 3), np.uint8)
    pixels = colors[rng.integers(0, 300, (500, 700))]
    pillow.fromarray(pixels).save("drawing.png")
    assert main(["fit", "drawing.png", "-k", "8", "-o", "out.tif", "-q"]) == 0
    found, weights = Preview.load("out.tif.preview.json").cloud
    expected, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(weights, counts)


def test_the_cloud_and_the_file_stay_small_for_noise(rng):
    tifffile.imwrite("noise.tif", rng.integers(0, 256, (2000, 2000, 3), np.uint8), **TILED)
    assert main(["fit", "noise.tif", "-k", "256", "-o", "out.tif", "-q"]) == 0
    found, weights = Preview.load("out.tif.preview.json").cloud
    assert len(found) == len(weights) <= 4096
    assert Path("out.tif.preview.json").stat().st_size < 3 << 20


def test_what_is_left_out_is_marked(rng):
    pixels = rng.integers(0, 256, (60, 50, 4), np.uint8)
    pixels[..., 3] = 255
    pixels[10:30, 20:40, 3] = 0
    pillow.fromarray(pixels).save("glass.png")
    assert main(["fit", "glass.png", "-k", "8", "-o", "out.tif", "-q"]) == 0
    pictures = Preview.load("out.tif.preview.json").pictures
    np.testing.assert_array_equal(pictures.before[..., 3], pixels[..., 3])
    np.testing.assert_array_equal(pictures.after[..., 3], pixels[..., 3])
    np.testing.assert_array_equal(np.isnan(pictures.error), pixels[..., 3] == 0)


@pytest.mark.parametrize(
    ("dtype", "bands"), [("u1", 1), ("u2", 1), ("u2", 4), ("f4", 2), ("u1", 3), ("i2", 6)]
)
def test_any_image_has_pictures_and_a_cloud(dtype, bands, rng):
    pixels = (rng.normal(size=(700, 90, bands)) * 30 + 120).clip(0, 255).astype(dtype)
    np.save("in.npy", pixels)
    assert main(["fit", "in.npy", "-k", "5", "--bands", ",".join("123456"[:bands]), "-q"]) == 0
    preview = Preview.load("in.k5.zarr.preview.json")
    shown = 1 if bands == 1 else 3
    assert preview.pictures.before.shape == (350, 45, shown + (dtype == "f4"))
    assert preview.pictures.after.shape == preview.pictures.before.shape
    assert preview.cloud[0].shape[1] == shown
    known = {"width": 90, "height": 700, "bands": bands, "dtype": np.dtype(dtype).name}
    assert preview.facts.items() >= known.items()


def test_facts_tell_how_it_was_read_and_what_was_typed(photo):
    pillow.fromarray(photo[..., 2]).save("mask.png")
    command = ["fit", "photo.tif", "-k", "4", "--bands", "3,2,1", "--mask", "mask.png", "-q"]
    secret = ["--storage-option", "key=hush", "--storage-option=secret=hush"]
    assert main([*command, *secret, "-o", "out.zarr"]) == 0
    text = Path("out.zarr.preview.json").read_text()
    facts = json.loads(text)["facts"]
    here = str(Path.cwd())
    assert facts["reading"] == {"bands": [3, 2, 1], "mask": f"{here}/mask.png", "level": 0}
    assert facts["source"] == f"{here}/photo.tif"
    assert facts["command"] == " ".join(
        ["bigquant", *command, "--storage-option key=...", "--storage-option=secret=...",
         "-o out.zarr"]
    )  # fmt: skip
    assert "hush" not in text
    assert list(facts["seconds"]) == ["count", "fit", "write"]


# ---------------------------------------------------------------- several images, never half


def test_of_several_images_the_first_has_pictures_and_all_have_the_cloud(photo):
    Path("scans").mkdir()
    for name, pixels in (("a", photo), ("b", photo[::-1]), ("c", photo[:500])):
        tifffile.imwrite(f"scans/{name}.tif", pixels, photometric="rgb", **TILED)
    assert main(["fit", "scans", "-k", "4", "-o", "out/", "-q"]) == 0
    previews = [Preview.load(f"out/{name}.zarr.preview.json") for name in "abc"]
    assert [preview.pictures is not None for preview in previews] == [True, False, False]
    assert [preview.facts["height"] for preview in previews] == [1281, 1281, 500]
    for preview in previews:
        np.testing.assert_array_equal(preview.cloud[1], previews[0].cloud[1])


def test_a_preview_is_replaced_or_removed_with_its_output_and_only_when_asked(photo):
    fit = ["fit", "photo.tif", "-q", "-o"]
    beside = {name: Path(f"{name}.preview.json") for name in ("out.zarr", "out.tif", "out.npy")}
    for name, preview in beside.items():
        assert main([*fit, name, "-k", "4"]) == 0
        first = Preview.load(preview).pictures.after
        assert main([*fit, name, "-k", "9", "--overwrite"]) == 0
        assert (Preview.load(preview).pictures.after != first).any()
        apply = ["apply", f"{name}.palette.json", "photo.tif", "-q", "-o"]
        Path("old.json").write_bytes(Path(apply[1]).read_bytes())
        assert main(["apply", "old.json", *apply[2:], name, "--overwrite"]) == 0
        assert not preview.exists()


def test_a_preview_of_another_output_is_refused(photo, capfd):
    Path("out.zarr.preview.json").touch()
    for command in (["fit", "photo.tif"], ["apply", "p.hex", "photo.tif"]):
        Path("p.hex").write_text("ff0000\n")
        assert main([*command, "-o", "out.zarr"]) == 2
        assert "out.zarr.preview.json: exists already" in capfd.readouterr().err
    with pytest.raises(InputError, match=r"preview\.json: exists already"):
        bigquant.quantize(photo, 2).to_zarr("out.zarr")
    assert not Path("out.zarr").exists()


def test_where_nothing_is_written_no_preview_is(photo, monkeypatch, capfd):
    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Preview, "encode", fail)
    before = set(Path.cwd().iterdir())
    for name in ("out.zarr", "out.tif"):
        assert main(["fit", "photo.tif", "-k", "4", "-o", name]) == 1
        assert f"{name}: cannot be written (No space" in capfd.readouterr().err
    assert set(Path.cwd().iterdir()) == before


def test_behind_a_url_it_lies_beside_the_objects(photo):
    memory, url = MemoryFileSystem(), "memory://pictures/out.zarr"
    results, _ = quantize_images([bigquant.open_image("photo.tif")], 4, most_cloud=100)
    write = [url, results[0].label_blocks, results[0].palette, results[0].source]
    try:
        write_zarr(*write, preview=record(results[0], {}, None))
        preview = Preview.decode(memory.cat_file("/pictures/out.zarr.preview.json"))
        np.testing.assert_array_equal(preview.pictures.before, same_pixels(photo))
        with pytest.raises(InputError, match="exists already"):
            write_zarr(*write)
        results[0].to_zarr(url, overwrite=True)
        assert not memory.exists("/pictures/out.zarr.preview.json")
    finally:
        memory.rm("/pictures", recursive=True)


# ---------------------------------------------------------------- files from anyone


@pytest.fixture(scope="module")
def model(tmp_path_factory, china):
    folder = tmp_path_factory.mktemp("model")
    pillow.fromarray(china[:40, :30]).save(folder / "in.png")
    assert main(["fit", str(folder / "in.png"), "-k", "2", "-o", f"{folder}/o.tif", "-q"]) == 0
    return json.loads((folder / "o.tif.preview.json").read_text())


DAMAGES = {
    "another version": {"bigquant_preview": 2},
    "no facts": {"facts": None},
    "a fact of another type": {"facts": {"width": "wide"}},
    "seconds that are words": {"facts": {"seconds": {"count": "long"}}},
    "seconds without end": {"facts": {"seconds": {"count": 10**400}}},
    "a pixel of one side": {"facts": {"pixel_size": [0.5]}},
    "a pixel of less than nothing": {"facts": {"pixel_size": [0.5, -0.5]}},
    "a pixel that is a word": {"facts": {"pixel_size": [0.5, "0.5"]}},
    "a width that is true": {"facts": {"width": True}},
    "a height of less than nothing": {"facts": {"height": -1}},
    "a dither that there is not": {"facts": {"dither": "floyd"}},
    "a dither that is a list": {"facts": {"dither": []}},
    "a source that no file is named": {"facts": {"source": "a\0.tif"}},
    "a mask that no file is named": {"facts": {"reading": {"mask": "a\0.png"}}},
    "a nodata without end": {"facts": {"reading": {"nodata": 10**400}}},
    "an option that there is not": {"facts": {"reading": {"storage_options": {}}}},
    "an option of another type": {"facts": {"reading": {"bands": "1,2"}}},
    "a picture that is none": {"before": "AAAA"},
    "a picture that is no text": {"after": 7},
    "an error of bytes": {"error": "before"},
    "a cloud without weights": {"cloud": {"colors": [[1, 2, 3]]}},
    "a cloud of other colours": {"cloud": {"colors": [[1, 2, 300]], "weights": [1]}},
    "a cloud of fewer weights": {"cloud": {"colors": [[1, 2, 3]], "weights": []}},
    "a cloud of words": {"cloud": {"colors": [["a"]], "weights": ["b"]}},
    "a cloud that is a list": {"cloud": [[1, 2, 3]]},
    "a cloud of colours of two kinds": {"cloud": {"colors": [[1, 2, 3], [4]], "weights": [1, 1]}},
    "a cloud that is true": {"cloud": {"colors": [[True]], "weights": [1]}},
    "a cloud of nothing": {"cloud": {"colors": [[1]], "weights": [0]}},
    "a cloud without end": {"cloud": {"colors": [[1]], "weights": [10**400]}},
    "a cloud of a word for a weight": {"cloud": {"colors": [[1]], "weights": "1"}},
    "a cloud of too many": {"cloud": {"colors": [[1]] * 4097, "weights": [1] * 4097}},
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_refused_in_a_line(damage, model):
    changed = dict(model)
    for name, value in DAMAGES[damage].items():
        merged = name == "facts" and value is not None
        changed[name] = {**model["facts"], **value} if merged else value
    if changed["error"] == "before":
        changed["error"] = model["before"]
    Path("p.json").write_text(json.dumps(changed))
    with pytest.raises(InputError, match=r"\Ap\.json: not a [^\n]+\Z"):
        Preview.load("p.json")


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff\xfe", b'{"bigquant_preview": NaN}'])
def test_what_is_no_preview_is_refused_in_a_line(data):
    Path("p.json").write_bytes(data)
    with pytest.raises(InputError, match=r"\Ap\.json: [^\n]+\Z"):
        Preview.load("p.json")


def test_a_long_word_in_a_cloud_takes_no_memory(model):
    """Padded to the longest, as NumPy has them, these words would take 8 GB."""
    colors = [["7"]] * 4095 + [["7" * 500_000]]
    hostile = {**model, "cloud": {"colors": colors, "weights": [1] * 4096}}
    data = json.dumps(hostile).encode()
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="cloud is damaged"):
            Preview.decode(data)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
