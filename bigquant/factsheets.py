"""Facts -> the words that the command line prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Ways to a palette, in words.
_ALGORITHMS = {
    "histogram": "histogram: exact, of every distinct colour",
    "binned": "binned histogram, as fine as memory allows; labels are exact",
    "lloyd": "lloyd: iterations over the pixels, started from a sample; labels are exact",
}
#: What a palette was fitted to, in words, by the name of its fact.
_FITTED_TO = {"distinct_colors": "distinct", "bins": "bins", "sampled_pixels": "sampled pixels"}
#: Clusters whose shares are told.
_MOST_SHARES = 8


def format_bytes(size: float) -> str:
    """Write a number of bytes as people do: 1.5 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def fact_sheet(facts: Mapping[str, Any]) -> str:
    """Lay facts out in two columns, one a line; those that are None are left out."""
    shown = {name: value for name, value in facts.items() if value is not None}
    width = max(map(len, shown))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in shown.items())


def image_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Put the facts of an image that was quantized into words."""
    words = {
        "size": f"{facts['width']} x {facts['height']} pixels",
        "chunks": f"{facts['chunk'][0]} x {facts['chunk'][1]}, {facts['blocks']} in all",
        **_palette_facts(facts),
        "output": facts["output"],
        "palette": facts["palette"],
        "report": facts.get("report"),
    }
    return words | _notes(facts)


def collection_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Put the facts of several images that were quantized into words."""
    images = facts["images"]
    pixels = sum(image["width"] * image["height"] for image in images)
    words = {
        "images": f"{len(images)}, {pixels / 1e6:.4g} megapixels in all",
        "failed": len(facts["failed"]) or None,
        **_palette_facts(facts),
        "outputs": f"{images[0]['output']}" + (" ..." if len(images) > 1 else ""),
        "palette": facts["palette"],
        "reports": f"{images[0]['report']} ..." if "report" in images[0] else None,
    }
    return words | _notes(facts)


def _palette_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    seconds = facts["seconds"]
    stages = ", ".join(f"{stage} {spent:.1f}" for stage, spent in seconds.items())
    found = next((name for name in _FITTED_TO if name in facts), None)
    if found:
        colors = f"{facts[found]} {_FITTED_TO[found]} -> {facts['k']}"
    else:
        colors = f"{facts['k']}, {facts['used_colors']} of them used"
    return {
        "colors": colors,
        "space": facts.get("space"),
        "dither": facts.get("dither"),
        "PSNR": _error_words(facts),
        "seconds": f"{sum(seconds.values()):.1f} ({stages})",
    }


def table_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Put the facts of a table whose rows were clustered into words."""
    seconds, left_out = facts["seconds"], facts["left_out"]
    stages = ", ".join(f"{stage} {spent:.1f}" for stage, spent in seconds.items())
    clustered = facts["rows"] - left_out
    shares = ", ".join(f"{count / clustered:.1%}" for count in facts["counts"][:_MOST_SHARES])
    words = {
        "rows": f"{facts['rows']}" + (f", {left_out} of them lack a value" if left_out else ""),
        "columns": ", ".join(facts["columns"]),
        "clusters": f"{facts['k']}: {shares}" + (", ..." * (facts["k"] > _MOST_SHARES)),
        "seconds": f"{sum(seconds.values()):.1f} ({stages})",
        "output": f"{facts['output']}, {facts['parts']} part{'s' * (facts['parts'] > 1)}",
        "model": facts["model"],
    }
    return words | _notes(facts)


def comparison_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Put the facts of a comparison into words."""
    in_a, in_b = facts["masked_in_one"]
    colors = facts["distinct_colors"]
    masked = f"{facts['masked']} pixels left out ({in_a} only by A, {in_b} only by B)"
    return {
        "A": facts["a"],
        "B": facts["b"],
        "size": f"{facts['width']} x {facts['height']} pixels",
        "masked": masked if facts["masked"] else None,
        "colors": f"{colors[0]} distinct in A, {colors[1]} in B",
        "PSNR": _error_words(facts),
        "CIEDE2000": f"{facts['ciede2000_mean']:.3f} in the mean, "
        f"{facts['ciede2000_p95']:.3f} at most for 95 % of the pixels",
    }


