"""The measuring part of scripts/bench-scale; see there. Many containers, at the same time and one after the other."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from bench import Stores, Tool, images, page_to_write, row, write_between
from worlds import processes

BEGIN, END = "<!-- bench-scale:begin -->", "<!-- bench-scale:end -->"
IMAGE = "localhost/img:latest"
LOOKS = 5  # ps and inspect change nothing: they are timed this often in each round
# SIGKILL as the stop signal: what is timed is the tool, not how long a process takes to end.
MAKE = ("create", "--network", "none", "--user", "0", "--stop-signal", "KILL")


class Scale:
    """The timings of both tools: label → tool's name → milliseconds."""

    def __init__(self, stores: Stores) -> None:
        self.tools, self.places = stores.tools, (stores.place, stores.run_place)
        self.times: dict[str, dict[str, list[float]]] = {}

    def time(self, label: str, tool: Tool, *words: str) -> None:
        self.note(label, tool, tool.seconds(*words) * 1000)

    def note(self, label: str, tool: Tool, milliseconds: float) -> None:
        self.times.setdefault(label, {}).setdefault(tool.name, []).append(milliseconds)

    def create(self, count: int, *command: str) -> None:
        for _ in range(count):
            for tool in self.tools:
                tool(*MAKE, IMAGE, *command)

    def ids(self, tool: Tool) -> list[str]:
        return tool("ps", "-aq", "--no-trunc").stdout.decode().split()

    def many(self, count: int) -> None:
        """One round with ``count`` running containers: look at them, stop them, remove them running.

        One tool after the other: each running container has a keyring, and a user may have some 200.
        """
        self.create(count, "sleep", "100000")
        for tool in self.tools:
            ids = self.ids(tool)
            tool("start", *ids)
            for _ in range(LOOKS):
                self.time(f"{count} running: `ps -a`", tool, "ps", "-a")
                self.time(f"{count} running: `inspect` of all", tool, "inspect", *ids)
            self.time(f"{count} running: `stop -a`", tool, "stop", "-a")
            tool("start", *ids)
            self.time(f"{count} running: `rm -fa`", tool, "rm", "-fa")

    def stopped(self, count: int) -> None:
        """``ps -a`` beside ``count`` containers that have ended."""
        self.create(count, "true")
        for tool in self.tools:
            tool("start", *self.ids(tool))
            tool("wait", *self.ids(tool))
            tool("ps", "-a")
        for _ in range(LOOKS * 2):
            for tool in self.tools:
                self.time(f"{count} stopped: `ps -a`", tool, "ps", "-a")
        for tool in self.tools:
            self.time(f"{count} stopped: `rm -a`", tool, "rm", "-a")

    def warm_up(self) -> None:
        """Let each tool find out what the host can do."""
        for tool in self.tools:
            tool("run", "--rm", "--network", "none", IMAGE, "true")

    def parallel(self, count: int) -> None:
        """The wall time of ``count`` runs that are started at once; one that fails ends the test."""
        words = ["run", "--rm", "--network", "none", "--user", "0", IMAGE, "true"]
        for tool in self.tools:
            began = time.perf_counter()
            running = [
                subprocess.Popen(
                    [*tool.argv, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE, env=tool.env,
                )
                for _ in range(count)
            ]  # fmt: skip
            said = [one.communicate()[1] for one in running]
            self.note(f"{count} parallel `run --rm`", tool, (time.perf_counter() - began) * 1000)
            self.await_rest()
            failed = [text.decode() for one, text in zip(running, said, strict=True) if one.returncode]
            if failed:
                raise SystemExit(f"{tool.name}: {len(failed)} of {count} runs failed, one with: {failed[0]}")

    def await_rest(self) -> None:
        """Wait for what a tool still has to clean up after its last run: it would take time from the other one's next."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            lines = [" ".join(words) for _pid, words in processes()]
            if not any(str(place) in line for place in self.places for line in lines):
                return
            time.sleep(0.1)

    def lines(self) -> list[str]:
        goals = {"stopped: `ps": 0.3, "parallel": 0.4}
        lines = ["| work | rpod median ms | min | podman median ms | min | ratio | goal | met |", "|---|---|---|---|---|---|---|---|"]  # fmt: skip
        for label, by_tool in self.times.items():
            goal = next((value for part, value in goals.items() if part in label), 1.0)
            lines.append(row(label, by_tool["rpod"], by_tool["podman"], goal))
        return lines


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rpod", required=True)
    parser.add_argument("-n", type=int, default=3, help="rounds")
    parser.add_argument("--many", type=int, default=100, help="running containers; 0: leave that out")
    parser.add_argument("--stopped", type=int, default=500, help="ended containers; 0: leave that out")
    parser.add_argument("--parallel", type=int, default=32)
    parser.add_argument("--markdown", type=page_to_write)
    options = parser.parse_args()
    stores = Stores(options.rpod)
    scale = Scale(stores)
    version = stores.podman("--version").stdout.decode().split()[-1]
    lines = [
        f"{options.n} rounds, both tools in the same run; podman {version} + crun; {os.cpu_count()} cores, "
        f"kernel {os.uname().release}. No container failed.",
        "",
    ]
    try:
        stores.load(images.image_layout(debian=False)[0])
        scale.warm_up()
        for _ in range(options.n):
            scale.parallel(options.parallel)
            if options.many:
                scale.many(options.many)
            print("\n".join(scale.lines()), flush=True)
        if options.stopped:
            scale.stopped(options.stopped)
    finally:
        stores.end()
    lines += scale.lines()
    print("\n".join(lines))
    if options.markdown:
        write_between(options.markdown, BEGIN, END, lines)


if __name__ == "__main__":
    main()
