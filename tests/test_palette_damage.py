"""Palette files that are damaged or hostile, and images that have no palette."""

from __future__ import annotations

import os
import re
import time

import dask.array as da
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st
from outcomes import refused
from test_palette_files import COLORS, FORMATS, QML

from bigquant.errors import InputError
from bigquant.palette import Palette
from bigquant.palette_files import read_palette


def assert_refused(path, words=""):
    with refused(path, words=re.escape(words)):
        read_palette(path)


BAD = [
    ("a.gpl", "", "first line is not 'GIMP Palette'"),
    ("b.gpl", "GIMP Palette\nName: x\n#\n", "holds no colours"),
    ("c.gpl", "GIMP Palette\n256 0 0 x\n", "line 2: has '256' where a whole number from 0 to 255"),
    ("d.gpl", "GIMP Palette\n1 2\n", "2 numbers where red, green and blue"),
    ("e.gpl", "GIMP Palette\n1 2 -3\n", "'-3'"),
    ("f.gpl", "GIMP Palette\n1 2 ３\n", "'３'"),
    ("a.hex", "", "holds no colours"),
    ("b.hex", "#fff\n", "'#fff' where a colour rrggbb belongs"),
    ("c.hex", "ff 0 0\n", "'ff 0 0'"),
    ("a.pal", "RIFF\x10\x04\x00\x00PAL data", "RIFF palette of Windows"),
    ("b.pal", "JASC-PAL\n0100\n", "promises no colours"),
    ("c.pal", "JASC-PAL\n0100\n3\n\n1 2 3\n", "promises 3 colours, and has 1"),
    ("e.pal", "JASC-PAL\n0100\n1\n1 2 ff\n", "line 4: has 'ff'"),
    ("d.pal", "1 2 3\n", "no JASC palette"),
    ("a.css", "p { color: red }", "holds no colours"),
    ("b.css", ":root { --a: #fff; --w: 4px }", "sets --w to '4px', no colour"),
    ("c.css", ":root { --a: #fff } .d { --a: #000 }", "sets --a twice"),
    ("d.css", ":root { --a: rgb(300, 0, 0) }", "--a to 'rgb(300, 0, 0)'"),
    ("e.css", ":root { --a: transparent }", "holds no colours"),
    ("a.act", "x" * 700, "it has 700 bytes, such a table 768 or 772"),
    ("b.act", "x" * 768 + "\0\0\0\0", "says that it has 0 colours"),
    ("c.act", "x" * 768 + "\1\1\0\0", "says that it has 257 colours"),
    ("a.txt", "0 1 2\n", "2 numbers"),
    ("b.txt", "0 1 2 3\n0 1 2 4\n", "two colours to the value 0"),
    ("c.txt", "50% 1 2 3\n", "line 1: has '50%' where the value of a pixel belongs"),
    ("d.txt", "nan 1 2 3\n", "'nan'"),
    ("e.txt", "3500 white\n", "'white' where a whole number"),
    ("f.txt", ",1,2,3\n", "'' where the value"),
    ("a.qml", "", "no readable XML (no element found"),
    ("b.qml", "<qgis><pipe/></qgis>", "no paletted renderer"),
    (
        "c.qml",
        QML.format('<paletteEntry value="3" color="#000000"/>'),
        "two colours to the value 3",
    ),
    ("d.qml", QML.format('<paletteEntry value="x" color="#000000"/>'), "'x' where the value"),
    ("e.qml", QML.format('<paletteEntry value="1" color="red"/>'), "'red' where a colour"),
    ("f.qml", QML.format('<paletteEntry value="1" color="#000000" alpha="1.5"/>'), "'1.5'"),
    ("g.qml", "<?xml version='1.0' encoding='no-such'?><a/>", "no readable XML"),
    ("h.qml", "<?xml version='1.0' encoding='utf-7'?><a/>", "no readable XML"),
    ("i.qml", '<!DOCTYPE q [<!ENTITY a "x">]><q>&a;</q>', "declares the XML entity 'a'"),
    ("j.qml", '<!DOCTYPE q [<!ENTITY a SYSTEM "file:///etc/passwd">]><q>&a;</q>', "XML entity 'a'"),
    ("k.qml", '<!DOCTYPE q [<!ENTITY % a "x"> %a;]><q/>', "XML entity 'a'"),
    ("l.qml", "<q>&a;</q>", "no readable XML (undefined entity"),
]


