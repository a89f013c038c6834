#!/usr/bin/env python3
"""Time ``rpod push`` beside ``podman push`` and ``skopeo copy``, each to an empty docker-registry on loopback.

Usage: scripts/bench_push.py --layout DIR:TAG --place DIR [--runs N] [--rpod PATH]

Run it as an unprivileged user. ``--place`` takes the stores and the registry: give a directory on a file system with a
journal and about five times the image of free space. The programs take turns, so that noise hits all alike; printed are
medians of wall time, of the peak memory of the largest process and of processor time, cold and for a second push.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

TOP = Path(__file__).parents[1]


class Registry:
    """A docker-registry whose directory is empty at first."""

    def __init__(self, place: Path) -> None:
        self.data = place / "registry"
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        config = place / "registry.yml"
        config.write_text(
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.data}}}}}\nhttp: {{addr: '{self.address}'}}\n"
        )
        self._server = subprocess.Popen(
            ["docker-registry", "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        host, _colon, port = self.address.partition(":")
        while True:
            with socket.socket() as probe:
                if probe.connect_ex((host, int(port))) == 0:
                    return
            time.sleep(0.02)

    def stop(self) -> None:
        self._server.terminate()
        self._server.wait()


def timed(argv: list[str]) -> tuple[float, float, float]:
    """Return wall seconds, peak MB and processor seconds of a program that must end well."""
    os.sync()
    began = time.monotonic()
    program = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert program.stderr is not None
    said = program.stderr.read()
    _pid, status, used = os.wait4(program.pid, 0)
    wall = time.monotonic() - began
    if status:
        sys.exit(f"{' '.join(argv)}\n{said.decode()}")
    return wall, used.ru_maxrss / 1024, used.ru_utime + used.ru_stime


def output(argv: list[str]) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layout", required=True)
    parser.add_argument("--place", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rpod", default=str(TOP / "bin" / "rpod"))
    chosen = parser.parse_args()
    place = chosen.place.resolve()
    rpod = [chosen.rpod, "--root", f"{place}/rpod", "--runroot", f"{place}/rpod-run"]
    podman = ["podman", "--root", f"{place}/podman", "--runroot", f"{place}/podman-run", "--cgroup-manager", "cgroupfs"]
    source = f"oci:{chosen.layout}"
    image, theirs = output([*rpod, "pull", "-q", source]), output([*podman, "pull", "-q", source])
    rows: dict[str, list[tuple[float, float, float]]] = {}
    for _run in range(chosen.runs):
        for name in ("rpod", "podman", "skopeo"):
            registry = Registry(place)
            target = f"{registry.address}/image:1"
            argv = {
                "rpod": [*rpod, "push", "-q", "--tls-verify=false", image, target],
                "podman": [*podman, "push", "-q", "--tls-verify=false", theirs, target],
                "skopeo": ["skopeo", "copy", "-q", "--dest-tls-verify=false", source, f"docker://{target}"],
            }[name]
            try:
                rows.setdefault(name, []).append(timed(argv))
                rows.setdefault(f"{name}, again", []).append(timed(argv))
            finally:
                registry.stop()
    for name, row in rows.items():
        wall, peak, used = (statistics.median(one[number] for one in row) for number in range(3))
        print(f"{name:16} {wall:7.2f} s {peak:7.1f} MB {used:7.2f} s of processor")


if __name__ == "__main__":
    main()
