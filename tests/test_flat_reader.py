"""Flat files of every kind against Pillow and imagecodecs, decoded at once and staged."""

from __future__ import annotations

import functools
import io
import json
import random
import re
import struct
import subprocess
import sys
import time
import warnings
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from flat_reference import expected
from PIL import Image as pillow
from PIL import ImageCms

import bigquant
from bigquant import flat_reader, staging, tiff_reader
from bigquant.staging import StagedWindows

rng = np.random.default_rng(0)
DEEP = rng.integers(0, 1 << 16, (61, 83, 4), np.uint16)


@pytest.fixture(scope="module")
def photo(china):
    return np.ascontiguousarray(china[150:257, 200:331])


def read(path, stage=False):
    """The pixels, decoded at once or staged."""
    with pytest.MonkeyPatch.context() as patch:
        if stage:
            patch.setattr(staging, "_LONGEST", 32)
            for reader in (flat_reader, tiff_reader):
                patch.setattr(reader, "BLOCK_BYTES", 0)
        image = bigquant.open_image(path)
        assert bool(image.staged) == stage
        return image.compute()


def check(path, pixels, full, capfd):
    """Expect these pixels either way, and nothing on stderr."""
    for stage in (False, True):
        found = read(path, stage)
        assert found.dtype == pixels.dtype
        np.testing.assert_array_equal(found, pixels.reshape(*pixels.shape[:2], -1))
    assert bigquant.open_image(path).source.valid_range == (0, full)
    assert capfd.readouterr().err == ""


# ---------------------------------------------------------------- kinds


def saved(mode, colors=None, **options):
    def save(photo, path):
        picture = pillow.fromarray(photo)
        picture = picture.quantize(colors) if mode == "P" else picture.convert(mode)
        picture.save(path, **options)

    return save


KINDS = {
    "1.png": saved("1"),
    "gray.png": saved("L"),
    "graya.png": saved("LA"),
    "rgb.png": saved("RGB"),
    "rgba.png": saved("RGBA"),
    "p1.png": saved("P", colors=2, bits=1),
    "p2.png": saved("P", colors=4, bits=2),
    "p4.png": saved("P", colors=16, bits=4),
    "p8.png": saved("P", colors=200),
    "p8key.png": saved("P", colors=200, transparency=7),
    "p8table.png": saved("P", colors=200, transparency=bytes(range(100))),
    "1key.png": saved("1", transparency=1),
    "rgbkey.png": saved("RGB", transparency=(10, 20, 30)),
    "apng.png": saved("RGB", save_all=True, append_images=[pillow.new("RGB", (131, 107))]),
    "rgb.jpg": saved("RGB"),
    "gray.jpg": saved("L"),
    "progressive.jpg": saved("RGB", progressive=True, quality=40),
    "422.jpg": saved("RGB", subsampling=1),
    "444.jpg": saved("RGB", subsampling=0),
    "cmyk.jpg": saved("CMYK"),
    "lossy.webp": saved("RGB"),
    "alpha.webp": saved("RGBA", quality=50),
    "lossless.webp": saved("RGB", lossless=True),
    "frames.webp": saved("RGB", save_all=True, append_images=[pillow.new("RGB", (131, 107))]),
    "rgb.bmp": saved("RGB"),
    "gray.bmp": saved("L"),
    "1.bmp": saved("1"),
    "p.bmp": saved("P", colors=99),
    "rgba.bmp": saved("RGBA"),
    "p.gif": saved("P", colors=99),
    "key.gif": saved("P", colors=99, transparency=5),
    "gray.gif": saved("L"),
    "frames.gif": saved("RGB", save_all=True, append_images=[pillow.new("RGB", (131, 107))]),
    "rgb.jp2": saved("RGB"),
    "gray.jp2": saved("L"),
    "rgba.jp2": saved("RGBA", irreversible=True),
    "tiled.j2k": saved("RGB", tile_size=(32, 32)),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_picture_is_what_pillow_makes_of_it(tmp_path, photo, name, capfd):
    path = tmp_path / name
    KINDS[name](photo, path)
    check(path, expected(path), 255, capfd)


@pytest.mark.parametrize("samples", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", ["png", "jp2", "j2k"])
def test_samples_of_16_bits_stay(tmp_path, samples, suffix, capfd):
    pixels = np.ascontiguousarray(DEEP[..., :samples])
    path = tmp_path / f"deep.{suffix}"
    stored = pixels[..., 0] if samples == 1 else pixels
    if suffix == "png":
        path.write_bytes(imagecodecs.png_encode(stored))
    else:
        path.write_bytes(imagecodecs.jpeg2k_encode(stored, level=0, codecformat=suffix))
    check(path, pixels, 65535, capfd)


@pytest.mark.parametrize("samples", [1, 3])
def test_a_transparent_colour_of_16_bits_becomes_alpha(tmp_path, samples, capfd):
    pixels = np.ascontiguousarray(DEEP[..., :samples])
    plain = imagecodecs.png_encode(pixels[..., 0] if samples == 1 else pixels)
    path = tmp_path / "key.png"
    path.write_bytes(with_chunk(plain, b"tRNS", pixels[5, 7].astype(">u2").tobytes()))
    alpha = np.where((pixels == pixels[5, 7]).all(axis=2), 0, 65535).astype(np.uint16)
    check(path, np.dstack([pixels, alpha]), 65535, capfd)


@pytest.mark.parametrize("bits", [2, 4])
def test_gray_of_few_bits_is_scaled_and_its_key_is_a_stored_value(tmp_path, bits, capfd):
    stored = rng.integers(0, 1 << bits, (9, 16), np.uint8)
    places = np.arange(8 - bits, -1, -bits)
    rows = (stored.reshape(9, -1, len(places)) << places).sum(axis=2).astype(np.uint8)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", 16, 9, bits, 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"tRNS", b"\0\1"), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    path = tmp_path / "gray.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks))
    gray = stored.astype(int) * 255 // ((1 << bits) - 1)
    alpha = np.where(stored == 1, 0, 255)
    check(path, np.dstack([gray, alpha]).astype(np.uint8), 255, capfd)


