"""Files -> quantized files, with one palette for all: what `fit` and `apply` do."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from bigquant.atomic import clear
from bigquant.errors import BigquantError, ClusterLost, InputError
from bigquant.inputs import format_of
from bigquant.jobs import Job, Written
from bigquant.ledger import Plan
from bigquant.outputs import save_palette, unfinished_run
from bigquant.palette import Palette
from bigquant.parameters import alike
from bigquant.pipeline import apply_palette, plan_result, quantize_images
from bigquant.preview import MOST_COLORS, Preview
from bigquant.quantized import QuantizedImage
from bigquant.recording import go_on, record
from bigquant.tiff_output import write_tiff
from bigquant.underway import settle
from bigquant.write import write_npy, write_png, write_zarr

_T = TypeVar("_T")
_WRITERS: Mapping[str, Callable[..., Palette]] = {
    "zarr": write_zarr,
    "tif": write_tiff,
    "png": write_png,
    "npy": write_npy,
}
#: Options of outputs of one format only.
_OWN_OPTIONS = {"zarr": ("ome_zarr", "storage_options"), "tif": ("compression", "cog")}


@dataclass(frozen=True)
class Kept:
    """What an interrupted run of the same plan has left.

    Parameters
    ----------
    palette : Palette, optional
        Where one was fitted.
    outputs : int
        That are complete.
    blocks : int
        That are written of the others.
    preview : Preview, optional
        Of the first image.
    """

    palette: Palette | None
    outputs: int
    blocks: int
    preview: Preview | None = None

    def __str__(self) -> str:
        parts = ["its palette"] if self.palette else []
        parts += [f"{self.outputs} output{'s' * (self.outputs > 1)}"] if self.outputs else []
        return " and ".join(filter(None, [", ".join(parts), f"{self.blocks} blocks"]))


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Parameters
    ----------
    written : list of Written
        Outputs that are complete.
    palette : Palette
        With the numbers of all of them together.
    failures : Mapping
        What went wrong, by the name of the input.
    seconds : Mapping
        Wall time of the stages "count" and "fit", where there were such, and "write".
    kept : Kept, optional
        What this run has gone on with.
    """

    written: list[Written]
    palette: Palette
    failures: Mapping[str, BigquantError]
    seconds: Mapping[str, float]
    kept: Kept | None = None


def quantize_files(
    job: Job,
    k: int | str,
    *,
    quality: float | None = None,
    keep: Any = None,
    algorithm: str = "auto",
    scale: str = "none",
    space: str = "srgb",
    dither: str = "none",
    random_state: int | None = 0,
    command: str | None = None,
) -> Outcome:
    """Fit one palette to all inputs of a job, and write each in its colours.

    Beside each output lies what its report will show, `command` too: what was typed. The other
    parameters are as for `quantize`.
    """
    names, failures = list(job.images), dict(job.failures)
    images, kept = list(job.images.values()), _find_kept(job)
    if kept.palette:
        results = [plan_result(image, kept.palette, {}, dither) for image in alike(images)]
        previews = [record(result, job.reading, command) for result in results]
        if kept.preview:
            previews = go_on(previews, kept.preview)
        return _write_all(job, _zip(names, results), failures, kept, _zip(names, previews))
    results, unread = quantize_images(
        images,
        k,
        quality=quality,
        keep=keep,
        algorithm=algorithm,
        scale=scale,
        space=space,
        dither=dither,
        random_state=random_state,
        most_cloud=MOST_COLORS,
    )
    failures |= {names[number]: error for number, error in unread.items()}
    if job.strict and unread:
        raise next(iter(unread.values()))
    readable = [name for name in names if name not in failures]
    previews = [record(result, job.reading, command) for result in results]
    return _write_all(job, _zip(readable, results), failures, previews=_zip(readable, previews))


def _zip(names: Sequence[str], values: Sequence[_T]) -> dict[str, _T]:
    return dict(zip(names, values, strict=True))


def _find_kept(job: Job) -> Kept:
    """Find what an interrupted run of the same plan has left."""
    palette = job.ledger.palette() if job.ledger else None
    preview = job.ledger.preview() if job.ledger else None
    blocks = 0
    for target in job.targets.values():
        left = unfinished_run(target, job.plan) if job.plan and target not in job.done else None
        if left:
            palette, preview, blocks = palette or left[0], preview or left[1], blocks + left[2]
    return Kept(palette, len(job.done), blocks, preview)


def apply_files(job: Job, palette: Palette, dither: str = "none") -> Outcome:
    """Write each input of a job in the colours of a palette."""
    if palette.channels == 1 and any(image.channels == 3 for image in job.images.values()):
        palette = palette.as_rgb()  # gray images join it
    results: dict[str, QuantizedImage] = {}
    failures = dict(job.failures)
    for name, image in job.images.items():
        try:
            results[name] = apply_palette(palette, image, dither=dither)
        except InputError as error:
            if job.strict:
                raise
            failures[name] = error
    if not results:
        raise next(iter(failures.values()))
    kept = replace(_find_kept(job), palette=None)
    return _write_all(job, results, failures, kept if kept.outputs or kept.blocks else None)


def _write_all(
    job: Job,
    results: Mapping[str, QuantizedImage],
    failures: dict[str, BigquantError],
    kept: Kept | None = None,
    previews: Mapping[str, Preview] | None = None,
) -> Outcome:
    previews = previews or {}
    start = time.perf_counter()
    first = next(iter(results.values()))
    preview = next(iter(previews.values()), None)
    with job.ledger.kept(first.palette, preview, settle) if job.ledger else nullcontext():
        for name, result in results.items():
            target = job.targets[name]
            try:
                if palette := job.done.get(target):
                    clear(target)
                else:
                    palette = _write(job, name, result, previews.get(name))
            except ClusterLost:  # it would be the same for all that follow
                raise
            except BigquantError as error:
                if job.strict:
                    raise
                failures[name] = error
            else:
                job.written.append(Written(name, target, replace(result, palette=palette)))
        palette = first.palette
        if first.tally is not None:
            own = [each.result.palette for each in job.written]
            counts = sum((each.counts for each in own), np.zeros_like(palette.counts))
            palette = replace(palette, counts=counts, inertia=sum(each.inertia for each in own))
        if job.palette and job.written:
            save_palette(palette, job.palette, job.overwrite, job.writing["storage_options"])
    seconds = {**first.seconds, "write": time.perf_counter() - start}
    return Outcome(job.written, palette, failures, seconds, kept)


def _write(job: Job, name: str, result: QuantizedImage, preview: Preview | None) -> Palette:
    target = job.targets[name]
    plan = Plan(job.plan) if job.plan else None
    if job.ledger:
        plan = job.ledger.plan(list(job.targets).index(name))
    format_ = format_of(target) or "zarr"
    said = {"dither": result.dither} if format_ == "zarr" else {}
    return _WRITERS[format_](
        target,
        result.label_blocks,
        result.palette,
        result.source,
        tally=result.tally,
        content=job.content,
        overwrite=job.overwrite,
        with_palette=job.palette is None,
        preview=preview and replace(preview, begun=time.perf_counter()),
        plan=plan,
        **said,
        **{option: job.writing[option] for option in _OWN_OPTIONS.get(format_, ())},
    )
