"""A cluster of three machines, and all that may befall it: right, or one line; never a hang.

The machines are network namespaces, with processes, disks and cables that fail for real.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import zarr
from host_cluster import WORKERS, Cluster, stopped
from hosts import INPUTS, OUTPUTS, three_hosts

from bigquant import Palette
from bigquant.cli import main

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make network namespaces"),
]

IMAGE, OUT = f"{INPUTS}/large.tif", f"{OUTPUTS}/out.zarr"
FIT = ("fit", IMAGE, "-k", "4", "-o", OUT, "-q")
#: That a run may take that is told why it cannot go on, and that a preflight may take.
A_MINUTE, AT_ONCE = 60, 15


@pytest.fixture(scope="module")
def shared(large, tmp_path_factory):
    """The folder that hosts share, with the image in it."""
    folder = tmp_path_factory.mktemp("hosts")
    (folder / "in").mkdir()
    os.link(large, folder / "in/large.tif")
    return folder


@pytest.fixture(scope="module")
def hosts(shared):
    try:
        context = three_hosts(shared)
        hosts = context.__enter__()
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"network namespaces cannot be made here: {error}")
    yield hosts
    context.__exit__(None, None, None)


@pytest.fixture(scope="module")
def one_cluster(hosts):
    cluster = Cluster(hosts)
    yield cluster
    cluster.close()


@pytest.fixture
def cluster(one_cluster, out):
    """A cluster that is well; after the test it holds nothing, whatever has befallen it."""
    one_cluster.heal()
    yield one_cluster
    one_cluster.assert_nothing_is_held()
    one_cluster.heal()


@pytest.fixture
def out(shared):
    """The folder that outputs go to, empty."""
    yield shared / "out"
    for path in (shared / "out").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.fixture(scope="module")
def expected(large, tmp_path_factory):
    """What threads of one process make of the image."""
    path = tmp_path_factory.mktemp("threads") / "out.zarr"
    assert main(["fit", str(large), "-k", "4", "-o", str(path), "-q"]) == 0
    return contents(path)


def contents(path):
    """Centers and counts of the palette, and all pixels of all levels."""
    palette = Palette.load(f"{path}.palette.json")
    group = zarr.open_group(path, mode="r")
    levels = {name: each[:] for name, each in group.arrays()}
    levels |= {f"labels {name}": each[:] for name, each in group["labels/quantized"].arrays()}
    return {"centers": palette.centers, "counts": palette.counts, **levels}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


# ---------------------------------------------------------------- how a run ends


def ends_right(run, out, expected, seconds=120):
    code, printed = run.wait(seconds)
    assert (code, printed, run.said) == (0, "", "")
    beside = ["out.zarr.palette.json", "out.zarr.preview.json"]
    assert sorted(path.name for path in out.iterdir()) == ["out.zarr", *beside]
    assert_same(contents(out / "out.zarr"), expected)


def ends_with_a_line(run, out, *words, code=1, seconds=A_MINUTE, left=()):
    """It fails, says why, once, and leaves nothing at the output's name."""
    found, printed = run.wait(seconds)
    lines = run.said.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("bigquant: error: ")
    assert all(word in lines[0] for word in words), lines[0]
    assert (found, printed) == (code, "")
    assert {path.name for path in out.iterdir()} <= set(left)


@contextmanager
def fitting(cluster, out, phase, on=0):
    """A run that has come so far that some blocks are counted, or written, and others not."""
    run = cluster.run(*FIT, on=on)
    come_so_far = {
        "counting": lambda: all(cluster.progress),
        "writing": lambda: any(out.glob(".out.zarr.partial/out.zarr/0/c/0/*/0")),
    }
    while run.runs and not come_so_far[phase]():
        time.sleep(0.01)
    assert run.runs, f"it has ended too soon: {run.said}"
    yield run


in_each_phase = pytest.mark.parametrize("phase", ["counting", "writing"])
#: What Ctrl-C and a lost cluster may leave, for a rerun to go on with.
PARTIAL = [".out.zarr.partial"]


# ---------------------------------------------------------------- nothing befalls it


def test_hosts_and_local_processes_give_the_same_bits_as_threads(cluster, out, expected, large):
    ends_right(cluster.run(*FIT), out, expected)
    path = out / "local.zarr"
    assert main(["fit", str(large), "-k", "4", "-o", str(path), "-q", "--workers", "2"]) == 0
    assert_same(contents(path), expected)


def test_doctor_finds_it_well_and_leaves_nothing(cluster, out):
    run = cluster.run("doctor", IMAGE, "-o", OUT)
    assert run.wait(AT_ONCE)[0] == 0, run.said
    assert run.said == ""
    assert not list(out.iterdir())


# ---------------------------------------------------------------- workers


@in_each_phase
def test_a_worker_process_that_is_killed(phase, cluster, out, expected):
    with fitting(cluster, out, phase) as run:
        cluster.workers[2].workers()[0].kill()
        ends_right(run, out, expected)


@in_each_phase
def test_a_machine_that_is_switched_off(phase, cluster, out, expected):
    with fitting(cluster, out, phase) as run:
        cluster.workers[2].kill()
        ends_right(run, out, expected)


@in_each_phase
def test_a_worker_that_is_told_to_end(phase, cluster, out, expected):
    with fitting(cluster, out, phase) as run:
        cluster.workers[2].process.send_signal(signal.SIGTERM)
        ends_right(run, out, expected)


def test_a_worker_that_hangs(cluster, out, expected):
    with fitting(cluster, out, "writing") as run, stopped(cluster.workers[2].workers()[0]):
        ends_right(run, out, expected)


