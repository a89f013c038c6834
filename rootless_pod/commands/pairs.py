"""``KEY=VALUE``, as labels and the options of drivers are written."""

from __future__ import annotations

from rootless_pod.errors import Usage


def parse_pairs(words: tuple[str, ...], option: str) -> dict[str, str]:
    """Return the values by key; one without ``=`` is empty.

    Raises:
        Usage: a word has no key.
    """
    pairs = {}
    for word in words:
        key, _equals, value = word.partition("=")
        if not key:
            raise Usage(f"{option} {word!r} is not KEY=VALUE", remedy=f"write {option} KEY=VALUE")
        pairs[key] = value
    return pairs
