"""``--change`` of ``commit`` and ``import``: Dockerfile instructions applied to an image's config.

Source: podman-commit(1); Dockerfile reference for the two forms (a JSON array, or words for a shell).
"""

from __future__ import annotations

import os
import shlex

from rootless_pod import jsontext
from rootless_pod.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Inner = dict[str, Any]

_REMEDY = "write for example: -c 'CMD [\"/bin/app\"]' -c 'ENV NAME=value' -c 'EXPOSE 8080/tcp'"


def apply_instructions(inner: dict[str, Any], instructions: tuple[str, ...]) -> None:
    """Change the config's inner object as each instruction says; ``KEYWORD=VALUE`` is taken as ``KEYWORD VALUE``.

    Raises:
        Usage: an unknown instruction, or one whose value can't be meant.
    """
    for instruction in instructions:
        keyword, value = _split(instruction)
        handler = _HANDLERS.get(keyword)
        if handler is None:
            raise Usage(
                f"--change {instruction!r}: {keyword} can't be changed",
                remedy=f"use one of: {', '.join(sorted(_HANDLERS))}",
            )
        if not value and keyword not in ("CMD", "ENTRYPOINT", "USER"):
            raise Usage(f"--change {instruction!r}: {keyword} needs a value", remedy=_REMEDY)
        handler(inner, value)


def _split(instruction: str) -> tuple[str, str]:
    text = instruction.strip()
    end = next((at for at, letter in enumerate(text) if letter in " \t="), len(text))
    return text[:end].upper(), text[end + 1 :].strip()


def _argv(value: str) -> list[str]:
    """Return the words of CMD and ENTRYPOINT: a JSON array as it is, anything else for a shell."""
    if not value:
        return []
    if value.startswith("["):
        try:
            words = jsontext.loads(value)
        except ValueError:
            words = None
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            return words
    return ["/bin/sh", "-c", value]


def _words(value: str) -> list[str]:
    if value.startswith("["):
        try:
            words = jsontext.loads(value)
        except ValueError as cause:
            raise Usage(f"--change: {value} is no JSON array", remedy=_REMEDY) from cause
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            return words
    try:
        return shlex.split(value)
    except ValueError as cause:
        raise Usage(f"--change: {value}: {cause}", remedy=_REMEDY) from cause


def _pairs(value: str, keyword: str) -> list[tuple[str, str]]:
    """Return NAME, VALUE of ``A=b C=d`` or of the old form ``A b c``."""
    words = _words(value)
    if words and "=" not in words[0]:
        name, _blank, rest = value.partition(" ")
        if not rest.strip():
            raise Usage(f"--change {keyword} {value}: no value", remedy=f"write {keyword} NAME=VALUE")
        return [(name, rest.strip())]
    pairs = [(word.partition("=")[0], word.partition("=")[2]) for word in words]
    if not pairs or not pairs[0][0]:
        raise Usage(f"--change {keyword} {value}: no name", remedy=f"write {keyword} NAME=VALUE")
    if not all(name and "=" in word for (name, _text), word in zip(pairs, words, strict=True)):
        # As podman takes it: blanks that nobody quoted belong to the value.
        name, _equals, text = value.partition("=")
        return [(name, text)]
    return pairs


def _command(inner: Inner, value: str) -> None:
    inner["Cmd"] = _argv(value)


def _entrypoint(inner: Inner, value: str) -> None:
    inner["Entrypoint"] = _argv(value)


def set_env(inner: Inner, name: str, value: str) -> None:
    """Set one variable, in the place it had."""
    env = list(inner.get("Env") or ())
    for position, entry in enumerate(env):
        if entry.partition("=")[0] == name:
            env[position] = f"{name}={value}"
            break
    else:
        env.append(f"{name}={value}")
    inner["Env"] = env


def _env(inner: Inner, value: str) -> None:
    for name, text in _pairs(value, "ENV"):
        set_env(inner, name, text)


def _label(inner: Inner, value: str) -> None:
    inner["Labels"] = {**(inner.get("Labels") or {}), **dict(_pairs(value, "LABEL"))}


def _expose(inner: Inner, value: str) -> None:
    for port in _words(value):
        number, _slash, protocol = port.partition("/")
        first, _dash, last = number.partition("-")
        numbers = [first, last or first]
        if not all(one.isdigit() and 0 < int(one) < 65536 for one in numbers) or int(first) > int(numbers[1]):
            raise Usage(f"--change EXPOSE {port}: not a port", remedy="write EXPOSE 8080 or EXPOSE 53/udp")
        if protocol not in ("", "tcp", "udp", "sctp"):
            raise Usage(f"--change EXPOSE {port}: unknown protocol {protocol!r}", remedy="use tcp, udp or sctp")
        for one in range(int(first), int(numbers[1]) + 1):
            add_key(inner, "ExposedPorts", f"{one}/{protocol or 'tcp'}")


def add_key(inner: Inner, field: str, key: str) -> None:
    """Add a member to one of the config's sets (objects with empty values)."""
    inner[field] = {**(inner.get(field) or {}), key: {}}


def _volume(inner: Inner, value: str) -> None:
    for path in _words(value):
        if not path.startswith("/"):
            raise Usage(f"--change VOLUME {path}: not an absolute path", remedy="write VOLUME /data")
        add_key(inner, "Volumes", path)


def _user(inner: Inner, value: str) -> None:
    inner["User"] = value


def _workdir(inner: Inner, value: str) -> None:
    inner["WorkingDir"] = os.path.normpath(os.path.join(inner.get("WorkingDir") or "/", value))


def _stop_signal(inner: Inner, value: str) -> None:
    import signal

    name = value.upper()
    full = name if name.startswith("SIG") else f"SIG{name}"
    if (
        not (name.isdigit() and 0 < int(name) <= signal.NSIG)
        and full.partition("+")[0] not in signal.Signals.__members__
    ):
        raise Usage(f"--change STOPSIGNAL {value}: no such signal", remedy="write for example STOPSIGNAL SIGTERM")
    inner["StopSignal"] = value


def _on_build(inner: Inner, value: str) -> None:
    inner["OnBuild"] = [*(inner.get("OnBuild") or ()), value]


_HANDLERS: dict[str, Callable[[Inner, str], None]] = {
    "CMD": _command,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "LABEL": _label,
    "ONBUILD": _on_build,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
