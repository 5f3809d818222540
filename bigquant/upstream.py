"""dask-ml's own fit, measured in scikit-learn's terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dask.array as da
import dask_ml.cluster
import numpy as np

from bigquant.errors import InputError
from bigquant.iteration import Fit
from bigquant.passes import gather_blocks
from bigquant.watch import compute


def fit_upstream(rows: da.Array, parameters: Mapping[str, Any]) -> Fit:
    """Run dask-ml's fit on rows (n, n_features), as float32, and measure what it finds.

    Parameters
    ----------
    rows : dask.array.Array
    parameters : Mapping
        Of `dask_ml.cluster.KMeans`; `tol` is relative to the mean variance of the features.
    """
    n_clusters, n_features = parameters["n_clusters"], rows.shape[1]
    if len(rows) < n_clusters:
        raise InputError(f"n_clusters={n_clusters}: the data has only {len(rows)} rows")
    rows = rows.astype(np.float32)  # integers would have their centres truncated
    # upstream compares tol with the squared shift as it is
    variance = float(compute(rows.var(axis=0, dtype=np.float64).mean())[0])
    scaled = {**parameters, "algorithm": "full", "tol": parameters["tol"] * variance}
    model = dask_ml.cluster.KMeans(**scaled).fit(rows)
    centers = np.asarray(model.cluster_centers_, np.float64)
    found = gather_blocks([rows], n_features, centers, np.ones(n_features), exact=False)
    return Fit(centers, found.inertia, model.n_iter_)
