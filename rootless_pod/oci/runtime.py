"""Nouns of the OCI runtime-spec that several rooms meet through. HOT."""

from __future__ import annotations

from rootless_pod.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class ResolvedMount(Frozen):
    """One entry of the spec's ``mounts``, with what has to be done for it before the container starts.

    ``source`` is an absolute path in the caller's mount namespace, or the file system's name (``tmpfs``).
    """

    source: str
    target: str
    type: str = "bind"
    options: tuple[str, ...] = ()
    chown: bool = False  # option U: give the source to the container's user first
    volume: str = ""  # name of the volume, where there is one
    driver: str = ""  # and its driver
    anonymous: bool = False  # the volume goes with the container

    def to_json(self) -> dict[str, Any]:
        """Return it as the runtime-spec writes it."""
        return {
            "destination": self.target,
            "type": self.type,
            "source": self.source,
            "options": list(self.options),
        }

    @staticmethod
    def from_record(record: dict[str, Any]) -> ResolvedMount:
        """Read what ``as_dict`` gave and a JSON record kept."""
        return ResolvedMount(**{**record, "options": tuple(record["options"])})


def depth(path: str) -> int:
    """Return how many components an absolute path has: parents are mounted before children."""
    return sum(1 for part in path.split("/") if part)
