"""OME-Zarr outputs of both versions, as programs that are not ours read and judge them."""

from __future__ import annotations

import json
import shutil
import subprocess
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import ome_zarr_models.v04.image
import ome_zarr_models.v04.image_label
import ome_zarr_models.v04.labels
import ome_zarr_models.v05.image
import ome_zarr_models.v05.image_label
import ome_zarr_models.v05.labels
import pytest
import reference
import tensorstore
import tifffile
import zarr
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from PIL import ImageColor
from test_scale import peak_megabytes

from bigquant import Palette, inspect, open_image, quantize
from bigquant.errors import PaletteWarning
from bigquant.omezarr import LABELS, VERSIONS

MODELS = {"0.4": ome_zarr_models.v04, "0.5": ome_zarr_models.v05}
#: Shape and number of colours.
CASES = {
    "gray": ((45, 60, 1), 8),
    "RGB": ((700, 1030, 3), 8),
    "RGBA with transparent parts": ((600, 530, 4), 8),
    "nodata GeoTIFF": ((530, 600, 3), 8),
    "5 x 7 pixels": ((5, 7, 3), 8),
    "1 x 100000 pixels": ((1, 100_000, 3), 8),
    "k=1": ((45, 60, 3), 1),
    "k=2": ((45, 60, 3), 2),
    "k=256": ((45, 60, 3), 256),
    "k=300, of 16 bits": ((45, 60, 4), 300),
}
GEOTIFF = [
    (33550, 12, 3, (10.0, 10.0, 0.0), True),
    (33922, 12, 6, (0.0, 0.0, 0.0, 5e5, 9e6, 0.0), True),
    (34735, 3, 12, (1, 1, 0, 2, 3072, 0, 1, 32633, 3076, 0, 1, 9001), True),
    (42113, 2, 0, "0", True),
]


@dataclass(frozen=True)
class Output:
    """An output, and what must stand in it: (labels, colours) of every level."""

    path: Path
    version: str
    palette: Palette
    levels: list


def make_input(case, folder):
    """Random pixels, a quarter of them transparent or nodata where there is such a thing."""
    shape, k = CASES[case]
    rng = np.random.default_rng(k)
    pixels = rng.integers(0, 256, shape, dtype=np.uint8)
    if shape[2] == 4:
        pixels[..., 3] = rng.choice([0, 1, 128, 255], shape[:2])
    if case != "nodata GeoTIFF":
        return pixels, pixels
    hidden = rng.random(shape[:2]) < 0.25
    pixels[hidden] = 0
    pixels[~hidden, 0] |= 1
    path = folder / "in.tif"
    tifffile.imwrite(path, pixels, tile=(256, 256), photometric="rgb", extratags=GEOTIFF)
    return open_image(path), np.dstack([pixels, 255 * ~hidden])


def write(case, version, folder, **options):
    """Write an output; what must stand in it is computed by slow, obvious code."""
    image, with_alpha = make_input(case, folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PaletteWarning)  # few pixels have few colours
        result = quantize(image, CASES[case][1])
    result.to_zarr(folder / "out.zarr", ome_zarr=version, **options)
    palette = result.palette
    labels = reference.labels(with_alpha, palette.colors, palette.first_label)
    levels = reference.pyramid(labels, palette.table, bool(palette.first_label))
    return Output(folder / "out.zarr", version, palette, levels)


@pytest.fixture(scope="module", params=VERSIONS)
def version(request):
    return request.param


@pytest.fixture(scope="module", params=CASES)
def output(request, version, tmp_path_factory):
    return write(request.param, version, tmp_path_factory.mktemp("viewers"))


def assert_levels(output, images, labels):
    """Images (c, y, x) and labels (y, x) of all levels are those that must be there."""
    assert len(images) == len(labels) == len(output.levels)
    for image, label, (wanted_labels, wanted_colors) in zip(
        images, labels, output.levels, strict=True
    ):
        np.testing.assert_array_equal(np.moveaxis(image, 0, 2), wanted_colors)
        np.testing.assert_array_equal(label, wanted_labels)
        assert label.dtype == output.palette.label_dtype


def label_facts(path):
    """What is said of the labels, by their values."""
    attributes = zarr.open_group(path / LABELS, mode="r").attrs.asdict()
    facts = attributes.get("ome", attributes)["image-label"]
    colors = {entry["label-value"]: entry["rgba"] for entry in facts["colors"]}
    properties = {entry.pop("label-value"): entry for entry in facts["properties"]}
    return colors, properties


