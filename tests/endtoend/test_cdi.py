"""CDI devices in containers, with crun and with runc: nodes, libraries, variables and hooks from a vendor's file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from conftest import Rpod

QUICK = ("--network", "none", "host")
YAML = """cdiVersion: 0.6.0
kind: nvidia.com/gpu
devices:
- name: "1"
  containerEdits:
    deviceNodes:
    - path: /dev/gpu1
      hostPath: /dev/zero
"""


@pytest.fixture(params=["crun", "runc"])
def runtime(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


def vendor(place: Path) -> Path:
    """Write the files of a vendor: one in JSON and one in YAML."""
    directory = place / "cdi"
    directory.mkdir()
    (place / "libgpu.so").write_text("the library\n")
    hook = place / "hook"
    hook.write_text(f'#!/bin/sh\ncat > /dev/null; echo "$1 $KEPT" >> {place}/said\n')
    hook.chmod(0o755)
    edits = {
        "env": ["GPU=yes"],
        "mounts": [{"hostPath": f"{place}/libgpu.so", "containerPath": "/mnt/libgpu.so", "options": ["ro", "bind"]}],
        "hooks": [
            {"hookName": "createContainer", "path": str(hook), "args": ["hook", "made"], "env": ["KEPT=1"]},
            {"hookName": "poststop", "path": str(hook), "args": ["hook", "ended"], "timeout": 10},
        ],
    }
    node = {"path": "/dev/gpu0", "hostPath": "/dev/full", "type": "c", "major": 1, "minor": 7, "permissions": "rw"}
    file = {
        "cdiVersion": "0.5.0",
        "kind": "nvidia.com/gpu",
        "containerEdits": edits,
        "devices": [{"name": "0", "containerEdits": {"deviceNodes": [node]}}],
    }
    (directory / "a.json").write_text(json.dumps(file))
    (directory / "b.yaml").write_text(YAML)
    return directory


def test_a_device_brings_its_node_library_variable_and_hooks(rpod: Rpod, tmp_path: Path, runtime: str) -> None:
    directory = vendor(tmp_path)
    run = rpod.with_options("--runtime", runtime, "--cdi-spec-dir", str(directory))
    script = "stat -c %t:%T /dev/gpu0; cat /mnt/libgpu.so; echo $GPU; test ! -w /mnt/libgpu.so; test -e /dev/gpu1"
    done = run.run("run", "--name", "c", "--device", "nvidia.com/gpu=0", "-e", "GPU=no", *QUICK, "sh", "-c", script)
    assert (done.returncode, done.stdout.decode(), done.stderr) == (1, "1:7\nthe library\nyes\n", b"")
    assert (tmp_path / "said").read_text() == "made 1\nended \n"
    (directory / "a.json").unlink()
    said = run.error("start", "-a", "c", code=125)
    assert "nvidia.com/gpu=0 is not known" in said
    run("rm", "c")


def test_gpus_are_devices_in_json_and_yaml_and_all_is_every_one(rpod: Rpod, tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    configuration = tmp_path / "containers.conf"
    configuration.write_text(f'[engine]\ncdi_spec_dirs = ["{vendor(tmp_path)}"]\n')
    run = rpod.with_options(env={"CONTAINERS_CONF": str(configuration)})
    assert run("run", "--rm", "--gpus", "all", *QUICK, "sh", "-c", "echo /dev/gpu*") == "/dev/gpu0 /dev/gpu1\n"
    assert run("run", "--rm", "--gpus", "device=1", *QUICK, "sh", "-c", "echo /dev/gpu*") == "/dev/gpu1\n"
    plan = run("run", "--dry-run", "--gpus", "0", *QUICK, "true")
    assert "mount: /dev/gpu0 bind from /dev/full" in plan
    assert f"hook: createContainer {tmp_path}/hook" in plan


def test_a_device_that_nobody_describes_fails_with_125_and_says_how_to(rpod: Rpod, tmp_path: Path) -> None:
    for command in (("run", "--rm"), ("create",)):
        said = rpod.with_options("--cdi-spec-dir", str(tmp_path)).error(
            *command, "--device", "vendor.com/card=x", *QUICK, "true", code=125
        )
        assert "vendor.com/card=x is not known" in said
        assert str(tmp_path) in said
        assert "nvidia-ctk cdi generate --output=" in said
    assert rpod("ps", "-aq") == ""


def test_the_containers_of_a_pod_have_its_devices(rpod: Rpod, tmp_path: Path) -> None:
    run = rpod.with_options("--cdi-spec-dir", str(vendor(tmp_path)))
    run("pod", "create", "--name", "p", "--network", "none", "--device", "nvidia.com/gpu=0")
    assert run("run", "--rm", "--pod", "p", "host", "sh", "-c", "echo /dev/gpu*") == "/dev/gpu0\n"
    run("pod", "rm", "-f", "-t", "0", "p")
