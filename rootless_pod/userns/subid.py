"""Subordinate ids: which ranges the host lends this user.

Source: subuid(5), getsubids(1). Directory services (LDAP, SSSD) answer only through ``getsubids``.
"""

from __future__ import annotations

import os

from rootless_pod.linux import procfs
from rootless_pod.programs.find import find_program
from rootless_pod.programs.run import run
from rootless_pod.userns.idmap import parse_map

MINIMUM = 1
FILES = ("/etc/subuid", "/etc/subgid")
_FIRST, _USUAL = 100_000, 65_536
_NO_HOST_LENDS = 1 << 31


def read_ranges(path: str, user: str, uid: int) -> tuple[tuple[int, int], ...]:
    """Return (start, count) of lines of ``path`` for the user by name or number; malformed lines are passed over."""
    ranges = []
    try:
        with open(path, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                owner, _, rest = line.strip().partition(":")
                start, _, count = rest.partition(":")
                if owner in (user, str(uid)) and start.isdigit() and count.isdigit() and int(count) >= MINIMUM:
                    ranges.append((int(start), int(count)))
    except OSError:
        return ()
    return tuple(ranges)


def parse_getsubids(text: str) -> tuple[tuple[int, int], ...]:
    """Read the output of ``getsubids USER``: ``0: USER START COUNT`` a line."""
    ranges = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 4 and fields[-1].isdigit() and fields[-2].isdigit() and int(fields[-1]) >= MINIMUM:
            ranges.append((int(fields[-2]), int(fields[-1])))
    return tuple(ranges)


def _asked(user: str, *, groups: bool) -> tuple[tuple[int, int], ...]:
    program = find_program("getsubids")
    if program is None:
        return ()
    answer = run([program, *(["-g"] if groups else []), user], timeout_seconds=10)
    return parse_getsubids(answer.stdout.decode(errors="replace")) if answer.code == 0 else ()


def ranges_of_name(path: str, name: str, *, groups: bool) -> tuple[tuple[int, int], ...]:
    """Return the (start, count) that ``path``, or a directory service, lends to this very name."""
    return without_overlaps(read_ranges(path, name, -1) or _asked(name, groups=groups))


def without_overlaps(ranges: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """Drop ranges that overlap an earlier one: the kernel would refuse the whole map."""
    kept: list[tuple[int, int]] = []
    for start, count in ranges:
        if all(start + count <= other or other + size <= start for other, size in kept):
            kept.append((start, count))
    return tuple(kept)


def lending_command(user: str, *, uids: bool, gids: bool, count: int = _USUAL, files: tuple[str, ...] = FILES) -> str:
    """Return the command that lends ``user`` ``count`` ids nobody else has; ``uids``, ``gids``: which are missing."""
    start = max([_FIRST, *(end for path in files for end in _ends(path))])
    span = f"{start}-{start + count - 1}"
    words = [*(["--add-subuids", span] if uids else []), *(["--add-subgids", span] if gids else [])]
    return " ".join(["usermod", *words, user])


def widening_remedy(uid: int, gid: int) -> str:
    """Say what makes ``uid`` and ``gid`` exist in the user namespace this process is in."""
    uids, gids = (parse_map(procfs.read_text(f"/proc/self/{name}_map")) for name in ("uid", "gid"))
    lacking = 1 + max(uid - sum(one.size for one in uids), gid - sum(one.size for one in gids))
    if max(uid, gid) >= _NO_HOST_LENDS:
        return "no host lends ids that high: the image must be built with smaller ones"
    command = lending_command(user_name(uids[0].host_id), uids=True, gids=True, count=max(lacking, _USUAL))
    return f"ask an administrator to run: {command}; then run: rpod system migrate"


def _ends(path: str) -> list[int]:
    try:
        with open(path, encoding="utf-8", errors="replace") as lines:
            rows = [line.strip().split(":") for line in lines]
    except OSError:
        return []
    return [int(row[1]) + int(row[2]) for row in rows if len(row) == 3 and row[1].isdigit() and row[2].isdigit()]


def user_name(uid: int) -> str:
    """Return the user's name, or the number where no directory knows it."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def subordinate_ranges() -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]:
    """Return the user's subordinate (uid ranges, gid ranges); empty where there are none."""
    uid = os.getuid()
    user = user_name(uid)
    uids = read_ranges("/etc/subuid", user, uid) or _asked(user, groups=False)
    gids = read_ranges("/etc/subgid", user, uid) or _asked(user, groups=True)
    return without_overlaps(uids), without_overlaps(gids)
