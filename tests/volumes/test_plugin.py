"""What a plugin answers, and what is said when it does not."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rootless_pod.errors import ProgramFailed
from rootless_pod.volumes.plugin import Plugin, PluginMissing

SERVER = Path(__file__).with_name("plugin_server.py")


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Plugin]:
    (tmp_path / "data").mkdir()
    where = tmp_path / "sock"
    running = subprocess.Popen([sys.executable, str(SERVER), str(where), str(tmp_path / "data"), str(tmp_path / "log")])
    while not where.exists() and running.poll() is None:
        time.sleep(0.01)
    yield Plugin(name="plug", socket=str(where))
    running.kill()
    running.wait()


def answering(tmp_path: Path, answer: bytes) -> Plugin:
    """Return a plugin that answers anything with these bytes, once."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "sock"))
    server.listen()

    def serve() -> None:
        connection, _address = server.accept()
        with connection, server, connection.makefile("rb") as asked:
            length = 0
            while (line := asked.readline()) not in (b"\r\n", b""):
                length = int(line.split()[1]) if line.startswith(b"Content-Length") else length
            asked.read(length)
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + answer)

    threading.Thread(target=serve, daemon=True).start()
    return Plugin(name="plug", socket=str(tmp_path / "sock"), timeout_seconds=2)


def test_a_volume_is_made_found_mounted_and_removed(plugin: Plugin, tmp_path: Path) -> None:
    plugin.activate().create("v", {"a": "b"})
    assert plugin.list_names() == ["v"]
    assert plugin.find("v").status == {"place": "here"}
    assert plugin.mount("v") == str(tmp_path / "data/v")
    plugin.unmount("v")
    plugin.remove("v")
    assert plugin.list_names() == []


def test_what_the_plugin_says_is_told(plugin: Plugin) -> None:
    with pytest.raises(ProgramFailed, match=r"on /VolumeDriver.Create on volume v in volume plugin plug: bad option"):
        plugin.create("v", {"bad": "1"})
    with pytest.raises(ProgramFailed, match="no such volume"):
        plugin.find("v")


@pytest.mark.parametrize("answer", [b"", b"[]", b"no json", b"\xff\xfe"])
def test_an_answer_that_is_no_json_object_is_a_failure_and_no_traceback(tmp_path: Path, answer: bytes) -> None:
    with pytest.raises(ProgramFailed, match="with no JSON object"):
        answering(tmp_path, answer).find("v")


@pytest.mark.parametrize("answer", [b'{"Volume": "v"}', b'{"Volume": {"Status": "good"}}', b'{"Volume": [1]}'])
def test_a_volume_in_another_form_has_neither_place_nor_status(tmp_path: Path, answer: bytes) -> None:
    found = answering(tmp_path, answer).find("v")
    assert (found.mountpoint, found.status) == ("", {})


def test_lists_in_another_form_are_empty(tmp_path: Path) -> None:
    assert answering(tmp_path, b'{"Volumes": 3}').list_names() == []


def test_one_that_says_in_another_form_what_it_is_is_none(tmp_path: Path) -> None:
    with pytest.raises(PluginMissing, match="does not implement VolumeDriver"):
        answering(tmp_path, b'{"Implements": 3}').activate()


def test_a_plugin_for_something_else_is_none(tmp_path: Path) -> None:
    with pytest.raises(PluginMissing, match="does not implement VolumeDriver"):
        answering(tmp_path, b'{"Implements": ["NetworkDriver"]}').activate()


def test_a_mount_point_that_is_no_absolute_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProgramFailed, match="no absolute path"):
        answering(tmp_path, b'{"Mountpoint": "../etc"}').mount("v")


def test_a_socket_that_nobody_listens_at_is_named(tmp_path: Path) -> None:
    with pytest.raises(PluginMissing, match=r"does not answer .* at .*gone"):
        Plugin(name="plug", socket=str(tmp_path / "gone")).find("v")
