"""What the program must compute, as slow and obvious NumPy: the specification of the tests."""

from __future__ import annotations

import numpy as np


def opaque_pixels(image):
    """List the pixels that are part of an image (y, x, channel), as rows of colours."""
    rows = image.reshape(-1, image.shape[2])
    if image.shape[2] in (2, 4):
        return rows[rows[:, -1] > 0, :-1]
    return rows


def count(rows):
    """List the distinct rows, sorted, and how often each occurs."""
    return np.unique(rows, axis=0, return_counts=True)


def nearest(rows, centers):
    """Label each row with its nearest centre; of equally near ones the lowest index."""
    differences = rows[:, None, :].astype(np.float64) - centers[None, :, :]
    squares = (differences**2).sum(axis=2)
    return squares.argmin(axis=1), squares.min(axis=1)


def nearest_scaled(rows, centers, factors):
    """Do as `nearest` does, of rows times factors, the bands added up in order."""
    points = rows.astype(np.float64) * factors
    squares = np.zeros((len(points), len(centers)))
    for band in range(centers.shape[1]):
        squares += (points[:, None, band] - centers[None, :, band]) ** 2
    return squares.argmin(axis=1), squares.min(axis=1, initial=np.inf)


def oklab(colors):
    """Turn 8-bit RGB into OKLab by the numbers that its author published, for sRGB's light."""
    values = colors / 255
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    cones = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    lab = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    return np.cbrt(light @ np.transpose(cones)) @ np.transpose(lab)


def lloyd(rows, centers, tol, n_kept=0):
    """Run Lloyd's algorithm on all rows, until the centres shift by less than tol.

    The first n_kept of them stay where they are.
    """
    while True:
        labels, _ = nearest(rows, centers)
        moved = centers.astype(np.float64)
        for j in range(n_kept, len(centers)):
            moved[j] = rows[labels == j].mean(axis=0)
        if ((moved - centers) ** 2).sum() <= tol:
            return moved
        centers = moved


def labels(image, colors, first_label):
    """Label every pixel of an image; pixels whose alpha is 0 get 0."""
    depth = colors.shape[1]
    flat, _ = nearest(image[..., :depth].reshape(-1, depth), colors.astype(np.float64))
    result = flat.reshape(image.shape[:2]) + first_label
    if image.shape[2] > depth:
        result[image[..., -1] == 0] = 0
    return result


def mse(image, quantized):
    """Squared error per opaque pixel, summed over the channels."""
    depth = quantized.shape[2]
    squares = ((image[..., :depth].astype(np.int64) - quantized) ** 2).sum(axis=2)
    if image.shape[2] > depth:
        squares = squares[image[..., -1] > 0]
    return squares.sum() / squares.size


def windows(values, fill):
    """Cut (y, x) into 2 x 2 windows, (ceil(y / 2), ceil(x / 2), 4), filled up at the end."""
    y, x = values.shape
    padded = np.pad(values, ((0, y % 2), (0, x % 2)), constant_values=fill)
    parts = [padded[i::2, j::2] for i in (0, 1) for j in (0, 1)]
    return np.stack(parts, axis=2)


def halve_labels(labels, nodata):
    """Take the most frequent label of each window, of several the lowest.

    With nodata, label 0 is taken only where it is more than half of the window.
    """
    cut = windows(labels.astype(int), -1)
    votes = (cut[..., :, None] == cut[..., None, :]).sum(axis=3)
    votes[cut == -1] = 0
    if nodata:
        rare = 2 * (cut == 0).sum(axis=2) <= (cut >= 0).sum(axis=2)
        votes[(cut == 0) & rare[..., None]] = 0
    winners = votes == votes.max(axis=2, keepdims=True)
    return np.where(winners, cut, labels.max() + 1).min(axis=2)


def halve_colors(colors, valid):
    """Take the mean of the valid pixels (y, x, channel) of each window, rounded half up."""
    counted = windows(valid.astype(int), 0).sum(axis=2)
    means = [
        windows(np.where(valid, plane, 0.0), 0.0).sum(axis=2) / np.maximum(counted, 1)
        for plane in np.moveaxis(colors, 2, 0)
    ]
    return np.floor(np.stack(means, axis=2) + 0.5).astype(int), counted > 0


