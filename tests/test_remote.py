"""Files behind URLs equal those on disks; what a server does wrong is told in one line."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import time

import aiohttp
import fsspec
import numpy as np
import pytest
import tifffile
import zarr
from outcomes import refused
from servers import http_folder

import bigquant
from bigquant import remote, tiff_page
from bigquant.bytesource import ByteSource
from bigquant.remote import public

PIXELS = np.random.default_rng(0).integers(0, 256, (600, 700, 3), np.uint8)


def write_files(folder, pixels=PIXELS):
    tile = {"tile": (64, 64), "compression": "deflate"}
    tifffile.imwrite(folder / "tiles.tif", pixels, photometric="rgb", **tile)
    tifffile.imwrite(folder / "piece.tif", pixels, photometric="rgb")
    for name, options in (
        ("chunks.zarr", {"chunks": (64, 128, 3)}),
        ("shards.zarr", {"chunks": (64, 64, 3), "shards": (256, 256, 3)}),
        ("old.zarr", {"chunks": (128, 128, 3), "zarr_format": 2}),
    ):
        zarr.create_array(folder / name, data=pixels, **options)
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(99))
    (folder / "empty.tif").write_bytes(b"")


IMAGES = ("tiles.tif", "piece.tif", "chunks.zarr", "shards.zarr", "old.zarr")


@pytest.fixture
def served(tmp_path):
    write_files(tmp_path)
    with http_folder(tmp_path) as served:
        yield served


# ---------------------------------------------------------------- HTTP


@pytest.mark.parametrize("name", IMAGES)
def test_what_lies_behind_http_is_what_lies_on_the_disk(served, name):
    image = bigquant.open_image(f"{served.url}/{name}")
    local = bigquant.open_image(served.folder / name)
    np.testing.assert_array_equal(image.compute(), PIXELS)
    assert image.chunks == local.chunks
    assert image.source.details == local.source.details
    assert image.source.path == f"{served.url}/{name}"
    assert len(pickle.dumps(image)) < 10_000


@pytest.mark.parametrize("name", ["tiles.tif", "shards.zarr"])
def test_other_processes_read_it_too(served, name):
    image = bigquant.open_image(f"{served.url}/{name}")
    assert image.sum().compute(scheduler="processes", num_workers=1) == PIXELS.sum()


@pytest.mark.parametrize("compression", ["deflate", "zstd", "lzw"])
def test_a_strip_behind_http_is_unpacked_once(served, monkeypatch, compression):
    monkeypatch.setattr(tiff_page, "BLOCK_BYTES", 0)
    pixels = np.random.default_rng(0).integers(0, 256, (300, 200, 3), np.uint8)
    path = served.folder / "strip.tif"
    tifffile.imwrite(path, pixels, compression=compression, rowsperstrip=300, photometric="rgb")
    image = bigquant.open_image(f"{served.url}/strip.tif")
    assert image.staged
    np.testing.assert_array_equal(image.compute(), pixels)


def test_neighbouring_tiles_come_in_one_request(served):
    image = bigquant.open_image(f"{served.url}/tiles.tif")
    assert served.count() < 5
    served.requests.clear()
    image.compute()
    assert served.count() < 5  # of 110 tiles
    served.requests.clear()
    np.testing.assert_array_equal(image[70:200, 70:200].compute(), PIXELS[70:200, 70:200])
    assert served.count() < 5


def test_ranges_come_as_they_were_asked_for(served, rng):
    data = (served.folder / "piece.tif").read_bytes()
    file = ByteSource.find(f"{served.url}/piece.tif")
    ranges = [(int(at), int(n)) for at, n in rng.integers(0, 100_000, (50, 2))]
    ranges += [(0, 0), (5, 0), ranges[0], (len(data) - 1, 1), (0, len(data))]
    assert file.read(ranges) == [data[at : at + n] for at, n in ranges]
    with pytest.raises(bigquant.BigquantError, match="truncated"):
        file.read([(len(data) - 5, 10)])


def test_a_server_without_ranges_is_noticed_before_it_sends_the_file(served):
    served.ranges = False
    for name in ("tiles.tif", "piece.tif", "shards.zarr"):
        with refused(f"{served.url}/{name}") as caught:
            bigquant.open_image(f"{served.url}/{name}")
        assert "ranges of bytes" in str(caught.value)
    np.testing.assert_array_equal(bigquant.open_image(f"{served.url}/chunks.zarr"), PIXELS)


def test_a_server_that_stops_answering_ranges_is_noticed(served):
    image = bigquant.open_image(f"{served.url}/tiles.tif")
    image[:9, :9].compute()
    served.ranges = False
    with refused(f"{served.url}/tiles.tif", bigquant.BigquantError):
        image[:9, :9].compute()


@pytest.mark.parametrize("name", ["tiles.tif", "shards.zarr", "chunks.zarr"])
@pytest.mark.parametrize("read", [False, True])
def test_what_changes_under_a_run_is_an_error(served, name, read):
    image = bigquant.open_image(f"{served.url}/{name}")
    if read:
        image[:9, :9].compute()
    path = served.folder / name
    os.utime(path / "zarr.json" if path.is_dir() else path, ns=(1, 1))
    with refused(f"{served.url}/{name}", bigquant.BigquantError) as caught:
        image[:9, :9].compute()
    assert "has changed" in str(caught.value)


@pytest.mark.parametrize("status", [403, 404, 500])
@pytest.mark.parametrize("name", ["tiles.tif", "chunks.zarr"])
def test_a_server_that_fails_under_a_run_is_an_error_and_no_pixels(served, name, status):
    image = bigquant.open_image(f"{served.url}/{name}")
    served.status = status
    with refused(f"{served.url}/{name}", bigquant.BigquantError):
        image.compute()


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("none.tif", 200, "there is no such file"),
        ("none.zarr", 200, "there is no such file"),
        ("", 200, "there is no such file"),
        ("picture.png", 200, "copy the file to a disk first"),
        ("empty.tif", 200, "neither TIFF nor Zarr"),
        ("tiles.tif", 401, "access is denied"),
        ("tiles.tif", 403, "access is denied"),
        ("chunks.zarr", 403, "access is denied"),
        ("tiles.tif", 500, "500"),
        ("chunks.zarr", 503, "503"),
    ],
)
def test_what_cannot_be_read_is_one_line(served, name, status, words):
    served.status = status
    with refused(f"{served.url}/{name}") as caught:
        bigquant.open_image(f"{served.url}/{name}")
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["a.tif", "a.zarr"])
def test_a_refused_connection_is_not_a_missing_file(name):
    with refused(f"http://127.0.0.1:9/{name}") as caught:
        bigquant.open_image(f"http://127.0.0.1:9/{name}")
    assert "cannot be reached" in str(caught.value)


@pytest.fixture
def silent():
    """A server that accepts, and says nothing: its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]  # the system accepts; nobody reads


