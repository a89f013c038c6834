"""Columns as podman lays them out. HOT.

Source: Go's text/tabwriter as podman opens it: at least 12 characters a column, two blanks between columns.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_LEAST_WIDTH = 12
_BLANKS = 2


def wants_json(form: str) -> bool:
    """Say whether ``--format`` asks for JSON of the whole list: ``json`` or ``{{json .}}``."""
    text = form.strip()
    return text == "json" or (
        text[:2] == "{{" and text[-2:] == "}}" and text[2:-2].split() in (["json"], ["json", "."])
    )


def align(rows: Sequence[Sequence[str]]) -> str:
    """Return the rows as lines; the last cell of a line is not padded.

    A column is as wide as its widest cell in the unbroken run of lines that have it and a cell after it.
    """
    widths: list[list[int]] = [[] for _ in rows]
    most = max((len(row) for row in rows), default=0)
    for column in range(most - 1):
        begin = 0
        while begin < len(rows):
            if len(rows[begin]) <= column + 1:
                begin += 1
                continue
            end = begin
            while end < len(rows) and len(rows[end]) > column + 1:
                end += 1
            width = max(_LEAST_WIDTH, *(len(rows[at][column]) + _BLANKS for at in range(begin, end)))
            for at in range(begin, end):
                widths[at].append(width)
            begin = end
    lines = []
    for row, wide in zip(rows, widths, strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row, wide, strict=False)]
        lines.append("".join([*cells, *row[len(wide) :]]) + "\n")
    return "".join(lines)


def one_line(text: str) -> str:
    """Return ``text`` without what would break a line or the terminal."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else " " for letter in text)


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, heading: bool = True) -> None:
    """Print a table to stdout."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    sys.stdout.write(align([list(headers), *cells] if heading else cells))