def validate(path, version):
    """Let ome-zarr-models judge the image, the group of labels, and the labels."""
    group, models = zarr.open_group(path, mode="r"), MODELS[version]
    image = models.image.Image.from_zarr(group)
    assert image.labels.ome_attributes.labels == ["quantized"]
    assert models.labels.Labels.from_zarr(group["labels"])
    label = models.image_label.ImageLabel.from_zarr(group[LABELS])
    assert image.ome_zarr_version == label.ome_zarr_version == version
    scales = image.ome_attributes.multiscales[0], label.ome_attributes.multiscales[0]
    assert [[axis.name for axis in scale.axes] for scale in scales] == [[*"cyx"], [*"yx"]]
    assert len(scales[0].datasets) == len(scales[1].datasets)


def read_nodes(path):
    """Let ome-zarr's reader find the image and its labels; between them is the labels' group."""
    image, group, label = Reader(parse_url(path))()
    assert not group.data
    return image, label


# ---------------------------------------------------------------- judged


def test_ome_zarr_models_finds_it_valid(output):
    validate(output.path, output.version)


def test_every_label_has_a_color_and_properties_that_are_so(output):
    colors, properties = label_facts(output.path)
    palette, labels = output.palette, output.levels[0][0]
    first = palette.first_label
    assert list(colors) == list(properties) == list(range(first + palette.k))
    if first:
        assert colors.pop(0) == [0, 0, 0, 0]
        assert properties.pop(0) == {}
    for label, color in colors.items():
        said = properties[label]
        assert ImageColor.getrgb(said["hex"]) == tuple(color[:3])
        assert color[3] == 255
        assert said["count"] == np.count_nonzero(labels == label)
        assert said["share"] == pytest.approx(said["count"] / np.count_nonzero(labels >= first))


# ---------------------------------------------------------------- read


def test_zarr_reads_every_level(output):
    group = zarr.open_group(output.path, mode="r")
    numbers = range(len(output.levels))
    images, labels = ([group[f"{p}{n}"][:] for n in numbers] for p in ("", f"{LABELS}/"))
    assert_levels(output, images, labels)
    for array in (group["0"], group[f"{LABELS}/0"]):
        assert array.metadata.zarr_format == (3 if output.version == "0.5" else 2)
        assert bool(array.shards) == (output.version == "0.5")


def test_tensorstore_reads_every_level(output):
    driver = "zarr3" if output.version == "0.5" else "zarr"

    def read(name):
        store = {"driver": "file", "path": str(output.path / name)}
        return tensorstore.open({"driver": driver, "kvstore": store}).result().read().result()

    numbers = range(len(output.levels))
    images, labels = ([read(f"{p}{n}") for n in numbers] for p in ("", f"{LABELS}/"))
    assert_levels(output, images, labels)


def test_the_plugin_of_napari_shows_image_labels_and_colors(output):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from napari_ome_zarr import napari_get_reader

        layers = napari_get_reader(str(output.path))(str(output.path))
    pictures = [data for data, _, kind in layers if kind == "image"]
    ((labels, facts),) = [(data, facts) for data, facts, kind in layers if kind == "labels"]
    images = [  # 0.10 has one layer of all channels, 0.11 one of each
        np.stack(channels).reshape(-1, *channels[0].shape[-2:])
        for channels in zip(*pictures, strict=True)
    ]
    assert_levels(output, images, [np.asarray(level) for level in labels])
    colors, properties = label_facts(output.path)
    shown = facts["colormap"]
    assert {value: [round(255 * part) for part in shown[value]] for value in shown} == colors
    table = facts["features"] if "features" in facts else facts["properties"]
    values = table["label_value" if "features" in facts else "index"]
    names = dict(zip(map(int, values), table["hex"], strict=True))
    assert {value: names[value] for value, said in properties.items() if said} == {
        value: said["hex"] for value, said in properties.items() if said
    }


def test_the_reader_of_ome_zarr_finds_image_labels_and_colors(output):
    image, label = read_nodes(output.path)
    images, labels = ([level.compute() for level in node.data] for node in (image, label))
    assert_levels(output, images, labels)
    colors, properties = label_facts(output.path)
    shown = label.metadata["color"]
    assert {value: [round(255 * part) for part in shown[value]] for value in shown} == colors
    assert label.metadata["properties"] == properties
    assert len(image.metadata["colormap"]) == len(images[0])


