"""The page of a report in Chromium, opened from disk with the network off: it moves and obeys."""

import contextlib
import io
import os
import shutil

import numpy as np
import pytest
from PIL import Image
from reports import BLUE, RED, fitted, make_report

from bigquant.report_page import render

CHROMIUM = shutil.which("chromium")
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    options = {"args": ["--no-sandbox"] if os.geteuid() == 0 else []}
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, **options)
        yield browser
        browser.close()


@pytest.fixture
def show(browser, tmp_path):
    """A function that opens a report from disk; no page may complain, or ask for anything."""
    complaints = []
    with contextlib.ExitStack() as stack:

        def show(report, motion="reduce", **options):
            path = tmp_path / "report.html"
            path.write_text(render(report), encoding="utf-8")
            options = {"offline": True, "reduced_motion": motion} | options
            context = browser.new_context(**options)
            stack.callback(context.close)
            page = context.new_page()
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("dialog", lambda dialog: complaints.append(dialog.message) or dialog.dismiss())
            allowed = (path.as_uri(), "data:")
            context.on(
                "request",
                lambda request: request.url.startswith(allowed) or complaints.append(request.url),
            )
            page.goto(path.as_uri())
            return page

        yield show
    assert complaints == []


def red_part(page):
    """How much of the picture's row, away from the handle's knob, shows the red original."""
    box = page.locator("#compare").bounding_box()
    row = {"x": box["x"], "y": box["y"] + 12, "width": box["width"], "height": 1}
    pixels = np.array(Image.open(io.BytesIO(page.screenshot(clip=row))).convert("RGB"))[0]
    red, blue = (pixels == RED).all(axis=1), (pixels == BLUE).all(axis=1)
    assert red.sum() + blue.sum() >= len(pixels) - 8  # the line between them
    assert not red.any() or not blue.any() or red.nonzero()[0].max() < blue.nonzero()[0].min()
    return red.mean()


def drag(page, locator, start, end):
    """Move the mouse, pressed, between two places, in parts of a box."""
    box = locator.bounding_box()
    for number, (x, y) in enumerate([start, end]):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=5)
        if number == 0:
            page.mouse.down()
    page.mouse.up()


def cloud(page):
    """What the canvas shows, once it has been drawn."""
    page.evaluate("() => new Promise(go => requestAnimationFrame(() => requestAnimationFrame(go)))")
    pixels = page.locator("canvas").evaluate("canvas => canvas.toDataURL()")
    assert len(pixels) > 2000
    return pixels


def test_the_slider_follows_the_mouse(show):
    page = show(make_report(), viewport=DESKTOP)
    assert red_part(page) == pytest.approx(0.5, abs=0.02)
    drag(page, page.locator("#compare"), (0.5, 0.5), (0.2, 0.4))
    assert red_part(page) == pytest.approx(0.2, abs=0.02)
    drag(page, page.locator("#compare"), (0.9, 0.9), (0.9, 0.9))  # a click
    assert red_part(page) == pytest.approx(0.9, abs=0.02)


def test_the_slider_obeys_keys_and_says_where_it_is(show):
    page = show(make_report(), viewport=DESKTOP)
    slider = page.get_by_role("slider", name="How much of the original is shown")
    slider.focus()
    page.keyboard.press("Home")
    assert red_part(page) <= 0.02
    page.keyboard.press("End")
    assert red_part(page) >= 0.98
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    assert red_part(page) == pytest.approx(0.9, abs=0.02)
    assert slider.get_attribute("aria-valuetext") == "90 % original"
    assert page.locator("#compare").evaluate("e => getComputedStyle(e).outlineStyle") == "solid"


def test_the_slider_follows_a_finger(show):
    page = show(make_report(), viewport=PHONE, has_touch=True, is_mobile=True)
    page.locator("#compare").scroll_into_view_if_needed()
    box = page.locator("#compare").bounding_box()
    page.touchscreen.tap(box["x"] + 0.3 * box["width"], box["y"] + 0.5 * box["height"])
    assert red_part(page) == pytest.approx(0.3, abs=0.03)


