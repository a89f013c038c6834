"""The scopes of a policy that may speak about an image, most specific first.

Source: containers-policy.json(5), "Supported transports and their scopes".
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.oci.reference import Reference


def registry_scopes(reference: Reference) -> tuple[str, ...]:
    """Return the full name, the repository, its namespaces, the host, and ``*.domain`` for each domain above it.

    The port belongs to the host, but not to the domains above.
    """
    found = [str(reference)]
    name = reference.name
    while True:
        found.append(name)
        parent, slash, _last = name.rpartition("/")
        if not slash:
            break
        name = parent
    domain = name.partition(":")[0]
    while "." in domain:
        domain = domain.partition(".")[2]
        found.append(f"*.{domain}")
    return tuple(found)


def path_scopes(path: str, image: str = "") -> tuple[str, ...]:
    """Return ``PATH:IMAGE`` (where an image in it is named), the path without symbolic links, and its parents."""
    here = os.path.realpath(path)
    found = [f"{here}:{image}"] if image else []
    while here != "/":
        found.append(here)
        here = os.path.dirname(here)
    return tuple(found)
