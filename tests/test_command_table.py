"""`bigquant fit` of a table: what it prints and writes, and every way it can fail."""

from __future__ import annotations

import json
import os
import shutil
import signal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image as pillow
from processes import fitting, wait_until_written

from bigquant import table_output
from bigquant.cli import main


@pytest.fixture
def folder(tmp_path, monkeypatch, rng):
    """The current folder, with good and bad tables."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    values = rng.normal(size=(500, 2)) + rng.integers(0, 3, (500, 1)) * 9
    good = pa.table({"a": values[:, 0], "b": values[:, 1], "name": [str(i) for i in range(500)]})
    pq.write_table(good, "t.parquet", row_group_size=100)
    pq.write_table(good.append_column("cluster", good.column("a")), "taken.parquet")
    pq.write_table(good.select(["name"]), "words.parquet")
    pq.write_table(pa.table({"a": pa.array([None, None], pa.float64())}), "nulls.parquet")
    pq.write_table(good.slice(0, 0), "empty.parquet")
    pq.write_table(pa.Table.from_arrays([good.column("a")] * 2, ["a", "a"]), "twice.parquet")
    raw = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(raw[: len(raw) // 2])
    (tmp_path / "bad.parquet").write_bytes(raw[:4] + bytes(2000) + raw[2004:])
    (tmp_path / "text.parquet").write_text("This is no table.\n" * 50)
    (tmp_path / "nothing.parquet").mkdir()
    (tmp_path / "mixed.parquet").mkdir()
    pq.write_table(good, "mixed.parquet/0.parquet")
    pq.write_table(good.select(["b", "a"]), "mixed.parquet/1.parquet")
    (tmp_path / "mine.parquet").mkdir()
    (tmp_path / "mine.parquet" / "diary.txt").touch()
    pillow.fromarray(np.zeros((8, 8, 3), np.uint8)).save("photo.png")
    return tmp_path


@pytest.fixture
def run(folder, capfd):
    """Run a command in this process: (exit code, stdout, stderr)."""

    def run(command):
        code = main(command.split())
        return code, *capfd.readouterr()

    return run


def test_facts_and_files(run, folder):
    code, out, err = run("fit t.parquet --columns b,a -k 3 -o o.parquet --json")
    assert (code, err) == (0, "")
    facts = json.loads(out)
    beside = json.loads((folder / "o.parquet.clusters.json").read_text())
    assert beside.items() <= facts.items()
    assert (facts["rows"], facts["k"], facts["columns"]) == (500, 3, ["b", "a"])
    assert (facts["output"], facts["parts"]) == ("o.parquet", 1)
    assert facts["model"] == "o.parquet.clusters.json"
    assert set(facts["seconds"]) == {"fit", "write"}
    found = pd.read_parquet("o.parquet")
    assert found.cluster.value_counts().sort_index().tolist() == facts["counts"]


def test_it_ends_with_a_summary_and_lies_beside_the_input(run, folder):
    (folder / "deep").mkdir()
    (folder / "t.parquet").rename("deep/my.t.parquet")
    code, out, err = run("fit deep/my.t.parquet -k 3 --scale std")
    assert (code, err) == (0, "")
    for words in ("rows      500\n", "a, b", "3: ", "%", "deep/my.t.k3.parquet, 1 part", "fit"):
        assert words in out
    assert (folder / "deep/my.t.k3.parquet/part.0.parquet").is_file()
    assert run("fit t.parquet -k 3 -q")[0] == 2


def test_names_with_commas_are_quoted(folder, capfd):
    pq.write_table(pa.table({"x,y": [1.0, 2.0], "z": [1.0, 2.0]}), "c.parquet")
    assert main(["fit", "c.parquet", "--columns", '"x,y", z', "-k", "2", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["columns"] == ["x,y", "z"]


def test_fewer_points_than_clusters_are_noted(run, folder):
    pq.write_table(pa.table({"a": [1.0, 1.0, 5.0]}), "few.parquet")
    code, out, err = run("fit few.parquet -k 8 --json")
    assert (code, err) == (0, "")
    assert json.loads(out)["notes"] == ["k=2, not 8: the rows have only 2 distinct points"]


def test_overwrite_replaces_a_table(run, folder):
    assert run("fit t.parquet -k 3 -o o.parquet -q") == (0, "", "")
    assert run("fit t.parquet -k 2 -o o.parquet/ --overwrite -q") == (0, "", "")
    assert pd.read_parquet("o.parquet").cluster.max() == 1
    assert json.loads((folder / "o.parquet.clusters.json").read_text())["k"] == 2


@pytest.mark.slow
def test_it_runs_on_workers(run, folder):
    assert run("fit t.parquet -k 3 -o w.parquet --workers 2 -q") == (0, "", "")
    assert run("fit t.parquet -k 3 -o o.parquet -q")[0] == 0
    assert pq.read_table("w.parquet").equals(pq.read_table("o.parquet"))


# ---------------------------------------------------------------- failures

BAD = [
    ("fit no.parquet", "no.parquet: no such file"),
    ("fit nothing.parquet", "nothing.parquet: a folder without .parquet files"),
    ("fit s3://b/t.parquet", "s3://b/t.parquet: tables are read from disks"),
    ("fit text.parquet", "text.parquet: not a table that can be read"),
    ("fit cut.parquet", "cut.parquet: not a table that can be read"),
    ("fit bad.parquet", "bad.parquet: is damaged"),
    ("fit mixed.parquet", "mixed.parquet/1.parquet: has other columns than mixed.parquet/0.par"),
    ("fit words.parquet", "words.parquet: has no numeric column"),
    ("fit taken.parquet", "taken.parquet: has a column 'cluster' already"),
    ("fit twice.parquet", "twice.parquet: has several columns 'a'"),
    ("fit nulls.parquet", "nulls.parquet: no row has a value in each of the columns"),
    ("fit empty.parquet", "empty.parquet: has no rows"),
    ("fit t.parquet --columns a,c", "t.parquet: has no column 'c': it has a, b, name"),
    ("fit t.parquet --columns name", "column 'name' is no number but string"),
    ("fit t.parquet --columns a,a", "column 'a' is named 2 times"),
    ("fit t.parquet -k 0", "k=0: must be a whole number from 1 to 65535"),
    ("fit t.parquet -k auto", "t.parquet: is a table: say how many clusters"),
    ("fit t.parquet --quality 30", "--quality is for images, and t.parquet is a table"),
    ("fit t.parquet --keep red", "--keep is for images"),
    ("fit t.parquet --content both", "--content is for images"),
    ("fit t.parquet --bands 1", "--bands is for images"),
    ("fit t.parquet --cog", "--cog is for images"),
    ("fit t.parquet --algorithm dask-ml", "algorithm='dask-ml': for a table must be one of"),
    ("fit t.parquet --scale width", "'width'"),
    ("fit t.parquet words.parquet", "2 inputs, and a table among them"),
    ("fit photo.png t.parquet", "2 inputs, and a table among them"),
    ("fit photo.png --columns a", "--columns is for tables"),
    ("fit t.parquet -o o.zarr", "o.zarr: the output of a table is one: name OUT.parquet"),
    ("fit t.parquet -o words.parquet", "words.parquet: exists already"),
    ("fit t.parquet -o t.parquet --overwrite", "t.parquet: is the input t.parquet or overlaps"),
    ("fit mixed.parquet/0.parquet -o mixed.parquet --overwrite", "or overlaps it"),
    ("fit t.parquet -o mine.parquet --overwrite", "mine.parquet: is a folder, and no table"),
    ("fit t.parquet -o missing/o.parquet", "there is no folder"),
    ("fit t.parquet -o /proc/o.parquet", "cannot be written in /proc"),
    ("fit t.parquet -o s3://b/o.parquet", "s3://b/o.parquet: tables are written to disks"),
    ("fit t.parquet --workers 2 --scheduler tcp://127.0.0.1:1", "exclude each other"),
]


@pytest.mark.parametrize(("command", "words"), BAD, ids=[command for command, _ in BAD])
def test_bad_input_is_one_clear_line_and_exit_code_2(command, words, run, folder):
    before = set(folder.rglob("*"))
    code, out, err = run(command)
    assert err.startswith("bigquant: error: ")
    assert err.count("\n") == 1
    assert words in err
    assert (code, out) == (2, "")
    assert set(folder.rglob("*")) == before


def test_too_many_columns_for_a_histogram(run, folder):
    pq.write_table(pa.table({name: [1.0] for name in "abcde"}), "wide.parquet")
    code, _, err = run("fit wide.parquet --algorithm histogram")
    assert (code, err.count("\n")) == (2, 1)
    assert "5 columns are too many for a histogram, which takes up to 4" in err


def test_a_full_disk_is_exit_code_1_and_leaves_nothing(run, folder, monkeypatch):
    class Full:
        def __init__(self, *arguments, **options):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(table_output.pq, "ParquetWriter", Full)
    before = set(folder.rglob("*"))
    code, _, err = run("fit t.parquet -k 3 -o o.parquet")
    assert (code, err.count("\n")) == (1, 1)
    assert "o.parquet: cannot be written (No space left on device)" in err
    assert set(folder.rglob("*")) == before


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """A table of 30 files, 3 million rows in all."""
    folder = tmp_path_factory.mktemp("long") / "long.parquet"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(30):
        columns = {name: rng.normal(size=100_000).astype("f4") for name in "abcdef"}
        pq.write_table(pa.table(columns), folder / f"{i}.parquet")
    return folder


@pytest.mark.parametrize(
    ("number", "words", "code"),
    [(signal.SIGINT, "interrupted", 130), (signal.SIGTERM, "terminated", 1)],
)
def test_a_signal_leaves_nothing(number, words, code, long, folder):
    before = {path.name for path in folder.iterdir()}
    with fitting(long, "-o", "out.parquet") as process:
        wait_until_written(process, ".out.parquet.partial/out.parquet/part.*")
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (code, b"")
        assert err.decode() == f"bigquant: error: {words}: nothing was written\n"
        assert {path.name for path in folder.iterdir()} == before


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_nothing_at_the_name(long, folder):
    with fitting(long, "-o", "out.parquet") as process:
        wait_until_written(process, ".out.parquet.partial/out.parquet/part.*")
        process.kill()
        process.wait()
    assert not (folder / "out.parquet").exists()
    assert main(["fit", str(long), "-k", "8", "-o", "out.parquet", "-q"]) == 0
    assert len(pq.read_table("out.parquet")) == 3_000_000
    assert not (folder / ".out.parquet.partial").exists()


@pytest.mark.slow
@pytest.mark.parametrize("spoil", ["lost part", "changed input"])
def test_what_happens_to_files_meanwhile_is_told(spoil, long, folder):
    shutil.copytree(long, "in.parquet")
    before = {path.name for path in folder.iterdir()}
    with fitting("in.parquet", "-o", "out.parquet") as process:
        wait_until_written(process, ".out.parquet.partial/out.parquet/part.*")
        if spoil == "lost part":
            next(folder.glob(".out.parquet.partial/out.parquet/part.*")).unlink()
            words = "out.parquet: missing blocks: 1, e.g. "
        else:
            for path in folder.glob("in.parquet/*"):
                os.utime(path, (1, 1))
            words = ".parquet: has changed since it was opened"
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, b"")
    assert err.decode().startswith("bigquant: error: ")
    assert words in err.decode()
    assert {path.name for path in folder.iterdir()} == before
