"""The ``WWW-Authenticate`` header: which proof a registry wants. Source: RFC 9110, 11.6.1; distribution token spec."""

from __future__ import annotations

from rootless_pod.frozen import Frozen

_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class Challenge(Frozen):
    """One scheme (lower case) and its parameters (names lower case)."""

    scheme: str
    parameters: dict[str, str]


def parse_challenges(text: str) -> tuple[Challenge, ...]:
    """Return the challenges of one header value; what can't be read ends the list."""
    found: list[Challenge] = []
    position, end = 0, len(text)
    while position < end:
        position = _skip(text, position, " ,\t")
        word, position = _word(text, position)
        if not word:
            break
        after = _skip(text, position, " \t")
        if after < end and text[after] == "=" and found:
            value, position = _value(text, _skip(text, after + 1, " \t"))
            found[-1].parameters[word.lower()] = value
        else:
            found.append(Challenge(scheme=word.lower(), parameters={}))
    return tuple(found)


def _skip(text: str, position: int, blanks: str) -> int:
    while position < len(text) and text[position] in blanks:
        position += 1
    return position


def _word(text: str, position: int) -> tuple[str, int]:
    start = position
    while position < len(text) and text[position] in _TOKEN:
        position += 1
    return text[start:position], position


def _value(text: str, position: int) -> tuple[str, int]:
    if position >= len(text) or text[position] != '"':
        return _word(text, position)
    value = ""
    position += 1
    while position < len(text) and text[position] != '"':
        if text[position] == "\\" and position + 1 < len(text):
            position += 1
        value += text[position]
        position += 1
    return value, position + 1
