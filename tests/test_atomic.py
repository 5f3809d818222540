"""Outputs appear complete or not at all, and nothing is overwritten by a run that fails."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr

from bigquant import BigquantError, InputError, Palette, atomic, tiff_parts, tiff_writer
from bigquant.atomic import check_target, complete_or_nothing
from bigquant.outputs import check_output
from bigquant.source import Source
from bigquant.tiff_output import write_tiff
from bigquant.write import write_zarr
from bigquant.zarr_store import FolderStore

WRITERS = {"out.zarr": write_zarr, "out.tif": write_tiff}
SIDE = 1024
PALETTE = Palette.from_colors([[i, 255 - i, 7] for i in range(256)])


def write(path, blocks=3, **options):
    """Write random labels in a number of blocks, one below the other."""
    labels = np.random.default_rng(blocks).integers(0, 256, (blocks * SIDE, SIDE), dtype=np.uint8)
    lazy = da.from_array(labels, chunks=(SIDE, SIDE))
    WRITERS[path.name](path, lazy, PALETTE, Source(), **options)
    return labels


def read(path):
    if path.suffix == ".tif":
        return tifffile.imread(path)
    return zarr.open_array(path / "labels/quantized/0", mode="r")[:]


def contents(folder):
    """Every file and folder below a folder, with its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def swap(*targets, overwrite=False, content="new"):
    with complete_or_nothing(*targets, overwrite=overwrite, settle=lambda: None) as folder:
        for target in targets:
            (folder / target.name).write_text(content)


def no_space():
    return OSError(errno.ENOSPC, "No space left on device")


def fail_after(monkeypatch, blocks, error):
    """Let the writers' work raise `error` after a number of blocks."""
    calls = []
    put, write_part = FolderStore.put, tiff_parts.write_part

    def count(function, *arguments):
        calls.append(1)
        if len(calls) > blocks:
            raise error
        return function(*arguments)

    monkeypatch.setattr(FolderStore, "put", lambda *a: count(put, *a))
    monkeypatch.setattr(tiff_parts, "write_part", lambda *a: count(write_part, *a))


@pytest.fixture(params=WRITERS)
def path(request, tmp_path):
    return tmp_path / request.param


@pytest.fixture
def full_disk():
    """No file grows beyond 100 kB: the system itself refuses, in the middle of a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# ---------------------------------------------------------------- refused before any work


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, lambda p: p.symlink_to("nowhere")])
def test_a_name_that_is_taken_is_refused_unless_overwrite_is_said(make, tmp_path):
    make(tmp_path / "out.zarr")
    with pytest.raises(InputError, match=r"out\.zarr: exists already: .* \(--overwrite\)"):
        check_target(tmp_path / "out.zarr", overwrite=False)
    assert check_target(tmp_path / "out.zarr", overwrite=True) == tmp_path / "out.zarr"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("missing/out.zarr", "there is no folder"),
        ("file/out.zarr", "there is no folder"),
        ("/proc/out.zarr", "cannot be written in /proc"),
    ],
)
def test_a_folder_that_is_missing_or_cannot_be_written_is_refused(target, words, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=words):
        check_target(tmp_path / target, overwrite=True)


def test_a_palette_file_that_exists_is_refused(path):
    path.with_name(path.name + ".palette.json").touch()
    with pytest.raises(InputError, match=r"palette\.json: exists already"):
        check_output(path, "both", overwrite=False, source=None)
    with pytest.raises(InputError, match=r"palette\.json: exists already"):
        write(path)
    assert not path.exists()


@pytest.mark.parametrize("name", WRITERS)
def test_unknown_content_is_refused(name, tmp_path):
    with pytest.raises(InputError, match="content='all'"):
        write(tmp_path / name, content="all")
    assert not list(tmp_path.iterdir())


def test_outputs_appear_when_the_block_ends(tmp_path):
    targets = [tmp_path / "a", tmp_path / "b"]
    with complete_or_nothing(*targets, overwrite=False, settle=lambda: None) as folder:
        assert folder == tmp_path / ".a.partial"
        for target in targets:
            (folder / target.name).write_text(target.name)
            assert not target.exists()
    assert contents(tmp_path) == {"a": b"a", "b": b"b"}


@pytest.mark.parametrize("error", [OSError("disk"), KeyboardInterrupt(), SystemExit(1)])
def test_a_failure_leaves_nothing_and_waits_for_the_tasks(error, tmp_path):
    settled = []

    def settle():
        settled.append((tmp_path / ".a.partial").is_dir())

    def work():
        with complete_or_nothing(tmp_path / "a", overwrite=False, settle=settle) as folder:
            (folder / "a").write_text("half")
            raise error

    with pytest.raises((BigquantError, KeyboardInterrupt, SystemExit)):
        work()
    assert settled == [True]
    assert not list(tmp_path.iterdir())


def test_a_second_run_of_one_name_does_not_spoil_the_first(tmp_path):
    first, second = (
        complete_or_nothing(tmp_path / "a", overwrite=False, settle=lambda: None) for _ in range(2)
    )
    (first.__enter__() / "a").write_text("complete")
    with suppress(BigquantError):  # refused
        (second.__enter__() / "a").write_text("half")
    first.__exit__(None, None, None)
    assert (tmp_path / "a").read_text() == "complete"


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, lambda p: p.symlink_to("b")])
def test_overwrite_replaces_files_folders_and_links(make, tmp_path):
    make(tmp_path / "a")
    swap(tmp_path / "a", overwrite=True)
    assert contents(tmp_path) == {"a": b"new"}


@pytest.fixture
def failing_replace(monkeypatch):
    """Let the n-th renaming fail (counted from 1)."""
    replace = os.replace

    def prepare(n, error):
        calls = []

        def fail(old, new):
            calls.append(1)
            if len(calls) == n:
                raise error
            replace(old, new)

        monkeypatch.setattr(atomic.os, "replace", fail)

    return prepare


@pytest.mark.parametrize("error", [OSError("busy"), KeyboardInterrupt()])
@pytest.mark.parametrize("n", [1, 2])
def test_a_failing_rename_leaves_nothing_new(n, error, tmp_path, failing_replace):
    failing_replace(n, error)
    with pytest.raises((BigquantError, KeyboardInterrupt)):
        swap(tmp_path / "a", tmp_path / "b")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [OSError("busy"), KeyboardInterrupt()])
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_a_failing_rename_keeps_what_was_there(n, error, tmp_path, failing_replace):
    swap(tmp_path / "a", tmp_path / "b", content="old")
    failing_replace(n, error)
    with pytest.raises((BigquantError, KeyboardInterrupt)):
        swap(tmp_path / "a", tmp_path / "b", overwrite=True)
    assert contents(tmp_path) == {"a": b"old", "b": b"old"}


KILLED = """
import os, sys
from bigquant import atomic
calls, replace = [], os.replace

