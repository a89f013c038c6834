"""The whole spec, exactly. Origin of the values: ``podman create`` + ``init`` 4.3.1 --runtime runc --network none,
as a user with 65,536 subordinate ids on Debian 12; what rpod does otherwise is said beside it."""

from __future__ import annotations

import pytest

from rootless_pod.errors import HostUnready, NotFound, Refused, RpodError, Usage
from rootless_pod.linux.cgroup import Delegation
from rootless_pod.oci.image import ImageConfig
from rootless_pod.oci.runtime import ResolvedMount
from rootless_pod.spec.describe import describe
from rootless_pod.spec.generate import generate
from rootless_pod.spec.host import HostFacts
from rootless_pod.spec.request import SpecRequest
from rootless_pod.userns.idmap import IdMap, map_of

ID = "5924e57ed07c" + "0" * 52
SUBIDS = IdMap(uids=map_of(1001, ((100000, 65536),)), gids=map_of(1001, ((100000, 65536),)))
SINGLE = IdMap(uids=map_of(1001, ()), gids=map_of(1001, ()))
HOST = HostFacts(
    hostname="vm",
    limits={"nofile": (1024, 20000), "nproc": (96364, 96364), "core": (0, -1)},
    environment={"FOO": "host", "http_proxy": "proxy"},
    user_name="someone",
)
DEFAULT_CAPABILITIES = [
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
]  # fmt: skip


@pytest.fixture
def rootfs(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n")
    (tmp_path / "etc/group").write_text("root:x:0:\nalice:x:1000:\nwheel:x:10:alice\nvideo:x:44:alice\n")
    return str(tmp_path)


def make(rootfs, request=None, **changes):
    values = {
        "container_id": ID, "image_config": ImageConfig(cmd=("sleep", "100")), "rootfs": rootfs, "netns_path": "",
        "run_dir": "/run/bundle", "id_map": SUBIDS, "host": HOST,
    }  # fmt: skip
    return generate(request or SpecRequest(), **{**values, **changes})


def targets(spec):
    return {mount["destination"]: mount for mount in spec.config["mounts"]}


def test_the_default_spec_is_podmans(rootfs):
    spec = make(rootfs)
    bind = ["bind", "rprivate"]
    quiet = ["nosuid", "noexec", "nodev"]
    assert spec.config == {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0, "umask": 18},
            "args": ["sleep", "100"],
            "env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "container=oci",  # podman: container=podman, and TERM=xterm even without a terminal (until 5.0)
                "http_proxy=proxy",
                "HOSTNAME=5924e57ed07c",
                "HOME=/root",
            ],
            "cwd": "/",
            "capabilities": {
                "bounding": DEFAULT_CAPABILITIES, "effective": DEFAULT_CAPABILITIES, "permitted": DEFAULT_CAPABILITIES,
                "inheritable": [], "ambient": [],
            },
            "rlimits": [  # our own limits; podman's nproc comes from Debian's containers.conf
                {"type": "RLIMIT_NOFILE", "hard": 20000, "soft": 1024},
                {"type": "RLIMIT_NPROC", "hard": 96364, "soft": 96364},
            ],
            "noNewPrivileges": False,
        },
        "root": {"path": rootfs, "readonly": False},
        "hostname": "5924e57ed07c",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": quiet},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "noexec", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*quiet, "ro"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": quiet},
            # podman mounts this tmpfs itself and binds it; the runtime does it here
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
             "options": [*quiet, "mode=1777", "size=67108864"]},
            {"destination": "/etc/hosts", "type": "bind", "source": "/run/bundle/hosts", "options": bind},
            {"destination": "/etc/resolv.conf", "type": "bind", "source": "/run/bundle/resolv.conf", "options": bind},
            {"destination": "/etc/hostname", "type": "bind", "source": "/run/bundle/hostname", "options": bind},
            {"destination": "/run/.containerenv", "type": "bind", "source": "/run/bundle/.containerenv",
             "options": bind},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
             "options": ["rprivate", *quiet, "relatime", "ro"]},
        ],
        "annotations": {"io.container.manager": "rpod"},
        "linux": {
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"},
                {"type": "cgroup"},  # podman: on cgroups v2 only, and the defaults of HostFacts are v2
                {"type": "mount"},
            ],
            "sysctl": {"net.ipv4.ping_group_range": "0 0"},
            "maskedPaths": [
                "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi",
                "/proc/timer_list", "/proc/timer_stats", "/sys/dev/block", "/sys/devices/virtual/powercap",
                "/sys/firmware", "/sys/fs/selinux",
            ],
            "readonlyPaths": [
                "/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
            ],
            "resources": {},
        },
    }  # fmt: skip
    assert spec.seccomp_name == "default"
    assert (spec.shift, spec.appends, spec.directories, spec.needs_crun) == (None, (), (), "")


