"""How one ``rpod run`` spends its time: the real code, with a stopwatch around each of its steps.

Started by scripts/bench as ``python -I -S bench_phases.py PACKAGE_DIRECTORY RUNS rpod-arguments…``; prints JSON:
step → list of milliseconds. Steps inside another are subtracted from it.
"""

from __future__ import annotations

import json
import os
import sys
import time

began = time.perf_counter()

STEPS = (
    ("image look-up", "rootless_pod.container.run", "get_image"),
    ("id, name, record", "rootless_pod.container.run", "create"),
    ("start: records and the rest", "rootless_pod.container.run", "start"),
    ("choose the runtime (kept answer)", "rootless_pod.container.drivers", "runtime_choice"),
    ("prepare: the rest", "rootless_pod.container.start", "prepare"),
    ("network namespace, helper started", "rootless_pod.network.attach", "begin"),
    ("root file system mounted", "rootless_pod.container.prepare", "mount"),
    ("host facts", "rootless_pod.container.prepare", "read_host_facts"),
    ("spec generated", "rootless_pod.container.prepare", "generate"),
    ("bundle written", "rootless_pod.container.prepare", "write_bundle"),
    ("conmon started, to wait", "rootless_pod.container.start", "_monitor"),
    ("conmon and crun create", "rootless_pod.monitor.conmon.Waiting", "create"),
    ("waiting for the network", "rootless_pod.container.prepare.Prepared", "wait_network"),
    ("attach socket connected", "rootless_pod.monitor.attach", "connect"),
    ("crun start", "rootless_pod.runtime.oci_cli.OciRuntime", "start"),
    ("the container runs, streams copied", "rootless_pod.monitor.attach", "stream"),
    ("exit file awaited", "rootless_pod.container.run", "wait_exit"),
    ("put away and removed", "rootless_pod.container.run", "cleanup"),
)


class Stopwatch:
    """Adds up the time of each step, without the steps inside it."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self.inner: list[float] = []

    def around(self, label: str, owner: object, name: str) -> None:
        original = getattr(owner, name)

        def timed(*arguments: object, **named: object) -> object:
            start = time.perf_counter()
            self.inner.append(0.0)
            try:
                return original(*arguments, **named)
            finally:
                whole = time.perf_counter() - start
                inside = self.inner.pop()
                self.spent[label] = self.spent.get(label, 0.0) + whole - inside
                if self.inner:
                    self.inner[-1] += whole

        setattr(owner, name, timed)


def find(path: str) -> object:
    """Import a module, or a class in one."""
    try:
        __import__(path)
        return sys.modules[path]
    except ImportError:
        module, _, name = path.rpartition(".")
        __import__(module)
        return getattr(sys.modules[module], name)


def one_run(words: list[str]) -> dict[str, float]:
    """Run once in a child (joining the user's namespace cannot be undone) and return its steps."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        watch = Stopwatch()
        from rootless_pod import cli

        for label, owner, name in STEPS:
            watch.around(label, find(owner), name)
        watch.around("joining the user's namespaces", find("rootless_pod.userns.enter"), "enter")
        start = time.perf_counter()
        code = cli.main(words)
        whole = time.perf_counter() - start
        watch.spent["parsing the command line and the rest"] = whole - sum(watch.spent.values())
        os.write(write_end, json.dumps({"code": code, "spent": watch.spent}).encode())
        os._exit(0)
    os.close(write_end)
    parts = []
    while part := os.read(read_end, 65536):
        parts.append(part)
    os.close(read_end)
    os.waitpid(pid, 0)
    answer = json.loads(b"".join(parts))
    if answer["code"]:
        sys.exit(f"exit code {answer['code']}: {words}")
    return answer["spent"]


def main() -> None:
    top, runs, words = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    sys.path.insert(0, top)
    imports = time.perf_counter()
    from rootless_pod import cli  # noqa: F401

    for _label, owner, _name in STEPS:
        find(owner)
    from rootless_pod.userns import enter  # noqa: F401

    imported = time.perf_counter() - imports
    steps: dict[str, list[float]] = {"modules imported (no module cache)": [imported * 1000]}
    for _ in range(runs):
        for label, seconds in one_run(words).items():
            steps.setdefault(label, []).append(seconds * 1000)
    json.dump(steps, sys.stdout)


main()
