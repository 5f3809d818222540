"""`KMeans`: dask-ml's estimator with scikit-learn's semantics, a thin face on the engine.

This module and `upstream` alone import dask-ml, which takes seconds: what runs on workers lives
in `histogram`, `binning`, `passes`, `lloyd` and the kernels.
"""

from __future__ import annotations

import warnings
from typing import Any

import dask
import dask.array as da
import dask_ml.cluster
import numpy as np
from dask.delayed import Delayed
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from bigquant.bincounts import BinnedHistogram
from bigquant.bingrid import Grid
from bigquant.binning import count_bins, measure_ranges
from bigquant.colorcounts import ColorHistogram
from bigquant.errors import InputError
from bigquant.histogram import count_rows
from bigquant.iteration import Fit
from bigquant.matrix import as_rows, as_weights
from bigquant.parallel_fit import plan_fit
from bigquant.passes import fit_lloyd, gather_blocks, sample_blocks
from bigquant.planes import map_pixels
from bigquant.rowlabels import label_rows
from bigquant.samplecounts import SAMPLE
from bigquant.upstream import fit_upstream
from bigquant.watch import compute, persist, released
from bigquant.ways import BINNED, HISTOGRAM, LLOYD, way_of

#: "full" is what dask-ml calls Lloyd's iteration over all rows.
ALGORITHMS = ("auto", "histogram", "lloyd", "full", "dask-ml")

#: So many rows are counted as they are, whatever their type: there is no need for less.
_FEW_ROWS = SAMPLE
_NOT_FINITE = "the data contains NaN or infinity: fill or drop those values first"