def test_keep_id_maps_as_podman_does_and_shifts_the_image(rootfs):
    spec = make(rootfs, SpecRequest(userns="keep-id"), netns_path="/run/netns/x")
    expected = [
        {"containerID": 0, "hostID": 1, "size": 1001},
        {"containerID": 1001, "hostID": 0, "size": 1},
        {"containerID": 1002, "hostID": 1002, "size": 64535},
    ]
    assert spec.config["linux"]["uidMappings"] == spec.config["linux"]["gidMappings"] == expected
    assert {"type": "user"} in spec.config["linux"]["namespaces"]
    assert spec.config["process"]["user"]["uid"] == 1001
    assert spec.owner == (0, 0)
    assert spec.shift.shown_uid(0) == 1
    assert spec.appends[0] == ("/etc/passwd", "someone:*:1001:1001:container user:/:/bin/sh")


def test_an_own_user_namespace_with_our_network_namespace_binds_sys(rootfs):
    """The kernel lets only the network namespace's owner mount sysfs or set its sysctls."""
    spec = make(rootfs, SpecRequest(userns="keep-id"), netns_path="/run/netns/x")
    assert targets(spec)["/sys"]["type"] == "bind"
    assert "/sys/kernel" in spec.config["linux"]["maskedPaths"]
    assert spec.config["linux"]["sysctl"] == {}


def test_the_images_user_wins_over_keep_id(rootfs):
    spec = make(rootfs, SpecRequest(userns="keep-id"), image_config=ImageConfig(cmd=("a",), user="alice"))
    assert (spec.user.uid, spec.user.name) == (1000, "alice")


def test_the_hosts_network_brings_its_name_and_its_sys(rootfs):
    spec = make(rootfs, netns_path=None)
    assert spec.config["hostname"] == "vm"
    assert targets(spec)["/sys"]["options"] == ["rbind", "rprivate", "nosuid", "noexec", "nodev", "ro"]
    assert "/sys/fs/cgroup" not in targets(spec)
    assert spec.config["linux"]["sysctl"] == {}
    assert {"type": "network"} not in spec.config["linux"]["namespaces"]


def test_another_user_with_a_single_id_gets_a_map_of_its_own(rootfs):
    spec = make(rootfs, SpecRequest(user="alice"), id_map=SINGLE, host=HOST.replace(setgroups_allowed=False))
    assert spec.config["linux"]["uidMappings"] == [{"containerID": 1000, "hostID": 0, "size": 1}]
    assert "additionalGids" not in spec.config["process"]["user"]
    assert spec.shift is None
    assert "one id only" in spec.notes[0]
    assert "no id 0" in spec.needs_crun


def test_an_unmapped_user_is_refused_with_the_option_that_maps_it(rootfs):
    with pytest.raises(Refused, match="user id 70000 does not exist") as caught:
        make(rootfs, SpecRequest(user="70000"))
    assert "--userns keep-id:uid=70000,gid=0" in caught.value.remedy