def test_the_cloud_turns_by_mouse_and_keys(show):
    page = show(make_report(), viewport=DESKTOP)
    canvas = page.get_by_role("application")
    canvas.scroll_into_view_if_needed()
    views = [cloud(page)]
    assert cloud(page) == views[0]  # by itself it stands still, where no motion is wanted
    drag(page, canvas, (0.4, 0.5), (0.6, 0.4))
    views.append(cloud(page))
    canvas.focus()
    for key in ("ArrowLeft", "ArrowUp", "ArrowDown", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
        views.append(cloud(page))
    assert len(set(views)) == len(views) - 1  # up and down again is where it was
    page.keyboard.press("Home")
    assert cloud(page) == views[0]


def test_the_cloud_follows_a_finger_across(show):
    page = show(make_report(), viewport=PHONE, has_touch=True, is_mobile=True)
    page.locator("canvas").scroll_into_view_if_needed()
    before, box = cloud(page), page.locator("canvas").bounding_box()
    session = page.context.new_cdp_session(page)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for kind, shift in [("touchStart", 0), ("touchMove", 30), ("touchMove", 60), ("touchEnd", 0)]:
        points = [] if kind == "touchEnd" else [{"x": x + shift, "y": y}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert cloud(page) != before


def test_the_cloud_turns_slowly_until_it_is_stopped(show):
    page = show(make_report(), motion="no-preference", viewport=DESKTOP)
    page.locator("canvas").scroll_into_view_if_needed()
    before = cloud(page)
    page.wait_for_function(
        "before => document.querySelector('canvas').toDataURL() !== before", arg=before
    )
    page.get_by_role("button", name="Stop turning the cloud").click()
    stopped = cloud(page)
    page.wait_for_timeout(200)
    assert cloud(page) == stopped
    page.get_by_role("button", name="Turn the cloud slowly").click()
    page.wait_for_function(
        "before => document.querySelector('canvas').toDataURL() !== before", arg=stopped
    )


@pytest.mark.parametrize(("scheme", "other"), [("light", "dark"), ("dark", "light")])
def test_the_theme_is_the_systems_until_it_is_chosen(show, scheme, other):
    page = show(make_report(), viewport=DESKTOP, color_scheme=scheme)

    def brightness():
        corner = {"x": 2, "y": 400, "width": 4, "height": 4}
        return np.array(Image.open(io.BytesIO(page.screenshot(clip=corner))).convert("L")).mean()

    seen = {scheme: brightness()}
    axes = cloud(page)
    page.get_by_role("button", name=f"Show the page in {other} colors").click()
    seen[other] = brightness()
    assert seen["dark"] < 50
    assert seen["light"] > 200
    assert cloud(page) != axes
    page.get_by_role("button", name=f"Show the page in {scheme} colors").click()
    assert brightness() == seen[scheme]


def test_a_click_copies_a_colour(show):
    page = show(make_report(palette=fitted(np.arange(300).reshape(100, 3) % 256)))
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for color in ("#060708", "#babbbc"):  # a swatch, and a tile
        page.get_by_role("button", name=color).click()
        page.get_by_text(f"Copied {color}").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == color


CONTRASTS = """() => {
  const pen = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const light = (color) => {
    pen.clearRect(0, 0, 1, 1); pen.fillStyle = color; pen.fillRect(0, 0, 1, 1);
    const part = (v) => v <= 10 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = pen.getImageData(0, 0, 1, 1).data;
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const under = (e) => {
    const color = getComputedStyle(e).backgroundColor;
    return color === "rgba(0, 0, 0, 0)" ? under(e.parentElement) : color;
  };
  return [...document.body.querySelectorAll("*")].filter((e) => e.tagName !== "SCRIPT" &&
      [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())).map((e) => {
    const [a, b] = [light(getComputedStyle(e).color), light(under(e))].sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), e.outerHTML.slice(0, 80)];
  });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_can_be_read(show, scheme):
    """To WCAG 2.2: a contrast of 4.5, and nothing that is too small to be hit."""
    page = show(
        make_report(palette=fitted(np.arange(300).reshape(100, 3) % 256)), color_scheme=scheme
    )
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 60
    assert [entry for entry in contrasts if entry[0] < 4.5] == []
    for button in page.locator("button").all():
        box = button.bounding_box()
        assert min(box["width"], box["height"]) >= 24


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE, {"width": 320, "height": 600}])
@pytest.mark.parametrize("shape", [(48, 96), (768, 40), (40, 768), (1, 1)])
def test_nothing_is_wider_than_the_screen_or_moves(show, viewport, shape):
    pictures = {"before": np.zeros((*shape, 3), np.uint8), "after": np.ones((*shape, 2), np.uint8)}
    words = {"title": "long" * 60, "facts": {"command": "x" * 500}}
    error = np.zeros(shape)
    page = show(make_report(**pictures, **words, error=error), viewport=viewport)
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    shifts = page.evaluate(
        """() => new Promise((go) => { let sum = 0; new PerformanceObserver((list) => {
           for (const entry of list.getEntries()) sum += entry.value;
           }).observe({type: "layout-shift", buffered: true}); setTimeout(() => go(sum), 100); })"""
    )
    assert shifts == 0
    box = page.locator("#compare").bounding_box()
    assert box["height"] <= viewport["height"] * 1.01
    assert box["width"] / box["height"] == pytest.approx(shape[1] / shape[0], rel=0.05)


def test_what_is_missing_leaves_no_hole(show):
    missing = dict.fromkeys(("before", "error", "cloud", "curve"))
    page = show(make_report(**missing, facts={}), viewport=DESKTOP)
    assert page.locator("h2").all_inner_texts() == ["The image in 16 colors", "Palette"]
    two = show(make_report(cloud=None), viewport=DESKTOP)
    boxes = [section.bounding_box() for section in two.locator(".plates section").all()]
    assert boxes[0]["y"] == boxes[1]["y"]
    one = show(make_report(cloud=None, error=None), viewport=DESKTOP)
    assert one.locator(".plates section").bounding_box()["width"] == pytest.approx(928)


def test_hostile_words_are_shown_as_they_are(show):
    title = "</title><script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}} 🎨"
    facts = {"</td><script>alert(3)</script>": "<!--<svg onload=alert(4)>"}
    page = show(make_report(title=title, facts=facts))
    assert page.locator("h1").inner_text() == title
    assert page.title() == f"{title}: color report"
    assert page.locator("tr").inner_text() == "\t".join(*facts.items())
    assert page.locator("script").count() == 2


def test_a_program_that_got_in_would_not_run(browser, tmp_path):
    """The page's own policy lets no other program run, and nothing be fetched."""
    path = tmp_path / "broken.html"
    added = "<script>document.title = 'broken'</script><img src='https://example.org/x.png'>"
    path.write_text(render(make_report()).replace("</header>", f"{added}</header>"))
    page = browser.new_page()
    refused, asked = [], []
    page.on("console", lambda message: refused.append(message.text))
    page.on("requestfinished", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    assert page.title() == "scan.k16.zarr: color report"
    assert sum("Content Security Policy" in text for text in refused) == 2
    assert not any("example.org" in url for url in asked)
    page.close()


def test_forced_colours_leave_the_palette_its_own(show):
    page = show(make_report(palette=fitted([[255, 0, 0]] * 33)), forced_colors="active")
    page.wait_for_function("matchMedia('(forced-colors: active)').matches")
    for name in (".chip", ".tile"):
        style = page.locator(name).first.evaluate("e => ({...getComputedStyle(e)})")
        assert style["backgroundColor"] == "rgb(255, 0, 0)"
        assert style["borderTopWidth"] == "1px"  # whatever the colour of the page is
    assert "gradient" in page.locator(".ramp").evaluate("e => getComputedStyle(e).backgroundImage")


def test_paper_shows_both_pictures_and_no_buttons(show):
    page = show(make_report(), viewport=DESKTOP, color_scheme="dark")
    page.emulate_media(media="print")
    before, after = (page.locator(f".{name}").bounding_box() for name in ("before", "after"))
    assert before["x"] + before["width"] <= after["x"]
    assert before["width"] == after["width"] > 150
    assert not page.locator("button.quiet").first.is_visible()
    assert not page.locator("input").is_visible()
    corner = {"x": 2, "y": 400, "width": 1, "height": 1}
    shot = Image.open(io.BytesIO(page.screenshot(clip=corner))).convert("RGB")
    assert shot.getpixel((0, 0)) == (255, 255, 255)
    assert page.pdf().startswith(b"%PDF")
