"""``rpod volume import``."""

from __future__ import annotations

import os

from rootless_pod.commands.declare import Argument, Call, Command
from rootless_pod.errors import NotFound, Usage

COMMAND = Command(
    name="import",
    summary="Unpack a tar archive into a volume",
    help="Puts the files of a tar (- for standard input) into a volume; files of the same name are replaced.",
    arguments=(
        Argument(name="VOLUME", help="Its name", completes="volume"),
        Argument(name="SOURCE", help="The tar, or - for standard input", completes="file"),
    ),
    examples=("rpod volume export old | rpod volume import new -",),
)


def main(call: Call) -> int:
    """Unpack."""
    from rootless_pod.volumes.mounted import Opened
    from rootless_pod.volumes.volume import find

    volume, source = find(call.paths, call.one("volume")), call.one("source")
    if source == "-" and os.isatty(0):
        raise Usage("standard input is a terminal", remedy="redirect: rpod volume import NAME - < data.tar")
    try:
        fd = os.dup(0) if source == "-" else os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as cause:
        raise NotFound(f"cannot read {source}: {cause.strerror}", remedy="check the path", exit_code=125) from cause
    with Opened(call.paths, volume) as path:
        _unpack(call, fd, path)
    return 0


def _unpack(call: Call, fd: int, path: str) -> None:
    from rootless_pod.container.copy_read import TarSource
    from rootless_pod.container.copy_tree import Ids
    from rootless_pod.container.copy_write import DirectoryTarget

    base = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    single_id = call.namespace is not None and call.namespace.single_id
    target = DirectoryTarget(base, owner=None, ids=Ids(), single_id=single_id, overwrite=True)
    mask = os.umask(0)
    try:
        for member in TarSource(fd).members():
            target.put(member)
        target.finish()
    finally:
        os.umask(mask)
        target.close()
        os.close(fd)
        os.close(base)
