"""Tests marked ``kernel`` run in a forked child: an unprivileged user, uid 0 of a user and mount namespace of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import traceback

import pytest

from rootless_pod.linux import mount, namespaces
from rootless_pod.network.mode import NetworkRequest, parse_publish

TEST_USER = os.environ.get("RPOD_TEST_USER", "rpod-test")


class Places:
    """The directories an attachment needs; made in the child by ``enter``."""

    def __init__(self):
        self.root = ""

    def enter(self):
        self.root = tempfile.mkdtemp(prefix="rpod-network-test-")
        for name in ("netns", "probes"):
            os.mkdir(f"{self.root}/{name}")

    def bundle(self, container_id="one"):
        # As deep as a real one: a socket's full path does not fit into its 107 bytes.
        path = f"{self.root}/{'d' * 60}/{container_id:x<64}"
        os.makedirs(path, exist_ok=True)
        return path

    def arguments(self, container_id="one", **more):
        return {
            "container_id": container_id,
            "run_dir": self.bundle(container_id),
            "netns_dir": f"{self.root}/netns",
            "probes_dir": f"{self.root}/probes",
            **more,
        }

    def leave(self):
        shutil.rmtree(self.root)


@pytest.fixture
def places():
    return Places()


@pytest.fixture(params=["single-id", "subid"])
def id_mode(request):
    if request.param == "subid" and not shutil.which("newuidmap"):
        pytest.skip("newuidmap is not installed")
    return request.param


@pytest.fixture(params=["slirp4netns", "pasta"])
def program(request):
    if not shutil.which(request.param):
        pytest.skip(f"{request.param} is not installed")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        pytest.skip("/dev/net/tun can't be opened")
    return request.param


@pytest.fixture
def wanted():
    """Make a request from words as on the command line."""

    def make(mode="", *, publish=(), **more):
        mappings = tuple(mapping for text in publish for mapping in parse_publish(text))
        return NetworkRequest(mode=mode, publish=mappings, **more)

    return make


def _user():
    if os.getuid():
        return pwd.getpwuid(os.getuid())
    try:
        return pwd.getpwnam(TEST_USER)
    except KeyError:
        pytest.skip(f"run as root, and there is no user {TEST_USER} to become (set RPOD_TEST_USER)")


def _subordinate(path, user):
    with open(path) as lines:
        for line in lines:
            name, first, count = line.strip().split(":")
            if name in (user.pw_name, str(user.pw_uid)):
                return first, count
    pytest.skip(f"{user.pw_name} has no ids in {path}")


def _write_maps(pid, user, id_mode):
    """Map from outside, as the user: one id by hand, many by the setuid programs."""
    if id_mode == "subid":
        drop = {} if os.getuid() else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        for program, own, path in (
            ("newuidmap", user.pw_uid, "/etc/subuid"),
            ("newgidmap", user.pw_gid, "/etc/subgid"),
        ):
            first, count = _subordinate(path, user)
            subprocess.run([program, str(pid), "0", str(own), "1", "1", first, count], check=True, timeout=20, **drop)
        return
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user.pw_uid} 1"), ("gid_map", f"0 {user.pw_gid} 1")):
        with open(f"/proc/{pid}/{name}", "w") as file:
            file.write(text)


def _child(function, places, user, unshared, mapped, report):
    try:
        if not os.getuid():
            os.setgroups([])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
        os.chdir("/")
        os.environ["HOME"] = user.pw_dir
        namespaces.unshare(namespaces.CLONE_NEWUSER | namespaces.CLONE_NEWNS)
        os.write(unshared, b"1")
        assert os.read(mapped, 1) == b"1"
        os.setgid(0)
        os.setuid(0)
        mount.set_propagation("/", mount.MS_PRIVATE | mount.MS_REC)
        places.enter()
        try:
            function()
        finally:
            places.leave()
    except BaseException:
        os.write(report, traceback.format_exc()[-60000:].encode(errors="replace"))
        os._exit(1)
    os._exit(0)


def _run_inside(function, places, id_mode):
    user = _user()
    unshared_read, unshared = os.pipe()
    mapped, mapped_write = os.pipe()
    report_read, report = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        _child(function, places, user, unshared, mapped, report)
    os.close(unshared)
    os.close(report)
    try:
        if os.read(unshared_read, 1):
            _write_maps(pid, user, id_mode)
            os.write(mapped_write, b"1")
    finally:
        for fd in (mapped, mapped_write, unshared_read):
            os.close(fd)
        text = b""
        while part := os.read(report_read, 65536):
            text += part
        os.close(report_read)
        _pid, status = os.waitpid(pid, 0)
    assert status == 0, text.decode()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if pyfuncitem.get_closest_marker("kernel") is None:
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    _run_inside(lambda: pyfuncitem.obj(**arguments), arguments["places"], arguments.get("id_mode", "single-id"))
    return True
