"""The profile: compiled text, capabilities, profiles of the user's own."""

from __future__ import annotations

import json
import os

import pytest

from rootless_pod.errors import Corrupt, NotFound
from rootless_pod.spec import seccomp
from rootless_pod.spec.security import DEFAULT_CAPABILITIES

PEER_PROFILE = "/usr/share/containers/seccomp.json"


def rules(text):
    """Return the names by (action, errno), for rules without arguments."""
    found: dict[tuple[str, int | None], set[str]] = {}
    for rule in json.loads(text)["syscalls"]:
        if not rule.get("args"):
            found.setdefault((rule["action"], rule.get("errnoRet")), set()).update(rule["names"])
    return found


@pytest.mark.parametrize("machine", seccomp.COMPILED_MACHINES)
def test_the_compiled_text_is_what_the_data_says(machine, tmp_path):
    seccomp.compile_default(str(tmp_path))
    fresh = (tmp_path / f"seccomp_default.{machine}.json").read_text()
    assert seccomp.default_profile(machine, DEFAULT_CAPABILITIES) == fresh


def test_a_capability_opens_its_calls():
    closed, opened = (
        rules(seccomp.default_profile("x86_64", capabilities)) for capabilities in ((), ("CAP_SYS_ADMIN",))
    )
    assert "bpf" in closed["SCMP_ACT_ERRNO", 1]
    assert "bpf" in opened["SCMP_ACT_ALLOW", None]
    assert "chroot" in closed["SCMP_ACT_ERRNO", 1]


def test_audit_sockets_fail_with_einval_unless_allowed():
    text = seccomp.default_profile("x86_64", DEFAULT_CAPABILITIES)
    sockets = [rule for rule in json.loads(text)["syscalls"] if rule["names"] == ["socket"]]
    assert sockets[0]["errnoRet"] == 22
    assert len(sockets) == 3
    assert "socket" in rules(seccomp.default_profile("x86_64", ("CAP_AUDIT_WRITE",)))["SCMP_ACT_ALLOW", None]


def test_a_machine_without_data_has_no_filter():
    assert seccomp.default_profile("mips", ()) == ""


@pytest.mark.peer
@pytest.mark.parametrize("capabilities", [DEFAULT_CAPABILITIES, (), ("CAP_SYS_ADMIN", "CAP_SYS_PTRACE")])
def test_nothing_is_allowed_that_podmans_profile_refuses_by_name(capabilities):
    """Judge: the profile file of containers/common on this machine, put through our own reader."""
    if not os.path.exists(PEER_PROFILE):
        pytest.skip(f"{PEER_PROFILE} is not installed")
    theirs = rules(seccomp.file_profile(PEER_PROFILE, "x86_64", capabilities))
    ours = rules(seccomp.default_profile("x86_64", capabilities))
    assert theirs["SCMP_ACT_ALLOW", None] <= ours["SCMP_ACT_ALLOW", None]
    # Where their list names a call twice (setns), the allowing rule stands.
    refused = theirs["SCMP_ACT_ERRNO", 1] - theirs["SCMP_ACT_ALLOW", None]
    assert ours["SCMP_ACT_ERRNO", 1] == refused


def write(tmp_path, profile):
    path = tmp_path / "profile.json"
    path.write_text(profile if isinstance(profile, str) else json.dumps(profile))
    return str(path)


def test_dockers_format_is_resolved(tmp_path):
    path = write(tmp_path, {
        "defaultAction": "SCMP_ACT_ERRNO",
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        "syscalls": [
            {"names": ["a"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["b"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_X"]}},
            {"names": ["c"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_Y"]}},
            {"names": ["d"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
            {"names": ["e"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "999.0"}},
            {"name": "f", "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "3.0"}, "args": []},
        ],
    })  # fmt: skip
    found = json.loads(seccomp.file_profile(path, "x86_64", ("CAP_Y",)))
    assert [rule["names"] for rule in found["syscalls"]] == [["a"], ["f"]]
    assert found["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]


@pytest.mark.parametrize("text", ["{", "[]", '{"syscalls": []}'])
def test_a_damaged_profile_is_named(tmp_path, text):
    with pytest.raises(Corrupt, match="profile.json"):
        seccomp.file_profile(write(tmp_path, text), "x86_64", ())


def test_a_missing_profile_is_named():
    with pytest.raises(NotFound, match="/nope"):
        seccomp.file_profile("/nope", "x86_64", ())


RULE = {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"syscalls": {"a": 1}}, "syscalls"),
        ({"syscalls": [RULE, 3]}, r"syscalls\[1\]"),
        ({"syscalls": [{**RULE, "names": "mkdir"}]}, r"syscalls\[0\]\.names"),
        ({"syscalls": [{**RULE, "names": ["mkdir", None]}]}, r"syscalls\[0\]\.names\[1\]"),
        ({"syscalls": [{**RULE, "errnoRet": "EPERM"}]}, r"syscalls\[0\]\.errnoRet"),
        ({"syscalls": [{**RULE, "errnoRet": True}]}, r"syscalls\[0\]\.errnoRet"),
        ({"syscalls": [{**RULE, "includes": 3}]}, r"syscalls\[0\]\.includes"),
        ({"syscalls": [{**RULE, "args": [{"index": "0"}]}]}, r"syscalls\[0\]\.args\[0\]\.index"),
        ({"architectures": [3]}, r"architectures\[0\]"),
        ({"archMap": 3}, "archMap"),
    ],
)
def test_a_part_of_another_type_is_named_and_never_read_as_something_else(tmp_path, more, where):
    path = write(tmp_path, {"defaultAction": "SCMP_ACT_ALLOW", **more})
    with pytest.raises(Corrupt, match=f"is wrong: {where} is of another type") as caught:
        seccomp.file_profile(path, "x86_64", ())
    assert "correct the file" in (caught.value.remedy or "")


def test_a_call_may_be_made_to_do_nothing_and_succeed(tmp_path):
    rule = {**RULE, "errnoRet": 0, "args": None, "includes": None}
    path = write(tmp_path, {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})
    assert json.loads(seccomp.file_profile(path, "x86_64", ()))["syscalls"] == [{**RULE, "errnoRet": 0}]
