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


def lloyd(rows, centers, tol):
    """Run Lloyd's algorithm on all rows, until the centres shift by less than tol."""
    while True:
        labels, _ = nearest(rows, centers)
        moved = np.array([rows[labels == j].mean(axis=0) for j in range(len(centers))])
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
