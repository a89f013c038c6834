"""Driver ``fuse-overlayfs``: the program of that name, one process a mounted tree."""

from __future__ import annotations

import os

from rootless_pod.errors import HostUnready, ProgramFailed
from rootless_pod.fuse import helper_process
from rootless_pod.fuse.driver import MountedRootfs
from rootless_pod.programs.find import find_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.fuse.driver import RootfsRequest, ShiftRange

PROGRAM = "fuse-overlayfs"
_SPECIAL = frozenset(":,\\")
"""Characters its option text gives a meaning of its own (before 1.15 without an escape)."""
_FIRST_FD = 200
"""Where directories with such names are handed over, out of the way of what the program opens."""


class FuseOverlayfs:
    """Overlay in a helper program: works without the kernel's overlay, and shifts ids."""

    name = "fuse-overlayfs"
    shifts_ids = True

    def mount(self, request: RootfsRequest) -> MountedRootfs:
        """Start the program and return when the tree is mounted.

        Raises:
            HostUnready: the program or /dev/fuse is missing.
            ProgramFailed: it could not mount; the message has its last lines.
        """
        program = find_program(PROGRAM)
        if program is None:
            raise HostUnready(
                "the program fuse-overlayfs is not installed", remedy="apt-get install fuse-overlayfs"
            )
        held: dict[int, int] = {}
        try:
            named = _named(request, held)
            pid, started = helper_process.start(
                argv(named, program), request.merged, f"{request.container_dir}/fuse-overlayfs.log", fds=held
            )
        finally:
            for fd in held.values():
                os.close(fd)
        return MountedRootfs(path=request.merged, helper_pid=pid, helper_started=started)

    def unmount(self, request: RootfsRequest, mounted: MountedRootfs) -> None:
        """Unmount and wait for the program to end; idempotent, also after it was killed."""
        helper_process.end(mounted, keep_data=not request.volatile)

    def probe(self, scratch_dir: str, *, id_shift: bool = False) -> None:
        """Mount two layers and work on them.

        Raises:
            HostUnready: the program is missing, or it can't mount here.
        """
        from rootless_pod.fuse.trial import try_driver

        try:
            try_driver(self, scratch_dir, id_shift=id_shift)
        except ProgramFailed as error:
            raise HostUnready(error.message, remedy="use another driver: --storage-driver pyfuse3") from error


def argv(request: RootfsRequest, program: str = PROGRAM) -> tuple[str, ...]:
    """Return the command line, in the foreground so that the process is ours to name.

    Source: fuse-overlayfs(1), options as of version 1.4.
    """
    options = [f"lowerdir={':'.join(dict.fromkeys(request.lower_dirs))}"]
    if not request.read_only:
        options += [f"upperdir={request.upper}", f"workdir={request.work}"]
        if request.volatile:
            options.append("volatile")
    if request.id_shift is not None:
        options += [
            f"uidmapping={_mapping(request.id_shift.uids)}",
            f"gidmapping={_mapping(request.id_shift.gids)}",
        ]
    options += request.options
    return (program, "-f", "-o", ",".join(options), request.merged)


def _mapping(ranges: tuple[ShiftRange, ...]) -> str:
    """Write ranges as ``stored:shown:length`` joined by colons."""
    return ":".join(f"{part.container_id}:{part.parent_id}:{part.size}" for part in ranges)


def _named(request: RootfsRequest, held: dict[int, int]) -> RootfsRequest:
    """Return ``request`` with names the option text can't hold replaced by descriptors, opened into ``held``."""

    def name_of(directory: str) -> str:
        if not _SPECIAL.intersection(directory):
            return directory
        number = _FIRST_FD + len(held)
        held[number] = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{number}"

    return request.replace(
        lower_dirs=tuple(name_of(directory) for directory in dict.fromkeys(request.lower_dirs)),
        upper=name_of(request.upper),
        work=name_of(request.work),
    )