def test_read_only_roots_show_a_copy_of_passwd(rootfs):
    spec = make(rootfs, SpecRequest(user="4000", read_only=True))
    files = dict(spec.files)
    assert files["passwd"].endswith("\n4000:*:4000:0:container user:/:/bin/sh\n")
    assert targets(spec)["/etc/passwd"]["source"] == "/run/bundle/passwd"
    assert spec.appends == ()


def test_volumes_come_after_their_parents_and_replace_ours(rootfs):
    volumes = (
        ResolvedMount(source="/a", target="/dev/shm", options=("rbind",)),
        ResolvedMount(source="/b", target="/x/y/z"),
        ResolvedMount(source="/c", target="/x"),
        ResolvedMount(source="/d", target="/etc/hosts"),
    )
    spec = make(rootfs, volumes=volumes)
    order = [mount["destination"] for mount in spec.config["mounts"]]
    assert order.index("/x") < order.index("/x/y/z")
    assert targets(spec)["/dev/shm"]["source"] == "/a"
    assert targets(spec)["/etc/hosts"]["source"] == "/d"
    assert len(order) == len(set(order))


def test_a_mount_on_dev_takes_what_lies_below_with_it(rootfs):
    spec = make(rootfs, volumes=(ResolvedMount(source="/dev", target="/dev", options=("rslave",)),))
    assert [target for target in targets(spec) if target.startswith("/dev")] == ["/dev"]
    assert spec.config["linux"]["rootfsPropagation"] == "rslave"


def test_a_container_shares_memory_with_the_one_whose_ipc_it_joins(rootfs):
    spec = make(rootfs, SpecRequest(ipc="container:x"), namespaces={"ipc": "/proc/77/ns/ipc"})
    assert targets(spec)["/dev/shm"]["source"] == "/proc/77/root/dev/shm"
    assert {"type": "ipc", "path": "/proc/77/ns/ipc"} in spec.config["linux"]["namespaces"]


def test_systemd_gets_what_it_needs(rootfs):
    spec = make(rootfs, SpecRequest(command=("/sbin/init",)))
    assert spec.systemd
    assert {"/run", "/run/lock", "/tmp", "/var/log/journal"} <= set(targets(spec))
    assert targets(spec)["/sys/fs/cgroup"]["options"][-1] == "rw"
    assert f"container_uuid={ID[:32]}" in spec.config["process"]["env"]
    assert not make(rootfs, SpecRequest(command=("/sbin/init",), systemd="false")).systemd


def test_keep_groups_needs_crun(rootfs):
    spec = make(rootfs, SpecRequest(groups=("keep-groups",), user="alice"))
    assert spec.config["annotations"]["run.oci.keep_original_groups"] == "1"
    assert "additionalGids" not in spec.config["process"]["user"]
    assert "crun" in spec.needs_crun


def test_limits_need_a_delegated_controller(rootfs):
    both = ("memory", "pids")
    delegated = Delegation(layout="v2", path="/user.slice/u", controllers=both, enabled=both)
    host = HOST.replace(cgroups=delegated)
    spec = make(rootfs, SpecRequest(memory="64m"), host=host, cgroups_path="/user.slice/u/ctr")
    assert spec.config["linux"]["resources"] == {
        "memory": {"limit": 67108864, "swap": 134217728},
        "pids": {"limit": 2048},
    }
    assert spec.config["linux"]["cgroupsPath"] == "/user.slice/u/ctr"
    with pytest.raises(HostUnready, match="'cpu'") as caught:
        make(rootfs, SpecRequest(cpus="1.5"), host=host, cgroups_path="/user.slice/u/ctr")
    assert "Delegate=cpu" in caught.value.remedy
    with pytest.raises(HostUnready, match="hybrid"):
        make(rootfs, SpecRequest(memory="64m"), host=HOST.replace(cgroups=Delegation(layout="hybrid")))
    with pytest.raises(HostUnready, match="delegated to you"):
        make(rootfs, SpecRequest(pids_limit="10"))
    with pytest.raises(Usage, match="--memory can't go with --cgroups=disabled"):
        make(rootfs, SpecRequest(memory="64m", cgroups="disabled"), host=host)
    unasked = host.replace(cgroups=delegated.replace(enabled=()))
    spec = make(rootfs, SpecRequest(), host=unasked, cgroups_path="/user.slice/u/ctr")
    assert "pids" not in spec.config["linux"]["resources"], "the default limit would fail: pids.max is not there"


