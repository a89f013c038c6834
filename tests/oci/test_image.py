"""Image configurations, chain ids."""

from __future__ import annotations

import json

import pytest

from rootless_pod.errors import Corrupt
from rootless_pod.oci.image import chain_ids, parse_config

A, B = ("sha256:" + letter * 64 for letter in "ab")


def config(inner=None, **outer):
    document = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [A, B]}, **outer}
    return json.dumps({**document, "config": inner if inner is not None else {}}).encode()


def test_a_full_config_is_read():
    found = parse_config(
        config(
            {
                "User": "1000:1000",
                "Env": ["PATH=/bin", "EMPTY="],
                "Entrypoint": ["/bin/sh"],
                "Cmd": ["-c", "true"],
                "WorkingDir": "/w",
                "Labels": {"a": "b"},
                "Volumes": {"/data": {}},
                "ExposedPorts": {"80/tcp": {}},
                "StopSignal": "SIGINT",
                "Healthcheck": {"Test": ["CMD", "true"]},
            },
            created="2024-01-01T00:00:00Z",
            author="someone",
            history=[{"created_by": "x", "empty_layer": True}],
        )
    )
    assert (found.user, found.working_dir, found.env) == ("1000:1000", "/w", ("PATH=/bin", "EMPTY="))
    assert (found.entrypoint, found.cmd) == (("/bin/sh",), ("-c", "true"))
    assert (found.labels, found.volumes, found.exposed_ports) == ({"a": "b"}, ("/data",), ("80/tcp",))
    assert (found.stop_signal, found.healthcheck) == ("SIGINT", {"Test": ["CMD", "true"]})
    assert found.history == ({"created_by": "x", "empty_layer": True},)
    assert found.diff_ids == (A, B)


def test_what_is_absent_is_not_what_is_empty():
    silent, empty = parse_config(config({})), parse_config(config({"Cmd": [], "Entrypoint": None}))
    assert (silent.cmd, silent.entrypoint) == (None, None)
    assert (empty.cmd, empty.entrypoint) == ((), None)


def test_a_lone_string_is_a_command_of_one_word():
    assert parse_config(config({"Cmd": "true"})).cmd == ("true",)


def test_a_config_without_its_inner_object_is_read():
    data = json.dumps({"config": None, "rootfs": {"diff_ids": []}}).encode()
    assert parse_config(data).diff_ids == ()


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"null", "image config"),
        (config(rootfs=None), "rootfs"),
        (config(rootfs={"type": "tar", "diff_ids": []}), "rootfs.type"),
        (config(rootfs={"diff_ids": ["sha512:" + "a" * 128]}), r"diff_ids\[0\]"),
        (config(rootfs={"diff_ids": [A, "../x"]}), r"diff_ids\[1\]"),
        (config({"Env": [1]}), r"Env\[0\]"),
        (config({"Env": ["=x"]}), r"Env\[0\]"),
        (config({"Env": ["A=\0"]}), r"Env\[0\]"),
        (config({"Cmd": {"a": 1}}), "Cmd"),
        (config({"User": 0}), "User"),
        (config({"Labels": []}), "Labels"),
        (config({"Volumes": ["/x"]}), "Volumes"),
        (config({"Volumes": {"/x\0": {}}}), "Volumes"),
        (config({"Healthcheck": []}), "Healthcheck"),
        (config([]), "config"),
        (config(history=[1]), r"history\[0\]"),
    ],
)
def test_a_wrong_config_is_refused_with_the_field_at_fault(data, field):
    with pytest.raises(Corrupt, match=field):
        parse_config(data)


def test_chain_ids_follow_the_formula_of_the_spec():
    # Source: image-spec config.md: ChainID(L0|L1) = sha256(ChainID(L0) + " " + DiffID(L1)); computed with sha256sum.
    assert chain_ids((A, B)) == ("a" * 64, "ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c")
    assert chain_ids(()) == ()
