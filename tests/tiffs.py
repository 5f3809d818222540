"""Small TIFFs of random samples, and the whole of what is read from one."""

from __future__ import annotations

import struct

import imagecodecs
import numpy as np
import tifffile

from bigquant.raster import Selection
from bigquant.tiff_reader import open_tiff

RNG = np.random.default_rng(7)
SHAPE = (37, 53)


def opened(path):
    raster = open_tiff(str(path), Selection())
    height, width, depth = raster.windows.shape
    return raster, raster.windows[slice(0, height), slice(0, width), slice(0, depth)]


def random(depth, dtype=np.uint8, high=None):
    limits = np.iinfo(dtype)
    top = limits.max if high is None else high
    return RNG.integers(0, top, (*SHAPE, depth), dtype, endpoint=True)


def write(path, samples, **options):
    options = {"metadata": None, "rowsperstrip": 5, **options}
    if samples.shape[2] > 1:
        options.setdefault("planarconfig", "contig")
    tifffile.imwrite(path, samples.squeeze(2) if samples.shape[2] == 1 else samples, **options)
    return path


def write_ycbcr(path, samples, factors, compression, tile):
    """Write YCbCr in data units (TIFF 6.0, section 21), as tags and bytes, by tifffile."""
    across, down = factors
    height, width = samples.shape[:2]
    rows, columns = (16, 32) if tile else (8, width)
    segments = []
    for y in range(0, height, rows):
        for x in range(0, width, columns):
            part = samples[y : y + rows, x : x + columns]
            pad_y = (rows if tile else part.shape[0] + -part.shape[0] % down) - part.shape[0]
            pad_x = (columns if tile else part.shape[1] + -part.shape[1] % across) - part.shape[1]
            part = np.pad(part, ((0, pad_y), (0, pad_x), (0, 0)), mode="edge")
            cut = part.reshape(part.shape[0] // down, down, -1, across, 3).swapaxes(1, 2)
            light = cut[..., 0].reshape(*cut.shape[:2], -1)
            chroma = cut[:, :, 0, 0, 1:]
            units = np.concatenate([light, chroma], axis=2).tobytes()
            segments.append(encode(units, compression))
    options = {"tile": (16, 32)} if tile else {"rowsperstrip": rows}
    tags = [(530, 3, 2, factors, True), (529, 5, 3, (299, 1000, 587, 1000, 114, 1000), True)]
    tags.append((532, 5, 6, (0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1), True))
    tifffile.imwrite(
        path,
        iter(segments),
        shape=samples.shape,
        dtype=np.uint8,
        photometric="rgb",
        compression=compression,
        metadata=None,
        extratags=tags,
        **options,
    )
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.pages[0].tags[262].overwrite(6)


def encode(data, compression):
    codecs = {"lzw": imagecodecs.lzw_encode, "deflate": imagecodecs.zlib_encode}
    return codecs[compression](data)


def cmyk_profile():
    """A small CMYK profile: a table of 2 x 2 x 2 x 2 corners to Lab, made by hand."""
    corners = []
    for c, m, y, k in np.ndindex(2, 2, 2, 2):
        light = (1 - 0.6 * k - 0.15 * (c + m)) * 65280
        corners += [light, 32768 + 9000 * (m - c), 32768 + 9000 * (y - (c + m) / 2)]
    table = np.clip(corners, 0, 65280).astype(">u2").tobytes()
    ramp = np.array([0, 65535], ">u2").tobytes()
    lut = b"mft2" + bytes(4) + bytes([4, 3, 2, 0])
    lut += np.array([65536, 0, 0, 0, 65536, 0, 0, 0, 65536], ">u4").tobytes()
    lut += struct.pack(">HH", 2, 2) + ramp * 4 + table + ramp * 3
    lut += bytes(-len(lut) % 4)
    white = b"XYZ " + bytes(4) + struct.pack(">3I", 0xF6D6, 0x10000, 0xD32D)
    tags = [(b"A2B0", lut), (b"wtpt", white)]
    start = 128 + 4 + 12 * len(tags)
    entries, body = struct.pack(">I", len(tags)), b""
    for name, data in tags:
        entries += name + struct.pack(">II", start + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head = head.ljust(36, b"\0") + b"acsp"
    head = head.ljust(68, b"\0") + struct.pack(">3I", 0xF6D6, 0x10000, 0xD32D)
    return head.ljust(128, b"\0") + entries + body
