"""Many at once and many after each other: nothing fails, nothing is left, nothing grows."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from conftest import Rpod, make_store

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from soak import soak
from worlds import World

SECONDS = 20.0
AT_ONCE = 8


def test_eight_at_a_time_leave_nothing_and_grow_nothing(world: World) -> None:
    print("\n".join(soak(world, SECONDS, AT_ONCE)))


def together(rpod: Rpod, *commands: list[str]) -> list[tuple[int, str, str]]:
    """Start all commands before waiting for any; return (exit code, stdout, stderr) of each."""
    children = [rpod.start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for words in commands]
    results = []
    for child in children:
        out, err = child.communicate(timeout=120)
        assert b"Traceback" not in err, err.decode()
        results.append((child.returncode, out.decode(), err.decode()))
    return results


def test_eight_detached_containers_start_together_and_are_removed_together(img: Rpod) -> None:
    done = together(img, *[["run", "-d", "img", "sleep", "1000"]] * AT_ONCE)
    assert [code for code, _out, _err in done] == [0] * AT_ONCE
    assert len({out for _code, out, _err in done}) == AT_ONCE
    assert img("ps", "--format", "{{.State}}").split() == ["running"] * AT_ONCE
    removed = together(img, *[["rm", "-f", "-t", "0", out.strip()] for _code, out, _err in done])
    assert [code for code, _out, _err in removed] == [0] * AT_ONCE
    assert img("ps", "-aq") == ""
    assert img.mounts() == []


def test_one_container_is_removed_by_force_twice_at_once(img: Rpod) -> None:
    for _round in range(5):
        img("run", "-d", "--name", "twice", "--network", "none", "img", "sleep", "1000")
        done = together(img, *[["rm", "-f", "-t", "0", "twice"]] * 2)
        assert [code for code, _out, _err in done] == [0, 0], done
        assert img("ps", "-aq") == ""


def test_of_several_that_want_one_name_exactly_one_gets_it(img: Rpod) -> None:
    for _round in range(3):
        done = together(img, *[["run", "-d", "--name", "wanted", "--network", "none", "img", "sleep", "1000"]] * 4)
        assert sorted(code for code, _out, _err in done) == [0, 125, 125, 125]
        assert all("wanted" in err and "in use" in err for code, _out, err in done if code)
        assert img("ps", "-a", "--format", "{{.Names}}").split() == ["wanted"]
        img("rm", "-f", "-t", "0", "wanted")


def test_one_container_is_started_once_by_two_commands(img: Rpod) -> None:
    img("create", "--name", "once", "--network", "none", "img", "sleep", "1000")
    done = together(img, *[["start", "once"]] * 3)
    assert 0 in [code for code, _out, _err in done]
    assert img("ps", "--format", "{{.Names}} {{.State}}").split() == ["once", "running"]
    assert len([line for line in img.processes() if "conmon" in line]) == 1


def test_a_container_is_removed_while_it_starts(img: Rpod) -> None:
    for delay in (0.02, 0.04, 0.06, 0.08):
        child = img.start(
            "run", "-d", "--name", "brief", "--network", "none", "img", "sleep", "1000", stderr=subprocess.PIPE
        )
        time.sleep(delay)
        img("rm", "-f", "-t", "0", "brief")
        _out, err = child.communicate(timeout=60)
        assert b"Traceback" not in err, err.decode()
        img("rm", "-f", "-t", "0", "brief")
        assert img("ps", "-aq") == ""
        assert img.mounts() == []


def test_the_first_two_commands_of_a_boot_share_one_pause_process() -> None:
    for _round in range(3):
        rpod = make_store()
        try:
            done = together(rpod, *[["unshare", "readlink", "/proc/self/ns/user", "/proc/self/ns/mnt"]] * 4)
            assert [code for code, _out, _err in done] == [0] * 4, done
            assert len({out for _code, out, _err in done}) == 1
        finally:
            rpod.end()


def test_two_pulls_of_one_image_at_once_both_succeed(layout: Path) -> None:
    rpod = make_store()
    try:
        done = together(rpod, *[["pull", "-q", f"oci:{layout}:test"]] * 3)
        assert [code for code, _out, _err in done] == [0] * 3, done
        assert len({out for _code, out, _err in done}) == 1
        assert not list(rpod.root.glob("layers/.*"))
        assert rpod("run", "--rm", done[0][1].strip(), "echo", "whole").strip() == "whole"
    finally:
        rpod.end()


def test_the_exit_command_finds_rpod_without_environment_or_installed_package(img: Rpod, tmp_path: Path) -> None:
    """conmon is started without PATH, PYTHONPATH and home: its clean-up has to work all the same."""
    argv = ["env", "-i", *img.argv("run", "-d", "--rm", "--network", "none", "img", "sleep", "0.2")]
    done = subprocess.run(argv, capture_output=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    deadline = time.monotonic() + 10
    while img("ps", "-aq") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert img("ps", "-aq") == ""
