"""Images -> palettes: the colours are counted once, and fitted for as many k as are wanted."""

from __future__ import annotations

import functools
import importlib.metadata
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.delayed import Delayed
from numpy.typing import NDArray

from bigquant.bincounts import BinnedHistogram
from bigquant.colorspace import centers_of
from bigquant.counting import Counted, Rule
from bigquant.errors import BigquantError
from bigquant.iteration import Fit
from bigquant.metrics import ciede2000, find_knee
from bigquant.nearcolors import label_colors
from bigquant.nearest import assign
from bigquant.palette import Palette
from bigquant.palette_fit import in_scale
from bigquant.parallel_fit import plan_fit
from bigquant.passes import fit_lloyd
from bigquant.samplecounts import Sample
from bigquant.spacecounts import SpaceHistogram
from bigquant.watch import compute
from bigquant.ways import BINNED, HISTOGRAM, LLOYD

#: Sources that a palette names; a collection may have any number.
_NAMED = 100
#: Colours, or of more colours pixels, that the mean difference of a sweep is taken of: CIEDE2000
#: takes ten times as long as a fit. It differs from the mean of all by less than one percent.
_DIFFERENCE_COLORS = 1 << 16
#: Restarts of each fit of a sweep, one more than of a fit alone: curves show what is missed.
_RESTARTS = 3
_MAX_ITER, _TOL = 300, 1e-4
#: What a palette is fitted to, as its model calls it.
_FITTED_TO = {HISTOGRAM: "distinct_colors", BINNED: "bins", LLOYD: "sampled_pixels"}
_log = logging.getLogger(__name__)


def fit_palette(
    counted: Counted,
    k: int,
    *,
    algorithm: str = "auto",
    n_init: str | int = "auto",
    random_state: int | None = 0,
) -> Palette:
    """Fit one palette; the parameters are those of `quantize`."""
    k = counted.n_centers(k)
    _log.info("fitting %d of them", k - len(counted.kept))
    if counted.way == LLOYD and algorithm != "dask-ml":
        palette = _fit_pixels(counted, k, n_init, random_state)
    else:
        centers = _fit_counts(counted, k, algorithm, n_init, random_state)
        planned = dask.delayed(make_palette, pure=False)(counted.described, centers, counted.rule)
        palette = compute(planned)[0]
    return _with_facts(counted, palette, algorithm, random_state)


def _fit_counts(
    counted: Counted, k: int, algorithm: str, n_init: Any, random_state: int | None
) -> NDArray[np.float64]:
    """Fit centres by `KMeans` to what was counted, or by dask-ml's own fit to the pixels."""
    # dask-ml takes seconds to import, and only this wants it
    from bigquant.kmeans import KMeans, image_rows  # noqa: PLC0415

    model = KMeans(k, algorithm=algorithm, n_init=n_init, random_state=random_state)
    if algorithm == "dask-ml":
        rows = [image_rows(image, image.channels) for image in counted.images]
        model.fit(da.concatenate(rows))
        return model.cluster_centers_
    model.fit_histogram(counted.scaled, counted.kept_points)
    return model.cluster_centers_ / counted.rule.factors  # all 1 in a space of points


def _fit_pixels(counted: Counted, k: int, n_init: Any, random_state: int | None) -> Palette:
    """Fit a palette to the pixels themselves, pass by pass.

    Its pixels and error are those of the centres that are not rounded.
    """
    rule, dtype = counted.rule, counted.images[0].dtype
    found = fit_lloyd(
        counted.images,
        counted.histogram,
        k,
        channels=len(rule.factors),
        factors=rule.factors,
        n_init=None if n_init == "auto" else n_init,
        seed=seed_of(random_state),
    )
    palette = Palette.from_centers(
        *(found.centers, found.masses, dtype, rule.ranges, rule.first_label),
        display=rule.display,
        scale=rule.scale,
        factors=rule.factors,
    )
    return replace(palette, inertia=float(found.inertia))


def fit_palettes(
    counted: Counted,
    ks: Sequence[int],
    *,
    n_init: str | int = "auto",
    random_state: int | None = 0,
) -> list[Palette]:
    """Fit a palette for each k, ascending, each also from the one before: no error ever rises."""
    _log.info("fitting %d to %d of them", ks[0], ks[-1])
    chain = _Chain(counted, n_init, random_state)
    palettes = _together([chain.plan(k)[1] for k in ks])
    return [_with_facts(counted, palette, "auto", random_state) for palette in palettes]


