"""Flat files of every kind, and how they are read: at once, staged, or in a process of its own."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image as pillow

import bigquant
from bigquant import flat_reader, staging, tiff_page

DEEP = np.random.default_rng(0).integers(0, 1 << 16, (61, 83, 4), np.uint16)


def read(path, stage=False):
    """The pixels, decoded at once or staged."""
    with pytest.MonkeyPatch.context() as patch:
        if stage:
            patch.setattr(staging, "_LONGEST", 32)
            for reader in (flat_reader, tiff_page):
                patch.setattr(reader, "BLOCK_BYTES", 0)
        image = bigquant.open_image(path)
        assert bool(image.staged) == stage
        return image.compute()


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


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(png, kind, data):
    start = png.index(b"IDAT") - 4
    return png[:start] + chunk(kind, data) + png[start:]


PROGRAM = r"""
import json, re, sys
import bigquant, dask
dask.config.set(scheduler="sync")
try:
    image = bigquant.open_image(sys.argv[1])
    told = [image[:512, :512].max().compute().item(), image[-9:, -9:].max().compute().item()]
except bigquant.BigquantError as error:
    told = str(error)
# not ru_maxrss, which a process has from the one that started it
peak = int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1])
print(json.dumps([peak * 1.024 / 1000, told]))
"""


def measured(path):
    """Peak memory, in MB, of a process that opens and reads a file; what it tells of it."""
    command = [sys.executable, "-c", PROGRAM, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return json.loads(done.stdout)
