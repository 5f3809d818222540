"""Shards as they are made here, read by zarr, and what zarr itself would have written."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from bigquant.zarr_shard import codec, encode_shard


def make_array(folder, shape, inner, shard, dtype, depth=None):
    lead = () if depth is None else (depth,)
    return zarr.create_array(
        folder,
        shape=(*lead, *shape),
        chunks=(*lead, *shard),
        dtype=dtype,
        serializer=codec(inner, depth),
        compressors=None,
        fill_value=0,
    )


@given(
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 100), st.integers(1, 100)),
    st.sampled_from([(None, "u1"), (None, "u2"), (1, "u1"), (3, "u1")]),
    st.integers(0, 2**31),
)
def test_zarr_reads_what_is_written(tmp_path_factory, grid, shape, kind, seed):
    depth, dtype = kind
    inner = (48, 32)
    shard = (inner[0] * grid[0], inner[1] * grid[1])
    shape = tuple(min(side, step) for side, step in zip(shape, shard, strict=True))
    lead = () if depth is None else (depth,)
    pixels = np.random.default_rng(seed).integers(0, 40_000, (*shape, *lead)).astype(dtype)
    folder = tmp_path_factory.mktemp("shard")
    array = make_array(folder / "a.zarr", shape, inner, shard, dtype, depth)
    place = folder / "a.zarr" / "c" / ("" if depth is None else "0") / "0"
    place.mkdir(parents=True)
    (place / "0").write_bytes(b"".join(encode_shard(pixels, inner, shard)))
    expected = pixels if depth is None else np.moveaxis(pixels, 2, 0)
    np.testing.assert_array_equal(array[:], expected)


def test_the_bytes_are_those_of_zarr(tmp_path, rng):
    """Chunks in the order of the index; zarr may lay them in another, so each is compared."""
    pixels = rng.integers(0, 9, (100, 90)).astype(np.uint8)
    array = make_array(tmp_path / "a.zarr", (100, 90), (32, 32), (128, 96), "u1")
    array.with_config({"write_empty_chunks": True})[:] = pixels
    theirs = (tmp_path / "a.zarr/c/0/0").read_bytes()
    ours = b"".join(encode_shard(pixels, (32, 32), (128, 96)))
    assert len(ours) == len(theirs)

    def chunks(data):
        index = np.frombuffer(data[-4 - 12 * 16 : -4], "<u8").reshape(-1, 2).tolist()
        return [data[offset : offset + size] for offset, size in index]

    assert chunks(ours) == chunks(theirs)


def test_a_damaged_index_is_noticed(tmp_path, rng):
    pixels = rng.integers(0, 9, (64, 64)).astype(np.uint8)
    array = make_array(tmp_path / "a.zarr", (64, 64), (32, 32), (64, 64), "u1")
    place = tmp_path / "a.zarr/c/0"
    place.mkdir(parents=True)
    data = bytearray(b"".join(encode_shard(pixels, (32, 32), (64, 64))))
    data[-10] ^= 1
    (place / "0").write_bytes(data)
    with pytest.raises(ValueError, match="checksum"):
        array[:]
