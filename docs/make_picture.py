"""Draw the README's picture: a field of tulips, the same in 8 colours, and the palette."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

import bigquant

WIDTH, HEIGHT, K = 480, 320, 8
PETALS = [(214, 40, 57), (247, 181, 56), (233, 110, 160), (150, 60, 140), (250, 240, 225)]


def draw_field() -> np.ndarray:
    """Draw sky, hills and rows of tulips, at twice the size and then reduced."""
    rng = np.random.default_rng(7)
    width, height = 2 * WIDTH, 2 * HEIGHT
    y, x = np.mgrid[0:height, 0:width] / [[[height]], [[width]]]
    glow = np.exp(-(((x - 0.75) * 1.5) ** 2 + (y - 0.36) ** 2) * 9)[..., None]
    sky = (1 - y[..., None]) * [70, 130, 205] + y[..., None] * [235, 215, 190]
    sky = sky * (1 - glow) + glow * [255, 225, 150]
    hills = 0.38 + 0.03 * np.sin(9 * x + 1) + 0.02 * np.sin(23 * x)
    ground = np.array([60, 110, 50]) * (0.55 + 0.6 * y[..., None])
    scene = np.where((y > hills)[..., None], ground, sky) + rng.normal(0, 3, (height, width, 1))
    image = Image.fromarray(scene.clip(0, 255).astype(np.uint8)).filter(ImageFilter.BoxBlur(1))
    pen = ImageDraw.Draw(image)
    for depth in np.sort(rng.uniform(0.05, 1, 900)):
        draw_tulip(pen, rng, rng.uniform(0, width), height * (0.42 + 0.62 * depth), 34 * depth)
    return np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS))


def draw_tulip(pen: ImageDraw.ImageDraw, rng: np.random.Generator, x: float, y: float, s: float):
    """Draw one flower of size s: a stem, and petals that are darker at the rim."""
    light = rng.uniform(0.65, 1.05)
    pen.line(
        (x, y, x + s * 0.2, y + s * 2), fill=(50, int(90 * light) + 20, 40), width=1 + int(s / 8)
    )
    color = np.array(PETALS[int(x / 97 + y / 61) % len(PETALS)])
    for shade, dx, w in ((0.6, -0.45, 0.55), (0.6, 0.45, 0.55), (0.85, 0, 0.7), (1.05, 0, 0.35)):
        fill = tuple((color * shade * light).clip(0, 255).astype(int))
        pen.ellipse((x + (dx - w) * s, y - s, x + (dx + w) * s, y + s * 0.9), fill=fill)


def main() -> None:
    """Write before_after.png beside this file."""
    before = draw_field()
    result = bigquant.quantize(before, K)
    edges = np.rint(np.cumsum([0, *result.palette.shares]) * (2 * WIDTH + 8)).astype(int)
    swatches = np.repeat(result.palette.colors, np.diff(edges), axis=0)
    bar = np.broadcast_to(swatches, (36, *swatches.shape))
    gap = np.full((HEIGHT, 8, 3), 255, np.uint8)
    pictures = np.concatenate([before, gap, np.asarray(result)], axis=1)
    sheet = np.concatenate([pictures, np.full((8, *pictures.shape[1:]), 255, np.uint8), bar])
    Image.fromarray(sheet).save(Path(__file__).with_name("before_after.png"), optimize=True)


if __name__ == "__main__":
    main()
