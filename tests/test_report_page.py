"""The page of a report as a file: what stands in it, how large it is, and that it is harmless."""

import base64
import hashlib
import io
import json
import re

import matplotlib
import numpy as np
import pytest
from lxml import html
from PIL import Image
from reports import fitted, make_report

from bigquant.palette import Palette
from bigquant.report_figures import encode_picture, error_scale, paint_error, plot_curve
from bigquant.report_page import render

MOST_BYTES = 5_000_000


def parse(report):
    return html.document_fromstring(render(report))


def titles(page):
    return [title.text_content() for title in page.iter("h2")]


def decode(address):
    kind, data = address.split(",")
    assert kind == "data:image/png;base64"
    return np.array(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA"))


def words(page):
    """What a reader sees."""
    for script in list(page.iter("script", "style")):
        script.drop_tree()
    return " ".join(page.body.text_content().split())


def figures(page):
    """What the page begins with, by its names."""
    (listed,) = page.find_class("figures")
    return {pair[0].text_content(): pair[1].text_content() for pair in listed}


def picture(page, name):
    return decode(page.find_class(name)[0].get("src"))


def test_a_full_report_has_all_sections_and_its_words():
    page = parse(make_report())
    assert titles(page) == [
        "Before and after",
        "Palette",
        "Where it differs",
        "Colors in space",
        "Error by number of colors",
        "Facts",
    ]
    told = words(page)
    assert "knee at 8" in told
    assert figures(page) == {
        "Colors": "16",
        "Pixels counted": "136",
        "PSNR": "44.24 dB",  # 20 log10(255) - 10 log10(1000 / 136 / 3)
        "Mean difference": "4.00 ΔE₀₀",
    }
    assert told.count("#00050a") == 1
    assert "#00050a 11.8% label 0" in told  # 16 of the 136 pixels
    rows = [[cell.text_content() for cell in row] for row in page.iter("tr")]
    assert rows == [list(fact) for fact in make_report().facts.items()]


@pytest.mark.parametrize(
    ("missing", "title"),
    [
        ({"error": None}, "Where it differs"),
        ({"error": np.full((48, 96), np.nan)}, "Where it differs"),
        ({"cloud": None}, "Colors in space"),
        ({"cloud": (np.empty((0, 3), np.uint8), np.empty(0))}, "Colors in space"),
        ({"curve": None}, "Error by number of colors"),
        ({"facts": {}}, "Facts"),
    ],
)
def test_what_is_missing_has_no_section(missing, title):
    full = titles(parse(make_report()))
    assert titles(parse(make_report(**missing))) == [other for other in full if other != title]


def test_without_a_source_there_is_no_slider():
    page = parse(make_report(before=None))
    assert titles(page)[0] == "The image in 16 colors"
    assert not list(page.iter("input"))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("values", [2, 256])
def test_pictures_are_the_pixels(channels, values, rng):
    pixels = rng.integers(0, values, (30, 20, channels), dtype=np.uint8)
    page = parse(make_report(before=pixels, after=pixels, error=None))
    for name in ("before", "after"):
        shown = picture(page, name)
        alpha = pixels[..., -1] if channels in (2, 4) else np.full((30, 20), 255)
        rgb = np.broadcast_to(pixels[..., : 3 if channels > 2 else 1], (30, 20, 3))
        np.testing.assert_array_equal(shown, np.dstack([rgb, alpha]))


def test_few_colours_are_stored_as_a_table(rng):
    few = rng.integers(0, 6, (200, 200, 3), dtype=np.uint8) * 50
    file = io.BytesIO(base64.b64decode(encode_picture(few).split(",")[1]))
    assert Image.open(file).mode == "P"


def test_the_map_of_the_error_is_matplotlibs_inferno():
    error = np.linspace(0, 20, 500).reshape(20, 25)
    error[0, 3] = np.nan
    painted = paint_error(error, 16.0).astype(int)
    expected = matplotlib.colormaps["inferno"](error.clip(0, 16) / 16)[..., :3] * 255
    known = ~np.isnan(error)
    assert np.abs(painted[..., :3] - expected)[known].max() <= 8
    assert (painted[known, 3] == 255).all()
    assert painted[0, 3].tolist() == [0, 0, 0, 0]


def test_the_scale_of_the_error_holds_nearly_all_pixels(rng):
    for spread in (0.01, 0.7, 3, 12, 60):
        error = rng.exponential(spread, (100, 100)).clip(0, 100)
        error[:50] = np.nan
        top = error_scale(error)
        assert (error[50:] <= top).mean() >= 0.97
        assert top <= max(1, 2 * np.nanpercentile(error, 98))
    assert error_scale(np.zeros((2, 2))) == 1


def test_the_curve_lies_in_its_frame_and_its_words_are_round():
    for ks in ([2, 3, 4], [7], list(range(2, 300)), [1, 65535], [10, 12, 19], list(range(1, 9000))):
        errors = [4321.0 / k for k in ks]
        curve = plot_curve(ks, errors, ks[-1], ks[0])
        for places in (curve.points, curve.across, curve.down):
            assert 1 <= len(places) <= 2000
            assert all(0 <= place[0] <= 100 for place in places)
        assert curve.points == sorted(curve.points)
        assert [int(words) for _, words in curve.across] == sorted(
            k for k in range(ks[0], ks[-1] + 1) if str(k) in dict(map(reversed, curve.across))
        )
        assert len(curve.across) <= 10
        assert 2 <= len(curve.down) <= 7
        assert curve.chosen == (0, curve.points[0][1])
        assert curve.knee is not None
    assert plot_curve([2, 4], [0.0, 0.0], None, 3).points == [
        (0.0, 100.0, "2 colors: 0"),
        (100.0, 100.0, "4 colors: 0"),
    ]


def test_the_palettes_point_is_marked_on_its_own_curve_alone():
    report = make_report()
    palette, (ks, errors, knee) = report.palette, report.curve
    other = [*errors[:-1], 1.01 * errors[-1]]
    for curve, shown, is_own in (
        ((ks, errors, knee), palette, True),
        ((ks, [*errors[:-1], 1.0001 * errors[-1]], knee), palette, True),  # rounded
        ((ks, other, knee), palette, False),  # of another image
        ((ks[:-1], errors[:-1], knee), palette, False),
        ((ks, [*errors[:-1], 0.0], knee), Palette.from_colors(palette.colors), False),  # of none
    ):
        page = parse(make_report(curve=curve, palette=shown))
        assert len(page.find_class("chosen")) == is_own
        assert ("The large point is this palette." in words(page)) == is_own
        assert "From the knee on" in words(page)


def test_the_cloud_has_the_colours_and_the_weight_of_each(rng):
    colors = rng.integers(0, 256, (50, 3), dtype=np.uint8)
    weights = np.arange(50.0) ** 2
    report = make_report(cloud=(colors, weights))
    data = json.loads(parse(report).get_element_by_id("cloud-data").text)
    unpacked = {name: np.frombuffer(base64.b64decode(text), "u1") for name, text in data.items()}
    np.testing.assert_array_equal(unpacked["points"].reshape(-1, 3), colors)
    np.testing.assert_allclose(unpacked["sizes"], np.arange(50) * 255 / 49, atol=0.5)  # by area
    np.testing.assert_array_equal(unpacked["centers"].reshape(-1, 3), report.palette.rgb)
    gray = json.loads(
        parse(make_report(cloud=(colors[:, :1], weights))).get_element_by_id("cloud-data").text
    )
    points = np.frombuffer(base64.b64decode(gray["points"]), "u1").reshape(-1, 3)
    np.testing.assert_array_equal(points, np.repeat(colors[:, :1], 3, axis=1))


def test_a_palette_that_fits_no_image_has_no_shares():
    palette = Palette.from_colors([[255, 0, 0], [0, 0, 255]], first_label=1)
    page = parse(make_report(palette=palette, error=None))
    told = words(page)
    assert "%" not in told
    assert "PSNR" not in told
    assert "#ff0000 label 1 #0000ff label 2" in told
    widths = [rect.get("width") for rect in page.find_class("bar")[0].iter("rect")]
    assert widths == ["500.0", "500.0"]


def test_stripes_are_as_wide_as_the_shares():
    page = parse(make_report(palette=fitted([[0], [9], [99]], [70, 30, 0])))
    rects = list(page.find_class("bar")[0].iter("rect"))
    assert [(r.get("x"), r.get("width"), r.get("fill")) for r in rects] == [
        ("0.0", "700.0", "#000000"),
        ("700.0", "300.0", "#090909"),
    ]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_noise_and_many_colours_stay_below_five_megabytes(channels, rng):
    """What does not compress, as large as it may be, with as much of all else as there can be."""
    before, after = rng.integers(0, 256, (2, 768, 768, channels), dtype=np.uint8)
    text = render(
        make_report(
            title="t" * 10_000,
            before=before,
            after=after,
            error=rng.uniform(0, 100, (768, 768)),
            palette=fitted(rng.integers(0, 256, (65535, 3))),
            cloud=(rng.integers(0, 256, (9000, 3), dtype=np.uint8), rng.uniform(0, 1, 9000)),
            curve=(list(range(1, 65535)), rng.uniform(0, 1, 65534).tolist(), 77),
            facts={f"fact {number}": "x" * 10_000 for number in range(20)},
        )
    )
    assert len(text.encode()) < MOST_BYTES
    page = html.document_fromstring(text)
    shown = picture(page, "before")
    step = 768 // len(shown)
    np.testing.assert_array_equal(shown, picture_of(before[::step, ::step]))
    assert "Each of the first 512 colors is as wide" in words(page)
    assert "And 65,023 more" in words(page)
    assert "65,535 colors" in words(page)


def picture_of(pixels):
    return decode(encode_picture(pixels))


def test_nothing_is_fetched_and_no_word_becomes_markup():
    hostile = "</title></style><script>alert(1)</script>\"' onload=x <img src=http://h/> \udcff &"
    text = render(make_report(title=hostile, facts={"<b>": hostile}))
    assert re.findall(r"https?:", text.replace("http://h/", "")) == []
    page = html.document_fromstring(text)
    assert len(list(page.iter("script"))) == 2
    assert len(list(page.iter("img"))) == 3
    assert all(image.get("src").startswith("data:image/png;base64,") for image in page.iter("img"))
    assert "<script>alert(1)</script>" in next(page.iter("h1")).text
    text.encode()  # bytes of a file's name that are no text have become ones that are


def test_the_policy_allows_the_pages_own_program_alone():
    page = parse(make_report())
    policy = page.xpath("//meta[@http-equiv='Content-Security-Policy']")[0].get("content")
    program = next(script for script in page.iter("script") if script.get("type") is None)
    digest = base64.b64encode(hashlib.sha256(program.text.encode()).digest()).decode()
    assert policy.split("; ")[0] == "default-src 'none'"
    assert f"script-src 'sha256-{digest}'" in policy
    handlers = [name for tag in page.iter() for name in tag.attrib if name.startswith("on")]
    assert handlers == []
