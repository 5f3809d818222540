"""Stores of other projects equal zarr's own read; damaged ones end in one line."""

from __future__ import annotations

import itertools
import json
import random
import re
import shutil
import warnings
from collections import Counter

import numpy as np
import pytest
import zarr
from conftest import SAMPLES

import bigquant

METADATA = ("zarr.json", ".zarray", ".zgroup")


def outcome(path, limit=1 << 30, **choice):
    """Read an image up to a size; the line of its refusal if it is refused, and by one line."""
    try:
        image = bigquant.open_image(path, **choice)
        return image.compute(scheduler="sync") if image.nbytes < limit else image
    except bigquant.BigquantError as error:
        line = str(error)
    assert re.fullmatch(rf"{re.escape(str(path))}: [^\n]+", line), line
    return line.removeprefix(f"{path}: ")


# ---------------------------------------------------------------- public stores


def open_quietly(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return zarr.open(path, mode="r")


def multiscales_of(path):
    """Multiscales of an OME-Zarr group by obvious code; none if it is something else."""
    if not any((path / name).is_file() for name in METADATA):
        return []
    group = open_quietly(path)
    attributes = {} if isinstance(group, zarr.Array) else dict(group.attrs)
    return attributes.get("ome", attributes).get("multiscales", [])


def axes_of(path, array):
    """Letters of an array's axes, by the image that it is a level of, or by its own names."""
    for multiscale in multiscales_of(path.parent):
        axes = multiscale.get("axes", "tczyx")
        letters = "".join(axis["name"] if isinstance(axis, dict) else axis for axis in axes)
        if any(dataset["path"] == path.name for dataset in multiscale["datasets"]):
            return letters
    return "yxc"[: array.ndim]


def check_image(path, array, letters, **level):
    """Compare planes of an image, the first and the last along each axis, band by band."""
    lengths = dict(zip(letters, array.shape, strict=True))
    others = [a for a in letters if a not in "yxc" and lengths[a] > 1]
    for indices in itertools.product(*({0, lengths[axis] - 1} for axis in others)):
        select = dict(zip(others, indices, strict=True))
        plane = array[tuple(select.get(a, slice(None) if a in "yxc" else 0) for a in letters)]
        left = [axis for axis in letters if axis in "yxc"]
        plane = plane.transpose([left.index(axis) for axis in "yxc" if axis in left])
        plane = plane.reshape(*plane.shape[:2], -1)
        for band in range(plane.shape[2]):
            image = outcome(path, select=select, bands=[band + 1], **level)
            np.testing.assert_array_equal(image[..., 0], plane[..., band])
        if plane.shape[2] in (1, 3):
            np.testing.assert_array_equal(outcome(path, select=select, **level), plane)
    return "equal, a plane chosen" if others else "equal"


def check_store(path):
    """Compare a store with zarr's own read of it; tell how that ended."""
    stored = open_quietly(path)
    if isinstance(stored, zarr.Array):
        letters = axes_of(path, stored)
        letters = letters if len(letters) == stored.ndim else "yxc"[: stored.ndim]
        return "array: " + check_image(path, stored[...], letters)
    levels = [d for m in multiscales_of(path) for d in m.get("datasets", ())]
    if levels and all((path / level["path"]).is_dir() for level in levels):
        for number, level in enumerate(levels):
            array = open_quietly(path / level["path"])
            letters = axes_of(path / level["path"], array)
            if len(letters) != array.ndim:
                assert "damaged" in outcome(path, level=number)
                continue
            ended = check_image(path, array[...], letters, level=number)
        return f"image: {ended}"
    if "bioformats2raw.layout" in stored.attrs:
        np.testing.assert_array_equal(outcome(path), outcome(path / "0"))
        return "series: equal"
    line = outcome(path)
    assert isinstance(line, str)
    kinds = ("a plate or well", "a Zarr group", "its level", "its metadata")
    return "refused: " + next(kind for kind in kinds if line.startswith(kind))


def test_public_stores_are_read_or_refused_in_one_line():
    if not SAMPLES.is_dir():
        pytest.skip(f"no folder {SAMPLES} of public test images")
    found = {p.parent for name in METADATA for p in (SAMPLES / "zarr").rglob(name)}
    table = Counter(check_store(p) for p in sorted(found) if "tables" not in p.parts)
    print(*(f"{count:4d} {kind}" for kind, count in sorted(table.items())), sep="\n")
    read = sum(count for kind, count in table.items() if "equal" in kind)
    assert read > 100
    assert set(table) <= {
        *("array: equal", "array: equal, a plane chosen"),
        *("image: equal", "image: equal, a plane chosen", "series: equal"),
        *("refused: a plate or well", "refused: a Zarr group"),
        *("refused: its level", "refused: its metadata"),
    }


# ---------------------------------------------------------------- damaged stores

WEIRD = [None, True, -1, 0, 1, 7, 1.5, 1e300, 10**9, 10**18, 2**64, "", "x", "|u1", "\ud800"]
WEIRD += [[], {}, [None], [0, 0], [10**6, 10**6, 3], {"name": "x"}, {"configuration": {}}]


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A store of each kind: arrays of both versions, sharded, and an image."""
    folder = tmp_path_factory.mktemp("stores")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    for name, options in (
        ("v2", {"zarr_format": 2, "chunks": (16, 16, 3)}),
        ("v3", {"chunks": (16, 16, 3), "dimension_names": ["y", "x", "c"]}),
        ("shards", {"chunks": (8, 8, 3), "shards": (32, 32, 3)}),
    ):
        zarr.create_array(folder / name, data=pixels, **options)
    bigquant.quantize(pixels, 4).to_zarr(folder / "image")
    return folder


def damage_json(value, rng):
    """Change one thing somewhere in a JSON document."""
    inner = list(value) if isinstance(value, dict) else range(len(value))
    if not inner:
        return rng.choice(WEIRD)
    key = rng.choice(list(inner))
    if isinstance(value[key], dict | list) and rng.random() < 0.8:
        value[key] = damage_json(value[key], rng)
    elif rng.random() < 0.2:
        del value[key]
    else:
        value[key] = rng.choice(WEIRD)
    return value


def damage_bytes(data, rng):
    at = rng.randrange(len(data) or 1)
    change = rng.randrange(4)
    if change == 0:
        return data[:at]
    if change == 1:
        return data + bytes(rng.randrange(9))
    if change == 2:
        return b""
    return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]


def damage(path, rng):
    """Damage one file of a store, its metadata more often than others."""
    files = sorted(p for p in path.rglob("*") if p.is_file())
    documents = [file for file in files if file.suffix == ".json" or file.name.startswith(".z")]
    file = rng.choice(documents if rng.random() < 0.8 else files)
    if file in documents and rng.random() < 0.8:
        document = damage_json(json.loads(file.read_text()), rng)
        file.write_text(json.dumps(document))
    elif rng.random() < 0.1:
        file.unlink()
    else:
        file.write_bytes(damage_bytes(file.read_bytes(), rng))


@pytest.mark.parametrize("kind", ["v2", "v3", "shards", "image"])
def test_a_damaged_store_is_read_or_refused_in_one_line(stores, tmp_path, kind):
    endings = Counter()
    for seed in range(150):
        path = tmp_path / f"{kind}-{seed}"
        shutil.copytree(stores / kind, path)
        damage(path, random.Random(f"{kind} {seed}"))
        endings[type(outcome(path, limit=1 << 24)).__name__] += 1
        shutil.rmtree(path)
    print(kind, endings)
    assert endings["str"] > 20
    assert endings["ndarray"] > 5
