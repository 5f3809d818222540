"""The cluster of docker/, in real containers: what people run, and what happens to them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import containers
import numpy as np
import pytest
import zarr
from containers import ROOT, wait_until
from processes import wait_until_written

from bigquant.cli import main

REASON = containers.why_not()
pytestmark = [pytest.mark.cluster, pytest.mark.skipif(REASON is not None, reason=str(REASON))]

COMPOSE = ROOT / "docker/compose.yaml"
#: Machine code is kept for all containers, and health is asked for more often: both save minutes.
QUICK = """
services:
  scheduler: {healthcheck: {interval: 2s}}
  worker: {healthcheck: {interval: 2s}, volumes: ["$KEPT:/scratch/numba"]}
  client: {volumes: ["$KEPT:/scratch/numba"]}
  notebook: {healthcheck: {interval: 2s}}
"""
QUICK_STORE = "  s3: {healthcheck: {interval: 2s}}\n"
WORKER = ("dask", "worker", "--nworkers=1", "--nthreads=1", "--local-directory=/scratch")
FIT = ("fit", "photo.tif", "-k", "8", "-o", "out.zarr", "--overwrite", "-q")


@pytest.fixture(scope="module")
def engine():
    containers.install()
    with containers.engine() as engine:
        engine.build()
        yield engine


@pytest.fixture(scope="module")
def data(tmp_path_factory, large):
    """A folder with an image that containers share as /data."""
    folder = tmp_path_factory.mktemp("data")
    folder.chmod(0o1777)
    os.link(large, folder / "photo.tif")
    return folder


@pytest.fixture(scope="module")
def settings(tmp_path_factory, data):
    """Variables for compose, and files that make clusters quick to start."""
    folder = tmp_path_factory.mktemp("settings")
    kept = folder / "kept"
    kept.mkdir()
    kept.chmod(0o1777)
    for name, more in (("quick", ""), ("quick-store", QUICK_STORE)):
        (folder / f"{name}.yaml").write_text(QUICK.replace("$KEPT", str(kept)) + more)
    return {"BIGQUANT_DATA": data, "BIGQUANT_WORKER_MEMORY": "1500m"}, folder


@pytest.fixture(scope="module")
def cluster(engine, settings):
    """Two workers that share /data."""
    variables, folder = settings
    with engine.cluster(COMPOSE, folder / "quick.yaml", **variables) as cluster:
        yield cluster


@pytest.fixture
def ready(cluster, data, monkeypatch):
    """The cluster when both workers are there, and the folder that it writes to as ours."""
    monkeypatch.chdir(data)
    cluster.wait_for_workers(2, 90)
    for left in ("out.zarr", ".out.zarr.partial"):
        shutil.rmtree(left, ignore_errors=True)
    yield cluster
    wait_until(lambda: cluster.counts().get("tasks") == 0, 30)  # nothing of ours is left


@pytest.fixture(scope="module")
def expected(large, tmp_path_factory):
    """What threads of this machine make of the image: labels and palette."""
    out = tmp_path_factory.mktemp("expected") / "out.zarr"
    assert main(["fit", str(large), "-k", "8", "-o", str(out), "-q"]) == 0
    return read(str(out), out.with_name("out.zarr.palette.json").read_text())


def read(group, palette, **options):
    labels = zarr.open_group(group, mode="r", **options)["labels/quantized/0"][:]
    known = json.loads(palette)
    for name in ("sources", "versions"):
        known["fit"].pop(name)
    return labels, known


def assert_same(found, expected):
    np.testing.assert_array_equal(found[0], expected[0])
    assert found[1] == expected[1]


def assert_right(expected):
    assert_same(read("out.zarr", Path("out.zarr.palette.json").read_text()), expected)


def assert_errors(result, code, *lines):
    """There are as many lines of errors as here, in this order, and each holds these words."""
    found, out, err = result
    said = err.strip().splitlines()
    assert (found, len(said), out) == (code, len(lines), ""), result
    for line, words in zip(said, lines, strict=True):
        assert line.startswith("bigquant: error: ")
        for word in words.split(" ... "):
            assert word in line


@contextmanager
def fitting(cluster, stage):
    """A run that has come to a stage: "count" or "write"."""
    with cluster.client("bigquant", *FIT) as process:
        if stage == "write":
            wait_until_written(process)
        else:
            wait_until(lambda: cluster.counts().get("processing", 0) >= 2, 60)
        yield process


def end(process, seconds):
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def network():
    """The rules, the links and the forwarding of this machine."""
    tables = [containers.run(["iptables-save", "-t", name]) for name in ("filter", "nat")]
    lines = "".join(tables).splitlines()
    rules = [line.split(" [")[0] for line in lines if not line.startswith("#")]
    forwarding = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    return rules, sorted(Path("/sys/class/net").iterdir()), forwarding


def test_the_machine_is_left_as_it_was():
    containers.install()
    before = network()
    with pytest.raises(AssertionError, match="not the same"), containers.engine():
        assert network() == before, "not the same"
    assert network() == before


# ---------------------------------------------------------------- it does its job


def test_a_cluster_gives_the_same_bits_as_threads(ready, expected):
    assert ready.bigquant(*FIT) == (0, "", "")
    assert_right(expected)


def test_doctor_finds_nothing_wrong(ready):
    code, out, err = ready.bigquant("doctor", "photo.tif", "-o", "out.zarr", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["workers"] == 2


def test_the_notebook_reaches_the_cluster(ready):
    up = ("up", "--detach", "--wait", "--wait-timeout", "60", "notebook")
    ready.compose("--profile", "notebook", *up, timeout=90)
    program = "from distributed import Client; print(Client().submit(sum, [1, 2]).result())"
    found = ready.compose(
        "--profile", "notebook", "exec", "-T", "notebook", "python", "-c", program
    )
    ready.compose("--profile", "notebook", "rm", "--stop", "--force", "notebook")
    assert found == "3\n"


def test_containers_have_no_rights_and_write_only_where_they_may(ready):
    program = "grep CapEff /proc/self/status; grep NoNewPrivs /proc/self/status; id -u; touch /here"
    with ready.client("sh", "-c", program) as process:
        _, out, err = end(process, 30)
    assert out.split() == ["CapEff:", "0" * 16, "NoNewPrivs:", "1", "10001"]
    assert "Read-only file system" in err


# ---------------------------------------------------------------- workers that end, or stop


@pytest.mark.parametrize("stage", ["count", "write"])
def test_a_worker_that_is_killed(stage, ready, expected):
    with fitting(ready, stage) as process:
        ready.signal("worker", signal.SIGKILL)
        assert end(process, 120) == (0, "", "")
    assert_right(expected)


def test_a_worker_that_is_told_to_end(ready, expected):
    with fitting(ready, "write") as process:
        ready.engine.docker("stop", ready.container("worker"))
        assert end(process, 120) == (0, "", "")
    assert_right(expected)
    ready.engine.docker("start", ready.container("worker"))


def test_a_worker_that_is_stopped_is_given_up_within_a_minute(ready, expected):
    """It answers no more, and its connections stay open."""
    with fitting(ready, "write") as process:
        ready.engine.docker("pause", ready.container("worker"))
        began = time.monotonic()
        try:
            wait_until(lambda: ready.counts().get("workers") == 1, 60)
            result = end(process, 120 - (time.monotonic() - began))
        finally:
            ready.engine.docker("unpause", ready.container("worker"))
    if result[0] == 0:
        assert result == (0, "", "")
        assert_right(expected)
    else:  # the other worker has waited for it too long
        assert_errors(result, 1, "worker tcp:// ... does not answer any more")


def test_a_scheduler_that_is_killed(ready, expected):
    """Its work is lost; it comes back, and so do its workers, and the same command goes on."""
    with fitting(ready, "write") as process:
        ready.signal("scheduler", signal.SIGKILL)
        assert_errors(end(process, 60), 1, "the scheduler at tcp://scheduler:8786")
    assert not os.path.exists("out.zarr")
    ready.wait_for_workers(2, 90)
    assert ready.bigquant(*FIT) == (0, "", "")
    assert_right(expected)


def test_ctrl_c_leaves_the_cluster_to_others(ready):
    with fitting(ready, "write") as process:
        process.send_signal(signal.SIGINT)
        assert_errors(end(process, 60), 130, "interrupted")
    wait_until(lambda: ready.counts().get("tasks") == 0, 30)


# ---------------------------------------------------------------- clusters that cannot do it


@contextmanager
def one_more_worker(cluster, *command, options=()):
    """A worker unlike the others, until the end of the block."""
    start = ("run", "--detach", "--no-deps", "--name", "other", *options, "worker")
    cluster.compose(*start, *WORKER, *command)
    try:
        cluster.wait_for_workers(3)
        yield
    finally:
        cluster.engine.docker("rm", "--force", "--volumes", "other")
        cluster.wait_for_workers(2)


def assert_refused(cluster, *lines):
    """Both commands say so, within 15 s, and 5 for a container to start."""
    doctor = ("doctor", "photo.tif", "-o", "out.zarr")
    for command in (doctor, FIT):
        code, out, err = cluster.bigquant(*command, timeout=20)
        assert_errors((code, "" if command is doctor else out, err), 2, *lines)


def test_a_worker_with_little_memory(ready):
    with one_more_worker(ready, "--memory-limit=256MB"):
        assert_refused(ready, "worker tcp:// ... 244.14 MiB ... --memory-limit")


def test_a_worker_without_the_shared_folder(ready, tmp_path):
    """It has one of the same name."""
    tmp_path.chmod(0o1777)
    with one_more_worker(ready, options=("--volume", f"{tmp_path}:/data")):
        unshared = "worker tcp:// ... : /data: choose a folder that all workers share"
        assert_refused(ready, "worker tcp:// ... cannot open /data/photo.tif", unshared)
        os.link("photo.tif", tmp_path / "photo.tif")
        assert_refused(ready, unshared)
        assert {path.name for path in tmp_path.iterdir()} == {"photo.tif"}


def test_a_cluster_without_workers(ready):
    names = [ready.container("worker", number) for number in (1, 2)]
    ready.engine.docker("stop", *names)
    assert_refused(ready, "has no workers")
    ready.engine.docker("start", *names)


# ---------------------------------------------------------------- an object store, and TLS


def test_an_object_store_gives_the_same_bits_as_threads(engine, settings, large, expected):
    variables, folder = settings
    files = (COMPOSE, ROOT / "docker/compose.s3.yaml", folder / "quick-store.yaml")
    with engine.cluster(*files, profiles=["store"], **variables) as cluster:
        upload = "import s3fs; fs = s3fs.S3FileSystem(); fs.mkdir('pictures'); "
        upload += "fs.put('/photo.tif', 'pictures/photo.tif')"
        options = ("--volume", f"{large}:/photo.tif:ro")
        with cluster.client("python", "-c", upload, options=options) as process:
            assert end(process, 60) == (0, "", "")
        names = ("s3://pictures/photo.tif", "-o", "s3://pictures/out.zarr")
        assert cluster.bigquant("fit", *names, "-k", "8", "-q") == (0, "", "")
        address = "{{.NetworkSettings.Networks.bigquant_store.IPAddress}}"
        host = engine.docker("inspect", "--format", address, cluster.container("s3")).strip()
        assert_same(read_store(f"http://{host}:8333"), expected)
        assert_no_way_out(cluster)


def read_store(url):
    import s3fs

    options = {"endpoint_url": url, "key": "bigquant", "secret": "bigquant-secret"}
    palette = s3fs.S3FileSystem(**options).cat("pictures/out.zarr.palette.json")
    return read("s3://pictures/out.zarr", palette, storage_options=options)


def assert_no_way_out(cluster):
    """The store reaches nothing outside; others reach what the image was built from."""
    address = socket.gethostbyname("pypi.org")
    program = f"import socket; socket.create_connection(({address!r}, 443), 5)"
    with cluster.client("python", "-c", program) as process:
        assert end(process, 30) == (0, "", "")
    with pytest.raises(AssertionError, match=r"timed out|unreachable"):
        cluster.compose("exec", "-T", "s3", "/opt/venv/bin/python", "-c", program)


def test_tls_lets_nobody_in_without_a_certificate(engine, settings, data, expected, monkeypatch):
    monkeypatch.chdir(data)
    variables, folder = settings
    for name in ("ours", "foreign"):
        script = str(ROOT / "docker/make-certificates.sh")
        subprocess.run([script, str(folder / name)], check=True, capture_output=True)
    files = (COMPOSE, ROOT / "docker/compose.tls.yaml", folder / "quick.yaml")
    variables = variables | {"BIGQUANT_CERTIFICATES": folder / "ours"}
    with engine.cluster(*files, **variables) as cluster:
        assert cluster.bigquant(*FIT) == (0, "", "")
        assert_right(expected)
        foreign = ("--volume", f"{folder / 'foreign'}:/certificates:ro")
        result = cluster.bigquant(*FIT, timeout=60, options=foreign)
        assert_errors(result, 2, "tls://scheduler:8786")
        plain = ("--env", "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION=false")
        at = ("--scheduler", "tcp://scheduler:8786")
        result = cluster.bigquant(*FIT, *at, timeout=60, options=plain)
        assert_errors(result, 2, "tcp://scheduler:8786")
        assert cluster.counts()["workers"] == 2