def pyramid(labels, table, nodata):
    """List (labels, colours) of every level, until both sides are at most 512."""
    colors = table[labels]
    valid = labels > 0 if nodata else np.ones(labels.shape, bool)
    levels = [(labels, colors)]
    while max(labels.shape) > 512:
        labels = halve_labels(labels, nodata)
        colors, valid = halve_colors(colors, valid)
        levels.append((labels, colors))
    return levels


def quantize(image, starts):
    """Do all that `bigquant.quantize` and an output of it do, from given starting centres.

    Returns the palette (k, channels), its error, and (labels, colours) of every level.
    """
    rows = opaque_pixels(image)
    centers = lloyd(rows, starts.astype(float), 0)
    nearest_to, _ = nearest(rows, centers)
    masses = np.bincount(nearest_to, minlength=len(centers))
    order = sorted(range(len(centers)), key=lambda j: (-masses[j], *centers[j]))
    colors = np.rint(centers[order]).astype(np.uint8)
    first_label = int(image.shape[2] in (2, 4))
    table = np.vstack([np.zeros((first_label, colors.shape[1]), np.uint8), colors])
    flat = labels(image, colors, first_label)
    return colors, mse(image, table[flat]), pyramid(flat, table, bool(first_label))


def dithered(image, colors, first_label, thresholds, grain=1 / 8, fewest=1 / 64):
    """Tell which labels every pixel may have, (y, x, first_label + k); of nearly all only one.

    A pixel is shown by its nearest colour and the one that this is best mixed with. The second
    way of two is open where mixtures are as good as each other, or a share hits a threshold.
    """
    palette, levels = colors.astype(float), 4096
    bright = np.broadcast_to(colors, (len(colors), 3)) @ [299, 587, 114]
    allowed = np.zeros((*image.shape[:2], first_label + len(colors)), bool)
    for y, x in np.ndindex(*image.shape[:2]):
        color, may_be = image[y, x, : colors.shape[1]].astype(float), allowed[y, x]
        if image.shape[2] > colors.shape[1] and image[y, x, -1] == 0:
            may_be[0] = True
            continue
        nearest = nearest_of(color, palette)
        ways = mixtures(color, palette, nearest, grain)
        best = max((worth for worth, _, _ in ways), default=0)
        tolerance = 1e-5 * (1 + abs(best))
        threshold = (thresholds[y % len(thresholds), x % len(thresholds)] + 0.5) / levels
        shares = [(other, share) for worth, other, share in ways if worth >= best - tolerance]
        for other, share in shares or [(nearest, 0.0)]:
            swapped = (bright[other], other) < (bright[nearest], nearest)
            for near in (share - 1e-6, share + 1e-6):  # rounded to one of the levels
                rounded = np.floor(near * levels + 0.5) / levels
                rounded = 0.0 if rounded < fewest else rounded
                takes = threshold < (1 - rounded if swapped else rounded)
                may_be[first_label + (other if takes != swapped else nearest)] = True
    return allowed


def nearest_of(color, palette):
    """Find the nearest colour; of equally near ones the lowest index."""
    return int(((palette - color) ** 2).sum(axis=1).argmin())


def mixtures(color, palette, nearest, grain):
    """List what mixtures of the nearest colour with another are worth: (worth, other, share).

    That is by how much the squared distance falls, less the grain: the variance of the pixels.
    Others are the 32 that lie nearest to that colour.
    """
    ways = []
    apart = ((palette - palette[nearest]) ** 2).sum(axis=1)
    for other in np.argsort(apart, kind="stable")[:33]:
        end = palette[other]
        way = end - palette[nearest]
        along = (color - palette[nearest]) @ way
        if along > 0:
            share = along / (way @ way)
            mean = palette[nearest] + share * way
            gained = ((color - palette[nearest]) ** 2).sum() - ((color - mean) ** 2).sum()
            ways.append((gained - grain * share * (1 - share) * (way @ way), other, share))
    return ways
