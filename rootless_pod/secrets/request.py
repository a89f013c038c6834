"""``--secret``: which secret a container gets, and how it is shown there."""

from __future__ import annotations

from rootless_pod.errors import Usage
from rootless_pod.frozen import Frozen

DIRECTORY = "/run/secrets"
_LAST_ID = (1 << 32) - 2
_KEYS = {"source": "source", "type": "type", "target": "target", "uid": "uid", "gid": "gid", "mode": "mode"}


class SecretRequest(Frozen):
    """One secret of a container: the file ``target`` (below /run/secrets if relative), or the variable ``target``.

    ``name`` is what was typed; ``id`` the secret's, filled in when the container is created. The data is in neither.
    """

    name: str
    id: str = ""
    kind: str = "mount"
    target: str = ""
    uid: int = 0
    gid: int = 0
    mode: int = 0o444

    @property
    def path(self) -> str:
        """Where a mounted one is seen."""
        target = self.target or self.name
        return target if target.startswith("/") else f"{DIRECTORY}/{target}"

    @property
    def variable(self) -> str:
        """The name of the variable that holds it."""
        return self.target or self.name


def parse_secret(text: str) -> SecretRequest:
    """Read ``NAME[,type=mount|env][,target=…][,uid=…][,gid=…][,mode=…]``; the name may be ``source=NAME``.

    Raises:
        Usage: it can't be meant.
    """
    found: dict[str, str] = {}
    for position, word in enumerate(text.split(",")):
        key, equals, value = word.partition("=")
        if not equals and position == 0:
            key, value = "source", word
        elif key not in _KEYS or not equals:
            raise Usage(f"--secret {text}: {word!r} is no option", remedy=f"use {', '.join(_KEYS)}=VALUE")
        found[key] = value
    name, kind = found.get("source", ""), found.get("type", "mount")
    if not name:
        raise Usage(f"--secret {text}: no secret is named", remedy="write --secret NAME")
    if kind not in ("mount", "env"):
        raise Usage(f"--secret {text}: type {kind!r} is invalid", remedy="use type=mount or type=env")
    if kind == "env" and found.keys() & {"uid", "gid", "mode"}:
        raise Usage(f"--secret {text}: uid, gid and mode can't go with type=env", remedy="leave them out")
    target = found.get("target", "")
    if kind == "mount" and (target.endswith("/") or ".." in target.split("/")):
        raise Usage(f"--secret {text}: target {target!r} is not the path of a file")
    if kind == "env" and ("=" in target or "\0" in target):
        raise Usage(f"--secret {text}: target {target!r} is no name of a variable")
    return SecretRequest(
        name=name,
        kind=kind,
        target=target,
        uid=_number(text, "uid", found.get("uid", "0"), 10, _LAST_ID),
        gid=_number(text, "gid", found.get("gid", "0"), 10, _LAST_ID),
        mode=_number(text, "mode", found.get("mode", "0444"), 8, 0o7777),
    )


def _number(text: str, key: str, value: str, base: int, most: int) -> int:
    try:
        number = int(value, base) if value.isascii() and value.isdigit() else -1
    except ValueError:
        number = -1
    if not 0 <= number <= most:
        raise Usage(f"--secret {text}: {key} {value!r} is invalid")
    return number
