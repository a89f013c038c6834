"""Actions on many containers at once: every one is done once, shown in the order of the call, and failures are told."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from rootless_pod.commands.workers import for_each_at_once
from rootless_pod.errors import NotFound

TOP = Path(__file__).parents[2]


def test_each_is_done_once_and_shown_in_the_order_asked_for(tmp_path, capfd):
    ids = [f"{number:03}" for number in range(60)]

    def action(one):
        time.sleep(0.002 * (int(one) % 5))
        with open(tmp_path / one, "x") as file:
            file.write(str(os.getpid()))
        return one if int(one) % 2 else None

    assert for_each_at_once(ids, action) == 0
    assert capfd.readouterr().out.split() == ids[1::2]
    assert sorted(os.listdir(tmp_path)) == ids
    assert os.getpid() not in {int((tmp_path / one).read_text()) for one in ids}
    assert len({(tmp_path / one).read_text() for one in ids}) > 1


def test_a_failure_is_told_and_keeps_nobody_else(capfd):
    def action(one):
        if one == "b":
            raise NotFound("no container b", exit_code=1)
        return one

    assert for_each_at_once(["a", "b", "c"], action) == 1
    said = capfd.readouterr()
    assert said.out.split() == ["a", "c"]
    assert "no container b" in said.err


def test_more_than_fit_into_a_pipe_are_done_too(capfd):
    ids = [str(number) for number in range(20000)]
    assert for_each_at_once(ids, lambda one: one) == 0
    assert capfd.readouterr().out.split() == ids


def test_a_bug_in_the_action_ends_its_process_alone_and_is_seen():
    code = (
        "from rootless_pod.commands.workers import for_each_at_once\n"
        "print('code', for_each_at_once(['a', 'b'], lambda one: 1 // 0))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=TOP, check=True)
    assert done.stdout == "code 125\n"
    assert "ZeroDivisionError" in done.stderr
