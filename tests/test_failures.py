"""Every way a run can fail, tried for real: one line, an exit code, and nothing half."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import tifffile
import zarr
from processes import alive, assert_nothing_is_left, fitting, wait_until_written, workers_of

import bigquant
from bigquant.cli import main

PARTS = {"out.zarr": ".out.zarr.partial/*/0/c/0/*/0", "out.tif": ".out.tif.partial/*.part"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    return tmp_path


def ends_with_one_line(process, words, code=1, timeout=90):
    out, err = process.communicate(timeout=timeout)
    lines = err.decode().strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("bigquant: error: ")
    assert words in lines[0]
    assert (process.returncode, out) == (code, b""), lines[0]


@pytest.fixture(scope="module")
def quantized(large):
    """Labels of the image, and the table of their colours."""
    result = bigquant.quantize(bigquant.open_image(large), 8)
    return result.labels.compute(), result.palette.table


def assert_a_rerun_succeeds(image, quantized, name="out.zarr"):
    """The same command, once more; what it wrote is what independent readers see."""
    assert main(["fit", str(image), "-k", "8", "-o", name, "-q"]) == 0
    expected, table = quantized
    if name.endswith(".tif"):
        np.testing.assert_array_equal(tifffile.imread(name), expected)
        if shutil.which("gdal_translate"):
            subprocess.run(["gdal_translate", "-q", name, "copy.tif"], check=True)
            np.testing.assert_array_equal(tifffile.imread("copy.tif"), expected)
    else:
        group = zarr.open_group(name, mode="r")
        np.testing.assert_array_equal(group["labels/quantized/0"][:], expected)
        np.testing.assert_array_equal(np.moveaxis(group["0"][:], 0, 2), table[expected])


# ---------------------------------------------------------------- disks

INSIDE = """
set -u
mkdir out && mount -t tmpfs -o size=$SIZE tmpfs out || exit 77
"""
FULL = (
    INSIDE
    + """
"$PYTHON" -m bigquant fit "$IMAGE" -k 8 -o "out/$NAME"
echo "exit code $?"
echo "left: $(ls -A out)"
"""
)
READ_ONLY = (
    INSIDE
    + """
