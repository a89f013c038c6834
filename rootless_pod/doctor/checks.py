"""All checks in order, and at the end the thing itself: a container of the image ``host`` that runs ``true``."""

from __future__ import annotations

import os
import sys

from rootless_pod.doctor import drivers, host, namespace
from rootless_pod.doctor.child import findings_of_child
from rootless_pod.doctor.finding import FAILED, LIMITED, Finding, ok, useful
from rootless_pod.errors import RpodError
from rootless_pod.frozen import Frozen
from rootless_pod.programs.run import run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless_pod.paths import Paths

MAIN_JOB = "a container"
_RUN_SECONDS = 120.0
_DISK_SECONDS = 20.0


class Wishes(Frozen):
    """The global options of the call: places and drivers asked for by name."""

    root: str | None = None
    runroot: str | None = None
    storage_driver: str | None = None
    runtime: str | None = None
    conmon: str | None = None


def examine(wishes: Wishes) -> Iterator[Finding]:
    """Yield every finding, as soon as it is there; the last one is ``MAIN_JOB``.

    Nothing is left behind but what any command leaves: the directories and the pause process.
    """
    yield from findings_of_child("python", host.check_python, state=LIMITED)
    paths, found = host.check_places(wishes.root, wishes.runroot)
    yield from found
    if paths is not None:
        # A network file system may never answer.
        yield from findings_of_child("storage place", lambda: host.check_graphroot(paths), seconds=_DISK_SECONDS)
    yield from findings_of_child("kernel", host.check_kernel, state=LIMITED)
    yield from findings_of_child("devices", host.check_devices, state=LIMITED)
    yield from findings_of_child("cgroups", host.check_cgroups, state=LIMITED)
    yield from findings_of_child("logout", host.check_lingering, state=LIMITED)
    yield from findings_of_child("programs", lambda: host.check_programs(wishes.conmon))
    if paths is not None and not any(one.subject == "runtime directory" and one.state == FAILED for one in found):
        yield from _inside(paths, wishes)
    yield _main_job(wishes)


def _inside(paths: Paths, wishes: Wishes) -> Iterator[Finding]:
    """Yield what can only be tried in the user's namespace."""
    os.makedirs(paths.bootroot, mode=0o700, exist_ok=True)
    found = findings_of_child("user namespace", lambda: namespace.check_namespace(paths))
    yield from found
    if not drivers.fits(found):
        return
    for directory in (paths.bundles, paths.probes):
        os.makedirs(directory, mode=0o700, exist_ok=True)
    yield from findings_of_child("storage", lambda: drivers.check_storage(paths))
    yield from findings_of_child("network", lambda: drivers.check_network(paths), state=LIMITED)
    yield from findings_of_child("named networks", lambda: drivers.check_named_networks(paths), state=LIMITED)
    yield from findings_of_child("runtime", lambda: drivers.check_runtimes(paths, wishes.runtime))


def run_argv(wishes: Wishes) -> list[str]:
    """Return the command line that runs the trial container with the same places and drivers."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    argv = [sys.executable, "-I", "-S", "-X", "utf8", f"{package}/__main__.py"]
    for option, value in (
        ("--root", wishes.root),
        ("--runroot", wishes.runroot),
        ("--storage-driver", wishes.storage_driver),
        ("--runtime", wishes.runtime),
        ("--conmon", wishes.conmon),
    ):
        if value:
            argv += [option, value]
    return [*argv, "run", "--rm", "--network", "none", "host", "--", "true"]


def _main_job(wishes: Wishes) -> Finding:
    try:
        done = run(run_argv(wishes), timeout_seconds=_RUN_SECONDS)
    except RpodError as error:
        return Finding(subject=MAIN_JOB, state=FAILED, text=error.message, remedy=useful(error.remedy or ""))
    if done.code == 0:
        return ok(MAIN_JOB, "of the image host ran the command true and ended with 0")
    lines = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    start = next((number for number, line in enumerate(lines) if line.startswith("Error: ")), 0)
    words = lines[start].removeprefix("Error: ") if lines else f"ended with {done.code}"
    remedy = lines[start + 1] if len(lines) > start + 1 else ""
    return Finding(subject=MAIN_JOB, state=FAILED, text=f"does not run: {words}", remedy=useful(remedy))
