"""CDI files: what is taken, what is refused by file and field, and what the devices become."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from rootless_pod.errors import Conflict, Corrupt, NotFound, Usage
from rootless_pod.spec.cdi import gpu_names, resolve_devices
from rootless_pod.spec.cdi_file import VERSIONS, read_device_file


def document(**changes: Any) -> dict[str, Any]:
    return {
        "cdiVersion": "0.6.0",
        "kind": "vendor.com/gpu",
        "containerEdits": {"env": ["ALL=1"]},
        "devices": [
            {"name": "0", "containerEdits": {"deviceNodes": [{"path": "/dev/gpu0", "hostPath": "/dev/full"}]}},
            {"name": "1:2", "containerEdits": {"deviceNodes": [{"path": "/dev/gpu1", "hostPath": "/dev/zero"}]}},
        ],
        **changes,
    }


def write(directory: Path, value: object, name: str = "a.json") -> str:
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(value if isinstance(value, str) else json.dumps(value))
    return str(directory / name)


def with_edits(**edits: Any) -> dict[str, Any]:
    return document(devices=[{"name": "0", "containerEdits": edits}])


@pytest.mark.parametrize("version", VERSIONS)
def test_every_released_version_is_read(tmp_path: Path, version: str) -> None:
    assert list(read_device_file(write(tmp_path, document(cdiVersion=version))).devices) == ["0", "1:2"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ("[" * 100000, "not JSON"),
        (document(cdiVersion="9.0.0"), "cdiVersion is '9.0.0'"),
        (document(cdiVersion=1), "cdiVersion is not a string"),
        (document(kind="gpu"), "kind is not VENDOR/CLASS"),
        (document(kind="../x/gpu"), "kind is not VENDOR/CLASS"),
        (document(devices=[]), "devices is empty"),
        (document(devices={}), "devices is not a list"),
        (document(more=1), "more is not a field"),
        (document(devices=[{"name": "-x", "containerEdits": {}}]), "can't be a device's name"),
        (document(devices=[{"name": "x"}]), "containerEdits is missing"),
        (document(devices=[{"name": "x", "containerEdits": {}}] * 2), "is there twice"),
        (with_edits(env="A=b"), "env is not a list"),
        (with_edits(env=["A"]), "not NAME=VALUE"),
        (with_edits(env=["A=\0"]), "NUL"),
        (with_edits(deviceNodes=[{"path": "dev/x"}]), "path is not an absolute path"),
        (with_edits(deviceNodes=[{"path": "/dev/../etc"}]), "path is not an absolute path"),
        (with_edits(deviceNodes=[{"path": "/dev/x", "type": "q"}]), "type is 'q'"),
        (with_edits(deviceNodes=[{"path": "/dev/x", "major": "1"}]), "major is not a whole number"),
        (with_edits(deviceNodes=[{"path": "/dev/x", "permissions": "rx"}]), "permissions is 'rx'"),
        (with_edits(mounts=[{"hostPath": "/lib"}]), "containerPath is missing"),
        (with_edits(mounts=[{"hostPath": "/lib", "containerPath": "/"}]), "whole root file system"),
        (with_edits(mounts=[{"hostPath": "x", "containerPath": "/y", "type": "proc"}]), "type is 'proc'"),
        (with_edits(hooks=[{"hookName": "later", "path": "/bin/true"}]), "hookName is 'later'"),
        (with_edits(hooks=[{"hookName": "prestart", "path": "true"}]), "path is not an absolute path"),
        (with_edits(hooks=[{"hookName": "prestart", "path": "/bin/true", "timeout": 0}]), "above 0"),
        (with_edits(additionalGids=["5"]), "not a group's number"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_by_name_and_field(tmp_path: Path, value: object, words: str) -> None:
    path = write(tmp_path, value)
    with pytest.raises(Corrupt) as caught:
        read_device_file(path)
    assert path in caught.value.message
    assert words in caught.value.message


def test_a_huge_file_and_a_pipe_are_not_waited_for(tmp_path: Path) -> None:
    with open(tmp_path / "huge.json", "wb") as file:
        file.truncate(1 << 40)
    os.mkfifo(tmp_path / "pipe.json")
    for name, words in (("huge.json", "larger than"), ("pipe.json", "not a regular file")):
        with pytest.raises(Corrupt, match=words):
            read_device_file(str(tmp_path / name))


def test_the_edits_of_a_file_are_made_once_and_before_those_of_its_devices(tmp_path: Path) -> None:
    write(tmp_path, document())
    found = resolve_devices(("vendor.com/gpu=0", "vendor.com/gpu=1:2", "vendor.com/gpu=0"), (str(tmp_path),))
    assert found.env == ("ALL=1",)
    assert [(one.source, one.target) for one in found.mounts] == [
        ("/dev/full", "/dev/gpu0"),
        ("/dev/zero", "/dev/gpu1"),
    ]
    assert found.warnings == ()


def test_all_stands_for_every_device_unless_one_has_that_name(tmp_path: Path) -> None:
    write(tmp_path, document())
    assert len(resolve_devices(("vendor.com/gpu=all",), (str(tmp_path),)).mounts) == 2
    write(tmp_path, document(devices=[{"name": "all", "containerEdits": {"env": ["A=b"]}}]), "b.json")
    assert resolve_devices(("vendor.com/gpu=all",), (str(tmp_path),)).mounts == ()


def test_yaml_is_read_too(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    write(
        tmp_path,
        "cdiVersion: 0.5.0\nkind: vendor.com/gpu\ndevices:\n- name: '0'\n  containerEdits:\n    env: [A=b]\n",
        "a.yaml",
    )
    write(tmp_path, "a: [", "broken.yml")
    found = resolve_devices(("vendor.com/gpu=0",), (str(tmp_path),))
    assert found.env == ("A=b",)
    assert "broken.yml is not YAML" in found.warnings[0]


def test_an_unknown_device_names_itself_the_directories_and_the_way_out(tmp_path: Path) -> None:
    write(tmp_path, document())
    write(tmp_path, "{", "b.json")
    with pytest.raises(NotFound) as caught:
        resolve_devices(("vendor.com/gpu=7",), (str(tmp_path), "/nowhere"))
    for words in ("vendor.com/gpu=7", str(tmp_path), "/nowhere", "there are 0, 1:2", "b.json is not JSON"):
        assert words in caught.value.message
    assert "nvidia-ctk cdi generate --output=" in str(caught.value.remedy)
    assert caught.value.exit_code == 125


def test_a_later_directory_wins_and_within_one_directory_two_are_a_conflict(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    write(first, document())
    write(second, with_edits(env=["LATER=1"]))
    assert "LATER=1" in resolve_devices(("vendor.com/gpu=0",), (str(first), str(second))).env
    write(second, with_edits(env=["A=b"]), "b.json")
    with pytest.raises(Conflict, match=r"a.json and in .*b.json"):
        resolve_devices(("vendor.com/gpu=0",), (str(first), str(second)))


@pytest.mark.parametrize(
    ("node", "kind"),
    [
        ({"path": "/dev/nope"}, NotFound),
        ({"path": "/dev/null", "type": "b"}, Corrupt),
        ({"path": "/dev/null", "type": "c", "major": 195, "minor": 0}, Corrupt),
        ({"path": "/etc/passwd"}, Corrupt),
    ],
)
def test_a_node_that_is_not_the_one_meant_is_refused(tmp_path: Path, node: dict[str, Any], kind: type) -> None:
    write(tmp_path, with_edits(deviceNodes=[node]))
    with pytest.raises(kind):
        resolve_devices(("vendor.com/gpu=0",), (str(tmp_path),))


def test_what_only_root_may_do_is_left_out_with_a_warning(tmp_path: Path) -> None:
    write(tmp_path, with_edits(intelRdt={"closID": "x"}, env=["A=b"]))
    assert "which only root may set" in resolve_devices(("vendor.com/gpu=0",), (str(tmp_path),)).warnings[0]


def test_gpus_are_names_of_devices() -> None:
    assert gpu_names(("all",)) == ("nvidia.com/gpu=all",)
    assert gpu_names(('"device=0,1"', "2")) == ("nvidia.com/gpu=0", "nvidia.com/gpu=1", "nvidia.com/gpu=2")
    for wrong in ("capabilities=gpu", "", "0,,1"):
        with pytest.raises(Usage, match="--gpus"):
            gpu_names((wrong,))
