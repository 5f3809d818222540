"""Pictures of palettes, sweeps and colours: matplotlib for stills, plotly for the cloud.

They come with the extra ``plot``. No picture changes matplotlib's global state; in a notebook each
shows itself, and elsewhere ``savefig`` (or plotly's ``write_html``) writes it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.bands import split_channels
from bigquant.colorcounts import ColorHistogram
from bigquant.errors import InputError
from bigquant.image import Image
from bigquant.palette import Palette
from bigquant.parameters import check_types
from bigquant.pipeline import color_histogram
from bigquant.quantized import QuantizedImage
from bigquant.read import open_image
from bigquant.swept import Sweep
from bigquant.thumbnail import as_shown, in_colors, thumbnail

try:
    import plotly.graph_objects as go
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator
except ImportError as error:
    raise InputError(
        f'pictures need {error.name}, of the extra "plot": pip install "bigquant[plot]"'
    ) from error

#: Points of a cloud: more would freeze a browser.
MOST_POINTS = 20_000
#: Panels of a grid.
MOST_PANELS = 36
_SIDE = 512
#: Height of a panel, in widths, at most: that of a column of pixels is endless.
_TALLEST = 4
#: Sizes of the markers of colours, and of centroids, in pixels.
_SMALLEST, _LARGEST, _CENTROID = 2.0, 9.0, 20.0


class Picture(Figure):
    """A figure that shows itself in a notebook."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=100)
        return file.getvalue()


