"""Palette files: round trips, other programs, files of other programs."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
import zlib
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import GimpPaletteFile
from PIL import Image as pillow

from bigquant import palette_formats
from bigquant.errors import InputError
from bigquant.palette import Palette
from bigquant.palette_files import read_own_palette, read_palette
from bigquant.pipeline import quantize

FORMATS = [".json", *palette_formats.SUFFIXES]
RESERVING = [".json", ".css", ".act", ".txt", ".qml"]
SMALL = [".act", ".pal"]
COLORS = [[232, 240, 249], [0, 0, 0], [26, 23, 16], [255, 255, 255]]


@st.composite
def drawn(draw, most=256):
    """Draw a palette, gray or RGB, with repeated colours, with a reserved label or without."""
    depth = draw(st.sampled_from([1, 3]))
    row = st.lists(st.integers(0, 255), min_size=depth, max_size=depth)
    first_label = draw(st.integers(0, 1))
    colors = draw(st.lists(row, min_size=1, max_size=most - first_label))
    return Palette.from_colors(colors, first_label)


def saved(palette, path):
    palette.save(path, overwrite=True)
    return path


# ---------------------------------------------------------------- round trips


@pytest.mark.parametrize("suffix", FORMATS)
@given(palette=drawn())
def test_what_is_written_is_read_back(suffix, palette, tmp_path):
    read = read_palette(saved(palette, tmp_path / f"p{suffix}"))
    np.testing.assert_array_equal(read.rgb, palette.rgb)
    assert read.first_label == (palette.first_label if suffix in RESERVING else 0)
    assert read.colors.shape[1] == (palette.colors.shape[1] if suffix == ".json" else 3)
    again = saved(read, tmp_path / f"again{suffix}")
    assert again.read_bytes() == (tmp_path / f"p{suffix}").read_bytes() or suffix not in RESERVING


@pytest.mark.parametrize("suffix", FORMATS)
def test_palettes_of_more_than_256_colours(suffix, tmp_path, rng):
    palette = Palette.from_colors(rng.integers(0, 256, (65535, 3)))
    path = tmp_path / f"p{suffix}"
    if suffix not in SMALL:
        np.testing.assert_array_equal(read_palette(saved(palette, path)).colors, palette.colors)
        return
    with pytest.raises(InputError, match=r"p\.\w+: .* at most 256 colours, not 65535: choose"):
        palette.save(path)
    assert not list(tmp_path.iterdir())


def test_a_reserved_label_counts_among_the_256_of_an_adobe_table(tmp_path):
    with pytest.raises(InputError, match="at most 256 colours, not 257"):
        Palette.from_colors(np.zeros((256, 3)), 1).save(tmp_path / "p.act")
    Palette.from_colors(np.zeros((256, 3)), 1).save(tmp_path / "p.pal")


def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path):
    (tmp_path / "p.aco").touch()
    for act in (Palette.from_colors([[1]]).save, Palette.load, read_palette):
        with pytest.raises(InputError, match=r"p\.aco: .* ends in \.json, \.gpl, .*\.qml$"):
            act(tmp_path / "p.aco")


def test_a_file_is_replaced_only_when_asked(tmp_path):
    path = saved(Palette.from_colors([[1]]), tmp_path / "P.GPL")
    with pytest.raises(InputError, match="exists already"):
        Palette.from_colors([[2]]).save(path)
    assert read_palette(path).hex == ["#010101"]
    assert list(tmp_path.iterdir()) == [path]


# ---------------------------------------------------------------- other programs


@given(palette=drawn())
def test_pillow_reads_the_gimp_palette(palette, tmp_path):
    data = saved(palette, tmp_path / "p.gpl").read_bytes()
    read, mode = GimpPaletteFile.GimpPaletteFile(io.BytesIO(data)).getpalette()
    assert mode == "RGB"
    assert read == palette.rgb.tobytes()


@pytest.mark.skipif(not shutil.which("gdaldem"), reason="needs GDAL's programs")
@pytest.mark.parametrize("first_label", [0, 1])
def test_gdal_paints_labels_in_the_colours_of_the_table(first_label, tmp_path, rng):
    palette = Palette.from_colors(rng.integers(0, 256, (40, 3)), first_label)
    palette.save(tmp_path / "p.txt")
    labels = rng.integers(0, 40 + first_label, (30, 50)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "labels.tif", labels)
    command = ["gdaldem", "color-relief", "labels.tif", "p.txt", "out.tif", "-q"]
    # not by -exact_color_entry: GDAL 3.6.2 finds only the first entry so, in any table
    subprocess.run([*command, "-alpha", "-nearest_color_entry"], cwd=tmp_path, check=True)
    painted = np.asarray(pillow.open(tmp_path / "out.tif"))
    np.testing.assert_array_equal(painted[..., :3], palette.table[labels])
    np.testing.assert_array_equal(painted[..., 3], np.where(labels < first_label, 0, 255))


def test_an_xml_library_reads_the_qgis_style(tmp_path):
    path = saved(Palette.from_colors(COLORS, 1), tmp_path / "p.qml")
    style = ElementTree.parse(path).getroot()
    renderer = style.find("pipe/rasterrenderer")
    assert (style.tag, renderer.get("type"), renderer.get("band")) == ("qgis", "paletted", "1")
    entries = [
        (entry.get("value"), entry.get("color"), entry.get("alpha"))
        for entry in renderer.findall("colorPalette/paletteEntry")
    ]
    assert entries[:3] == [("0", "#000000", "0"), ("1", "#e8f0f9", "255"), ("2", "#000000", "255")]
    assert len(entries) == 5


def test_the_adobe_table_is_laid_out_as_documented(tmp_path):
    data = saved(Palette.from_colors(COLORS), tmp_path / "p.act").read_bytes()
    assert data == np.array(COLORS, np.uint8).tobytes().ljust(768, b"\0") + struct.pack(
        ">HH", 4, 0xFFFF
    )
    data = saved(Palette.from_colors(COLORS, 1), tmp_path / "p.act").read_bytes()
    assert data[:6] == b"\0\0\0" + bytes(COLORS[0])
    assert data[768:] == struct.pack(">HH", 5, 0)


def test_texts_are_as_other_programs_expect_them(tmp_path):
    palette = Palette.from_colors(COLORS[:2], 1)
    texts = {
        "pal": b"JASC-PAL\r\n0100\r\n2\r\n232 240 249\r\n0 0 0\r\n",
        "hex": b"e8f0f9\n000000\n",
        "txt": b"0 0 0 0 0\n1 232 240 249 255\n2 0 0 0 255\n",
        "css": b":root {\n"
        b"  --color-0: transparent;\n  --color-1: #e8f0f9;\n  --color-2: #000000;\n}\n",
    }
    for suffix, text in texts.items():
        assert saved(palette, tmp_path / f"p.{suffix}").read_bytes() == text


# ---------------------------------------------------------------- files of other programs

QML = """<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.28.1-Firenze" styleCategories="AllStyleCategories"><pipe>
<rasterrenderer type="paletted" alphaBand="-1" nodataColor="" band="1" opacity="1">
<colorPalette>
<paletteEntry label="Åker" value="41" color="#0000FF" alpha="255"/>
<paletteEntry label="3 &amp; more" value="3" color="#ff0000"/>
{}</colorPalette></rasterrenderer></pipe></qgis>"""

FOREIGN = [
    ("a.gpl", "GIMP Palette\n255 0 0 \n0\t0\t255\tDeep  blue\n", 0),  # old: without a name
    (
        "b.gpl",
        "GIMP Palette\r\nName: N\r\nChannels: RGBA\r\n#\r\n\r\n255 0 0 255 x\r\n  0 0 255",
        0,
    ),
    ("a.hex", "\ufeff#FF0000\r\n\r\n0000ff", 0),
    ("a.pal", "JASC-PAL\n0100\n2\n255 0 0\n0 0 255 255\n", 0),
    ("a.css", "/* a: */ .x { margin: 0; --r: RED; /* --n: #fff; */ --b: rgb(0, 0, 255) }", 0),
    ("b.css", ":root{--none:#fff0;--r:#f00;--b:hsl(240,100%,50%)}", 1),
    ("a.txt", "# GDAL\n0 255 0 0\n10.5,0,0,255\n", 0),
    ("b.txt", "100 0:0:255\n-3e2 255\t0\t0 255\nnv 0 0 0 0\n", 1),
    ("c.txt", "# QGIS Export\nINTERPOLATION:EXACT\n7,255,0,0,255,A b\n9,0,0,255,128,C", 0),
    ("a.qml", QML.format(""), 0),
    ("b.qml", QML.format('<paletteEntry value="-9999" color="#000000" alpha="0"/>'), 1),
]


@pytest.mark.parametrize(("name", "text", "first_label"), FOREIGN, ids=[n for n, _, _ in FOREIGN])
def test_files_of_other_programs(name, text, first_label, tmp_path):
    (tmp_path / name).write_bytes(text.encode())
    palette = read_palette(tmp_path / name)
    assert palette.hex == ["#ff0000", "#0000ff"]
    assert palette.first_label == first_label


def test_adobe_tables_of_other_programs(tmp_path):
    colors = np.arange(768).astype(np.uint8)
    (tmp_path / "old.act").write_bytes(colors.tobytes())
    np.testing.assert_array_equal(read_palette(tmp_path / "old.act").colors.ravel(), colors)
    (tmp_path / "gif.act").write_bytes(colors.tobytes() + struct.pack(">HH", 3, 1))
    palette = read_palette(tmp_path / "gif.act")  # the transparent colour is in the middle
    assert palette.colors.tolist() == [[0, 1, 2], [6, 7, 8]]
    assert palette.first_label == 1


# ---------------------------------------------------------------- images with a palette


@pytest.mark.parametrize("depth", [1, 3, 4])
@pytest.mark.parametrize("output", ["out.zarr", "out.tif"])
def test_the_palette_of_an_output(output, depth, tmp_path, rng):
    image = rng.integers(0, 256, (20, 30, depth), np.uint8) & 0xF0
    result = quantize(image, 7)
    getattr(result, "to_" + output[4:].replace("tif", "tiff"))(tmp_path / output)
    assert read_palette(tmp_path / output).as_json() == result.palette.as_json()


def test_the_palette_in_the_ome_xml_of_an_output(tmp_path, rng):
    palette = quantize(rng.integers(0, 256, (20, 30, 4), np.uint8), 3).palette
    palette = palette.with_facts(sources=["/a & <b>/c.tif"])
    value = json.dumps({"bigquant": palette.as_json()})
    xml = tifffile.OmeXml()
    annotation = {"Namespace": "bigquant/palette", "Value": value}
    xml.addimage(np.uint8, (4, 4), (1, 1, 1, 4, 4, 1), axes="YX", CommentAnnotation=annotation)
    indexed = {"photometric": "palette", "colormap": np.zeros((3, 256), np.uint16)}
    labels = np.zeros((4, 4), np.uint8)
    description = (xml.tostring() + "<!-- {} -->").encode()
    tifffile.imwrite(tmp_path / "p.tif", labels, description=description, metadata=None, **indexed)
    assert read_palette(tmp_path / "p.tif").as_json() == palette.as_json()


def test_the_colour_map_of_any_tiff(tmp_path, china):
    picture = pillow.fromarray(china).quantize(16)
    picture.save(tmp_path / "p.tif")
    palette = read_palette(tmp_path / "p.tif")
    colors = np.array(picture.getpalette()).reshape(-1, 3)
    np.testing.assert_array_equal(palette.colors[: len(colors)], colors)


def test_the_palette_in_a_png_of_more_pixels_than_pillow_opens(tmp_path, china):
    result = quantize(china, 7)
    result.to_png(tmp_path / "p.png")
    data = (tmp_path / "p.png").read_bytes()
    header = b"IHDR" + struct.pack(">II", 20_000, 10_000) + data[24:29]
    claim = header + struct.pack(">I", zlib.crc32(header))
    (tmp_path / "p.png").write_bytes(data[:12] + claim + data[33:])
    with pytest.raises(pillow.DecompressionBombError):
        pillow.open(tmp_path / "p.png")
    assert read_own_palette(tmp_path / "p.png").as_json() == result.palette.as_json()
