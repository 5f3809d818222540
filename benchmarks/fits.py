"""A client that stays: fits the images that it is told of, a line of JSON each, and answers so.

``python -m benchmarks.fits`` uses threads of its own, with an address the scheduler there.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from contextlib import nullcontext
from typing import Any
from unittest.mock import patch

import dask

import bigquant
from bigquant import write

from . import wire

_THREADS = 2
_K = 32


def main(address: str | None = None) -> None:
    """Answer until there is nothing more to read."""
    warnings.simplefilter("ignore")  # a sparse image has fewer colours than are asked for
    wire.count()
    client: Any = nullcontext()
    if address:
        from distributed import Client  # noqa: PLC0415

        client = Client(address)
    with client, dask.config.set(num_workers=_THREADS):
        print("ready", flush=True)
        for line in sys.stdin:
            print(json.dumps(_answer(client if address else None, **json.loads(line))), flush=True)


def _answer(client: Any, image: str, output: str, seed: int, dry: bool) -> dict[str, Any]:
    before = _account(client)
    start = time.perf_counter()
    result = bigquant.quantize(bigquant.open_image(image), _K, random_state=seed)
    begun = time.perf_counter()
    # where nothing is written, nothing is looked for
    with patch.object(write, "check_complete", _believe) if dry else nullcontext():
        result.to_zarr(output, overwrite=True)
    end = time.perf_counter()
    return {
        "seconds": {**result.seconds, "write": end - begun, "all": end - start},
        "before": before,
        "after": _account(client),
    }


def _believe(shown: str, missing: list[str]) -> None:
    del shown, missing


def _account(client: Any) -> dict[str, Any]:
    """Tell what every process has done so far, those of the cluster too."""
    account: dict[str, Any] = {"client": wire.process()}
    if client is not None:
        account["scheduler"] = client.run_on_scheduler(wire.scheduler)
        workers = client.run(wire.worker).values()
        account["workers"] = list({each["pid"]: each for each in workers}.values())
        account["fetched"] = sum(each["fetched"] for each in workers)
    return account


if __name__ == "__main__":
    main(*sys.argv[1:])
