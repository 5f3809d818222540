"""The TIFF as a cloud-optimized GeoTIFF, judged by rio-cogeo, rasterio and GDAL."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess

import dask.array as da
import numpy as np
import pytest
import rasterio
import tifffile
from cogs import KINDS, gdalinfo, needs_gdal, problems, read, write
from PIL import Image as pillow
from rio_cogeo import cogeo
from servers import http_folder

from bigquant import InputError, Palette, open_image
from bigquant.cli import main
from bigquant.source import Source
from bigquant.tiff_output import write_tiff

pytestmark = pytest.mark.filterwarnings(
    "ignore::rasterio.errors.NotGeoreferencedWarning"  # most of these lie nowhere
)
COMPRESSIONS = ["deflate", "zstd", "lzw", "none"]


# ---------------------------------------------------------------- the layout


@pytest.mark.parametrize("cog", [False, True])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "700 x 1 pixels"])
def test_every_tiff_is_a_valid_cog(kind, cog, tmp_path, rng):
    labels, palette = write(tmp_path / "o.tif", kind, rng, cog=cog)
    assert not problems(tmp_path / "o.tif")
    profile, pixels, colors, _ = read(tmp_path / "o.tif")
    assert (profile["height"], profile["width"]) == labels.shape
    shown = pixels.transpose(1, 2, 0) if colors is None else colors[pixels[0], :3]
    expected = palette.table[labels]
    n_colors = expected.shape[2] if colors is None else 3
    np.testing.assert_array_equal(*np.broadcast_arrays(shown[..., :n_colors], expected))


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_every_compression_is_valid_and_named(compression, tmp_path, rng):
    path = tmp_path / "o.tif"
    kind = "RGBA with transparent parts"
    labels, palette = write(path, kind, rng, compression=compression, cog=True)
    assert not problems(path)
    profile, pixels, _, _ = read(path)
    assert profile.get("compress", "none") == compression
    np.testing.assert_array_equal(pixels[0], labels)
    np.testing.assert_array_equal(tifffile.imread(path), labels)
    with pillow.open(path) as picture:
        np.testing.assert_array_equal(np.asarray(picture), labels)
    if shutil.which("vips"):
        subprocess.run(["vips", "copy", path, tmp_path / "o.png"], check=True)
        with pillow.open(tmp_path / "o.png") as picture:
            np.testing.assert_array_equal(np.asarray(picture)[..., :3], palette.table[labels])


def test_16_bit_labels_are_a_cog_with_names_too(tmp_path, rng):
    path = tmp_path / "o.tif"
    labels, palette = write(path, "k=300", rng, content="labels", cog=True)
    assert not problems(path)
    np.testing.assert_array_equal(read(path)[1][0], labels)
    names = re.findall("<Category>(.*)</Category>", (tmp_path / "o.tif.aux.xml").read_text())
    assert names == palette.hex


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("kind", ["5 x 7 pixels", "RGB", "k=300 with transparent parts"])
def test_tiles_stand_in_the_frames_that_gdals_mark_promises(kind, compression, tmp_path, rng):
    path = tmp_path / "o.tif"
    write(path, kind, rng, compression=compression, cog=True)
    data = path.read_bytes()
    mark = re.match(rb"GDAL_STRUCTURAL_METADATA_SIZE=(\d{6}) bytes\n", data[16:])
    promised = data[16 + mark.end() :][: int(mark[1])]
    assert promised.split(b"\n")[:-1] == [
        b"LAYOUT=IFDS_BEFORE_DATA",
        b"BLOCK_ORDER=ROW_MAJOR",
        b"BLOCK_LEADER=SIZE_AS_UINT4",
        b"BLOCK_TRAILER=LAST_4_BYTES_REPEATED",
        b"KNOWN_INCOMPATIBLE_EDITION=NO",
    ]
    with tifffile.TiffFile(path) as tif:
        levels = [list(zip(page.dataoffsets, page.databytecounts)) for page in tif.pages]  # noqa: B905
        assert all(page.offset < levels[-1][0][0] for page in tif.pages)
    places = [place for level in reversed(levels) for place in level]
    for start, count in places:
        assert struct.unpack("<I", data[start - 4 : start]) == (count,)
        assert data[start + count : start + count + 4] == data[start + count - 4 : start + count]
    ends = [start + count + 8 for start, count in places]
    assert [start for start, _ in places[1:]] == ends[:-1]  # in order, and nothing between
    assert len(data) == ends[-1] - 4


@pytest.mark.parametrize("cog", [False, True])
def test_an_overview_is_read_from_afar_without_the_rest(cog, tmp_path, rng):
    labels, _ = write(tmp_path / "o.tif", "RGB", rng, compression="none", cog=cog)
    with http_folder(tmp_path) as served, rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
        with rasterio.open(f"/vsicurl/{served.url}/o.tif") as file:
            small = file.read(1, out_shape=(325, 275))
        assert served.sent < 0.3 * labels.size
        assert served.count() <= 3
    with tifffile.TiffFile(tmp_path / "o.tif") as tif:
        np.testing.assert_array_equal(small, tif.pages[2].asarray())


@needs_gdal
@pytest.mark.parametrize("cog", [False, True])
def test_gdal_sees_a_cog_where_one_is_asked_for(cog, tmp_path, rng):
    write(tmp_path / "o.tif", "RGB", rng, cog=cog)
    assert ("LAYOUT=COG" in gdalinfo(tmp_path / "o.tif")) == cog


@pytest.mark.parametrize(
    ("tile", "expected"),
    [
        (None, (512, 512)),
        ((256, 256), (256, 256)),
        ((128, 1024), (128, 1024)),
        ((240, 240), (240, 240)),
        ((16, 64), (16, 64)),
        ((2048, 2048), (2048, 2048)),
        ((4112, 512), (512, 512)),
        ((200, 200), (512, 512)),
    ],
)
def test_tiles_are_of_the_size_of_the_sources_where_that_suits(tile, expected, tmp_path):
    path = tmp_path / "in.tif"
    image = np.zeros((2500, 2600), np.uint8)
    options = {"tile": tile} if tile and tile != (200, 200) else {}
    tifffile.imwrite(path, image, compression="zlib", photometric="minisblack", **options)
    source = open_image(path).source if tile != (200, 200) else Source(tile=tile)
    side = 3840 if tile == (240, 240) else 4096
    palette = Palette.from_colors([[0], [255]])
    write_tiff(tmp_path / "o.tif", da.from_array(image, chunks=side), palette, source)
    with tifffile.TiffFile(tmp_path / "o.tif") as tif:
        assert {page.tile for page in tif.pages if min(page.shape) > max(1024, *expected)} == {
            expected
        }
    assert not problems(tmp_path / "o.tif")


def test_an_image_one_pixel_wide_has_no_overviews_which_would_be_as_wide(tmp_path, rng):
    path = tmp_path / "o.tif"
    labels, _ = write(path, "700 x 1 pixels", rng, cog=True)
    assert cogeo.cog_validate(path, quiet=True)[:2] == (True, [])
    (advice,) = problems(path)  # to those who are strict
    assert "recommended to include internal overviews" in advice
    np.testing.assert_array_equal(read(path)[1][0], labels)


# ---------------------------------------------------------------- transparency above 256 labels


@pytest.mark.parametrize(
    "kind", ["k=300 with transparent parts", "gray, k=256, with transparent parts"]
)
def test_an_output_in_colours_is_transparent_where_the_image_was(kind, tmp_path, rng):
    labels, palette = write(tmp_path / "o.tif", kind, rng)
    expected = np.where(labels > 0, 255, 0)
    _, pixels, _, meaning = read(tmp_path / "o.tif")
    assert meaning[-1] == "alpha"
    np.testing.assert_array_equal(pixels[-1], expected)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "o.tif")[..., -1], expected)
    with pillow.open(tmp_path / "o.tif") as picture:
        np.testing.assert_array_equal(np.asarray(picture.convert("RGBA"))[..., 3], expected)
    again = open_image(tmp_path / "o.tif").compute()
    np.testing.assert_array_equal(again[..., -1], expected)
    np.testing.assert_array_equal(again[..., :-1], palette.table[labels])
    with tifffile.TiffFile(tmp_path / "o.tif") as tif:
        for page in tif.pages:
            assert set(np.unique(page.asarray()[..., -1])) <= {0, 255}


# ---------------------------------------------------------------- files beside it


def test_a_file_of_class_names_is_not_replaced_unasked(tmp_path, rng):
    (tmp_path / "o.tif.aux.xml").write_text("mine")
    with pytest.raises(InputError, match=r"o\.tif\.aux\.xml: exists already"):
        write(tmp_path / "o.tif", "5 x 7 pixels", rng, cog=True)
    assert [path.name for path in tmp_path.iterdir()] == ["o.tif.aux.xml"]
    write(tmp_path / "o.tif", "5 x 7 pixels", rng, cog=True, overwrite=True)
    assert "CategoryNames" in (tmp_path / "o.tif.aux.xml").read_text()


def test_what_others_noted_of_an_old_output_goes_with_it(tmp_path, rng):
    write(tmp_path / "o.tif", "5 x 7 pixels", rng, cog=True)
    write(tmp_path / "o.tif", "5 x 7 pixels", rng, overwrite=True)
    assert not (tmp_path / "o.tif.aux.xml").exists()


# ---------------------------------------------------------------- the command line


def test_the_command_line_compresses_and_marks(tmp_path, china, capsys):
    photo = tmp_path / "photo.tif"
    tifffile.imwrite(photo, china, photometric="rgb")
    out = tmp_path / "o.tif"
    assert main(["fit", str(photo), "-k4", "-o", str(out), "--compression", "zstd", "--cog"]) == 0
    assert read(out)[0]["compress"] == "zstd"
    assert (tmp_path / "o.tif.aux.xml").exists()
    assert not problems(out)
    assert out.read_bytes()[16:].startswith(b"GDAL_STRUCTURAL_METADATA")


@pytest.mark.parametrize("option", [["--cog"], ["--compression", "lzw"]])
def test_options_of_a_tiff_are_refused_for_a_zarr(option, tmp_path, china, capsys):
    tifffile.imwrite(tmp_path / "photo.tif", china, photometric="rgb")
    assert main(["fit", str(tmp_path / "photo.tif"), *option]) == 2
    assert "--format tif" in capsys.readouterr().err


def test_an_unknown_compression_is_refused_before_any_work(tmp_path, rng):
    with pytest.raises(InputError, match=r"compression='lzma': must be one of \('deflate'"):
        write(tmp_path / "o.tif", "5 x 7 pixels", rng, compression="lzma")


@pytest.mark.slow
def test_three_hundred_megapixels_are_a_valid_cog(tmp_path):
    photo, out = str(tmp_path / "photo.tif"), tmp_path / "o.tif"
    assert main(["sample", photo, "--megapixels", "300", "-q"]) == 0
    assert main(["fit", photo, "-k", "32", "-o", str(out), "--cog", "-q"]) == 0
    assert not problems(out)
    with tifffile.TiffFile(out) as tif:
        levels = [page.shape for page in tif.pages]
    assert np.prod(levels[0]) == pytest.approx(3e8, rel=1e-3)
    assert max(levels[-1]) <= 512
