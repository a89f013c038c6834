"""Joining the user's own namespaces, or making them: the first thing a command that touches containers does.

After ``enter`` this process is uid 0 of a user namespace that only this user owns, with a mount namespace of
its own. It must have one thread when it calls. Source: user_namespaces(7), setns(2); ARCHITECTURE, decision 4.
"""

from __future__ import annotations

import os

from rootless_pod import log
from rootless_pod.errors import HostUnready
from rootless_pod.linux import namespaces, procfs
from rootless_pod.modulecache import INSIDE
from rootless_pod.state.lock import Lock
from rootless_pod.userns.idmap import IdMap, IdRange, parse_map
from rootless_pod.userns.pause import UserNamespace, living_containers, living_members, read_pause

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.paths import Paths


def enter(paths: Paths) -> UserNamespace:
    """Join the user's namespaces, making them first if this boot has none.

    Idempotent: a process already inside (started by ``rpod unshare``, or a monitor's exit command) stays where it is.

    Raises:
        HostUnready: the kernel refuses user namespaces; the remedy says what mends it.
    """
    namespace = read_pause(paths)
    if namespace is not None and _join(namespace.pid, namespace.started):
        return namespace
    with Lock(f"{paths.bootroot}/pause.lock"):
        namespace = read_pause(paths)
        if namespace is not None and _join(namespace.pid, namespace.started):
            return namespace
        if os.environ.get(INSIDE) == str(_own_namespace()):
            return _adopt(paths, os.getpid(), procfs.start_time(os.getpid()) or 0)
        return _adopt_living(paths) or _make(paths)


def hold(paths: Paths, namespace: UserNamespace) -> None:
    """Make sure that later commands find the namespaces this process is in: the pause process may have been killed.

    Whoever calls it is named in a ``monitor.json`` by then: a command that finds no pause process joins us.

    Raises:
        HostUnready: another command made new namespaces since; what is mounted here would be seen by nobody.
    """
    if procfs.is_alive(namespace.pid, namespace.started):
        return
    with Lock(f"{paths.bootroot}/pause.lock"):
        found = read_pause(paths)
        if found is None:
            _adopt(paths, os.getpid(), procfs.start_time(os.getpid()) or 0)
        elif os.stat(f"/proc/{found.pid}/ns/mnt").st_ino != os.stat("/proc/self/ns/mnt").st_ino:
            raise HostUnready(
                "the pause process was killed while this command ran, and another command made new namespaces",
                remedy="run the same command again",
            )


def leave_mark(environment: dict[str, str]) -> dict[str, str]:
    """Return ``environment`` with the mark by which a command started inside knows that it need not enter again."""
    return {**environment, INSIDE: str(_own_namespace())}


def _own_namespace() -> int:
    return os.stat("/proc/self/ns/user").st_ino


def _join(pid: int, started: int) -> bool:
    """Join the namespaces of ``pid`` if it still is the process that started at ``started``."""
    try:
        if os.stat(f"/proc/{pid}/ns/user").st_ino == os.stat("/proc/self/ns/user").st_ino:
            return True
        opened = [os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in ("user", "mnt")]
    except OSError:
        return False
    try:
        if not procfs.is_alive(pid, started):
            return False
        # Read, not opened: it may be another user's private one (sudo -u U, from root's home).
        working_directory = os.readlink("/proc/self/cwd")
        namespaces.setns(opened[0], namespaces.CLONE_NEWUSER)
        namespaces.setns(opened[1], namespaces.CLONE_NEWNS)
        _return_to(working_directory)
    except OSError as cause:
        raise HostUnready(
            f"cannot join the user namespace of process {pid}: {cause.strerror}",
            remedy="run: rpod system migrate",
        ) from cause
    finally:
        for fd in opened:
            os.close(fd)
    return True


def _return_to(path: str) -> None:
    """Go back to the working directory, which setns(2) of a mount namespace sets to ``/``.

    Where that is deleted or not ours to enter, go to one that is deleted: below ``/`` a relative path
    (``-v .:/work``) would mean another file.
    """
    try:
        os.chdir(path)
    except OSError:
        nowhere = f"/tmp/.rpod-{os.getpid()}-{os.urandom(6).hex()}"  # noqa: S108 - made here or not used
        try:
            os.mkdir(nowhere, 0o700)
            os.chdir(nowhere)
            os.rmdir(nowhere)
        except OSError as cause:
            log.debug(f"the working directory is now /: {cause}")


def _adopt_living(paths: Paths) -> UserNamespace | None:
    """Take over namespaces whose pause process was killed while containers live on in them."""
    for pid, started in living_members(paths):
        if _join(pid, started):
            return _adopt(paths, pid, started)
    for pid, started in living_containers(paths):
        if _join_users_of(pid, started):
            return _adopt(paths, pid, started)
    return None


def _join_users_of(pid: int, started: int) -> bool:
    """Join the user namespace that the container's process ``pid`` lives in or below, with a new mount namespace.

    Its monitor is dead as well; without this nobody could end what runs in it under a subordinate id.
    """
    from rootless_pod.linux import mount

    try:
        user = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        own = os.stat("/proc/self/ns/user").st_ino
        while os.fstat(user).st_ino != own:
            above = namespaces.parent(user)
            if os.fstat(above).st_ino == own:
                os.close(above)
                break
            os.close(user)
            user = above
        if os.fstat(user).st_ino == own or not procfs.is_alive(pid, started):
            return False
        namespaces.setns(user, namespaces.CLONE_NEWUSER)
        namespaces.unshare(namespaces.CLONE_NEWNS)
        mount.set_propagation("/", mount.MS_REC | mount.MS_SLAVE)
    except OSError:
        return False
    finally:
        os.close(user)
    return True


def _adopt(paths: Paths, pid: int, started: int) -> UserNamespace:
    """Leave a new pause process in the namespaces this process is in; ``pid`` is any member."""
    from rootless_pod.userns.parent import adopt

    # Read from inside, the outer column of the maps is the parent namespace's: the ids of the host.
    id_map = IdMap(
        uids=parse_map(procfs.read_text("/proc/self/uid_map")),
        gids=parse_map(procfs.read_text("/proc/self/gid_map")),
    )
    found = UserNamespace(
        pid=pid,
        started=started,
        id_map=id_map,
        reason="taken over from a living process",
        host_uid=_outside(id_map.uids),
        host_gid=_outside(id_map.gids),
    )
    return adopt(paths, found)


def _outside(ranges: tuple[IdRange, ...]) -> int:
    """Return the host's id of id 0 inside."""
    return next((entry.host_id for entry in ranges if entry.container_id == 0), 0)


def _make(paths: Paths) -> UserNamespace:
    from rootless_pod.userns import parent

    if os.geteuid() == 0:
        namespace = parent.make(paths, parent.root_plan())
    else:
        try:
            namespace = parent.make(paths, parent.subid_plan())
        except parent.MapRefused as refused:
            namespace = parent.make(paths, parent.single_plan(refused.message))
            remedy = f"; for more ids {refused.remedy}" if refused.remedy else ""
            log.notice_once(
                f"{paths.bootroot}/single-id.told",
                f"using one id (yours) in containers: {refused.message}{remedy}",
            )
    if not _join(namespace.pid, namespace.started):
        raise HostUnready("the new pause process died at once", remedy="run: rpod doctor")
    return namespace