def test_an_interlaced_png_is_read(tmp_path, photo, capfd):
    import pyvips

    for pixels in (photo, DEEP):
        kind = "srgb" if pixels is photo else "rgb16"
        picture = pyvips.Image.new_from_array(pixels, interpretation=kind)
        picture.pngsave(str(tmp_path / "a.png"), interlace=True)
        check(tmp_path / "a.png", pixels, np.iinfo(pixels.dtype).max, capfd)


@pytest.mark.parametrize("bits", [10, 12])
def test_jpeg_2000_of_other_bits_knows_its_range(tmp_path, bits, capfd):
    pixels = DEEP[..., :3] >> (16 - bits)
    path = tmp_path / "a.jp2"
    path.write_bytes(imagecodecs.jpeg2k_encode(pixels, level=0, bitspersample=bits))
    check(path, pixels, 2**bits - 1, capfd)


@pytest.mark.parametrize("options", [{"lossless": True}, {"level": 95}])
@pytest.mark.parametrize("samples", [1, 3])
def test_jpeg_without_loss_or_of_12_bits_is_read(tmp_path, samples, options, capfd):
    pixels = np.ascontiguousarray(DEEP[..., :samples] >> 4)
    stored = pixels[..., 0] if samples == 1 else pixels
    path = tmp_path / "a.jpg"
    path.write_bytes(imagecodecs.jpeg8_encode(stored, bitspersample=12, **options))
    found = imagecodecs.jpeg8_decode(path.read_bytes())
    check(path, found, 4095, capfd)
    if "lossless" in options:
        np.testing.assert_array_equal(found, stored)


def test_lossless_jpeg_of_8_bits_is_read(tmp_path, photo, capfd):
    for pixels in (photo, photo[..., 0]):
        encoded = imagecodecs.jpeg8_encode(np.ascontiguousarray(pixels), lossless=True)
        (tmp_path / "a.jpg").write_bytes(encoded)
        check(tmp_path / "a.jpg", pixels, 255, capfd)


