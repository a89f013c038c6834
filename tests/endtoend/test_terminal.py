"""``-it`` on a real terminal: one that tmux emulates, with a shell in it from which rpod is typed."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Rpod
from registries import require

COLUMNS, ROWS = 90, 30


class Screen:
    """A terminal of 90 × 30 in a tmux server of its own, with ``sh`` at its prompt ``host>``."""

    def __init__(self, place: Path, rpod: Rpod) -> None:
        require("tmux")
        self.server = ["tmux", "-S", f"{place}/tmux"]
        (place / "shell").write_text(f"PS1='host> '\nrpod() {{ {shlex.join(rpod.argv())} \"$@\"; }}\n")
        env = {**rpod.env, "ENV": f"{place}/shell", "TERM": "xterm"}
        words = ["new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), "-c", "/", "exec /bin/sh -i"]
        self.tmux("-f", "/dev/null", *words, env=env)
        self.tmux("set-option", "-g", "status", "off")
        self.tmux("set-option", "-g", "history-limit", "5000")
        self.tmux("resize-window", "-x", str(COLUMNS), "-y", str(ROWS))
        self.expect("host> $")

    def tmux(self, *words: str, env: dict[str, str] | None = None) -> str:
        done = subprocess.run([*self.server, *words], check=True, capture_output=True, text=True, env=env, timeout=20)
        return done.stdout

    def end(self) -> None:
        subprocess.run([*self.server, "kill-server"], check=False, capture_output=True, timeout=20)

    def type(self, text: str, *, enter: bool = True) -> None:
        """Type ``text`` letter by letter, then the return key."""
        self.tmux("send-keys", "-l", text)
        if enter:
            self.keys("Enter")

    def keys(self, *names: str) -> None:
        """Press keys by tmux's names, such as ``C-p``."""
        self.tmux("send-keys", *names)

    def resize(self, columns: int, rows: int) -> None:
        self.tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def text(self) -> str:
        """Return what stands on the terminal, lines that were wrapped joined, blank lines at the end left out."""
        return self.tmux("capture-pane", "-p", "-J", "-S", "-").rstrip()

    def expect(self, pattern: str, seconds: float = 30) -> str:
        """Wait until the screen fits ``pattern`` and return what its first group, or all of it, holds."""
        deadline = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.text().rstrip(" "), re.MULTILINE)
            if found is None:
                found = re.search(pattern, self.text() + " ")
            if found:
                return found.group(1) if found.groups() else found.group(0)
            assert time.monotonic() < deadline, f"{pattern!r} did not show up; the screen:\n{self.text()}"
            time.sleep(0.03)

    def modes(self) -> str:
        """Return the line settings of the terminal, as the shell's own ``stty`` tells them."""
        mark = secrets.token_hex(4)
        self.type(f"echo {mark[:4]}''{mark[4:]} $(stty -g)")
        return self.expect(rf"^{mark} (\S+)$")


@pytest.fixture
def screen(img: Rpod, tmp_path: Path) -> Iterator[Screen]:
    made = Screen(tmp_path, img)
    yield made
    made.end()


def expect_size(screen: Screen, rows: int, columns: int) -> None:
    """Ask the shell for its size until it is that: a change reaches it a moment after the window."""
    for _ in range(20):
        mark = secrets.token_hex(4)
        screen.type(f"echo {mark[:4]}''{mark[4:]} $(stty size)")
        seen = screen.expect(rf"^{mark} (\d+ \d+)$")
        if seen == f"{rows} {columns}":
            return
        time.sleep(0.1)
    pytest.fail(f"the size is {seen}, not {rows} {columns}")


def attach(screen: Screen, name: str) -> None:
    """Type ``rpod attach`` on a clean terminal and come back to the shell inside."""
    screen.type(f"clear; rpod attach {name}")
    for _ in range(100):
        screen.keys("Enter")
        time.sleep(0.1)
        if "inside#" in screen.text():
            return
    pytest.fail(f"nothing came back: {screen.text()}")


def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


SHELL = "sh -c 'PS1=inside#; export PS1; exec sh -i'"


def test_login_a_shell_on_a_terminal_knows_its_size_and_follows_it(img: Rpod, screen: Screen) -> None:
    before = screen.modes()
    screen.type(f"rpod run -it --rm img {SHELL}")
    screen.expect("^inside#$")
    screen.type("stty size; tty; test -t 0 -a -t 1 -a -t 2 && echo all three")
    screen.expect(f"^{ROWS} {COLUMNS}$")
    screen.expect("^/dev/pts/0$")
    screen.expect("^all three$")
    screen.resize(101, 23)
    expect_size(screen, 23, 101)
    screen.resize(77, 31)
    expect_size(screen, 31, 77)
    screen.type("exit 9")
    screen.expect("host> $")
    screen.type("echo code=$?")
    screen.expect("^code=9$")
    assert screen.modes() == before
    assert img("ps", "-aq") == ""


