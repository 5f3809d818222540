"""Chunks of Zarr arrays, decompressed to no more than they can be.

What a chunk decompresses to is known from its shape and type; what its own header or its data
say instead, a codec believes. Codecs of bytes that are in common use are told the limit.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import lzma
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import imagecodecs
import numpy as np
import zarr
from numcodecs.abc import Codec as Numcodec
from zarr.abc.codec import BytesBytesCodec, Codec
from zarr.codecs import ShardingCodec

#: Name -> function that decompresses data to so many bytes, or raises, or returns a byte more.
_DECODERS: dict[str, Callable[[Any, int], Any]] = {
    "blosc": lambda data, most: imagecodecs.blosc_decode(data, out=most),
    "bz2": lambda data, most: imagecodecs.bz2_decode(data, out=most + 1),
    "gzip": lambda data, most: gzip.GzipFile(fileobj=io.BytesIO(data)).read(most + 1),
    "lz4": lambda data, most: imagecodecs.lz4_decode(data, header=True, out=most),
    "lzma": lambda data, most: lzma.LZMADecompressor().decompress(data, most + 1),
    "zlib": lambda data, most: imagecodecs.zlib_decode(data, out=most),
    "zstd": lambda data, most: imagecodecs.zstd_decode(data, out=most),
}
#: Codecs before a compressor may make a chunk longer: by a checksum, or a wider type.
_LONGER = 8
_SLACK = 1 << 10


def limit_chunks(array: zarr.Array[Any]) -> zarr.Array[Any]:
    """Make an array that is read as another, but raises where a chunk is larger than it can be."""
    metadata: Any = array.metadata
    most = _chunk_bytes(array, array.chunks)
    if metadata.zarr_format == 2:
        filters = tuple(_limited(codec, most) for codec in metadata.filters or ())
        changed = replace(
            metadata,
            compressor=metadata.compressor and _limited(metadata.compressor, most),
            filters=filters or None,
        )
    else:
        shard = _chunk_bytes(array, array.shards or array.chunks)
        changed = replace(metadata, codecs=_limit_all(metadata.codecs, most, shard))
    inner = array.async_array
    return zarr.Array(type(inner)(changed, inner.store_path, inner.config))


def _chunk_bytes(array: zarr.Array[Any], chunk: Iterable[int]) -> int:
    """Bytes that a chunk can have at most before it is decoded to an array."""
    exact = math.prod(chunk) * array.dtype.itemsize
    plain = len(array.compressors) <= 1 and not array.filters and array.shards is None
    return exact if plain else _LONGER * exact + _SLACK


def _limit_all(codecs: Iterable[Codec], most: int, shard: int) -> tuple[Codec, ...]:
    limited: list[Codec] = []
    for codec in codecs:
        if isinstance(codec, ShardingCodec):
            limited.append(replace(codec, codecs=_limit_all(codec.codecs, most, most)))
        elif isinstance(codec, BytesBytesCodec) and _name_of(codec) in _DECODERS:
            limited.append(LimitedCodec(codec, shard))
        else:
            limited.append(codec)
    return tuple(limited)


def _limited(codec: Any, most: int) -> Any:
    return LimitedCompressor(codec, most) if codec.codec_id in _DECODERS else codec


def _name_of(codec: BytesBytesCodec) -> str:
    return str(codec.to_dict()["name"]).removeprefix("numcodecs.")


class LimitedCompressor(Numcodec):  # type: ignore[misc]
    """A compressor of Zarr v2 that decodes to so many bytes at most."""

    codec_id = "limited"  # zarr takes no codec without

    def __init__(self, inner: Any, most: int) -> None:
        self.inner, self.most = inner, most

    def get_config(self) -> Any:
        """Describe the compressor as it is stored."""
        return self.inner.get_config()

    def encode(self, buf: Any) -> Any:
        """Compress bytes."""
        return self.inner.encode(buf)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Decompress bytes; raise if there are more than there can be."""
        name = self.inner.codec_id
        if name == "lzma" and self.inner.format != lzma.FORMAT_XZ:
            return self.inner.decode(buf, out)
        return _DECODERS[name](np.frombuffer(buf, np.uint8), self.most)


@dataclass(frozen=True)
class LimitedCodec(BytesBytesCodec):
    """A compressor of Zarr v3 that decodes to so many bytes at most."""

    inner: BytesBytesCodec
    most: int

    is_fixed_size = False

    def to_dict(self) -> Any:
        """Describe the compressor as it is stored."""
        return self.inner.to_dict()

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        """Tell what is not known of a compressor."""
        return self.inner.compute_encoded_size(input_byte_length, chunk_spec)

    def evolve_from_array_spec(self, array_spec: Any) -> LimitedCodec:
        """Fit the compressor to an array."""
        return replace(self, inner=self.inner.evolve_from_array_spec(array_spec))

    async def _decode_single(self, chunk_data: Any, chunk_spec: Any) -> Any:
        decode, stored = _DECODERS[_name_of(self.inner)], chunk_data.as_numpy_array()
        data = await asyncio.to_thread(decode, stored, self.most)
        return chunk_spec.prototype.buffer.from_bytes(data)
