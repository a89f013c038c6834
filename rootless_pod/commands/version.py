"""``rpod version``: which rpod, on what."""

from __future__ import annotations

import os
import sys

from rootless_pod.commands.declare import Call, Command, Option

VERSION = "0.1.0"

COMMAND = Command(
    name="version",
    summary="Show the versions of rpod and what it stands on",
    options=(
        Option(
            name="--format",
            short="-f",
            metavar="TEMPLATE",
            help="Print json, or fill in a Go template",
        ),
    ),
    examples=("rpod version", "rpod version --format '{{.Client.Version}}'", "rpod version --format json"),
    needs_userns=False,
    configuration="none",
)


def short_version() -> str:
    """Return the line that ``rpod --version`` prints."""
    return f"rpod version {VERSION}"


def _facts() -> dict[str, object]:
    from rootless_pod.oci.platform import host_platform

    system, machine = os.uname(), host_platform().architecture
    python = ".".join(str(part) for part in sys.version_info[:3])
    client = {
        "Version": VERSION,
        "PythonVersion": python,
        "KernelVersion": system.release,
        "OsArch": f"{system.sysname.lower()}/{machine}",
        "Os": system.sysname.lower(),
        "Arch": machine,
    }
    return {"Client": client}


def main(call: Call) -> int:
    """Print the versions as podman's table, as JSON or through a template."""
    facts = _facts()
    wanted = call.text("format")
    if wanted:
        from rootless_pod.commands.template import print_values

        print_values(wanted, facts)
        return 0
    client = facts["Client"]
    assert isinstance(client, dict)
    for label, key in (
        ("Client:", None),
        ("Version:", "Version"),
        ("Python Version:", "PythonVersion"),
        ("Kernel Version:", "KernelVersion"),
        ("OS/Arch:", "OsArch"),
    ):
        print(f"{label:<16}{'rpod' if key is None else client[key]}")
    return 0
