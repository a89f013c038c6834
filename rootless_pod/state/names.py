"""Reserved names: a symbolic link NAME → id, made exclusively, so two commands can't take one name."""

from __future__ import annotations

import os

from rootless_pod.errors import Conflict, Usage
from rootless_pod.state.lock import Lock

_LONGEST = 253
_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


def check_name(name: str) -> str:
    """Return ``name`` if podman would take it.

    Raises:
        Usage: it has other characters, or does not start with a letter or digit.
    """
    if len(name) > _LONGEST:
        raise Usage(f"name {name[:20]}… is not valid: it has {len(name)} characters", remedy=f"use {_LONGEST} at most")
    if not name or not name[0].isalnum() or not set(name) <= _ALLOWED:
        raise Usage(
            f"name {name!r} is not valid",
            remedy="use letters, digits, '_', '.' and '-', starting with a letter or digit",
        )
    return name


def owner(directory: str, name: str) -> str | None:
    """Return the id that holds ``name``, or None."""
    try:
        return os.readlink(f"{directory}/{name}")
    except OSError:
        return None


def reserve(directory: str, name: str, owner_id: str, *, objects: str) -> None:
    """Take ``name`` for ``owner_id``; a name whose object (``objects``/ID) is gone is taken over.

    Raises:
        Conflict: another object has it.
    """
    path = f"{directory}/{name}"
    while True:
        try:
            os.symlink(owner_id, path)
        except FileExistsError:
            holder = owner(directory, name)
            if holder == owner_id:
                return
            if holder is not None and os.path.isdir(f"{objects}/{holder}"):
                raise Conflict(
                    f"name {name!r} is in use by {holder[:12]}", remedy="use another name, or --replace"
                ) from None
            _drop(directory, name, holder)
        else:
            return


def _drop(directory: str, name: str, holder: str | None) -> None:
    """Remove the link ``name`` if it still says ``holder`` (None: if it is no link).

    Nobody removes one without the lock, and none is made where one is: what is seen here is what is removed. Else
    another might remove that link too between look and removal, and a third one's new link would be lost.
    """
    path = f"{directory}/{name}"
    with Lock(f"{directory}.lock"):
        if os.path.lexists(path) and owner(directory, name) == holder:
            os.unlink(path)


def hand_over(directory: str, name: str, owner_id: str) -> None:
    """Give ``name`` to ``owner_id`` in one step, whoever has it: at no moment it is nobody's."""
    with Lock(f"{directory}.lock"):
        made = f"{directory}.next"
        if os.path.lexists(made):
            os.unlink(made)  # of a command that was killed
        os.symlink(owner_id, made)
        os.rename(made, f"{directory}/{name}")


def release(directory: str, name: str, owner_id: str) -> None:
    """Give ``name`` back if ``owner_id`` holds it; idempotent."""
    if owner(directory, name) == owner_id:
        _drop(directory, name, owner_id)


def with_beginning(ids: list[str], text: str, kind: str) -> str | None:
    """Return the one id that begins with ``text``, None where there is none; ``kind`` names them in the error.

    Raises:
        Conflict: several do.
    """
    fitting = [one for one in ids if one.startswith(text)]
    if len(fitting) > 1:
        raise Conflict(
            f"{text!r} fits {len(fitting)} {kind}: {', '.join(sorted(one[:12] for one in fitting))}",
            remedy="give more digits of the id",
        )
    return fitting[0] if fitting else None
