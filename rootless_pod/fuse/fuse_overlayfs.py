"""Driver ``fuse-overlayfs``: the program of that name, one process a mounted tree."""

from __future__ import annotations

from rootless_pod.errors import HostUnready, Refused
from rootless_pod.fuse import server
from rootless_pod.fuse.driver import MountedRootfs
from rootless_pod.programs.find import find_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.fuse.driver import RootfsRequest, ShiftRange

PROGRAM = "fuse-overlayfs"
REMEDY = "ask an administrator to run: apt-get install fuse-overlayfs"
OLDEST = (1, 4)
"""The version that brought the youngest option used here. Source: the program's NEWS."""
_SPECIAL = frozenset(":,\\")
"""Characters its option text gives a meaning; names are resolved before they are split, so nothing hides them."""


class FuseOverlayfs:
    """Overlay in a helper program: works without the kernel's overlay, and shifts ids."""

    name = "fuse-overlayfs"
    shifts_ids = True

    def mount(self, request: RootfsRequest) -> MountedRootfs:
        """Start the program and return when the tree is mounted.

        Raises:
            HostUnready: the program or /dev/fuse is missing.
            Refused: a directory has a name that the program can't be told.
            ProgramFailed: it could not mount; the message has its last lines.
        """
        program = find_program(PROGRAM)
        if program is None:
            raise HostUnready("the program fuse-overlayfs is not installed", remedy=REMEDY)
        for directory in (*request.lower_dirs, request.upper, request.work):
            if _SPECIAL.intersection(directory):
                raise Refused(
                    f"fuse-overlayfs cannot take a directory with : , or \\ in its name: {directory}",
                    remedy="keep containers elsewhere with --root DIR, or use --storage-driver overlay or pyfuse3",
                )
        log_path = f"{request.container_dir}/fuse-overlayfs.log"
        pid, started = server.start(argv(request, program), request.merged, log_path)
        return MountedRootfs(path=request.merged, helper_pid=pid, helper_started=started)

    def unmount(self, request: RootfsRequest, mounted: MountedRootfs) -> None:
        """Unmount and wait for the program to end; idempotent, also after it was killed."""
        server.end(mounted, keep_data=not request.volatile)

    def probe(self, scratch_dir: str, *, id_shift: bool = False) -> None:
        """Mount two layers and work on them.

        Raises:
            HostUnready: the program is missing, or it can't mount here.
        """
        from rootless_pod.fuse.trial import try_driver

        program = find_program(PROGRAM)
        found = _version(program) if program else None
        if found is not None and found < OLDEST:
            raise HostUnready(
                f"fuse-overlayfs {'.'.join(map(str, found))} is too old: 1.4 brought the option volatile",
                remedy="install a newer fuse-overlayfs, or use --storage-driver pyfuse3",
            )
        try_driver(self, scratch_dir, id_shift=id_shift)


def _version(program: str) -> tuple[int, ...] | None:
    """Return the version the program tells, or None if it can't be read."""
    from rootless_pod.programs.run import run

    told = run((program, "--version"), timeout_seconds=5).stdout.decode(errors="replace")
    return parse_version(told)


def parse_version(told: str) -> tuple[int, ...] | None:
    """Return the numbers behind ``fuse-overlayfs: version`` (None: there are none)."""
    for line in told.splitlines():
        name, _, number = line.partition(": version ")
        if name == PROGRAM:
            parts = number.split("-")[0].split(".")
            return tuple(int(part) for part in parts if part.isdigit()) or None
    return None


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
