"""Where the work runs, and how it ends when people press Ctrl-C."""

from __future__ import annotations

import os
import pty
import signal
import socket
import sys
import threading
import time
from contextlib import suppress

import dask
import dask.array as da
import numpy as np
import psutil
import pytest
import tifffile
from distributed import LocalCluster
from processes import assert_nothing_is_left, fitting, press_ctrl_c, read_until, wait_until_written

from bigquant import BigquantError, InputError, Palette, quantize
from bigquant.asking import current_client
from bigquant.cli import main
from bigquant.cluster import running_on
from bigquant.source import Source
from bigquant.write import write_zarr

#: Not pandas: where xarray is installed, dask.array imports both.
HEAVY = {"dask_ml", "dask_ml.cluster", "sklearn.cluster"}


@pytest.fixture(scope="module")
def local():
    """A cluster that somebody else has started: two threads of this process."""
    options = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "memory_limit": 0}
    options |= {"dashboard_address": None, "scheduler_kwargs": {"dashboard_address": ":0"}}
    with LocalCluster(**options) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def expected(china):
    """The photo quantized by threads: palette and labels."""
    result = quantize(china, 8)
    return result.palette, result.labels.compute()


@pytest.fixture
def busy_port():
    """Somebody has taken the port of Dask's dashboard, as a second run on the machine has."""
    with socket.socket() as taken:
        with suppress(OSError):  # it is taken already
            taken.bind(("127.0.0.1", 8787))
            taken.listen()
        yield


@pytest.fixture
def lazy(china):
    return da.from_array(china, chunks=(200, 250, 3))


# ---------------------------------------------------------------- schedulers


def test_threads_run_it_by_default():
    with running_on() as client:
        assert client is None
        assert current_client() is None
        assert dask.config.get("scheduler") == "threads"
    assert dask.config.get("scheduler", None) is None


def test_workers_give_the_same_and_never_import_what_only_fits_need(
    lazy, expected, tmp_path, busy_port, monkeypatch
):
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)  # clusters before it set it
    with running_on(workers=2) as client:
        assert current_client() is client
        result = quantize(lazy, 8)
        result.to_tiff(tmp_path / "out.tif")
        loaded = client.run(lambda: sorted(sys.modules))
        pids = set(client.run(os.getpid).values())
        trimmed = set(client.run(os.environ.get, "MALLOC_TRIM_THRESHOLD_").values())
    assert len(pids - {os.getpid()}) == 2
    assert trimmed == {None}
    assert any("bigquant.levels" in modules for modules in loaded.values())
    assert not any(HEAVY & set(modules) for modules in loaded.values())
    palette, labels = expected
    np.testing.assert_array_equal(result.palette.centers, palette.centers)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), labels)
    assert current_client() is None
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_running_cluster_is_used_and_left_running(local, lazy, expected, tmp_path):
    with running_on(local.scheduler_address) as client:
        assert client.scheduler.address == local.scheduler_address
        quantize(lazy, 8).to_tiff(tmp_path / "out.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), expected[1])
    assert current_client() is None
    assert local.status.name == "running"


@pytest.mark.parametrize("by", ["option", "environment"])
def test_fit_runs_on_the_cluster_it_is_told(by, local, china, tmp_path, monkeypatch, capfd):
    tifffile.imwrite(tmp_path / "photo.tif", china, tile=(64, 64), photometric="rgb")
    options = ["--scheduler", local.scheduler_address]
    if by == "environment":
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", options.pop())
        options.pop()
    before = local.scheduler.transition_counter
    assert main(["fit", str(tmp_path / "photo.tif"), "-k", "4", "-q", *options]) == 0
    assert local.scheduler.transition_counter > before
    assert capfd.readouterr() == ("", "")
    assert (tmp_path / "photo.k4.zarr/zarr.json").is_file()


def test_a_task_that_fails_on_a_cluster_leaves_nothing(local, tmp_path):
    def fail(block):
        raise BigquantError("the disk is full")

    labels = da.zeros((2048, 2048), dtype=np.uint8, chunks=(1024, 1024))
    broken = labels.map_blocks(fail, dtype=np.uint8, meta=np.empty((0, 0), np.uint8))
    with (
        running_on(local.scheduler_address),
        pytest.raises(BigquantError, match="the disk is full"),
    ):
        write_zarr(tmp_path / "out.zarr", broken, Palette.from_colors([[0, 0, 0]]), Source())
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_interrupted_run_waits_for_its_workers(tmp_path):
    """A worker that has begun to write a block writes on: that must not bring the folder back."""
    flag = tmp_path / "begun"

    def dawdle():
        from bigquant.zarr_store import FolderStore

        def put(*arguments, put=FolderStore.put):
            flag.touch()
            time.sleep(1.5)
            put(*arguments)

        FolderStore.put = put

    def interrupt():
        while not flag.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    labels = da.zeros((1024, 1024), dtype=np.uint8, chunks=1024)
    (tmp_path / "folder").mkdir()
    # whoever starts the tests in the background has them ignore it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with running_on(workers=1) as client:
        client.run(dawdle)
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            write_zarr(
                tmp_path / "folder/out.zarr", labels, Palette.from_colors([[0, 0, 0]]), Source()
            )
        time.sleep(2)
    assert not list((tmp_path / "folder").rglob("*"))


@pytest.mark.parametrize("address", ["gopher://127.0.0.1:1", "127.0.0.1:nine"])
def test_an_address_that_is_none_is_refused_and_changes_nothing(address):
    with (
        dask.config.set(scheduler=None),
        pytest.raises(InputError, match="no Dask scheduler answers at"),
        running_on(address),
    ):
        pass
    assert current_client() is None


# ---------------------------------------------------------------- Ctrl-C


@pytest.mark.parametrize("options", [[], ["--workers", "2"]], ids=["threads", "workers"])
def test_ctrl_c_while_writing_leaves_what_a_rerun_needs(options, large, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with fitting(large, *options) as process:
        wait_until_written(process)
        press_ctrl_c(process)
        out, err = process.communicate(timeout=60)
        assert_nothing_is_left(tmp_path, process.pid, ".out.zarr.partial")
    assert process.returncode == 130
    assert out == b""
    left = tmp_path / ".out.zarr.partial"
    words = f"interrupted: the same command goes on with what lies in {left}"
    assert err.decode().strip() == f"bigquant: error: {words}"


def test_ctrl_c_while_counting_on_a_terminal_leaves_nothing(large, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERM", "xterm-256color")
    ours, theirs = pty.openpty()
    with fitting(large, stderr=theirs) as process:
        os.close(theirs)
        shown = read_until(ours, b"counting colors")
        press_ctrl_c(process)
        shown += read_until(ours, b"nothing was written")
        assert process.wait(timeout=60) == 130
        assert_nothing_is_left(tmp_path, process.pid)
    os.close(ours)
    assert b"bigquant: error: interrupted: nothing was written" in shown
    assert b"Traceback" not in shown
