"""``kill -9`` in the middle of things: whatever was killed, every command works afterwards and nothing is left over."""

from __future__ import annotations

import os
import random
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Rpod

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from kill_test import KillTest
from worlds import World, processes

KILLS = 20


def test_random_kills_leave_nothing_stuck_broken_or_left_over(world: World) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    test = KillTest(world, seed, say=print)
    print(f"repeat with: scripts/kill-test -n {KILLS} --seed {seed}")
    test.calibrate()
    test.run(KILLS)
    assert test.kills >= KILLS


class Trap:
    """A program in front of the real one that kills rpod, or itself, at one exact moment; armed by a file."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.armed = directory, directory / "armed"
        directory.mkdir()

    def set(self, program: str, script: str) -> dict[str, str]:
        """Put ``script`` in front of ``program``; it runs as $real with "$@". Return the environment that finds it."""
        real = shutil.which(program)
        assert real is not None
        trap = self.directory / program
        trap.write_text(
            f'#!/bin/sh\nreal={real}\nkill_starter() {{ kill -9 $(sed \'s/.*"pid": *\\([0-9]*\\).*/\\1/\' "$1/monitor.json"); }}\n'
            f'if [ -e {self.armed} ]; then\n{script}\nfi\nexec $real "$@"\n'
        )
        trap.chmod(0o755)
        return {"PATH": f"{self.directory}:{os.environ['PATH']}"}


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    return Trap(tmp_path / "trap")


IN_CREATE = """
case " $* " in *" create "*)
    rm {armed}
    bundle=$(echo " $* " | sed 's/.* --bundle \\([^ ]*\\) .*/\\1/')
    {before}
    $real "$@"; code=$?
    {after}
    exit $code
esac
"""
IN_START = """
case " $* " in *" start "*)
    rm {armed}
    {before}
    $real "$@"
    {after}
    exit 0
