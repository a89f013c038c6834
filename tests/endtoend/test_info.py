"""``rpod info``: podman's fields under podman's names, and the reasons for every driver."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from typing import Any

import pytest
from conftest import Rpod


def info(rpod: Rpod) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(rpod("info", "--format", "json"))
    return document


def test_login_user_reads_store_and_ids(rpod: Rpod) -> None:
    found = info(rpod)
    assert found["store"]["graphRoot"] == str(rpod.root)
    assert found["store"]["runRoot"] == str(rpod.runroot)
    assert found["host"]["security"]["rootless"] is True
    first = found["host"]["idMappings"]["uidmap"][0]
    assert first == {"container_id": 0, "host_id": os.getuid(), "size": 1}


def test_login_every_driver_has_a_reason(rpod: Rpod) -> None:
    drivers = info(rpod)["drivers"]
    for kind in ("storage", "network", "runtime", "monitor"):
        assert drivers[kind]["name"], kind
        assert drivers[kind]["reason"], kind
        for row in drivers[kind]["refused"]:
            assert row["reason"], row


def test_a_driver_that_is_refused_is_told_with_its_reason(rpod: Rpod) -> None:
    found = info(rpod.with_options("--runtime", "/nonexistent/crun"))["drivers"]["runtime"]
    assert found["name"] == ""
    assert "not installed" in found["reason"]
    assert found["remedy"]


@pytest.mark.parametrize(
    ("template", "key"),
    [
        ("{{.Host.OCIRuntime.Name}}", ("host", "ociRuntime", "name")),
        ("{{.Store.GraphRoot}}", ("store", "graphRoot")),
        ("{{.Store.GraphDriverName}}", ("store", "graphDriverName")),
        ("{{.Host.CgroupsVersion}}", ("host", "cgroupVersion")),
        ("{{.Host.Conmon.Path}}", ("host", "conmon", "path")),
        ("{{.Version.Version}}", ("version", "Version")),
        ("{{.host.ociRuntime.name}}", ("host", "ociRuntime", "name")),
        ("{{.store.graphRoot}}", ("store", "graphRoot")),
    ],
)
def test_templates_use_the_names_of_go_or_of_json(rpod: Rpod, template: str, key: tuple[str, ...]) -> None:
    value: Any = info(rpod)
    for part in key:
        value = value[part]
    assert rpod("info", "--format", template) == f"{value}\n"


def test_truth_is_printed_as_go_does_and_lists_can_be_walked(rpod: Rpod) -> None:
    assert rpod("info", "-f", "{{.Host.Security.Rootless}} {{.Host.ServiceIsRemote}}") == "true false\n"
    out = rpod("info", "-f", "{{range .Host.IDMappings.UIDMap}}{{.ContainerID}}:{{.HostID}} {{end}}")
    assert out.startswith(f"0:{os.getuid()} ")
    assert json.loads(rpod("info", "-f", "{{json .Host.Distribution}}"))["distribution"]


def test_a_field_that_is_not_there_is_an_error_that_lists_those_that_are(rpod: Rpod) -> None:
    said = rpod.error("info", "--format", "{{.Host.Nope}}")
    assert ".Nope" in said
    assert "ociRuntime" in said


def test_the_default_is_yaml_with_the_same_values(rpod: Rpod) -> None:
    text = rpod("info")
    assert f"  graphRoot: {rpod.root}\n" in text
    assert "host:\n" in text
    assert "  networkBackend: builtin\n" in text
    assert rpod("system", "info").splitlines()[0] == text.splitlines()[0]


def test_containers_are_counted_by_state(rpod: Rpod) -> None:
    rpod("run", "-d", "--network", "none", "--name", "up", "host", "--", "sleep", "100")
    rpod("create", "--name", "made", "host", "--", "true")
    assert info(rpod)["store"]["containerStore"] == {"number": 2, "paused": 0, "running": 1, "stopped": 1}


@pytest.mark.peer
def test_podmans_keys_are_all_there(rpod: Rpod) -> None:
    if shutil.which("podman") is None:
        pytest.skip("podman is not installed")
    words = [
        "podman",
        "--root",
        f"{rpod.root}/podman",
        "--runroot",
        f"{rpod.runroot}/podman",
        "info",
        "--format",
        "json",
    ]
    # Not through the pause process of a podman elsewhere, which may see other cgroups.
    (rpod.runroot / "judge").mkdir(parents=True, mode=0o700)
    own = {**os.environ, "XDG_RUNTIME_DIR": str(rpod.runroot / "judge")}
    done = subprocess.run(words, capture_output=True, timeout=60, check=False, env=own)
    for record in (rpod.runroot / "judge").glob("**/pause.pid"):
        os.kill(int(record.read_text()), signal.SIGKILL)
    if done.returncode:
        pytest.skip(f"podman info does not work here: {done.stderr.decode()}")
    theirs, ours = json.loads(done.stdout), info(rpod)
    for part in ("host", "store", "version", "plugins"):
        missing = set(theirs[part]) - set(ours[part])
        assert not missing, part
    for part in ("security", "ociRuntime", "conmon", "distribution", "idMappings", "cpuUtilization"):
        assert set(theirs["host"][part]) <= set(ours["host"][part]), part
    for key in ("arch", "cpus", "hostname", "kernel", "memTotal", "distribution", "idMappings", "cgroupVersion"):
        assert ours["host"][key] == theirs["host"][key], key
    assert ours["host"]["conmon"]["package"] == theirs["host"]["conmon"]["package"]
    assert ours["host"]["security"]["capabilities"] == theirs["host"]["security"]["capabilities"]
