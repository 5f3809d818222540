"""`Clusters`: what was fitted to the rows of a table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigquant.rowlabels import label_rows

_SCHEMA = 1


@dataclass(frozen=True, eq=False)
class Clusters:
    """Clusters of the rows of a table, by and large the largest first.

    Parameters
    ----------
    columns : tuple of str
        Whose values the rows are clustered by.
    centers : ndarray, (k, columns), float64
        In the columns' own units.
    counts : ndarray, (k,), int64
        Rows of each cluster.
    left_out : int
        Rows that lack a value in one of the columns, or have NaN or infinity there.
    inertia : float
        Sum of the squared distances of the others to their centres, in scaled units.
    scale : {"none", "range", "std"}
    factors : ndarray, (columns,), float64
        What values are multiplied by before distances are taken; 1 without a scale.
    fit : Mapping
        How they were found: algorithm, random_state and so on, in JSON's types.
    """

    columns: tuple[str, ...]
    centers: NDArray[np.float64]
    counts: NDArray[np.int64]
    left_out: int
    inertia: float
    scale: str
    factors: NDArray[np.float64]
    fit: Mapping[str, Any] = field(default_factory=dict)

    @property
    def k(self) -> int:
        """Number of clusters."""
        return len(self.centers)

    @property
    def n_rows(self) -> int:
        """Rows that are in a cluster."""
        return int(self.counts.sum())

    @property
    def model(self) -> dict[str, Any]:
        """What a row's cluster depends on, and how that was found, in JSON's types."""
        return {
            "bigquant_clusters": _SCHEMA,
            "k": self.k,
            "columns": list(self.columns),
            "centers": self.centers.tolist(),
            "scale": self.scale,
            "factors": self.factors.tolist(),
            "fit": dict(self.fit),
        }

    def as_json(self) -> dict[str, Any]:
        """Describe the model, and the rows, in JSON's types."""
        return self.model | {
            "counts": self.counts.tolist(),
            "left_out": self.left_out,
            "inertia": self.inertia if math.isfinite(self.inertia) else None,
        }

    def encode(self) -> bytes:
        """Make the bytes of a file that describes them."""
        return (json.dumps(self.as_json(), indent=1) + "\n").encode()


@dataclass(frozen=True, eq=False)
class Tally:
    """How many rows are in each cluster, and how far they are from its centre.

    Parameters
    ----------
    counts : ndarray, (1 + k,), int64
        Of the rows that are left out, then of those of each cluster.
    inertia : float
    """

    counts: NDArray[np.int64]
    inertia: float

    @classmethod
    def create(cls, k: int) -> Tally:
        """Make the tally of no rows."""
        return cls(np.zeros(1 + k, np.int64), 0.0)

    def merge(self, other: Tally) -> Tally:
        """Add other rows."""
        return Tally(self.counts + other.counts, self.inertia + other.inertia)


@dataclass(frozen=True, eq=False)
class Labeller:
    """Finds the nearest centre.

    Parameters
    ----------
    centers : ndarray, (k, columns), float64
    factors : ndarray, (columns,), float64
    """

    centers: NDArray[np.float64]
    factors: NDArray[np.float64]

    def __call__(self, points: NDArray[Any]) -> tuple[NDArray[np.int32], Tally]:
        """Label points with 1 and up; 0 is for those that lack a value.

        Parameters
        ----------
        points : ndarray, (n, columns) or (n, columns + 1)
            With NaN where a value is lacking, or 0 in a last column more.
        """
        k, columns = self.centers.shape
        scaled, labels = self.centers * self.factors, np.empty(len(points), np.int32)
        label_rows(points, columns, scaled, self.factors, 1, labels)
        there = labels > 0
        apart = points[there, :columns] * self.factors - scaled[labels[there] - 1]
        return labels, Tally(np.bincount(labels, minlength=1 + k), float((apart**2).sum()))
