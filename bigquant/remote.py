"""Files behind URLs, by fsspec: found, told apart from others, read by ranges of bytes."""

from __future__ import annotations

import bisect
import errno
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import merge_offset_ranges

#: Protocol -> extra of this package, which brings the driver that fsspec wants.
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "http": "http", "https": "http"}
#: What servers tell of a file that differs when the file is written anew: a Zarr array may get
#: the same metadata again, so the time counts too.
_VERSIONS = (
    *("ETag", "etag", "generation", "VersionId", "md5Hash", "Content-MD5", "Digest"),
    *("Last-Modified", "LastModified", "mtime", "updated", "created"),
)
#: Where one URL of a chain ends; not within the address of a host.
_CHAINED = re.compile(r"::(?=[A-Za-z][A-Za-z0-9+.-]*(?:://|::|$))")
_GAP, _RUN = 64 << 10, 16 << 20
_PARSING_BLOCK = 1 << 20
#: Seconds that a server may stay silent, and how often it is asked: a minute and a half in all.
_S3_SECONDS, _S3_TRIES, _S3_ROUNDS = 13, 3, 2
_HTTP_SECONDS = 35  # each of two requests


def is_url(path: str) -> bool:
    """Tell a URL from a path."""
    return "://" in path


def is_chain(url: str) -> bool:
    """Tell a chain of URLs, one upon another."""
    return len(_CHAINED.split(url)) > 1


def public(url: str) -> str:
    """Leave out of a URL, or a chain of them, what may be secret: user, password and query.

    Of S3 and Google's buckets what looks like a query is a version, or part of the name.
    """
    return "::".join(map(_without_secrets, _CHAINED.split(url)))


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    if parts.scheme not in ("s3", "s3a", "gs", "gcs"):
        parts = parts._replace(query="")
    if parts.scheme in ("http", "https"):
        parts = parts._replace(fragment="")
    return parts.geturl() if parts.netloc else url