def die(old, new):
    calls.append(1)
    if len(calls) == int(sys.argv[1]):
        os._exit(9)
    replace(old, new)

def remove(*_):
    os._exit(9)

os.replace, atomic._remove = die, remove
sys.path.insert(0, sys.argv[2])
import test_atomic
from pathlib import Path
test_atomic.swap(Path("a"), Path("b"), overwrite=True)
"""


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_a_kill_between_two_renames_loses_neither_output(n, tmp_path, caplog):
    """The fifth kill comes after the last renaming: the new outputs are complete."""
    swap(tmp_path / "a", tmp_path / "b", content="old")
    here = str(Path(__file__).parent)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(n), here], cwd=tmp_path)
    assert killed.returncode == 9
    both = sorted(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert both == ["new", "new", "old", "old"]
    with (
        suppress(ZeroDivisionError),
        complete_or_nothing(tmp_path / "a", tmp_path / "b", overwrite=True, settle=lambda: None),
    ):
        raise ZeroDivisionError
    expected = b"new" if n == 5 else b"old"
    assert contents(tmp_path) == {"a": expected, "b": expected}


def test_an_output_that_was_set_aside_is_not_replaced_unasked(tmp_path):
    (tmp_path / ".a.partial").mkdir()
    (tmp_path / ".a.partial/a.replaced").write_text("old")
    (tmp_path / ".a.partial/a").write_text("new")
    with pytest.raises(InputError, match="exists already"):
        swap(tmp_path / "a")
    assert contents(tmp_path) == {"a": b"old"}


# ---------------------------------------------------------------- the writers


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (
            no_space(),
            BigquantError,
            r"^[^ ]*/out\.\w+: cannot be written \(No space left on device",
        ),
        (ValueError("a bug"), ValueError, "a bug"),
    ],
    ids=["the disk is full", "a bug"],
)
def test_a_run_that_fails_after_some_blocks_leaves_nothing(error, kind, words, path, monkeypatch):
    fail_after(monkeypatch, 2, error)
    with pytest.raises(kind, match=words) as caught:
        write(path)
    assert ".partial" not in str(caught.value)  # a name that nobody has heard of
    assert not list(path.parent.iterdir())


def test_a_run_that_fails_keeps_the_old_output(path, monkeypatch):
    write(path)
    before = contents(path.parent)
    fail_after(monkeypatch, 1, no_space())
    with pytest.raises(BigquantError):
        write(path, blocks=2, overwrite=True)
    assert contents(path.parent) == before


def test_a_full_disk_is_one_clear_line(path, full_disk):
    with pytest.raises(BigquantError, match=r"cannot be written \(File too large\)"):
        write(path, blocks=1)
    assert not list(path.parent.iterdir())


def test_a_disk_that_fills_while_the_tiff_is_assembled_is_one_clear_line(tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise no_space()

    monkeypatch.setattr(tiff_writer, "assemble", fail)
    with pytest.raises(BigquantError, match=r"cannot be written \(No space left on device\)"):
        write(tmp_path / "out.tif")
    assert not list(tmp_path.iterdir())


def test_overwrite_replaces_the_output_and_its_palette_but_only_when_asked(path):
    write(path)
    before = contents(path.parent)
    with pytest.raises(InputError, match="exists already"):
        write(path, blocks=2)
    assert contents(path.parent) == before
    palette = path.with_name(path.name + ".palette.json")
    palette.write_text("old")
    labels = write(path, blocks=2, overwrite=True)
    np.testing.assert_array_equal(read(path), labels)
    assert Palette.load(palette).k == 256
    assert {p.name for p in path.parent.iterdir()} == {path.name, palette.name}


def test_no_task_writes_on_after_a_failure(path, monkeypatch):
    second = threading.Event()

    def act(function, *arguments):
        if not second.is_set():
            second.set()
            time.sleep(0.5)
            return function(*arguments)
        raise no_space()

    put, write_part = FolderStore.put, tiff_parts.write_part
    monkeypatch.setattr(FolderStore, "put", lambda *a: act(put, *a))
    monkeypatch.setattr(tiff_parts, "write_part", lambda *a: act(write_part, *a))
    with pytest.raises(BigquantError):
        write(path)
    time.sleep(0.6)
    assert not list(path.parent.iterdir())
