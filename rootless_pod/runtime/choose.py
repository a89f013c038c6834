"""Which OCI runtime: the first that really runs a container here, and why not the others. Hot once it is known.

Order: crun (half the time of runc to create a container), runc. The answer is kept in ``probes_dir`` until the kernel,
the boot, a program or the set-up of cgroups changes.
"""

from __future__ import annotations

import os

from rootless_pod import jsontext
from rootless_pod.errors import HostUnready
from rootless_pod.linux import procfs
from rootless_pod.programs.find import find_program
from rootless_pod.runtime.cgroup2 import CGROUP_ROOT, show_cgroup2, what_is_shown
from rootless_pod.runtime.driver import Choice
from rootless_pod.runtime.oci_cli import OciRuntime, runtime_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ORDER = ("crun", "runc")
_FORMAT = 3
_INSTALL = "install crun or runc (Debian, Ubuntu: apt install crun; Fedora, RHEL: dnf install crun)"


def choose_runtime(
    wanted: str | None,
    *,
    probes_dir: str,
    runtime_root: str,
    cgroup_root: str = CGROUP_ROOT,
    order: tuple[str, ...] = ORDER,
) -> Choice:
    """Return the runtime to use, ready for use by this process; ``wanted`` is a name or a path and excludes the others.

    "Ready" matters on a host with old cgroups: crun then needs cgroup2 to be mounted in our own mount namespace
    (``cgroup2.py``), which is done here, in each process that asks.

    Raises:
        HostUnready: none works; the message has each one's own reason.
    """
    candidates = _candidates((wanted,) if wanted else order)
    shown = what_is_shown(cgroup_root)
    place = f"{probes_dir}/runtime-{(wanted or 'any').replace('/', '_')}.json"
    answer = _read(place)
    key = _key(candidates)
    # An answer that mounts our own view of cgroup2 holds with it in place, and no other does.
    fits = answer is not None and (shown == answer["shown"] or (shown == "ours" and answer["view"]))
    if answer is None or answer["key"] != key or not fits:
        answer = _find(candidates, probes_dir=probes_dir, shown=shown, cgroup_root=cgroup_root)
        answer["key"] = key
        if answer["path"]:  # that nothing works is asked anew: a trial may have been killed
            _keep(place, answer)
    if not answer["path"]:
        raise _none_works(wanted, answer["refused"])
    if answer["view"]:
        show_cgroup2(cgroup_root)
    # Our view begins at the cgroup of the command that mounted it; from another one crun would leave cgroups behind.
    manager = "disabled" if answer["view"] else "cgroupfs"
    root = f"{runtime_root}/{answer['name']}"
    driver = OciRuntime(answer["name"], answer["path"], root, cgroup_manager=manager)
    driver.takes_program = answer["program"]
    refused = tuple((name, reason, remedy) for name, reason, remedy in answer["refused"])
    return Choice(driver=driver, reason=answer["reason"], refused=refused)


def _candidates(names: tuple[str, ...]) -> list[tuple[str, str | None]]:
    """Return (name or path as asked for, path of the program or None)."""
    return [(name, find_program(name)) for name in names]


def _key(candidates: list[tuple[str, str | None]]) -> str:
    """Return what the answer hangs on, apart from the set-up of cgroups."""
    parts = [str(_FORMAT), os.uname().release, procfs.boot_id()]
    for name, path in candidates:
        stamp = os.stat(path).st_mtime_ns if path is not None else 0
        parts.append(f"{name}={path}@{stamp}")
    return " ".join(parts)


def _read(place: str) -> dict[str, Any] | None:
    """Return the kept answer; a damaged one is as good as none."""
    try:
        answer = jsontext.loads(procfs.read_text(place))
    except (OSError, ValueError):
        return None
    wanted = {"key", "shown", "name", "path", "view", "reason", "refused", "program"}
    return answer if isinstance(answer, dict) and wanted <= answer.keys() else None


