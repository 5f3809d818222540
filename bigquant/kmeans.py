"""`KMeans`: dask-ml's estimator with scikit-learn's semantics, a thin face on the engine.

This module alone imports dask-ml, which takes seconds: whatever runs on workers lives in
`histogram`, `lloyd` and `kernels`.
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

from bigquant.colorcounts import ColorHistogram
from bigquant.errors import InputError
from bigquant.histogram import count_rows
from bigquant.iteration import Fit
from bigquant.nearest import assign
from bigquant.parallel_fit import plan_fit
from bigquant.planes import map_pixels
from bigquant.watch import compute

ALGORITHMS = ("auto", "histogram", "dask-ml")


class KMeans(dask_ml.cluster.KMeans):  # type: ignore[misc]
    """k-means on distinct rows and their counts: exact, in one pass over the data.

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
        times the mean variance of the features.
    random_state : int, RandomState or None
        Seed of the starting centres.
    algorithm : {"auto", "histogram", "dask-ml"}
        "histogram" counts the distinct rows of all blocks in one pass and fits them, weighted;
        "auto" is the same. "dask-ml" runs upstream's own fit on the blocks, as float32 and
        with `tol` scaled as above: many passes, for comparison.
    n_init : "auto" or int
        Restarts, each from one of the best of some short runs, and improved further; the best
        is kept. "auto" is 2, or 1 where there is much to do. Not used by "dask-ml".
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
        Iterations over all distinct rows.
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
            8-bit rows of up to three features are counted in tables; rows of other types
            are grouped by sorting, and more than 2**24 distinct ones are refused.
        y : ignored
        sample_weight : array-like, (n_samples,), optional
            Weight of each row, 0 or more.
        """
        self._check_parameters()
        rows = _as_rows(X)
        if 0 in rows.shape:
            raise InputError(f"data of shape {rows.shape} has 0 sample(s) or features to fit")
        if self.algorithm == "dask-ml":
            if sample_weight is not None:
                raise InputError("dask-ml's own fit takes no sample_weight: use 'histogram'")
            self._fit_upstream(rows)
        else:
            weights = None
            if sample_weight is not None:
                weights = _as_weights(sample_weight, rows)
            self.fit_histogram(count_rows(rows, weights))
        self.labels_ = self.predict(rows)
        return self

    def fit_histogram(
        self, histogram: ColorHistogram | Delayed, keep: NDArray[np.float64] | None = None
    ) -> KMeans:
        """Fit the centres to distinct colours and their counts; `labels_` is not set.

        Parameters
        ----------
        histogram : ColorHistogram, or Delayed of one
            A delayed one is computed once. With a distributed scheduler the fit runs where
            it lies, and only the centres travel.
        keep : ndarray, (m, n_features), float64, optional
            Distinct colours that become the first of `cluster_centers_`, as they are; the
            n_clusters - m others are fitted beside them. For an `init` by name.
        """
        self._check_parameters()
        init: Any = self.init
        if not isinstance(init, str):
            init = np.asarray(init, np.float64)
        elif init != "random":
            init = "k-means++"
        n_init = None if self.n_init == "auto" else self.n_init
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        choices = (init, n_init, self.max_iter, self.tol, seed, keep)
        source = dask.delayed(histogram, traverse=False)
        found: Fit = compute(plan_fit(source, self.n_clusters, *choices))[0]
        n_distinct, n_features = found.centers.shape
        if n_distinct < self.n_clusters:
            warnings.warn(
                f"n_clusters is {self.n_clusters}, but the data has fewer distinct rows: "
                f"{n_distinct}, and as many clusters are fitted",
                ConvergenceWarning,
                stacklevel=2,
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
        rows = _as_rows(X)
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

    def _fit_upstream(self, rows: da.Array) -> None:
        """Run dask-ml's own fit, and measure it in scikit-learn's terms."""
        if len(rows) < self.n_clusters:
            raise InputError(f"n_clusters={self.n_clusters}: the data has only {len(rows)} rows")
        rows = rows.astype(np.float32)  # integers would have their centres truncated
        parameters = self.get_params() | {
            "algorithm": "full",
            # upstream compares tol with the squared shift as it is
            "tol": self.tol * float(compute(rows.var(axis=0, dtype=np.float64).mean())[0]),
        }
        model = dask_ml.cluster.KMeans(**parameters).fit(rows)
        self.cluster_centers_ = np.asarray(model.cluster_centers_, np.float64)
        self.n_iter_ = model.n_iter_
        self.n_features_in_ = rows.shape[1]
        errors = map_pixels(
            _squared_errors, rows, self.cluster_centers_, token="errors", dtype=np.float64
        )
        self.inertia_ = float(compute(errors.sum())[0])


def image_rows(image: da.Array, channels: int) -> da.Array:
    """Plan the pixels of an image (y, x, channel) as rows (n, channels), block by block.

    The rows keep the order of the blocks, not of the pixels, so that no block is cut.
    Transparent pixels are left out, which takes a pass over the image to count them.
    """
    blocks = [image.blocks[i] for i in np.ndindex(image.numblocks)]
    rows = da.concatenate([block.reshape(-1, image.shape[2]) for block in blocks])
    if image.shape[2] > channels:
        rows = rows[rows[:, -1] > 0][:, :channels].compute_chunk_sizes()
    return rows


def _as_rows(X: Any) -> da.Array:
    """Bring whatever dask-ml takes to a Dask matrix, without touching its values."""
    if hasattr(X, "to_dask_array"):
        X = X.to_dask_array(lengths=True)
    elif not isinstance(X, da.Array):
        X = np.asarray(X)
    if X.ndim != 2:
        raise InputError(f"data of shape {X.shape} is no matrix (n_samples, n_features)")
    if X.dtype.kind not in "buif":
        raise InputError(f"data of type {X.dtype} is not real numbers: convert it first")
    if not isinstance(X, da.Array):
        X = da.from_array(X, chunks=(max(1, (64 << 20) // max(1, X[:1].nbytes)), -1), name=False)
    if any(np.isnan(n) for n in X.shape):
        X = X.compute_chunk_sizes()
    # kernels know the machine's own byte order, and no floats of other than 4 or 8 bytes
    dtype = X.dtype.newbyteorder("=")
    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        dtype = np.dtype(np.float32 if dtype.itemsize < 4 else np.float64)
    return X.astype(dtype).rechunk({1: -1})


def _as_weights(sample_weight: Any, rows: da.Array) -> da.Array:
    if hasattr(sample_weight, "to_dask_array"):
        weights = sample_weight.to_dask_array(lengths=True).astype(np.float64)
    elif isinstance(sample_weight, da.Array):
        weights = sample_weight.astype(np.float64)
    else:
        weights = da.asarray(np.asarray(sample_weight, np.float64))
    if weights.shape != rows.shape[:1]:
        raise InputError(f"sample_weight of shape {weights.shape} fits no {len(rows)} samples")
    return weights


def _label_rows(rows: NDArray[Any], centers: NDArray[np.float64]) -> NDArray[np.int32]:
    return assign(rows, centers)[0]


def _squared_errors(rows: NDArray[Any], centers: NDArray[np.float64]) -> NDArray[np.float64]:
    return assign(rows, centers)[1]