@pytest.mark.parametrize("name", ["a.tif", "a.zarr"])
def test_a_silent_server_is_not_waited_for_forever(name, silent):
    url = f"http://127.0.0.1:{silent}/{name}"
    timeout = aiohttp.ClientTimeout(sock_read=0.2)
    with refused(url, words="does not answer in time"):
        bigquant.open_image(url, storage_options={"client_kwargs": {"timeout": timeout}})
    url, limits = f"s3://bucket/{name}", {"read_timeout": 0.2, "retries": {"total_max_attempts": 1}}
    options = {"endpoint_url": f"http://127.0.0.1:{silent}", "anon": True, "config_kwargs": limits}
    with refused(url, words="does not answer in time"):
        bigquant.open_image(url, storage_options=options)


def test_by_default_a_silent_server_is_waited_for_a_minute_and_a_half():
    limits = remote.limited("s3://bucket/a.tif", {"config_kwargs": {"connect_timeout": 3}})
    assert limits["config_kwargs"]["connect_timeout"] == 3
    fs = remote.connect("s3://bucket/a.tif", {"anon": True})[0]
    tries = fs.retries * limits["config_kwargs"]["retries"]["total_max_attempts"]
    assert tries * limits["config_kwargs"]["read_timeout"] < 90
    timeout = remote.limited("https://example.org/a.tif", {})["client_kwargs"]["timeout"]
    assert 2 * timeout.sock_read < 90


# ---------------------------------------------------------------- other URLs


def test_other_file_systems_of_fsspec_are_read(tmp_path):
    write_files(tmp_path)
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path), "/pictures", recursive=True)
    try:
        for name in IMAGES:
            found = bigquant.open_image(f"memory://pictures/{name}")
            np.testing.assert_array_equal(found, PIXELS)
            local = bigquant.open_image(f"file://{tmp_path}/{name}")
            np.testing.assert_array_equal(local, PIXELS)
            assert local.source.path == str(tmp_path / name)
    finally:
        memory.rm("/pictures", recursive=True)


def test_an_unknown_protocol_is_one_line():
    with refused("nope://a/b.tif"):
        bigquant.open_image("nope://a/b.tif")