@pytest.mark.parametrize(("name", "text", "words"), BAD, ids=[name for name, _, _ in BAD])
def test_a_bad_file_is_one_clear_line(name, text, words, tmp_path):
    (tmp_path / name).write_bytes(text.encode())
    assert_refused(tmp_path / name, words)


@pytest.mark.parametrize("suffix", FORMATS)
@given(data=st.data())
def test_damage_is_found_or_harmless(suffix, data, tmp_path):
    path = tmp_path / f"p{suffix}"
    Palette.from_colors(COLORS, 1).save(path, overwrite=True)
    whole = bytearray(path.read_bytes())
    start = data.draw(st.integers(0, len(whole)))
    whole[start : start + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    path.write_bytes(whole)
    try:
        palette = read_palette(path)
    except InputError:
        assert_refused(path)
    else:
        assert 1 <= palette.k <= 65535


NONSENSE = [(".css", b"/*"), (".css", b"-"), (".css", b"--a:("), (".gpl", b"a"), (".json", b"[")]


@pytest.mark.parametrize(("suffix", "part"), NONSENSE)
def test_long_nonsense_is_refused_soon(suffix, part, tmp_path):
    path = tmp_path / f"p{suffix}"
    path.write_bytes((b"GIMP Palette\n" if suffix == ".gpl" else b"") + part * 2_000_000)
    start = time.monotonic()
    assert_refused(path)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("suffix", FORMATS)
def test_gigabytes_and_devices_are_refused_unread(suffix, tmp_path):
    path = tmp_path / f"p{suffix}"
    with path.open("wb") as file:
        file.truncate(3 << 30)
    assert_refused(path, "is larger than 16 MiB")
    path.unlink()
    path.symlink_to("/dev/zero")
    assert_refused(path, "is no file")
    path.unlink()
    os.mkfifo(path)
    assert_refused(path, "is no file")
    path.unlink()
    assert_refused(path, "no such file")


def test_images_without_a_palette_are_refused(tmp_path, china):
    tifffile.imwrite(tmp_path / "rgb.tif", china, description="words")
    assert_refused(tmp_path / "rgb.tif", "has no palette")
    (tmp_path / "no.tif").write_bytes(b"II*\0" + bytes(50))
    assert_refused(tmp_path / "no.tif", "not a readable TIFF")
    description = '{"bigquant": {"bigquant_palette": 4}}'
    tifffile.imwrite(tmp_path / "new.tif", china, description=description)
    assert_refused(tmp_path / "new.tif", "not a bigquant palette of schema 1 to 3")
    tifffile.imwrite(tmp_path / "cut.tif", china, description=description[:-3])
    assert_refused(tmp_path / "cut.tif", "is no readable JSON")
    os.mkfifo(tmp_path / "pipe.tif")
    assert_refused(tmp_path / "pipe.tif", "is no file")
    da.to_zarr(da.zeros((4, 4)), str(tmp_path / "plain.zarr"))
    assert_refused(tmp_path / "plain.zarr", "holds no palette")
    assert_refused(tmp_path / "none.zarr", "no such file")
    (tmp_path / "empty").mkdir()
    assert_refused(tmp_path / "empty", "holds no palette")
    group = zarr.create_group(tmp_path / "bad.zarr")
    group.attrs["bigquant"] = {"palette": {"bigquant_palette": 1}}
    assert_refused(tmp_path / "bad.zarr", "not a usable palette: it has no colors")
