"""Runs inside a user namespace: every case of ``cases`` on one driver; prints {case: failure or null} as JSON."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback

from rootless_pod.errors import HostUnready
from rootless_pod.fuse.choose import try_in_child
from tests.fuse.cases import CASES
from tests.fuse.world import World


def run(driver_name, base, wanted):
    os.umask(0o022)
    os.makedirs(base, exist_ok=True)
    with open("/proc/self/uid_map", encoding="ascii") as file:
        many_ids = sum(int(line.split()[2]) for line in file) > 1
    refused = try_in_child(driver_name, base)
    if refused:
        return {"refused": refused[0]}
    world = World(driver_name, base, many_ids=many_ids)
    results = {}
    seconds = {}
    for name, case in CASES.items():
        if wanted and name not in wanted:
            continue
        begun = time.monotonic()
        try:
            world.mount()
            try:
                case(world)
            finally:
                world.close()
            results[name] = None
        except (Exception, HostUnready):  # noqa: BLE001 - reported to the test of this name
            results[name] = traceback.format_exc()
            world.mounted = None
        seconds[name] = round(time.monotonic() - begun, 3)
    return {"results": results, "seconds": seconds}


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], sys.argv[2], sys.argv[3:])))
