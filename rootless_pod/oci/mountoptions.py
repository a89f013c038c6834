"""The words after the destination of a mount, checked and completed: pure. HOT.

Source: podman-run(1), --volume, --mount and --tmpfs; podman 4.3.1 (probed) for order and defaults.
"""

from __future__ import annotations

import os

from rootless_pod.errors import Refused, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

PROPAGATION = frozenset(["private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"])
_FLAGS = frozenset(
    [
        "rw",
        "ro",
        "exec",
        "noexec",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "atime",
        "noatime",
        "diratime",
        "nodiratime",
        "relatime",
        "norelatime",
        "strictatime",
        "nostrictatime",
        "sync",
        "async",
    ]
)
_OPPOSITE = {"rw": "ro", "exec": "noexec", "suid": "nosuid", "dev": "nodev"}
_TMPFS_KEYS = frozenset(["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "huge", "mpol"])
_IGNORED = frozenset(("z", "Z", "relabel=shared", "relabel=private", "consistent", "cached", "delegated"))


class _Words:
    """Options in order, each kind at most once."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.kept: list[str] = []

    def add(self, word: str) -> None:
        """Keep ``word``; refuse its opposite or a second propagation."""
        opposite = _OPPOSITE.get(word) or word.removeprefix("no")
        rivals = {other for other in (opposite, _OPPOSITE.get(opposite)) if other and other != word}
        if word in ("ro", "rw"):
            rivals = {"ro", "rw"} - {word}
        elif word in PROPAGATION:
            rivals = set(PROPAGATION)
        if rivals & set(self.kept):
            raise Usage(f"{self.where}: {word!r} contradicts {next(iter(rivals & set(self.kept)))!r}")
        if word not in self.kept:
            self.kept.append(word)

    def default(self, *words: str) -> None:
        """Add words whose opposite nobody gave."""
        for word in words:
            bare = word.removeprefix("no")
            if word not in self.kept and bare not in self.kept:
                self.kept.append(word)


def bind_options(texts: Sequence[str], where: str, *, volume: bool = False) -> tuple[str, ...]:
    """Return the options of a bind mount, complete: ``rw``, ``rprivate``, ``rbind`` unless others are given.

    A named volume is mounted nosuid and nodev unless ``suid`` or ``dev`` say otherwise. SELinux relabelling (z, Z)
    and Docker's consistency words are accepted and mean nothing here.

    Raises:
        Usage: an unknown or contradictory word.
        Refused: ``idmap``, which the kernel keeps from users.
    """
    words = _Words(where)
    for word in texts:
        if word in _IGNORED or not word:
            continue
        if word == "idmap" or word.startswith("idmap="):
            raise Refused(
                f"{where}: the option idmap needs a file system that the user's own namespace mounted",
                remedy="use the option U to give the files to the container's user",
            )
        if word not in _FLAGS and word not in PROPAGATION and word not in ("bind", "rbind"):
            raise Usage(f"{where}: invalid option type {word!r}", remedy=f"use some of: {', '.join(sorted(_FLAGS))}")
        words.add(word)
    if "ro" not in words.kept and "rw" not in words.kept:
        words.kept.append("rw")
    if not PROPAGATION.intersection(words.kept):
        words.kept.append("rprivate")
    if volume:
        words.default("nosuid", "nodev")
    if "bind" not in words.kept and "rbind" not in words.kept:
        words.kept.append("rbind")
    return tuple(words.kept)


def tmpfs_options(texts: Sequence[str], where: str) -> tuple[str, ...]:
    """Return the options of a tmpfs, complete: rw, rprivate, nosuid, nodev, tmpcopyup unless others are given.

    Raises:
        Usage: an unknown word, or a size the kernel would not take.
    """
    words = _Words(where)
    copy_up = True
    for word in texts:
        key, separator, value = word.partition("=")
        if not word or word in _IGNORED:
            continue
        if word in ("tmpcopyup", "notmpcopyup"):
            copy_up = word == "tmpcopyup"
        elif separator and key in _TMPFS_KEYS:
            _check_tmpfs_value(key, value, where)
            words.kept.append(word)
        elif word in _FLAGS or word in PROPAGATION:
            words.add(word)
        else:
            raise Usage(f"{where}: invalid option type {word!r}", remedy=f"use some of: {', '.join(sorted(_FLAGS))}")
    if "ro" not in words.kept and "rw" not in words.kept:
        words.kept.append("rw")
    if not PROPAGATION.intersection(words.kept):
        words.kept.append("rprivate")
    words.default("nosuid", "nodev")
    return (*words.kept, *(("tmpcopyup",) if copy_up else ()))


def _check_tmpfs_value(key: str, value: str, where: str) -> None:
    number = value
    if key == "size":
        number = value[:-1] if value[-1:].lower() in ("%", "k", "m", "g", "t", "p", "e") else value
    elif key in ("nr_inodes", "nr_blocks"):
        number = value[:-1] if value[-1:].lower() in ("k", "m", "g") else value
    elif key in ("huge", "mpol"):
        return
    if not (number.isascii() and number.isdigit()) or (key == "mode" and set(number) - set("01234567")):
        raise Usage(f"{where}: invalid {key}: {value!r}")


def locked(options: tuple[str, ...], flags: int) -> tuple[str, ...]:
    """Add the flags the source's own mount has: in a user namespace a remount may not take them away.

    Source: mount_namespaces(7), "Restrictions on mount namespaces"; ``flags`` is ``f_flag`` of statvfs(3).
    """
    added = [
        word
        for word, bit in (("nosuid", os.ST_NOSUID), ("nodev", os.ST_NODEV), ("noexec", os.ST_NOEXEC))
        if flags & bit and word not in options and word.removeprefix("no") not in options
    ]
    if flags & os.ST_RDONLY and "rw" in options:
        options = tuple("ro" if word == "rw" else word for word in options)
    return (*options, *added)
