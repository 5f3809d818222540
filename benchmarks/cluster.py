"""A cluster of two workers beside two threads: what it costs that they are processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .accounts import block_facts, scheduler_facts, wire_facts
from .programs import Fits, on_cluster, on_threads
from .report import Row
from .timing import run_program, take_turns

TITLE = "Cluster beside threads"
NOTES = (
    "`quantize` and `to_zarr` with both contents of a photo with sensor noise, k=32, deflate "
    "tiles: two workers of one thread beside two threads of one process. Scheduler, workers and "
    "clients are programs of their own, which have compiled, connected and fitted the image "
    "before; each round has a seed, and so a palette, of its own. Bytes are what went through "
    "the sockets. Trimming: Dask's nanny sets MALLOC_TRIM_THRESHOLD_ for workers, as it does by "
    "default, and glibc then maps and clears every array anew."
)
_ROUNDS = 3


def measure(scale: float, folder: Path) -> list[Row]:
    """Time them in `folder`, on an image of `scale` times 400 megapixels."""
    image = folder / "photo.tif"
    run_program("-m", "bigquant", "sample", str(image), "--megapixels", f"{400 * scale}", "-q")
    with (
        on_threads() as threads,
        on_cluster(_made(folder / "first"), 2) as cluster,
        on_cluster(_made(folder / "second"), 2, trimming=True) as trimming,
    ):
        clients = {"2 threads": threads, "2 workers": cluster, "2 workers, trimming": trimming}
        turns = {
            name: _Turns(client, image, folder / "out.zarr") for name, client in clients.items()
        }
        take_turns(turns, 1)  # compiles
        for contender in turns.values():
            contender.answers.clear()
        take_turns(turns, _ROUNDS)
    best = {name: contender.best for name, contender in turns.items()}
    rows = [_row(name, answer, best["2 threads"]) for name, answer in best.items()]
    blanks = dict.fromkeys(rows[1])
    return [{**blanks, **row} for row in rows]


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


class _Turns:
    """A client's fits, each of another seed."""

    def __init__(self, client: Fits, image: Path, output: Path) -> None:
        self.client, self.image, self.output = client, image, output
        self.answers: list[dict[str, Any]] = []
        self.seed = 0

    def __call__(self) -> None:
        self.seed += 1
        self.answers.append(self.client.fit(self.image, self.output, self.seed))

    @property
    def best(self) -> dict[str, Any]:
        """The answer of the quickest fit."""
        return min(self.answers, key=lambda answer: float(answer["seconds"]["all"]))


def _row(name: str, answer: dict[str, Any], threads: dict[str, Any]) -> Row:
    seconds, before, after = answer["seconds"], answer["before"], answer["after"]
    row: Row = {
        "": name,
        **{f"{stage} s": spent for stage, spent in seconds.items()},
        "times threads": seconds["all"] / threads["seconds"]["all"],
        "client peak MB": after["client"]["peak"] / 1e6,
    }
    if "scheduler" not in after:
        return row
    row["worker peak MB"] = max(worker["peak"] for worker in after["workers"]) / 1e6
    load = scheduler_facts(before, after)
    row |= block_facts(before, after) | {name: load[name] for name in ("tasks", "scheduler s")}
    return row | wire_facts(before, after)
