"""OCI hook files: what is taken, what is refused with file and field, and which containers get a hook."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rootless_pod.errors import Corrupt, NotFound, Refused
from rootless_pod.spec.hooks import Hook, by_stage, read_hook, read_hooks

WHOLE: dict[str, Any] = {
    "version": "1.0.0",
    "hook": {"path": "/bin/sh", "args": ["sh", "-c", "true"], "env": ["A=b"], "timeout": 3},
    "when": {"always": True, "annotations": {"^a$": "."}, "commands": ["^/bin/"], "hasBindMounts": True},
    "stages": ["prestart", "poststop", "precreate"],
}


def write(directory: Path, value: object, name: str = "a.json") -> str:
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(value if isinstance(value, str) else json.dumps(value))
    return str(directory / name)


def changed(field: str, value: object) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(WHOLE))
    *parents, last = field.split(".")
    inner = document
    for parent in parents:
        inner = inner[parent]
    if value is None:
        inner.pop(last)
    else:
        inner[last] = value
    return document


def test_a_whole_hook_is_read(tmp_path: Path) -> None:
    hook = read_hook(write(tmp_path, WHOLE))
    assert hook.to_json() == WHOLE["hook"]
    assert (hook.always, hook.bind_mounts, hook.commands) == (True, True, ("^/bin/",))
    assert by_stage([hook, hook]) == {"prestart": [WHOLE["hook"]] * 2, "poststop": [WHOLE["hook"]] * 2}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", "0.1.0"),
        ("version", None),
        ("hook", None),
        ("hook", []),
        ("hook.path", None),
        ("hook.path", "relative"),
        ("hook.path", 7),
        ("hook.args", [1]),
        ("hook.env", ["NOVALUE"]),
        ("hook.timeout", 0),
        ("hook.timeout", -1),
        ("hook.timeout", "3"),
        ("when", None),
        ("when.always", "yes"),
        ("when.sometimes", True),
        ("when.hasBindMounts", 1),
        ("when.annotations", ["a"]),
        ("when.annotations", {"[": "a"}),
        ("when.annotations", {"a": "["}),
        ("when.commands", ["("]),
        ("stages", None),
        ("stages", []),
        ("stages", ["prestart", "later"]),
    ],
)
def test_a_wrong_field_is_named_with_its_file(tmp_path: Path, field: str, value: object) -> None:
    file = write(tmp_path, changed(field, value))
    with pytest.raises(Corrupt) as caught:
        read_hook(file)
    assert f"hook {file}: {field.rpartition('.')[0] or field}" in caught.value.message
    assert file in (caught.value.remedy or "")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7"])
def test_what_is_no_object_is_refused_with_its_file(tmp_path: Path, text: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(Corrupt) as caught:
        read_hook(file)
    assert caught.value.message.startswith(f"hook {file}: ")


def test_a_program_that_is_not_there_or_not_executable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"hook\.path /no/such does not exist"):
        read_hook(write(tmp_path, changed("hook.path", "/no/such")))
    with pytest.raises(Refused, match=r"hook\.path /etc/passwd is not executable"):
        read_hook(write(tmp_path, changed("hook.path", "/etc/passwd")))


def test_a_program_inside_the_container_is_not_looked_for_here(tmp_path: Path) -> None:
    document = {**changed("hook.path", "/only/inside"), "stages": ["startContainer"]}
    assert read_hook(write(tmp_path, document)).path == "/only/inside"


def test_hooks_come_by_file_name_and_later_directories_win(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    write(first, changed("hook.args", ["first"]), "b.json")
    write(first, changed("hook.args", ["kept"]), "c.json")
    write(first, "no hook", "notes.txt")
    write(second, changed("hook.args", ["second"]), "b.json")
    write(second, changed("hook.args", ["early"]), "a.json")
    assert [hook.args for hook in read_hooks([str(first), str(second)])] == [("early",), ("second",), ("kept",)]
    with pytest.raises(NotFound, match="hooks directory"):
        read_hooks([str(tmp_path / "absent")])


@pytest.mark.parametrize(
    ("conditions", "fits"),
    [
        ({}, False),
        ({"always": True}, True),
        ({"always": False}, False),
        ({"always": True, "commands": ("nope",)}, False),
        ({"always": False, "commands": ("sh$",)}, False),
        ({"commands": ("nope", "sh$")}, True),
        ({"commands": ("bin",)}, True),
        ({"annotations": (("^k", "v$"),)}, True),
        ({"annotations": (("^k", "x"),)}, False),
        ({"annotations": (("^k", "v"), ("^other", "1"))}, True),
        ({"annotations": (("^k", "v"), ("^none", ""))}, False),
        ({"bind_mounts": True}, False),
        ({"bind_mounts": False}, False),
    ],
)
def test_every_condition_given_has_to_hold(conditions: dict[str, Any], fits: bool) -> None:
    """The cases of the conditions in oci-hooks(5)."""
    hook = Hook(file="f", path="/p", stages=("prestart",), **conditions)
    annotations = {"key": "v", "other": "12"}
    assert hook.fits(annotations=annotations, command="/bin/sh", has_bind_mounts=False) is fits


def test_bind_mounts_that_are_there_fit(tmp_path: Path) -> None:
    hook = Hook(file="f", path="/p", bind_mounts=True)
    assert hook.fits(annotations={}, command="x", has_bind_mounts=True)