def _keep(place: str, answer: dict[str, Any]) -> None:
    """Keep the answer; not being able to only costs the next command a trial."""
    from rootless_pod.state.record import write_record

    try:
        write_record(place, answer)
    except OSError:
        pass


def _find(candidates: list[tuple[str, str | None]], *, probes_dir: str, shown: str, cgroup_root: str) -> dict[str, Any]:
    """Try the candidates in order; return the answer to keep (``path`` is empty where none works).

    ``shown`` is what was seen of cgroups when it was found; ``view`` tells whether our own view of cgroup2 is
    needed.
    """
    import shutil
    import tempfile

    from rootless_pod.runtime.probe import prepare_bundle

    refused: list[tuple[str, str, str]] = []
    answer = {
        "shown": shown,
        "name": "",
        "path": "",
        "view": False,
        "reason": "",
        "program": False,
    }
    scratch = tempfile.mkdtemp(prefix=f"probe-runtime-{os.getpid()}-", dir=probes_dir)
    try:
        prepare_bundle(scratch)
        for name, path in candidates:
            if path is None:
                refused.append((name, f"{name} is not installed", _INSTALL))
                continue
            runtime = OciRuntime(runtime_name(path), path, f"{scratch}/state-{runtime_name(path)}")
            view, reason, words = _try(runtime, scratch, shown, cgroup_root)
            if words is None:
                answer |= {"name": runtime.name, "path": path, "view": view, "reason": reason}
                answer["program"] = _takes_program(runtime, scratch, cgroup_root, view=view)
                break
            refused.append((name, words, _remedy(runtime.name, words)))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return {**answer, "refused": refused}


def _try(runtime: OciRuntime, bundle: str, shown: str, cgroup_root: str) -> tuple[bool, str, str | None]:
    """Return (needs our own view of cgroup2, reason for taking it, reason against it)."""
    from rootless_pod.runtime.probe import in_child, probe

    alone = f"{runtime.name} ran a trial container with cgroup2 mounted for us alone"
    if shown == "ours":
        runtime.cgroup_manager = "disabled"
    words = probe(runtime, bundle)
    if words is None and shown == "ours":
        return True, f"{alone} (the host has old cgroups)", None
    if words is None:
        return False, f"{runtime.name} ran a trial container ({shown} cgroups)", None
    if shown in ("ours", "unified") or "cgroup" not in words:
        return False, "", words

    def with_view() -> str | None:
        show_cgroup2(cgroup_root)
        return probe(runtime, bundle)

    runtime.cgroup_manager = "disabled"
    words_with_view = in_child(with_view)
    if words_with_view is None:
        return True, f"{alone} (the host: {shown})", None
    return False, "", f"{words}; with cgroup2 mounted for us alone: {words_with_view}"


def _takes_program(runtime: OciRuntime, bundle: str, cgroup_root: str, *, view: bool) -> bool:
    from rootless_pod.runtime.probe import in_child, obeys_program

    def obeyed() -> str | None:
        if view:
            show_cgroup2(cgroup_root)
        return None if obeys_program(runtime, bundle) else "not obeyed"

    return runtime.name == "crun" and in_child(obeyed) is None


def _remedy(name: str, words: str) -> str:
    """Return what mends a refusal of the runtime ``name``."""
    lower = words.lower()
    if "cgroup" in lower:
        other = "crun" if name == "runc" else "runc"
        return f"use --runtime {other}, or boot with systemd.unified_cgroup_hierarchy=1"
    if "proc" in lower and ("not permitted" in lower or "permission denied" in lower):
        return "run rpod where /proc is not covered by other mounts (an outer container masks it): rpod doctor"
    return "run: rpod doctor"


def _none_works(wanted: str | None, refused: list[list[str]]) -> HostUnready:
    """Return the error for a host without a runtime that works."""
    what = f"runtime {wanted} does not work" if wanted else "no OCI runtime works"
    reasons = "; ".join(reason if reason.startswith(name) else f"{name}: {reason}" for name, reason, _remedy in refused)
    return HostUnready(f"{what} here: {reasons}", remedy=refused[0][2] if refused else _INSTALL)
