"""Kills rpod and what it starts at random moments, and looks at what is left. See scripts/kill-test.

Each kill is one SIGKILL to one process in the middle of one command. After it every command has to work, nothing may be
stuck, what runs must be shown as running; after a batch ``rm -fa`` must leave nothing at all.
"""

from __future__ import annotations

import random
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from worlds import Failure, World, play, processes

LONG, SHORT = 4.0, 0.15
LET_LIVE = ("rpod", "pause", "network helper")
BATCH = 8


class Scenario:
    """One command to interrupt: what is there before, the words, what may be killed, and what holds after."""

    def __init__(
        self,
        name: str,
        targets: tuple[str, ...],
        words: Callable[[World, str], list[str]],
        *,
        before: Callable[[World, str], None] | None = None,
        weight: int = 2,
    ) -> None:
        self.name, self.targets, self.words, self.before, self.weight = name, targets, words, before, weight
        self.typical_seconds = 0.15


def run_words(*options: str, seconds: float) -> Callable[[World, str], list[str]]:
    def words(world: World, name: str) -> list[str]:
        # The name among the words of the command tells this container's process from all others.
        return [
            "run",
            *options,
            "--network",
            world.network(),
            "--name",
            name,
            "img",
            "sh",
            "-c",
            f"sleep {seconds}; :",
            name,
        ]

    return words


def steady(world: World, name: str) -> None:
    world("run", "-d", "--network", world.network(), "--name", name, "img", "sleep", "600")


def ended(world: World, name: str) -> None:
    world("run", "--network", "none", "--name", name, "img", "true")


def made(world: World, name: str) -> None:
    world("create", "--network", world.network(), "--name", name, "img", "sleep", "600")


def ready(world: World, name: str) -> None:
    made(world, name)
    world("init", name)


def without_answers(world: World, _name: str) -> None:
    """Forget which drivers work here: the next command tries them all."""
    for answer in world.runroot.glob("*/probes/*"):
        shutil.rmtree(answer) if answer.is_dir() else answer.unlink()


def without_image(world: World, _name: str) -> None:
    world("rmi", "-f", world.pulled, code=None)


SCENARIOS = (
    Scenario("run -d", ("rpod", "rpod", "conmon", "pause", "network helper", "runtime"), run_words("-d", seconds=LONG), weight=5),
    Scenario("run --rm", ("rpod", "rpod", "conmon", "pause", "network helper", "exit command"),
             run_words("--rm", seconds=SHORT), weight=5),
    Scenario("run -d --rm", ("rpod", "exit command", "exit command", "conmon"),
             run_words("-d", "--rm", seconds=SHORT), weight=3),
    Scenario("run --rm host", ("rpod", "conmon", "pause"),
             lambda _world, name: ["run", "--rm", "--network", "none", "--name", name, "host", "--", "sleep", "0.1"]),
    Scenario("first run --rm", ("rpod", "rpod", "pause", "runtime"), run_words("--rm", seconds=SHORT), before=without_answers),
    Scenario("create", ("rpod",), lambda _world, name: ["create", "--name", name, "img", "true"]),
    Scenario("pull", ("rpod", "rpod", "rpod", "pause"), lambda world, _name: ["pull", "-q", *world.pull_words()],
             before=without_image, weight=4),
    Scenario("rm -f", ("rpod", "conmon", "pause", "exit command"), lambda _world, name: ["rm", "-f", "-t", "0", name],
             before=steady, weight=3),
    Scenario("rm", ("rpod",), lambda _world, name: ["rm", name], before=ended),
    Scenario("stop", ("rpod", "conmon", "pause", "exit command"), lambda _world, name: ["stop", "-t", "0", name], before=steady),
    Scenario("exec", ("rpod", "conmon", "pause", "runtime"), lambda _world, name: ["exec", name, "sleep", "0.1"], before=steady),
    Scenario("exec -d", ("rpod", "pause"), lambda _world, name: ["exec", "-d", name, "sleep", "0.1"], before=steady),
    Scenario("start", ("rpod", "conmon", "pause"), lambda _world, name: ["start", name], before=ended, weight=3),
    Scenario("init", ("rpod", "rpod", "conmon", "pause", "runtime"), lambda _world, name: ["init", name], before=made),
    Scenario("start after init", ("rpod", "rpod", "conmon", "pause"), lambda _world, name: ["start", name], before=ready),
    Scenario("stop after init", ("rpod", "conmon", "exit command"), lambda _world, name: ["stop", name], before=ready),
    Scenario("restart", ("rpod", "rpod", "conmon", "pause", "exit command"),
             lambda _world, name: ["restart", "-t", "0", name], before=steady, weight=3),
    Scenario("rename", ("rpod",), lambda _world, name: ["rename", name, f"{name}-anew"], before=steady),
    Scenario("update", ("rpod",), lambda _world, name: ["update", "--restart", "on-failure:2", name], before=ended),
)  # fmt: skip


