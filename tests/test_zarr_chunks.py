"""Chunks of Zarr v2 as they are made here, read by zarr; none is missing or written twice."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from bigquant import BigquantError, InputError, Palette, omezarr, open_image, quantize
from bigquant.source import Source
from bigquant.write import write_zarr
from bigquant.zarr_chunks import COMPRESSOR, encode_chunks
from bigquant.zarr_store import FolderStore

PALETTE = Palette.from_colors([[36 * i, 255 - 30 * i, 7 * i] for i in range(8)])


def random_labels(shape, chunks):
    labels = np.random.default_rng(1).integers(1, 8, shape, dtype=np.uint8)
    return labels, da.from_array(labels, chunks=chunks)


@given(
    st.tuples(st.integers(1, 100), st.integers(1, 100)),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.sampled_from([(None, "u1"), (None, "u2"), (1, "u1"), (3, "u1")]),
    st.integers(0, 2**31),
)
def test_zarr_reads_what_is_written(tmp_path_factory, shape, first, kind, seed):
    depth, dtype = kind
    inner = (48, 32)
    lead = () if depth is None else (depth,)
    pixels = np.random.default_rng(seed).integers(0, 40_000, (*shape, *lead)).astype(dtype)
    corner = [n * step for n, step in zip(first, inner, strict=True)]
    array = zarr.create_array(
        tmp_path_factory.mktemp("chunks") / "a.zarr",
        shape=(*lead, corner[0] + shape[0], corner[1] + shape[1]),
        chunks=(*lead, *inner),
        dtype=dtype,
        compressors=COMPRESSOR,
        filters=None,
        zarr_format=2,
        fill_value=0,
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )
    folder = array.store.root / ("" if depth is None else "0")
    for row in range(10):
        (folder / str(row)).mkdir(parents=True)
    for row, column, data in encode_chunks(pixels, inner):
        (folder / str(first[0] + row) / str(first[1] + column)).write_bytes(data)
    expected = pixels if depth is None else np.moveaxis(pixels, 2, 0)
    np.testing.assert_array_equal(array[..., corner[0] :, corner[1] :], expected)


SIDES = st.lists(
    st.one_of(st.integers(1, 1300), st.sampled_from([16, 55, 100, 512, 600, 1024, 1040])),
    min_size=1,
    max_size=3,
).map(tuple)


@settings(max_examples=15)
@given(SIDES, SIDES)
def test_no_chunk_has_two_writers_for_chunks_of_any_kind(tmp_path_factory, rows, columns):
    labels, lazy = random_labels((sum(rows), sum(columns)), (rows, columns))
    path = tmp_path_factory.mktemp("writers") / "o.zarr"
    written = []

    def record(store, files, put=FolderStore.put):
        written.extend(files)
        put(store, files)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FolderStore, "put", record)
        write_zarr(path, lazy, PALETTE, Source(), content="labels", ome_zarr="0.4")
    stored = zarr.open_array(path / omezarr.LABELS / "0", mode="r")
    np.testing.assert_array_equal(stored[:], labels)
    assert len(set(written)) == len(written) > 0
    files = [f for f in path.rglob("*") if f.is_file() and not f.name.startswith(".")]
    assert len(files) == len(written)


@pytest.mark.parametrize("value", [0, 5])
def test_every_chunk_is_stored_even_one_of_zeros(value, tmp_path):
    lazy = da.full((2100, 1500), value, np.uint8, chunks=(1024, 1024))
    write_zarr(tmp_path / "o.zarr", lazy, PALETTE, Source(), ome_zarr="0.4")
    for name in ("0", f"{omezarr.LABELS}/0"):
        array = zarr.open_array(tmp_path / "o.zarr" / name, mode="r")
        assert array.nchunks_initialized == array.nchunks > 1


def test_a_missing_chunk_is_noticed(tmp_path, monkeypatch):
    _, lazy = random_labels((1100, 1100), (1100, 1100))

    def lose_one(store, files, put=FolderStore.put):
        put(store, {name: data for name, data in files.items() if not name.endswith("/1/2")})

    monkeypatch.setattr(FolderStore, "put", lose_one)
    with pytest.raises(BigquantError, match=r"missing blocks: 2, e\.g\. 0/0/1/2: choose"):
        write_zarr(tmp_path / "o.zarr", lazy, PALETTE, Source(), ome_zarr="0.4")
    assert not list(tmp_path.iterdir())


def test_an_unknown_version_is_refused_before_any_work(tmp_path, rng):
    result = quantize(rng.integers(0, 256, (20, 30, 3), np.uint8), 4)
    with pytest.raises(InputError, match=r"ome_zarr='0\.3': must be one of"):
        result.to_zarr(tmp_path / "o.zarr", ome_zarr="0.3")
    assert not list(tmp_path.iterdir())


def test_attributes_and_palette_are_those_of_the_other_version(tmp_path, rng):
    result = quantize(rng.integers(0, 256, (20, 30, 3), np.uint8), 4)
    found = []
    for version in omezarr.VERSIONS:
        path = tmp_path / f"{version}.zarr"
        result.to_zarr(path, ome_zarr=version)
        group = zarr.open_group(path, mode="r")
        found.append(group.attrs["bigquant"])
        assert group.metadata.zarr_format == (3 if version == "0.5" else 2)
        np.testing.assert_array_equal(open_image(path / "0").compute(), result.image.compute())
    assert found[0] == found[1]


@pytest.mark.slow
def test_a_palette_that_was_not_fitted_has_no_shares_and_65535_colors_are_described(tmp_path):
    colors = np.stack(np.unravel_index(np.arange(65535), (41, 41, 41)), axis=1)
    palette = Palette.from_colors(colors)
    lazy = da.zeros((4, 4), dtype=np.uint16)
    for version in omezarr.VERSIONS:
        write_zarr(tmp_path / f"{version}.zarr", lazy, palette, Source(), ome_zarr=version)
        group = zarr.open_group(tmp_path / f"{version}.zarr" / omezarr.LABELS, mode="r")
        attributes = group.attrs.asdict()
        facts = attributes.get("ome", attributes)["image-label"]
        assert facts["properties"][65534] == {"label-value": 65534, "hex": palette.hex[-1]}
        assert len(facts["colors"]) == len(facts["properties"]) == 65535
