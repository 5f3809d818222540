"""What would wait on a cluster for ever ends with an error that says why."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import dask
import dask.array as da
import numpy as np
import pytest
import tifffile
from distributed import Client, LocalCluster

import bigquant
from bigquant import asking, probes, watch
from bigquant.cluster import running_on
from bigquant.errors import ClusterLost
from bigquant.watch import compute

OPTIONS = {"processes": False, "dashboard_address": None, "threads_per_worker": 1}
OPTIONS |= {"scheduler_kwargs": {"dashboard_address": ":0"}, "memory_limit": 0}


@pytest.fixture
def impatient(monkeypatch):
    for name in ("_LOOK_SECONDS", "_EMPTY_SECONDS", "_IDLE_SECONDS", "_SILENT_SECONDS"):
        monkeypatch.setattr(watch, name, 0.2)


def holds_nothing(scheduler):
    give_up = time.monotonic() + 5
    while scheduler.tasks and time.monotonic() < give_up:
        time.sleep(0.05)
    return not scheduler.tasks


def nap(block):
    time.sleep(3)
    return block


def end(block):
    os._exit(1)


def moody(block):
    TRIES.append(1)
    if len(TRIES) < 3:
        raise OSError("stale file handle")
    return block


TRIES = []
NAPPING = da.zeros((2, 2), chunks=1).map_blocks(nap, dtype=float, meta=np.empty((0, 0)))


@pytest.mark.parametrize("where", ["threads", "cluster"])
def test_it_computes_what_dask_computes(where, request):
    if where == "cluster":
        request.getfixturevalue("client")
    numbers = da.arange(10, chunks=3)
    found, nothing, total = compute(numbers + 1, None, numbers.sum())
    np.testing.assert_array_equal(found, np.arange(1, 11))
    assert (nothing, total) == (None, 45)


def test_threads_that_are_asked_for_go_before_a_cluster(client):
    with dask.config.set(scheduler="threads"):
        assert asking.computing_client() is None
    assert asking.computing_client() is client


def test_a_task_that_fails_is_tried_again(client, china):
    lazy = da.from_array(china, chunks=-1)
    lazy = lazy.map_blocks(moody, dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))
    assert bigquant.quantize(lazy, 4).palette.k == 4
    assert len(TRIES) == 3


def test_what_is_shipped_is_shipped_by_name(china, tmp_path, monkeypatch):
    """What stands in no module would be shipped as code, for one Python only."""
    tifffile.imwrite(tmp_path / "photo.tif", china, tile=(64, 64), photometric="rgb")
    planned = []

    def keep(*collections):
        planned.extend(each for each in collections if each is not None)
        return dask.compute(*collections)

    for module in ("fitting", "kmeans", "levels", "histogram"):
        monkeypatch.setattr(f"bigquant.{module}.compute", keep)
    monkeypatch.setattr("bigquant.histogram.persist", lambda each: keep(each) and each.persist())
    result = bigquant.quantize(bigquant.open_image(tmp_path / "photo.tif"), 4)
    result.to_zarr(tmp_path / "out.zarr")
    result.to_tiff(tmp_path / "out.tif")
    assert len(planned) > 4
    for each in planned:
        pickle.dumps(dict(each.__dask_graph__()))  # it refuses functions of no module


def test_a_task_may_quantize_too(client, china):
    """On a cluster whose only free thread is its own."""

    def colors(photo):
        return bigquant.quantize(photo, 4).palette.hex

    found = [client.submit(colors, china, pure=False) for _ in range(2)]
    assert client.gather(found) == [bigquant.quantize(china, 4).palette.hex] * 2


def test_nothing_stays_on_the_cluster(client, cluster, china):
    lazy = da.from_array(china, chunks=(200, 250, 3))
    result = bigquant.quantize(lazy, 4)
    assert result.palette.k == 4
    assert holds_nothing(cluster.scheduler), list(cluster.scheduler.tasks)

    def fail(block):
        raise ZeroDivisionError("a task of ours")

    broken = lazy.map_blocks(fail, dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))
    with pytest.raises(ZeroDivisionError, match="a task of ours"):
        bigquant.quantize(broken, 4)
    assert holds_nothing(cluster.scheduler)


def test_an_interrupt_is_heard_and_leaves_nothing(client, cluster):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        compute(NAPPING)
    assert time.monotonic() - start < 2.5
    assert holds_nothing(cluster.scheduler)


def test_a_cluster_that_has_no_workers(impatient):
    with (
        LocalCluster(n_workers=0, **OPTIONS) as empty,
        Client(empty),
        pytest.raises(bigquant.BigquantError, match=r"at inproc://.* has no workers: see in"),
    ):
        compute(NAPPING)


def test_workers_that_cannot_reach_each_other(client, impatient, monkeypatch):
    async def reach(addresses, dask_worker):
        return {one: "no answer" for one in addresses if one != dask_worker.address}

    monkeypatch.setattr(probes, "reach", reach)
    words = r"worker inproc://\S+ cannot connect to worker inproc://\S+ \(no answer\): open"
    with pytest.raises(bigquant.BigquantError, match=words):
        compute(NAPPING)


def test_slow_tasks_are_waited_for(client, impatient):
    assert compute(NAPPING.sum()) == (0,)


def test_a_worker_that_has_stopped(impatient, monkeypatch):
    monkeypatch.setattr(watch, "_ANSWER_SECONDS", 6)
    options = OPTIONS | {"processes": True}
    with LocalCluster(n_workers=2, **options) as two, Client(two) as client:
        (address, pid), _ = client.run(os.getpid).items()
        os.kill(pid, signal.SIGSTOP)
        try:  # not the other one, which cannot connect to it
            with pytest.raises(bigquant.BigquantError, match=f"{address} does not answer any more"):
                compute(NAPPING)
        finally:
            os.kill(pid, signal.SIGCONT)


def test_paused_workers_want_memory(impatient, monkeypatch, client):
    paused = asking.Pulse(1, {"tcp://h:1": "paused"})
    monkeypatch.setattr(watch, "ask_scheduler", lambda *_, **__: paused)
    monkeypatch.setattr(watch, "ask_workers", lambda *_, **__: {"tcp://h:1": {}})
    words = "every worker is paused, tcp://h:1 for one: give them more memory"
    with pytest.raises(bigquant.BigquantError, match=words):
        compute(NAPPING)


def test_a_task_that_ends_its_workers():
    ending = da.zeros(1).map_blocks(end, dtype=float, meta=np.empty(0))
    options = OPTIONS | {"processes": True, "memory_limit": "1GiB"}
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(n_workers=1, silence_logs=50, **options) as one,
        Client(one),
        pytest.raises(bigquant.BigquantError) as caught,
    ):
        compute(ending)
    words = str(caught.value)
    assert words.startswith("a task has ended 1 worker, the last of them tcp://127.0.0.1:")
    assert "which may use 1.00 GiB of memory for 1 thread: if the logs tell of memory" in words


def test_a_scheduler_that_is_lost():
    program = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", "0"]
    program += ["--host", "127.0.0.1", "--no-dashboard"]
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as scheduler:
        try:
            address = next(line.split()[-1] for line in scheduler.stderr if "Scheduler at:" in line)
            with Client(address, timeout=3) as client:
                threading.Timer(1, scheduler.kill).start()
                with pytest.raises(bigquant.BigquantError, match="has dropped this work"):
                    compute(dask.delayed(time.sleep)(3))
                assert client.status != "running"
        finally:
            scheduler.kill()


def test_what_a_lost_cluster_was_to_do_is_not_done_here(cluster, china):
    """Dask would forget the client, and go on with threads of its own."""
    with running_on(cluster.scheduler_address) as client:
        client.close()
        for work in (lambda: compute(NAPPING), lambda: bigquant.quantize(china, 4)):
            with pytest.raises(ClusterLost, match="has dropped this work"):
                work()


def test_a_lost_cluster_is_no_fault_of_an_image(china, monkeypatch):
    """Else each of a thousand images would be tried, and wait for workers."""

    def lose(*_):
        raise ClusterLost("no workers")

    monkeypatch.setattr("bigquant.histogram.compute", lose)
    with pytest.raises(ClusterLost):
        bigquant.quantize([china, china], 4)
