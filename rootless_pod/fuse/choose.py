"""Choose the storage driver by trying; answers are kept until something they rest on changes."""

from __future__ import annotations

import os

from rootless_pod import jsontext
from rootless_pod.errors import HostUnready, RpodError, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.state import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.fuse.driver import StorageDriver

ORDER = ("overlay", "fuse-overlayfs", "pyfuse3", "copy")
ALIASES = {"vfs": "copy"}
"""What other tools call a driver."""
PROBE_SECONDS = 30.0
_FORMAT = 1


class Choice(Frozen):
    """The driver, why it was taken, and those refused before it as (name, reason, remedy)."""

    driver: StorageDriver
    reason: str
    refused: tuple[tuple[str, str, str], ...] = ()


def driver_named(name: str) -> StorageDriver:
    """Return the driver called ``name``.

    Raises:
        Usage: there is none.
    """
    if name == "overlay":
        from rootless_pod.fuse.native import NativeOverlay

        return NativeOverlay()
    if name == "fuse-overlayfs":
        from rootless_pod.fuse.fuse_overlayfs import FuseOverlayfs

        return FuseOverlayfs()
    if name == "pyfuse3":
        from rootless_pod.fuse.pyfuse3_overlay import Pyfuse3Overlay

        return Pyfuse3Overlay()
    if name == "copy":
        from rootless_pod.fuse.copy import Copy

        return Copy()
    raise Usage(f"unknown storage driver {name}", remedy=f"use one of: {', '.join(ORDER)}")


def choose_storage(wanted: str | None, *, probes_dir: str, scratch_dir: str, id_shift: bool = False) -> Choice:
    """Return the driver ``wanted``, or the first in ``ORDER`` that works below ``scratch_dir``.

    Runs as uid 0 of the user's namespace. ``scratch_dir`` is made if missing; each trial happens in a child
    with a mount namespace of its own, in a directory of its own that is removed afterwards.
    With ``id_shift`` only drivers that show shifted owners count, and ``copy`` only if it is named.

    Raises:
        Usage: no driver has that name.
        HostUnready: the named driver, or every one, fails here; the message says why.
    """
    wanted = ALIASES.get(wanted or "", wanted)
    if wanted and wanted not in ORDER:
        driver_named(wanted)
    names = (wanted,) if wanted else ORDER
    os.makedirs(scratch_dir, mode=0o700, exist_ok=True)
    cache = f"{probes_dir}/storage-{wanted or 'any'}{'-shift' if id_shift else ''}.json"
    facts = _facts(scratch_dir)
    kept = _read_cache(cache, facts)
    if kept is None:
        kept = _try_all(names, scratch_dir, id_shift=id_shift, named=bool(wanted))
        if kept["name"] is not None:  # that nothing works is asked anew: a trial may have been killed
            _write_cache(cache, {**kept, "facts": facts, "programs": _programs(kept)})
    refused = tuple((str(name), str(reason), str(remedy)) for name, reason, remedy in kept["refused"])
    if kept["name"] is None:
        raise _none_works(wanted, refused, id_shift=id_shift)
    return Choice(driver=driver_named(kept["name"]), reason=kept["reason"], refused=refused)


def _none_works(wanted: str | None, refused: tuple[tuple[str, str, str], ...], *, id_shift: bool) -> HostUnready:
    if wanted:
        _name, reason, remedy = refused[0]
        return HostUnready(f"storage driver {wanted} does not work here: {reason}", remedy=remedy or None)
    what = "no storage driver can shift owners for this user namespace" if id_shift else "no storage driver works here"
    reasons = "; ".join(dict.fromkeys(reason for _name, reason, _remedy in refused))
    remedies = {name: remedy for name, _reason, remedy in refused if remedy}
    # What makes fuse-overlayfs work helps; the advice of another to take fuse-overlayfs would lead in a circle.
    chosen = [remedies[name] for name in ("fuse-overlayfs", *(["copy"] if id_shift else [])) if name in remedies]
    chosen = chosen or [*remedies.values()][:1] or ["run: rpod doctor"]
    return HostUnready(f"{what}: {reasons}", remedy="; or ".join(chosen))


def _try_all(names: tuple[str, ...], scratch_dir: str, *, id_shift: bool, named: bool) -> dict[str, Any]:
    refused: list[list[str]] = []
    for name in names:
        if id_shift and name == "copy" and not named:
            refused.append(
                [name, "copy would copy the whole image to change its owners", "ask for it: --storage-driver copy"]
            )
            continue
        failure = try_in_child(name, scratch_dir, id_shift=id_shift)
        if failure is None:
            reason = "named with --storage-driver" if named else _because(name, refused, id_shift=id_shift)
            return {"name": name, "reason": reason, "refused": refused}
        refused.append([name, failure[0], failure[1]])
    return {"name": None, "reason": "", "refused": refused}


