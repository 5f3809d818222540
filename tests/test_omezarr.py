"""The OME-Zarr output, judged by zarr-python and by ome-zarr-models."""

from __future__ import annotations

import base64
import json
import warnings
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from ome_zarr_models.v05.image import Image
from ome_zarr_models.v05.image_label import ImageLabel
from ome_zarr_models.v05.labels import Labels
from PIL import Image as pillow

from bigquant import Palette, omezarr, open_image, quantize
from bigquant.errors import PaletteWarning
from bigquant.source import Source
from bigquant.write import write_zarr
from bigquant.zarr_shard import encode_shard
from bigquant.zarr_store import FolderStore

SHAPES = {
    "gray": (45, 60),
    "gray and alpha": (45, 60, 2),
    "RGB": (45, 60, 3),
    "RGBA": (45, 60, 4),
    "5 x 7 pixels": (5, 7, 3),
    "1 x 3000 pixels": (1, 3000, 3),
    "3000 x 1 pixels": (3000, 1, 3),
    "1 pixel": (1, 1, 3),
}

#: Chunks of an image of 1300 x 1700 pixels.
CHUNKINGS = {
    "one": (1300, 1700),
    "100 x 100": (100, 100),
    "256 x 256": (256, 256),
    "600 x 600": (600, 600),
    "1040 x 1040": (1040, 1040),
    "bands of 55 rows": (55, 1700),
    "single rows at the end": ((1299, 1), (1699, 1)),
    "irregular": ((1, 700, 16, 583), (333, 1000, 367)),
    "irregular and large": ((1299, 1), (1030, 670)),
    "a large one last": ((100, 1200), (100, 1600)),
}


def make_image(kind, rng):
    """Random pixels; where there is alpha, a quarter of them is transparent."""
    image = rng.integers(0, 256, SHAPES[kind], dtype=np.uint8)
    if image.shape[2:] in ((2,), (4,)):
        image[..., -1] = rng.choice([0, 1, 128, 255], image.shape[:2])
    return image


def quantize_quietly(image, k):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PaletteWarning)  # few pixels have few colours
        return quantize(image, k)


def write_labels(path, chunks, shape, **options):
    """Write random labels, none of them 0, so that whatever is lost reads as a wrong one."""
    expected = np.random.default_rng(1).integers(1, 8, shape, dtype=np.uint8)
    labels = da.from_array(expected, chunks=chunks)
    palette = Palette.from_colors([[36 * i, 255 - 30 * i, 7 * i] for i in range(8)])
    write_zarr(path, labels, palette, Source(), **options)
    return expected, palette.rgb[expected]


def label_colors(group):
    entries = group["labels/quantized"].attrs["ome"]["image-label"]["colors"]
    return {entry["label-value"]: entry["rgba"] for entry in entries}


# ---------------------------------------------------------------- the specification


@pytest.mark.parametrize(
    ("kind", "k"),
    [(kind, 8) for kind in SHAPES] + [("RGB", k) for k in (1, 2, 256, 300)] + [("RGBA", 300)],
)
def test_output_is_valid_and_holds_exactly_the_result(kind, k, tmp_path, rng):
    result = quantize_quietly(make_image(kind, rng), k)
    result.to_zarr(tmp_path / "out.zarr")
    group = zarr.open_group(tmp_path / "out.zarr", mode="r")
    image = Image.from_zarr(group)
    assert [axis.name for axis in image.ome_attributes.multiscales[0].axes] == ["c", "y", "x"]
    assert Labels.from_zarr(group["labels"]).ome_attributes.labels == ["quantized"]
    label = ImageLabel.from_zarr(group["labels/quantized"])
    assert [axis.name for axis in label.ome_attributes.multiscales[0].axes] == ["y", "x"]
    pixels = np.moveaxis(result.image.compute(), 2, 0)
    np.testing.assert_array_equal(group["0"][:], pixels)
    np.testing.assert_array_equal(group["labels/quantized/0"][:], result.labels.compute())
    assert group["labels/quantized/0"].dtype == result.labels.dtype


@pytest.mark.parametrize(("kind", "k"), [("gray", 8), ("RGB", 300), ("RGBA", 8), ("RGBA", 300)])
def test_every_label_has_its_color(kind, k, tmp_path, rng):
    result = quantize(make_image(kind, rng), k)
    result.to_zarr(tmp_path / "out.zarr")
    group = zarr.open_group(tmp_path / "out.zarr", mode="r")
    colors, labels = label_colors(group), group["labels/quantized/0"][:]
    assert set(np.unique(labels).tolist()) <= set(colors)
    assert len(colors) == k + (kind == "RGBA")
    pixels = np.broadcast_to(np.moveaxis(group["0"][:], 0, 2), (*labels.shape, 3))
    table = np.array([colors[label] for label in range(len(colors))])
    np.testing.assert_array_equal(table[labels][..., :3], pixels)
    transparent = [label for label, rgba in colors.items() if rgba[3] == 0]
    assert transparent == ([0] if kind == "RGBA" else [])
    assert set(table[:, 3]) <= {0, 255}