def swatches(palette: Palette, *, columns: int = 8) -> Picture:
    """Draw the colours of a palette with their hex and, where it was fitted, their share.

    Parameters
    ----------
    palette : Palette
    columns : int
        Swatches in a row.
    """
    columns = max(1, min(columns, palette.k))
    rows = -(-palette.k // columns)
    figure = Picture(figsize=(1.25 * columns + 0.2, 1.1 * rows + 0.5), layout="constrained")
    axes = figure.add_subplot(xlim=(0, columns), ylim=(rows, 0), aspect="equal")
    axes.set_axis_off()
    axes.set_title(f"{palette.k} color{'s' if palette.k > 1 else ''}")
    for i, (color, share) in enumerate(zip(palette.hex, palette.shares, strict=True)):
        x, y = i % columns, i // columns
        axes.fill([x, x + 1, x + 1, x], [y, y, y + 1, y + 1], color=color)
        told = f"{color}\n{share:.1%}" if palette.n_pixels else color
        axes.text(x + 0.5, y + 0.5, told, color=_readable_on(color), ha="center", va="center")
    return figure


def grid(sweep: Sweep, image: Any = None, *, columns: int | None = None) -> Picture:
    """Draw an image in the colours of every palette of a sweep, each titled ``k=...``.

    Parameters
    ----------
    sweep : Sweep
        Of more palettes than 36 that many are shown, at even distances.
    image : array-like or Image, optional
        As for `quantize`; a thumbnail of it is read, see `before_after`. Without it the one is
        shown that was taken when the colours were counted.
    columns : int, optional
        Panels in a row; without it about as many as rows.
    """
    pixels = sweep.thumbnail if image is None else _thumbnail(image)
    if pixels is None:
        raise InputError("the sweep has no thumbnail: give the image that is to be shown")
    chosen = np.unique(np.linspace(0, len(sweep) - 1, min(len(sweep), MOST_PANELS)).astype(int))
    columns = columns or math.ceil(math.sqrt(len(chosen)))
    channels = sweep.palettes[0].channels if image is None else _opened(image).channels
    panels = [
        (f"k={sweep.k[i]}", in_colors(pixels, channels, sweep.palettes[i])) for i in chosen.tolist()
    ]
    return _panels(panels, columns, 3.0)


def before_after(image: Any, result: QuantizedImage | Palette) -> Picture:
    """Draw an image beside itself in the colours of a result or palette, and their shares.

    Parameters
    ----------
    image : array-like or Image
        As for `quantize`. What was quantized is not read again. Of another file with a pyramid a
        small level is read; of others every n-th pixel, for which all of their blocks are read,
        one after the other.
    result : QuantizedImage or Palette
    """
    palette = result.palette if isinstance(result, QuantizedImage) else result
    known = result if isinstance(result, QuantizedImage) else None
    pixels, dither = _thumbnail(image, known), known.dither if known else "none"
    channels = _opened(image).channels
    panels = [
        ("before", as_shown(pixels, channels, palette)),
        (f"after, k={palette.k}", in_colors(pixels, channels, palette, dither)),
    ]
    return _panels(panels, 2, 5.0, palette)


def knee(sweep: Sweep) -> Picture:
    """Draw the error of a sweep over the number of colours, with its knee if it has one."""
    figure = Picture(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="k, number of colors", ylabel="MSE per pixel")
    axes.plot(sweep.k, sweep.mse, marker="o", markersize=4, color="#1f77b4")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    title = "error by number of colors"
    if sweep.knee is not None:
        axes.axvline(sweep.knee, color="#d62728", linestyle="--")
        title += f"; knee at k={sweep.knee}"
    axes.set_title(title)
    return figure


def scatter3d(
    colors: ColorHistogram | Any, palette: Palette | None = None, *, most: int = MOST_POINTS
) -> Any:
    """Draw colours as a cloud that can be turned, each at its r, g, b in its own colour.

    Parameters
    ----------
    colors : ColorHistogram, array-like or Image
        A histogram, or an image as for `quantize`, whose colours are counted.
    palette : Palette, optional
        With it each point has the colour of its centroid, and the centroids are drawn large.
    most : int
        Points at most, up to 20,000. Of more distinct colours those of that many pixels are
        drawn, at even distances in the order of colours. The size of a point tells how many
        pixels have the colour.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    if not 1 <= most <= MOST_POINTS:
        raise InputError(f"most={most}: must be 1 to {MOST_POINTS} points")
    histogram = colors if isinstance(colors, ColorHistogram) else color_histogram(colors)
    frame = histogram.sample(most).to_dataframe(palette)
    if "gray" in frame:
        frame = frame.assign(r=frame.gray, g=frame.gray, b=frame.gray)
    size = np.sqrt(frame["count"] / frame["count"].max())
    traces = [
        go.Scatter3d(
            x=frame.r,
            y=frame.g,
            z=frame.b,
            mode="markers",
            name="colors",
            marker={
                "size": _SMALLEST + (_LARGEST - _SMALLEST) * size,
                "color": frame.color,
                "opacity": 0.5 if palette is None else 0.2,  # centroids lie amid the points
                "line": {"width": 0},
            },
            hovertemplate="rgb(%{x}, %{y}, %{z})<extra></extra>",
        )
    ]
    if palette is not None:
        traces.append(_centroids(palette))
    title = f"{histogram.n_colors:,} distinct colors"
    if histogram.n_colors > most:
        title += f", of which {len(frame):,} are drawn"
    figure = go.Figure(traces)
    span = {"range": [0, 255]}
    figure.update_layout(
        title=title,
        showlegend=False,
        margin={"l": 0, "r": 0, "b": 0, "t": 40},
        scene={
            "xaxis": {"title": "R", **span},
            "yaxis": {"title": "G", **span},
            "zaxis": {"title": "B", **span},
            "aspectmode": "cube",
        },
    )
    return figure


def _centroids(palette: Palette) -> Any:
    x, y, z = np.broadcast_to(palette.centers, (palette.k, 3)).T
    labels = np.arange(palette.k) + palette.first_label
    told = [
        f"{label}: {color}, {share:.1%}"
        for label, color, share in zip(labels, palette.hex, palette.shares, strict=True)
    ]
    return go.Scatter3d(
        x=x,
        y=y,
        z=z,
        mode="markers",
        name="centroids",
        text=told,
        hovertemplate="%{text}<extra></extra>",
        marker={
            "size": _CENTROID,
            "color": palette.hex,
            "opacity": 1,
            "line": {"width": 2, "color": "white"},
        },
    )


def _opened(image: Any) -> Image:
    """Open what is to be shown."""
    opened = image.original if isinstance(image, QuantizedImage) else open_image(image)
    check_types([opened])
    return opened


def _thumbnail(image: Any, known: QuantizedImage | None = None) -> NDArray[Any]:
    """Read a thumbnail, unless it is there already."""
    opened = _opened(image)
    if known is not None and known.thumbnail is not None and opened.name == known.original.name:
        return known.thumbnail
    return thumbnail(opened, _SIDE)


def _panels(
    panels: Sequence[tuple[str, NDArray[np.uint8]]],
    columns: int,
    width: float,
    palette: Palette | None = None,
) -> Picture:
    """Draw small pictures side by side, each under its title, and a palette below them."""
    height, wide, _ = panels[0][1].shape
    tall = width * min(height / wide, _TALLEST) + 0.35
    heights = [tall] * -(-len(panels) // columns) + [0.4] * (palette is not None)
    figure = Picture(figsize=(width * columns, sum(heights)), layout="constrained")
    places = figure.add_gridspec(len(heights), columns, height_ratios=heights)
    for number, (title, pixels) in enumerate(panels):
        axes = figure.add_subplot(places[number // columns, number % columns])
        axes.set_title(title)
        axes.set_axis_off()
        axes.imshow(_shown(pixels), interpolation="antialiased")
    if palette is not None:
        bar = figure.add_subplot(places[-1, :], xlim=(0, 1), ylim=(0, 1))
        bar.set_axis_off()
        shares = palette.shares if palette.n_pixels else np.full(palette.k, 1 / palette.k)
        bar.bar(np.cumsum(shares) - shares, 1, shares, align="edge", color=palette.hex)
    return figure


def _shown(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bring pixels to what matplotlib draws: RGB or RGBA; what is left out is transparent."""
    channels, has_alpha = split_channels(pixels.shape[2])
    rgb = np.broadcast_to(pixels[..., :channels], (*pixels.shape[:2], 3))
    if not has_alpha:
        return rgb
    return np.dstack([rgb, np.where(pixels[..., -1:] > 0, 255, 0).astype(np.uint8)])


def _readable_on(color: str) -> str:
    """Choose black or white text, whichever is easier to read on a colour."""
    red, green, blue = to_rgb(color)
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
