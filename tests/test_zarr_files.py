"""Chunks that change under a run are noticed, on threads and on workers."""

from __future__ import annotations

import os
import pickle
import shutil
import time

import numpy as np
import pytest
import zarr

import bigquant

PIXELS = np.random.default_rng(0).integers(0, 256, (96, 80, 3), np.uint8)
LAYOUTS = {
    "v2": {"zarr_format": 2},
    "v2 in folders": {"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "/"}},
    "v3": {},
    "v3 sharded": {"shards": (64, 64, 3)},
}


@pytest.fixture(params=LAYOUTS)
def store(request, tmp_path):
    path = tmp_path / "a.zarr"
    zarr.create_array(path, data=PIXELS, chunks=(32, 32, 3), **LAYOUTS[request.param])
    return path


def chunks_of(path):
    marks = ("zarr.json", ".zarray", ".zattrs")
    return sorted(f for f in path.rglob("*") if f.is_file() and f.name not in marks)


def overwrite(path):
    chunks_of(path)[-1].write_bytes(chunks_of(path)[0].read_bytes())


def write_by_zarr(path):
    zarr.open_array(path, mode="r+")[40:50, 40:50] = 9


def replace(path):
    other = path.parent / "other"
    shutil.copy2(chunks_of(path)[-1], other)
    other.rename(chunks_of(path)[-1])


def remove(path):
    chunks_of(path)[-1].unlink()


@pytest.mark.parametrize("change", [overwrite, write_by_zarr, replace, remove])
def test_what_changes_under_a_run_is_an_error(store, change):
    image = bigquant.open_image(store)
    np.testing.assert_array_equal(image.compute(), PIXELS)
    time.sleep(0.02)  # the clock of files is a coarse one
    change(store)
    image = pickle.loads(pickle.dumps(image))  # noqa: S301 - as a worker gets it
    with pytest.raises(bigquant.BigquantError, match=r"a.zarr: .*changed since it was opened"):
        image.compute()
    bigquant.open_image(store).compute()


def test_files_of_the_future_and_chunks_that_were_never_written_are_no_change(tmp_path):
    array = zarr.create_array(tmp_path / "a.zarr", shape=(96, 80), dtype="u1", chunks=(32, 32))
    array[:32] = 7
    future = time.time() + 3600  # unpacked in another time zone
    for file in chunks_of(tmp_path / "a.zarr"):
        os.utime(file, (future, future))
    image = bigquant.open_image(tmp_path / "a.zarr")
    assert image.compute().sum() == 7 * 32 * 80


def test_a_level_or_channel_that_is_not_read_may_change(tmp_path):
    group = zarr.create_group(tmp_path / "g")
    for name in ("0", "1"):
        group.create_array(name, data=PIXELS, chunks=(32, 32, 1))
    image = bigquant.open_image(tmp_path / "g" / "0", bands=(1,))
    time.sleep(0.02)
    group["1"][:] = 3
    array = tmp_path / "g" / "0" / "c"
    for file in array.glob("*/*/2"):
        file.write_bytes(file.read_bytes())
    np.testing.assert_array_equal(image.compute(), PIXELS[..., :1])


def test_two_openings_have_one_name_so_that_a_run_can_go_on(store):
    names = {bigquant.open_image(store).name for _ in range(2)}
    assert len(names) == 1
