"""Flat files of every kind against Pillow and imagecodecs, decoded at once and staged."""

from __future__ import annotations

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from flat_files import DEEP, KINDS, chunk, read, with_chunk
from flat_reference import expected
from outcomes import refused
from PIL import Image as pillow
from PIL import ImageCms

import bigquant
from bigquant import flat_reader
from bigquant.staging import StagedWindows

rng = np.random.default_rng(0)


@pytest.fixture(scope="module")
def photo(china):
    return np.ascontiguousarray(china[150:257, 200:331])


def check(path, pixels, full, capfd):
    """Expect these pixels either way, and nothing on stderr."""
    for stage in (False, True):
        found = read(path, stage)
        assert found.dtype == pixels.dtype
        np.testing.assert_array_equal(found, pixels.reshape(*pixels.shape[:2], -1))
    assert bigquant.open_image(path).source.valid_range == (0, full)
    assert capfd.readouterr().err == ""


# ---------------------------------------------------------------- kinds


@pytest.mark.parametrize("name", KINDS)
def test_a_picture_is_what_pillow_makes_of_it(tmp_path, photo, name, capfd):
    path = tmp_path / name
    KINDS[name](photo, path)
    check(path, expected(path), 255, capfd)


@pytest.mark.parametrize("bits", [4, 8, 12, 16])
def test_signed_samples_are_shown_as_unsigned(tmp_path, bits, capfd):
    half = 1 << (bits - 1)
    signed = rng.integers(-half, half, (61, 83)).astype(np.int16 if bits > 8 else np.int8)
    path = tmp_path / "a.jp2"
    path.write_bytes(imagecodecs.jpeg2k_encode(signed, level=0, bitspersample=bits))
    pixels = signed.astype(np.int64) + half
    dtype = np.uint16 if bits > 8 else np.uint8
    pixels = (pixels * 17 if bits == 4 else pixels).astype(dtype)
    check(path, pixels, 255 if bits < 8 else 2 * half - 1, capfd)
    if bits in (8, 16):
        np.testing.assert_array_equal(read(path)[..., 0], np.asarray(pillow.open(path)))


def test_a_png_of_fewer_significant_bits_is_scaled_to_all(tmp_path, capfd):
    """So its specification has it; the range is not that of the bits that sBIT tells."""
    path = tmp_path / "a.png"
    pixels = np.ascontiguousarray(DEEP[..., 0])
    path.write_bytes(with_chunk(imagecodecs.png_encode(pixels), b"sBIT", b"\x0c"))
    check(path, pixels, 65535, capfd)


@pytest.mark.parametrize("name", ["frames.gif", "rgb.png", "rgb.jpg"])
@pytest.mark.parametrize(
    "choice", [{"page": 1}, {"series": 0}, {"level": 1}, {"select": {"T": 0}}], ids=str
)
def test_there_is_nothing_to_choose(tmp_path, photo, name, choice):
    KINDS[name](photo, tmp_path / name)
    with refused(tmp_path / name, words="the first picture is read, and there is no"):
        bigquant.open_image(tmp_path / name, **choice)


def test_damaged_metadata_of_cmyk_is_not_complained_of(tmp_path, photo, recwarn):
    path = tmp_path / "a.jpg"
    pillow.fromarray(photo).convert("CMYK").save(
        path, exif=b"Exif\0\0II*\0\x08\0\0\0\x09\0" + b"x" * 30
    )
    read(path)
    assert not list(recwarn)


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
