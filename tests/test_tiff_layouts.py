"""A window of any layout that tifffile writes is that part of the whole, as tifffile reads it."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import bigquant
from bigquant.raster import Selection
from bigquant.tiff_reader import open_tiff

HEIGHT, WIDTH = 61, 83
LOSSLESS = ["none", "deflate", "lzw", "zstd", "packbits", "lzma", "zlib"]
DTYPES = ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"]
DTYPES += ["float16", "float32", "float64"]


@st.composite
def layouts(draw):
    """Draw what to write, and how: samples (y, x, sample), and arguments of imwrite."""
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    depth = draw(st.sampled_from([1, 1, 2, 3, 4, 5]))
    kinds = ["minisblack", "miniswhite"] if depth < 3 else ["minisblack", "rgb"]
    options = {
        "photometric": draw(st.sampled_from(kinds)),
        "compression": draw(st.sampled_from(LOSSLESS)),
        "byteorder": draw(st.sampled_from("<>")),
        "bigtiff": draw(st.booleans()),
    }
    storage = draw(st.sampled_from([{}, {"rowsperstrip": 7}, {"tile": (16, 32)}]))
    options |= storage
    if dtype.kind in "uif" and dtype.itemsize > 0 and options["compression"] not in ("packbits",):
        options["predictor"] = draw(st.booleans())
    if dtype == np.uint8 and depth == 1 and draw(st.booleans()):
        options |= {"bitspersample": draw(st.sampled_from([2, 4])), "predictor": False}
    if dtype == np.uint16 and depth == 1 and draw(st.booleans()):
        options |= {"bitspersample": draw(st.sampled_from([10, 12, 14])), "predictor": False}
    separate = depth > 1 and draw(st.booleans())
    if depth > 1:
        options["planarconfig"] = "separate" if separate else "contig"
    seed = draw(st.integers(0, 99))
    return make(dtype, depth, options.get("bitspersample"), seed), separate, options


def make(dtype, depth, bits, seed):
    rng = np.random.default_rng(seed)
    shape = (HEIGHT, WIDTH, depth)
    if dtype.kind == "f":
        return rng.normal(0, 100, shape).astype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    limits = np.iinfo(dtype)
    low, high = (0, 2**bits - 1) if bits else (limits.min, limits.max)
    return rng.integers(low, high, shape, dtype, endpoint=True)


def normalised(stored, options):
    bits = options.get("bitspersample", 1 if stored.dtype == bool else stored.dtype.itemsize * 8)
    if bits < 8:
        stored = (stored.astype(int) * 255 // (2**bits - 1)).astype(np.uint8)
    unclear = stored.dtype.kind not in "u" or stored.shape[2] > 1
    if options["photometric"] == "miniswhite" and not unclear:
        return stored.dtype.type(2 ** max(bits, 8) - 1) - stored
    return stored


def as_tifffile_reads(path):
    with tifffile.TiffFile(path) as tif:
        stored, axes = tif.pages[0].asarray(), tif.pages[0].axes
    stored = np.moveaxis(stored, 0, 2) if axes[0] == "S" else stored
    return stored.reshape(HEIGHT, WIDTH, -1)


@settings(max_examples=400)
@given(layouts(), st.data())
def test_a_window_of_any_layout_is_that_part_of_the_whole(tmp_path, layout, data):
    samples, separate, options = layout
    path = tmp_path / "a.tif"
    path.unlink(missing_ok=True)
    written = (
        np.moveaxis(samples, 2, 0)
        if separate
        else samples.squeeze(2)
        if samples.shape[2] == 1
        else samples
    )
    try:
        tifffile.imwrite(path, written, metadata=None, **options)
    except (ValueError, TypeError, KeyError, RuntimeError, NotImplementedError):
        assume(False)  # tifffile has no such layout
    packed = options.get("bitspersample", 1 if samples.dtype == bool else 8) % 8
    if not (packed and (separate or samples.shape[2] > 1 or options["byteorder"] == ">")):
        # (else tifffile packs otherwise than it, and GDAL, unpack)
        np.testing.assert_array_equal(as_tifffile_reads(path), samples)
    raster = open_tiff(str(path), Selection())
    expected = normalised(as_tifffile_reads(path), options)
    everything = raster.windows[slice(0, HEIGHT), slice(0, WIDTH), slice(0, samples.shape[2])]
    np.testing.assert_array_equal(everything, expected)
    assert everything.dtype == expected.dtype == raster.windows.dtype
    rows = sorted(data.draw(st.tuples(st.integers(0, HEIGHT), st.integers(0, HEIGHT))))
    columns = sorted(data.draw(st.tuples(st.integers(0, WIDTH), st.integers(0, WIDTH))))
    key = (slice(*rows), slice(*columns), slice(0, samples.shape[2]))
    np.testing.assert_array_equal(raster.windows[key], expected[key])
    check_range(raster, samples, options)


def check_range(raster, samples, options):
    bits = options.get("bitspersample", samples.dtype.itemsize * 8)
    expected = (0, 2 ** max(8, bits) - 1) if samples.dtype.kind in "bu" else None
    assert raster.source.valid_range == expected
    depth = samples.shape[2]
    if options["photometric"] == "rgb":
        assert raster.colors == (0, 1, 2)
    elif depth == 1:
        assert raster.colors == (0,)
    elif depth > 2:
        assert raster.colors is None


@pytest.mark.parametrize("layout", [{}, {"rowsperstrip": 7}, {"tile": (16, 32)}])
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_windows_pickle_small_and_ask_for_ranges_in_few_calls(tmp_path, layout, dtype, monkeypatch):
    import pickle

    from bigquant.bytesource import ByteSource

    samples = make(np.dtype(dtype), 3, None, 0)
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb", **layout)
    windows = open_tiff(str(tmp_path / "a.tif"), Selection()).windows
    assert len(pickle.dumps(windows)) < 2000
    calls = []
    read = ByteSource.read
    monkeypatch.setattr(ByteSource, "read", lambda s, ranges: calls.append(1) or read(s, ranges))
    again = pickle.loads(pickle.dumps(windows))  # noqa: S301
    np.testing.assert_array_equal(again[0:HEIGHT, 0:WIDTH, 0:3], samples)
    assert len(calls) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("layout", [{}, {"tile": (32, 32), "compression": "deflate"}])
def test_eight_orientations_are_one_picture(tmp_path, china, orientation, layout):
    from PIL import Image as pillow
    from PIL import ImageOps

    photo = china[100:207, 300:431]
    turns = [None, 0, 3, 1, 5, 4, 6, 2]  # how Pillow would undo what the tag says
    stored = pillow.fromarray(photo)
    if turns[orientation - 1] is not None:
        undo = {0: 0, 3: 3, 1: 1, 5: 5, 4: 2, 6: 6, 2: 4}[turns[orientation - 1]]
        stored = stored.transpose(undo)
    tags = [(274, 3, 1, orientation, True)]
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.asarray(stored), photometric="rgb", extratags=tags, **layout)
    image = bigquant.open_image(path)
    np.testing.assert_array_equal(image.compute(), photo)
    assert not image.source.tags
    with pillow.open(path) as opened:
        np.testing.assert_array_equal(ImageOps.exif_transpose(opened), photo)


@pytest.mark.parametrize(
    ("options", "rows"),
    [({}, 0), ({"compression": "deflate", "rowsperstrip": 61}, 61), ({"tile": (16, 32)}, 16)],
)
def test_what_is_decoded_at_once_is_known(tmp_path, options, rows):
    samples = make(np.dtype(np.uint16), 3, None, 0)
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb", **options)
    raster = open_tiff(str(tmp_path / "a.tif"), Selection())
    width = 32 if "tile" in options else WIDTH
    assert raster.windows.segment_bytes == rows * width * 6
    assert raster.block == (HEIGHT, WIDTH)


def test_a_strip_that_is_too_large_is_refused_with_a_remedy(tmp_path):
    path = tmp_path / "a.tif"
    shape = (40000, 30000)
    options = {"compression": "deflate", "rowsperstrip": shape[0], "photometric": "minisblack"}
    tifffile.imwrite(path, iter([b""]), shape=shape, dtype=np.uint8, metadata=None, **options)
    with pytest.raises(
        bigquant.InputError, match=r"a.tif: one compressed strip .* 1144 MiB .*TILED"
    ):
        open_tiff(str(path), Selection())


@pytest.mark.parametrize("planar", [False, True])
def test_one_uncompressed_strip_is_read_in_bands(tmp_path, planar):
    shape = (3, 9000, 5000) if planar else (9000, 5000, 3)
    options = {"photometric": "rgb", "planarconfig": "separate" if planar else "contig"}
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, shape=shape, dtype=np.uint8, metadata=None, **options)
    raster = open_tiff(str(path), Selection())
    assert raster.block[1] == 5000
    assert raster.block[0] * 5000 * 3 <= 64 << 20
