"""Checks of the user namespace: made anew in a throw-away child, so what is told is true now and not since the boot."""

from __future__ import annotations

import os
import signal

from rootless_pod.doctor.finding import FAILED, LIMITED, Finding, from_error, ok, useful
from rootless_pod.errors import RpodError
from rootless_pod.linux import procfs
from rootless_pod.programs.find import find_program
from rootless_pod.userns import parent
from rootless_pod.userns.pause import read_pause
from rootless_pod.userns.subid import lending_command, subordinate_ranges, user_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.paths import Paths
    from rootless_pod.userns.pause import UserNamespace

ENOUGH_IDS = 65536
"""What images expect: ids up to 65535. Source: useradd's SUB_UID_COUNT; Debian's nobody is 65534."""


def check_namespace(paths: Paths) -> list[Finding]:
    """Make a user namespace with all ids there are, else with one, and end it again."""
    if os.geteuid() == 0:
        _make_and_end(paths, parent.root_plan())
        return [ok("user namespace", "works, as root with its own ids")]
    findings: list[Finding] = []
    single = True
    try:
        plan = parent.subid_plan()
        _make_and_end(paths, plan)
        findings.append(_ids_finding())
        single = False
    except parent.MapRefused as refused:
        findings.append(
            Finding(
                subject="subordinate ids",
                state=LIMITED,
                text=f"{refused.message}: containers have one id, yours",
                remedy=useful(refused.remedy or ""),
            )
        )
    except RpodError as error:
        return [from_error("user namespace", FAILED, error)]
    if single:
        try:
            _make_and_end(paths, parent.single_plan("trial"))
        except RpodError as error:
            return [from_error("user namespace", FAILED, error), *findings]
    return [ok("user namespace", "can be made"), *findings, *_check_stale(paths, single=single)]


def _make_and_end(paths: Paths, plan: parent.Plan) -> None:
    """Make namespaces by ``plan``, recorded in a scratch directory, and end their pause process (raises RpodError)."""
    from rootless_pod.linux.tree import remove_tree

    scratch = paths.replace(runroot=f"{paths.bootroot}/.doctor-{os.urandom(6).hex()}")
    os.makedirs(scratch.bootroot, mode=0o700)
    try:
        made = parent.make(scratch, plan)
        _end(made)
    finally:
        remove_tree(scratch.runroot)


def _end(namespace: UserNamespace) -> None:
    if procfs.is_alive(namespace.pid, namespace.started):
        os.kill(namespace.pid, signal.SIGKILL)
        os.waitpid(namespace.pid, 0)


def _ids_finding() -> Finding:
    uids, gids = subordinate_ranges()
    counts = tuple(sum(count for _start, count in ranges) for ranges in (uids, gids))
    how = f"by {find_program('newuidmap')}"
    if min(counts) >= ENOUGH_IDS:
        return ok("subordinate ids", f"{counts[0]} uids and {counts[1]} gids, mapped {how}")
    user = user_name(os.getuid())
    return Finding(
        subject="subordinate ids",
        state=LIMITED,
        text=f"only {counts[0]} uids and {counts[1]} gids: images that use higher ids can't be unpacked",
        remedy=f"ask an administrator to run: {lending_command(user, uids=True, gids=True)}",
    )


def _check_stale(paths: Paths, *, single: bool) -> list[Finding]:
    """Tell when the namespace in use was made under other conditions."""
    held = read_pause(paths)
    if held is None or held.single_id == single:
        return []
    text = f"the one in use was made earlier and has {'one id' if held.single_id else 'other ids'} ({held.reason})"
    return [Finding(subject="user namespace in use", state=LIMITED, text=text, remedy="run: rpod system migrate")]
