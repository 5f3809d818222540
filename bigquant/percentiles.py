"""Percentiles of values that stand for many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def weighted_percentiles(
    values: NDArray[Any], weights: NDArray[Any], q: Sequence[float]
) -> NDArray[np.float64]:
    """Find the least value of each column that q percent of the weight do not exceed.

    Parameters
    ----------
    values : ndarray, (n, channels)
    weights : ndarray, (n,)
    q : sequence of float
        From 0 to 100.

    Returns
    -------
    ndarray, (len(q), channels), float64
    """
    found = np.empty((len(q), values.shape[1]))
    for column in range(values.shape[1]):
        order = np.argsort(values[:, column], kind="stable")
        reached = np.cumsum(weights[order], dtype=np.float64)
        at = np.searchsorted(reached, np.asarray(q, np.float64) / 100 * reached[-1])
        found[:, column] = values[order[np.minimum(at, len(order) - 1)], column]
    return found
