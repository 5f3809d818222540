"""Chunks of Zarr arrays that decompress to more than they can be."""

from __future__ import annotations

import numcodecs
import numpy as np
import pytest
import zarr
from children import read_each
from outcomes import refused
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ZstdCodec

import bigquant
from bigquant.errors import DamagedError

PIXELS = np.random.default_rng(0).integers(0, 9, (70, 90, 3)).astype(np.uint16)
V2 = [
    numcodecs.Zlib(),
    numcodecs.GZip(),
    numcodecs.BZ2(),
    numcodecs.LZMA(),
    numcodecs.LZMA(format=3, filters=[{"id": 33}]),
    numcodecs.LZ4(),
    numcodecs.Zstd(),
    numcodecs.Blosc(),
]
V3 = {
    "zstd": ZstdCodec(),
    "gzip": GzipCodec(),
    "blosc": BloscCodec(),
    "zstd crc32c": [ZstdCodec(), Crc32cCodec()],
    "crc32c zstd": [Crc32cCodec(), ZstdCodec()],
    "gzip zstd": [GzipCodec(), ZstdCodec()],
}


def write(path, codec, version, pixels=PIXELS, chunks=(32, 32, 3), **options):
    array = zarr.create_array(
        path,
        shape=pixels.shape,
        dtype=pixels.dtype,
        chunks=chunks,
        compressors=codec,
        zarr_format=version,
        **options,
    )
    array[:] = pixels
    return path


@pytest.mark.parametrize("codec", V2, ids=lambda codec: codec.codec_id)
@pytest.mark.parametrize("filters", [None, [numcodecs.Delta("u2")], [numcodecs.Zlib()]])
def test_chunks_of_version_2_are_read(tmp_path, codec, filters):
    path = write(tmp_path / "a.zarr", codec, 2, filters=filters)
    np.testing.assert_array_equal(bigquant.open_image(path).compute(), PIXELS)


@pytest.mark.parametrize("codec", V3.values(), ids=V3)
@pytest.mark.parametrize("shards", [None, (64, 64, 3)])
def test_chunks_of_version_3_are_read(tmp_path, codec, shards):
    path = write(tmp_path / "a.zarr", codec, 3, shards=shards)
    np.testing.assert_array_equal(bigquant.open_image(path).compute(), PIXELS)


def test_chunks_that_decompress_to_more_than_they_can_be_are_refused_in_little_memory(tmp_path):
    """Arrays whose metadata give smaller chunks than their chunks are."""
    small, paths = np.ones((64, 64), np.uint8), []
    large = np.ones((1 << 28,), np.uint8)
    for number, codec in enumerate([numcodecs.Zlib(), numcodecs.Zstd(), numcodecs.LZ4()]):
        paths.append(write(tmp_path / f"{number}.zarr", codec, 2, small, small.shape))
        (paths[-1] / "0.0").write_bytes(codec.encode(large))
    for codec in (ZstdCodec(), GzipCodec(level=1)):
        path = write(tmp_path / "large.zarr", codec, 3, large, large.shape, overwrite=True)
        paths.append(write(tmp_path / f"{len(paths)}.zarr", codec, 3, small, small.shape))
        (paths[-1] / "c/0/0").write_bytes((path / "c/0").read_bytes())
    for outcome in read_each(paths):
        assert outcome.said.startswith(f"{outcome.path}: a chunk is damaged ("), outcome
        assert "\n" not in outcome.said
        assert (outcome.status, outcome.memory < 300e6) == (0, True)


@pytest.mark.parametrize("length", [64 * 64 - 1, 64 * 64 + 1])
@pytest.mark.parametrize("codec", V2, ids=lambda codec: codec.codec_id)
def test_chunks_of_another_length_are_damaged(tmp_path, codec, length):
    path = write(tmp_path / "a.zarr", codec, 2, np.zeros((64, 64), np.uint8), (64, 64))
    (path / "0.0").write_bytes(codec.encode(bytes(length)))
    with refused(path, DamagedError, "a chunk is damaged"):
        bigquant.open_image(path).compute()
