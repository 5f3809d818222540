"""Flat files that are cut, damaged, mutated or hostile: one line, soon, in little memory."""

from __future__ import annotations

import io
import re
import struct
import time
import zlib

import imagecodecs
import numpy as np
import pytest
from children import Reader
from flat_files import DEEP, KINDS, chunk, measured, read, with_chunk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from outcomes import refused, survived
from PIL import Image as pillow

import bigquant
from bigquant import flat_reader


@pytest.fixture(scope="module")
def photo(china):
    return np.ascontiguousarray(china[150:257, 200:331])


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


@pytest.mark.parametrize("progressive", [False, True])
def test_a_huge_size_is_refused_of_what_no_jpeg_can_hold(tmp_path, photo, progressive):
    buffer = io.BytesIO()
    pillow.fromarray(photo).save(buffer, "jpeg", progressive=progressive)
    data = bytearray(buffer.getvalue())
    where = data.find(b"\xff\xc2" if progressive else b"\xff\xc0") + 5
    struct.pack_into(">HH", data, where, 20000, 20000)
    (tmp_path / "a.jpg").write_bytes(data + bytes(500_000))
    with refused(tmp_path / "a.jpg", words="which [0-9]+ bytes cannot hold"):
        bigquant.open_image(tmp_path / "a.jpg")


FLAT = {
    "gray.jpg": lambda flat: imagecodecs.jpeg8_encode(flat, level=1, optimize=True),
    "progressive.jpg": lambda flat: saved(flat, "jpeg", progressive=True, quality=1),
    "a.webp": lambda flat: imagecodecs.webp_encode(np.dstack([flat] * 3), lossless=True),
    "a.jp2": lambda flat: imagecodecs.jpeg2k_encode(flat, level=1),
    "a.png": lambda flat: saved(flat > 9, "png", compress_level=9),
    "a.gif": lambda flat: saved(flat, "gif"),
}


def saved(pixels, format_, **options):
    buffer = io.BytesIO()
    pillow.fromarray(pixels).save(buffer, format_, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("name", FLAT)
def test_a_large_picture_of_one_colour_is_not_taken_for_a_lie(tmp_path, monkeypatch, name):
    monkeypatch.setattr(flat_reader, "BLOCK_BYTES", 0)
    (tmp_path / name).write_bytes(FLAT[name](np.zeros((3000, 3000), np.uint8)))
    assert bigquant.open_image(tmp_path / name).shape[:2] == (3000, 3000)


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


@st.composite
def damaged(draw, data):
    """Change, lose, add or cut off some bytes of a file, mostly near the beginning."""
    data = bytearray(data)
    for _ in range(draw(st.sampled_from((1, 1, 2, 5, 20)))):
        if len(data) < 20:
            break
        near, far = st.integers(0, min(len(data), 200) - 1), st.integers(0, len(data) - 1)
        at = draw(st.one_of(near, near, far))
        kind = draw(st.integers(0, 9))
        if kind < 7:
            data[at] = draw(st.integers(0, 255))
        elif kind < 8:
            del data[at : at + draw(st.integers(1, 30))]
        elif kind < 9:
            data[at:at] = draw(st.binary(min_size=1, max_size=9))
        else:
            del data[max(20, at) :]
    return bytes(data)


FUZZED = ["p4.png", "rgbkey.png", "rgb.jpg", "progressive.jpg", "cmyk.jpg", "lossy.webp"]
FUZZED += ["lossless.webp", "p.bmp", "key.gif", "rgb.jp2", "tiled.j2k", "deep.png"]
FUZZED += ["lossless.jpg", "deep.jpg", "deep.jp2"]


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


def fuzz(folder, n_cases):
    seeds, path = [seed_file(name, folder) for name in FUZZED], folder / "fuzzed"

    with Reader(folder / "errors") as reader:

        @settings(max_examples=n_cases, suppress_health_check=list(HealthCheck))
        @given(data=st.sampled_from(range(len(seeds))).flatmap(lambda i: damaged(seeds[i])))
        def is_survived(data):
            path.write_bytes(data)
            survived(reader.read(path))

        is_survived()
    assert (folder / "errors").read_text() == ""


def test_mutated_files_are_read_or_refused_in_one_line(tmp_path):
    fuzz(tmp_path, 400)


@pytest.mark.slow
def test_many_mutated_files_are_read_or_refused_in_one_line(tmp_path):
    fuzz(tmp_path, 6000)