# ---------------------------------------------------------------- CMYK


def ink_profile():
    """A profile of CMYK whose inks are odd, so that it cannot be mistaken for none at all."""
    corners = [
        (255 - 60 * c - 40 * m - 20 * y - 120 * k, 128 - 50 * c + 70 * m, 128 + 90 * y - 60 * c)
        for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)
    ]  # fmt: skip
    table = bytes(max(0, min(255, value)) for lab in corners for value in lab)
    matrix = struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    curve = bytes(range(256))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + curve * 4 + table + curve * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    name = b"desc\0\0\0\0" + struct.pack(">I", 4) + b"ink\0" + bytes(78)
    parts = {b"desc": name, b"cprt": b"text\0\0\0\0none\0", b"wtpt": white, b"A2B0": lut}
    offset, table, body = 132 + 12 * len(parts), struct.pack(">I", len(parts)), b""
    for key, part in parts.items():
        table += key + struct.pack(">II", offset + len(body), len(part))
        body += part + bytes(-len(part) % 4)
    head = struct.pack(
        ">I4sI4s4s4s", offset + len(body), b"lcms", 0x2400000, b"prtr", b"CMYK", b"Lab "
    )
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + body


def test_cmyk_is_converted_by_its_profile_where_it_has_one(tmp_path, photo, capfd):
    picture, path = pillow.fromarray(photo).convert("CMYK"), tmp_path / "a.jpg"
    found = []
    for profile in (None, ink_profile(), b"no profile", SCREEN):
        picture.save(path, **({"icc_profile": profile} if profile else {}))
        good = profile not in (b"no profile", SCREEN)
        if good:
            check(path, expected(path), 255, capfd)
        found.append(read(path))
        assert bigquant.open_image(path).source.icc_profile is None
    assert (found[0] != found[1]).any()
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_array_equal(found[0], found[3])


SCREEN = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def test_cmyk_is_inverted_with_and_without_adobes_mark(tmp_path, photo, capfd):
    path = tmp_path / "a.jpg"
    pillow.fromarray(photo).convert("CMYK").save(path)
    data = path.read_bytes()
    start = data.index(b"\xff\xee")
    (length,) = struct.unpack_from(">H", data, start + 2)
    marked = read(path)
    path.write_bytes(data[:start] + data[start + 2 + length :])
    check(path, expected(path), 255, capfd)
    np.testing.assert_array_equal(read(path), marked)


# ---------------------------------------------------------------- facts


def test_exif_behind_the_pixels_of_a_png_turns_it(tmp_path, photo):
    exif = pillow.Exif()
    exif[274] = 6
    plain = io.BytesIO()
    pillow.fromarray(photo).save(plain, "png")
    data = plain.getvalue()
    path = tmp_path / "late.png"
    path.write_bytes(data[:-12] + chunk(b"eXIf", exif.tobytes()[6:]) + data[-12:])
    np.testing.assert_array_equal(read(path), np.rot90(photo, -1))
    np.testing.assert_array_equal(read(path, stage=True), np.rot90(photo, -1))


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_profile_and_resolution_are_kept(tmp_path, photo, suffix):
    path = tmp_path / f"a.{suffix}"
    pillow.fromarray(photo).save(path, icc_profile=SCREEN, dpi=(300, 200))
    source = bigquant.open_image(path).source
    assert source.icc_profile == SCREEN
    assert source.format == {"jpg": "JPEG", "png": "PNG", "webp": "WebP"}[suffix]
    if suffix != "webp":
        np.testing.assert_allclose(source.resolution, (300, 200), rtol=1e-4)


