"""User namespaces of a container inside the user's own one: the arithmetic of id ranges. Pure. HOT.

rpod is uid 0 of the user's namespace (0 = the user, 1… = the subordinate ids, or 0 alone). By default a
container has no namespace of its own. Where it has one, ``IdRange.host_id`` is an id of the *user's* namespace.
Source: podman 4.3.1 (the same ranges, probed), user_namespaces(7).
"""

from __future__ import annotations

from rootless_pod.errors import HostUnready, Refused, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.fuse.driver import IdShift, ShiftRange
from rootless_pod.spec.quantities import parse_int
from rootless_pod.userns.idmap import IdRange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless_pod.userns.idmap import IdMap

_MODES = "host, private, keep-id[:uid=N,gid=N], nomap, ns:PATH or container:ID"
_LAST_ID = (1 << 32) - 2


class UserMapping(Frozen):
    """The container's own user namespace, or none (``own`` False).

    ``path`` is a namespace to join; else one is made with ``uids`` and ``gids``. ``default_user`` is whom the
    process is if nobody says; ``keeps_user`` that the caller's own name belongs to it; ``reason`` why it is there
    though nobody asked.
    """

    own: bool = False
    path: str = ""
    uids: tuple[IdRange, ...] = ()
    gids: tuple[IdRange, ...] = ()
    default_user: str = ""
    keeps_user: bool = False
    reason: str = ""


NO_MAPPING = UserMapping()


def plan_mapping(
    mode: str,
    id_map: IdMap,
    *,
    uidmap: Sequence[str] = (),
    gidmap: Sequence[str] = (),
    join_path: str | None = None,
) -> UserMapping:
    """Turn ``--userns`` (and ``--uidmap``, ``--gidmap``) into ranges; ``join_path`` is that of ``container:ID``.

    Raises:
        Usage: the mode or a range is wrong.
        HostUnready: the mode needs more ids than this user has.
        Refused: ``auto``, which rpod does not do.
    """
    if join_path:
        return UserMapping(own=True, path=join_path)
    word, _, options = mode.partition(":")
    if uidmap or gidmap:
        if word not in ("", "private"):
            raise Usage(f"--uidmap and --gidmap can't go with --userns {mode}")
        return _explicit(uidmap or gidmap, gidmap or uidmap, id_map)
    if word in ("", "host") and not options:
        return NO_MAPPING
    if word == "keep-id":
        return _keep_id(options, id_map)
    if word == "private" and not options:
        return _own(_whole(id_map.uids), _whole(id_map.gids), id_map)
    if word == "nomap" and not options:
        return _no_map(id_map)
    if word == "ns" and options.startswith("/"):
        return UserMapping(own=True, path=options)
    if word == "auto":
        raise Refused(
            "--userns auto is not supported: it hands out a part of the subordinate ids to each container",
            remedy="use --userns nomap to keep the container away from your own id, or --uidmap and --gidmap",
        )
    raise Usage(f"unrecognized user namespace mode {mode!r}", remedy=f"use {_MODES}")


def imply_mapping(uid: int, gid: int, id_map: IdMap) -> UserMapping:
    """With a single id, let a process that is not root in the container be that id: a map of one uid and one gid."""
    uids, gids = keep_ranges(id_map.uids, uid), keep_ranges(id_map.gids, gid)
    reason = f"there is one id only, so the container's user {uid}:{gid} is mapped to it"
    return UserMapping(own=True, uids=uids, gids=gids, reason=reason)


def _own(uids: tuple[IdRange, ...], gids: tuple[IdRange, ...], id_map: IdMap) -> UserMapping:
    return UserMapping(own=True, uids=split_at(uids, id_map.uids), gids=split_at(gids, id_map.gids))


def split_at(ranges: tuple[IdRange, ...], parent: tuple[IdRange, ...]) -> tuple[IdRange, ...]:
    """Cut ``ranges`` where those of the parent namespace end: the kernel refuses one that lies in two of them.

    Source: user_namespaces(7), "Defining user and group ID mappings"; ``map_id_range_down`` in the kernel.
    """
    pieces = []
    for entry in ranges:
        for outer in parent:
            start = max(entry.host_id, outer.container_id)
            end = min(entry.host_id + entry.size, outer.container_id + outer.size)
            if start < end:
                pieces.append(_range(entry.container_id + start - entry.host_id, start, end - start))
    return tuple(pieces)


def size_of(ranges: tuple[IdRange, ...]) -> int:
    """Return how many ids ``ranges`` have."""
    return sum(entry.size for entry in ranges)


def keep_ranges(parent: tuple[IdRange, ...], kept: int, *, limit: int | None = None) -> tuple[IdRange, ...]:
    """Map the container id ``kept`` to 0 (the user), the others to the subordinate ids in order.

    ``limit`` is how many ids the container has at most.
    """
    others = size_of(parent) - 1
    if limit is not None:
        others = min(others, max(limit - 1, 0))
    ranges = []
    below = min(kept, others)
    if below:
        ranges.append(_range(0, 1, below))
    ranges.append(_range(kept, 0, 1))
    if others > kept:
        ranges.append(_range(kept + 1, kept + 1, others - kept))
    return tuple(ranges)


def _range(container_id: int, host_id: int, size: int) -> IdRange:
    return IdRange(container_id=container_id, host_id=host_id, size=size)


