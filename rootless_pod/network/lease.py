"""What a container holds of a named network: addresses, and the names it is found by there.

One file a container and network, ``paths.leases/NETWORK/CONTAINERID.json``, for as long as it has the addresses.
"""

from __future__ import annotations

import os

from rootless_pod.errors import Corrupt, NotFound
from rootless_pod.frozen import Frozen
from rootless_pod.state.record import read_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rootless_pod.paths import Paths

_SUFFIX = ".json"
LAST_GIVEN = ".last"
"""The file beside the leases of a network that says which addresses were given last."""


class Lease(Frozen):
    """``addresses`` have their prefix length: ``10.89.0.2/24``. ``dns``: the servers of ``--dns``, if there are any."""

    container: str
    name: str
    addresses: tuple[str, ...] = ()
    mac: str = ""
    interface: str = "eth0"
    aliases: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return what the file holds."""
        return {
            field: list(value) if isinstance(value, tuple) else value
            for field, value in self.as_dict().items()
            if value or field != "dns"
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Lease:
        """Return the lease an object describes.

        Raises:
            Corrupt: a field is missing or of another type.
        """
        values: dict[str, Any] = {}
        for field in cls._fields:
            value = record.get(field, cls._defaults.get(field))
            if isinstance(cls._defaults.get(field, ""), tuple):
                if not isinstance(value, (list, tuple)) or not all(isinstance(one, str) for one in value):
                    raise Corrupt(f"a lease is damaged: {field} is no list of strings")
                value = tuple(value)
            elif not isinstance(value, str):
                raise Corrupt(f"a lease is damaged: {field} is no string")
            values[field] = value
        return cls(**values)


def read_leases(paths: Paths, network: str) -> list[Lease]:
    """Return the leases of a network, by container; one that is damaged or goes meanwhile is left out."""
    directory = f"{paths.leases}/{network}"
    found = []
    for name in sorted(_listing(directory)):
        if name.startswith(".") or not name.endswith(_SUFFIX):
            continue
        try:
            found.append(Lease.from_json(read_record(f"{directory}/{name}")))
        except (NotFound, Corrupt, OSError):
            continue
    return found


def leased_networks(paths: Paths) -> list[str]:
    """Return the names of the networks in which a container has a lease, sorted."""
    return sorted(
        name
        for name in _listing(paths.leases)
        if not name.startswith(".") and any(one.endswith(_SUFFIX) for one in _listing(f"{paths.leases}/{name}"))
    )


def _listing(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []
