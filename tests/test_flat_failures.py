"""PNG and ``.npy`` outputs: what they cannot hold is refused, and none is ever half."""

from __future__ import annotations

import errno
import tracemalloc

import dask.array as da
import numpy as np
import pytest
import tifffile
from PIL import Image as pillow
from test_atomic import full_disk  # noqa: F401 - a fixture
from test_flat_writer import WRITERS, palette_of, read, write
from test_write import make_image

from bigquant import BigquantError, InputError, flat_writer, quantize
from bigquant.cli import main
from bigquant.tiling import Level

# ---------------------------------------------------------------- refused before any work


def untouchable(shape, dtype=np.uint8):
    """Labels that nobody may compute."""

    def fail(_):
        raise AssertionError("work began")

    zeros = da.zeros(shape, dtype=dtype, chunks=8192)
    return zeros.map_blocks(fail, dtype=dtype, meta=np.empty((0, 0), dtype))


@pytest.mark.parametrize(
    ("shape", "n", "words"),
    [
        ((9, 9), 257, "257 labels, of at most 256"),
        ((1 << 15, (1 << 15) + 1), 2, "32769 x 32768 pixels, of at most 1073741824 in all"),
        ((1, 1_000_001), 2, "1000001 x 1 pixels, of at most 1073741824 in all and 1000000 a side"),
    ],
)
def test_what_a_png_cannot_hold_is_refused_before_any_work(shape, n, words, tmp_path):
    with pytest.raises(InputError, match=rf"\A[^\n]*out\.png: {words}[^\n]* \.tif or \.zarr\Z"):
        write(tmp_path / "out.png", untouchable(shape, palette_of(n).label_dtype), n)
    assert not list(tmp_path.iterdir())


def test_a_npy_of_the_image_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"out\.npy: a \.npy holds labels"):
        write(tmp_path / "out.npy", untouchable((9, 9)), content="image")
    write(tmp_path / "out.npy", da.ones((9, 9), dtype=np.uint8), content="labels")
    assert read(tmp_path / "out.npy").all()


# ---------------------------------------------------------------- never half


LABELS = da.zeros((4096, 1024), dtype=np.uint8, chunks=1024)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(("step", "calls"), [("write_part", 2), ("assemble", 0), ("save_png", 0)])
def test_a_disk_that_is_full_at_any_step_leaves_what_was_there(
    step, calls, name, tmp_path, monkeypatch
):
    write(tmp_path / name, LABELS)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    done, function = [], getattr(flat_writer, step)

    def fail(*arguments, **options):
        done.append(1)
        if len(done) > calls:
            raise OSError(errno.ENOSPC, "No space left on device")
        return function(*arguments, **options)

    monkeypatch.setattr(flat_writer, step, fail)
    if (step, name) == ("save_png", "out.npy"):
        write(tmp_path / name, LABELS, overwrite=True)
    else:
        with pytest.raises(BigquantError, match=rf"{name}: cannot be written \(No space left"):
            write(tmp_path / name, LABELS + 1, overwrite=True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.usefixtures("full_disk")
def test_a_disk_that_refuses_is_one_clear_line(name, tmp_path):
    with pytest.raises(BigquantError, match=rf"{name}: cannot be written \(File too large\)"):
        write(tmp_path / name, LABELS)
    assert not list(tmp_path.iterdir())


def test_a_png_that_the_disk_refuses_is_one_clear_line(tmp_path, rng, full_disk):  # noqa: F811
    """Its parts and the labels fit: Pillow is the first to be refused."""
    noise = rng.integers(0, 256, (300, 330), np.uint8)
    with pytest.raises(BigquantError, match=r"out.png: cannot be written \(File too large\)"):
        write(tmp_path / "out.png", da.from_array(noise), 256)
    assert not list(tmp_path.iterdir())


def forget(path, labels, write_part):
    if path.name != "0-1.part":
        write_part(path, labels)


def cut_short(path, labels, write_part):
    write_part(path, labels[: len(labels) - (path.name == "0-1.part")])


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("spoil", [forget, cut_short])
def test_a_block_that_is_missing_or_cut_short_is_noticed(spoil, name, tmp_path, monkeypatch):
    write_part = flat_writer.write_part
    monkeypatch.setattr(flat_writer, "write_part", lambda *a: spoil(*a, write_part))
    labels = da.zeros((2048, 2048), dtype=np.uint8, chunks=1024)
    with pytest.raises(BigquantError, match=rf"{name}: missing blocks: 1, e.g. 0-1.part"):
        write(tmp_path / name, labels)
    assert not list(tmp_path.iterdir())


def test_a_file_is_assembled_in_little_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(flat_writer, "_BAND_BYTES", 1 << 20)
    level = Level((8192, 4096), (512, 512), (2048, 2048))
    sink = flat_writer.Sink(str(tmp_path), level, np.dtype(np.uint8))
    for row, column in np.ndindex(level.grid):
        flat_writer.write_part(sink.part(row, column), np.full((2048, 2048), row, np.uint8))
    tracemalloc.start()
    flat_writer.assemble(tmp_path / "out.npy", sink)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20
    assert [path.name for path in tmp_path.iterdir()] == ["out.npy"]
    rows = np.load(tmp_path / "out.npy", mmap_mode="r")
    assert [np.unique(rows[i : i + 2048]).tolist() for i in range(0, 8192, 2048)] == [
        [0], [1], [2], [3],
    ]  # fmt: skip


# ---------------------------------------------------------------- the command


@pytest.fixture
def photo(tmp_path, monkeypatch, china):
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("photo.tif", china, photometric="rgb", tile=(64, 64))
    return quantize(china, 6)


@pytest.mark.parametrize("content", ["both", "image", "labels"])
def test_fit_writes_a_png_whatever_the_content(content, photo):
    assert main(["fit", "photo.tif", "-k", "6", "-o", "o.png", "--content", content, "-q"]) == 0
    with pillow.open("o.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), photo.labels)
        np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), photo.image)


def test_fit_names_outputs_by_the_format(photo, tmp_path, capfd):
    assert main(["fit", "photo.tif", "-k", "6", "--format", "npy"]) == 0
    assert "photo.k6.npy.palette.json" in capfd.readouterr().out
    np.testing.assert_array_equal(np.load("photo.k6.npy"), photo.labels)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-k", "257", "-o", "o.png"], "o.png: 257 labels, of at most 256"),
        (["-o", "o.npy", "--content", "image"], "o.npy: a .npy holds labels"),
    ],
)
def test_fit_refuses_before_it_reads(options, words, photo, monkeypatch, tmp_path, capfd):
    monkeypatch.setattr("bigquant.collection.quantize_images", None)
    before = set(tmp_path.iterdir())
    assert main(["fit", "photo.tif", *options]) == 2
    assert words in capfd.readouterr().err
    assert set(tmp_path.iterdir()) == before


def test_fit_knows_that_transparent_pixels_take_a_label(tmp_path, monkeypatch, capfd, rng):
    monkeypatch.chdir(tmp_path)
    pillow.fromarray(make_image("RGBA", rng)).save("in.png")
    assert main(["fit", "in.png", "-k", "256", "-o", "o.png"]) == 2
    assert "o.png: 257 labels" in capfd.readouterr().err
    assert main(["fit", "in.png", "-k", "255", "-o", "o.png", "-q"]) == 0