@pytest.mark.parametrize(
    ("values", "kind", "words"),
    [
        ({"working_dir": "rel"}, Usage, "absolute path"),
        ({"hostname": "h", "uts": "host"}, Usage, "cannot set hostname"),
        ({"pid": "foo"}, Usage, "unrecognized namespace mode 'foo'"),
        ({"userns": "foo"}, Usage, "unrecognized user namespace mode"),
        ({"userns": "auto"}, Refused, "auto is not supported"),
        ({"cap_add": ("FOO",)}, Usage, "unknown capability"),
        ({"cap_add": ("CHOWN",), "cap_drop": ("chown",)}, Usage, "dropped and added"),
        ({"security_opt": ("foo=1",)}, Usage, "invalid --security-opt"),
        ({"security_opt": ("apparmor=docker-default",)}, Refused, "AppArmor"),
        ({"security_opt": ("label=type:x",)}, Refused, "SELinux"),
        ({"security_opt": ("seccomp=/nope",)}, NotFound, "seccomp profile /nope"),
        ({"user": "bob"}, NotFound, "unable to find user bob"),
        ({"user": "1000:nogrp"}, NotFound, "unable to find group nogrp"),
        ({"groups": ("nogroup",)}, NotFound, "unable to find group nogroup"),
        ({"groups": ("keep-groups", "44")}, Usage, "keep-groups"),
        ({"devices": ("/dev/nope",)}, NotFound, "stat /dev/nope"),
        ({"devices": ("dev/full",)}, Usage, "invalid device specification"),
        ({"shm_size": "xx"}, Usage, "invalid size"),
        ({"umask": "9"}, Usage, "octal"),
        ({"sysctl": ("net.foo",)}, Usage, "KEY=VALUE"),
        ({"sysctl": ("vm.swappiness=1",)}, Refused, "whole machine"),
        ({"ipc": "host", "sysctl": ("kernel.msgmax=1",)}, Refused, "shares the ipc namespace"),
        ({"ulimit": ("nofile=99999",)}, Refused, "hard limit is 20000"),
        ({"ulimit": ("nofile=9:8",)}, Usage, "above the hard limit"),
        ({"ulimit": ("nosuch=1",)}, Usage, "invalid ulimit"),
        ({"tmpfs": ("/etc:size=zz",)}, Usage, "invalid size"),
        ({"tmpfs": ("/a", "/a")}, Usage, "duplicate mount destination"),
        ({"init": True}, NotFound, "no init program"),
        ({"timezone": "../etc/passwd"}, NotFound, "time zone"),
        ({"entrypoint": ""}, Usage, "no command or entrypoint"),
        ({"annotations": ("x",)}, Usage, "KEY=VALUE"),
        ({"systemd": "maybe"}, Usage, "--systemd"),
        ({"oom_score_adj": 2000}, Usage, "out of range"),
    ],
)
def test_bad_values_are_refused_by_name(rootfs, values, kind, words):
    with pytest.raises(RpodError, match=words) as caught:
        make(rootfs, SpecRequest(**values))
    assert isinstance(caught.value, kind)


def test_a_spec_can_be_told_in_plain_lines(rootfs):
    lines = describe(make(rootfs, SpecRequest(userns="keep-id", working_dir="/new", command=("echo", "a b"))))
    assert "command: echo 'a b'" in lines
    assert "uid map: 1001 in the container is 0 of your ids" in lines
    assert "namespace network: new" in lines
    assert "seccomp profile: default" in lines
    assert "made in the root file system: directory /new" in lines
