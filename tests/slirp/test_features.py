"""What a program's --help tells, and how long that is believed."""

from __future__ import annotations

import os

import pytest

from rootless_pod.errors import HostUnready, ProgramFailed
from rootless_pod.slirp.driver import Helper, log_tail, remedy_for
from rootless_pod.slirp.features import locate, parse_flags, read_features


def program(path, flags, *, code=0):
    path.write_text(
        f"#!/bin/sh\necho run >> {path}.runs\ncase $1 in --help) echo '{flags}' >&2;; *) echo 'tool 7';; esac\nexit {code}\n"
    )
    path.chmod(0o755)


@pytest.fixture
def programs(tmp_path):
    (tmp_path / "bin").mkdir()
    before = os.environ.get("RPOD_PROGRAM_PATH")
    os.environ["RPOD_PROGRAM_PATH"] = str(tmp_path / "bin")
    yield tmp_path / "bin"
    if before is None:
        del os.environ["RPOD_PROGRAM_PATH"]
    else:
        os.environ["RPOD_PROGRAM_PATH"] = before


def test_long_options_are_found_whatever_surrounds_them():
    text = "-a, --api-socket=PATH  (see --cidr), --mtu. -- --\n--enable-ipv6"
    assert parse_flags(text) == ("--api-socket", "--cidr", "--enable-ipv6", "--mtu")


def test_help_is_read_from_either_stream_with_any_exit_code(programs, tmp_path):
    program(programs / "tool", "--one --two", code=1)
    features = read_features("tool", None)
    assert features.flags == ("--one", "--two")
    assert features.version == "tool 7"
    assert features.has("--one")
    assert not features.has("--three")


def test_the_answer_is_kept_until_the_file_changes(programs, tmp_path):
    program(programs / "tool", "--one")
    for _ in range(3):
        assert read_features("tool", str(tmp_path)).flags == ("--one",)
    assert (programs / "tool.runs").read_text() == "run\nrun\n", "once for --help, once for --version"
    program(programs / "tool", "--one --newer")
    assert read_features("tool", str(tmp_path)).flags == ("--newer", "--one")


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"key":1}', b"\xff"])
def test_a_damaged_cache_is_asked_anew(programs, tmp_path, damage):
    program(programs / "tool", "--one")
    (tmp_path / "tool.json").write_bytes(damage)
    assert read_features("tool", str(tmp_path)).flags == ("--one",)


def test_a_program_without_help_is_a_failure(programs):
    program(programs / "tool", "no options")
    with pytest.raises(ProgramFailed, match="names no options"):
        read_features("tool", None)


def test_a_missing_program_names_its_package(programs):
    with pytest.raises(HostUnready) as caught:
        locate("pasta")
    assert "apt install passt" in caught.value.remedy


def test_the_log_tail_leaves_out_what_says_nothing(tmp_path):
    (tmp_path / "log").write_text("one\n\nFailed to send 9 bytes to syslog\ntwo\nthree\nfour\n")
    assert log_tail(f"{tmp_path}/log") == "two; three; four"
    assert log_tail(f"{tmp_path}/absent") == ""


def test_known_causes_have_their_own_remedy():
    assert "default route" in remedy_for("External interface not usable")
    assert "-p" in remedy_for("Failed to bind port 80")
    assert remedy_for("???") == "run: rpod doctor"


def test_killing_a_helper_that_is_gone_says_nothing():
    pid = os.spawnlp(os.P_NOWAIT, "true", "true")
    helper = Helper(argv=("true",), pid=pid, ready_fd=-1, log_path="/absent")
    os.waitpid(pid, 0)
    helper.kill()
    helper.kill()
    helper.close()
