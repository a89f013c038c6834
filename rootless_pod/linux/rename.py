"""renameat2(2): rename with flags, relative to directory descriptors."""

from __future__ import annotations

from rootless_pod.linux import libc

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2
RENAME_WHITEOUT = 4


def renameat2(old_dir: int, old: bytes, new_dir: int, new: bytes, flags: int) -> None:
    """Rename ``old`` in the directory ``old_dir`` to ``new`` in ``new_dir`` as ``flags`` (``RENAME_*``) say.

    Raises:
        OSError: ``EINVAL`` where the file system does not know a flag.
    """
    libc.syscall("renameat2", old_dir, old, new_dir, new, flags, path=old)
