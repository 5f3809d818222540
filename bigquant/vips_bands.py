"""Pictures from libvips, streamed from their top in bands of rows."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from numpy.typing import NDArray


def vips_bands(
    loader: str, path: str, rows: int, fail_on: str, **options: Any
) -> Iterator[NDArray[Any]]:
    """Decode a file in bands of so many rows, the last perhaps lower.

    Parameters
    ----------
    loader : str
        Of libvips, e.g. "pngload": the one format that the file may have.
    path : str
    rows : int
    fail_on : {"truncated", "error"}
        The least of what is wrong with a file that it is refused for.
    options
        Of the loader.

    Yields
    ------
    ndarray, (y, x) or (y, x, sample)
    """
    import pyvips  # noqa: PLC0415 - loads 40 MB of libraries

    def load() -> Any:
        return getattr(pyvips.Image, loader)(
            path, access="sequential", fail_on=fail_on, revalidate=True, **options
        )

    # pyvips' callbacks swallow what a signal raises in them: it must fall on a thread that waits
    with ThreadPoolExecutor(1) as thread:
        image = thread.submit(load).result()
        try:
            for y in range(0, image.height, rows):
                yield thread.submit(_decode, image, y, rows).result()
        except pyvips.Error as error:
            # its frames would keep the picture, which warns when it is closed late, at the exit
            raise error.with_traceback(None) from None
        finally:
            thread.shutdown()
            del image
            limit = pyvips.cache_get_max()  # it keeps pictures in case they are asked for again
            pyvips.cache_set_max(0)
            pyvips.cache_set_max(limit)


def _decode(image: Any, y: int, rows: int) -> NDArray[Any]:
    # not a Region: its fetch keeps what it has read
    band: NDArray[Any] = image.crop(0, y, image.width, min(rows, image.height - y)).numpy()
    return band