"$PYTHON" -m bigquant fit "$IMAGE" -k 8 -o "out/$NAME" &
until ls out/.$NAME.partial/$FIRST >/dev/null 2>&1; do sleep 0.01; kill -0 $! || exit 1; done
until mount -o remount,ro out 2>/dev/null; do kill -0 $! || exit 1; done
wait $!
echo "exit code $?"
ls -d "out/$NAME" 2>/dev/null
mount -o remount,rw out
"$PYTHON" -m bigquant fit "$IMAGE" -k 8 -o "out/$NAME" -q
echo "rerun: exit code $?, left: $(echo $(ls -A out))"
"""
)


def in_a_namespace(script, image, name, size):
    """Run a shell script that may mount file systems, which nobody else sees."""
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
    first = "out.zarr/0/c/0/0/0" if name == "out.zarr" else "0-0-0.part"
    variables = {"PYTHON": sys.executable, "IMAGE": str(image), "NAME": name}
    environment = os.environ | variables | {"SIZE": size, "FIRST": first}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, env=environment)
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if "Operation not permitted" in done.stderr or done.returncode == 77:
        pytest.skip("file systems cannot be mounted here")
    return done


@pytest.mark.slow
@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("size", ["12k", "1m"])
def test_a_disk_that_is_full(name, size, large):
    done = in_a_namespace(FULL, large, name, size)
    assert done.stderr.count("\n") == 1, done.stderr
    assert f"bigquant: error: out/{name}: cannot be written (No space left" in done.stderr
    assert done.stdout.split("\n") == ["exit code 1", "left: ", ""]


@pytest.mark.slow
@pytest.mark.parametrize("name", PARTS)
def test_a_disk_that_becomes_read_only(name, large):
    done = in_a_namespace(READ_ONLY, large, name, "200m")
    assert done.stderr.count("\n") == 1, done.stderr
    assert f"bigquant: error: out/{name}: cannot be written (Read-only file" in done.stderr
    left = f"{name} {name}.palette.json {name}.preview.json"
    assert done.stdout == f"exit code 1\nrerun: exit code 0, left: {left}\n"


@pytest.mark.slow
@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("which", ["the temporary folder", "the folder above"])
def test_a_folder_that_is_removed(which, name, large, quantized, folder):
    (folder / "above").mkdir()
    with fitting(large, "-o", f"above/{name}") as process:
        wait_until_written(process, PARTS[name])
        shutil.rmtree(folder / f"above/.{name}.partial", ignore_errors=True)
        if which == "the folder above":
            shutil.rmtree(folder / "above", ignore_errors=True)
        ends_with_one_line(process, f"above/{name}: ")
    assert not list(folder.glob("above/*"))
    (folder / "above").mkdir(exist_ok=True)
    assert_a_rerun_succeeds(large, quantized, f"above/{name}")


#: Root may write anywhere; without these capabilities it is held to the modes like anybody.
PLAIN_USER = ("--bounding-set=-dac_override,-dac_read_search",)


@pytest.mark.slow
@pytest.mark.skipif(
    os.geteuid() == 0 and not shutil.which("setpriv"), reason="nothing is forbidden to root"
)
@pytest.mark.parametrize("name", PARTS)
def test_a_folder_that_may_not_be_written_any_more(name, large, quantized, folder):
    prefix = ("setpriv", *PLAIN_USER) if os.geteuid() == 0 else ()
    (folder / "above").mkdir()
    with fitting(large, "-o", f"above/{name}", prefix=prefix) as process:
        wait_until_written(process, PARTS[name])
        first = next(folder.rglob(PARTS[name]))
        closed = [p for p in (first, *first.parents) if p.is_dir() and folder in p.parents]
        for path in closed:
            path.chmod(0o500)
        ends_with_one_line(process, f"above/{name}: cannot be written (Permission denied)")
    for path in closed:
        path.chmod(0o700)
    assert not (folder / f"above/{name}").exists()
    assert_a_rerun_succeeds(large, quantized, f"above/{name}")


@pytest.mark.slow
@pytest.mark.parametrize("name", PARTS)
def test_blocks_that_are_lost_are_missed(name, large, folder):
    """Zarr would read them as zeros, without a word."""
    with fitting(large, "-o", name) as process:
        wait_until_written(process, PARTS[name])
        next(folder.rglob(PARTS[name])).unlink()
        ends_with_one_line(process, ": missing blocks: 1, e.g. ")
    assert not list(folder.iterdir())


# ---------------------------------------------------------------- the input


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def touch(path):
    os.utime(path, (1, 1))


def rewrite(path):
    path.write_bytes(path.read_bytes()[::-1])


def wait_until_read(process, name):
    """Wait until a file stays open: its header is read in no time."""
    looked_at, seen = psutil.Process(process.pid), 0
    while seen < 3:
        is_open = any(name in file.path for file in looked_at.open_files())
        seen = seen + 1 if is_open else 0
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("spoil", [truncate, touch, rewrite, Path.unlink])
@pytest.mark.parametrize("stage", ["counting", "writing"])
def test_an_input_that_changes(stage, spoil, large, folder):
    image = folder / "image.tif"
    shutil.copy(large, image)
    with fitting(image) as process:
        if stage == "writing":
            wait_until_written(process)
        else:
            wait_until_read(process, "image.tif")
        process.send_signal(signal.SIGSTOP)  # it shall not end before the image is spoilt
        spoil(image)
        process.send_signal(signal.SIGCONT)
        ends_with_one_line(process, "image.tif: ")
    image.unlink(missing_ok=True)
    assert not list(folder.iterdir())


# ---------------------------------------------------------------- processes


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced(large, quantized):
    with fitting(large, "--workers", "2", "-q") as process:
        wait_until_written(process)
        workers_of(process)[0].kill()
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out, err) == (0, b"", b"")
    found = zarr.open_array("out.zarr/labels/quantized/0", mode="r")[:]
    np.testing.assert_array_equal(found, quantized[0])


@pytest.mark.slow
def test_workers_that_are_killed_again_and_again(folder, tmp_path_factory):
    """No worker lives as long as it takes to count the colours once; what it has found goes too."""
    larger = tmp_path_factory.mktemp("larger") / "larger.tif"
    assert main(["sample", str(larger), "--megapixels", "300", "-q"]) == 0
    with fitting(larger, "--workers", "1") as process:
        while process.poll() is None:
            for worker in workers_of(process):
                with suppress(psutil.NoSuchProcess):  # it has ended by itself
                    if time.time() - worker.create_time() > 2:
                        worker.kill()
            time.sleep(0.1)
        ends_with_one_line(process, "worker")
        assert_nothing_is_left(folder, process.pid)
    larger.unlink()  # 650 MB


@pytest.mark.parametrize(
    "options",
    [
        pytest.param([], id="threads"),
        pytest.param(["--workers", "2"], id="workers", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_two_signals_in_a_row(number, options, large, folder):
    words, code = ("interrupted", 130) if number == signal.SIGINT else ("terminated", 1)
    with fitting(large, *options) as process:
        wait_until_written(process)
        process.send_signal(number)
        time.sleep(0.1)
        process.send_signal(number)
        ends_with_one_line(process, f"{words}: the same command goes on with", code)
        assert_nothing_is_left(folder, process.pid, ".out.zarr.partial")


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_nothing_at_the_name(large, quantized, folder):
    with fitting(large, "--workers", "2") as process:
        wait_until_written(process)
        process.kill()
        process.wait()
        give_up = time.monotonic() + 20
        while alive(process.pid) and time.monotonic() < give_up:
            time.sleep(0.1)
        assert not alive(process.pid)
    assert not (folder / "out.zarr").exists()
    assert_a_rerun_succeeds(large, quantized)
    beside = {"out.zarr.palette.json", "out.zarr.preview.json"}
    assert {path.name for path in folder.iterdir()} == {"out.zarr", *beside}