class KMeans(dask_ml.cluster.KMeans):  # type: ignore[misc]
    """k-means in few passes over the data, on its distinct rows, on bins, or on the rows.

    It takes what `dask_ml.cluster.KMeans` takes and fits the same attributes, and its numbers
    mean what they mean in scikit-learn: `tol` is relative to the variance, `inertia_` is the
    sum of squared distances, and an empty cluster moves to the worst-served points.

    Parameters
    ----------
    n_clusters : int
        Number of clusters, at least 1.
    init : {"k-means||", "k-means++", "random"} or ndarray, (n_clusters, n_features)
        Starting centres. Both names of k-means++ mean the weighted k-means++ of Arthur and
        Vassilvitskii here; an array is taken as it is.
    max_iter : int
        Limit on the iterations of a run.
    tol : float
        A run has converged when the squared shift of the centres, summed, is at most `tol`
        times the mean variance of the features; also one of "lloyd" from a sample once a pass
        lowers the inertia by less than a five-thousandth.
    random_state : int, RandomState or None
        Seed of the starting centres.
    algorithm : {"auto", "histogram", "lloyd", "full", "dask-ml"}
        "histogram" counts the distinct rows of all blocks in one pass and fits them, weighted.
        More than 131072 rows of up to four features that are more than 8-bit colours are counted
        in half a million bins, with exact sums; that takes one pass more where their type does
        not tell the range. "lloyd", or "full", iterates over the rows themselves, started from
        centres that are fitted to a sample in a pass before; a pass serves many iterations.
        "auto" is "lloyd" for more rows than that of more than four features without weights,
        else "histogram".
        "dask-ml" runs upstream's own fit on the blocks, as float32 and with `tol` scaled as
        above: many passes, for comparison.
    n_init : "auto" or int
        Restarts, each from one of the best of some short runs, and improved further; the best
        is kept. "auto" is 2, or 1 where there is much to do. Not used by "dask-ml", and by
        "lloyd" only on its sample.
    oversampling_factor, init_max_iter
        Of upstream's "k-means||"; used by "dask-ml" only.
    precompute_distances, copy_x, n_jobs
        Accepted as upstream accepts them, and without effect as there.

    Attributes
    ----------
    cluster_centers_ : ndarray, (n_clusters, n_features), float64
        Fewer rows, with a `ConvergenceWarning`, if the data has fewer distinct rows.
    labels_ : dask.array.Array, (n_samples,), int32
        Lazy. Of equally near centres the lowest index.
    inertia_ : float
        Sum of squared distances (times weights) to the nearest centre.
    n_iter_ : int
        Iterations over all distinct rows, bins or rows.
    n_features_in_ : int

    Examples
    --------
    >>> pixels = np.array([[0, 0, 0], [2, 0, 0], [250, 0, 0]], np.uint8)
    >>> model = KMeans(n_clusters=2, random_state=0).fit(pixels)
    >>> sorted(model.cluster_centers_.tolist()), model.inertia_
    ([[1.0, 0.0, 0.0], [250.0, 0.0, 0.0]], 2.0)
    """

    def __init__(
        self,
        n_clusters: int = 8,
        init: str | NDArray[Any] = "k-means||",
        oversampling_factor: float = 2,
        max_iter: int = 300,
        tol: float = 1e-4,
        precompute_distances: Any = "auto",
        random_state: Any = None,
        copy_x: bool = True,
        n_jobs: int = 1,
        algorithm: str = "auto",
        init_max_iter: int | None = None,
        n_init: str | int = "auto",
    ) -> None:
        super().__init__(
            n_clusters=n_clusters,
            init=init,
            oversampling_factor=oversampling_factor,
            max_iter=max_iter,
            tol=tol,
            precompute_distances=precompute_distances,
            random_state=random_state,
            copy_x=copy_x,
            n_jobs=n_jobs,
            algorithm=algorithm,
            init_max_iter=init_max_iter,
            n_init=n_init,
        )

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> KMeans:  # noqa: ARG002
        """Fit the centres to the rows of `X`.

        Parameters
        ----------
        X : ndarray, dask.array.Array or DataFrame, (n_samples, n_features)
            NaN and infinity are refused.
        y : ignored
        sample_weight : array-like, (n_samples,), optional
            Weight of each row, 0 or more. Rows with weights, and rows of more than four features
            by "histogram", are grouped by sorting; more than 2**24 distinct ones are refused.
        """
        self._check_parameters()
        rows = as_rows(X)
        if 0 in rows.shape:
            raise InputError(f"data of shape {rows.shape} has 0 sample(s) or features to fit")
        weights = None
        if sample_weight is not None:
            if self.algorithm not in ("auto", "histogram"):
                raise InputError(
                    f"algorithm={self.algorithm!r} takes no sample_weight: use 'histogram'"
                )
            weights = as_weights(sample_weight, rows)
        if self.algorithm == "dask-ml":
            self._found(fit_upstream(rows, self.get_params()))
        elif self._way(rows, weights) == LLOYD:
            self._fit_passes(rows)
        elif self._way(rows, weights) == BINNED:
            self._fit_bins(rows)
        else:
            self.fit_histogram(count_rows(rows, weights))
        self.labels_ = self.predict(rows)
        return self

    def fit_histogram(
        self,
        histogram: ColorHistogram | BinnedHistogram | Delayed,
        keep: NDArray[np.float64] | None = None,
    ) -> KMeans:
        """Fit the centres to distinct colours, or bins, and their counts; `labels_` is not set.

        Parameters
        ----------
        histogram : ColorHistogram or BinnedHistogram, or Delayed of one
            A delayed one is computed once. With a distributed scheduler the fit runs where
            it lies, and only the centres travel.
        keep : ndarray, (m, n_features), float64, optional
            Distinct colours that become the first of `cluster_centers_`, as they are; the
            n_clusters - m others are fitted beside them. For an `init` by name.
        """
        self._check_parameters()
        choices = self._choices()
        source = dask.delayed(histogram, traverse=False)
        planned = plan_fit(source, self.n_clusters, **choices, keep=keep)
        return self._found(compute(planned)[0])

    def _fit_bins(self, rows: da.Array) -> None:
        """Fit to bins; the inertia is that of the rows themselves."""
        n_features = rows.shape[1]
        grid = Grid.of_type(rows.dtype, n_features)
        if grid is None:
            ranges = compute(measure_ranges([rows], n_features))[0]
            if not np.isfinite(ranges).all():
                raise InputError(_NOT_FINITE)
            grid = Grid.of_range(rows.dtype, *ranges.T, common=True)
        histogram = persist(count_bins([rows], grid))
        with released(histogram):
            _refuse_masked(rows, compute(histogram.n_pixels)[0])
            self.fit_histogram(histogram)
        factors = np.ones(n_features)
        found = gather_blocks([rows], n_features, self.cluster_centers_, factors, exact=False)
        self.inertia_ = found.inertia

    def _fit_passes(self, rows: da.Array) -> None:
        n_features, choices = rows.shape[1], self._choices()
        sample = persist(sample_blocks([rows], n_features, choices["seed"]))
        with released(sample):
            _refuse_masked(rows, compute(sample.n_pixels)[0])
            factors = np.ones(n_features)
            self._found(
                fit_lloyd(
                    [rows], sample, self.n_clusters, channels=n_features, factors=factors, **choices
                )
            )

    def _way(self, rows: da.Array, weights: da.Array | None) -> str:
        """Choose what the rows are fitted by, of `ways`."""
        if self.algorithm in ("lloyd", "full"):
            return LLOYD
        if weights is not None or len(rows) <= _FEW_ROWS:
            return HISTOGRAM
        way = way_of(rows.dtype, rows.shape[1])
        return HISTOGRAM if way == LLOYD and self.algorithm == "histogram" else way

    def _choices(self) -> dict[str, Any]:
        """Name the parameters as the engine does."""
        init: Any = self.init
        if not isinstance(init, str):
            init = np.asarray(init, np.float64)
        elif init != "random":
            init = "k-means++"
        return {
            "init": init,
            "n_init": None if self.n_init == "auto" else self.n_init,
            "max_iter": self.max_iter,
            "tol": self.tol,
            "seed": check_random_state(self.random_state).randint(2**31 - 1),
        }

    def _found(self, found: Fit) -> KMeans:
        n_distinct, n_features = found.centers.shape
        if n_distinct < self.n_clusters:
            warnings.warn(
                f"n_clusters is {self.n_clusters}, but the data has fewer distinct rows: "
                f"{n_distinct}, and as many clusters are fitted",
                ConvergenceWarning,
                stacklevel=3,
            )
        self.cluster_centers_ = found.centers
        self.inertia_ = found.inertia
        self.n_iter_ = found.n_iter
        self.n_features_in_ = n_features
        return self

    def predict(self, X: Any) -> da.Array:
        """Label each row of `X` with its nearest centre, lazily.

        Returns
        -------
        dask.array.Array, (n_samples,), int32
        """
        rows = self._matching_rows(X)
        return map_pixels(
            _label_rows, rows, self.cluster_centers_, token="label-rows", dtype=np.int32
        )

    def transform(self, X: Any, y: Any = None) -> da.Array:  # noqa: ARG002
        """Compute the distances to the centres, (n_samples, n_clusters) float64, lazily."""
        return super().transform(self._matching_rows(X).astype(np.float64))

    def _matching_rows(self, X: Any) -> da.Array:
        check_is_fitted(self, "cluster_centers_")
        rows = as_rows(X)
        if rows.shape[1] != self.n_features_in_:
            raise InputError(
                f"data of {rows.shape[1]} features: the model was fitted to {self.n_features_in_}"
            )
        return rows

    def _check_parameters(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise InputError(f"algorithm={self.algorithm!r}: must be one of {ALGORITHMS}")
        if not isinstance(self.n_clusters, int | np.integer) or self.n_clusters < 1:
            raise InputError(f"n_clusters={self.n_clusters!r}: must be an integer of at least 1")
        if self.n_init != "auto" and (
            not isinstance(self.n_init, int | np.integer) or self.n_init < 1
        ):
            raise InputError(f"n_init={self.n_init!r}: must be 'auto' or at least 1")
        if isinstance(self.init, str):
            if self.init not in ("k-means||", "k-means++", "random"):
                raise InputError(
                    f"init={self.init!r}: must be 'k-means||', 'k-means++', 'random' or an array"
                )
            if self.algorithm == "dask-ml" and self.init == "k-means++":
                raise InputError(
                    "init='k-means++' does not work in dask-ml's own fit: use 'k-means||'"
                )
        elif np.ndim(self.init) != 2 or len(self.init) != self.n_clusters:
            raise InputError(
                f"init of shape {np.shape(self.init)} gives no {self.n_clusters} starting centres"
            )
        elif not np.isfinite(np.asarray(self.init, np.float64)).all():
            raise InputError("init contains NaN or infinity")


def image_rows(image: da.Array, channels: int) -> da.Array:
    """Plan the pixels of an image (y, x, channel) as rows (n, channels), block by block.

    The rows keep the order of the blocks, not of the pixels, so that no block is cut.
    Pixels that are transparent, or no finite numbers, are left out where there can be such, which
    takes a pass over the image to count them.
    """
    blocks = [image.blocks[i] for i in np.ndindex(image.numblocks)]
    rows = da.concatenate([block.reshape(-1, image.shape[2]) for block in blocks])
    has_alpha, is_float = image.shape[2] > channels, image.dtype.kind == "f"
    if has_alpha:
        rows = rows[rows[:, -1] > 0][:, :channels]
    if is_float:
        rows = rows[da.isfinite(rows).all(axis=1)]
    return rows.compute_chunk_sizes() if has_alpha or is_float else rows


def _refuse_masked(rows: da.Array, n_pixels: int) -> None:
    """Refuse rows of which some have been left out."""
    if n_pixels < len(rows):
        raise InputError(_NOT_FINITE)


def _label_rows(rows: NDArray[Any], centers: NDArray[np.float64]) -> NDArray[np.int32]:
    labels = np.empty(len(rows), np.int32)
    label_rows(rows, rows.shape[1], centers, np.ones(rows.shape[1]), 0, labels)
    return labels
