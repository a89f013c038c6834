"""Named and anonymous volumes: a directory each, made complete under another name and renamed. HOT.

``volumes/NAME/_data`` is what containers see, ``volumes/NAME/volume.json`` the record, ``volumes/NAME/lock`` held
while the first container's content is copied in. The directory *is* the volume: no index can disagree with it.
"""

from __future__ import annotations

import errno
import os

from rootless_pod.errors import Conflict, Corrupt, NotFound, Refused
from rootless_pod.frozen import Frozen
from rootless_pod.state.events import emit
from rootless_pod.state.lock import Lock
from rootless_pod.state.names import check_name
from rootless_pod.state.record import NewerRecord, read_record, write_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, Literal

    from rootless_pod.paths import Paths

_RECORD = "volume.json"
_DRIVER = "driver.json"
_MEND = "run: rpod system check --repair"


class Volume(Frozen):
    """One volume. ``created_ns`` is Unix time in nanoseconds; ``needs_copy_up``: no container has filled it yet.

    ``path`` is its directory here; one of a driver is reached where ``volumes/mounted.py`` mounts it. ``detail`` is
    what its driver has to know.
    """

    name: str
    path: str
    created_ns: int = 0
    labels: Mapping[str, str] = {}
    options: Mapping[str, str] = {}
    anonymous: bool = False
    needs_copy_up: bool = False
    driver: str = "local"
    detail: Mapping[str, Any] = {}


def new_name(name: str | None) -> str:
    """Return a checked name, or one of 64 hexadecimal digits (raises Usage)."""
    return check_name(name) if name else os.urandom(32).hex()


def create(
    paths: Paths,
    name: str | None = None,
    *,
    labels: Mapping[str, str] | None = None,
    driven: Mapping[str, Any] | None = None,
    anonymous: bool = False,
    exist_ok: bool = False,
) -> Volume:
    """Make a volume; without a name it gets one of 64 hexadecimal digits.

    ``driven`` is what ``volumes/drivers.py`` keeps of one that is more than a plain directory.

    Raises:
        Usage: a name that can't be one.
        Conflict: it exists, and not ``exist_ok``.
    """
    name = new_name(name)
    if exist_ok and os.path.isdir(_directory(paths, name)):
        return read(paths, name)
    staging = _aside(paths, name)
    os.makedirs(f"{staging}/_data", mode=0o755)
    # Whatever the umask says: every user of the container has to get in.
    os.chmod(f"{staging}/_data", 0o755)  # noqa: S103
    record = {
        "name": name,
        "created_ns": _now_ns(),
        "labels": dict(labels or {}),
        "anonymous": anonymous,
        "needs_copy_up": True,
    }
    if driven is not None:
        record["driven"] = True
        _prepare_driven(staging, driven)
    write_record(f"{staging}/{_RECORD}", record)
    try:
        os.rename(staging, _directory(paths, name))
    except OSError as cause:
        _delete_tree(staging)
        if cause.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        if not exist_ok:
            raise Conflict(f"volume with name {name} already exists", remedy="use another name") from cause
    else:
        emit(paths, "volume", "create", id="", name=name)
    return read(paths, name)


def _prepare_driven(staging: str, driven: Mapping[str, Any]) -> None:
    write_record(f"{staging}/{_DRIVER}", dict(driven))
    if driven.get("uid") or driven.get("gid"):
        from rootless_pod.volumes.drivers import give_directory

        try:
            give_directory(f"{staging}/_data", driven["uid"], driven["gid"])
        except Refused:
            _delete_tree(staging)
            raise


def _now_ns() -> int:
    import time

    return time.time_ns()


def _directory(paths: Paths, name: str) -> str:
    return f"{paths.volumes}/{name}"


def _aside(paths: Paths, name: str) -> str:
    """Return a place for what is half made or half removed, as ``sweep`` knows it; a file's name has 255 bytes."""
    return f"{paths.volumes}/.{name[:200]}.{os.getpid()}.{os.urandom(4).hex()}"


def exists(paths: Paths, name: str) -> bool:
    """Tell whether there is a volume of exactly this name."""
    return "/" not in name and not name.startswith(".") and os.path.isdir(_directory(paths, name))


def read(paths: Paths, name: str) -> Volume:
    """Return one volume.

    Raises:
        NotFound: there is none of this name.
        Corrupt: its record is damaged.
    """
    if not exists(paths, name):
        raise NotFound(f"no such volume {name}", remedy="see: rpod volume ls")
    return _volume(paths, name, read_record(f"{_directory(paths, name)}/{_RECORD}"))


