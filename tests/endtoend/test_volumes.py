"""Volumes of other drivers: an image's content, a plugin's, what mount(8) mounts. Podman 4.3.1 says what is expected."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import images
import pytest
from conftest import Rpod, make_store

SERVER = Path(__file__).parents[1] / "volumes" / "plugin_server.py"
QUICK = ("run", "--rm", "--network", "none")


class Plugin:
    """A running plugin ``plug`` and what it was asked."""

    def __init__(self, place: Path) -> None:
        self.place, self.socket, self.log = place / "data", place / "plug.sock", place / "log"
        self.place.mkdir()
        self.log.touch()
        self.config = place / "containers.conf"
        self.config.write_text(f'[engine.volume_plugins]\nplug = "{self.socket}"\n')
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, str(SERVER), str(self.socket), str(self.place), str(self.log)])
        while not self.socket.exists() and self.process.poll() is None:
            time.sleep(0.01)

    def stop(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.socket.unlink(missing_ok=True)

    def asked(self) -> list[str]:
        """Return what was asked since the last time, without the greeting of each command."""
        lines = [line for line in self.log.read_text().splitlines() if not line.startswith(("Activate", "Get"))]
        self.log.write_text("")
        return lines


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugin]:
    made = Plugin(tmp_path_factory.mktemp("plugin"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def store(plugin: Plugin) -> Iterator[Rpod]:
    made = make_store().with_options(env={"CONTAINERS_CONF": str(plugin.config)})
    made("import", str(images.busybox_base(images.cache_directory())), "bb")
    yield made
    made.end()


def inspect(store: Rpod, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(store("volume", "inspect", name))[0]
    return found


def test_a_plugins_volume_is_mounted_while_containers_use_it(store: Rpod, plugin: Plugin) -> None:
    plugin.asked()
    store("volume", "create", "--driver", "plug", "--opt", "a=b", "one")
    assert plugin.asked() == ["Create one"]
    before = inspect(store, "one")
    assert (before["Driver"], before["Mountpoint"], before["MountCount"]) == ("plug", "", 0)
    assert (before["Status"], before["Options"], before["Timeout"]) == ({"place": "here"}, {"a": "b"}, 5)
    store("run", "-d", "--name", "a", "--network", "none", "-v", "one:/v", "bb", "sleep", "100")
    store(*QUICK, "-v", "one:/v", "bb", "sh", "-c", "echo kept > /v/file")
    assert plugin.asked() == ["Mount one"]
    during = inspect(store, "one")
    assert (during["Mountpoint"], during["MountCount"]) == (str(plugin.place / "one"), 1)
    mounts = json.loads(store("inspect", "--format", "{{json .Mounts}}", "a"))
    assert (mounts[0]["Driver"], mounts[0]["Source"]) == ("plug", str(plugin.place / "one"))
    assert "being used" in store.error("volume", "rm", "one", code=2)
    store("rm", "-f", "-t", "0", "a")
    assert plugin.asked() == ["Unmount one"]
    assert store("volume", "export", "one").count("kept") == 1
    assert plugin.asked() == ["Mount one", "Unmount one"]
    store("volume", "rm", "one")
    assert plugin.asked() == ["Remove one"]


def test_what_the_plugin_refuses_leaves_nothing(store: Rpod) -> None:
    said = store.error("volume", "create", "--driver", "plug", "--opt", "bad=1", "no")
    assert 'creating volume "no" in plugin plug: on /VolumeDriver.Create on volume no' in said
    assert "required plugin missing" in store.error("volume", "create", "--driver", "nosuch", "no")
    assert store("volume", "ls", "-q") == ""


def test_reload_takes_over_what_the_plugin_has_and_forgets_what_it_lost(store: Rpod, plugin: Plugin) -> None:
    store("volume", "create", "--driver", "plug", "lost")
    (plugin.place / "lost").rmdir()
    (plugin.place / "found").mkdir()
    assert "retrieving volume lost information from plugin plug" in store.error("volume", "inspect", "lost")
    assert store("volume", "ls", "-q") == "lost\n"
    assert store("volume", "reload") == "Added:\nfound\nRemoved:\nlost\n"
    assert store("volume", "reload") == ""
    assert store("volume", "prune", "-f") == "found\n"
    assert not (plugin.place / "found").exists()


def test_without_its_plugin_a_volume_is_not_mounted_but_can_be_removed(store: Rpod, plugin: Plugin) -> None:
    store("volume", "create", "--driver", "plug", "two")
    plugin.stop()
    try:
        said = store.error(*QUICK, "-v", "two:/v", "bb", "true")
        assert "cannot access plugin plug socket" in said
        assert store("ps", "-aq") == ""
        assert "it has been removed here" in store.error("volume", "rm", "two")
        assert store("volume", "ls", "-q") == ""
    finally:
        plugin.start()
    shutil.rmtree(plugin.place / "two")


def test_login_a_volume_on_an_image_shows_its_files_and_keeps_what_is_written(store: Rpod) -> None:
    store("tag", "bb", "base")
    store("volume", "create", "--driver", "image", "--opt", "image=base", "iv")
    assert (inspect(store, "iv")["Driver"], inspect(store, "iv")["Options"]) == ("image", {"image": "base"})
    store(*QUICK, "-v", "iv:/v", "bb", "sh", "-c", "test -e /v/bin/sh && echo new > /v/file")
    assert store(*QUICK, "-v", "iv:/v", "bb", "cat", "/v/file") == "new\n"
    assert store.mounts() == []
    store("volume", "rm", "iv")
    assert "image not known" in store.error("volume", "create", "--driver", "image", "--opt", "image=nosuch", "x")


def test_an_image_that_a_volume_stands_on_stays_or_leaves_it_its_layers(store: Rpod, tmp_path: Path) -> None:
    tree = tmp_path / "tree.tar"
    (tmp_path / "file").write_text("of the image")
    subprocess.run(["tar", "-C", str(tmp_path), "-cf", str(tree), "file"], check=True)
    store("import", str(tree), "other")
    store("volume", "create", "--driver", "image", "--opt", "image=other", "iv")
    assert "in use by volume iv" in store.error("rmi", "other", code=2)
    store("rmi", "-f", "other")
    assert store(*QUICK, "-v", "iv:/v", "bb", "cat", "/v/file") == "of the image"
    layers = len(os.listdir(store.root / "layers"))
    store("volume", "rm", "iv")
    store("image", "prune", "-f")
    assert len(os.listdir(store.root / "layers")) < layers


def test_options_of_the_driver_local_are_mounted(store: Rpod, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("bound")
    store("volume", "create", "--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=1m", "tm")
    store("volume", "create", "--opt", "type=none", "--opt", f"device={tmp_path}", "--opt", "o=bind", "bi")
    said = store(*QUICK, "-v", "tm:/v", "bb", "grep", " /v ", "/proc/self/mounts")
    assert said.startswith("tmpfs /v tmpfs")
    assert "size=1024k" in said
    assert store(*QUICK, "-v", "bi:/v", "bb", "cat", "/v/file") == "bound"
    assert store.mounts() == []
    store("volume", "rm", "tm", "bi")
    assert (tmp_path / "file").read_text() == "bound"


def test_login_a_volume_belongs_to_the_ids_that_are_asked_for_where_there_are_such(store: Rpod) -> None:
    words = ("volume", "create", "--opt", "o=uid=5,gid=6", "ug")
    if len(store("unshare", "cat", "/proc/self/uid_map").splitlines()) == 1:
        assert "cannot give the volume to 5:6" in store.error(*words)
        assert store("volume", "ls", "-q") == ""
        return
    store(*words)
    assert store(*QUICK, "-v", "ug:/v", "bb", "stat", "-c", "%u %g", "/v") == "5 6\n"
    store("volume", "rm", "ug")


def test_mounting_by_hand_is_counted_and_seen_inside_unshare(store: Rpod) -> None:
    assert "rpod unshare" in store.error("volume", "mount", "iv")
    store("volume", "create", "--driver", "image", "--opt", "image=bb", "iv")
    inner = " ".join(store.argv())
    script = f"""
        {inner} volume mount iv; {inner} volume mount iv; test -e {store.root}/volumes/iv/_data/bin/sh && echo seen
        {inner} volume inspect -f '{{{{.MountCount}}}}' iv
        {inner} volume unmount iv; test -e {store.root}/volumes/iv/_data/bin/sh && echo seen
        {inner} volume unmount iv; test -e {store.root}/volumes/iv/_data/bin/sh || echo gone
    """
    where = f"{store.root}/volumes/iv/_data"
    assert store("unshare", "sh", "-c", script).splitlines() == [
        where, where, "seen", "2", "iv", "seen", "iv", "gone",
    ]  # fmt: skip
    store("volume", "rm", "iv")


def test_killed_beside_a_mount_nothing_stays_stuck(store: Rpod) -> None:
    """A user without a mount, a record without a mount, a command that is no more: each is found out."""
    store("volume", "create", "--driver", "image", "--opt", "image=bb", "iv")
    volumes = next(store.runroot.glob("*/containers")).parent / "volumes"
    for user in ("f" * 64, "pid-999999999"):
        (volumes / "users" / user).mkdir(parents=True)
        (volumes / "users" / user / "iv").write_text("1")
    (volumes / "mounted").mkdir(exist_ok=True)
    (volumes / "mounted" / "iv").write_text(json.dumps({"path": "/nowhere", "point": "/nowhere"}))
    assert store(*QUICK, "-v", "iv:/v", "bb", "sh", "-c", "ls -d /v/bin") == "/v/bin\n"
    store("system", "prune", "-f")
    assert store("volume", "inspect", "-f", "{{.MountCount}}", "iv") == "0\n"
    assert store.mounts() == []
    store("volume", "rm", "iv")
    assert not list((volumes / "users").iterdir())


def test_reset_takes_what_plugins_keep_along_and_nothing_that_is_bound(plugin: Plugin, tmp_path: Path) -> None:
    made = make_store().with_options(env={"CONTAINERS_CONF": str(plugin.config)})
    (tmp_path / "file").write_text("mine")
    try:
        made("volume", "create", "--driver", "plug", "going")
        made("volume", "create", "--opt", "type=none", "--opt", f"device={tmp_path}", "--opt", "o=bind", "bi")
        made("unshare", *made.argv("volume", "mount", "bi"))
        plugin.asked()
        made("system", "reset", "-f")
        assert plugin.asked() == ["Remove going"]
        assert (tmp_path / "file").read_text() == "mine"
        assert not (made.root / "volumes").exists()
    finally:
        made.end()


def test_a_run_killed_while_its_volume_is_mounted_leaves_nothing_mounted(store: Rpod) -> None:
    store("volume", "create", "--driver", "image", "--opt", "image=bb", "iv")
    for after in (0.05, 0.1, 0.15, 0.2):
        words = ("run", "-d", "--name", "torn", "--network", "none", "-v", "iv:/v", "bb", "sleep", "100")
        running = store.start(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(after)
        running.kill()
        running.wait()
        store("rm", "-f", "-t", "0", "-i", "torn")
        assert store("volume", "inspect", "-f", "{{.MountCount}}", "iv") == "0\n"
        assert store.mounts() == []
    store("volume", "rm", "iv")
