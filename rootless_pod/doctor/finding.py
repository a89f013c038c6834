"""What the doctor says of one building block: a sentence, and the command that mends it."""

from __future__ import annotations

import os

from rootless_pod.frozen import Frozen
from rootless_pod.programs.find import find_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.errors import RpodError

OK = "ok"
NOTE = "note"
LIMITED = "limited"
FAILED = "failed"
STATES = (OK, NOTE, LIMITED, FAILED)
"""From good to bad: ``note`` fails or is missing while another does its work, ``limited`` takes something away,
``failed`` keeps containers from running."""

# As rpod was started: the trials run as root of the user's own namespace, which installs nothing.
_IS_ADMINISTRATOR = os.geteuid() == 0
_CIRCULAR = "run: rpod doctor"
_REPORT = "report it with what this prints: rpod --log-level debug run --rm host -- true"
# Program → package, by the program that installs packages.
_PACKAGES = {
    "apt-get install": {"newuidmap": "uidmap", "newgidmap": "uidmap", "pasta": "passt", "fusermount3": "fuse3"},
    "dnf install": {"newuidmap": "shadow-utils", "newgidmap": "shadow-utils", "pasta": "passt", "fusermount3": "fuse3"},
    "zypper install": {"newuidmap": "shadow", "newgidmap": "shadow", "pasta": "passt", "fusermount3": "fuse3"},
    "pacman -S": {"newuidmap": "shadow", "newgidmap": "shadow", "pasta": "passt", "fusermount3": "fuse3"},
    "apk add": {"newuidmap": "shadow-uidmap", "newgidmap": "shadow-uidmap", "pasta": "passt", "fusermount3": "fuse3"},
}


class Finding(Frozen):
    """One building block: ``subject`` names it, ``text`` is one sentence, ``remedy`` one command where it is not ok."""

    subject: str
    state: str
    text: str
    remedy: str = ""


def ok(subject: str, text: str) -> Finding:
    """Return the finding of a block that works."""
    return Finding(subject=subject, state=OK, text=text)


def from_error(subject: str, state: str, error: RpodError) -> Finding:
    """Return the finding of a block that failed with ``error``."""
    return Finding(subject=subject, state=state, text=error.message, remedy=useful(error.remedy or ""))


def useful(remedy: str) -> str:
    """Return a remedy; one that sends back to the doctor is replaced."""
    return _REPORT if remedy in ("", _CIRCULAR) else remedy


def as_administrator(command: str) -> str:
    """Return how the user gets ``command`` run, which needs root."""
    return f"run: {command}" if _IS_ADMINISTRATOR else f"ask an administrator to run: {command}"


def install(program: str) -> str:
    """Return the command that installs ``program`` on this distribution."""
    for command, packages in _PACKAGES.items():
        if find_program(f"/usr/bin/{command.split()[0]}") or find_program(f"/sbin/{command.split()[0]}"):
            return as_administrator(f"{command} {packages.get(program, program)}")
    return as_administrator(f"apt-get install {_PACKAGES['apt-get install'].get(program, program)}")


def worst(findings: list[Finding]) -> str:
    """Return the worst state among them (``ok`` where there are none)."""
    return max((one.state for one in findings), key=STATES.index, default=OK)
