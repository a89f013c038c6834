"""What two outputs may differ in: ids, times, sizes and the names of temporary places; and the shapes of JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

AGO = (
    r"(?:Less than a second|About an? (?:minute|hour)|\d+ (?:second|minute|hour|day|week|month|year)s?"
    r"|\d+(?:\.\d+)?(?:ns|µs|ms|s))"
)
RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), word)
    for pattern, word in (
        (
            r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?: ?[+-]\d\d:?\d\d|Z)?(?: [A-Z]{3,4})?(?: m=[+-][\d.]+)?",
            "<time>",
        ),
        (rf"{AGO} ago", "<ago>"),
        (rf"Up {AGO}", "Up <ago>"),
        (r"\b\d+(?:\.\d+)? ?(?:[kMG]i?)?B\b", "<size>"),
        (r"\b1[6-9]\d{8}(?:\d{9})?\b", "<unix time>"),
    )
)
HEX = re.compile(r"\b[0-9a-f]{64}\b|\b[0-9a-f]{12}\b")
NAMES = re.compile(r"\b[a-z]+_[a-z]+\d?\b")


class Masks:
    """Masks the output of one tool; an id keeps its number through all lines of a scene."""

    def __init__(self, places: dict[str, str]) -> None:
        self.places = sorted(places.items(), key=lambda pair: -len(pair[0]))
        self.ids: dict[str, str] = {}

    def _number(self, found: re.Match[str]) -> str:
        return self.ids.setdefault(found.group()[:12], f"<id {len(self.ids) + 1}>")

    def words(self, text: str, *, numbered: bool = True) -> str:
        """Mask one value."""
        # Times first: the digits of a port may stand in one.
        for pattern, word in RULES:
            text = pattern.sub(word, text)
        for place, name in self.places:
            text = text.replace(place, name)
        return HEX.sub(self._number if numbered else "<id>", text)

    def text(self, text: str, *, names: bool = False, unordered: bool = False) -> list[str]:
        """Mask a whole output; columns are as wide as their widest cell, so how wide they are is dropped."""
        # Every id is numbered in the order of the lines, so lines without an order are sorted by what is no id.
        lines = text.splitlines()
        if unordered:
            lines.sort(key=lambda line: HEX.sub("", line))
        lines = [re.sub(r" {2,}|\t+", "  ", self.words(line)).rstrip() for line in lines]
        return [NAMES.sub("<name>", line) for line in lines] if names else lines

    def document(self, value: Any) -> Any:
        """Mask the strings of a JSON document; keys have no order, so ids are not numbered."""
        if isinstance(value, str):
            return self.words(value, numbered=False)
        if isinstance(value, list):
            return [self.document(one) for one in value]
        if isinstance(value, dict):
            return {self.words(key, numbered=False): self.document(one) for key, one in value.items()}
        return value


def kind(value: Any) -> str:
    if value is None:
        return "null"
    return {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}[type(value)]


def differences(theirs: Any, ours: Any, loose: re.Pattern[str], place: str = "") -> Iterator[str]:
    """Yield where masked ``ours`` lacks a key of ``theirs``, has another type there, or another value where none is loose.

    What ``loose`` finds at the start of a place need only be there with the right type. Keys only we have are no difference.
    """
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key, value in theirs.items():
            where = f"{place}.{key}".lstrip(".")
            if key in ours:
                yield from differences(value, ours[key], loose, where)
            elif not loose.fullmatch(f"{where}?"):
                yield f"{where}: missing; podman has {json.dumps(value)[:160]}"
    elif kind(theirs) != kind(ours):
        if not loose.fullmatch(f"{place}?"):
            yield f"{place}: {json.dumps(ours)[:120]}, podman has {json.dumps(theirs)[:160]}"
    elif isinstance(theirs, list) and isinstance(ours, list):
        if len(theirs) != len(ours) and not loose.match(place):
            yield f"{place}: {json.dumps(ours)[:300]}, podman has {json.dumps(theirs)[:300]}"
        for one, other in zip(theirs, ours, strict=False):
            yield from differences(one, other, loose, f"{place}[]")
    elif theirs != ours and not loose.match(place):
        yield f"{place}: {json.dumps(ours)[:160]}, podman has {json.dumps(theirs)[:160]}"
