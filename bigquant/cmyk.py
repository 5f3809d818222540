"""CMYK -> RGB: by a colour profile where there is one, else as Pillow does."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow
from PIL import ImageCms


def make_transform(profile: object) -> ImageCms.ImageCmsTransform | None:
    """Make the transform of CMYK to sRGB by a file's profile; None without a usable one."""
    if not isinstance(profile, bytes) or not profile:
        return None
    try:
        inks = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.buildTransform(inks, ImageCms.createProfile("sRGB"), "CMYK", "RGB")
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):  # damaged, or that of a screen
        return None


def told(by_profile: bool) -> str:
    """Tell people how CMYK has become RGB."""
    return f"converted to RGB {'by its' if by_profile else 'without an'} ICC profile"


def to_rgb(
    inks: NDArray[np.uint8], transform: ImageCms.ImageCmsTransform | None
) -> NDArray[np.uint8]:
    """Turn inks (y, x, 4) into colours (y, x, 3)."""
    height, width = inks.shape[:2]
    if not inks.size:
        return np.empty((height, width, 3), np.uint8)
    data: Any = np.ascontiguousarray(inks).data
    image: Any = pillow.frombuffer("CMYK", (width, height), data, "raw", "CMYK", 0, 1)
    return np.asarray(transform.apply(image) if transform else image.convert("RGB"))
