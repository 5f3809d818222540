"""Large files that are streamed once: the same pixels, once per machine, nothing left behind."""

from __future__ import annotations

import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import bigquant
from bigquant import staging
from bigquant.fingerprint import Fingerprint
from bigquant.staging import StagedWindows

TESTS = str(Path(__file__).parent)
PIXELS = np.random.default_rng(0).integers(0, 60000, (150, 130, 3), np.uint16)


class Stream:
    """Bands of an array, that counts how often they are asked for; pickles with the count 0."""

    def __init__(self, pixels=PIXELS, fail_at=None):
        self.pixels, self.fail_at, self.times = pixels, fail_at, 0

    def __call__(self, rows):
        self.times += 1
        for y in range(0, len(self.pixels), rows):
            if self.fail_at is not None and y >= self.fail_at:
                raise bigquant.BigquantError("a: is damaged")
            time.sleep(0.01)
            yield self.pixels[y : y + rows]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder for temporary files, and small chunks."""
    path = tmp_path / "temporary"
    path.mkdir()
    monkeypatch.setattr(staging.tempfile, "tempdir", str(path))
    monkeypatch.setattr(staging, "_LONGEST", 32)
    return path


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"some bytes")
    return str(path)


def windows(file, stream=None):
    stream = stream or Stream()
    fingerprint = Fingerprint.take(file)
    return StagedWindows(file, fingerprint, stream, stream.pixels.shape, stream.pixels.dtype)


def test_windows_are_those_of_the_stream_that_is_read_once(file, folder, rng):
    staged = windows(file)
    assert not list(folder.iterdir())  # nothing before the first window
    for _ in range(20):
        y, x = np.sort(rng.integers(0, 131, (2, 2)), axis=1)
        key = (slice(*y), slice(*x), slice(0, 3))
        np.testing.assert_array_equal(staged[key], PIXELS[key])
    assert staged.bands.times == 1
    assert staged[:, :, 0:3].dtype == np.uint16


def test_progress_is_told_in_rows(file):
    told = []
    staged = windows(file)
    staged.stage(lambda done, rows: told.append((done, rows)))
    staged.stage(lambda done, rows: told.append("again"))
    assert told == [(32, 150), (64, 150), (96, 150), (128, 150), (150, 150)]


def test_threads_wait_for_the_one_that_stages(file):
    staged = windows(file)
    threads = [threading.Thread(target=lambda: staged[0:1, 0:1, 0:3]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert staged.bands.times == 1


def test_the_folder_goes_with_the_last_who_knows_it(file, folder):
    staged = windows(file)
    data = pickle.dumps(staged)
    copy = pickle.loads(data)  # noqa: S301
    assert copy.folder is staged.folder
    staged.stage()
    del staged
    assert copy[0, 0, 0] == PIXELS[0, 0, 0]
    assert len(list(folder.iterdir())) == 1
    del copy
    assert not list(folder.iterdir())


def test_elsewhere_the_last_few_are_kept_between_tasks(file, folder, monkeypatch):
    monkeypatch.setattr(staging, "_kept", staging.collections.deque(maxlen=2))
    came = []
    for _ in range(3):
        staged = windows(file)
        came.append(pickle.dumps(staged))
        del staged
    for data in (*came, came[1]):
        pickle.loads(data).stage()  # noqa: S301
        # between tasks nothing holds the windows
    assert {f.token for f in staging._kept} == {pickle.loads(d).folder.token for d in came[1:]}  # noqa: S301
    assert len(list(folder.iterdir())) == 2
    staging._kept.clear()
    assert not list(folder.iterdir())


CHILD = """
import pickle, sys
sys.path.insert(0, sys.argv[1])
from bigquant import staging
staging.tempfile.tempdir = sys.argv[2]
staging._LONGEST = 32
windows = pickle.load(sys.stdin.buffer)
windows.stage()
print(windows.bands.times, int(windows[:, :, 0:3].sum()), flush=True)
if sys.argv[3] == "wait":
    sys.stdin.buffer.close()
    import time
    time.sleep(60)