def test_labels_alone_open_under_the_name_of_the_group(version, tmp_path):
    output = write("RGBA with transparent parts", version, tmp_path, content="labels")
    expected = [labels for labels, _ in output.levels]
    models, group = MODELS[version], zarr.open_group(output.path, mode="r")
    image = models.image.Image.from_zarr(group)
    assert image.labels.ome_attributes.labels == ["quantized"]
    assert models.image_label.ImageLabel.from_zarr(group[LABELS])
    nodes = read_nodes(output.path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from napari_ome_zarr import napari_get_reader

        layers = napari_get_reader(str(output.path))(str(output.path))
    assert [kind for _, _, kind in layers] == ["image", "labels"]
    for levels in (*(node.data for node in nodes), *(data for data, _, _ in layers)):
        for found, wanted in zip(levels, expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
    colors, _ = label_facts(output.path)
    for shown in (nodes[1].metadata["color"], layers[1][1]["colormap"]):
        assert {v: [round(255 * part) for part in shown[v]] for v in shown} == colors
    assert np.ravel(layers[0][1]["contrast_limits"]).tolist() == [0, output.palette.k]
    assert inspect(output.path)["format"] == "OME-Zarr"
    np.testing.assert_array_equal(open_image(output.path, level=1)[..., 0], expected[1])


@pytest.mark.skipif(not shutil.which("gdal_translate"), reason="gdal_translate is not installed")
@pytest.mark.parametrize("case", ["gray", "RGBA with transparent parts", "k=300, of 16 bits"])
def test_gdal_reads_the_older_version(case, tmp_path):
    output = write(case, "0.4", tmp_path)

    def read(name):
        names = f'ZARR:"{output.path}":/{name}', tmp_path / "band.tif"
        subprocess.run(["gdal_translate", "-q", *names], check=True)
        return tifffile.imread(names[1])

    depth, numbers = output.palette.colors.shape[1], range(len(output.levels))
    images = [np.stack([read(f"{n}:{c}") for c in range(depth)]) for n in numbers]
    assert_levels(output, images, [read(f"{LABELS}/{n}") for n in numbers])


def test_it_is_read_again(output):
    labels, colors = output.levels[-1]
    image = open_image(output.path, level=len(output.levels) - 1)
    np.testing.assert_array_equal(image.compute(), colors)
    facts = inspect(output.path)
    assert (facts["format"], facts["height"]) == ("OME-Zarr", output.levels[0][0].shape[0])
    assert len(facts["levels"]) == len(output.levels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PaletteWarning)
        again = quantize(open_image(output.path, level=len(output.levels) - 1), 2)
    assert again.labels.compute().shape == labels.shape


# ---------------------------------------------------------------- large


@pytest.mark.slow
def test_300_megapixels_are_valid_and_as_computed(version, tmp_path):
    source, target = tmp_path / "photo.tif", tmp_path / "photo.k32.zarr"
    peak_megabytes("sample", str(source), "--megapixels", "300")
    options = ["-k", "32", "--ome-zarr", version, "--json"]
    _, printed = peak_megabytes("fit", str(source), "-o", str(target), *options)
    facts = json.loads(printed)
    assert facts["width"] * facts["height"] == pytest.approx(300e6, rel=1e-3)
    validate(target, version)
    image, label = read_nodes(target)
    palette = Palette.load(f"{target}.palette.json")
    pixels, rng = open_image(source), np.random.default_rng(0)
    for y, x in rng.integers(0, np.array(pixels.shape[:2]) - 300, (20, 2)):
        window = slice(y, y + 300), slice(x, x + 300)
        wanted = reference.labels(pixels[window].compute(), palette.colors, 0)
        np.testing.assert_array_equal(label.data[0][window], wanted)
        colors = np.moveaxis(image.data[0][:, *window].compute(), 0, 2)
        np.testing.assert_array_equal(colors, palette.table[wanted])
    for upper, lower in zip(label.data, label.data[1:], strict=False):
        window = slice(0, 2000), slice(-2000 - upper.shape[1] % 2, None)
        halved = reference.halve_labels(upper[window].compute(), nodata=False)
        np.testing.assert_array_equal(lower[:1000, -halved.shape[1] :], halved)