def test_an_image_travels_small_and_is_staged_where_it_arrives(tmp_path, photo, monkeypatch):
    monkeypatch.setattr(flat_reader, "BLOCK_BYTES", 0)
    pillow.fromarray(photo).convert("CMYK").save(tmp_path / "a.jpg", icc_profile=ink_profile())
    image = bigquant.open_image(tmp_path / "a.jpg")
    import pickle

    data = pickle.dumps(image)
    assert len(data) < 10_000
    total = image.sum().compute(scheduler="processes", num_workers=1)
    assert total == int(expected(tmp_path / "a.jpg").sum())
    assert isinstance(pickle.loads(data).staged[0], StagedWindows)  # noqa: S301


# ---------------------------------------------------------------- single strips


@pytest.mark.parametrize("compression", ["deflate", "lzw", "zstd", "packbits", "lzma"])
@pytest.mark.parametrize("predictor", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_single_strip_is_staged(tmp_path, photo, compression, predictor, order, capfd):
    if predictor and compression == "packbits":
        pytest.skip("predictors are for LZW and its successors")
    path = tmp_path / "a.tif"
    tall = np.tile(photo, (3, 1, 1))
    for pixels in (photo, tall, tall[..., 0], np.dstack([tall, tall[..., 0]])):
        tifffile.imwrite(
            path,
            np.ascontiguousarray(pixels),
            byteorder=order,
            compression=compression,
            predictor=predictor,
            rowsperstrip=len(pixels),
            photometric="minisblack" if pixels.ndim == 2 else "rgb",
            extrasamples=["unassalpha"] if pixels.shape[2:] == (4,) else None,
        )
        found = read(path, stage=True)
        np.testing.assert_array_equal(found, pixels.reshape(*pixels.shape[:2], -1))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("compression", ["deflate", "lzw", "zstd"])
def test_a_strip_that_is_cut_is_one_line(tmp_path, photo, compression):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.tile(photo, (3, 1, 1)), compression=compression, rowsperstrip=321)
    with tifffile.TiffFile(path, mode="r+") as tif:
        counts = tif.pages[0].tags["StripByteCounts"]
        counts.overwrite(counts.value[0] - 5000)
    with refused(path, bigquant.BigquantError):
        read(path, stage=True)


def test_the_checksum_of_a_strip_is_compared(tmp_path, photo):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, photo, compression="deflate", rowsperstrip=107)
    with tifffile.TiffFile(path) as tif:
        end = tif.pages[0].dataoffsets[0] + tif.pages[0].databytecounts[0]
    data = bytearray(path.read_bytes())
    data[end - 1] ^= 1
    path.write_bytes(data)
    with refused(path, bigquant.BigquantError):
        read(path, stage=True)


# ---------------------------------------------------------------- damaged, hostile


def refused(path, error=bigquant.InputError, words=""):
    """Expect an error of one line that begins with the path."""
    return pytest.raises(error, match=rf"\A{re.escape(str(path))}: [^\n]*{words}[^\n]*\Z")


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(png, kind, data):
    start = png.index(b"IDAT") - 4
    return png[:start] + chunk(kind, data) + png[start:]


CUT = ["rgb.png", "p8.png", "rgb.jpg", "progressive.jpg", "cmyk.jpg", "lossy.webp", "lossless.webp"]
CUT += ["rgb.bmp", "p.gif", "rgb.jp2", "tiled.j2k"]


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("left", [0.3, 0.9])
def test_a_file_that_was_cut_is_an_error_and_not_half_gray(tmp_path, photo, name, left, capfd):
    path = tmp_path / name
    KINDS[name](photo, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * left)])
    for stage in (False, True):
        with refused(path, bigquant.BigquantError):
            read(path, stage)
    assert capfd.readouterr().err == ""


def test_a_lossless_jpeg_that_was_cut_is_an_error(tmp_path, photo):
    path = tmp_path / "a.jpg"
    path.write_bytes(imagecodecs.jpeg8_encode(photo, lossless=True)[:-3000])
    with refused(path, bigquant.BigquantError, "truncated"):
        read(path)


