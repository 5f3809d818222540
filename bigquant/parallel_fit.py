"""The engine's runs as Dask tasks, side by side: a delayed histogram in, a delayed fit out."""

from __future__ import annotations

import uuid
from typing import Any

import dask
import numpy as np
from dask.delayed import Delayed
from numpy.typing import NDArray

from bigquant import lloyd

#: Tasks that the short runs of a search are spread over, and the improvement of the best.
_PARTS = 4


def plan_fit(
    histogram: Delayed,
    n_clusters: int,
    init: str | NDArray[np.float64],
    n_init: int | None,
    max_iter: int,
    tol: float,
    seed: int,
    keep: NDArray[np.float64] | None = None,
    before: Any = None,
) -> Delayed:
    """Plan what `lloyd.fit` does, to the same bits; parameters are the same, or delayed.

    One graph: whoever computes it waits once, however far the scheduler is.
    """

    def task(function: Any, *arguments: Any, **options: Any) -> Delayed:
        name = f"fit-{function.__name__}-{uuid.uuid4().hex}"  # progress bars know it by "fit-"
        planned: Delayed = dask.delayed(function)(*arguments, **options, dask_key_name=name)
        return planned

    if not isinstance(init, str):
        options = {"init": init, "max_iter": max_iter, "tol": tol, "keep": keep}
        return task(lloyd.fit, histogram, n_clusters, **options)
    choices = (init, n_init, max_iter, tol, seed, keep, before)
    plan = task(lloyd.Search.plan, histogram, n_clusters, *choices)
    runs = [task(lloyd.Search.run, plan, part, _PARTS) for part in range(_PARTS)]
    chosen = task(lloyd.Search.choose, plan, *runs)  # in a list, Dask would look through each
    improved = [task(lloyd.Search.improve, plan, chosen, part, _PARTS) for part in range(_PARTS)]
    return task(lloyd.Search.finish, plan, histogram, *improved)
