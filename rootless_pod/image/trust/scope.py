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
    return (str(reference), *_above(reference.name))


def name_scopes(text: str) -> tuple[str, ...]:
    """Return the scopes for what a user calls a registry, a namespace, a repository or an image, as it is written."""
    bare = text.partition("@")[0]
    head, colon, tag = bare.rpartition(":")
    is_image = bool(colon) and "/" in head and "/" not in tag
    return tuple(dict.fromkeys((text, *_above(head if is_image else bare))))


def _above(name: str) -> list[str]:
    found = []
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
    return found


def path_scopes(path: str, image: str = "") -> tuple[str, ...]:
    """Return ``PATH:IMAGE`` (where an image in it is named), the path without symbolic links, and its parents."""
    here = os.path.realpath(path)
    found = [f"{here}:{image}"] if image else []
    while here != "/":
        found.append(here)
        here = os.path.dirname(here)
    return tuple(found)
