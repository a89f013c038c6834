"""``rpod container checkpoint``: known, and refused with the reason."""

from __future__ import annotations

from rootless_pod.commands.declare import Argument, Call, Command, Option, flag, text
from rootless_pod.commands.selection import ALL, LATEST
from rootless_pod.errors import Refused

WHY = "the kernel lets only root save and restore processes of other user namespaces (criu(8), CAP_CHECKPOINT_RESTORE)"

COMMAND = Command(
    name="checkpoint",
    summary="Refused: a checkpoint needs root",
    help=f"Podman has it for root alone: {WHY}.",
    options=(
        ALL,
        text("--compress", "Compression of the archive", "-c", default="zstd", choices=("gzip", "none", "zstd")),
        text("--create-image", "Name of an image to make", metavar="NAME"),
        text("--export", "Archive to write", "-e", metavar="FILE", completes="file"),
        flag("--file-locks", "Save file locks"),
        flag("--ignore-rootfs", "Leave out the changes of the root file system"),
        flag("--ignore-volumes", "Leave out the volumes"),
        flag("--keep", "Keep temporary files", "-k"),
        LATEST,
        flag("--leave-running", "Let the container go on", "-R"),
        flag("--pre-checkpoint", "Save the memory alone", "-P"),
        flag("--print-stats", "Print statistics"),
        flag("--tcp-established", "Save TCP connections"),
        flag("--with-previous", "Build on a pre-checkpoint"),
    ),
    arguments=(Argument(name="CONTAINERS", kind="many", help="Names or ids", completes="container"),),
    needs_userns=False,
)
RESTORE_OPTIONS: tuple[Option, ...] = (
    ALL,
    flag("--file-locks", "Restore file locks"),
    flag("--ignore-rootfs", "Leave out the changes of the root file system"),
    flag("--ignore-static-ip", "Take another IP address"),
    flag("--ignore-static-mac", "Take another MAC address"),
    flag("--ignore-volumes", "Leave out the volumes"),
    text("--import", "Archive to read", "-i", dest="archive", metavar="FILE", completes="file"),
    text("--import-previous", "Archive of a pre-checkpoint", metavar="FILE", completes="file"),
    flag("--keep", "Keep temporary files", "-k"),
    LATEST,
    text("--name", "New name", "-n", metavar="NAME"),
    text("--pod", "Pod to restore into", metavar="POD"),
    flag("--print-stats", "Print statistics"),
    Option(name="--publish", short="-p", kind="list", split=True, help="Publish a port", metavar="PORTS"),
    flag("--tcp-established", "Restore TCP connections"),
)


def main(_call: Call) -> int:
    """Refuse.

    Raises:
        Refused: always.
    """
    raise Refused(
        f"checkpointing a container requires root: {WHY}",
        remedy="keep its files instead: rpod commit CONTAINER IMAGE; or freeze it: rpod pause CONTAINER",
    )
