"""What the header of a JPEG 2000 codestream says of its picture. It is not believed here."""

from __future__ import annotations

import struct

_START = b"\xff\x4f\xff\x51"

#: (bits less one, with 0x80 where signed; columns and rows that a sample stands for)
Component = tuple[int, int, int]


def is_codestream(head: bytes) -> bool:
    """Tell if data begin as a codestream does that lies in no box."""
    return head[:4] == _START


def read_siz(data: bytes) -> tuple[tuple[int, int], list[Component]]:
    """Read the SIZ marker segment of a codestream, with boxes around it or without.

    Returns
    -------
    (int, int)
        Width and height.
    list of Component

    Raises
    ------
    ValueError, struct.error
        If there is none.
    """
    start = data.index(_START) + 8
    right, bottom, left, top = struct.unpack_from(">4I", data, start)
    (depth,) = struct.unpack_from(">H", data, start + 32)
    parts = [struct.unpack_from(">3B", data, start + 34 + 3 * i) for i in range(depth)]
    return (right - left, bottom - top), parts
