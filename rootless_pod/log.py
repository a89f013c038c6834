"""Words for the person at the terminal: silent when all is well."""

from __future__ import annotations

import os

_LEVELS = {"trace": 0, "debug": 10, "info": 20, "warn": 30, "warning": 30, "error": 40, "fatal": 50, "panic": 50}
_threshold = 30
_said: set[str] = set()


def set_level(name: str) -> bool:
    """Set what is shown (trace … panic); return whether the name is known."""
    global _threshold  # noqa: PLW0603 - one level a process
    if name.lower() not in _LEVELS:
        return False
    _threshold = _LEVELS[name.lower()]
    return True


def level_name() -> str:
    """Return the current level in podman's spelling."""
    return next(name for name, level in _LEVELS.items() if level == _threshold)


def _say(level: int, text: str) -> None:
    if level >= _threshold:
        os.write(2, f"rpod: {text}\n".encode(errors="backslashreplace"))


def debug(text: str) -> None:
    """Say what is being done, for ``--log-level debug``."""
    _say(10, text)


def warn(text: str) -> None:
    """Say, once a process, something that concerns what the user just asked for."""
    if text not in _said:
        _said.add(text)
        _say(30, f"warning: {text}")


def notice_once(marker_path: str, text: str) -> None:
    """Say ``text`` once for as long as the file ``marker_path`` exists (it is made here).

    Used for choices a user should hear of one time, such as the single-id mode.
    """
    try:
        os.close(os.open(marker_path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError:
        return
    _say(30, text)
