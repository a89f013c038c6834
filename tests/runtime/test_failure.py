"""What a runtime's words become. Source of the messages: crun 1.8.1 and runc 1.1.5 on Debian 12, made to fail one by one."""

from __future__ import annotations

import pytest

from rootless_pod.errors import HostUnready, NotFound, ProgramFailed, Refused
from rootless_pod.oci.failure import failure_of, last_message, one_sentence

CASES = [
    (
        'runc create failed: unable to start container process: exec: "nope": executable file not found in $PATH',
        NotFound,
        127,
        "nope",
    ),
    (
        'runc create failed: unable to start container process: exec: "/x": stat /x: no such file or directory',
        NotFound,
        127,
        "/x",
    ),
    (
        'runc create failed: unable to start container process: exec: "/etc/passwd": permission denied',
        Refused,
        126,
        "/etc/passwd",
    ),
    ("executable file `nope` not found in $PATH: No such file or directory", NotFound, 127, "nope"),
    ("open executable: Permission denied", Refused, 126, "given"),
    ("open executable: Operation not permitted", Refused, 126, "given"),
    (
        'exec failed: unable to start container process: exec: "nope": executable file not found in $PATH',
        NotFound,
        127,
        "nope",
    ),
    ("cgroups in hybrid mode not supported, drop all controllers from cgroupv2", HostUnready, 125, "crun"),
    ("creating cgroup directory `/sys/fs/cgroup/x`: Permission denied", HostUnready, 125, "cgroup"),
    ("create keyring `3f2a`: Disk quota exceeded", HostUnready, 125, "maxkeys"),
    ("mount `/a` to `/b`: Operation not permitted", Refused, 126, "/a"),
    ("something nobody has seen", ProgramFailed, 126, "something nobody has seen"),
    ("", ProgramFailed, 126, "crun gave no reason"),
]


@pytest.mark.parametrize(("words", "family", "code", "named"), CASES)
def test_a_failure_has_a_family_an_exit_code_and_a_name(words, family, code, named):
    error = failure_of(words, runtime="crun", doing="create container abc", command="given")
    assert type(error) is family
    assert error.exit_code == code
    assert named in error.message
    assert not error.message.endswith(".")


def test_a_failed_mount_is_not_blamed_on_the_command():
    error = failure_of(
        "mount `/src` to `/dst`: No such file or directory", runtime="crun", doing="create container abc", command="sh"
    )
    assert "/src" in error.message
    assert "command" not in error.message
    assert error.remedy is not None
    assert "option" in error.remedy


@pytest.mark.parametrize(
    "words",
    [
        "mount `/src/file` to `app`: Not a directory",
        (
            'error mounting "/src/file" to rootfs at "/app": mount /src/file:/app (via /proc/self/fd/6), flags: 0x5000:'
            " not a directory"
        ),
    ],
)
def test_a_file_mounted_over_a_directory_has_a_remedy_of_its_own(words):
    error = failure_of(words, runtime="crun", doing="create container abc", command="sh")
    assert error.exit_code == 126
    assert error.remedy is not None
    assert "a file over a file" in error.remedy


def test_the_last_error_of_the_log_counts():
    log = '{"level":"warning","msg":"w"}\n{"level":"error","msg":"first"}\n{"msg":"runc create failed: second.","level":"error"}\n{"level":"info","msg":"i"}\n'
    assert last_message(log) == "second"
    assert last_message('{"level":"warning","msg":"only a warning"}') == "only a warning"
    assert last_message("plain\nwords\n\n") == "words"
    assert last_message("") == ""
    assert last_message('{"level":"error"') == '{"level":"error"'


def test_a_logrus_line_is_read_and_line_breaks_go():
    assert (
        one_sentence('time="2026-01-01T00:00:00Z" level=error msg="runc run failed: it said \\"no\\""')
        == 'it said "no"'
    )
    assert one_sentence("a\n  b.") == "a b"