"""


def child(staged, folder, then="end"):
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, TESTS, str(folder), then],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    process.stdin.write(pickle.dumps(staged))
    process.stdin.close()
    return process


def end(process):
    process.kill()
    process.wait()
    process.stdout.close()


def test_processes_of_a_machine_stage_once_and_the_last_removes_it(file, folder):
    staged = windows(file)
    waiting = child(staged, folder, "wait")
    assert waiting.stdout.readline().split() == [b"1", str(PIXELS.sum()).encode()]
    ended = child(staged, folder)
    assert ended.stdout.read().split() == [b"0", str(PIXELS.sum()).encode()]
    end(ended)
    staged.stage()
    assert staged.bands.times == 0
    del staged
    assert list(folder.iterdir())  # one still reads it
    end(waiting)
    other = windows(file)
    other.stage()
    assert [str(path) for path in folder.iterdir()] == [str(other.folder.path)]  # swept


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGKILL])
def test_what_an_interrupted_process_leaves_is_no_picture(file, folder, signal_):
    stream = Stream(np.zeros((20000, 130, 3), np.uint16))
    process = child(windows(file, stream), folder)
    while not list(folder.glob("*/unfinished/zarr.json")):
        time.sleep(0.01)
    process.send_signal(signal_)
    end(process)
    assert not list(folder.glob("*/pixels"))
    staged = windows(file)
    staged.stage()
    assert list(folder.iterdir()) == [staged.folder.path]


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (Stream(fail_at=64), "is damaged"),
        (Stream(PIXELS[:100]), r"decodes to \(4, 130, 3\)"),
        (Stream(PIXELS[:96]), "ends at row 96 of 150"),
        (Stream(PIXELS[:, :, :2]), "decodes to"),
        (Stream(PIXELS.astype(np.uint8)), "uint8"),
    ],
)
def test_a_stream_that_fails_leaves_nothing(file, folder, stream, words):
    fingerprint = Fingerprint.take(file)
    staged = StagedWindows(file, fingerprint, stream, PIXELS.shape, PIXELS.dtype)
    for _ in range(2):
        with pytest.raises(bigquant.BigquantError, match=words):
            staged[0:1, 0:1, 0:3]
        assert not list(folder.glob("*/pixels")) + list(folder.glob("*/unfinished"))


@pytest.mark.parametrize("when", ["before", "meanwhile", "after"])
def test_a_file_that_changes_is_not_read(file, when):
    def change(*_):
        os.utime(file, ns=(1, 1))

    staged = windows(file)
    if when == "before":
        change()
    expected = pytest.raises(bigquant.BigquantError, match="has changed since")
    if when != "after":
        with expected:
            staged.stage(change)
    else:
        staged.stage()
        change()
    with pytest.raises(bigquant.BigquantError, match="has changed since"):
        staged[0:1, 0:1, 0:3]


def test_a_copy_that_is_removed_under_a_run_is_noticed(file, folder):
    staged = windows(file)
    staged.stage()
    staged[0:1, 0:1, 0:3]
    staging.shutil.rmtree(staged.folder.path)
    with pytest.raises(bigquant.BigquantError, match=r"\A[^\n]*was removed: run again\Z"):
        staged[0:1, 0:1, 0:3]


def test_a_full_disk_is_one_line_that_names_the_folder_and_another_way(file, folder):
    code = CHILD.replace("windows.stage()", "import resource\n" + LIMITED)
    staged = windows(file)
    done = subprocess.run(
        [sys.executable, "-c", code, TESTS, str(folder), "end"],
        input=pickle.dumps(staged),
        capture_output=True,
        check=False,
    )
    assert re.fullmatch(
        rf"{re.escape(file)}: cannot be unpacked in {re.escape(str(folder))}/[^\n]+TMPDIR\n",
        done.stdout.decode(),
    ), done


LIMITED = """
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    windows.stage()
except Exception as error:
    print(error)
    raise SystemExit(0)
"""
