"""Runs inside a user namespace: the real choice on this host."""

from __future__ import annotations

import json
import os
import sys
import tempfile

from rootless_pod.errors import HostUnready
from rootless_pod.linux.statfs import filesystem_type
from rootless_pod.runtime.cgroup2 import CGROUP_ROOT, cgroup_setup
from rootless_pod.runtime.choose import choose_runtime


def main():
    wanted = sys.argv[1]
    before = cgroup_setup()
    with tempfile.TemporaryDirectory(prefix="rpod-runtime-test-") as base:
        os.chmod(base, 0o755)
        os.mkdir(f"{base}/probes")
        try:
            choice = choose_runtime(wanted, probes_dir=f"{base}/probes", runtime_root=f"{base}/runtime")
        except HostUnready as refusal:
            print(refusal.message)
            sys.exit(77)
        again = choose_runtime(wanted, probes_dir=f"{base}/probes", runtime_root=f"{base}/runtime")
        assert again.reason == choice.reason
        assert choice.driver.name == wanted
        assert choice.driver.state("nothing") is None
        if wanted == "crun" and before in ("hybrid", "legacy"):
            # crun 1.8.1 refuses such a host: it was given a view of cgroup2, and only us.
            assert filesystem_type(CGROUP_ROOT) == "cgroup2"
            assert "for us alone" in choice.reason
            # It begins at our own cgroup, which a runtime started from another one must leave alone.
            assert os.statvfs(CGROUP_ROOT).f_flag & os.ST_RDONLY
            assert choice.driver.cgroup_manager == "disabled"
            # Asked again under its path, the view is there already and told from a host's own cgroup2.
            named = choose_runtime(choice.driver.path, probes_dir=f"{base}/probes", runtime_root=f"{base}/runtime")
            assert ("for us alone" in named.reason, named.driver.cgroup_manager) == (True, "disabled")
            # An answer kept in a namespace with the whole cgroup2 does not hold here, where our own view is.
            place = f"{base}/probes/runtime-{wanted}.json"
            with open(place, encoding="utf-8") as file:
                answer = json.load(file)
            with open(place, "w", encoding="utf-8") as file:
                json.dump({**answer, "shown": "unified", "view": False}, file)
            asked = choose_runtime(wanted, probes_dir=f"{base}/probes", runtime_root=f"{base}/runtime")
            assert asked.driver.cgroup_manager == "disabled"
            for name in os.listdir(f"{base}/probes"):
                if name != f"runtime-{wanted}.json":
                    os.unlink(f"{base}/probes/{name}")
        assert os.listdir(f"{base}/probes") == [f"runtime-{wanted}.json"]
        print(choice.reason)


if __name__ == "__main__":
    main()
