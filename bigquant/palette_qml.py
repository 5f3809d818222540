"""QGIS styles (QML) with a paletted renderer: the colour of every value of a raster."""

from __future__ import annotations

from collections.abc import Sequence
from xml.parsers import expat

from bigquant.errors import InputError
from bigquant.palette_rows import RGBA, order_by_value, parse_hex, parse_row, parse_value

_HEAD = """\
<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.0" styleCategories="Symbology">
 <pipe>
  <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">
   <rasterTransparency/>
   <colorPalette>
"""
_TAIL = """\
   </colorPalette>
  </rasterrenderer>
 </pipe>
 <blendMode>0</blendMode>
</qgis>
"""


def decode_qml(data: bytes) -> list[RGBA]:
    """Read the colours of a style's paletted renderer, in the order of their values.

    Nothing is expanded or fetched: a style that declares entities is refused.
    """
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.EntityDeclHandler = reader.refuse_entity
    try:
        parser.Parse(data, True)
    except InputError:
        raise
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise InputError(f"is no readable XML ({error})") from error
    if not reader.rows:
        raise InputError(
            "has no paletted renderer with colours: style the layer by 'Paletted/Unique values' "
            "in QGIS, and save that style"
        )
    return order_by_value(reader.rows)


class _Reader:
    """Gathers values and colours while a style is parsed."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, RGBA]] = []
        self.inside = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "rasterrenderer":
            self.inside = attributes.get("type") == "paletted"
        elif name == "paletteEntry" and self.inside:
            value = parse_value(attributes.get("value", ""))
            rgb = parse_hex(attributes.get("color", ""))[:3]
            row = parse_row([*map(str, rgb), attributes.get("alpha", "255")])
            self.rows.append((value, row))

    def end(self, name: str) -> None:
        if name == "rasterrenderer":
            self.inside = False

    def refuse_entity(self, name: str, *_: object) -> None:
        raise InputError(f"declares the XML entity {name[:20]!r}, which no style needs: remove it")


def encode_qml(rows: Sequence[RGBA]) -> bytes:
    """Write the style of a raster whose value n has the n-th colour."""
    entries = []
    for value, (red, green, blue, alpha) in enumerate(rows):
        color = f"#{red:02x}{green:02x}{blue:02x}"
        label = color if alpha else "no data"
        entries.append(
            f'    <paletteEntry value="{value}" color="{color}" alpha="{alpha}" label="{label}"/>\n'
        )
    return (_HEAD + "".join(entries) + _TAIL).encode()
