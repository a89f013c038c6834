"""Arguments, environment, limits. Origin: podman 4.3.1, the same calls on Debian 12."""

from __future__ import annotations

import pytest

from rootless_pod.errors import Usage
from rootless_pod.oci.image import ImageConfig
from rootless_pod.spec.host import HostFacts
from rootless_pod.spec.process import (
    choose_directory,
    compose_args,
    compose_environment,
    compose_limits,
    expand,
    parse_env_lines,
)  # fmt: skip
from rootless_pod.spec.request import SpecRequest

IMAGE = ImageConfig(env=("IMGA=1", "IMGB=2", "PATH=/img:/bin"), entrypoint=("/bin/echo", "ep"), cmd=("c1", "c2"))
HOST = HostFacts(environment={"FOO": "hostfoo", "FOX": "2", "http_proxy": "hp", "TERM": "dumb"})


@pytest.mark.parametrize(
    ("entrypoint", "command", "expected"),
    [
        (None, (), ("/bin/echo", "ep", "c1", "c2")),
        (None, ("x", "y"), ("/bin/echo", "ep", "x", "y")),
        ("echo", (), ("echo",)),
        ('["echo","a"]', ("z",), ("echo", "a", "z")),
        ("", ("echo", "hi"), ("echo", "hi")),
        ("a b", (), ("a b",)),
        (("x", "y"), (), ("x", "y")),
        ("[not json", (), ("[not json",)),
    ],
)
def test_an_entrypoint_of_the_callers_drops_the_images_command(entrypoint, command, expected):
    assert compose_args(SpecRequest(entrypoint=entrypoint, command=command), IMAGE) == expected


def test_nothing_to_run_is_said():
    with pytest.raises(Usage, match="no command or entrypoint provided"):
        compose_args(SpecRequest(entrypoint=""), IMAGE)


def environment(**values):
    texts = compose_environment(SpecRequest(**values), IMAGE, HOST, hostname="h", home="/root")
    return dict(text.split("=", 1) for text in texts)


def test_the_environment_is_defaults_then_image_then_caller():
    assert environment(env=("IMGB=3",)) == {
        "PATH": "/img:/bin", "container": "oci", "IMGA": "1", "IMGB": "3", "http_proxy": "hp", "HOSTNAME": "h",
        "HOME": "/root",
    }  # fmt: skip


def test_a_terminal_has_a_type():
    assert environment(terminal=True)["TERM"] == "xterm"


def test_names_without_value_come_from_the_caller_and_unknown_ones_are_left_out():
    found = environment(env=("FOO", "BAR", "FO*", "X="))
    assert (found["FOO"], found["FOX"], found["X"]) == ("hostfoo", "2", "")
    assert "BAR" not in found


def test_the_hosts_environment_is_handed_on_when_asked_for():
    assert environment(env_host=True)["TERM"] == "dumb"
    assert "FOO" not in environment()


def test_unset_takes_away_what_the_caller_did_not_set():
    found = environment(unsetenv=("IMGA", "HOME", "X"), env=("X=1",))
    assert "IMGA" not in found
    assert (found["X"], found["HOME"]) == ("1", "/root")


def test_unset_all_leaves_what_the_caller_set_and_the_names():
    assert environment(unsetenv_all=True, env=("Y=1",), http_proxy=False) == {
        "Y": "1",
        "HOSTNAME": "h",
        "HOME": "/root",
    }


def test_merge_reads_the_images_values():
    assert environment(env_merge=("PATH=${PATH}:/more",))["PATH"] == "/img:/bin:/more"


@pytest.mark.parametrize(
    ("text", "expected"), [("$A-${A}", "1-1"), ("$", "$"), ("${B}x", "x"), ("a$A$", "a1$"), ("${", "$" + "{")]
)
def test_expansion_is_that_of_a_shell(text, expected):
    assert expand(text, {"A": "1"}) == expected


def test_later_files_and_options_win():
    assert environment(env_file=("A=1", "B=1"), env=("A=2",))["A"] == "2"


def test_env_files_have_comments_and_blank_lines():
    assert parse_env_lines("# no\n\n  A=1 \nB\n") == ("A=1 ", "B")


def test_a_variable_without_name_is_refused():
    with pytest.raises(Usage, match="--env '=x'"):
        environment(env=("=x",))


@pytest.mark.parametrize(
    ("asked", "image", "expected"),
    [("", "", "/"), ("", "work/./dir/", "/work/dir"), ("/a/../b", "/c", "/b"), ("", "/../x", "/x")],
)
def test_the_directory_is_absolute_and_normal(asked, image, expected):
    assert choose_directory(SpecRequest(working_dir=asked), ImageConfig(working_dir=image)) == expected


LIMITS = HostFacts(limits={"nofile": (1024, 4096), "nproc": (-1, -1), "core": (0, -1)})


def test_default_limits_are_our_own_up_to_podmans_most():
    assert compose_limits(SpecRequest(), LIMITS) == [
        {"type": "RLIMIT_NOFILE", "hard": 4096, "soft": 1024},
        {"type": "RLIMIT_NPROC", "hard": 4194304, "soft": 4194304},
    ]


def test_host_limits_are_inherited():
    assert compose_limits(SpecRequest(ulimit=("host",)), LIMITS) == []


def test_minus_one_is_as_much_as_there_is():
    found = {entry["type"]: entry for entry in compose_limits(SpecRequest(ulimit=("nofile=-1", "core=-1:-1")), LIMITS)}
    assert found["RLIMIT_NOFILE"] == {"type": "RLIMIT_NOFILE", "hard": 4096, "soft": 4096}
    assert found["RLIMIT_CORE"]["hard"] == 2**64 - 1