def is_driven(paths: Paths, name: str) -> bool:
    """Tell whether a volume has to be mounted before it can be used."""
    if not os.path.exists(f"{_directory(paths, name)}/{_DRIVER}"):
        return False
    return bool(read_record(f"{_directory(paths, name)}/{_DRIVER}").get("is_mounted"))


def _volume(paths: Paths, name: str, record: dict[str, Any]) -> Volume:
    detail = read_record(f"{_directory(paths, name)}/{_DRIVER}") if record.get("driven") else {}
    try:
        return Volume(
            name=name,
            path=f"{_directory(paths, name)}/_data",
            created_ns=int(record.get("created_ns", 0)),
            labels=dict(record.get("labels") or {}),
            anonymous=bool(record.get("anonymous")),
            needs_copy_up=bool(record.get("needs_copy_up")),
            driver=str(detail.get("driver") or "local"),
            options=dict(detail.get("options") or {}),
            detail=detail,
        )
    except (TypeError, ValueError) as cause:
        remedy = f"{_MEND}; or remove it: rpod volume rm -f {name}"
        raise Corrupt(f"the record of volume {name} is damaged: {cause}", remedy=remedy) from cause


def find(paths: Paths, text: str) -> Volume:
    """Return the volume of this name, or the only one whose name starts so.

    Raises:
        NotFound: none fits.
        Conflict: several do.
        Corrupt: its record is damaged.
    """
    return read(paths, find_name(paths, text))


def find_name(paths: Paths, text: str) -> str:
    """Return the name of the volume that ``text`` means; its record may be damaged.

    Raises:
        NotFound, Conflict: as ``find``.
    """
    if exists(paths, text):
        return text
    fitting = [name for name in names(paths) if text and name.startswith(text)]
    if not fitting:
        raise NotFound(f"no volume with name {text!r} found", remedy="see: rpod volume ls")
    if len(fitting) > 1:
        raise Conflict(f"more than one volume starts with {text!r}", remedy="write more of the name")
    return fitting[0]


def names(paths: Paths) -> list[str]:
    """Return the names of all volumes, sorted."""
    try:
        return sorted(name for name in os.listdir(paths.volumes) if not name.startswith("."))
    except FileNotFoundError:
        return []


def list_volumes(paths: Paths) -> list[Volume]:
    """Return all volumes by name; one removed meanwhile is left out, one with a damaged record is shown without it."""
    found = []
    for name in names(paths):
        try:
            found.append(_volume(paths, name, read_record(f"{_directory(paths, name)}/{_RECORD}")))
        except (NotFound, Corrupt):
            if exists(paths, name):
                found.append(_volume(paths, name, {}))
    return found


def fault_of(paths: Paths, name: str) -> str:
    """Return what is damaged of a volume, "" if nothing is."""
    try:
        found = read(paths, name)
    except NotFound:
        return "its record is gone" if exists(paths, name) else ""
    except Corrupt as error:
        return error.message
    return "" if os.path.isdir(found.path) else "its directory _data is gone"


def mend(paths: Paths, name: str) -> bool:
    """Give a damaged volume a record and a directory again; what is in it stays. Return whether it is whole now.

    Its labels are lost with its record. One of a newer rpod is left alone.
    """
    directory = _directory(paths, name)
    try:
        with Lock(f"{directory}/lock"):
            try:
                read(paths, name)
            except NewerRecord:
                return False
            except (Corrupt, NotFound):
                made_ns = os.stat(directory).st_mtime_ns
                record = {"name": name, "created_ns": made_ns, "labels": {}}
                if os.path.exists(f"{directory}/{_DRIVER}"):
                    record["driven"] = True
                write_record(f"{directory}/{_RECORD}", record)
            if not os.path.isdir(f"{directory}/_data"):
                os.mkdir(f"{directory}/_data", 0o755)
                os.chmod(f"{directory}/_data", 0o755)  # noqa: S103 - every user of the container has to get in
    except OSError:
        return False
    return not fault_of(paths, name)


