r"""The key sequence that leaves a container without ending it (``--detach-keys``). Hot.

A comma-separated list of single characters or ``ctrl-X`` with X a letter or one of ``@[\]^_``.
Source: podman-attach(1).
"""

from __future__ import annotations

from rootless_pod.errors import Usage

DEFAULT_KEYS = "ctrl-p,ctrl-q"
_CONTROL_SIGNS = "@abcdefghijklmnopqrstuvwxyz[\\]^_"


def parse_detach_keys(text: str) -> bytes:
    """Return the bytes of the sequence; "" gives none: detaching is off.

    Raises:
        Usage: a key is neither one ASCII character nor ``ctrl-X``.
    """
    if not text:
        return b""
    keys = bytearray()
    for key in text.split(","):
        sign = key[5:].lower() if key.lower().startswith("ctrl-") else ""
        if len(sign) == 1 and sign in _CONTROL_SIGNS:
            keys.append(_CONTROL_SIGNS.index(sign))
        elif len(key) == 1 and key.isascii():
            keys += key.encode()
        else:
            raise Usage(f"unknown detach key {key!r}", remedy="write --detach-keys like ctrl-p,ctrl-q or a,b,ctrl-@")
    return bytes(keys)


class DetachKeys:
    """Finds the sequence in what is typed; a beginning of it is held back until it is complete or broken."""

    def __init__(self, keys: bytes) -> None:
        """Look for ``keys``; empty finds nothing and holds nothing back."""
        self._keys = keys
        self._held = 0
        self.detached = False

    def feed(self, typed: bytes) -> bytes:
        """Return what may be sent; ``detached`` is set when the sequence is complete (what follows it is dropped)."""
        if not self._keys:
            return typed
        joined = self._keys[: self._held] + typed
        at = joined.find(self._keys)
        if at >= 0:
            self.detached = True
            self._held = 0
            return joined[:at]
        longest = min(len(self._keys) - 1, len(joined))
        self._held = next((n for n in range(longest, 0, -1) if joined.endswith(self._keys[:n])), 0)
        return joined[: len(joined) - self._held]

    def finish(self) -> bytes:
        """Return what was held back: no more is typed."""
        held, self._held = self._keys[: self._held], 0
        return held
