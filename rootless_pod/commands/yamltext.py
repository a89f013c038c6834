"""Decoded JSON as YAML, as podman prints ``info``: sorted keys, two blanks a level, quotes only where they must be."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_WORDS = frozenset({"", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n", ".inf", ".nan", "=", "<<"})
_MARKS = frozenset("-?:,[]{}#&*!|>'\"%@`")


def to_yaml(value: object) -> str:
    """Return ``value`` (of dicts, lists, text, numbers, booleans, None) as a YAML document."""
    return "".join(f"{line}\n" for line in _lines(value))


def _lines(value: object) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key in sorted(value, key=str):
            yield from _entry(f"{_text(str(key))}:", value[key])
    elif isinstance(value, (list, tuple)) and value:
        for item in value:
            yield from _item(item)
    else:
        yield _scalar(value)


def _entry(head: str, value: object) -> Iterator[str]:
    if isinstance(value, dict) and value:
        yield head
        yield from (f"  {line}" for line in _lines(value))
    elif isinstance(value, (list, tuple)) and value:
        yield head
        yield from _lines(value)
    elif isinstance(value, str) and _is_block(value):
        yield f"{head} |-"
        yield from (f"  {line}" for line in value.split("\n"))
    else:
        yield f"{head} {_scalar(value)}"


def _item(value: object) -> Iterator[str]:
    if isinstance(value, (dict, list, tuple)) and value:
        first, *rest = _lines(value)
        yield f"- {first}"
        yield from (f"  {line}" for line in rest)
    else:
        yield f"- {_scalar(value)}"


def _is_block(text: str) -> bool:
    lines = text.split("\n")
    return (
        len(lines) > 1
        and bool(lines[-1])
        and not lines[0].startswith(" ")
        and all(line.isprintable() for line in lines)
    )


def _scalar(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, (list, tuple)):
        return "[]"
    return _text(value) if isinstance(value, str) else str(value)


def _text(text: str) -> str:
    """Return a text as it is where YAML reads it back as that text, else in double quotes."""
    if text.lower() not in _WORDS and not _looks_like_a_number(text) and _is_plain(text):
        return text
    from rootless_pod import jsontext

    return jsontext.dumps(text)


def _is_plain(text: str) -> bool:
    begins_well = text[0] not in _MARKS or (text[0] in "-?:" and text[1:2] not in ("", " "))
    within = ": " in text or " #" in text or text.endswith(":")
    return begins_well and not within and text == text.strip() and text.isprintable()


def _looks_like_a_number(text: str) -> bool:
    bare = text.replace("_", "").replace(":", "").lstrip("+-")
    if bare[:2].lower() in ("0x", "0o", "0b"):
        return True
    try:
        float(bare)
    except ValueError:
        return text[:4].isdigit() and text[4:5] == "-"
    return True
