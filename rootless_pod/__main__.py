"""``python -m rootless_pod`` is ``rpod``; so is this file itself: a monitor calls ``container cleanup`` by it."""

from __future__ import annotations

import sys

if not __package__:
    # Started by its path, with no site directories (-I -S): the package lies one directory up.
    sys.path.insert(0, __file__.rpartition("/")[0].rpartition("/")[0] or "/")

from rootless_pod.modulecache import install

install(sys.argv[1:])

from rootless_pod.cli import entry  # noqa: E402 - after the cache that most of it comes from

if __name__ == "__main__":
    entry()