def _because(name: str, refused: list[list[str]], *, id_shift: bool) -> str:
    able = f"{name} works here" + (" and shifts owners" if id_shift else "")
    return able + "".join(f"; {reason}" for _name, reason, _remedy in refused)


def try_in_child(name: str, scratch_dir: str, *, id_shift: bool = False) -> tuple[str, str] | None:
    """Probe one driver in a throw-away child; return None if it works, else (reason, remedy)."""
    from rootless_pod.linux.tree import remove_tree

    scratch = f"{scratch_dir}/.probe-{os.getpid()}-{os.urandom(6).hex()}"
    os.mkdir(scratch, 0o700)
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        _probe_and_exit(name, scratch, write_end, id_shift=id_shift)
    os.close(write_end)
    try:
        answer = _read_answer(read_end, child)
    finally:
        os.close(read_end)
        os.waitpid(child, 0)
    if answer is None:
        _end_strays(scratch)
        answer = {"reason": f"{name}: a trial mount did not end within {PROBE_SECONDS:.0f} s", "remedy": ""}
    try:
        remove_tree(scratch)
    except OSError as error:
        from rootless_pod import log

        log.debug(f"cannot remove {scratch}: {error}")
    return None if answer.get("works") else (str(answer["reason"]), str(answer.get("remedy") or ""))


def _probe_and_exit(name: str, scratch: str, write_end: int, *, id_shift: bool) -> None:
    """Run the driver's own probe and write the answer; never returns."""
    answer: dict[str, Any]
    try:
        from rootless_pod.linux import mount, namespaces

        # What is mounted here vanishes with this process, however it ends, and is seen nowhere else.
        namespaces.unshare(namespaces.CLONE_NEWNS)
        mount.set_propagation("/", mount.MS_REC | mount.MS_PRIVATE)
        driver_named(name).probe(scratch, id_shift=id_shift)
        answer = {"works": True}
    except RpodError as error:
        answer = {"reason": error.message, "remedy": error.remedy}
    except BaseException as error:
        answer = {"reason": f"{name}: {type(error).__name__}: {error}", "remedy": ""}
    try:
        os.write(write_end, jsontext.dumps(answer).encode()[:60000])
    finally:
        os._exit(0)


def _read_answer(read_end: int, child: int) -> dict[str, Any] | None:
    """Return what the child wrote; None (and the child killed) if it took too long or died."""
    import select
    import signal

    poller = select.poll()
    poller.register(read_end, select.POLLIN)
    data = os.read(read_end, 65536) if poller.poll(PROBE_SECONDS * 1000) else b""
    if not data:
        os.kill(child, signal.SIGKILL)
        return None
    answer: dict[str, Any] = jsontext.loads(data)
    return answer


def _end_strays(scratch: str) -> None:
    """Kill the helper of a trial that hangs: its command line holds the trial's own random directory."""
    import signal

    wanted = os.fsencode(scratch)
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            if wanted in record.read_bytes(f"/proc/{entry}/cmdline"):
                os.kill(int(entry), signal.SIGKILL)
        except OSError:
            continue


def _facts(scratch_dir: str) -> list[Any]:
    """Return what every answer rests on: kernel, boot, id map, and the disk below ``scratch_dir``."""
    from rootless_pod.linux import procfs, statfs

    try:
        id_map = procfs.read_text("/proc/self/uid_map").split()
    except OSError:
        id_map = []
    device = os.stat(scratch_dir).st_dev
    kernel = os.uname().release
    return [_FORMAT, kernel, procfs.boot_id(), statfs.filesystem_type(scratch_dir), device, *id_map]


def _programs(kept: dict[str, Any]) -> list[list[Any]]:
    """Return (program, path, mtime) of the helpers of the drivers that were tried."""
    tried = {kept["name"], *(name for name, _reason, _remedy in kept["refused"])}
    return [_program("fuse-overlayfs")] if "fuse-overlayfs" in tried else []


def _program(name: str) -> list[Any]:
    from rootless_pod.programs.find import find_program

    path = find_program(name)
    return [name, path, os.stat(path).st_mtime_ns if path else 0]


def _read_cache(path: str, facts: list[Any]) -> dict[str, Any] | None:
    try:
        kept = record.read_record(path)
        if kept["facts"] != facts or any(_program(entry[0]) != entry for entry in kept["programs"]):
            return None
        return kept if {"name", "reason", "refused"} <= kept.keys() and kept["name"] else None
    except (RpodError, OSError, KeyError, TypeError, IndexError):
        return None


def _write_cache(path: str, kept: dict[str, Any]) -> None:
    """Keep the answer; a probes directory that can't be written only costs the next command a trial."""
    try:
        record.write_record(path, kept)
    except OSError as error:
        from rootless_pod import log

        log.debug(f"cannot keep the answer in {path}: {error}")