def lying(name, photo, path):
    """A small file whose header promises a huge picture."""
    big = 60000
    if name == "png":
        head = struct.pack(">IIBBBBB", big, big, 8, 2, 0, 0, 1)
        data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"x" * 99)
    else:
        buffer = io.BytesIO()
        options = {"progressive": True} if name == "jpeg" else {}
        picture = pillow.fromarray(photo)
        picture.save(buffer, name, **options)
        data = bytearray(buffer.getvalue())
        where = {"jpeg": data.find(b"\xff\xc2") + 5, "bmp": 18, "gif": 6, "jpeg2000": 0}[name]
        if name == "jpeg2000":
            start = data.index(b"ihdr") + 4
            data[start : start + 8] = struct.pack(">II", big, big)
            where = data.index(b"\xff\x4f\xff\x51") + 8
        kind = {"jpeg": ">HH", "bmp": "<II", "gif": "<HH", "jpeg2000": ">II"}[name]
        struct.pack_into(kind, data, where, big, big)
        if name == "gif":
            struct.pack_into("<HH", data, data.index(b",\0\0\0\0") + 5, big, big)
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["png", "jpeg", "bmp", "gif", "jpeg2000"])
def test_a_huge_size_in_a_small_file_is_refused_at_once(tmp_path, photo, name):
    path = tmp_path / "lies"
    lying(name, photo, path)
    start = time.perf_counter()
    with refused(path):
        bigquant.open_image(path)
    assert time.perf_counter() - start < 2


def test_what_is_too_large_to_be_decoded_at_once_is_refused(tmp_path, photo, monkeypatch):
    monkeypatch.setattr(flat_reader, "BLOCK_BYTES", 0)
    monkeypatch.setattr(flat_reader, "_MOST_AT_ONCE", 100)
    pillow.fromarray(photo).save(tmp_path / "a.jpg", progressive=True)
    with refused(tmp_path / "a.jpg", words="tiled TIFF"):
        bigquant.open_image(tmp_path / "a.jpg")
    pillow.fromarray(photo).save(tmp_path / "b.jpg")
    assert bigquant.open_image(tmp_path / "b.jpg").staged


@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt", b"iTXt"])
def test_a_bomb_in_the_metadata_of_a_png_is_not_set_off(tmp_path, photo, kind):
    bomb = zlib.compress(bytes(1 << 29), 9)
    before = {b"iCCP": b"a\0\0", b"zTXt": b"a\0\0", b"iTXt": b"a\0\1\0\0\0"}[kind]
    path = tmp_path / "bomb.png"
    path.write_bytes(with_chunk(imagecodecs.png_encode(photo), kind, before + bomb))
    megabytes, told = measured(path)
    assert megabytes < 400
    assert isinstance(told, list) or re.fullmatch(rf"{re.escape(str(path))}: [^\n]+", told)


def mutated(data, choice):
    """A file with some bytes changed, lost, added or cut off, mostly near the beginning."""
    data = bytearray(data)
    for _ in range(choice.choice((1, 1, 2, 5, 20))):
        if len(data) < 20:
            break
        at = choice.randrange(len(data) if choice.random() < 0.4 else min(len(data), 200))
        kind = choice.random()
        if kind < 0.7:
            data[at] = choice.randrange(256)
        elif kind < 0.8:
            del data[at : at + choice.randrange(1, 30)]
        elif kind < 0.9:
            data[at:at] = choice.randbytes(choice.randrange(1, 9))
        else:
            del data[max(20, at) :]
    return bytes(data)


FUZZED = ["p4.png", "rgbkey.png", "rgb.jpg", "progressive.jpg", "cmyk.jpg", "lossy.webp"]
FUZZED += ["lossless.webp", "p.bmp", "key.gif", "rgb.jp2", "tiled.j2k", "deep.png"]
FUZZED += ["lossless.jpg", "deep.jpg", "deep.jp2"]