@pytest.mark.parametrize(
    ("url", "driver", "extra"),
    [
        ("s3://b/a.tif", "s3fs", "bigquant[s3]"),
        ("gs://b/a.tif", "gcsfs", "bigquant[gcs]"),
        ("https://b/a.zarr", "aiohttp", "bigquant[http]"),
    ],
)
def test_a_missing_driver_is_named_by_what_to_install(url, driver, extra):
    code = (
        f"import sys; sys.modules[{driver!r}] = None; import bigquant\n"
        f"try: bigquant.open_image({url!r})\n"
        "except bigquant.InputError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    scheme = url.split("/")[0]
    assert done.stdout == f"{url}: {scheme}// needs a driver: pip install '{extra}'\n"


def test_what_is_secret_in_a_url_is_not_kept():
    assert public("https://me:word@host:80/a.tif?signature=1") == "https://host:80/a.tif"
    assert public("s3://bucket/a?b#c.tif") == "s3://bucket/a?b#c.tif"
    assert public("simplecache::s3://bucket/a.tif") == "simplecache::s3://bucket/a.tif"
    assert public("memory:///a.tif") == "memory:///a.tif"
    assert public("gs://bucket/a?b.tif") == "gs://bucket/a?b.tif"
    assert public("abfs://me@host/a.tif?sig=1") == "abfs://host/a.tif"
    assert public("simplecache::http://a:b@h/x.tif?t=1") == "simplecache::http://h/x.tif"
    assert public("zip://a.tif::https://u:pw@h/x.zip?t=1") == "zip://a.tif::https://h/x.zip"
    assert public("http://me:word@[::1]:80/a.tif?t=1") == "http://[::1]:80/a.tif"


# ---------------------------------------------------------------- S3


@pytest.fixture(scope="session")
def s3(s3_options, tmp_path_factory):
    """Options for s3fs of a server with the images in the bucket "pictures"."""
    import s3fs

    folder = tmp_path_factory.mktemp("pictures")
    write_files(folder)
    fs = s3fs.S3FileSystem(**s3_options)
    for path in folder.iterdir():
        fs.put(str(path), "pictures/", recursive=True)
    return s3_options


@pytest.mark.parametrize("name", IMAGES)
def test_what_lies_on_s3_is_read(s3, name):
    image = bigquant.open_image(f"s3://pictures/{name}", storage_options=s3)
    np.testing.assert_array_equal(image.compute(), PIXELS)
    assert s3["secret"] not in repr(image.source)


@pytest.mark.parametrize("name", ["tiles.tif", "shards.zarr"])
def test_other_processes_read_from_s3_with_the_same_options(s3, name):
    image = bigquant.open_image(f"s3://pictures/{name}", storage_options=s3)
    assert image.sum().compute(scheduler="processes", num_workers=1) == PIXELS.sum()


def test_the_image_and_the_palette_of_a_file_on_s3_are_those_of_the_file(s3, tmp_path):
    write_files(tmp_path)
    near = bigquant.quantize(bigquant.open_image(tmp_path / "tiles.tif"), 4)
    far = bigquant.open_image("s3://pictures/tiles.tif", storage_options=s3)
    quantized = bigquant.quantize(far, 4)
    np.testing.assert_array_equal(near.palette.centers, quantized.palette.centers)
    np.testing.assert_array_equal(near.labels, quantized.labels)


def test_a_mask_may_lie_there_too(s3, tmp_path):
    import s3fs

    mask = np.zeros((600, 700), np.uint8)
    mask[:100] = 255
    tifffile.imwrite(tmp_path / "mask.tif", mask)
    s3fs.S3FileSystem(**s3).put_file(str(tmp_path / "mask.tif"), "pictures/mask.tif")
    urls = [f"s3://pictures/{name}.tif" for name in ("tiles", "mask")]
    image = bigquant.open_image(urls[0], mask=urls[1], storage_options=s3)
    np.testing.assert_array_equal(image[..., 3], mask)


@pytest.mark.parametrize(
    ("path", "options", "words"),
    [
        ("pictures/tiles.tif", {"secret": "wrong"}, "access is denied"),
        ("pictures/chunks.zarr", {"key": "wrong"}, "access is denied"),
        ("pictures/tiles.tif", {"anon": True, "key": None, "secret": None}, "access is denied"),
        ("pictures/none.tif", {}, "there is no such file"),
        ("pictures/none.zarr", {}, "there is no such file"),
        ("pictures", {}, "neither TIFF nor Zarr"),
        ("elsewhere/none.tif", {}, "bucket does not exist"),
        ("elsewhere/none.zarr", {}, "bucket does not exist"),
        ("pictures/tiles.tif", {"no_such_option": 1}, "no_such_option"),
    ],
)
def test_what_s3_refuses_is_one_line(s3, path, options, words):
    with refused(f"s3://{path}") as caught:
        bigquant.open_image(f"s3://{path}", storage_options={**s3, **options})
    assert words in str(caught.value)
    assert s3["secret"] not in str(caught.value)


@pytest.mark.parametrize("name", ["replaced.tif", "replaced.zarr"])
def test_an_object_that_is_replaced_is_an_error(s3, tmp_path, name):
    import s3fs

    fs = s3fs.S3FileSystem(**s3)
    path = tmp_path / name
    for shift in (0, 1):
        if shift:
            image = bigquant.open_image(f"s3://pictures/{name}", storage_options=s3)
            np.testing.assert_array_equal(image.compute(), PIXELS)
            time.sleep(1.1)  # the times of S3 are whole seconds
        if name.endswith(".tif"):
            tifffile.imwrite(path, PIXELS + np.uint8(shift), photometric="rgb")
        else:
            zarr.create_array(path, data=PIXELS + np.uint8(shift), overwrite=True)
        fs.put(str(path), f"pictures/{name}" if path.is_file() else "pictures/", recursive=True)
    with refused(f"s3://pictures/{name}", bigquant.BigquantError) as caught:
        image.compute()
    assert "has changed" in str(caught.value)
