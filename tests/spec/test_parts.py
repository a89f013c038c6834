"""Quantities, devices, resources, and what is written where."""

from __future__ import annotations

import json
import os

import pytest

from rootless_pod.errors import Refused, Usage
from rootless_pod.linux.cgroup import Delegation
from rootless_pod.spec.bundle import config_text, write_bundle
from rootless_pod.spec.devices import device_mounts, privileged_devices, split_device
from rootless_pod.spec.generate import generate
from rootless_pod.spec.host import HostFacts, read_host_facts
from rootless_pod.spec.prepare import prepare_rootfs
from rootless_pod.spec.quantities import parse_bool, parse_int, parse_size
from rootless_pod.spec.request import SpecRequest
from rootless_pod.spec.resources import choose_resources
from rootless_pod.userns.idmap import IdMap, IdRange

OWN = IdMap(
    uids=(IdRange(container_id=0, host_id=0, size=65537),), gids=(IdRange(container_id=0, host_id=0, size=65537),)
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64m", 64 << 20),
        ("1.5g", 3 << 29),
        ("512K", 512 << 10),
        ("10MiB", 10 << 20),
        ("2gb", 2 << 30),
        ("7", 7),
        ("7b", 7),
    ],
)
def test_sizes_are_powers_of_1024(text, size):
    assert parse_size(text, "--x") == size


@pytest.mark.parametrize("text", ["", "m", "-1", "1x", "1ib", "1 m m", "nan", "inf", "0x10", "1e400g"])
def test_other_sizes_are_refused(text):
    with pytest.raises(Usage, match="--x"):
        parse_size(text, "--x")


@pytest.mark.parametrize("text", ["", "1.5", "²", "1_000", "--1", "0x1"])
def test_whole_numbers_are_decimal_digits(text):
    with pytest.raises(Usage):
        parse_int(text, "--x")
    assert parse_int("-5", "--x", minimum=-5) == -5


def test_truth_is_gos():
    assert parse_bool("T", "--x")
    assert not parse_bool("0", "--x")
    with pytest.raises(Usage):
        parse_bool("yes", "--x")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("/dev/a", ("/dev/a", "/dev/a", "rwm")),
        ("/dev/a:rw", ("/dev/a", "/dev/a", "rw")),
        ("/dev/a:/dev/b", ("/dev/a", "/dev/b", "rwm")),
        ("/dev/a:/dev/b:r", ("/dev/a", "/dev/b", "r")),
    ],
)
def test_devices_have_a_place_and_rights(text, parts):
    assert split_device(text) == parts


@pytest.mark.parametrize("text", ["a", "/dev/a:/dev/b:x", "/dev/a:", "/dev/a:/b:r:w"])
def test_malformed_devices_are_refused(text):
    with pytest.raises(Usage):
        split_device(text)


def test_a_file_is_no_device():
    with pytest.raises(Usage, match="not a device node"):
        device_mounts(("/etc/passwd",))


def test_the_standard_devices_are_left_to_the_runtime():
    targets = {mount.target for mount in privileged_devices()}
    assert not targets & {"/dev/null", "/dev/tty", "/dev/console", "/dev/ptmx"}
    assert not any(target.startswith(("/dev/pts", "/dev/shm", "/dev/tty1")) for target in targets)


ALL = Delegation(layout="v2", path="/x", controllers=("cpu", "cpuset", "memory", "pids", "io"))


def resources(**values):
    return choose_resources(SpecRequest(**values), ALL, has_cgroup=True)


def test_limits_become_the_specs():
    assert resources(cpus="1.5", cpu_shares="512", cpuset_cpus="0-1,3", pids_limit="100", memory_swap="-1", memory="1g") == {
        "cpu": {"quota": 150000, "period": 100000, "shares": 512, "cpus": "0-1,3"},
        "memory": {"limit": 1 << 30, "swap": -1},
        "pids": {"limit": 100},
    }  # fmt: skip
    assert resources(cgroup_conf=("memory.high=100",))["unified"] == {"memory.high": "100"}


def test_no_limit_on_processes_is_no_limit():
    assert resources(pids_limit="-1") == {}
    assert choose_resources(SpecRequest(pids_limit="0"), Delegation(layout="hybrid"), has_cgroup=False) == {}
    assert choose_resources(SpecRequest(), Delegation(layout="hybrid"), has_cgroup=False) == {}


@pytest.mark.parametrize(
    "values",
    [
        {"memory": "1k"}, {"memory_swap": "1g"}, {"memory": "2g", "memory_swap": "1g"}, {"cpus": "-1"}, {"cpus": "nan"},
        {"memory": "1g", "memory_reservation": "2g"}, {"cpus": "1", "cpu_quota": "5"}, {"cpuset_cpus": "3-1"},
        {"cpu_period": "1"}, {"pids_limit": "-2"}, {"cgroup_conf": ("x",)},
    ],
)  # fmt: skip
def test_senseless_limits_are_refused(values):
    with pytest.raises(Usage):
        resources(**values)


@pytest.fixture
def spec_of(tmp_path):
    root, run = tmp_path / "root", tmp_path / "run"
    (root / "etc").mkdir(parents=True)
    run.mkdir()
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh")  # no newline at the end
    (root / "etc/group").write_text("root:x:0:\n")

    def make(**values):
        return generate(
            SpecRequest(command=("a",), **values), container_id="c" * 64, image_config=None, rootfs=str(root),
            netns_path="", run_dir=str(run), id_map=OWN, host=HostFacts(),
        )  # fmt: skip

    return make


def test_config_json_is_the_spec_with_the_filter_in_it(spec_of, tmp_path):
    spec = spec_of()
    path = write_bundle(str(tmp_path / "run"), spec)
    with open(path) as file:
        written = json.load(file)
    assert written["linux"].pop("seccomp")["defaultAction"] == "SCMP_ACT_ERRNO"
    assert written == spec.config
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.stat(tmp_path / "run/.containerenv").st_mode & 0o777 == 0o644
    assert "seccomp" not in json.loads(config_text(spec_of(privileged=True)))["linux"]


def test_a_config_json_that_is_a_link_is_not_followed(spec_of, tmp_path):
    os.symlink(tmp_path / "elsewhere", tmp_path / "run/config.json")
    with pytest.raises(OSError):
        write_bundle(str(tmp_path / "run"), spec_of())
    assert not (tmp_path / "elsewhere").exists()


def test_the_root_gets_its_directory_and_rows_once(spec_of, tmp_path):
    if os.getuid():
        pytest.skip("needs to give a directory away")
    spec = spec_of(user="7:8", working_dir="/a/b")
    prepare_rootfs(str(tmp_path / "root"), spec)
    assert (tmp_path / "root/etc/passwd").read_text().endswith("/bin/sh\n7:*:7:8:container user:/:/bin/sh\n")
    status = os.stat(tmp_path / "root/a/b")
    assert (status.st_uid, status.st_gid) == (7, 8)
    again = spec_of(user="7:8", working_dir="/a/b")
    assert again.appends == ()
    prepare_rootfs(str(tmp_path / "root"), again)


def test_a_working_directory_behind_a_link_stays_inside(spec_of, tmp_path):
    os.symlink(tmp_path / "run", tmp_path / "root/out")
    with pytest.raises(Refused, match="/out/x"):
        prepare_rootfs(str(tmp_path / "root"), spec_of(working_dir="/out/x"))
    assert not (tmp_path / "run/x").exists()


def test_host_facts_are_read():
    facts = read_host_facts()
    assert facts.limits["nofile"][1] != 0
    assert facts.cgroups.layout in ("v2", "hybrid", "v1", "none")
