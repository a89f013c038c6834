"""Try a runtime by running a container: the host's own ``true`` in a root file system of bind mounts."""

from __future__ import annotations

import os

from rootless_pod import jsontext
from rootless_pod.errors import HostUnready, RpodError
from rootless_pod.oci.failure import last_message
from rootless_pod.programs.find import find_program
from rootless_pod.programs.run import run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless_pod.runtime.oci_cli import OciRuntime

PROBE_TIMEOUT_SECONDS = 30.0
_KILLED_BY_FILTER = 128 + 31  # SIGSYS
_KILLED = "exit code -9"
# Where programs and what they are linked with lie, on Debian, Fedora, Nix and Guix.
_HOST_DIRECTORIES = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix", "/gnu")


def probe_spec(rootfs: str, directories: tuple[str, ...], command: str) -> dict[str, Any]:
    """Return the config.json of the trial container: ``directories`` of the host bound at their own places."""
    binds = [{"destination": path, "type": "bind", "source": path, "options": ["rbind"]} for path in directories]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": [command],
            "env": ["PATH=/usr/bin:/bin"],
            "cwd": "/",
            "noNewPrivileges": True,
        },
        "root": {"path": rootfs, "readonly": False},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            *binds,
        ],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")]},
    }


def prepare_bundle(bundle: str) -> None:
    """Write the trial container into the empty directory ``bundle``.

    Raises:
        HostUnready: the host has no program ``true``.
    """
    # One that the trial container can see: a profile's or a user's own directory is not bound into it.
    known = (find_program("true"), "/usr/bin/true", "/bin/true")
    bound_there = (path for path in known if path and path.startswith(tuple(f"{top}/" for top in _HOST_DIRECTORIES)))
    command = next((path for path in bound_there if os.access(path, os.X_OK)), None)
    if command is None:
        raise HostUnready("the host has no program true to try a runtime with", remedy="install coreutils")
    rootfs = f"{bundle}/rootfs"
    os.mkdir(rootfs, 0o755)
    bound = []
    for path in _HOST_DIRECTORIES:
        if os.path.islink(path):
            os.symlink(os.readlink(path), f"{rootfs}{path}")
        elif os.path.isdir(path):
            bound.append(path)
    spec = probe_spec(rootfs, tuple(bound), command)
    with open(f"{bundle}/config.json", "w", encoding="utf-8") as config:
        config.write(jsontext.dumps(spec))


def probe(runtime: OciRuntime, bundle: str) -> str | None:
    """Run the trial container of ``bundle``; return None if it worked, else the runtime's reason.

    A trial that somebody killed says nothing about the runtime: it is made once more.
    """
    words = _try_once(runtime, bundle)
    return _try_once(runtime, bundle) if words == _KILLED else words


def _try_once(runtime: OciRuntime, bundle: str) -> str | None:
    name = f"probe-{os.getpid()}-{os.urandom(4).hex()}"
    argv = runtime.argv("run", "--bundle", bundle, name)
    try:
        completed = run(argv, timeout_seconds=PROBE_TIMEOUT_SECONDS)
    except RpodError as failure:
        runtime.delete(name, force=True)
        return failure.message
    if completed.code == 0:
        return None
    words = last_message(completed.stderr.decode(errors="replace")) or f"exit code {completed.code}"
    try:
        runtime.delete(name, force=True)
    except RpodError:
        pass
    return words


def obeys_program(runtime: OciRuntime, bundle: str) -> bool:
    """Tell whether the runtime filters by a compiled program handed to it: one that kills at once is proof.

    An older crun would not know the annotation and run the container without any filter.
    """
    from rootless_pod.linux.seccomp import KILL_EVERYTHING
    from rootless_pod.runtime.oci_cli import PROGRAM_ANNOTATION, program_text

    path = f"{bundle}/config.json"
    with open(path, encoding="utf-8") as file:
        plain = file.read()
    spec = jsontext.loads(plain)
    spec["annotations"] = {PROGRAM_ANNOTATION: program_text(KILL_EVERYTHING)}
    name = f"probe-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(jsontext.dumps(spec))
        completed = run(runtime.argv("run", "--bundle", bundle, name), timeout_seconds=PROBE_TIMEOUT_SECONDS)
        runtime.delete(name, force=True)
    except RpodError:
        return False
    finally:
        with open(path, "w", encoding="utf-8") as file:
            file.write(plain)
    return completed.code == _KILLED_BY_FILTER


def in_child(action: Callable[[], str | None]) -> str | None:
    """Run ``action`` in a forked child with a mount namespace of its own and return its answer.

    Whatever it mounts or joins ends with the child; an exception's text is the answer.
    """
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            words = _isolated(action)
            os.write(write_fd, b"+" if words is None else b"-" + words.encode(errors="replace")[:4000])
        finally:
            os._exit(0)
    os.close(write_fd)
    parts = []
    while part := os.read(read_fd, 8192):
        parts.append(part)
    os.close(read_fd)
    os.waitpid(pid, 0)
    answer = b"".join(parts)
    if answer == b"+":
        return None
    return answer[1:].decode(errors="replace") or "the trial ended without an answer"


def _isolated(action: Callable[[], str | None]) -> str | None:
    from rootless_pod.linux.mount import MS_PRIVATE, MS_REC, set_propagation
    from rootless_pod.linux.namespaces import CLONE_NEWNS, unshare

    try:
        unshare(CLONE_NEWNS)
        set_propagation("/", MS_REC | MS_PRIVATE)
        return action()
    except (OSError, RpodError) as failure:
        return str(failure)
