"""Blocks lie on tiles and shards, are about 64 MiB, and no tile is decoded twice."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import tifffile
from hypothesis import assume, example, given
from hypothesis import strategies as st

import bigquant
from bigquant import tiff_pages, tiling
from bigquant.tiling import align, plan_rows, plan_tiff, plan_tiles

MIB = 1 << 20
BLOCK = 64 * MIB
sides = st.one_of(st.integers(1, 3000), st.integers(1, 10**6))
depths = st.integers(1, 4)


# ---------------------------------------------------------------- blocks to read


@given(sides, sides, depths, st.integers(1, 3000), st.integers(1, 3000))
def test_blocks_of_tiles_are_whole_tiles_and_at_most_64_mib(h, w, depth, tile_h, tile_w):
    block = plan_tiles((h, w, depth), (tile_h, tile_w))
    assert all(0 < n <= side for n, side in zip(block, (h, w), strict=True))
    assert block[0] == h or block[0] % tile_h == 0
    assert block[1] == w or block[1] % tile_w == 0
    one_tile_wide = block[1] == tile_w or block[0] <= tile_h
    assert block[0] * block[1] * depth <= BLOCK or one_tile_wide


@given(sides, sides, depths, st.integers(1, 128).map(lambda n: n * 16))
def test_blocks_of_usual_tiles_are_16_to_64_mib_or_the_image(h, w, depth, tile):
    block = plan_tiles((h, w, depth), (tile, tile))
    n_bytes = block[0] * block[1] * depth
    assert n_bytes <= BLOCK
    assert n_bytes >= BLOCK // 4 - tile * tile * depth or block[0] == h


@pytest.mark.parametrize(("tile", "side"), [(256, 4096), (512, 4096), (240, 3840), (1024, 4096)])
def test_blocks_of_a_large_image_hold_two_to_some_power_of_chunks(tile, side):
    assert plan_tiles((323584, 323584, 3), (tile, tile)) == (side, side)


@given(sides, sides, depths, st.integers(1, 10**6))
@example(10**6, 1000, 3, 7)
def test_bands_of_rows_are_as_wide_as_the_image_and_keep_tall_strips_whole(h, w, depth, rows):
    height, width = plan_rows((h, w, depth), rows)
    assert width == w
    assert 0 < height <= h
    assert height * w * depth <= BLOCK or height in (1, min(rows, h))
    if 8 * rows > height:
        assert height == h or height % rows == 0
    if 16 * w * depth <= BLOCK and rows == 1 and height < h:
        assert height % 16 == 0
        assert height * w * depth > BLOCK // 2


def count_decodes(monkeypatch, path, block_bytes):
    """Compute all blocks of an image; tell its chunks, and how often each tile was decoded."""
    decoded = []
    place = tiff_pages.OpenPage._place_segment

    def count(page, index, *rest):
        decoded.append(index)
        place(page, index, *rest)

    monkeypatch.setattr(tiling, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(tiff_pages.OpenPage, "_place_segment", count)
    image = bigquant.open_image(path)
    image.compute()
    return image.chunks, Counter(decoded)


@pytest.mark.parametrize("planes", [1, 3])
@pytest.mark.parametrize("block_bytes", [1, 5000, 20000, 64 << 20])
def test_no_tile_is_decoded_twice(tmp_path, monkeypatch, rng, planes, block_bytes):
    shape = (107, 131, 3) if planes == 1 else (3, 107, 131)
    options = {"planarconfig": "contig" if planes == 1 else "separate", "tile": (32, 48)}
    path = tmp_path / "tiles.tif"
    pixels = rng.integers(0, 256, shape, np.uint8)
    tifffile.imwrite(path, pixels, photometric="rgb", compression="deflate", **options)
    chunks, decoded = count_decodes(monkeypatch, path, block_bytes)
    for sizes, tile in zip(chunks, options["tile"], strict=False):
        assert all(size % tile == 0 for size in sizes[:-1])
    assert decoded == dict.fromkeys(range(4 * 3 * planes), 1)


@pytest.mark.parametrize("rows", [1, 8, 16, 40, 107])
def test_strips_are_read_in_bands_of_full_width_and_once(tmp_path, monkeypatch, rng, rows):
    pixels = rng.integers(0, 256, (107, 131, 3), np.uint8)
    options = {"rowsperstrip": rows, "compression": "deflate", "photometric": "rgb"}
    tifffile.imwrite(tmp_path / "strips.tif", pixels, **options)
    chunks, decoded = count_decodes(monkeypatch, tmp_path / "strips.tif", 60 * 131 * 3)
    assert chunks[1] == (131,)
    assert len(chunks[0]) > 1 or rows == 107
    assert decoded == dict.fromkeys(range(-(-107 // rows)), 1)


#: VmHWM is this process's own; ru_maxrss begins with that of the process that started it.
GIANT = """
import json, re, sys, time, dask, bigquant
from bigquant.histogram import ColorCounter, survey
bigquant.open_image
start = time.perf_counter()
image = bigquant.open_image(sys.argv[1])
graph, = dask.optimize(survey(image, ColorCounter(3), 512))
seconds = time.perf_counter() - start
peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
print(json.dumps([seconds, peak, image.chunksize, image.npartitions]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_a_hundred_gigapixels_are_planned_in_seconds_and_little_memory(tmp_path):
    side = 323584
    options = {"tile": (256, 256), "compression": "deflate", "photometric": "rgb"}
    with tifffile.TiffWriter(tmp_path / "giant.tif", bigtiff=True) as tif:
        tiles = (b"" for _ in range((side // 256) ** 2))
        tif.write(tiles, shape=(side, side, 3), dtype="uint8", **options)
    command = [sys.executable, "-c", GIANT, str(tmp_path / "giant.tif")]
    done = subprocess.run(command, capture_output=True, check=True)
    seconds, megabytes, chunk, n_blocks = json.loads(done.stdout)
    print(f"100 gigapixels: {n_blocks} blocks in {seconds:.1f} s, peak {megabytes:.0f} MB")
    assert chunk == [4096, 4096, 3]
    assert megabytes < 500
    assert seconds < 15  # 5 s are wanted; a busy machine is slower


# ---------------------------------------------------------------- blocks to write


@st.composite
def chunks_along_an_axis(draw):
    """Draw what Dask may hold: one chunk, regular ones, or any."""
    size = draw(st.integers(1, 6000))
    kind = draw(st.sampled_from(["one", "regular", "any"]))
    if kind == "one":
        return (size,)
    if kind == "regular":
        size = draw(st.sampled_from([size, size * 16, 512 * (1 + size % 9)]))
        return (size,) * draw(st.integers(1, 5)) + (draw(st.integers(1, size)),)
    return tuple(draw(st.lists(st.integers(1, 6000), min_size=2, max_size=8)))


tiles = st.none() | st.tuples(*[st.integers(0, 260).map(lambda n: n * 16)] * 2)


@given(chunks_along_an_axis(), chunks_along_an_axis(), tiles)
@example((16, 16, 8), (7,), None)
@example((5, 2000), (100_000,), None)
def test_blocks_to_write_are_whole_small_chunks_inside_the_image(ys, xs, tile):
    blocks, inners = align((ys, xs), tile)
    for sizes, block, inner in zip((ys, xs), blocks, inners, strict=True):
        assert 0 < block <= sum(sizes)
        assert inner % 16 == 0
        assert 16 <= inner <= max(1024, *(tile or (0,)))
        assert block == sum(sizes) or block % inner == 0


@given(st.integers(1, 4), st.integers(1, 4), st.integers(2, 5), st.integers(2, 5), st.data())
def test_chunks_that_are_whole_tiles_already_are_left_alone(m, n, down, across, data):
    size = {"y": 1024 * m, "x": 1024 * n}
    last = {axis: data.draw(st.integers(1, size[axis])) for axis in size}
    ys = (size["y"],) * down + (last["y"],)
    xs = (size["x"],) * across + (last["x"],)
    assert align((ys, xs))[0] == (size["y"], size["x"])


@given(st.integers(1, 256).map(lambda n: n * 16), st.integers(2, 5), st.integers(1, 4096))
def test_tiles_of_a_source_are_kept_with_the_blocks_that_it_is_read_in(tile, n, last):
    block = plan_tiles((4096 * n, 4096 * n, 3), (tile, tile))
    chunks = tuple((size,) * n + (min(last, size),) for size in block)
    tiers = plan_tiff(chunks, (tile, tile))
    assert tiers[0][0].inner == (tile, tile)
    assert tiers[0][0].block == block
    for level in (level for tier in tiers for level in tier):
        for block, inner, side in zip(level.block, level.inner, level.shape, strict=True):
            assert block % inner == 0 or block == side


@given(st.integers(1, 63), st.integers(2, 300), st.integers(2, 300))
def test_many_tiny_chunks_become_few_larger_ones(size, down, across):
    ys, xs = (size,) * down, (size,) * across
    assume(min(sum(ys), sum(xs)) > 2048)
    assert min(align((ys, xs))[0]) >= 1024


def test_images_of_one_chunk_stay_one_block():
    assert align(((100,), (3000,))) == ((100, 3000), (112, 512))
