"""Options take what containers.conf and storage.conf say, unless they were typed."""

from __future__ import annotations

import os

import pytest

from rootless_pod.commands import create, exec, network_create, ps, run  # noqa: A004 - the commands' own names
from rootless_pod.commands.configured import _ADDED, _ELSEWHERE, _NAMES, _REPLACED, Filling, storage_root, with_globals
from rootless_pod.commands.declare import Globals
from rootless_pod.commands.parse import parse
from rootless_pod.config.containers import Settings
from rootless_pod.config.known import KNOWN
from rootless_pod.errors import Usage


def settings(**values):
    return Settings(values={key.replace("__", "."): (value, "/the.conf") for key, value in values.items()})


def filled(configured, *words, command=run.COMMAND):
    parsed = parse(command.replace(name=command.name), words)
    return Filling(command, parsed.values, parsed.given, configured)


def values(configured, *words):
    return filled(configured, *words, "img").fill()


def test_every_key_that_stands_for_an_option_is_known_to_act_and_names_one():
    keys = {option.key for option in run.COMMAND.options}
    for key, dest in {**_NAMES, **_ADDED, **_REPLACED}.items():
        assert KNOWN[key] == "", key
        assert dest in keys, key
    assert all(KNOWN[key] == "" for key in _ELSEWHERE)


def test_what_was_typed_wins_and_what_was_not_comes_from_the_file():
    conf = settings(containers__log_driver="none", containers__tz="local", containers__init=True)
    found = values(conf, "--tz", "UTC")
    assert (found["timezone"], found["log_driver"], found["init"]) == ("UTC", "none", True)


def test_lists_of_the_file_come_before_those_typed_and_name_servers_give_way_to_them():
    conf = settings(containers__volumes=["/a:/a"], containers__dns_servers=["192.0.2.1"], containers__env=["A=1"])
    found = values(conf, "-v", "/b:/b")
    assert (found["volumes"], found["dns"]) == (("/a:/a", "/b:/b"), ("192.0.2.1",))
    assert (found["env"], found["default_env"]) == ((), ("A=1",))
    assert values(conf, "--dns", "192.0.2.9")["dns"] == ("192.0.2.9",)


def test_a_value_the_option_would_not_take_names_file_and_key():
    with pytest.raises(Usage) as raised:
        values(settings(engine__pull_policy="sometimes"))
    assert "/the.conf: engine.pull_policy: 'sometimes' is not one of" in raised.value.message


def test_a_value_that_would_be_refused_has_no_effect_and_says_why():
    filling = filled(settings(containers__netns="cni"), "img")
    assert filling.fill()["network"] == ()
    assert filling.passed_over == [("containers.netns", "cni is no network of rpod's")]


def test_the_default_network_is_the_one_that_bridge_means():
    conf = settings(containers__netns="bridge", network__default_network="mine")
    assert values(conf)["network"] == ("mine",)
    assert values(conf, "--network", "bridge:ip=10.1.2.3")["network"] == ("mine:ip=10.1.2.3",)
    assert values(conf, "--network", "host")["network"] == ("host",)
    assert values(settings(containers__netns="bridge"))["network"] == ("bridge",)


@pytest.mark.parametrize(
    ("conf", "network"),
    [
        ({"containers__netns": "host"}, "host"),
        ({"containers__netns": "private", "network__default_rootless_network_cmd": "slirp4netns"}, "slirp4netns"),
        ({"network__default_rootless_network_cmd": "pasta", "network__pasta_options": ["-I,eth0"]}, "pasta:-I,eth0"),
        ({"containers__rootless_networking": "slirp4netns", "engine__network_cmd_options": ["mtu=1400"]},
         "slirp4netns:mtu=1400"),
    ],
)  # fmt: skip
def test_the_network_comes_from_the_mode_else_from_the_program(conf, network):
    assert values(settings(**conf))["network"] == (network,)


