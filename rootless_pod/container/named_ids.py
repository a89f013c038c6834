"""``--subuidname`` and ``--subgidname``: the container's ids are those that /etc/subuid and /etc/subgid lend to a name.

A user's own namespace has the ids that are lent to that user, so names act whose ranges lie in it.
Source: podman-run(1); podman 4.3.1 (probed) for words, and for one name standing for both.
"""

from __future__ import annotations

from rootless_pod.errors import Refused, Usage
from rootless_pod.userns.subid import FILES, ranges_of_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.spec.request import SpecRequest
    from rootless_pod.userns.idmap import IdMap, IdRange


def with_named_ids(
    process: SpecRequest, uid_name: str, gid_name: str, id_map: IdMap, *, files: tuple[str, ...] = FILES
) -> SpecRequest:
    """Return the request with the maps that the names stand for; without a name it is as it was.

    Raises:
        Usage: the name has no ids, or maps are given otherwise too.
        Refused: its ids are not in this user's namespace.
    """
    if not uid_name and not gid_name:
        return process
    if process.userns or process.uidmap or process.gidmap:
        raise Usage(
            "--userns and --uidmap/--gidmap/--subuidname/--subgidname are mutually exclusive",
            remedy="leave out --subuidname and --subgidname, or the others",
        )
    return process.replace(
        uidmap=_map_texts(uid_name or gid_name, id_map.uids, "subuid", files[0]),
        gidmap=_map_texts(gid_name or uid_name, id_map.gids, "subgid", files[1]),
    )


def _map_texts(name: str, mapped: tuple[IdRange, ...], kind: str, path: str) -> tuple[str, ...]:
    found = ranges_of_name(path, name, groups=kind == "subgid")
    if not found:
        raise Usage(f'no {kind} ranges found for user "{name}" in {path}', remedy=f"see which names there are: {path}")
    texts = []
    next_id = 0
    for start, count in found:
        pieces = _inner(start, count, mapped)
        if sum(size for _first, size in pieces) != count:
            raise Refused(
                f"the {kind} range {start} to {start + count - 1} of {name} is not in your user namespace",
                remedy="name a user whose ranges are yours, or choose among your ids with --uidmap and --gidmap",
            )
        for first, size in pieces:
            texts.append(f"{next_id}:{first}:{size}")
            next_id += size
    return tuple(texts)


def _inner(start: int, count: int, mapped: tuple[IdRange, ...]) -> list[tuple[int, int]]:
    """Return (first id, size) of the namespace behind host ids, in their order."""
    pieces = []
    for entry in sorted(mapped, key=lambda one: one.host_id):
        first, end = max(start, entry.host_id), min(start + count, entry.host_id + entry.size)
        if first < end:
            pieces.append((entry.container_id + first - entry.host_id, end - first))
    return pieces