def connect(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    """Find the file system of a URL and the path in it; an `OSError` where there is none."""
    try:
        fs, path = fsspec.url_to_fs(url, **limited(url, options))
    except Exception as error:  # drivers raise what they like
        raise failure(url, error) from error
    return hasten(fs), path


def limited(url: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Add to options for fsspec how long a silent server is waited for, unless they say it."""
    limits: dict[str, Any] = {}
    protocol = url.partition("://")[0]
    if protocol in ("s3", "s3a"):
        retries = {"mode": "standard", "total_max_attempts": _S3_TRIES}
        limits = {"config_kwargs": {"read_timeout": _S3_SECONDS, "retries": retries}}
    elif protocol in ("http", "https"):
        import aiohttp  # noqa: PLC0415 - an extra, which fsspec wants here

        timeout = aiohttp.ClientTimeout(sock_connect=_HTTP_SECONDS, sock_read=_HTTP_SECONDS)
        limits = {"client_kwargs": {"timeout": timeout}}
    return {**options, **{name: {**limits[name], **options.get(name, {})} for name in limits}}


def hasten(fs: Any) -> Any:
    """Let a file system of s3fs try fewer times than it does, on top of what its client tries."""
    if "s3" in fs.protocol:
        fs.retries = _S3_ROUNDS
    return fs


def local_path(url: str) -> str | None:
    """Path of what lies on this machine's own disks."""
    if not url.startswith(("file://", "local://")):
        return None
    return str(LocalFileSystem._strip_protocol(url))


def stat(url: str, options: Mapping[str, Any]) -> tuple[int, str]:
    """Ask for the size of a file as it is now, and for whatever tells its version.

    Raises
    ------
    OSError
        If there is no such file, or the server does not say; `strerror` is why, in one line.
    """
    fs, path = connect(url, options)
    try:
        fs.invalidate_cache(path)
        info = fs.info(path)
    except Exception as error:
        raise failure(url, error) from error
    if info.get("type") == "directory":
        raise FileNotFoundError(errno.ENOENT, "a folder, neither TIFF nor Zarr: name one in it")
    if not isinstance(info.get("size"), int):
        raise OSError(errno.EIO, "the server does not tell its size: copy it to a disk first")
    return info["size"], ", ".join(f"{key} {info[key]}" for key in _VERSIONS if info.get(key))


def read_head(url: str, options: Mapping[str, Any], size: int) -> bytes:
    """Read up to 16 first bytes, and see that the server answers requests for ranges.

    One that does not sends the whole file instead, which is noticed before it arrives.
    """
    if not size:
        return b""
    fs, path = connect(url, options)
    try:
        with fs.open(path, "rb", cache_type="none") as file:
            file.seek(1)
            rest = file.read(15)
            file.seek(0)
            head: bytes = file.read(1) + rest
    except ValueError as error:  # "doesn't appear to support range requests"
        raise OSError(errno.EIO, _NO_RANGES) from error
    except Exception as error:
        raise failure(url, error) from error
    if len(head) != min(16, size):
        raise OSError(errno.EIO, _NO_RANGES)
    return head


_NO_RANGES = "the server does not answer requests for ranges of bytes: copy it to a disk first"


def read_beside(url: str, options: Mapping[str, Any], suffix: str, most: int) -> bytes | None:
    """Read a file of a URL's name and a suffix, of at most so many bytes; None if there is none.

    Nor is there one that is forbidden: so stores answer those who may not list what they have.

    Raises
    ------
    OSError
        If it is larger, or cannot be read; `strerror` is why, in one line.
    """
    fs, path = connect(url, options)
    path += suffix
    how: dict[str, Any] = {"cache_type": "none"}
    if url.startswith(("http://", "https://")):  # a server may send more than it is asked for
        parts = urlsplit(url)
        path = parts._replace(path=parts.path.rstrip("/") + suffix, fragment="").geturl()
        how = {"block_size": 0}
    data = bytearray()
    try:
        fs.invalidate_cache(path)
        with fs.open(path, "rb", **how) as file:
            while len(data) <= most and (part := file.read(min(1 << 20, most + 1 - len(data)))):
                data += part
    except Exception as error:
        failed = failure(url, error)
        if isinstance(failed, FileNotFoundError | PermissionError):
            return None
        raise failed from error
    if len(data) > most:
        raise OSError(errno.EFBIG, f"is larger than {most >> 20} MiB: it is not believed")
    return bytes(data)


def open_file(url: str, options: Mapping[str, Any]) -> BinaryIO:
    """Open a file to parse it: the blocks that were read last are kept."""
    fs, path = connect(url, options)
    try:
        file = fs.open(path, "rb", block_size=_PARSING_BLOCK, cache_type="blockcache")
    except Exception as error:
        raise failure(url, error) from error
    return cast(BinaryIO, file)


def read_ranges(
    url: str, options: Mapping[str, Any], ranges: Sequence[tuple[int, int]]
) -> list[bytes]:
    """Read ranges of bytes, offset and count, neighbours in one request."""
    wanted = [(offset, offset + count) for offset, count in ranges if count]
    if not wanted:
        return [b""] * len(ranges)
    fs, path = connect(url, options)
    starts, ends = ([pair[i] for pair in wanted] for i in (0, 1))
    paths, starts, ends = merge_offset_ranges([path] * len(wanted), starts, ends, _GAP, _RUN)
    try:
        runs = fs.cat_ranges(paths, starts, ends, on_error="raise")
    except Exception as error:
        raise failure(url, error) from error
    for start, end, run in zip(starts, ends, runs, strict=True):
        if len(run) != end - start:
            raise OSError(
                errno.EIO,
                f"asked for {end - start} bytes at {start}, got {len(run)}: it is truncated, or "
                "the server does not answer requests for ranges of bytes",
            )
    found = []
    for offset, count in ranges:
        run = bisect.bisect_right(starts, offset) - 1 if count else 0
        begin = offset - starts[run]
        found.append(bytes(runs[run][begin : begin + count]))
    return found


def failure(url: str, error: BaseException, done: str = "read") -> OSError:
    """Say in one line why what lies behind a URL cannot be read, or `done` whatever else.

    fsspec calls a refused connection and a forbidden file FileNotFoundError too: what is
    behind its error tells them apart.
    """
    chain = list(_causes(error))
    status = next((s for e in chain if isinstance(s := getattr(e, "status", None), int)), None)
    kinds = [kind.__name__ for e in chain for kind in type(e).__mro__]
    last = chain[-1]
    said = " ".join(str(last).split())[:200] or type(last).__name__
    protocol = url.partition("://")[0].rpartition("::")[2]
    if isinstance(error, ImportError):
        extra = _EXTRAS.get(protocol)
        remedy = f"pip install 'bigquant[{extra}]'" if extra else said
        return OSError(errno.EIO, f"{protocol}:// needs a driver: {remedy}")
    if status in (401, 403) or "PermissionError" in kinds or "NoCredentialsError" in kinds:
        return OSError(
            errno.EACCES,
            f"access is denied ({status or said}): give credentials, "
            "e.g. --storage-option key=... (storage_options=)",
        )
    if "TimeoutError" in kinds:
        return TimeoutError(errno.ETIMEDOUT, f"the server does not answer in time ({said})")
    if {"ConnectionError", "ClientConnectionError", "EndpointConnectionError"} & set(kinds):
        return OSError(errno.EIO, f"the server cannot be reached ({said})")
    if status == 404 or (status is None and isinstance(error, FileNotFoundError)):
        return FileNotFoundError(errno.ENOENT, f"there is no such file ({status or said})")
    return OSError(errno.EIO, f"cannot be {done} ({type(last).__name__}: {said})")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
