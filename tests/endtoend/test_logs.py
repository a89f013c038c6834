"""Log drivers, and what ``logs`` says of them: as podman 4.3.1 does."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Rpod, make_store

QUICK = ("--network", "none", "host")
BOTH = ("sh", "-c", "echo out; echo err >&2")
NO_JOURNAL = not os.path.exists("/run/systemd/journal/socket")


@pytest.fixture(scope="module")
def store() -> Iterator[Rpod]:
    """A store with two containers that ended, ``one`` before ``two``."""
    made = make_store()
    made("run", "--name", "one", *QUICK, *BOTH)
    made("run", "--name", "two", "--log-driver", "json-file", *QUICK, "echo", "second")
    yield made
    made.end()


def test_each_stream_comes_out_where_it_went_in(store: Rpod) -> None:
    done = store.run("logs", "one")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"out\n", b"err\n")
    assert store("logs", "two") == "second\n"
    assert store("inspect", "--format", "{{.HostConfig.LogConfig.Type}}", "two") == "json-file\n"


def test_several_containers_are_told_apart_and_come_by_time(store: Rpod) -> None:
    first, second = store("inspect", "--format", "{{slice .Id 0 12}}", "one", "two").split()
    assert store("logs", "two", "one") == f"{first} out\n{second} second\n"
    assert store("logs", "--names", "two", "one") == "one out\ntwo second\n"
    assert store("logs", "--names", "one") == "out\n"
    assert store("logs", "--color", "one") == "\033[37mout\033[0m\n"
    assert store("logs", "--color", "--names", "two", "one") == "\033[31mone out\033[0m\n\033[37mtwo second\033[0m\n"
    assert store("logs", "--tail", "1", "--names", "one", "two") == "two second\n"


def test_times_have_nine_digits_and_can_be_asked_for(store: Rpod) -> None:
    line = store("logs", "-t", "one")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(Z|[+-]\d\d:\d\d) out\n", line)
    moment = line.split()[0]
    assert store("logs", "--since", moment, "one") == "out\n"
    assert store("logs", "--until", "2001-01-01T00:00:00Z", "one") == ""
    assert store("logs", "--since", "1h", "two") == "second\n"


@pytest.mark.parametrize("driver", ["none", "passthrough"])
def test_a_container_without_a_log_says_so(store: Rpod, driver: str) -> None:
    assert store("run", "--name", driver, "--log-driver", driver, *QUICK, "echo", "shown") == "shown\n"
    said = f"this container is using the '{driver}' log driver, cannot read logs"
    assert said in store.error("logs", driver)
    assert said in store.error("logs", "one", driver)
    store("rm", driver)


def test_passthrough_hands_our_streams_and_signals_on(store: Rpod) -> None:
    words = ("run", "--rm", "--log-driver", "passthrough", *QUICK)
    done = store.run(*words, "sh", "-c", "cat; echo err >&2; exit 7", stdin=b"in\n")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"in\n", b"err\n")
    script = "trap 'echo caught; exit 5' TERM; echo ready; while true; do sleep 0.05; done"
    with store.start(*words, "sh", "-c", script, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        running.send_signal(signal.SIGTERM)
        assert running.stdout.readline() == b"caught\n"
    assert running.returncode == 5
    assert store("run", "-d", "--name", "detached", "--log-driver", "passthrough", *QUICK, "echo", "hi") == "hi\n"
    assert "passthrough" in store.error("attach", "detached") or "not running" in store.error("attach", "detached")
    assert "terminal" in store.error("run", "--rm", "-t", "--log-driver", "passthrough", *QUICK, "true")
    store("rm", "-f", "detached")


def test_a_full_log_is_begun_anew_and_stays_readable(store: Rpod) -> None:
    loop = "i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo line number $i; done"
    store("run", "--name", "full", "--log-opt", "max-size=2k", *QUICK, "sh", "-c", loop)
    lines = store("logs", "full").splitlines()
    assert lines == [f"line number {number}" for number in range(201 - len(lines), 201)]
    assert 0 < len(lines) < 100
    assert store("logs", "--tail", "2", "full").splitlines() == lines[-2:]
    assert store("inspect", "--format", "{{.HostConfig.LogConfig.Size}}", "full").strip().lower() in ("2kb", "2.048kb")
    store("rm", "full")


def test_a_follower_goes_on_across_the_limit(store: Rpod) -> None:
    loop = "i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo line number $i; sleep 0.01; done"
    store("run", "-d", "--name", "followed", "--log-opt", "max-size=2k", *QUICK, "sh", "-c", f"sleep 0.5; {loop}")
    lines = store("logs", "-f", "followed").splitlines()
    assert lines == [f"line number {number}" for number in range(1, 61)]
    store("rm", "-f", "followed")


def test_several_are_followed_at_once(store: Rpod) -> None:
    for name in ("a", "b"):
        store("run", "-d", "--name", name, *QUICK, "sh", "-c", f"echo {name}1; sleep 0.4; echo {name}2")
    assert sorted(store("logs", "-f", "--names", "a", "b").splitlines()) == ["a a1", "a a2", "b b1", "b b2"]
    store("rm", "-f", "-t", "0", "a", "b")


def test_the_log_may_lie_elsewhere(store: Rpod, tmp_path: Path) -> None:
    store("run", "--name", "elsewhere", "--log-opt", f"path={tmp_path}/log", *QUICK, "echo", "there")
    assert (tmp_path / "log").read_text().endswith(" stdout F there\n")
    assert store("logs", "elsewhere") == "there\n"
    store("rm", "elsewhere")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--log-driver", "nonsense"), "'nonsense' is not one of"),
        (("--log-opt", "max-size=zz"), "is not a size"),
        (("--log-opt", "tag=x"), "use --log-driver journald"),
        (("--log-opt", "colour=red"), "'colour' is not known"),
        (("--log-opt", "path=/no/such/place/log"), "there is no such directory"),
    ],
)
def test_what_cannot_be_meant_makes_no_container(store: Rpod, words: tuple[str, ...], said: str) -> None:
    assert said in store.error("run", "--name", "never", *words, *QUICK, "true")
    store("container", "exists", "never", code=1)


@pytest.mark.skipif(not NO_JOURNAL, reason="a journal runs here")
def test_without_a_journal_its_driver_is_refused_with_the_reason(store: Rpod) -> None:
    said = store.error("create", "--name", "never", "--log-driver", "journald", *QUICK, "true")
    assert "needs a running systemd-journald" in said
    assert "--log-driver k8s-file" in said
    store("container", "exists", "never", code=1)


@pytest.mark.skipif(NO_JOURNAL, reason="no journal runs here")
def test_the_journal_keeps_the_log_and_gives_it_back(store: Rpod) -> None:
    store("run", "--name", "j", "--log-driver", "journald", "--log-opt", "tag=tagged", *QUICK, *BOTH)
    deadline = time.monotonic() + 20
    while not (done := store.run("logs", "j")).stderr and time.monotonic() < deadline:
        time.sleep(0.2)
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")
    store("rm", "j")
    store("run", "-d", "--name", "k", "--log-driver", "journald", *QUICK, "sh", "-c", "echo a; sleep 1; echo b")
    assert store("logs", "-f", "k") == "a\nb\n"
    store("rm", "-f", "k")
