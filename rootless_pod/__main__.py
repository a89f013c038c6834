"""``python -m rootless_pod`` is ``rpod``."""

from __future__ import annotations

from rootless_pod.cli import entry

if __name__ == "__main__":
    entry()