def test_all_machines_but_the_first_are_switched_off(cluster, out):
    with fitting(cluster, out, "writing") as run:
        for number in WORKERS:
            cluster.workers[number].kill()
        ends_with_a_line(run, out, "has no workers", cluster.address, left=PARTIAL)


# ---------------------------------------------------------------- links


def test_a_link_that_is_cut_for_five_seconds(cluster, out, expected):
    with fitting(cluster, out, "counting") as run:
        cluster.hosts.cut(2)
        time.sleep(5)
        cluster.hosts.mend(2)
        ends_right(run, out, expected)


@in_each_phase
def test_a_link_that_is_cut_for_good(phase, cluster, out, expected):
    with fitting(cluster, out, phase) as run:
        cluster.hosts.cut(2)
        ends_right(run, out, expected)


def test_workers_that_cannot_reach_each_other_are_found_before_any_work(cluster, out):
    cluster.hosts.isolate(*WORKERS)
    for command in (FIT, ("doctor", IMAGE, "-o", OUT)):
        run = cluster.run(*command)
        code, _ = run.wait(AT_ONCE)
        lines = run.said.splitlines()
        assert code == 2
        assert len(lines) == 2, lines  # one for each of them
        assert all("cannot connect to worker tcp://10.77.0.1" in line for line in lines)
        assert not list(out.iterdir())


def test_workers_that_cannot_reach_each_other_any_more(cluster, out):
    with fitting(cluster, out, "counting") as run:
        cluster.hosts.isolate(*WORKERS)
        ends_with_a_line(run, out, "cannot connect to worker tcp://10.77.0.1", "open the ports")


def test_a_client_that_is_cut_off(cluster, out):
    with fitting(cluster, out, "writing", on=1) as run:
        cluster.hosts.cut(1)
        ends_with_a_line(run, out, f"the scheduler at {cluster.address}", left=PARTIAL)


# ---------------------------------------------------------------- the scheduler


@in_each_phase
def test_a_scheduler_that_is_started_anew(phase, cluster, out):
    with fitting(cluster, out, phase) as run:
        cluster.scheduler.kill()
        cluster.start_scheduler()
        ends_with_a_line(run, out, f"the scheduler at {cluster.address}", left=PARTIAL)


def test_a_scheduler_that_hangs(cluster, out):
    with fitting(cluster, out, "counting") as run, cluster.scheduler.stopped():
        ends_with_a_line(run, out, f"the scheduler at {cluster.address}")


# ---------------------------------------------------------------- found before any work


def assert_doctor_and_fit_say(cluster, out, *words):
    for command in (("doctor", IMAGE, "-o", OUT), FIT):
        run = cluster.run(*command)
        code, _ = run.wait(AT_ONCE)
        lines = run.said.splitlines()
        assert (code, len(lines)) == (2, 1), run.said
        assert lines[0].startswith("bigquant: error: worker tcp://10.77.0.1")
        assert all(word in lines[0] for word in words), lines
        assert not list(out.iterdir())


def test_a_worker_without_the_input(cluster, out):
    cluster.start_worker(2, lacking=[INPUTS])
    cluster.wait_for_workers()
    assert_doctor_and_fit_say(cluster, out, "on host2 cannot open", IMAGE, "every worker must see")


def test_a_worker_with_an_output_folder_of_its_own(cluster, out):
    cluster.start_worker(2, lacking=[OUTPUTS])
    cluster.wait_for_workers()
    assert_doctor_and_fit_say(cluster, out, "on host2 does not see", OUTPUTS, "all workers share")


def test_workers_of_little_memory(cluster, out):
    for number in WORKERS:
        cluster.start_worker(number, "--memory-limit", "256MB")
    cluster.wait_for_workers()
    assert_doctor_and_fit_say(cluster, out, "244.14 MiB", "--memory-limit")


@pytest.fixture(scope="module")
def other_python(tmp_path_factory):
    """Another Python, with this version of Dask, and nothing that only bigquant needs."""
    names = [f"python3.{minor}" for minor in range(11, 16) if minor != sys.version_info.minor]
    versions = Path.home() / ".pyenv/versions"
    found = [path for name in names for path in versions.glob(f"*/bin/{name}")]
    found += [Path(path) for name in names if (path := shutil.which(name, path="/usr/bin"))]
    if not found:
        pytest.skip("no other Python is installed")
    python = tmp_path_factory.mktemp("other") / "bin/python"
    subprocess.run([found[-1], "-m", "venv", python.parents[1]], check=True)
    wanted = [f"{name}=={version(name)}" for name in ("dask", "distributed")]
    pip = [python, "-m", "pip", "install", "--quiet", "numpy", *wanted]
    subprocess.run(pip, check=True, capture_output=True)
    return python


def test_a_worker_of_another_python(cluster, out, other_python):
    cluster.start_worker(2, python=other_python)
    cluster.wait_for_workers()
    assert_doctor_and_fit_say(cluster, out, "on host2 has Python 3.", "use one environment")


# ---------------------------------------------------------------- Ctrl-C


@in_each_phase
def test_ctrl_c_leaves_the_cluster_to_others(phase, cluster, out, expected):
    with fitting(cluster, out, phase) as run:
        run.process.send_signal(signal.SIGINT)
        ends_with_a_line(run, out, "interrupted: ", code=130, left=PARTIAL)
        assert [path.name for path in out.iterdir()] == (PARTIAL if phase == "writing" else [])
        cluster.assert_nothing_is_held()
    ends_right(cluster.run(*FIT), out, expected)
