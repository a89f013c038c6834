"""Runs inside a user namespace: one case of ``cases`` (or ``terminal_cases``) with one runtime; a traceback and exit code 1 tell of a failure."""

from __future__ import annotations

import sys
import tempfile

from tests.monitor import cases, terminal_cases
from tests.monitor.world import World


def main():
    name, runtime = sys.argv[1:3]
    case = cases.CASES.get(name) or terminal_cases.CASES[name]
    with tempfile.TemporaryDirectory(prefix="rpod-monitor-test-", ignore_cleanup_errors=True) as base:
        world = World(base, runtime)
        try:
            case(world)
        finally:
            world.close()


if __name__ == "__main__":
    main()