@functools.cache
def seed_file(name, folder):
    if name in KINDS:
        path = folder / name
        small = (np.indices((24, 40)).sum(axis=0)[..., None] * [3, 5, 7] % 256).astype(np.uint8)
        KINDS[name](small, path)
        return path.read_bytes()
    small = DEEP[:24, :40, :3] >> 4
    return {
        "deep.png": lambda: imagecodecs.png_encode(small),
        "deep.jp2": lambda: imagecodecs.jpeg2k_encode(small, level=0, bitspersample=12),
        "deep.jpg": lambda: imagecodecs.jpeg8_encode(small, bitspersample=12),
        "lossless.jpg": lambda: imagecodecs.jpeg8_encode(small, bitspersample=12, lossless=True),
    }[name]()


def survives(path):
    """Read a file; tell what went wrong if that is no error of one line."""
    try:
        image = bigquant.open_image(path)
        if image.nbytes < 1 << 26:
            image.compute(scheduler="sync")
    except bigquant.BigquantError as error:
        return bool(re.fullmatch(rf"{re.escape(str(path))}: [^\n]+", str(error)))
    return True


def fuzz(tmp_path, name, cases):
    data, path = seed_file(name, tmp_path), tmp_path / "fuzzed"
    for case in range(cases):
        choice = random.Random(f"{name} {case}")
        path.write_bytes(mutated(data, choice))
        assert survives(path), case


@pytest.mark.parametrize("name", FUZZED)
def test_mutated_files_are_read_or_refused_in_one_line(tmp_path, name, capfd):
    fuzz(tmp_path, name, 25)
    assert capfd.readouterr().err == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", FUZZED)
def test_many_mutated_files_are_read_or_refused_in_one_line(tmp_path, name, capfd):
    fuzz(tmp_path, name, 400)
    assert capfd.readouterr().err == ""


# ---------------------------------------------------------------- memory

PROGRAM = """
import json, resource, sys
import bigquant, dask
dask.config.set(scheduler="sync")
try:
    image = bigquant.open_image(sys.argv[1])
    told = [image[:512, :512].max().compute().item(), image[-9:, -9:].max().compute().item()]
except bigquant.BigquantError as error:
    told = str(error)
print(json.dumps([resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, told]))
"""


def measured(path):
    """Peak memory, in MB, of a process that opens and reads a file; what it tells of it."""
    command = [sys.executable, "-c", PROGRAM, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return json.loads(done.stdout)


SIDE = 10_240
RAW = SIDE * SIDE * 3 / 1e6
LARGE = {
    "a.jpg": (700, {"quality": 85}),
    "progressive.jpg": (RAW + 500, {"quality": 85, "progressive": True}),
    "a.png": (700, {"compress_level": 1}),
    "interlaced.png": (RAW + 500, {"compression": 1, "interlace": True}),
    "lossy.webp": (700, {"Q": 20, "effort": 0}),
    "deflate.tif": (700, {"compression": "deflate"}),
    "deflated.tif": (700, {"compression": "deflate", "predictor": True}),
    "lzw.tif": (700, {"compression": "lzw"}),
}


@pytest.fixture(scope="module")
def hundred_megapixels(china):
    pixels = np.tile(china, (24, 16, 1))[:SIDE, :SIDE].copy()
    for y in range(0, SIDE, 1024):
        band = pixels[y : y + 1024]
        band += rng.integers(0, 5, band.shape, np.uint8)
    return pixels


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_a_hundred_megapixels_are_read_in_bounded_memory(tmp_path, hundred_megapixels, name):
    import pyvips

    most, options = LARGE[name]
    path = tmp_path / name
    if name.endswith("tif"):
        tifffile.imwrite(path, hundred_megapixels, rowsperstrip=SIDE, photometric="rgb", **options)
    elif name in ("interlaced.png", "lossy.webp"):
        # lossy WebP has no room for the noise of so many pixels
        picture = pyvips.Image.new_from_array(hundred_megapixels).gaussblur(3)
        picture.write_to_file(str(path), **options)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pillow.fromarray(hundred_megapixels).save(path, **options)
    megabytes, told = measured(path)
    assert isinstance(told, list)
    print(f"{name}: {megabytes:.0f} MB")
    assert megabytes < most