def mean_differences(counted: Counted, palettes: Sequence[Palette]) -> list[float]:
    """Average CIEDE2000 between the pixels and their colours in each palette."""
    seen = dask.delayed(_sample)(counted.histogram, _DIFFERENCE_COLORS)
    measure = dask.delayed(_mean_difference)
    return _together([measure(seen, palette) for palette in palettes])


def weigh_colors(counted: Counted, most: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Choose at most so many colours that stand for all, and tell their weights."""
    seen: tuple[NDArray[Any], NDArray[Any]]
    (seen,) = compute(dask.delayed(_sample, pure=False, traverse=False)(counted.histogram, most))
    return seen


def _together(planned: list[Delayed]) -> list[Any]:
    """Compute as one: apart, each would have its graph looked through."""
    found: list[Any] = compute(dask.delayed(list)(planned))[0]
    return found


def fit_at_the_knee(
    counted: Counted, most: int, *, n_init: str | int = "auto", random_state: int | None = 0
) -> Palette:
    """Fit palettes of 2 to `most` colours, and choose the one at the knee of their errors.

    Of an image of no more colours than that, choose all of them.
    """
    least, most = max(2, len(counted.kept)), counted.n_centers(most)
    if counted.n_colors <= most or most < least:
        return fit_palette(counted, most, n_init=n_init, random_state=random_state)
    ks = range(least, most + 1)
    palettes = fit_palettes(counted, ks, n_init=n_init, random_state=random_state)
    knee = find_knee(ks, [palette.mse for palette in palettes])
    chosen = palettes[-1 if knee is None else ks.index(knee)]
    return chosen.with_facts(curve=_curve(dict(zip(ks, palettes, strict=True))))


def fit_until(
    counted: Counted,
    psnr: float,
    most: int,
    *,
    n_init: str | int = "auto",
    random_state: int | None = 0,
) -> Palette:
    """Fit the smallest palette, of at most so many colours, whose PSNR in dB is reached.

    The number of colours is doubled until it is; then the interval is halved. In other spaces than
    sRGB the PSNR may fall once where colours are added, and then a smaller one may do.

    Raises
    ------
    BigquantError
        If so many colours do not reach it.
    """
    chain = _Chain(counted, n_init, random_state)
    most = counted.n_centers(most)
    low, high = max(0, len(counted.kept) - 1), min(most, max(1, len(counted.kept)))
    best = chain.compute(high)
    while best.psnr < psnr and high < most:
        low, high = high, min(2 * high, most)
        best = chain.compute(high)
    if best.psnr < psnr:
        raise BigquantError(
            f"{best.k} colours reach {best.psnr:.2f} dB, not {psnr:g}: allow more colours (k), or "
            "ask for less"
        )
    chain.go_back_to(low)
    while high - low > 1:
        middle = (low + high) // 2
        palette = chain.compute(middle)
        if palette.psnr < psnr:
            low = middle
        else:
            high, best = middle, palette
            chain.go_back_to(low)
    best = _with_facts(counted, best, "auto", random_state)
    return best.with_facts(curve=_curve({k: palette for k, (_, palette) in chain.found.items()}))


def _curve(palettes: Mapping[int, Palette]) -> dict[str, list[Any]]:
    """Note the errors that a number of colours was chosen by."""
    ks = sorted(palettes)
    return {"k": ks, "mse": [palettes[k].mse for k in ks]}


class _Chain:
    """Fits of ever more colours to the same histogram, each from the one before, too."""

    def __init__(self, counted: Counted, n_init: Any, random_state: int | None) -> None:
        self.counted = counted
        self.n_init = _RESTARTS if n_init == "auto" else n_init
        self.seed = seed_of(random_state)
        self.last: tuple[Any, Any] = (None, None)  # a fit and its palette, or delayed ones
        self.found: dict[int, tuple[Fit, Palette]] = {}

    def plan(self, k: int) -> tuple[Delayed, Delayed]:
        """Plan a fit after the last, and its palette."""
        counted, kept = self.counted, self.counted.kept_points
        fit = plan_fit(
            counted.scaled, k, "k-means++", self.n_init, _MAX_ITER, _TOL, self.seed, kept,
            before=self.last[0],
        )  # fmt: skip
        palette = dask.delayed(_palette_after)(counted.described, fit, counted.rule, self.last[1])
        self.last = fit, palette
        return self.last

    def compute(self, k: int) -> Palette:
        """Compute a fit after the last."""
        fit, palette = compute(*self.plan(k))
        self.last = self.found[k] = fit, palette
        return palette  # type: ignore[no-any-return]

    def go_back_to(self, k: int) -> None:
        """Let the next fit come after that of k colours; after none if there was none."""
        self.last = self.found.get(k, (None, None))


def seed_of(random_state: int | None) -> int:
    """Draw the seed that `KMeans` would draw."""
    return int(np.random.RandomState(random_state).randint(2**31 - 1))


def make_palette(histogram: Any, centers: NDArray[np.float64], rule: Rule) -> Palette:
    """Make the palette of fitted centres, where what was counted lies.

    Centres are in the image's units, or points where the histogram is that of a space. Of bins
    its pixels and error are those of the pixels each in its bin's colour, and what that costs at
    most is told; of a sample nothing of all pixels is known.
    """
    if isinstance(histogram, Sample):
        masses = histogram.gather_masses(centers)
        palette = Palette.from_centers(
            *(centers, masses, histogram.rows.dtype, rule.ranges, rule.first_label),
            display=rule.display,
        )
        return palette.bare()
    if isinstance(histogram, SpaceHistogram):
        centers = centers_of(centers, histogram.space, len(rule.factors))
    palette = Palette.from_fit(
        histogram,
        centers,
        rule.first_label,
        rule.n_kept,
        display=rule.display,
        scale=rule.scale,
        factors=rule.factors,
    )
    if isinstance(histogram, BinnedHistogram):
        scaled: Any = in_scale(histogram, rule.factors)  # its tree is made already
        bound = scaled.binning_bound(palette.colors * rule.factors)
        return palette.with_facts(binning_bound=bound / histogram.n_pixels)
    return palette


def _palette_after(histogram: Any, fit: Fit, rule: Rule, before: Palette | None) -> Palette:
    """Make a palette whose error is no more than that of one of fewer colours.

    In another space than sRGB that holds of the fit's own error, not of that in 8-bit values.
    """
    if rule.space != "srgb":
        return make_palette(histogram, fit.centers, rule)
    palette = make_palette(histogram, fit.centers / rule.factors, rule)
    if before is None or palette.inertia <= before.inertia:
        return palette
    # rounding has cost more than the colour gained: take the palette before, and one colour more
    values, weights = _values_of(histogram)
    _, distances = assign(values * rule.factors, before.colors * rule.factors)
    worst = values[[np.argmax(weights * distances)]]
    return make_palette(histogram, np.vstack([before.centers, worst]), replace(rule, n_kept=0))


def _sample(histogram: Any, most: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Choose values that stand for all, and tell their weights."""
    seen = histogram.sample(most)
    return seen if isinstance(seen, tuple) else _values_of(seen)


def _values_of(histogram: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """List the values that were counted, in the image's units, and their weights."""
    if isinstance(histogram, BinnedHistogram):
        return histogram.means, histogram.weights
    return histogram.colors, histogram.counts


def _mean_difference(seen: tuple[NDArray[Any], NDArray[Any]], palette: Palette) -> float:
    """Average how different sampled colours look from their colours in a palette, as shown."""
    values, weights = seen
    if palette.space == "srgb":
        labels, _ = assign(values * palette.factors, palette.colors * palette.factors)
    else:
        labels = np.empty(len(values), np.int32)
        label_colors(values, palette.colors, palette.space, 0, labels)
    shown = palette.display.rgb(values)
    apart = ciede2000(shown, palette.display.rgb(palette.colors)[labels])
    return float(np.average(apart, weights=weights))


def _with_facts(
    counted: Counted, palette: Palette, algorithm: str, random_state: int | None
) -> Palette:
    """Write down what the palette was fitted to, and how."""
    paths = [image.source.path for image in counted.images if image.source.path]
    kept = {"keep": Palette.from_colors(counted.kept).hex} if len(counted.kept) else {}
    _log.info("fitted %d: MSE %.6g, PSNR %.2f dB", palette.k, palette.mse, palette.psnr)
    return palette.with_facts(
        algorithm=algorithm,
        random_state=random_state,
        sources=paths[:_NAMED],
        versions=_versions(algorithm),
        **kept,
        **{_FITTED_TO[counted.way]: counted.n_colors},
    )


def _versions(algorithm: str) -> dict[str, str]:
    """Tell the versions of bigquant and of what fits by `algorithm`."""
    fitting = ("dask-ml", "scikit-learn") if algorithm == "dask-ml" else ("numba", "numpy")
    return {name: _version(name) for name in ("bigquant", *fitting)}


_version = functools.cache(importlib.metadata.version)  # which looks into files each time