def test_transparent_pixels_have_label_0_and_no_others_have(tmp_path, rng):
    image = make_image("RGBA", rng)
    quantize(image, 8).to_zarr(tmp_path / "out.zarr")
    labels = zarr.open_array(tmp_path / "out.zarr/labels/quantized/0", mode="r")[:]
    np.testing.assert_array_equal(labels == 0, image[..., 3] == 0)


@pytest.mark.parametrize(
    ("content", "arrays"),
    [
        ("both", {"0", "labels/quantized/0"}),
        ("image", {"0"}),
        ("labels", {"labels/quantized/0"}),
    ],
)
def test_content_is_what_was_asked_for(content, arrays, tmp_path, rng):
    result = quantize(make_image("RGB", rng), 8)
    result.to_zarr(tmp_path / "out.zarr", content=content)
    group = zarr.open_group(tmp_path / "out.zarr", mode="r")
    members = {name for name, item in group.members(max_depth=None) if isinstance(item, zarr.Array)}
    assert members == arrays
    Image.from_zarr(group)
    if content == "image":
        assert "labels" not in group
    else:
        label = ImageLabel.from_zarr(group["labels/quantized"]).ome_attributes.image_label
        assert label.source.image == "../../"


@pytest.mark.parametrize("name", ["a b", "50%20", "#1", "a::b", "what?x=1", "x|zip:", "[ab]*", "ü"])
def test_any_file_name_will_do(name, tmp_path, rng):
    path = tmp_path / f"{name}.zarr"
    result = quantize(make_image("RGB", rng), 4)
    result.to_zarr(path)
    result.to_zarr(path, overwrite=True)
    np.testing.assert_array_equal(open_image(path / "0").compute(), result.image.compute())
    assert {p.name for p in tmp_path.iterdir()} == {path.name, f"{path.name}.palette.json"}


# ---------------------------------------------------------------- what goes along


def test_pixel_size_becomes_the_scale(tmp_path, rng):
    pixels = make_image("RGB", rng)
    tifffile.imwrite(tmp_path / "in.tif", pixels, resolution=(20000, 4000), resolutionunit=3)
    quantize(open_image(tmp_path / "in.tif"), 4).to_zarr(tmp_path / "out.zarr")
    group = zarr.open_group(tmp_path / "out.zarr", mode="r")
    for member, lead in ((group, [1.0]), (group["labels/quantized"], [])):
        scales = member.attrs["ome"]["multiscales"][0]
        transform = scales["datasets"][0]["coordinateTransformations"][0]
        assert transform == {"type": "scale", "scale": [*lead, 2.5, 0.5]}
        assert [a.get("unit") for a in scales["axes"][-2:]] == ["micrometer"] * 2


def test_without_a_resolution_there_is_no_unit(tmp_path, rng):
    quantize(make_image("RGB", rng), 4).to_zarr(tmp_path / "out.zarr")
    scales = zarr.open_group(tmp_path / "out.zarr", mode="r").attrs["ome"]["multiscales"][0]
    assert not any("unit" in axis for axis in scales["axes"])
    assert scales["datasets"][0]["coordinateTransformations"][0]["scale"] == [1, 1, 1]


@pytest.mark.parametrize("kind", ["gray", "RGB", "RGBA"])
def test_palette_stands_in_the_attributes_and_beside_the_output(kind, tmp_path, rng):
    result = quantize(make_image(kind, rng), 8)
    result.to_zarr(tmp_path / "out.k8.zarr")
    inside = zarr.open_group(tmp_path / "out.k8.zarr", mode="r").attrs["bigquant"]["palette"]
    beside = json.loads((tmp_path / "out.k8.zarr.palette.json").read_text())
    assert inside == beside == json.loads(json.dumps(result.palette.as_json()))
    assert beside["first_label"] == (kind == "RGBA")
    loaded = Palette.load(tmp_path / "out.k8.zarr.palette.json")
    np.testing.assert_array_equal(loaded.colors, result.palette.colors)
    np.testing.assert_array_equal(loaded.centers, result.palette.centers)
    np.testing.assert_array_equal(loaded.counts, result.palette.counts)


