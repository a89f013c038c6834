"""Renaming, killed at every line: the container has one of the two names, and the other one is free."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest

from rootless_pod.container.lookup import find, find_id
from rootless_pod.container.record import ContainerConfig, record_of
from rootless_pod.container.rename import drop_leftover, mend, rename
from rootless_pod.container.request import ContainerRequest
from rootless_pod.errors import Conflict, NotFound, Usage
from rootless_pod.paths import Paths
from rootless_pod.state import names
from rootless_pod.state.containers import ContainerLock
from rootless_pod.state.record import write_record

ONE, TWO = "1" * 64, "2" * 64
MODULES = ("container/rename.py", "state/names.py", "state/record.py")


@pytest.fixture
def context(tmp_path):
    paths = Paths(graphroot=str(tmp_path / "root"), runroot=str(tmp_path / "run"), boot_id="0" * 32)
    os.makedirs(paths.names("containers"))
    for container_id, name in ((ONE, "web"), (TWO, "other")):
        os.makedirs(paths.container(container_id))
        config = ContainerConfig(id=container_id, name=name, created_ns=1, request=ContainerRequest(image="img"))
        write_record(f"{paths.container(container_id)}/container.json", record_of(config))
        names.reserve(paths.names("containers"), name, container_id, objects=paths.containers)
    return SimpleNamespace(paths=paths)


def killed_at(line, context, name):
    """Rename in a child that kills itself before it runs this many lines; return whether it was killed."""
    pid = os.fork()
    if pid == 0:
        left = line

        def watch(frame, event, _argument):
            nonlocal left
            if not frame.f_code.co_filename.endswith(MODULES):
                return None
            if event == "line":
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), 9)
            return watch

        sys.settrace(watch)
        rename(context, ONE, name)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -9


def test_killed_at_any_line_one_name_leads_to_it_and_the_other_can_be_taken(context):
    paths = context.paths
    names_now = "web"
    for line in range(1, 1000):
        target = "new" if names_now == "web" else "web"
        if not killed_at(line, context, target):
            break
        found = [name for name in ("web", "new") if _leads(paths, name)]
        assert found == [find(paths, ONE).config.name], f"killed before line {line}"
        names_now = found[0]
        free = "new" if names_now == "web" else "web"
        drop_leftover(paths, free)
        names.reserve(paths.names("containers"), free, TWO, objects=paths.containers)
        names.release(paths.names("containers"), free, TWO)
        with ContainerLock(paths, ONE):
            mend(paths, ONE)
    assert line > 20
    left = sorted(os.listdir(paths.names("containers")))
    assert [one for one in left if not one.startswith(".")] == ["other", find(paths, ONE).config.name] or len(left) == 2


def _leads(paths, name):
    try:
        return find_id(paths, name) == ONE
    except NotFound:
        return False


def test_a_name_that_another_has_is_refused_and_nothing_changes(context):
    with pytest.raises(Conflict, match="in use"):
        rename(context, ONE, "other")
    with pytest.raises(Usage):
        rename(context, ONE, "a b")
    assert find_id(context.paths, "web") == ONE
    assert sorted(os.listdir(context.paths.container(ONE))) == ["container.json", "lock"]


def test_a_rename_under_way_is_not_undone_by_who_wants_the_name(context):
    paths = context.paths
    write_record(f"{paths.container(ONE)}/renaming.json", {"names": ["web", "new"]})
    names.reserve(paths.names("containers"), "new", ONE, objects=paths.containers)
    with ContainerLock(paths, ONE):
        drop_leftover(paths, "new")
        assert names.owner(paths.names("containers"), "new") == ONE
    drop_leftover(paths, "new")
    assert names.owner(paths.names("containers"), "new") is None
    assert names.owner(paths.names("containers"), "web") == ONE