def remove(paths: Paths, name: str, *, used_by: Sequence[str] = ()) -> None:
    """Remove a volume and its content; gone already is fine. ``used_by`` are the containers that mount it.

    The directory is moved aside first: a half-removed volume is never seen under its name.

    Raises:
        Conflict: containers use it.
        HostUnready: it is gone, but its plugin could not be asked to remove it.
        ProgramFailed: its plugin does not remove it.
    """
    if used_by:
        listed = ", ".join(container[:12] for container in used_by)
        raise Conflict(
            f"volume {name} is being used by the following container(s): {listed}",
            remedy=f"rpod volume rm --force {name}",
        )
    aside = _aside(paths, name)
    problem = None
    try:
        if os.path.exists(f"{_directory(paths, check_name(name))}/{_DRIVER}"):
            from rootless_pod.volumes.drivers import put_away

            problem = put_away(paths, name, aside)
        else:
            os.rename(_directory(paths, name), aside)
    except FileNotFoundError:
        return
    emit(paths, "volume", "remove", id="", name=name)
    _delete_tree(aside)
    if problem is not None:
        raise problem


def prune(paths: Paths, used: Iterable[str], *, anonymous_only: bool = False) -> list[str]:
    """Remove every volume whose name is not in ``used``; return the names removed."""
    kept, removed = set(used), []
    for found in list_volumes(paths):
        if found.name in kept or (anonymous_only and not found.anonymous):
            continue
        remove(paths, found.name)
        removed.append(found.name)
    return removed


def sweep(paths: Paths) -> int:
    """Delete what killed commands left half made or half removed; return how many."""
    count = 0
    for name in os.listdir(paths.volumes) if os.path.isdir(paths.volumes) else ():
        parts = name.split(".")
        if name.startswith(".") and len(parts) >= 4 and parts[-2].isdigit() and not _runs(int(parts[-2])):
            _delete_tree(f"{paths.volumes}/{name}")
            count += 1
    return count


def _runs(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


def _delete_tree(path: str) -> None:
    from rootless_pod.linux.tree import remove_tree

    try:
        remove_tree(path)
    except OSError:
        return  # what can't go now is left to ``sweep``


def fill(paths: Paths, found: Volume, rootfs: str, target: str) -> Literal["copied", "absent", "kept"]:
    """Copy what the image has at ``target`` into a volume that nobody filled before.

    The copy is complete beside ``_data`` before its files are moved there, so that a killed command's is made anew or
    moved on. ``_data`` itself stays: a container that mounts it without a copy sees that very directory. Returns
    ``absent`` where the image has no such directory (the volume stays empty), ``kept`` where the volume has content or
    another command was first.
    """
    from rootless_pod.volumes.copyup import copy_directory, move_entries

    directory = _directory(paths, found.name)
    try:
        lock = Lock(f"{directory}/lock")
        with lock:
            record = read_record(f"{directory}/{_RECORD}")
            if not record.get("needs_copy_up"):
                return "kept"
            outcome: Literal["copied", "absent", "kept"] = "kept"
            staging, complete = f"{directory}/.copying", f"{directory}/.copied"
            if os.path.isdir(complete):
                outcome = "copied"
            elif not os.listdir(found.path) and _copies_up(found):
                _delete_tree(staging)
                os.mkdir(staging, 0o755)
                outcome = "copied" if copy_directory(rootfs, target, staging) else "absent"
                if outcome == "copied":
                    _give(found, staging)
                    os.rename(staging, complete)
                else:
                    os.rmdir(staging)
            if outcome == "copied":
                move_entries(complete, found.path)
                _delete_tree(complete)
            write_record(f"{directory}/{_RECORD}", {**record, "needs_copy_up": False})
            return outcome
    except OSError as cause:
        raise Refused(
            f"cannot fill the volume {found.name} from {target} of the image: {cause.strerror}",
            remedy="use the option nocopy",
        ) from cause


def _give(found: Volume, path: str) -> None:
    if found.detail.get("uid") or found.detail.get("gid"):
        os.chown(path, found.detail["uid"], found.detail["gid"])


def _copies_up(found: Volume) -> bool:
    if not found.options:
        return True
    from rootless_pod.volumes.options import copies_up

    return copies_up(found.options)


def inner_path(found: Volume, subpath: str) -> str:
    """Return a directory or file inside the volume; no symbolic link leads out of it.

    Raises:
        NotFound: there is none.
    """
    from rootless_pod.linux.inroot import open_in_root

    try:
        fd = open_in_root(found.path, subpath, os.O_PATH)
    except OSError as cause:
        raise NotFound(f"volume {found.name} has no {subpath!r}: {cause.strerror}") from cause
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