esac
"""
WINDOWS = {
    "before the runtime makes the container": IN_CREATE.replace("{before}", 'kill_starter "$bundle"; sleep 0.2').replace("{after}", ""),
    "when the runtime has made the container": IN_CREATE.replace("{before}", "").replace("{after}", 'kill_starter "$bundle"; sleep 0.2'),
    "before the runtime starts the container": IN_START.replace("{before}", "kill -9 $PPID; exit 1").replace("{after}", ""),
}  # fmt: skip


def wait_until(what: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def runtime_of(rpod: Rpod) -> str:
    plan = rpod("run", "--dry-run", "--network", "none", "img", "true")
    return next(line.split()[1] for line in plan.splitlines() if line.startswith("runtime: "))


def nothing_left(rpod: Rpod) -> None:
    """No process, mount, namespace, bundle, name or directory of a container is left."""

    def gone() -> bool:
        return not rpod.processes()

    assert wait_until(gone, 5), rpod.processes()
    assert rpod.mounts() == []
    for pattern in ("containers/*", "names/containers/*"):
        assert list(rpod.root.glob(pattern)) == []
    for pattern in ("*/containers/*", "*/netns/*", "*/runtime/*/*"):
        assert list(rpod.runroot.glob(pattern)) == []


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("network", ["none", "private"])
def test_a_start_cut_short_is_removed_with_all_it_set_going(img: Rpod, trap: Trap, window: str, network: str) -> None:
    caught = img.with_options(env=trap.set(runtime_of(img), WINDOWS[window].replace("{armed}", str(trap.armed))))
    trap.armed.touch()
    done = caught.run("run", "-d", "--name", "cut", "--network", network, "img", "sleep", "1000")
    assert done.returncode == -9, done.stderr
    assert "running" not in img("ps", "-a", "--format", "{{.Names}} {{.State}}")
    img("rm", "-f", "cut")
    nothing_left(img)
    assert img("run", "--rm", "--name", "cut", "img", "echo", "again").strip() == "again"


@pytest.mark.parametrize("window", WINDOWS)
def test_a_start_cut_short_can_be_started_anew(img: Rpod, trap: Trap, window: str) -> None:
    caught = img.with_options(env=trap.set(runtime_of(img), WINDOWS[window].replace("{armed}", str(trap.armed))))
    trap.armed.touch()
    caught.run("run", "-d", "--name", "cut", "--network", "none", "img", "sh", "-c", "echo ran")
    assert img("start", "-a", "cut").strip() == "ran"
    assert img("ps", "-a", "--format", "{{.State}} {{.ExitCode}}").strip() == "exited 0"


@pytest.mark.parametrize("window", WINDOWS)
def test_a_run_with_rm_cut_short_holds_no_name(img: Rpod, trap: Trap, window: str) -> None:
    caught = img.with_options(env=trap.set(runtime_of(img), WINDOWS[window].replace("{armed}", str(trap.armed))))
    trap.armed.touch()
    caught.run("run", "--rm", "--name", "cut", "--network", "none", "img", "true")
    assert img("run", "--rm", "--replace", "--name", "cut", "img", "echo", "again").strip() == "again"
    img("rm", "-fa")
    nothing_left(img)


def test_a_container_that_began_before_rpod_was_killed_goes_on_and_removes_itself(img: Rpod, trap: Trap) -> None:
    script = IN_START.replace("{before}", "").replace("{after}", "kill -9 $PPID").replace("{armed}", str(trap.armed))
    caught = img.with_options(env=trap.set(runtime_of(img), script))
    trap.armed.touch()
    done = caught.run("run", "--rm", "--name", "orphan", "--network", "none", "img", "sleep", "2")
    assert done.returncode == -9
    assert img("ps", "--format", "{{.Names}} {{.State}}").strip() == "orphan running"
    assert img("exec", "orphan", "echo", "inside").strip() == "inside"
    assert wait_until(lambda: not img("ps", "-aq").strip())
    nothing_left(img)


def test_an_exit_code_is_kept_when_rpod_was_killed_right_after_the_start(img: Rpod, trap: Trap) -> None:
    script = IN_START.replace("{before}", "").replace("{after}", "kill -9 $PPID").replace("{armed}", str(trap.armed))
    caught = img.with_options(env=trap.set(runtime_of(img), script))
    trap.armed.touch()
    caught.run("run", "--name", "short", "--network", "none", "img", "sh", "-c", "exit 9")
    assert img("wait", "short").strip() == "9"
    assert img("ps", "-a", "--format", "{{.State}} {{.ExitCode}}").strip() == "exited 9"


def test_a_monitor_killed_while_it_makes_the_container_is_reported_and_leaves_nothing(img: Rpod, trap: Trap) -> None:
    script = (
        IN_CREATE.replace("{before}", "")
        .replace("{after}", "kill -9 $PPID; sleep 0.2")
        .replace("{armed}", str(trap.armed))
    )
    caught = img.with_options(env=trap.set(runtime_of(img), script))
    trap.armed.touch()
    done = caught.run("run", "--rm", "--network", "none", "img", "true")
    assert done.returncode > 0
    assert b"Traceback" not in done.stderr
    assert img("ps", "-aq") == ""
    nothing_left(img)


def test_a_killed_create_holds_neither_name_nor_directory(img: Rpod, tmp_path: Path) -> None:
    """The directory exists, the name is taken, the record is not written: the maker is dead, so its lock is free."""
    unborn = "a" * 64
    (img.root / "containers" / unborn).mkdir(mode=0o700)
    (img.root / "names/containers/claimed").symlink_to(unborn)
    assert img("ps", "-aq") == ""
    img("create", "--name", "claimed", "img", "true")
    assert not (img.root / "containers" / unborn).exists()
    img("rm", "claimed")
    (img.root / "containers" / unborn).mkdir(mode=0o700)
    img("rm", "-fa")
    nothing_left(img)


def test_a_damaged_record_can_be_removed_by_force(img: Rpod) -> None:
    container = img("run", "-d", "--name", "harmed", "--network", "none", "img", "sleep", "1000").strip()
    (img.root / "containers" / container / "container.json").write_text("{")
    assert img("ps", "-aq").strip() == container[:12]
    img("rm", "-fa", "-t", "0")
    nothing_left(img)


def pause_of(rpod: Rpod) -> int:
    return World.pause(rpod)  # type: ignore[arg-type] - it reads runroot alone


def test_containers_live_on_without_the_pause_process_and_are_found_again(img: Rpod) -> None:
    img("run", "-d", "--name", "steady", "img", "sleep", "1000")
    os.kill(pause_of(img), 9)
    assert img("ps", "--format", "{{.Names}} {{.State}}").strip() == "steady running"
    assert img("exec", "steady", "echo", "inside").strip() == "inside"
    assert img("run", "--rm", "img", "echo", "another").strip() == "another"
    img("rm", "-f", "-t", "0", "steady")
    nothing_left(img)


def test_a_container_is_ended_when_monitor_and_pause_process_are_both_dead(img: Rpod) -> None:
    img("run", "-d", "--name", "alone", "--network", "none", "--user", "app", "img", "sleep", "98761")
    state = next(img.root.glob("containers/*/state.json")).read_text()
    monitor = int(state.partition('"conmon_pid":')[2].partition(",")[0])
    os.kill(monitor, 9)
    os.kill(pause_of(img), 9)
    img("rm", "-f", "-t", "0", "alone")
    assert not [words for _pid, words in processes() if words == ["sleep", "98761"]]
    assert img("ps", "-aq") == ""
    nothing_left(img)


def test_mounts_that_went_with_the_namespaces_are_no_obstacle(img: Rpod) -> None:
    img("run", "-d", "--name", "victim", "--network", "none", "img", "sleep", "1000")
    state = next(img.root.glob("containers/*/state.json")).read_text()
    for key in ('"conmon_pid":', '"pid":'):
        os.kill(int(state.partition(key)[2].partition(",")[0]), 9)
    os.kill(pause_of(img), 9)
    assert img("start", "victim").strip() == "victim"
    assert img("ps", "--format", "{{.State}}").strip() == "running"