def test_color_profile_and_resolution_stand_in_the_attributes(tmp_path, rng):
    profile = bytes(range(200))
    picture = pillow.fromarray(make_image("RGB", rng))
    picture.save(tmp_path / "in.png", icc_profile=profile, dpi=(254, 127))
    quantize(open_image(tmp_path / "in.png"), 4).to_zarr(tmp_path / "out.zarr")
    group = zarr.open_group(tmp_path / "out.zarr", mode="r")
    facts = group.attrs["bigquant"]["source"]
    assert base64.b64decode(facts["icc_profile_base64"]) == profile
    assert facts["format"] == "PNG"
    assert facts["path"] == str(tmp_path / "in.png")
    assert facts["resolution"] == pytest.approx([254, 127], rel=1e-3)
    scales = group.attrs["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert scales[0]["scale"] == pytest.approx([1, 200, 100], rel=1e-3)


# ---------------------------------------------------------------- whole shards


@pytest.fixture
def shards(monkeypatch):
    """What every task wrote: files, by name, and shapes of blocks and of their shards."""
    written = []

    def encode(block, inner, shard):
        written.append((block.shape, shard))
        return encode_shard(block, inner, shard)

    def put(store, files, put=FolderStore.put):
        written.extend(files)
        put(store, files)

    monkeypatch.setattr(omezarr, "encode_shard", encode)
    monkeypatch.setattr(FolderStore, "put", put)
    return written


def assert_whole_shards(shards):
    """No shard has two writers, and none is larger than its file."""
    names = [each for each in shards if isinstance(each, str)]
    assert len(set(names)) == len(names) == len(shards) / 2 > 0
    for block, shard in (each for each in shards if not isinstance(each, str)):
        assert block[0] <= shard[0]
        assert block[1] <= shard[1]


@pytest.mark.parametrize("chunks", CHUNKINGS.values(), ids=CHUNKINGS)
def test_nothing_is_lost_for_any_chunks(chunks, tmp_path, shards):
    labels, image = write_labels(tmp_path / "out.zarr", chunks, (1300, 1700))
    group = zarr.open_group(tmp_path / "out.zarr", mode="r")
    np.testing.assert_array_equal(group["labels/quantized/0"][:], labels)
    np.testing.assert_array_equal(np.moveaxis(group["0"][:], 0, 2), image)
    assert_whole_shards(shards)


def test_nothing_is_lost_for_wide_bands_of_55_rows(tmp_path, shards):
    labels, _ = write_labels(tmp_path / "o.zarr", (55, 20000), (300, 20000), content="labels")
    stored = zarr.open_array(tmp_path / "o.zarr/labels/quantized/0", mode="r")
    np.testing.assert_array_equal(stored[:], labels)
    assert_whole_shards(shards)


SIDES = st.lists(
    st.one_of(st.integers(1, 1300), st.sampled_from([16, 55, 100, 512, 600, 1024, 1040])),
    min_size=1,
    max_size=3,
).map(tuple)


@settings(max_examples=20)
@given(SIDES, SIDES)
def test_nothing_is_lost_for_chunks_of_any_kind(tmp_path, shards, rows, columns):
    shards.clear()
    labels, _ = write_labels(
        tmp_path / "o.zarr", (rows, columns), (sum(rows), sum(columns)),
        content="labels", overwrite=True,
    )  # fmt: skip
    stored = zarr.open_array(tmp_path / "o.zarr/labels/quantized/0", mode="r")
    np.testing.assert_array_equal(stored[:], labels)
    assert_whole_shards(shards)


def test_quantized_photo_is_the_same_for_any_chunks(tmp_path, china):
    expected = quantize(china, 8)
    pixels, labels = expected.image.compute(), expected.labels.compute()
    for i, chunks in enumerate([(100, 100, 3), (55, 640, 3), (200, 640, 1), (427, 77, 2)]):
        path = tmp_path / f"{i}.zarr"
        quantize(da.from_array(china, chunks=chunks), 8).to_zarr(path)
        group = zarr.open_group(path, mode="r")
        np.testing.assert_array_equal(np.moveaxis(group["0"][:], 0, 2), pixels)
        np.testing.assert_array_equal(group["labels/quantized/0"][:], labels)


@pytest.mark.parametrize("value", [0, 5])
def test_every_shard_is_stored_even_one_of_zeros(value, tmp_path):
    labels = da.full((2100, 1500), value, np.uint8, chunks=(1024, 1024))
    write_zarr(tmp_path / "out.zarr", labels, Palette.from_colors([[9] * 3] * 8), Source())
    for name in ("0", "labels/quantized/0"):
        array = zarr.open_array(tmp_path / "out.zarr" / name, mode="r")
        grid = [-(-side // step) for side, step in zip(array.shape, array.shards, strict=True)]
        files = [f for f in Path(tmp_path, "out.zarr", name, "c").rglob("*") if f.is_file()]
        assert len(files) == np.prod(grid) > 1
        assert all(s % c == 0 for s, c in zip(array.shards, array.chunks, strict=True))
        assert array.nchunks > 2 * len(files)  # chunks to view are smaller than files
