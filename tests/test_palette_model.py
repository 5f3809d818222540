"""The JSON of a palette: its schema, older files, and files that are damaged."""

from __future__ import annotations

import json
import math
from importlib.metadata import version
from pathlib import Path

import dask.array as da
import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from outcomes import refused
from PIL import Image as pillow

import bigquant
from bigquant.palette import Palette

SCHEMA = json.loads((Path(bigquant.__file__).parent / "palette.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

#: What bigquant wrote before there was a second schema.
OLD = {
    "bigquant_palette": 1,
    "k": 2,
    "first_label": 1,
    "colors": [[200, 210, 220], [10, 20, 30]],
    "hex": ["#c8d2dc", "#0a141e"],
    "centers": [[200.25, 210.0, 219.5], [10.0, 20.5, 30.25]],
    "counts": [6, 2],
    "inertia": 16,
    "mse": 2.0,
    "psnr": 10 * math.log10(3 * 255**2 / 2),
    "fit": {"algorithm": "auto", "random_state": 0, "distinct_colors": 5},
}


def test_the_schema_is_one():
    VALIDATOR.check_schema(SCHEMA)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("algorithm", ["auto", "dask-ml"])
def test_what_is_written_fits_the_schema(depth, algorithm, tmp_path, rng):
    image = rng.integers(0, 256, (20, 30, depth), np.uint8)
    result = bigquant.quantize(image, 5, algorithm=algorithm, random_state=3)
    result.to_zarr(tmp_path / "out.zarr")
    model = json.loads((tmp_path / "out.zarr.palette.json").read_text())
    VALIDATOR.validate(model)
    assert model["first_label"] == (depth in (2, 4))
    assert model["shares"] == result.palette.shares.tolist()
    fit = model["fit"]
    assert fit["random_state"] == 3
    assert fit["versions"]["bigquant"] == version("bigquant")
    assert ("dask-ml" in fit["versions"]) == (algorithm == "dask-ml")


def test_a_palette_without_a_fit_fits_the_schema_too():
    VALIDATOR.validate(Palette.from_colors([[7], [7]]).as_json())


def test_files_that_were_fitted_are_named(tmp_path, rng):
    pixels = rng.integers(0, 256, (20, 30, 3), np.uint8)
    pillow.fromarray(pixels).save(tmp_path / "a.png")
    image = bigquant.open_image(tmp_path / "a.png")
    fit = bigquant.quantize(image, 3).palette.fit
    assert fit["sources"] == [str(tmp_path / "a.png")]
    assert len(bigquant.quantize([image] * 101, 3)[0].palette.fit["sources"]) == 100
    plain = bigquant.quantize(pixels, 3).palette.fit
    assert plain == {**fit, "sources": []}


def test_the_fingerprint_is_of_the_pixels(rng):
    pixels = rng.integers(0, 256, (20, 30, 3), np.uint8)

    def fingerprint(image):
        return bigquant.quantize(image, 3).palette.fit["fingerprint"]

    same = [pixels[::-1], da.from_array(pixels, chunks=7), [pixels[:9], pixels[9:]]]
    prints = {fingerprint(pixels), *map(fingerprint, same[:2])}
    prints |= {result.palette.fit["fingerprint"] for result in bigquant.quantize(same[2], 3)}
    assert len(prints) == 1
    clear = np.dstack([pixels, np.full((20, 30), 255, np.uint8)])
    assert fingerprint(clear) in prints
    clear[0, 0, 3] = 0
    other = pixels.copy()
    other[3, 4, 1] ^= 1
    assert len(prints | {fingerprint(clear), fingerprint(other), fingerprint(pixels[:-1])}) == 4


def test_files_of_the_first_schema_are_read(tmp_path):
    (tmp_path / "old.json").write_text(json.dumps(OLD))
    palette = Palette.load(tmp_path / "old.json")
    assert palette.centers.tolist() == OLD["centers"]
    assert palette.counts.tolist() == [6, 2]
    assert (palette.first_label, palette.inertia, palette.fit) == (1, 16, OLD["fit"])
    VALIDATOR.validate(palette.as_json())


DAMAGE = [
    ({"bigquant_palette": 99}, "not a bigquant palette of schema 1 to 3"),
    ({"colors": [[1, 2], [3, 4]]}, "no palette"),
    ({"colors": []}, "counts and colors"),
    ({"colors": [[200, 210, 220], [10, 20]]}, "rows of numbers"),
    ({"colors": [[200, 210, 220], [10, 20, 31]]}, "not its centers, rounded"),
    ({"colors": [["200", 210, 220], [10, 20, 30]]}, "colors is damaged"),
    ({"centers": [[300, 0, 0], [0, 0, 0]]}, "centers is damaged"),
    ({"centers": [[None, 0, 0], [0, 0, 0]]}, "centers is damaged"),
    ({"centers": [[10**400, 0, 0], [0, 0, 0]]}, "centers is damaged"),
    ({"centers": [[200.0, 210.0, 220.0]]}, "not its centers"),
    ({"counts": [6, -2]}, "counts is damaged"),
    ({"counts": [6, 2.5]}, "counts is damaged"),
    ({"counts": [6, True]}, "counts is damaged"),
    ({"counts": [1, 2, 3]}, "counts and colors"),
    ({"counts": [1 << 63, 0]}, "counts is damaged"),
    ({"first_label": 2}, "first_label is damaged"),
    ({"first_label": True}, "first_label is damaged"),
    ({"fit": 3}, "fit is damaged"),
    ({"fit": {"random_state": "0"}}, "fit is damaged"),
    ({"fit": {"sources": ["a.png", 7]}}, "fit is damaged"),
    ({"inertia": "much"}, "inertia is damaged"),
    ({"inertia": 10**400}, "more than its pixels can have"),
    ({"k": 3}, "k does not fit"),
    ({"hex": ["#c8d2dc", "#0a141f"]}, "hex does not fit"),
    ({"mse": 3}, "mse does not fit"),
    ({"mse": 10**400}, "mse does not fit"),
    ({"psnr": None}, "psnr does not fit"),
    ({"shares": [0.75, 0.5]}, "shares does not fit"),
    ({"space": "oklab"}, "space does not fit"),
    ({"space": "oklab", "bigquant_palette": 2, "shares": [0.75, 0.25]}, "space does not fit"),
    ({"space": "cmyk", "bigquant_palette": 2, "shares": [0.75, 0.25]}, "space is damaged"),
    ({"bigquant_palette": 2}, "it has no space"),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGE, ids=[str(d)[:40] for d, _ in DAMAGE])
def test_a_damaged_file_is_one_clear_line(tmp_path, damage, words):
    (tmp_path / "p.json").write_text(json.dumps(OLD | damage))
    with refused(tmp_path / "p.json", words=words):
        Palette.load(tmp_path / "p.json")


@pytest.mark.parametrize("name", OLD)
def test_a_missing_part_is_named(tmp_path, name):
    model = {**Palette.from_json(OLD).as_json()}
    del model[name]
    (tmp_path / "p.json").write_text(json.dumps(model))
    with refused(tmp_path / "p.json", words=name.replace("bigquant_palette", "schema")):
        Palette.load(tmp_path / "p.json")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "no json", "\ud800", "[" * 100_000, '{"mse": NaN}', "9" * 5000]
)
def test_what_is_no_palette_is_refused(tmp_path, text):
    (tmp_path / "p.json").write_bytes(text.encode(errors="surrogatepass"))
    with refused(tmp_path / "p.json"):
        Palette.load(tmp_path / "p.json")


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=6,
)


@given(name=st.sampled_from(sorted(OLD)), value=ANY)
def test_anything_in_any_place_is_refused_or_fits_the_schema(name, value):
    try:
        palette = Palette.from_json(OLD | {name: value})
    except bigquant.InputError:
        return
    VALIDATOR.validate(json.loads(json.dumps(palette.as_json())))
