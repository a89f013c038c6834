"""``export``: a container's whole tree as a tar."""

from __future__ import annotations

import os

from rootless_pod.container.contents import write_tree
from rootless_pod.container.lookup import find
from rootless_pod.container.tell import tell
from rootless_pod.errors import HostUnready

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context
    from rootless_pod.container.lookup import Container


def export(context: Context, word: str, output: str) -> None:
    """Write the tree of the container ``word`` to the file ``output`` ("" for standard output).

    A regular file is replaced when the tar is complete: after a failure the old one stands.

    Raises:
        NotFound: no such container.
        HostUnready: reading or writing failed.
    """
    container = find(context.paths, word)
    if output:
        _write_file(context, container, output)
    else:
        write_tree(context, container, lambda data: _write_all(1, data))
    tell(context.paths, container.config, "export")


def _write_file(context: Context, container: Container, output: str) -> None:
    replaces = not os.path.lexists(output) or os.path.isfile(output)
    directory, name = os.path.split(os.path.abspath(os.path.realpath(output)))
    path = f"{directory}/.{name}.{os.getpid()}.tmp" if replaces else output
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            write_tree(context, container, lambda data: _write_all(fd, data))
        finally:
            os.close(fd)
        if replaces:
            os.rename(path, f"{directory}/{name}")
    except BaseException as cause:
        if replaces:
            try:
                os.unlink(path)
            except OSError:
                pass
        if isinstance(cause, OSError):
            raise HostUnready(
                f"cannot export container {container.config.name} to {output}: {cause.strerror or cause}",
                remedy="give a writable path with enough space",
            ) from cause
        raise


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
