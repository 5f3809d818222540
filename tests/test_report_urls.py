"""Pages about outputs behind URLs: what is read from there, and what is not."""

import json
from pathlib import Path

import fsspec
import numpy as np
import pytest
import tifffile
from reports import run
from servers import http_folder

import bigquant
from bigquant import filejob
from bigquant.errors import InputError
from bigquant.image import Image

URL = "memory://bucket/out.zarr"


@pytest.fixture(autouse=True)
def memory(tmp_path, monkeypatch):
    """A store of this process, which is empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(filejob, "_FLEETING", ())
    fs = fsspec.filesystem("memory")
    yield fs
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]


@pytest.fixture
def unread(monkeypatch):
    """No pixel can be read any more."""

    def refuse(*_, **__):
        raise AssertionError("pixels are read")

    monkeypatch.setattr(Image, "__array__", refuse)
    monkeypatch.setattr("bigquant.showing.thinned", refuse)


def assert_alike(far, near):
    np.testing.assert_array_equal(far.before, near.before)
    np.testing.assert_array_equal(far.after, near.after)
    np.testing.assert_allclose(far.error, near.error, atol=0.0501)  # kept ones are rounded
    assert far.palette.hex == near.palette.hex


def test_a_page_is_made_of_what_the_fit_has_left_there(photo, given, unread, capfd):
    assert run(f"fit photo.tif -k 8 -o {URL} -q") == 0
    assert run("fit photo.tif -k 8 -o near.zarr -q") == 0
    assert run(f"report {URL}") == 0
    assert capfd.readouterr().out.split()[0] == "out.zarr.report.html"
    assert Path("out.zarr.report.html").stat().st_size > 10_000
    assert run("report near.zarr -q") == 0
    far, near = given
    assert_alike(far, near)
    assert (far.title, far.facts["output"]) == ("out.zarr", URL)
    np.testing.assert_array_equal(far.cloud[0], near.cloud[0])
    assert not [name for name in fsspec.filesystem("memory").store if name.endswith(".html")]


@pytest.mark.parametrize("content", ["both", "image", "labels"])
def test_without_a_preview_output_and_source_are_read(content, photo, given, memory):
    assert run(f"fit photo.tif -k 8 -o {URL} -q --content {content}") == 0
    assert run("fit photo.tif -k 8 -o near.zarr -q --report") == 0
    memory.rm("/bucket/out.zarr.preview.json")
    page = bigquant.report(URL, "far.html", source="photo.tif")
    assert page == Path("far.html")
    assert_alike(given[1], given[0])


def test_a_preview_from_afar_opens_no_file_here(photo, given, memory):
    assert run(f"fit photo.tif -k 8 -o {URL} -q") == 0
    name = "/bucket/out.zarr.preview.json"
    model = json.loads(memory.cat(name))
    for key in ("before", "after", "error"):
        del model[key]
    memory.pipe(name, json.dumps(model).encode())
    assert run(f"report {URL}") == 0
    assert given[0].before is None


@pytest.mark.parametrize("mask", ["https://127.0.0.1:9/mask.tif", "/etc/passwd", "nothing.tif"])
def test_a_mask_that_a_preview_from_afar_names_is_not_opened(mask, photo, given, memory):
    assert run(f"fit photo.tif -k 8 -o {URL} -q") == 0
    name = "/bucket/out.zarr.preview.json"
    model = json.loads(memory.cat(name))
    model["facts"]["reading"]["mask"] = mask
    memory.pipe(name, json.dumps(model).encode())
    assert run(f"report {URL} --source photo.tif") == 0
    assert given[0].before.shape[2] == 3


def test_an_older_version_of_the_format_is_known(photo, given):
    assert run(f"fit photo.tif -k 8 -o {URL} -q --ome-zarr 0.4") == 0
    assert run(f"report {URL}/") == 0
    assert given[0].palette.k == 8


def test_a_url_of_this_machine_s_disk_is_a_path(photo, given, tmp_path):
    assert run("fit photo.tif -k 8 -o out.tif -q") == 0
    Path("sweep.csv").write_text("k,mse\n2,9\n4,5\n8,1\n")
    assert run(f"report file://{tmp_path}/out.tif --sweep file://{tmp_path}/sweep.csv") == 0
    assert Path("out.tif.report.html").exists()
    assert given[0].curve[0] == [2, 4, 8]


def test_images_of_others_are_counted_there_too(photo, given, tmp_path):
    colors = np.arange(30, dtype=np.uint8).reshape(10, 3)
    pixels = colors[np.random.default_rng(0).integers(0, 10, (64, 64))]
    tifffile.imwrite("few.tif", pixels, photometric="rgb", tile=(32, 32))
    with http_folder(tmp_path) as server:
        assert run(f"report {server.url}/few.tif") == 0
    np.testing.assert_array_equal(given[0].after, pixels)
    assert given[0].palette.k == 10


def test_options_for_the_store_are_passed_on(photo, monkeypatch):
    options = []
    connect = bigquant.remote.connect
    monkeypatch.setattr(
        "bigquant.remote.connect", lambda url, o: (options.append(dict(o)), connect(url, {}))[1]
    )
    assert run(f"fit photo.tif -k 8 -o {URL} -q") == 0
    options.clear()
    assert run(f"report {URL} --storage-option key=abc -q") == 0
    assert options
    assert all(each == {"key": "abc"} for each in options)


@pytest.mark.parametrize(("name", "query"), [("out.tif", "?token=secret"), ("out.zarr", "")])
def test_a_web_server_need_not_list_what_it_has_and_secrets_are_not_told(
    name, query, photo, given, tmp_path
):
    assert run(f"fit photo.tif -k 8 -o {name} -q --report") == 0
    with http_folder(tmp_path) as server:
        assert run(f"report {server.url}/{name}{query} -o page.html") == 0
        Path(f"{name}.preview.json").unlink()
        assert run(f"report {server.url}/{name} -o read.html --source photo.tif") == 0
    assert "secret" not in Path("page.html").read_text()
    assert [report.title for report in given] == [name] * 3
    for report in given[1:]:
        assert_alike(report, given[0])


@pytest.mark.parametrize("data", [b"{", b"{}", b"<html>", b"[" * (17 << 20)])
def test_what_is_no_preview_there_is_none(data, photo, given, memory, capfd):
    """Web servers answer with pages of theirs."""
    assert run(f"fit photo.tif -k 8 -o {URL} -q") == 0
    memory.pipe("/bucket/out.zarr.preview.json", data)
    assert run(f"report {URL} -v") == 0
    assert given[0].before is None
    assert "out.zarr.preview.json: is not used: " in capfd.readouterr().err.replace("\n", "")


def test_a_server_that_sends_more_than_it_is_asked_for_is_not_heard_out(photo, given, tmp_path):
    assert run("fit photo.tif -k 8 -o out.tif -q") == 0
    Path("out.tif.preview.json").write_bytes(bytes(200 << 20))
    with http_folder(tmp_path) as server:
        server.unranged = "preview.json"
        assert run(f"report {server.url}/out.tif") == 0
        assert server.sent < 100 << 20
    assert given[0].before is None


def test_what_opens_one_store_is_not_shown_to_another(photo, monkeypatch, tmp_path):
    """Options are for the output; a source elsewhere gets none."""
    assert run(f"fit photo.tif -k 8 -o {URL} -q") == 0
    options = {}
    connect = bigquant.remote.connect
    monkeypatch.setattr(
        "bigquant.remote.connect", lambda url, o: (options.update({url: o}), connect(url, {}))[1]
    )
    with http_folder(tmp_path) as server:
        source = f"{server.url}/photo.tif"
        assert run(f"report {URL} --source {source} --storage-option key=abc -q") == 0
        assert options[URL] == {"key": "abc"}
        assert options[source] == {}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("memory://bucket/nothing.zarr", "memory://bucket/nothing.zarr: there is no such file"),
        ("zip://out.zarr::s3://bucket/all.zip", "one URL upon another"),
        ("http://127.0.0.1:9/out.zarr", "http://127.0.0.1:9/out.zarr: "),
        ("http://", "http://: "),
        ("s3://", "s3://: "),
    ],
)
def test_what_is_not_there_is_refused(name, words):
    with pytest.raises(InputError, match=words):
        bigquant.report(name)
    assert not list(Path().iterdir())