class Row:
    """What happened to the kills of one kind."""

    def __init__(self) -> None:
        self.kills = self.cut_short = self.lived_on = 0


class KillTest:
    """Kills until there were enough; every broken promise is a ``Failure`` with what was seen."""

    def __init__(self, world: World, seed: int, *, say: Callable[[str], None]) -> None:
        self.world, self.say = world, say
        self.seed, self.random = seed, random.Random(seed)
        self.rows: dict[tuple[str, str], Row] = {}
        self.missed = Counter[str]()
        self.number = self.kills = 0
        self.slowest_removal = 0.0
        # Every container on the host image is refused with the driver that would copy the whole machine.
        skipped = "run --rm host" if "--storage-driver=copy" in world.options else ""
        self.scenarios = [one for one in SCENARIOS if one.name != skipped]

    def calibrate(self) -> None:
        """Learn how long each command takes undisturbed: kills are spread over that time."""
        for scenario in self.scenarios:
            seconds = []
            for _time in range(3):
                name = f"typical-{self.number}"
                self.number += 1
                if scenario.before:
                    scenario.before(self.world, name)
                began = time.monotonic()
                self.world(*scenario.words(self.world, name))
                seconds.append(time.monotonic() - began)
            scenario.typical_seconds = statistics.median(seconds)
        self.world("rm", "-fa", "-t", "0")

    def run(self, wanted: int) -> None:
        batch = 0
        while self.kills < wanted:
            self.one()
            batch += 1
            if batch == BATCH:
                self.nothing_left()
                batch = 0
        self.nothing_left()

    def one(self) -> None:
        """Do one command, kill something in the middle of it, and look at the store."""
        scenario = self.random.choices(self.scenarios, [one.weight for one in self.scenarios])[0]
        target = self.random.choice(scenario.targets)
        if target == "runtime" and "--runtime=runc" in self.world.options:
            # The child of a killed "runc create" holds its standard error, which conmon reads to the end: rpod then waits
            # until its time limit for conmon's answer (240 s). crun's child ends with it.
            target = "rpod"
        delay = self.random.uniform(0, scenario.typical_seconds)
        self.number += 1
        name = f"kill-{self.number}"
        if scenario.before:
            scenario.before(self.world, name)
        what = f"kill {self.kills + 1}: {target} in '{scenario.name}' after {delay * 1000:.0f} ms ({name})"
        try:
            self.interrupt(scenario, target, delay, name)
        except Failure as failure:
            raise Failure(f"{what}: {failure}") from failure
        except subprocess.TimeoutExpired as hang:
            raise Failure(f"{what}: hangs: {hang}") from hang

    def interrupt(self, scenario: Scenario, target: str, delay: float, name: str) -> None:
        child = self.world.start(*scenario.words(self.world, name))
        time.sleep(delay)
        hit = self.hit(target, child)
        if target == "rpod" and hit:
            child.wait(10)
        _out, err = child.communicate(timeout=60)
        if not hit:
            self.missed[target] += 1
            if child.returncode != 0:
                raise Failure(f"nothing was killed, yet exit code {child.returncode}: {err.decode()}")
            return
        self.kills += 1
        row = self.rows.setdefault((scenario.name, target), Row())
        row.kills += 1
        row.cut_short += child.returncode != 0
        if b"Traceback" in err:
            raise Failure(f"a traceback: {err.decode()}")
        if scenario.name.startswith("run") and target in LET_LIVE:
            row.lived_on += self.lives_on(name)
            if "--rm" in scenario.name:
                self.removes_itself(name)
        if scenario.name == "pull" or self.kills % 10 == 0:
            self.images_are_whole()
        self.everything_works()

    def hit(self, target: str, child: subprocess.Popen[bytes]) -> bool:
        """Kill ``target``; return whether there was one (it is waited for while the command runs, and a moment longer)."""
        if target == "rpod":
            if child.poll() is not None:
                return False
            child.kill()
            return True
        deadline = time.monotonic() + 0.3
        while True:
            pid = self.world.find(target)
            if pid and self.world.kill(pid):
                return True
            if time.monotonic() > deadline and (child.poll() is not None or time.monotonic() > deadline + 2):
                return False
            time.sleep(0.001)

    def lives_on(self, name: str) -> bool:
        """A container whose process runs must be shown as running; return whether it does."""
        if not self.lives(name):
            return False
        shown = self.world("ps", "-a", "--format", "{{.Names}} {{.State}}").splitlines()
        if f"{name} running" not in shown and self.lives(name):
            raise Failure(f"the container's process lives, but ps shows {shown}")
        return True

    def lives(self, name: str) -> bool:
        return any(words[0] == "sh" and words[-1] == name and self.world.alive(pid) for pid, words in processes())

    def removes_itself(self, name: str) -> None:
        """A container with --rm that ran to its end must be gone soon after; one that never began may stay, as created."""
        deadline = time.monotonic() + 10
        while True:
            shown = self.world("ps", "-a", "--filter", f"name=^{name}$", "--format", "{{.State}}").split()
            if not shown or shown[0] in ("created", "initialized"):
                return
            if time.monotonic() > deadline:
                raise Failure(f"the container has --rm and has ended, but is still there: {shown}")
            time.sleep(0.1)

    def images_are_whole(self) -> None:
        """A pull completes after whatever was cut short, and every file is what the image says."""
        for image in (self.world("pull", "-q", *self.world.pull_words()).split()[-1], "img"):
            script = "find /files -type f | sort | xargs cat | sha256sum"
            seen = self.world("run", "--rm", "--network", "none", image, "sh", "-c", script).split()[0]
            if seen != self.world.files_digest:
                raise Failure(f"image {image} is broken: its files have digest {seen}, not {self.world.files_digest}")

    def everything_works(self) -> None:
        ids = self.world("ps", "-aq", "--no-trunc").split()
        self.world("images", "-q")
        for container_id in ids:
            for command in ("inspect", "logs"):
                try:
                    self.world(command, container_id)
                except Failure:
                    # One that removes itself may go between two commands.
                    if container_id in self.world("ps", "-aq", "--no-trunc"):
                        raise
        self.world("run", "--rm", "--network", "none", "img", "true")

    def nothing_left(self) -> None:
        """Remove all and look for anything left over."""
        began = time.monotonic()
        done = self.world.run("rm", "-fa", "-t", "0", timeout=60)
        self.slowest_removal = max(self.slowest_removal, time.monotonic() - began)
        if done.returncode != 0:
            raise Failure(f"rm -fa: exit code {done.returncode}: {done.stderr.decode()}")
        left = self.world.left_over()
        deadline = time.monotonic() + 3
        while left and time.monotonic() < deadline:
            time.sleep(0.1)  # exit commands and helpers that were told to end
            left = self.world.left_over()
        if left:
            raise Failure("left over after rm -fa: " + "; ".join(left))
        self.world("rm", "-fa")
        self.say(f"{self.kills} kills, nothing left over")

    def table(self) -> list[str]:
        lines = ["| command | killed | kills | command cut short | container lived on |", "|---|---|---|---|---|"]
        for (scenario, target), row in sorted(self.rows.items()):
            lines.append(f"| `{scenario}` | {target} | {row.kills} | {row.cut_short} | {row.lived_on or '-'} |")
        lines.append(f"| all | | {self.kills} | {sum(row.cut_short for row in self.rows.values())} | "
                     f"{sum(row.lived_on for row in self.rows.values())} |")  # fmt: skip
        return lines


def run(test: KillTest, kills: int) -> None:
    test.calibrate()
    test.run(kills)


def summary(test: KillTest, seconds: float, _broken: bool) -> str:
    missed = ", ".join(f"{name} {count}" for name, count in sorted(test.missed.items())) or "none"
    return (
        f"{test.kills} kills in {seconds:.0f} s, seed {test.seed}; slowest rm -fa {test.slowest_removal:.1f} s; "
        f"no victim found in time: {missed}"
    )


def main() -> int:
    return play(
        "kill-test", __doc__, kills=240, run=run, summary=summary,
        make=lambda world, seed, say: KillTest(world, seed, say=say),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
