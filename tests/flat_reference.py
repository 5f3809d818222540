"""Pictures of flat files by other libraries, normalised in the obvious way."""

from __future__ import annotations

import io

import imagecodecs
import numpy as np
from PIL import Image, ImageCms, ImageOps


def expected(path):
    """What Pillow makes of a file, upright; imagecodecs where Pillow loses bits or fails."""
    with Image.open(path) as image:
        deep = image.format == "PNG" and str(image.tile[0][3]).endswith("16B")
        # Pillow compares the transparent gray of 2 and 4 bits with the scaled pixels
        keyed = image.format == "PNG" and image.mode == "L" and "transparency" in image.info
        orientation = image.getexif().get(274, 1) if not deep else 1
        if deep or keyed:
            with open(path, "rb") as file:
                pixels = imagecodecs.png_decode(file.read())
        else:
            try:
                pixels = np.asarray(_in_colors(image))
            except OSError:
                if image.format != "JPEG2000":
                    raise
                with open(path, "rb") as file:
                    pixels = imagecodecs.jpeg2k_decode(file.read())
    if orientation != 1:
        turned = Image.fromarray(pixels)
        turned.getexif()[274] = orientation
        pixels = np.asarray(ImageOps.exif_transpose(turned))
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _in_colors(image):
    if image.mode == "CMYK":
        data = image.info.get("icc_profile")
        if not data:
            return image.convert("RGB")
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        return ImageCms.profileToProfile(
            image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    if "transparency" in image.info:
        return image.convert({"1": "LA", "L": "LA", "P": "RGBA", "RGB": "RGBA"}[image.mode])
    return image.convert({"1": "L", "P": "RGB"}.get(image.mode, image.mode))
