"""``--sdnotify``: the words a unit of ``Type=notify`` hears. The test is its systemd; the messages are podman 4.3.1's."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Rpod
from test_restart import NO_NETWORK, field

pytestmark = pytest.mark.endtoend
SAY = "import os, socket; socket.socket(1, 2).sendto({!r}, os.environ['NOTIFY_SOCKET']); import time; time.sleep(1000)"


class Systemd:
    """A socket that hears what a unit says, and ``rpod`` run as such a unit."""

    def __init__(self, img: Rpod, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(20)
        self.rpod = img.with_options(env={"NOTIFY_SOCKET": str(path)})

    def hear(self) -> list[str]:
        return self.socket.recv(4096).decode().split("\n")

    def hears_nothing(self) -> bool:
        self.socket.setblocking(False)
        try:
            return not self.socket.recv(4096)
        except BlockingIOError:
            return True

    def run(self, *words: str) -> None:
        self.rpod("run", "-d", "--name", "c", "--stop-timeout", "0", *NO_NETWORK, *words)


@pytest.fixture
def systemd(img: Rpod, tmp_path: Path) -> Iterator[Systemd]:
    made = Systemd(img, tmp_path / "notify")
    yield made
    made.socket.close()


def conmon_pid(systemd: Systemd) -> str:
    return f"MAINPID={field(systemd.rpod, 'c', '{{.State.ConmonPid}}')}"


def test_by_default_the_containers_own_word_of_readiness_is_handed_on(systemd: Systemd) -> None:
    systemd.run("host", "python3", "-c", SAY.format(b"READY=1"))
    assert systemd.hear() == [conmon_pid(systemd)]
    assert systemd.hear()[0] == "READY=1"
    assert json.loads(systemd.rpod("inspect", "c"))[0]["Config"]["sdNotifyMode"] == "container"
    assert systemd.rpod("exec", "c", "env").count("NOTIFY_SOCKET") == 0


def test_conmon_says_at_once_that_it_is_ready_and_the_container_knows_no_socket(systemd: Systemd) -> None:
    systemd.run("--sdnotify", "conmon", "img", "sh", "-c", "echo [$NOTIFY_SOCKET]; exec sleep 1000")
    assert systemd.hear() == [conmon_pid(systemd), "READY=1"]
    assert systemd.rpod("logs", "c") == "[]\n"


def test_healthy_waits_for_the_first_good_check(systemd: Systemd) -> None:
    systemd.run(
        "--sdnotify", "healthy", "--health-cmd", "test -e /tmp/ok", "--health-interval", "200ms", "img", "sleep", "1000"
    )
    assert systemd.hear() == [conmon_pid(systemd)]
    assert systemd.rpod("healthcheck", "run", "c", code=1) == "unhealthy\n"
    assert systemd.hears_nothing()
    systemd.socket.settimeout(20)
    systemd.rpod("exec", "c", "touch", "/tmp/ok")
    assert systemd.hear() == ["READY=1"]


def test_ignore_says_nothing_and_a_start_follows_what_create_said(systemd: Systemd) -> None:
    systemd.run("--sdnotify", "ignore", "img", "sleep", "1000")
    assert systemd.hears_nothing()
    systemd.rpod("create", "--name", "later", *NO_NETWORK, "--sdnotify", "conmon", "img", "true")
    assert systemd.hears_nothing()
    systemd.socket.settimeout(20)
    systemd.rpod("start", "later")
    assert systemd.hear()[1] == "READY=1"


def test_healthy_without_a_health_check_is_refused(img: Rpod) -> None:
    said = img.error("create", "--sdnotify", "healthy", "img", "true")
    assert 'sdnotify policy "healthy" requires a healthcheck to be set' in said


def test_a_systemd_in_the_container_is_stopped_by_its_own_signal(img: Rpod) -> None:
    for name, words in (
        ("by-path", ["host", "/sbin/init"]),
        ("always", ["--systemd", "always", "host", "sleep", "9"]),
        ("given", ["--stop-signal", "INT", "host", "/usr/lib/systemd/systemd"]),
        ("off", ["--systemd", "false", "img", "/sbin/init"]),
        ("image", ["img", "/sbin/init"]),
    ):
        img("create", "--name", name, *NO_NETWORK, *words)
    form = "{{.Config.StopSignal}}"
    # Source: podman 4.3.1; 37 is SIGRTMIN+3, see systemd(1)
    assert [field(img, name, form) for name in ("by-path", "always", "given", "off", "image")] == [
        "37",
        "37",
        "2",
        "15",
        "15",
    ]
    assert field(img, "always", "{{.Config.SystemdMode}}") == "true"
