"""What people name -> the files that are meant, and the outputs that they become."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from bigquant.errors import InputError

FORMATS = ("zarr", "tif", "png", "npy")
_OUTPUT_SUFFIXES = {".tiff": "tif", **{f".{name}": name for name in FORMATS}}
#: What is taken of a folder; files of other names are left alone.
_SLIDES = (".svs", ".ndpi")
_TIFFS = (".tif", ".tiff", ".btf", ".tf8")
_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".jp2", ".j2k", ".bmp", ".gif")
_IMAGES = frozenset((*_SLIDES, *_TIFFS, *_PICTURES, ".npy", ".zarr"))
#: What lies beside outputs and is no image.
_SIDE_FILES = ("palette.json", ".preview.json", ".report.html", ".aux.xml")
#: Bytes in which an output of ours says whose it is.
_HEAD_BYTES = 1 << 20
#: Whatever makes a folder a Zarr.
ZARR_MARKS = ("zarr.json", ".zarray", ".zgroup")


def expand(names: Sequence[str]) -> list[str]:
    """List the images that arguments stand for.

    Parameters
    ----------
    names : sequence of str
        Files, Zarr folders and URLs stand for themselves, a folder for the images in it, a
        pattern (``scans/*.tif``, ``**`` for folders in folders) for the files and Zarrs that
        match it, and ``@list.txt`` for the names in that file, one a line. Of a folder or
        pattern, what bigquant has made of others of its files is left out: ``a.k8.zarr`` beside
        ``a.tif``.

    Raises
    ------
    InputError
        If a folder, pattern or list stands for nothing.
    """
    return [path for name in names for path in _expand(name, ())]


def _expand(name: str, lists: tuple[str, ...]) -> list[str]:
    if name.startswith("@"):
        return _expand_list(name[1:], lists)
    if "://" in name:
        return [name]
    if os.path.isdir(name) and not is_zarr(name):
        found = sorted(str(path) for path in Path(name).iterdir() if _is_image(path))
        if not found:
            raise InputError(f"{name}: a folder without images: name a folder, a file or a pattern")
        return _leave_out_outputs(found)
    if not os.path.lexists(name) and glob.has_magic(name):
        found = _match(name)
        if not found:
            raise InputError(f"{name}: no file matches: check the pattern")
        return _leave_out_outputs(found)
    return [name]


def _match(pattern: str) -> list[str]:
    """List the files and Zarrs that match; not what lies in a Zarr that does, too."""
    found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - of any folder
    zarrs = {Path(name) for name in found if is_zarr(name)}
    return [
        name
        for name in found
        if (Path(name) in zarrs or not os.path.isdir(name))
        and zarrs.isdisjoint(Path(name).parents)
        and not name.endswith(_SIDE_FILES)
    ]


def _leave_out_outputs(found: list[str]) -> list[str]:
    """Leave out what is ours and has the name of a file that is not, or one made of it."""
    stems = {name: list(_stems(Path(name))) for name in found}
    count = Counter(first for first, *_ in stems.values())
    related = (name for name, own in stems.items() if sum(count[stem] for stem in own) > 1)
    made = {name for name in related if _is_output(Path(name))}
    originals = {own[0] for name, own in stems.items() if name not in made}
    return [name for name in found if name not in made or originals.isdisjoint(stems[name])]


def _stems(path: Path) -> Iterator[Path]:
    """Take the suffixes off a name, one after another."""
    yield (path := path.with_suffix(""))
    while path.suffix:
        yield (path := path.with_suffix(""))


def _is_output(path: Path) -> bool:
    """Tell an output of ours by what it says of itself, labels in ``.npy`` by their palette."""
    format_ = format_of(str(path))
    if format_ == "npy":
        return Path(f"{path}.palette.json").exists() or (path.parent / "palette.json").exists()
    files = [path / name for name in ("zarr.json", ".zattrs")] if path.is_dir() else [path]
    for name in files if format_ else ():
        if not name.is_file():
            continue
        with suppress(OSError), name.open("rb") as file:
            if b"bigquant" in file.read(_HEAD_BYTES):
                return True
    return False


def is_table(path: str) -> bool:
    """Tell a table from an image by its name: a file, or a folder of files, of Parquet."""
    return Path(path).suffix.lower() == ".parquet"


def is_zarr(folder: str) -> bool:
    """Tell a Zarr array or group from any other folder."""
    return any((Path(folder) / mark).is_file() for mark in ZARR_MARKS)


def _is_image(path: Path) -> bool:
    known = path.suffix.lower() in _IMAGES and not path.name.startswith(".")
    return known and (not path.is_dir() or is_zarr(str(path)))


def _expand_list(path: str, lists: tuple[str, ...]) -> list[str]:
    """List what the names in a file stand for; `lists` are the files that have led to it."""
    if os.path.abspath(path) in lists:
        raise InputError(f"{path}: a list that names itself: take @{path} out of it")
    lists = (*lists, os.path.abspath(path))
    return [found for name in _read_list(path) for found in _expand(name, lists)]


def _read_list(path: str) -> list[str]:
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is no readable list of names ({error})") from error
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise InputError(f"{path}: an empty list: name one image a line")
    return names


def format_of(output: str) -> str | None:
    """Tell the format of an output, one of `FORMATS`, by its name; None for a folder's.

    A Zarr is a folder itself, so a slash may follow its name: shells put it there.
    """
    format_ = _OUTPUT_SUFFIXES.get(Path(output).suffix.lower())
    return format_ if format_ == "zarr" or not output.endswith(("/", os.sep)) else None


def name_outputs(
    inputs: Sequence[str], output: str | None, format_: str | None, mark: str
) -> list[str]:
    """Name the output of each input.

    Parameters
    ----------
    inputs : sequence of str
        Of `expand`.
    output : str, optional
        OUT.zarr, OUT.tif, OUT.png or OUT.npy for a single input, or a folder for outputs of
        the inputs' names; without it they lie beside the inputs, with the suffix ``.MARK.zarr``.
    format_ : {"zarr", "tif", "png", "npy"}, optional
        Kind of the outputs, where no name tells it; "zarr" without it.
    mark : str
        What is made of the inputs, such as "k32".

    Raises
    ------
    InputError
        If two inputs would have one output, or the name of an output tells no format.
    """
    if output and "://" in output and not output.partition("://")[2].strip("/"):
        raise InputError(f"{output}: names no place: say {output.rstrip('/')}//BUCKET/OUT.zarr")
    named = format_of(output) if output else None
    if output and named:
        if len(inputs) > 1:
            raise InputError(f"{output}: one file for {len(inputs)} inputs: name a folder with -o")
        if format_ and format_ != named:
            raise InputError(f"{output}: its name says {named}, --format {format_}: drop one")
        return [output.rstrip("/" + os.sep)]
    if output and is_zarr(output):
        raise InputError(f"{output}: is a Zarr, and no folder for outputs: choose another")
    suffix = f".{format_ or 'zarr'}"
    if output is None:
        outputs = [_beside(name, f".{mark}{suffix}") for name in inputs]
    elif os.path.isdir(output) or output.endswith(("/", os.sep)) or len(inputs) > 1:
        outputs = [join(output, _stem(name) + suffix) for name in inputs]
    else:
        known, last = ", ".join(f".{name}" for name in FORMATS[:-1]), FORMATS[-1]
        raise InputError(f"{output}: an output's name ends in {known} or .{last}, a folder's in /")
    _check_distinct(inputs, outputs)
    return outputs


def join(folder: str, name: str) -> str:
    """Name what lies in a folder, or behind a URL."""
    return f"{folder.rstrip('/')}/{name}" if "://" in folder else str(Path(folder) / name)


def folder_of(path: str) -> str:
    """Name the folder that something lies in; the inverse of `join`."""
    return path.rpartition("/")[0] if "://" in path else str(Path(path).parent)


def palette_name(path: str) -> str:
    """Name a palette by its file: ``sea.gpl`` is sea, ``a.k8.zarr.palette.json`` is a.k8."""
    return Path(Path(path).name.removesuffix(".palette.json")).stem


def _beside(name: str, suffix: str) -> str:
    if "://" in name:
        raise InputError(f"{name}: a URL: say where the output goes, with -o")
    return str(_whole(name).with_suffix(suffix))


def _stem(name: str) -> str:
    if "://" not in name:
        return _whole(name).stem
    if name.partition("://")[0].endswith(("http", "https")):
        name = re.split("[?#]", name)[0]  # where signatures stand
    return Path(name.rstrip("/")).stem


def _whole(name: str) -> Path:
    """Find what an output is named by: the group, for an array in a Zarr group."""
    path = Path(name)
    if path.name in ("", ".."):  # the folder of a Zarr array, named by where one stands
        path = Path(os.path.abspath(name))
    while (path.parent / "zarr.json").exists() or (path.parent / ".zgroup").exists():
        path = path.parent
    return path


def _check_distinct(inputs: Sequence[str], outputs: Sequence[str]) -> None:
    first: dict[str, str] = {}
    for name, output in zip(inputs, outputs, strict=True):
        if output in first:
            raise InputError(
                f"{first[output]} and {name} would both become {output}: "
                "rename one, or give them folders of their own"
            )
        first[output] = name
