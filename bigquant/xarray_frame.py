"""What an xarray object says of an image beside its pixels, and results that say it again.

Imports xarray only where a result is made: who has such objects has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bigquant.errors import InputError

#: Attributes that tell of pixel values which a quantized image has no more.
_OF_PIXELS = {"_FillValue", "missing_value", "nodata", "nodatavals", "actual_range"}
_OF_PIXELS |= {"valid_min", "valid_max", "valid_range"}
_STATISTICS = "STATISTICS_"
#: Attributes that tell what a band's values mean: true of the image, but not of labels. Some
#: have an entry for each band.
_OF_BANDS = {"long_name", "standard_name", "units", "descriptions", "cell_methods"}
_OF_BANDS |= {"scale_factor", "add_offset", "scales", "offsets", "_Unsigned"}
_OF_BANDS |= {"flag_values", "flag_masks", "flag_meanings"}
_CHANNEL = "band"


@dataclass(frozen=True, eq=False)
class Frame:
    """Dimensions, coordinates and attributes of an image.

    Parameters
    ----------
    dims : tuple
        In the order in which the image has them.
    y, x : hashable
    channel : hashable, optional
        None where an image of one band has no such dimension.
    coords : xarray.Dataset
        Coordinates along these dimensions and along none.
    attrs : Mapping
    name : hashable, optional
    grid_mapping : str, optional
        Name of the coordinate that holds the CRS, where the array's encoding says it.
    """

    dims: tuple[Any, ...]
    y: Any
    x: Any
    channel: Any
    coords: Any
    attrs: Mapping[Any, Any]
    name: Any = None
    grid_mapping: str | None = None

    @classmethod
    def of(cls, array: Any, y: Any, x: Any, channel: Any) -> Frame:
        """Take what a `DataArray` of these dimensions says."""
        coords, mapping = array.coords.to_dataset(), array.encoding.get("grid_mapping")
        return cls(array.dims, y, x, channel, coords, dict(array.attrs), array.name, mapping)

    @classmethod
    def plain(cls) -> Frame:
        """Say nothing but the names of the dimensions of an image (y, x, channel)."""
        return cls(("y", "x", _CHANNEL), "y", "x", _CHANNEL, _import_xarray().Dataset(), {})

    def join(self, names: Sequence[Any], attrs: Mapping[Any, Any]) -> Frame:
        """Put a dimension of bands, of these names, before those of a band."""
        coords = self._flat_coords().assign_coords({_CHANNEL: list(names)})
        dims = (_CHANNEL, *(dim for dim in self.dims if dim != self.channel))
        return replace(self, dims=dims, channel=_CHANNEL, coords=coords, attrs=attrs, name=None)

    def choose(self, bands: Sequence[int], depth: int) -> Frame:
        """Keep what is said of some of `depth` bands, in this order."""
        if self.channel is None:
            return self
        attrs = {
            name: type(value)(value[band] for band in bands)
            if name in _OF_BANDS and isinstance(value, list | tuple) and len(value) == depth
            else value
            for name, value in self.attrs.items()
        }
        coords = self.coords.isel({self.channel: list(bands)}, missing_dims="ignore")
        return replace(self, attrs=attrs, coords=coords)

    def as_rgb(self) -> Frame:
        """Forget what is said of the one band of an image that becomes RGB."""
        attrs = {name: value for name, value in self.attrs.items() if name not in _OF_BANDS}
        if self.channel is not None:
            return replace(self, attrs=attrs, coords=self._flat_coords())
        coords = self.coords.drop_vars(_CHANNEL, errors="ignore")  # of the one it was
        dims = (_CHANNEL, *self.dims)
        return replace(self, attrs=attrs, channel=_CHANNEL, dims=dims, coords=coords)

    def image(self, colors: Any) -> Any:
        """Make a `DataArray` in the dimensions' order of colours, a Dask array (y, x, channel)."""
        attrs = self._attrs_without(_OF_PIXELS)
        if self.channel is None:
            wrapped = self._wrap(colors[..., 0], (self.y, self.x), self.coords, attrs, self.name)
        else:
            dims = (self.y, self.x, self.channel)
            wrapped = self._wrap(colors, dims, self.coords, attrs, self.name)
        return wrapped.transpose(*self.dims)

    def labels(self, labels: Any, *, nodata: bool) -> Any:
        """Make a `DataArray` (y, x) of labels, a Dask array; with `nodata` 0 is no label."""
        attrs = self._attrs_without(_OF_PIXELS | _OF_BANDS)
        if nodata:
            attrs["_FillValue"] = labels.dtype.type(0)
        return self._wrap(labels, (self.y, self.x), self._flat_coords(), attrs, "labels")

    def dataset(self, colors: Any, labels: Any, *, nodata: bool) -> Any:
        """Make a `Dataset` of both."""
        variables = {"image": self.image(colors), "labels": self.labels(labels, nodata=nodata)}
        return _import_xarray().Dataset(variables)

    def _wrap(self, data: Any, dims: Any, coords: Any, attrs: Any, name: Any) -> Any:
        array = _import_xarray().DataArray(data, dims=dims, coords=coords.coords, attrs=attrs)
        array.name = name  # None would become the name of the Dask array
        if self.grid_mapping is not None:
            array.encoding["grid_mapping"] = self.grid_mapping
        return array

    def _flat_coords(self) -> Any:
        """Coordinates that do not lie along the bands."""
        along = [] if self.channel is None else [self.channel]
        return self.coords.drop_dims(along, errors="ignore")

    def _attrs_without(self, dropped: set[str]) -> dict[Any, Any]:
        return {
            name: value
            for name, value in self.attrs.items()
            if name not in dropped and not str(name).startswith(_STATISTICS)
        }


def _import_xarray() -> Any:
    try:
        import xarray  # noqa: PLC0415 - nobody else needs it
    except ImportError as error:
        raise InputError(
            "to_xarray: the package xarray is missing: pip install 'bigquant[xarray]'"
        ) from error
    return xarray
