"""Guess which known word a mistyped one meant."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def distance(left: str, right: str) -> int:
    """Return how many letters must be added, dropped, changed or swapped with a neighbour."""
    rows = [list(range(len(right) + 1))]
    for i, a in enumerate(left, 1):
        row = [i]
        for j, b in enumerate(right, 1):
            cost = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, rows[-2][j - 2] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is at most a third of its letters away, or that ``word`` begins."""
    letters = word.lstrip("-")
    best: tuple[int, str] | None = None
    for candidate in known:
        bare = candidate.lstrip("-")
        if len(bare) < 2 or candidate[:2].count("-") != word[:2].count("-"):
            continue
        far = 1 if len(letters) > 1 and bare.startswith(letters) else distance(letters, bare)
        if far <= max(1, len(bare) // 3) and (best is None or (far, candidate) < best):
            best = (far, candidate)
    return best[1] if best else None
