"""``rpod artifact pull``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, flag
from rootless_pod.commands.pull import REGISTRY_OPTIONS
from rootless_pod.commands.registry_access import registry_access

COMMAND = Command(
    name="pull",
    summary="Pull an artifact from a registry",
    help="Brings an artifact here, verified, and prints its digest. Nothing of it is unpacked or run.",
    options=(*REGISTRY_OPTIONS, flag("--quiet", "Accepted: nothing but the digest is printed anyway", "-q")),
    arguments=(Argument(name="ARTIFACT", help="Its name"),),
    examples=("rpod artifact pull registry.example.org/team/model:1",),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Pull and print the digest."""
    from rootless_pod.image.artifact import pull_artifact

    artifact = pull_artifact(call.paths, call.one("artifact"), registry_access(call))
    sys.stdout.write(f"{artifact.entry.digest.removeprefix('sha256:')}\n")
    return 0
