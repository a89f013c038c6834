"""Runs ``rpod run --rm`` in a loop, several at a time, and looks for failures, leftovers and growth. See scripts/soak."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from worlds import Failure, World, driver_options

# Exit files are kept for a while, for a ``wait`` beside --rm: some 512 of them, each one page; swept by one end in sixteen.
EXIT_FILES = 512 + 300
KINDS = (
    ("run", "--rm", "--network", "none", "img", "true"),
    ("run", "--rm", "--network", "none", "img", "sh", "-c", "echo 7 > /files/new; cat /files/new; exit 7"),
    ("run", "--rm", "--network", "private", "img", "cat", "/files/0000"),
    ("run", "--rm", "--network", "none", "-v", "kept:/kept", "img", "sh", "-c", "echo x > /kept/$RANDOM"),
)
CODES = {1: 7}


class Soak:
    """Workers that run containers until the time is over, and what was seen before and after."""

    def __init__(self, world: World, parallel: int) -> None:
        self.world, self.parallel = world, parallel
        self.runs = 0
        self.failures: list[str] = []
        self.slowest = 0.0
        self._lock = threading.Lock()

    def work(self, worker: int, until: float) -> None:
        number = worker
        while time.monotonic() < until and not self.failures:
            kind = number % len(KINDS)
            number += 1
            began = time.monotonic()
            done = self.world.run(*KINDS[kind], timeout=120)
            took = time.monotonic() - began
            with self._lock:
                self.runs += 1
                self.slowest = max(self.slowest, took)
                if done.returncode != CODES.get(kind, 0) or done.stderr:
                    words = done.stderr.decode(errors="replace")
                    self.failures.append(f"{' '.join(KINDS[kind])}: exit code {done.returncode}: {words}")

    def run(self, seconds: float) -> None:
        """Run for ``seconds``; raise what failed."""
        until = time.monotonic() + seconds
        workers = [threading.Thread(target=self.work, args=(number, until)) for number in range(self.parallel)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if self.failures:
            raise Failure(f"run {self.runs}: {self.failures[0]}")

    def nothing_left(self) -> None:
        deadline = time.monotonic() + 5
        while (left := self.world.left_over()) and time.monotonic() < deadline:
            time.sleep(0.1)
        if left:
            raise Failure("left over: " + "; ".join(left[:10]))
        if shown := self.world("ps", "-aq"):
            raise Failure(f"containers are left: {shown}")


def processes_left(world: World) -> int:
    """Return how many processes stay in the world's namespaces; what ends within seconds (an exit command) does not."""
    deadline = time.monotonic() + 10
    while (count := _processes(world)) > 1 and time.monotonic() < deadline:
        time.sleep(0.1)
    return count


def _processes(world: World) -> int:
    own = os.readlink(f"/proc/{world.pause()}/ns/user")
    count = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                count += os.readlink(f"/proc/{name}/ns/user") == own and world.alive(int(name))
            except OSError:
                continue
    return count


def measure(world: World) -> dict[str, int]:
    """Return what must not grow: the store, the runtime directory, the pause process, the processes in its namespaces."""
    processes = processes_left(world)
    pause = Path(f"/proc/{world.pause()}/status").read_text()
    resident = next(int(line.split()[1]) for line in pause.splitlines() if line.startswith("VmRSS"))
    exits = sum(1 for _ in world.runroot.glob("*/exits/*"))
    return {
        **world.usage(),
        "exit files": exits,
        "pause process KiB": resident,
        "processes in the namespace": processes,
    }


def grown(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """Return what grew, but for the exit files that are kept for a while."""
    new_files = max(0, EXIT_FILES - before["exit files"])
    allowed = {
        "store bytes": 1 << 16, "store inodes": 4, "run bytes": new_files * 4096 + (1 << 16), "run inodes": new_files + 4,
        "exit files": new_files, "pause process KiB": 64, "processes in the namespace": 0,
    }  # fmt: skip
    return [f"{name}: {before[name]} → {after[name]}" for name in before if after[name] > before[name] + allowed[name]]


def soak(world: World, seconds: float, parallel: int) -> list[str]:
    """Warm up, run, compare; return the lines to print."""
    warm = Soak(world, parallel)
    warm.run(min(10.0, seconds / 4))
    warm.nothing_left()
    empty_volume(world)
    before = measure(world)
    test = Soak(world, parallel)
    began = time.monotonic()
    test.run(seconds)
    took = time.monotonic() - began
    test.nothing_left()
    empty_volume(world)
    after = measure(world)
    lines = [
        "| | before | after |",
        "|---|---|---|",
        *(f"| {name} | {before[name]} | {after[name]} |" for name in before),
    ]
    lines += ["", f"{test.runs} runs in {took:.0f} s, {parallel} at a time: {test.runs / took:.1f} a second, slowest {test.slowest:.1f} s; "
                  f"no failure, nothing left over; {world.describe()}"]  # fmt: skip
    if more := grown(before, after):
        raise Failure("grew: " + "; ".join(more))
    return lines


def empty_volume(world: World) -> None:
    """Take away what the runs wrote into their volume on purpose."""
    world("run", "--rm", "--network", "none", "-v", "kept:/kept", "img", "sh", "-c", "rm -f /kept/*")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rpod", required=True)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--parallel", type=int, default=8)
    parser.add_argument("--storage-driver", default="")
    parser.add_argument("--runtime", default="")
    options = parser.parse_args()
    world = World(options.rpod, *driver_options(options))
    try:
        world.make_image()
        print("\n".join(soak(world, options.minutes * 60, options.parallel)))
    except Failure as failure:
        print(f"soak: FAILED: {failure}", file=sys.stderr)
        return 1
    finally:
        world.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
