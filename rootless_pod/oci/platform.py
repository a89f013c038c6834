"""Platforms: parse, normalise, match.

Source: OCI image-spec 1.1, image-index.md; the fall-backs are those of containerd.
"""

from __future__ import annotations

import os as _os

from rootless_pod.errors import Usage
from rootless_pod.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from rootless_pod.oci.document import Document

_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "i386": ("386", ""),
    "i486": ("386", ""),
    "i586": ("386", ""),
    "i686": ("386", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv5tel": ("arm", "v5"),
    "armv6l": ("arm", "v6"),
    "armv7l": ("arm", "v7"),
    "armv8l": ("arm", "v8"),
    "ppc64el": ("ppc64le", ""),
    "loongarch64": ("loong64", ""),
}
# What a machine without a named variant is taken for; such a variant is also left out when written.
_IMPLIED_VARIANT = {"arm": "v7", "arm64": "v8", "amd64": "v1"}
# From a variant down to those whose programs it still runs.
_FALLBACKS = {
    "arm": ("v8", "v7", "v6", "v5"),
    "arm64": ("v9", "v8"),
    "amd64": ("v4", "v3", "v2", "v1"),
}


class Platform(Frozen):
    """An operating system, an architecture and its variant, in the spec's spelling (``linux``, ``arm64``, ``v8``)."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return ``os/architecture[/variant]``."""
        text = f"{self.os}/{self.architecture}"
        return f"{text}/{self.variant}" if self.variant else text

    def to_json(self) -> dict[str, Any]:
        """Return the object of the image-spec."""
        fields: dict[str, Any] = {"architecture": self.architecture, "os": self.os}
        if self.os_version:
            fields["os.version"] = self.os_version
        if self.os_features:
            fields["os.features"] = list(self.os_features)
        if self.variant:
            fields["variant"] = self.variant
        return fields


def read_platform(document: Document) -> Platform:
    """Return the platform of a descriptor (raises Corrupt on a wrong field)."""
    return Platform(
        os=document.text("os"),
        architecture=document.text("architecture"),
        variant=document.text("variant"),
        os_version=document.text("os.version"),
        os_features=document.texts("os.features") or (),
    )


def _normal_variant(variant: str) -> str:
    return f"v{variant}" if variant.isdigit() else variant


def normalise(platform: Platform) -> Platform:
    """Return ``platform`` in the spec's spelling, the implied variant left out (arm keeps ``v7``)."""
    architecture, variant = _ARCHITECTURES.get(platform.architecture.lower(), (platform.architecture.lower(), ""))
    variant = _normal_variant(platform.variant.lower()) or variant
    if architecture == "arm":
        variant = variant or "v7"
    elif variant == _IMPLIED_VARIANT.get(architecture):
        variant = ""
    return platform.replace(os=platform.os.lower(), architecture=architecture, variant=variant)


def host_platform() -> Platform:
    """Return the platform of this machine (its kernel's architecture)."""
    return normalise(Platform(os="linux", architecture=_os.uname().machine))


def parse_platform(text: str) -> Platform:
    """Parse ``[os/]architecture[/variant]`` as ``--platform`` takes it.

    Raises:
        Usage: it has empty or too many parts.
    """
    parts = text.split("/")
    if not all(parts) or len(parts) > 3:
        raise Usage(f"not a platform: {text!r}", remedy="write os/architecture or os/architecture/variant: linux/arm64")
    if len(parts) == 1:
        parts = [host_platform().os, text] if text.lower() != "linux" else ["linux", host_platform().architecture]
    return normalise(Platform(os=parts[0], architecture=parts[1], variant=parts[2] if len(parts) == 3 else ""))


def rank(wanted: Platform, offered: Platform) -> int | None:
    """Say how well ``offered`` runs on ``wanted``: 0 is exact, higher is an older variant, None does not run."""
    want, offer = normalise(wanted), normalise(offered)
    if (want.os, want.architecture) != (offer.os, offer.architecture):
        return None
    if want.variant == offer.variant:
        return 0
    implied = _IMPLIED_VARIANT.get(want.architecture, "")
    ladder = _FALLBACKS.get(want.architecture, ())
    want_variant, offer_variant = want.variant or implied, offer.variant or implied
    if want_variant not in ladder or offer_variant not in ladder:
        return None
    steps = ladder.index(offer_variant) - ladder.index(want_variant)
    return steps if steps >= 0 else None


def choose_platform(wanted: Platform, offered: Sequence[Platform]) -> int | None:
    """Return the position of the best match in ``offered`` (the first of equals), or None."""
    ranked = [(steps, position) for position, other in enumerate(offered) if (steps := rank(wanted, other)) is not None]
    return min(ranked)[1] if ranked else None
