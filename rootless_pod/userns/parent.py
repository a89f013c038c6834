"""Making the user's namespaces: fork a child, map its ids, record it, let it become the pause process."""

from __future__ import annotations

import errno
import os

from rootless_pod.errors import HostUnready, RpodError
from rootless_pod.frozen import Frozen
from rootless_pod.linux import procfs
from rootless_pod.programs.find import find_program
from rootless_pod.programs.run import run
from rootless_pod.userns import messages
from rootless_pod.userns.child import run_child
from rootless_pod.userns.idmap import IdMap, IdRange, format_map, helper_arguments, map_of, parse_map
from rootless_pod.userns.pause import UserNamespace, pause_argv, write_pause
from rootless_pod.userns.subid import lending_command, subordinate_ranges, user_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.paths import Paths

_SYSCTL = "/proc/sys/user/max_user_namespaces"


class MapRefused(RpodError):
    """A full map can't be had here; the message says why, the remedy what an admin would do."""


class Plan(Frozen):
    """How ids shall be mapped; ``by_helper`` through newuidmap and newgidmap, ``direct`` by writing the maps."""

    id_map: IdMap
    kind: str  # "subid" | "single" | "root"
    reason: str


def subid_plan() -> Plan:
    """Return the plan with subordinate ids.

    Raises:
        MapRefused: the user has none, or a helper is missing.
    """
    uids, gids = subordinate_ranges()
    user = user_name(os.getuid())
    if not uids or not gids:
        files = " and ".join(file for ranges, file in ((uids, "/etc/subuid"), (gids, "/etc/subgid")) if not ranges)
        raise MapRefused(
            f"no subordinate ids for {user} in {files}",
            remedy=f"ask an administrator to run: {lending_command(user, uids=not uids, gids=not gids)}",
        )
    for name in ("newuidmap", "newgidmap"):
        if find_program(name) is None:
            raise MapRefused(f"{name} is not installed", remedy="ask an administrator to run: apt-get install uidmap")
    return Plan(
        id_map=IdMap(uids=map_of(os.getuid(), uids), gids=map_of(os.getgid(), gids)),
        kind="subid",
        reason=f"subordinate ids of {user}",
    )


def single_plan(reason: str) -> Plan:
    """Return the plan that needs nothing: the user's own id becomes 0."""
    return Plan(id_map=IdMap(uids=map_of(os.getuid(), ()), gids=map_of(os.getgid(), ())), kind="single", reason=reason)


def root_plan() -> Plan:
    """Return the plan for uid 0 (of the host, or of a container): every id that exists here, unchanged."""

    def identity(path: str) -> tuple[IdRange, ...]:
        return tuple(
            IdRange(container_id=entry.container_id, host_id=entry.container_id, size=entry.size)
            for entry in parse_map(procfs.read_text(path))
        )

    id_map = IdMap(uids=identity("/proc/self/uid_map"), gids=identity("/proc/self/gid_map"))
    return Plan(id_map=id_map, kind="root", reason="running as uid 0: its own ids, unchanged")


def _write_maps_by_helper(pid: int, id_map: IdMap) -> None:
    for name, ranges in (("newuidmap", id_map.uids), ("newgidmap", id_map.gids)):
        program = find_program(name) or name
        done = run([program, *helper_arguments(pid, ranges)], timeout_seconds=20)
        if done.code != 0:
            words = done.stderr.decode(errors="replace").strip().splitlines()
            detail = words[-1] if words else f"exit code {done.code}"
            raise MapRefused(f"{name} failed: {detail}", remedy=helper_remedy(program))


def helper_remedy(program: str) -> str:
    """Say what an administrator does about a newuidmap that is there and fails."""
    try:
        setuid = bool(os.stat(program).st_mode & 0o4000)
    except OSError:
        setuid = False
    try:
        capable = "security.capability" in os.listxattr(program)
    except OSError:
        capable = False
    if not setuid and not capable:
        return f"it has lost its privilege; ask an administrator to run: chmod u+s {program}"
    return "check /etc/subuid and /etc/subgid for overlaps, and that the program's file system is not mounted nosuid"


def _write_maps_directly(pid: int, id_map: IdMap) -> None:
    for file, ranges in (("uid_map", id_map.uids), ("gid_map", id_map.gids)):
        try:
            with open(f"/proc/{pid}/{file}", "wb", buffering=0) as target:
                target.write(format_map(ranges).encode())
        except OSError as cause:
            raise MapRefused(f"writing {file} failed: {cause.strerror}") from cause


