"""Namespaces of one's own, for what a user may do in them only."""

from __future__ import annotations

import os

import pytest

from rootless_pod.linux import namespaces


def _inside(function):
    """Run ``function`` in a child that is root of a user, network and mount namespace of its own."""
    if os.getuid() == 0:
        pytest.skip("to be run without root")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            maps = [f"0 {os.getuid()} 1", f"0 {os.getgid()} 1"]
            namespaces.unshare(namespaces.CLONE_NEWUSER | namespaces.CLONE_NEWNET | namespaces.CLONE_NEWNS)
            for name, text in (("setgroups", "deny"), ("uid_map", maps[0]), ("gid_map", maps[1])):
                with open(f"/proc/self/{name}", "w") as file:
                    file.write(text)
            function()
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    _pid, status = os.waitpid(child, 0)
    assert status == 0


@pytest.fixture
def inside():
    return _inside
