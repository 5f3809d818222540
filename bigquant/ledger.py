"""What a job of several outputs has done, kept on disk: so the same command does the rest."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bigquant.atomic import hidden_folder, keep_if_interrupted, partial_of, unfinished
from bigquant.errors import InputError
from bigquant.inputs import ZARR_MARKS
from bigquant.palette import Palette
from bigquant.preview import Preview

_PALETTE, _PREVIEW = "palette.json", "preview.json"


@dataclass(frozen=True)
class Plan:
    """What is to be done for one output, so that a rerun can go on with it.

    Parameters
    ----------
    words : str
        Of `resume.plan_of` or `resume.plan_of_all`.
    mark : Path, optional
        File of a ledger that tells, in time, that the output is complete.
    """

    words: str
    mark: Path | None = None

    def note(self, made: Path, palette: Path) -> None:
        """Note which output, with which palette, is to get its name in a moment."""
        if self.mark is None:
            return
        draft = self.mark.with_suffix(".draft")
        draft.write_text(json.dumps([_identity(made), json.loads(palette.read_bytes())]))
        os.replace(draft, self.mark)


@dataclass(frozen=True)
class Ledger:
    """A hidden folder with the palette of a job, and a mark for every output that is complete.

    Parameters
    ----------
    words : str
        What the job is to do; whatever else is noted there is forgotten.
    targets : sequence of str
        Paths of all outputs; the folder lies beside the first.
    """

    words: str
    targets: Sequence[str]

    def palette(self) -> Palette | None:
        """Get the palette of an interrupted run."""
        folder = unfinished(self.path, self.words)
        try:
            return Palette.load(folder / _PALETTE) if folder else None
        except InputError:
            return None

    def preview(self) -> Preview | None:
        """Get what an interrupted run has kept for the report of its first image."""
        folder = unfinished(self.path, self.words)
        return Preview.left(folder / _PREVIEW) if folder else None

    def done(self) -> dict[str, Palette]:
        """Find the outputs that an interrupted run has completed, and the palette in each.

        An output that was put there by anyone else is none of them.
        """
        found = {}
        folder = unfinished(self.path, self.words)
        for number, target in enumerate(self.targets if folder else ()):
            assert folder
            try:
                identity, model = json.loads(_mark(folder, number).read_bytes())
                if identity == _identity(Path(target)):
                    found[target] = Palette.from_json(model)
            except (OSError, ValueError):
                continue
        return found

    def plan(self, number: int) -> Plan:
        """Tell what is to be done for one of the outputs."""
        return Plan(self.words, _mark(partial_of(self.path), number))

    @contextmanager
    def kept(
        self, palette: Palette, preview: Preview | None, settle: Callable[[], None]
    ) -> Iterator[None]:
        """Keep palette and preview, and let marks be made, until the block ends."""
        shown = self.targets[0]
        with hidden_folder(self.path, shown, settle=settle, plan=self.words) as folder:
            (folder / _PALETTE).write_bytes(palette.encode())
            if preview:
                (folder / _PREVIEW).write_bytes(preview.encode())
            keep_if_interrupted(folder, self.words)
            yield

    @property
    def path(self) -> Path:
        """What the folder is named after; nothing ever has that name."""
        return Path(os.path.abspath(self.targets[0] + ".job"))


def _mark(folder: Path, number: int) -> Path:
    return folder / f"{number}.done"


def _identity(path: Path) -> list[int]:
    """Tell an output from others of its name: a Zarr by the file that makes it one."""
    marks = [path / name for name in ZARR_MARKS]
    status = os.stat(next((mark for mark in marks if mark.is_file()), path))
    return [status.st_size, status.st_mtime_ns]
