"""One JSON document a file, replaced by rename: a reader sees the old or the new one, whole."""

from __future__ import annotations

import os

from rootless_pod import jsontext
from rootless_pod.errors import Corrupt, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


NEWEST_VERSION = 1
"""The version of records this program writes; one without a version is of this one."""


_MEND = "run: rpod system check --repair; or remove it: rpod rm -f"


class NewerRecord(Corrupt):
    """A record was written by a newer rpod, whose meaning is not known here."""


def read_bytes(path: str) -> bytes:
    """Return the whole content of a small file (raises OSError)."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        parts = []
        while part := os.read(fd, max(size + 1, 4096)):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(fd)


def read_record(path: str) -> dict[str, Any]:
    """Return the JSON object in ``path``.

    Raises:
        NotFound: there is no such file.
        Corrupt: it is not one JSON object.
        NewerRecord: it is of a later version.
    """
    try:
        data = read_bytes(path)
    except FileNotFoundError as cause:
        raise NotFound(f"no record {path}") from cause
    try:
        record = jsontext.loads(data)
    except ValueError as cause:
        raise Corrupt(f"record {path} is damaged: {cause}", remedy=_MEND) from cause
    if not isinstance(record, dict):
        raise Corrupt(
            f"record {path} is damaged: not a JSON object",
            remedy=_MEND,
        )
    version = record.get("version", NEWEST_VERSION)
    if isinstance(version, int) and version > NEWEST_VERSION:
        raise NewerRecord(
            f"record {path} was written by a newer rpod (version {version})",
            remedy="use that rpod; what belongs to the record can be removed: rpod rm -f",
        )
    return record


def write_bytes(path: str, data: bytes, *, durable: bool = False, mode: int = 0o600) -> None:
    """Replace ``path`` with ``data`` in one step; ``durable`` also survives a power cut (fsync of file and directory).

    After a failure or a kill the old content stands, and at most a file ``.NAME.*.tmp`` is left beside it.
    """
    directory, name = os.path.split(path)
    temporary = f"{directory}/.{name[:200]}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except BaseException:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise
    if durable:
        sync_directory(directory)


def sync_directory(path: str) -> None:
    """Make renames inside ``path`` survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_record(path: str, record: dict[str, Any], *, durable: bool = False) -> None:
    """Replace the JSON object in ``path``; see ``write_bytes``."""
    write_bytes(path, jsontext.dumps(record).encode(), durable=durable)
