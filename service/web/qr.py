"""QR codes as SVG paths, drawn here: nothing is asked of anybody else."""

from __future__ import annotations

from dataclasses import dataclass

import segno


@dataclass(frozen=True, slots=True)
class Square:
    """A QR code: its modules on a side, with the quiet zone, and the path of the dark ones."""

    size: int
    path: str


#: Modules of white around it, as ISO/IEC 18004 asks for.
_QUIET = 4


def draw(content: str) -> Square:
    """Return the QR code of ``content``, readable with a quarter of it dirty (level Q)."""
    rows = segno.make(content, error="q", micro=False, boost_error=False).matrix
    parts = []
    for y, row in enumerate(rows):
        x = 0
        while x < len(row):
            length = 1
            if row[x]:
                while x + length < len(row) and row[x + length]:
                    length += 1
                parts.append(f"M{x + _QUIET} {y + _QUIET}h{length}v1h-{length}z")
            x += length
    return Square(len(rows) + 2 * _QUIET, "".join(parts))