def _keep_id(options: str, id_map: IdMap) -> UserMapping:
    uid, gid, size = id_map.uids[0].host_id, id_map.gids[0].host_id, None
    for option in filter(None, options.split(",")):
        key, _, value = option.partition("=")
        number = parse_int(value, f"--userns keep-id:{key}", minimum=0, maximum=_LAST_ID)
        if key == "uid":
            uid = number
        elif key == "gid":
            gid = number
        elif key == "size":
            size = number
        else:
            raise Usage(f"unknown option {option!r} of --userns keep-id", remedy="use uid=N, gid=N and size=N")
    uids, gids = keep_ranges(id_map.uids, uid, limit=size), keep_ranges(id_map.gids, gid, limit=size)
    return _own(uids, gids, id_map).replace(default_user=f"{uid}:{gid}", keeps_user=not options)


def _no_map(id_map: IdMap) -> UserMapping:
    if id_map.single_id:
        from rootless_pod.userns.subid import widening_remedy

        why = "--userns nomap needs subordinate ids, and this user has none"
        raise HostUnready(why, remedy=widening_remedy(1, 1))
    uids, gids = _range(0, 1, size_of(id_map.uids) - 1), _range(0, 1, size_of(id_map.gids) - 1)
    return _own((uids,), (gids,), id_map)


def _explicit(uidmap: Sequence[str], gidmap: Sequence[str], id_map: IdMap) -> UserMapping:
    uids = parse_ranges(uidmap, "--uidmap", size_of(id_map.uids))
    return _own(uids, parse_ranges(gidmap, "--gidmap", size_of(id_map.gids)), id_map)


def parse_ranges(texts: Sequence[str], option: str, available: int) -> tuple[IdRange, ...]:
    """Parse ``container:inner:size`` texts; inner ids are those of the user's namespace, 0 … ``available`` - 1.

    Raises:
        Usage: a text is wrong, ranges overlap, or an id is not there.
    """
    ranges: list[IdRange] = []
    for text in texts:
        parts = text.split(":")
        if len(parts) not in (2, 3):
            raise Usage(f"{option} {text!r} is not a range", remedy="write CONTAINER_ID:ID:SIZE")
        first, inner, size = (parse_int(part, option, minimum=0, maximum=_LAST_ID) for part in (*parts, "1")[:3])
        if size < 1 or inner + size > available:
            raise Usage(f"{option} {text!r} needs ids up to {inner + size - 1}; this user has 0 to {available - 1}")
        for other in ranges:
            inside = first < other.container_id + other.size and other.container_id < first + size
            outside = inner < other.host_id + other.size and other.host_id < inner + size
            if inside or outside:
                raise Usage(f"{option} {text!r} overlaps another range")
        ranges.append(_range(first, inner, size))
    return tuple(ranges)


def to_parent(ranges: tuple[IdRange, ...], container_id: int) -> int | None:
    """Return the id of the user's namespace behind a container's id, or None if it has none."""
    for entry in ranges:
        if entry.container_id <= container_id < entry.container_id + entry.size:
            return entry.host_id + container_id - entry.container_id
    return None


def id_shift(mapping: UserMapping, id_map: IdMap) -> IdShift | None:
    """Return how storage has to show the image's files in this container's namespace; None if as they are.

    A single id owns every file already, and a namespace that is joined is somebody else's to shift.
    """
    if not mapping.own or mapping.path or id_map.single_id:
        return None
    if all(entry.container_id == entry.host_id for entry in (*mapping.uids, *mapping.gids)):
        return None
    return IdShift(uids=_shift_ranges(mapping.uids), gids=_shift_ranges(mapping.gids))


def _shift_ranges(ranges: tuple[IdRange, ...]) -> tuple[ShiftRange, ...]:
    return tuple(
        ShiftRange(container_id=entry.container_id, parent_id=entry.host_id, size=entry.size) for entry in ranges
    )


def mapping_json(ranges: tuple[IdRange, ...]) -> list[dict[str, int]]:
    """Return the ranges as the runtime-spec writes them."""
    return [
        {"containerID": entry.container_id, "hostID": entry.host_id, "size": entry.size}
        for entry in sorted(ranges, key=lambda entry: entry.container_id)
    ]


def require_mapped(uid: int, gid: int, mapping: UserMapping, id_map: IdMap) -> None:
    """Check that the process's own ids exist in its user namespace.

    Raises:
        Refused: one does not; the remedy is the option that gives it one.
    """
    if mapping.path:
        return
    uids, gids = (mapping.uids, mapping.gids) if mapping.own else (_whole(id_map.uids), _whole(id_map.gids))
    for kind, number, ranges in (("user", uid, uids), ("group", gid, gids)):
        if to_parent(ranges, number) is None:
            from rootless_pod.userns.subid import widening_remedy

            more = "" if mapping.own else f", or {widening_remedy(uid, gid)}"
            raise Refused(
                f"{kind} id {number} does not exist in the container: it has {_spelled(ranges)}",
                remedy=f"use --userns keep-id:uid={uid},gid={gid}{more}",
            )


def _whole(ranges: tuple[IdRange, ...]) -> tuple[IdRange, ...]:
    return (_range(0, 0, size_of(ranges)),)


def _spelled(ranges: tuple[IdRange, ...]) -> str:
    return ", ".join(
        str(entry.container_id) if entry.size == 1 else f"{entry.container_id} to {entry.container_id + entry.size - 1}"
        for entry in sorted(ranges, key=lambda entry: entry.container_id)
    )
