"""The question before something is deleted, in podman's words."""

from __future__ import annotations

import sys


def confirmed(warning: str) -> bool:
    """Ask on stdout and read the answer from stdin; anything but yes is no."""
    sys.stdout.write(f"{warning}\nAre you sure you want to continue? [y/N] ")
    sys.stdout.flush()
    answer = sys.stdin.readline()
    return answer.strip().lower() in ("y", "yes")
