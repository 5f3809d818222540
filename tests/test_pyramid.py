"""Every level of every output equals brute force, whatever the chunks."""

from __future__ import annotations

import json
import shutil
import subprocess
from itertools import pairwise

import dask.array as da
import numpy as np
import pytest
import reference
import tifffile
import zarr
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import chunkings

from bigquant import Palette
from bigquant.omezarr import VERSIONS
from bigquant.pyramid import Block, Layers
from bigquant.source import Source
from bigquant.tiff_output import write_tiff
from bigquant.tiling import plan_pyramid
from bigquant.write import write_zarr

SIDES = [(5, 7), (1, 100_000), (100_000, 1), (513, 512), (1027, 2051)]
CHUNKS = [(5000, 5000), (1024, 1024), (333, 1000)]


def draw_labels(shape, k, rng):
    """Patches of labels with noise, so that majorities and ties of every kind occur."""
    patches = rng.integers(0, k, (shape[0] // 3 + 1, shape[1] // 3 + 1))
    labels = np.kron(patches, np.ones((3, 3), int))[: shape[0], : shape[1]]
    noise = rng.random(shape) < 0.4
    labels[noise] = rng.integers(0, k, noise.sum())
    return labels


def make(shape, chunks, k, nodata, rng):
    """Labels as they are and chunked, a palette for them, and the levels they must give."""
    colors = rng.integers(0, 256, (k, 3))
    palette = Palette.from_colors(colors, first_label=int(nodata))
    labels = draw_labels(shape, k + nodata, rng).astype(palette.label_dtype)
    lazy = da.from_array(labels, chunks=chunks)
    return lazy, palette, reference.pyramid(labels, palette.table, nodata)


def zarr_levels(path):
    group = zarr.open_group(path, mode="r")
    attributes = group.attrs.asdict()
    n_levels = len(attributes.get("ome", attributes)["multiscales"][0]["datasets"])
    for level in range(n_levels):
        yield group[f"labels/quantized/{level}"][:], np.moveaxis(group[str(level)][:], 0, 2)


# ---------------------------------------------------------------- one block


@given(
    st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.booleans(), st.integers(0, 2**31)
)
def test_a_block_is_halved_as_by_brute_force(height, width, k, nodata, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k + 1, (height, width)).astype(np.uint16)
    colors = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    valid = labels != 0 if nodata else np.ones_like(labels, bool)
    half = Block(labels, colors, valid.view(np.uint8) if nodata else None, nodata).halve()
    expected, still_valid = reference.halve_colors(colors, valid)
    np.testing.assert_array_equal(half.labels, reference.halve_labels(labels, nodata))
    np.testing.assert_array_equal(half.colors, expected)
    if nodata:
        np.testing.assert_array_equal(half.valid, still_valid)


@pytest.mark.parametrize(
    ("window", "nodata", "winner"),
    [
        ([[1, 2], [2, 3]], False, 2),
        ([[2, 2], [1, 1]], False, 1),
        ([[3, 2], [1, 4]], False, 1),
        ([[0, 0], [1, 1]], False, 0),
        ([[0, 0], [1, 1]], True, 1),
        ([[0, 5], [3, 4]], True, 3),
        ([[0, 0], [3, 4]], True, 3),
        ([[0, 0], [0, 4]], True, 0),
        ([[0, 4], [4, 3]], True, 4),
        ([[0, 0], [3, 4]], False, 0),
        ([[7], [0]], True, 7),
        ([[0, 7]], True, 7),
        ([[0]], True, 0),
    ],
)
def test_ties_go_to_the_lower_label_and_nodata_needs_more_than_half(window, nodata, winner):
    labels = np.array(window, np.uint8)
    assert Block(labels, None, None, nodata).halve().labels.tolist() == [[winner]]


@given(st.booleans(), st.booleans(), st.booleans())
def test_a_block_travels_whole(with_labels, with_colors, nodata):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 300, (4, 6)).astype(np.uint16) if with_labels else None
    colors = rng.integers(0, 256, (4, 6, 3)).astype(np.uint8) if with_colors else None
    valid = rng.integers(0, 2, (4, 6)).astype(np.uint8) if with_colors and nodata else None
    if labels is None and colors is None:
        return
    types = (layer.dtype if layer is not None else None for layer in (labels, colors))
    layers = Layers(*types, channels=3 * with_colors, nodata=nodata)
    packed = Block(labels, colors, valid, nodata).stack()
    assert packed.shape[2] == layers.bytes
    block = Block.unstack(packed, layers)
    for before, after in ((labels, block.labels), (colors, block.colors), (valid, block.valid)):
        assert (before is None) == (after is None)
        if before is not None:
            np.testing.assert_array_equal(before, after)
            assert before.dtype == after.dtype


# ---------------------------------------------------------------- whole outputs


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("nodata", [False, True])
@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("shape", SIDES)
def test_every_level_of_a_zarr_is_brute_forces(shape, chunks, nodata, version, tmp_path, rng):
    labels, palette, expected = make(shape, chunks, 7, nodata, rng)
    write_zarr(tmp_path / "o.zarr", labels, palette, Source(), ome_zarr=version)
    found = list(zarr_levels(tmp_path / "o.zarr"))
    assert len(found) == len(expected)
    for (labels_found, colors_found), (labels_expected, colors_expected) in zip(
        found, expected, strict=True
    ):
        np.testing.assert_array_equal(labels_found, labels_expected)
        np.testing.assert_array_equal(colors_found, colors_expected)


@pytest.mark.slow
def test_every_level_of_four_thousand_odd_pixels(tmp_path, rng):
    labels, palette, expected = make((4097, 4095), (1024, 4095), 5, True, rng)
    write_zarr(tmp_path / "o.zarr", labels, palette, Source())
    write_tiff(tmp_path / "o.tif", labels, palette, Source())
    with tifffile.TiffFile(tmp_path / "o.tif") as tif:
        pages = [page.asarray() for page in tif.pages]
    found = list(zarr_levels(tmp_path / "o.zarr"))
    assert len(found) == len(expected) == len(pages) == 5
    for (labels_found, colors_found), page, (labels_expected, colors_expected) in zip(
        found, pages, expected, strict=True
    ):
        np.testing.assert_array_equal(labels_found, labels_expected)
        np.testing.assert_array_equal(colors_found, colors_expected)
        np.testing.assert_array_equal(page, labels_expected)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_levels_are_the_same_for_any_chunks(tmp_path_factory, data):
    shape = data.draw(st.tuples(st.integers(1, 1500), st.integers(1, 1500)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    chunks = data.draw(chunkings(shape))
    k = data.draw(st.sampled_from([3, 300]))
    labels, palette, expected = make(shape, chunks, k, data.draw(st.booleans()), rng)
    folder = tmp_path_factory.mktemp("levels")
    version = data.draw(st.sampled_from(VERSIONS))
    write_zarr(folder / "o.zarr", labels, palette, Source(), ome_zarr=version)
    for found, wanted in zip(zarr_levels(folder / "o.zarr"), expected, strict=True):
        np.testing.assert_array_equal(found[0], wanted[0])
        np.testing.assert_array_equal(found[1], wanted[1])
    shutil.rmtree(folder)


@settings(max_examples=10)
@given(st.data())
def test_no_level_has_a_label_its_parents_lack_and_nodata_eats_no_edges(tmp_path_factory, data):
    shape = data.draw(st.tuples(st.integers(1, 1300), st.integers(513, 1300)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    labels, palette, _ = make(shape, data.draw(chunkings(shape)), 5, True, rng)
    folder = tmp_path_factory.mktemp("parents")
    write_zarr(folder / "o.zarr", labels, palette, Source())
    found = [level for level, _ in zarr_levels(folder / "o.zarr")]
    for upper, lower in pairwise(found):
        parents = reference.windows(upper.astype(int), -1)
        assert (parents == lower[..., None]).any(axis=2).all()
        nodata, all_ = (parents == 0).sum(axis=2), (parents >= 0).sum(axis=2)
        np.testing.assert_array_equal(lower == 0, 2 * nodata > all_)
    shutil.rmtree(folder)


@pytest.mark.parametrize(("k", "content"), [(7, "both"), (300, "both"), (300, "labels")])
@pytest.mark.parametrize("nodata", [False, True])
@pytest.mark.parametrize("chunks", CHUNKS)
def test_every_overview_of_a_tiff_is_brute_forces(chunks, nodata, k, content, tmp_path, rng):
    labels, palette, expected = make((1027, 2051), chunks, k, nodata, rng)
    write_tiff(tmp_path / "o.tif", labels, palette, Source(), content=content)
    with tifffile.TiffFile(tmp_path / "o.tif") as tif:
        pages = [page.asarray() for page in tif.pages]
        assert [page.subfiletype for page in tif.pages] == [0] + [1] * (len(pages) - 1)
    painted = (k, content) == (300, "both")
    assert len(pages) == len(expected)
    seen = expected[0][0] > 0
    for page, level in zip(pages, expected, strict=True):
        if painted and nodata:  # a pixel is opaque if any of those under it is
            np.testing.assert_array_equal(page[..., 3], np.where(seen, 255, 0))
            page, seen = page[..., :3], reference.windows(seen, False).any(axis=2)
        np.testing.assert_array_equal(page, level[painted])


@pytest.mark.skipif(not shutil.which("gdal_translate"), reason="gdal_translate is not installed")
@pytest.mark.parametrize("k", [7, 300])
def test_gdal_reads_the_overviews(k, tmp_path, rng):
    labels, palette, expected = make((1027, 2051), (1024, 1024), k, False, rng)
    write_tiff(tmp_path / "o.tif", labels, palette, Source())
    done = subprocess.run(
        ["gdalinfo", "-json", tmp_path / "o.tif"], capture_output=True, check=True
    )
    band = json.loads(done.stdout)["bands"][0]
    assert [overview["size"] for overview in band["overviews"]] == [
        [1026, 514],
        [513, 257],
        [257, 129],
    ]
    for number, (level_labels, colors) in enumerate(expected[1:]):
        out = tmp_path / f"{number}.tif"
        command = ["gdal_translate", "-q", "-oo", f"OVERVIEW_LEVEL={number}"]
        subprocess.run([*command, "-co", "INTERLEAVE=PIXEL", tmp_path / "o.tif", out], check=True)
        np.testing.assert_array_equal(tifffile.imread(out), colors if k > 256 else level_labels)


def test_no_pixel_is_read_twice(tmp_path, rng):
    labels, palette, _ = make((2051, 2051), (1024, 1024), 7, False, rng)
    seen = np.zeros(labels.shape, int)

    def read(block, block_info=None):
        (top, bottom), (left, right) = block_info[0]["array-location"]
        seen[top:bottom, left:right] += 1
        return block

    counted = labels.map_blocks(read, dtype=labels.dtype, meta=np.empty((0, 0), labels.dtype))
    write_zarr(tmp_path / "o.zarr", counted, palette, Source())
    assert (seen == 1).all()


# ---------------------------------------------------------------- the plan


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(1, 6000), st.integers(1, 6000))
@example(10**6, 10**5, 192, 10**5)
@example(316_000, 316_000, 4096, 4096)
@example(20_000, 350_000, 64, 350_000)
def test_the_plan_of_a_pyramid_holds_what_it_says(height, width, block_height, block_width):
    def cut(length, step):
        step = max(step, length // 300)
        return (step,) * (length // step) + ((length % step,) if length % step else ())

    tiers = plan_pyramid((cut(height, block_height), cut(width, block_width)))
    levels = [level for tier in tiers for level in tier]
    assert levels[0].shape == (height, width)
    assert max(levels[-1].shape) <= 512
    for before, after in pairwise(levels):
        assert max(before.shape) > 512
        assert after.shape == tuple(-(-side // 2) for side in before.shape)
    for level in levels:
        for axis in (0, 1):
            assert level.inner[axis] % 16 == 0
            if level.grid[axis] > 1:
                assert level.block[axis] % level.inner[axis] == 0
            else:
                assert level.block[axis] == level.shape[axis]
    for tier in tiers:
        for before, after in pairwise(tier):
            assert after.grid == before.grid
    for before, after in pairwise(tiers):
        rest = [-(-side // 2) for side in before[-1].block]
        for axis in (0, 1):
            assert after[0].grid[axis] == 1 or after[0].block[axis] % rest[axis] == 0
        handed_on = after[0].block[0] * after[0].block[1]
        largest = levels[0].block[0] * levels[0].block[1]
        assert handed_on <= max(1 << 24, largest)
