"""What objects show of themselves in a notebook: small pieces of HTML, escaped."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: Swatches that are shown of a large palette.
_MOST_SWATCHES = 64
_CURVE_WIDTH, _CURVE_HEIGHT, _MARGIN = 320, 140, 8


def facts_html(facts: Mapping[str, Any]) -> str:
    """Lay facts out as a table, one a row; those that are None are left out."""
    rows = "".join(
        f'<tr><th style="text-align:left">{escape(str(name))}</th>'
        f'<td style="text-align:left">{escape(str(fact))}</td></tr>'
        for name, fact in facts.items()
        if fact is not None
    )
    return f"<table>{rows}</table>"


def swatches_html(colors: Sequence[str], shares: Iterable[float], first_label: int = 0) -> str:
    """Show colours ``#rrggbb`` side by side; hex, label and share are told on top of each.

    Of many colours the first are shown.
    """
    shown = zip(colors[:_MOST_SWATCHES], shares, strict=False)
    cells = "".join(
        f'<div title="{escape(color)}, label {label}, {share:.2%}" style="width:2.4em;'
        f"height:2.4em;background:{escape(color)};outline:1px solid rgba(128,128,128,.3)"
        '"></div>'
        for label, (color, share) in enumerate(shown, first_label)
    )
    more = len(colors) - _MOST_SWATCHES
    rest = f'<div style="align-self:center">and {more} more</div>' if more > 0 else ""
    style = "display:flex;flex-wrap:wrap;gap:2px;max-width:42em"
    return f'<div style="{style}">{cells}{rest}</div>'


def picture_html(pixels: NDArray[np.uint8], text: str) -> str:
    """Show a small image, (y, x, 1 to 4) uint8, that stands in the page itself."""
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze(axis=2) if pixels.shape[2] == 1 else pixels).save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="{escape(text)}" src="data:image/png;base64,{data}"/>'


def beside_html(*parts: str) -> str:
    """Put pieces side by side."""
    style = "display:flex;flex-wrap:wrap;gap:1em;align-items:center"
    return f'<div style="{style}">{"".join(f"<div>{part}</div>" for part in parts)}</div>'


def curve_html(x: Sequence[int], y: Sequence[float], marked: int | None, text: str) -> str:
    """Draw a curve of values from 0 up, and a line at one x."""
    right, top = _CURVE_WIDTH - _MARGIN, max(max(y), 1e-300)
    spread = max(x[-1] - x[0], 1)
    across = [_MARGIN + (value - x[0]) / spread * (right - _MARGIN) for value in x]
    down = [_MARGIN + (1 - value / top) * (_CURVE_HEIGHT - 2 * _MARGIN) for value in y]
    points = " ".join(f"{a:.1f},{d:.1f}" for a, d in zip(across, down, strict=True))
    mark = ""
    if marked is not None:
        a = across[list(x).index(marked)]
        mark = f'<line x1="{a:.1f}" x2="{a:.1f}" y1="0" y2="{_CURVE_HEIGHT}" stroke="#d62728"/>'
    return (
        f'<svg width="{_CURVE_WIDTH}" height="{_CURVE_HEIGHT}" role="img">'
        f"<title>{escape(text)}</title>{mark}"
        f'<polyline points="{points}" fill="none" stroke="#1f77b4" stroke-width="2"/></svg>'
    )
