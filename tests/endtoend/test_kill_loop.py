"""Two commands at a time on the same objects, one of them or a monitor killed: a short form of scripts/kill-test-loop."""

from __future__ import annotations

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from kill_loop import ACTIONS, KillLoop, known
from worlds import World

from rootless_pod.commands import index

KILLS = 15


def test_kills_between_two_commands_on_the_same_objects_leave_nothing_stuck_or_left(world: World) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"repeat with: scripts/kill-test-loop -n {KILLS} --seed {seed}")
    loop = KillLoop(world, seed, say=print)
    loop.run(KILLS)
    assert loop.kills >= KILLS


def test_the_loop_has_every_command_that_changes_containers_pods_volumes_or_secrets() -> None:
    changing = {"create", "init", "prune", "restart", "rename", "rm", "run", "start", "stop", "kill", "pause", "unpause",
                "update", "commit", "exec", "cp"}  # fmt: skip
    groups = ("", "container ", "pod ", "volume ", "secret ")
    wanted = {f"{group}{word}" for group in groups for word in changing} & set(index.COMMANDS)
    lines = [line for line, _weight in ACTIONS]
    assert sorted(words for words in wanted if not any(f"{line} ".startswith(f"{words} ") for line in lines)) == []
    assert any(known(line) for line in lines)
