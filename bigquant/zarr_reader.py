"""Zarr arrays and OME-Zarr groups: folders, zip files, URLs. Knows nothing of Dask."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import zarr
from zarr.storage import FsspecStore, ZipStore

from bigquant import omezarr_reader as ome
from bigquant import remote
from bigquant.array_reader import ArrayWindows, refuse_choices
from bigquant.errors import BigquantError, InputError, one_line
from bigquant.fingerprint import Fingerprint
from bigquant.inputs import ZARR_MARKS
from bigquant.raster import Raster, Selection
from bigquant.source import Source
from bigquant.zarr_array import ZarrArray, names_of, plan_array
from bigquant.zarr_files import ChunkFiles


def find_document(path: str, options: Mapping[str, Any]) -> tuple[str, Fingerprint] | None:
    """Find the metadata of a Zarr array or group in a folder; an `OSError` if it is forbidden."""
    for name in ZARR_MARKS:
        document = f"{path.rstrip('/')}/{name}"
        try:
            return document, Fingerprint.take(document, options)
        except (FileNotFoundError, NotADirectoryError):
            continue
    return None


def open_zarr(
    path: str, channel_axis: int | None, selection: Selection, options: Mapping[str, Any]
) -> Raster:
    """Open the folder, the zip file or the URL of a Zarr array, v2 or v3, or an OME-Zarr group."""
    try:
        zipped = not remote.is_url(path) and Path(path).is_file()
        found = (path, Fingerprint.take(path)) if zipped else find_document(path, options)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if found is None:
        raise InputError(f"{path}: a folder without Zarr metadata: name a Zarr array")
    with warnings.catch_warnings():  # of what else lies in the folder
        warnings.simplefilter("ignore")
        try:
            return _Opening(path, channel_axis, selection, options, found).open()
        except BigquantError:
            raise
        except Exception as error:  # what is damaged raises what it likes
            raise InputError(f"{path}: its Zarr metadata is damaged ({one_line(error)})") from error


@dataclass(frozen=True)
class _Opening:
    """What is opened, and how."""

    path: str
    channel_axis: int | None
    selection: Selection
    options: Mapping[str, Any]
    found: tuple[str, Fingerprint]

    def open(self) -> Raster:
        stored = self._open_store()
        if isinstance(stored, zarr.Array):
            refuse_choices(self.path, self.selection)
            above = self._attributes_above()
            self._check_finished(above)
            names = names_of(stored) or self._names_by_parent(stored, above)
            return self._finish(stored, names, Source(path=self.path, format="Zarr"))
        self._check_finished(stored.attrs.asdict())
        attributes = ome.ome_attributes(stored.attrs.asdict())
        if "multiscales" in attributes:
            return self._open_image(stored, attributes)
        if "plate" in attributes or "well" in attributes:
            raise InputError(
                f"{self.path}: a plate or well of many images: name one, "
                f"e.g. {self.path}/{_image_of_plate(stored, attributes)}"
            )
        if "bioformats2raw.layout" in attributes:
            return self._open_series(stored)
        raise InputError(_no_array(self.path, stored))

    def _open_store(self) -> zarr.Array[Any] | zarr.Group:
        if self.found[0] == self.path:
            return zarr.open(ZipStore(Path(self.path), mode="r"), mode="r")
        return _open_folder(self.path, self.options)

    def _attributes_above(self) -> Mapping[str, Any]:
        """Get the attributes of the group that an array lies in, if it does."""
        above = self.path.rstrip("/").rpartition("/")[0]
        try:
            return _open_folder(above, self.options).attrs.asdict()
        except Exception:  # noqa: BLE001 - nothing above, or nothing of this kind
            return {}

    def _check_finished(self, attributes: Mapping[str, Any]) -> None:
        """Refuse what a run of ours has begun to write, and not ended: it may lack blocks."""
        ours = attributes.get("bigquant")
        if isinstance(ours, Mapping) and ours.get("complete") is False:
            raise InputError(
                f"{self.path}: unfinished: the run that writes it goes on, or was interrupted: "
                "wait for it, or run it again with --overwrite"
            )

    def _names_by_parent(
        self, stored: zarr.Array[Any], above: Mapping[str, Any]
    ) -> list[str] | None:
        """Names of the axes, if this is a level of an OME-Zarr image, which says them above."""
        if stored.ndim < 3 or self.channel_axis is not None:
            return None
        name = self.path.rstrip("/").rpartition("/")[2]
        try:
            for multiscale in ome.ome_attributes(above)["multiscales"]:
                if any(dataset["path"] == name for dataset in multiscale["datasets"]):
                    return ome.axis_names(multiscale, stored.ndim)[0]
        except Exception:  # noqa: BLE001 - nothing of this kind
            return None
        return None

    def _open_series(self, stored: zarr.Group) -> Raster:
        listed = ome.ome_attributes(stored["OME"].attrs.asdict()) if "OME" in stored else {}
        names = [str(name) for name in listed.get("series") or ()]
        names = names or sorted((n for n, _ in stored.groups() if n.isdigit()), key=int)
        group = stored[_pick(self.path, "series", names, self.selection.series or 0)]
        attributes = ome.ome_attributes(group.attrs.asdict())
        inner = replace(self, selection=replace(self.selection, series=None))
        return inner._open_image(group, attributes)

    def _open_image(self, group: Any, attributes: Mapping[str, Any]) -> Raster:
        refuse_choices(self.path, self.selection, allowed=("series", "level"))
        multiscale = _pick(
            self.path, "series", attributes["multiscales"], self.selection.series or 0
        )
        datasets, level = multiscale["datasets"], self.selection.level
        name = str(_pick(self.path, "level", datasets, level)["path"])
        array = group.get(name)
        if not isinstance(array, zarr.Array):
            raise InputError(f"{self.path}: its level {level} ({name}) is not there: copy it again")
        names, channel = ome.axis_names(multiscale, array.ndim)
        if self.channel_axis is not None:
            channel = self.channel_axis
        source = Source(
            path=self.path,
            format="OME-Zarr",
            details={"levels": [str(dataset["path"]) for dataset in datasets], "level": level},
        )
        raster = replace(self, channel_axis=channel)._finish(array, names, source)
        assert isinstance(raster.windows, ArrayWindows)
        axes, depth = raster.windows.axes, raster.windows.shape[2]
        known = [] if axes.channel is None else ome.omero_channels(attributes, depth)
        size = ome.pixel_size(multiscale, level, axes.y, axes.x)
        per_cm = (1e4 / size[1], 1e4 / size[0]) if size else None
        own, said = raster.source.valid_range, ome.find_range(known)
        if said and (not own or (own[0] <= said[0] and said[1] <= own[1])):
            own = said
        source = replace(
            raster.source,
            resolution=per_cm,
            unit="centimeter" if size else None,
            valid_range=own,
        )
        return replace(raster, source=source, colors=ome.find_colors(known, depth), alpha=None)

    def _finish(self, array: zarr.Array[Any], names: Any, source: Source) -> Raster:
        """Find what of an array is read, by which document it is known again."""
        document, fingerprint = self.found
        if document != self.path:  # not a zip file
            name = "zarr.json" if array.metadata.zarr_format == 3 else ".zarray"
            inner = "/".join(part for part in (self.path.rstrip("/"), array.path, name) if part)
            if inner != document:
                with contextlib.suppress(FileNotFoundError):  # consolidated in the group's
                    document, fingerprint = inner, Fingerprint.take(inner, self.options)
        if remote.is_url(self.path) and array.shards:  # of which parts are read
            try:
                remote.read_head(document, self.options, fingerprint.size)
            except OSError as error:
                raise InputError(f"{self.path}: {error.strerror}") from error
        files = None
        if self.found[0] != self.path and not remote.is_url(self.path):
            files = ChunkFiles(os.path.join(self.path, array.path))
        stored = ZarrArray(self.path, array, array.shape, array.dtype, document, fingerprint, files)
        return plan_array(stored, names, self.channel_axis, self.selection.planes, source)


def _open_folder(path: str, options: Mapping[str, Any]) -> zarr.Array[Any] | zarr.Group:
    if remote.is_url(path):
        return zarr.open(FsspecStore.from_url(path, dict(options), read_only=True), mode="r")
    return zarr.open(Path(path), mode="r")  # a str would be parsed as a URL


def _pick(path: str, kind: str, choices: Any, number: int) -> Any:
    if not choices:
        raise InputError(f"{path}: its metadata names no {kind}: it is damaged or unfinished")
    if not 0 <= number < len(choices):
        known = ", ".join(map(str, range(len(choices))))
        raise InputError(f"{path}: has no {kind} {number}: choose one of {known}")
    return choices[number]


def _image_of_plate(group: zarr.Group, attributes: Mapping[str, Any]) -> str:
    """Path of the first image of a plate or well."""
    if "plate" not in attributes:
        return str(attributes["well"]["images"][0]["path"])
    path = str(attributes["plate"]["wells"][0]["path"])
    well = ome.ome_attributes(group[path].attrs.asdict())
    return f"{path}/{well['well']['images'][0]['path']}"


def _no_array(path: str, group: zarr.Group) -> str:
    """Say what else there is in a group, where that can be listed."""
    try:
        arrays, groups = (sorted(name for name, _ in c()) for c in (group.arrays, group.groups))
    except Exception:  # noqa: BLE001 - many servers list nothing
        arrays = groups = []
    example = f", e.g. {path.rstrip('/')}/{(arrays or groups)[0]}" if arrays or groups else ""
    inside = (
        f"groups in it: {', '.join(groups[:20])}"
        if groups and not arrays
        else (f"arrays in it: {', '.join(arrays[:20]) or 'none'}")
    )
    return f"{path}: a Zarr group, not an array ({inside}): name an array{example}"