def sweep_table(sweep: Any) -> str:
    """Lay out what a sweep found, a palette a line; the knee is marked."""
    lines = ["  k  colors        MSE  PSNR (dB)  CIEDE2000"]
    for k, colors, _, mse, psnr, apart in zip(*sweep.columns().values(), strict=True):
        mark = "  <- knee" if k == sweep.knee else ""
        lines.append(f"{k:3}  {colors:6}  {error_text(mse):>9}  {psnr:9.2f}  {apart:9.2f}{mark}")
    return "\n".join(lines)


def _error_words(facts: Mapping[str, Any]) -> str:
    if not facts["mse"]:
        return "no error"
    bound = facts.get("binning_bound")
    cost = f"; binning costs at most {error_text(bound)}" if bound else ""
    return f"{facts['psnr']:.2f} dB (MSE {error_text(facts['mse'])}{cost})"


def error_text(error: float) -> str:
    """Write an error in the units of whatever is measured: 197.61, 1.234e+07, 0.0001234."""
    return f"{error:.2f}" if 1 <= error < 1e6 or not error else f"{error:.4g}"


def _notes(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {f"note {i + 1}": note for i, note in enumerate(facts["notes"])}


def info_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Put the facts about an image into words."""
    size, limits = facts["pixel_size"], facts["valid_range"]
    alpha = " and alpha" if facts["alpha"] else ""
    levels, series = facts.get("levels", ()), facts.get("series", 1)
    axes = ", ".join(f"{name}={length}" for name, length in facts.get("axes", {}).items())
    said = ("compression", "photometric", "tiles", "strips")
    return {
        "path": facts["path"],
        "format": facts["format"],
        "size": f"{facts['width']} x {facts['height']} pixels",
        "channels": f"{facts['channels']}{alpha}, {facts['dtype']}"
        + (f" ({limits[0]:.6g} to {limits[1]:.6g})" if limits else ""),
        "bands": _band_words(facts),
        "left out by": ", ".join(facts.get("masked_by", ())) or None,
        "nodata": f"{facts['nodata']:g}" if "nodata" in facts else None,
        "orientation": facts.get("orientation"),
        "axes": axes or None,
        **{name: facts.get(name) for name in said},
        "stored chunks": facts.get("chunks"),
        "stored shards": facts.get("shards"),
        "levels": ", ".join(levels) if len(levels) > 1 else None,
        "series": f"{series} in the file" if series > 1 else None,
        "pixel size": f"{size[1]:.4g} x {size[0]:.4g} micrometers" if size else None,
        "CMYK": facts.get("cmyk"),
        "ICC profile": "kept" if facts["icc_profile"] else None,
        "georeference": "kept" if facts["georeferenced"] else None,
        "chunks": f"{facts['chunk'][0]} x {facts['chunk'][1]}, {facts['blocks']} in all",
        "algorithm": _ALGORITHMS[facts["algorithm"]],
        "passes": f"{facts['passes'] or 'until the colours settle, about 10'}"
        + (", after it is unpacked to a temporary folder (TMPDIR)" if facts["unpacked"] else ""),
        "memory": f"about {format_bytes(facts['memory_per_task'])} per task",
        "output": f"{format_bytes(facts['output_bytes'])} before compression",
    }


def checkup_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Put what was found out about a cluster into words."""
    return {
        "scheduler": facts["address"],
        "workers": f"{facts['workers']}, {facts['threads']} threads in all",
        "found right": ", ".join(facts["passed"]) or "nothing",
        "found wrong": len(facts["failures"]) or None,
    }


def _band_words(facts: Mapping[str, Any]) -> str | None:
    """Tell the bands where they are more than the channels, or in another order."""
    chosen = facts.get("colors")
    return f"{','.join(map(str, chosen))} of {facts['bands']}" if chosen else None
