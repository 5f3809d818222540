"""What `bigquant fit` does where INPUT is a table: from names to a summary."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bigquant import options
from bigquant.complaints import printing
from bigquant.errors import InputError
from bigquant.inputs import folder_of
from bigquant.logs import noted_warnings

if TYPE_CHECKING:
    from bigquant.table_fit import Clustered, TableJob

#: Parameters of the command that mean something for a table.
_OURS = frozenset(
    (
        *("names", "k", "output", "columns", "scale", "algorithm", "seed", "overwrite", "quiet"),
        *("as_json", "workers", "threads_per_worker", "memory_limit", "scheduler"),
        "scheduler_file",
    )
)


def run(
    names: tuple[str, ...],
    k: int | str,
    *,
    columns: Sequence[str] | None,
    scale: str,
    algorithm: str,
    seed: int,
    output: str | None,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Open a table, cluster its rows where that is to run, and tell what came of it.

    The parameters are the command's; what is `chosen` but not of `options.cluster` is for images.
    """
    from bigquant.cluster import running_on  # noqa: PLC0415 - --help stays quick
    from bigquant.preflight import ensure_ready  # noqa: PLC0415
    from bigquant.table_fit import open_job  # noqa: PLC0415
    from bigquant.terminal import stage_progress  # noqa: PLC0415

    name = _only(names)
    _refuse_foreign(name)
    if not isinstance(k, int):
        raise InputError(f"{name}: is a table: say how many clusters, e.g. -k 8")
    place = options.place(chosen)
    job = open_job(
        name,
        output or str(Path(name).with_suffix(f".k{k}.parquet")),
        k,
        columns=columns,
        scale=scale,
        algorithm=algorithm,
        random_state=seed,
        overwrite=overwrite,
    )
    with (
        noted_warnings() as notes,
        running_on(**place) as client,
        stage_progress(client, quiet=quiet),
    ):
        ensure_ready(client, job.table.files, [], [folder_of(os.path.abspath(job.output))], {})
        done = job.run()
    with printing("the output is complete"):
        _tell(job, done, notes + job.notes(done.clusters), as_json=as_json, quiet=quiet)


def _only(names: tuple[str, ...]) -> str:
    if len(names) > 1:
        raise InputError(
            f"{len(names)} inputs, and a table among them: give one table; several files "
            "of one schema are one if they lie in a folder called NAME.parquet"
        )
    return names[0]


def _refuse_foreign(name: str) -> None:
    """Refuse options that are for images."""
    context = click.get_current_context()
    given = click.core.ParameterSource.COMMANDLINE
    for parameter in context.command.params:
        if parameter.name not in context.params or parameter.name in _OURS:
            continue
        if context.get_parameter_source(parameter.name) is given:
            raise InputError(f"{max(parameter.opts, key=len)} is for images, and {name} is a table")


def _tell(job: TableJob, done: Clustered, notes: list[str], *, as_json: bool, quiet: bool) -> None:
    from bigquant.factsheets import fact_sheet, table_facts  # noqa: PLC0415
    from bigquant.table_output import MODEL_SUFFIX  # noqa: PLC0415

    facts = {
        "input": job.table.path,
        "rows": job.table.n_rows,
        **done.clusters.as_json(),
        "seconds": {stage: round(spent, 3) for stage, spent in done.seconds.items()},
        "output": job.output,
        "parts": done.parts,
        "model": job.output + MODEL_SUFFIX,
        "notes": notes,
    }
    if as_json:
        click.echo(json.dumps(facts))
    elif not quiet:
        click.echo(fact_sheet(table_facts(facts)))