def test_log_size_and_tag_are_options_of_the_log_driver_that_typed_ones_come_after():
    conf = settings(containers__log_size_max=1000, containers__log_tag="t", containers__log_driver="journald")
    assert values(conf, "--log-opt", "tag=mine")["log_opt"] == ("tag=t", "max-size=1000", "tag=mine")
    assert values(conf, "--log-driver", "k8s-file")["log_opt"] == ("max-size=1000",)
    assert values(settings(containers__log_size_max=-1))["log_opt"] == ()


def test_only_the_commands_a_key_is_for_take_it():
    conf = settings(engine__detach_keys="ctrl-q", containers__tz="local")
    assert filled(conf, "box", "sh", command=exec.COMMAND).fill()["detach_keys"] == "ctrl-q"
    before = parse(ps.COMMAND, ())
    assert Filling(ps.COMMAND, before.values, before.given, conf).fill() == before.values
    assert filled(conf, "img", command=create.COMMAND).fill()["timezone"] == "local"


def test_a_seccomp_profile_of_the_file_gives_way_to_a_typed_one():
    conf = settings(containers__seccomp_profile="/p.json")
    assert values(conf)["security_opt"] == ("seccomp=/p.json",)
    assert values(conf, "--security-opt", "seccomp=unconfined")["security_opt"] == ("seccomp=unconfined",)


def test_programs_and_drivers_are_global_options(tmp_path):
    program = tmp_path / "crun"
    program.touch(0o755)
    conf = Settings(
        values={
            "engine.runtime": ("mine", "f"),
            "engine.runtimes.mine": (["/nowhere", str(program)], "f"),
            "engine.conmon_path": (["/nowhere"], "f"),
            "storage.driver": ("vfs", "f"),
            "storage.opts": ("additionalimagestore=/s,overlay.size=1", "f"),
        }
    )
    found = with_globals(Globals(), conf)
    assert (found.runtime, found.conmon, found.storage_driver) == (str(program), None, "copy")
    assert found.storage_opt == ("additionalimagestore=/s",)
    assert with_globals(Globals(runtime="runc"), conf).runtime == "runc"


@pytest.mark.parametrize(
    ("conf", "driver"),
    [
        ({"storage__driver": "overlay"}, None),
        ({"storage__driver": "overlay", "storage__options.overlay.mount_program": "/usr/bin/fuse-overlayfs"},
         "fuse-overlayfs"),
        ({"storage__driver": "btrfs"}, None),
    ],
)  # fmt: skip
def test_overlay_in_storage_conf_leaves_the_choice_to_rpod(conf, driver):
    assert with_globals(Globals(), settings(**conf)).storage_driver == driver


def test_the_store_lies_beside_podman_s_never_in_it(tmp_path):
    place = f"{tmp_path}/$UID/storage"
    assert storage_root(settings(storage__rootless_storage_path=place))[0] == (
        f"{tmp_path}/{os.getuid()}/storage-rootless-pod"
    )
    assert storage_root(settings())[0] is None
    for path in ("relative", "/"):
        assert storage_root(settings(storage__rootless_storage_path=path))[0] is None


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_store_that_can_not_be_written_is_refused():
    found, reason = storage_root(settings(storage__rootless_storage_path="/proc/nobody/storage"))
    assert found is None
    assert "/proc is not writable" in reason


def test_new_networks_take_their_subnets_from_the_pools_of_the_file():
    command = network_create.COMMAND.replace(name="network create")
    conf = settings(network__default_subnet_pools=[{"base": "10.98.0.0/16", "size": 28}])
    assert filled(conf, command=command).fill()["subnet_pools"] == (("10.98.0.0/16", 28),)
    assert filled(settings(), command=command).fill()["subnet_pools"] == ()
    for wrong in ("10.98.0.0/16", [{"base": "10.98.0.0/16"}], [{"base": "x", "size": 24}], [7]):
        with pytest.raises(Usage, match=r"/the.conf: network.default_subnet_pools"):
            filled(settings(network__default_subnet_pools=wrong), command=command).fill()