def test_login_a_resize_while_a_program_runs_reaches_it_as_a_signal(screen: Screen) -> None:
    script = "trap 'echo now $(stty size)' WINCH; echo ready; while :; do sleep 0.1; done"
    screen.type(f"rpod run -it --rm img sh -c {shlex.quote(script)}")
    screen.expect("^ready$")
    screen.resize(64, 20)
    screen.expect("^now 20 64$")
    screen.keys("C-c")
    screen.expect("host> $")


def test_login_the_detach_keys_leave_it_running_and_attach_brings_it_back(img: Rpod, screen: Screen) -> None:
    before = screen.modes()
    screen.type(f"rpod run -it --name kept img {SHELL}")
    screen.expect("^inside#$")
    screen.type("word=stays")
    screen.keys("C-p", "C-q")
    screen.expect("host> $")
    screen.type("echo code=$?")
    screen.expect("^code=0$")
    assert screen.modes() == before
    assert img("ps", "--format", "{{.Names}} {{.State}}").strip() == "kept running"
    attach(screen, "kept")
    screen.type("echo it $word")
    screen.expect("^it stays$")
    screen.type("exit 6")
    screen.expect("host> $")
    screen.type("echo code=$?")
    screen.expect("^code=6$")
    assert screen.modes() == before
    assert img("ps", "-a", "--format", "{{.Names}} {{.State}} {{.ExitCode}}").strip() == "kept exited 6"


def test_login_the_size_of_the_terminal_that_attaches_counts(screen: Screen) -> None:
    screen.type(f"rpod run -it --name sized img {SHELL}")
    screen.expect("^inside#$")
    screen.keys("C-p", "C-q")
    screen.expect("host> $")
    screen.resize(70, 22)
    attach(screen, "sized")
    expect_size(screen, 22, 70)


def test_login_the_interrupt_key_reaches_the_process_not_rpod(img: Rpod, screen: Screen) -> None:
    screen.type(f"rpod run -it --rm img {SHELL}")
    screen.expect("^inside#$")
    screen.type("sleep 1000")
    time.sleep(0.3)
    screen.keys("C-c")
    screen.expect("^inside#$")
    screen.type("echo code=$?")
    screen.expect("^code=130$")
    screen.type("cat")
    screen.type("typed")
    screen.expect("^typed\ntyped$")
    screen.keys("C-d")
    screen.type("exit")
    screen.expect("host> $")
    assert img("ps", "-aq") == ""


def test_login_exec_has_a_terminal_of_its_own_that_follows_and_ends_alone(img: Rpod, screen: Screen) -> None:
    img("run", "-d", "--name", "bg", "img", "sleep", "1000")
    before = screen.modes()
    screen.type(f"rpod exec -it bg {SHELL}")
    screen.expect("^inside#$")
    screen.type("stty size; test -t 2 && echo terminal")
    screen.expect(f"^{ROWS} {COLUMNS}$")
    screen.expect("^terminal$")
    screen.resize(66, 18)
    expect_size(screen, 18, 66)
    screen.type("sleep 1000")
    time.sleep(0.3)
    screen.keys("C-c")
    screen.type("echo interrupted=$?")
    screen.expect("^interrupted=130$")
    screen.type("exit 11")
    screen.expect("host> $")
    screen.type("echo code=$?")
    screen.expect("^code=11$")
    assert screen.modes() == before
    assert img("ps", "--format", "{{.Names}} {{.State}}").strip() == "bg running"


def test_login_exec_detaches_too_and_its_process_lives_on(img: Rpod, screen: Screen) -> None:
    img("run", "-d", "--name", "bg", "img", "sleep", "1000")
    before = screen.modes()
    screen.type("rpod exec -it --detach-keys ctrl-x,x bg sh -c 'echo up; exec sleep 2345'")
    screen.expect("^up$")
    screen.keys("C-x", "x")
    screen.expect("host> $")
    assert screen.modes() == before
    assert "sleep 2345" in img(
        "exec", "bg", "sh", "-c", "tr '\\0' ' ' </proc/[0-9]*/cmdline; cat /proc/[0-9]*/cmdline | tr '\\0' ' '"
    )


def test_the_terminal_is_as_before_when_rpod_is_ended_by_a_signal(img: Rpod, screen: Screen) -> None:
    before = screen.modes()
    screen.type("rpod run -it --name loud --sig-proxy=false img sh -c 'echo up; exec sleep 1000'")
    screen.expect("^up$")
    (pid,) = [one.split()[0] for one in img.processes() if "run -it --name loud" in one and "conmon" not in one]
    os.kill(int(pid), 15)
    screen.expect("host> $")
    screen.keys("Enter")
    assert screen.modes() == before
    assert img("ps", "--format", "{{.Names}} {{.State}}").strip() == "loud running"


def test_a_terminal_that_goes_away_leaves_the_container_running(img: Rpod, screen: Screen) -> None:
    screen.type(f"rpod run -it --name lonely img {SHELL}")
    screen.expect("^inside#$")
    screen.end()
    until(lambda: not [one for one in img.processes() if "run -it --name lonely" in one and "conmon" not in one])
    assert img("ps", "--format", "{{.Names}} {{.State}}").strip() == "lonely running"
    assert img("exec", "lonely", "echo", "still here").strip() == "still here"