def explain_failure(text: str) -> HostUnready:
    """Turn the child's ``STEP ERRNO TEXT`` into a sentence and the command that mends it."""
    step, _, rest = text.partition(" ")
    number, _, words = rest.partition(" ")
    code = int(number) if number.isdigit() else 0
    if step == "unshare":
        return _explain_unshare(code, words)
    if code in (errno.EPERM, errno.EACCES):
        return HostUnready(
            f"this machine lets a user make a user namespace but gives no rights in it ({step}: {words})",
            remedy="AppArmor does this on Ubuntu; ask an administrator to run: "
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        )
    return HostUnready(f"setting up the user namespace failed at {step}: {words}", remedy="run: rpod doctor")


def _explain_unshare(code: int, words: str) -> HostUnready:
    if code in (errno.ENOSPC, errno.EUSERS):
        try:
            limit = procfs.read_text(_SYSCTL).strip()
        except OSError:
            limit = "?"
        why = f"user.max_user_namespaces is {limit}"
        if limit != "0":
            why += ", but as many are in use, or a container around this shell allows none"
        return HostUnready(
            f"no user namespace can be made: {why}",
            remedy="ask an administrator to run, outside of any container: sysctl -w user.max_user_namespaces=28633",
        )
    if code == errno.EPERM and os.path.exists("/proc/sys/kernel/unprivileged_userns_clone"):
        return HostUnready(
            "user namespaces are closed to users (kernel.unprivileged_userns_clone is 0)",
            remedy="ask an administrator to run: sysctl -w kernel.unprivileged_userns_clone=1",
        )
    return HostUnready(
        f"user namespaces are refused here: {words}",
        remedy="ask an administrator whether a container or a security module around this shell forbids them",
    )


def make(paths: Paths, plan: Plan) -> UserNamespace:
    """Make new namespaces by ``plan`` and leave a recorded pause process in them.

    Raises:
        MapRefused: the plan's map can't be written; nothing is left behind.
        HostUnready: the kernel refuses user namespaces; nothing is left behind.
    """
    return _conduct(paths, plan, join_only=False)


def adopt(paths: Paths, namespace: UserNamespace) -> UserNamespace:
    """Leave a new pause process in the namespaces this process is in already (the old one was killed)."""
    plan = Plan(id_map=namespace.id_map, kind="adopted", reason=namespace.reason)
    return _conduct(paths, plan, join_only=True, host=(namespace.host_uid, namespace.host_gid))


def _conduct(paths: Paths, plan: Plan, *, join_only: bool, host: tuple[int, int] | None = None) -> UserNamespace:
    inbox, to_child = _pipe()
    from_child, outbox = _pipe()
    argv = pause_argv()
    host_uid, host_gid = host or (os.getuid(), os.getgid())
    pid = os.fork()
    if pid == 0:
        os.close(to_child)
        os.close(from_child)
        run_child(inbox, outbox, pause_argv=argv, join_only=join_only)
    os.close(inbox)
    os.close(outbox)
    recorded = False
    try:
        _expect(from_child, messages.UNSHARED)
        if plan.kind == "subid":
            _write_maps_by_helper(pid, plan.id_map)
        elif plan.kind == "root":
            _write_maps_directly(pid, plan.id_map)
        messages.send(to_child, messages.MAP_YOURSELF if plan.kind == "single" else messages.MAPPED)
        _expect(from_child, messages.READY)
        namespace = UserNamespace(
            pid=pid,
            started=procfs.start_time(pid) or 0,
            id_map=plan.id_map,
            reason=plan.reason,
            host_uid=host_uid,
            host_gid=host_gid,
        )
        write_pause(paths, namespace)
        messages.send(to_child, messages.RECORDED)
        recorded = True
        return namespace
    finally:
        os.close(to_child)
        os.close(from_child)
        if not recorded:
            os.waitpid(pid, 0)


def _pipe() -> tuple[int, int]:
    return os.pipe2(os.O_CLOEXEC)


def _expect(fd: int, wanted: bytes) -> None:
    got = messages.receive(fd)
    if got == messages.FAILED:
        raise explain_failure(messages.receive_text(fd))
    if got != wanted:
        raise HostUnready("the process that makes the user namespace died", remedy="run: rpod doctor")
